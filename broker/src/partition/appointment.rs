//! Being appointed to lead: taking it up, and saying when it cannot be done.

use synod_paxos::{AppointError, Ballot, NodeId, ReplicaSet, Role};

use super::{Effects, Partition, PartitionError, Resignation};
use crate::limits::{APPOINTMENT_SETTLE_TICKS, CHECK_QUORUM_TICKS};
use crate::metadata::request::ResignReason;
use crate::planted::{PlantedBug, is_planted};

/// The appointment to lead that the metadata last told of.
#[derive(Debug)]
pub(super) struct Appointment {
    pub(super) ballot: Ballot,
    /// The other replicas of its set.
    pub(super) peers: Vec<NodeId>,
    /// The round was used up before.
    stale: bool,
    /// Ticks that it has been in force.
    ticks: u32,
    /// Ticks for which this replica has stood as a candidate without a quorum of promises.
    waiting_ticks: u32,
}

impl Partition {
    /// Takes an appointment to lead. One that was taken before is not news. If the round is used
    /// up, that is told as a [`Resignation`].
    ///
    /// # Errors
    /// The log failed for good.
    pub(crate) fn appoint(
        &mut self,
        ballot: Ballot,
        replicas: ReplicaSet,
        effects: &mut Effects,
    ) -> Result<(), PartitionError> {
        if self.appointment.as_ref().is_some_and(|known| known.ballot == ballot) {
            return Ok(());
        }
        let peers = replicas.members().filter(|node| *node != self.replica.node()).collect();
        let mut appointment =
            Appointment { ballot, peers, stale: false, ticks: 0, waiting_ticks: 0 };
        if self.ended.is_none() {
            match self.replica.handle_appointed(ballot, replicas) {
                Ok(()) => {}
                Err(AppointError::Stale { .. }) => appointment.stale = true,
                Err(error @ AppointError::NotMine) => {
                    tracing::error!(partition = %self.key, %ballot, %error, "not appointed");
                    return Ok(());
                }
            }
        }
        self.appointment = Some(appointment);
        if let Some(resignation) = self.resignation() {
            effects.resignations.push(resignation);
        }
        self.step(effects)
    }

    /// Another broker was appointed: nothing is owed to an earlier appointment any more. This
    /// replica goes on leading until it hears of the new ballot from a candidate.
    pub(crate) fn handle_appointed_elsewhere(&mut self) {
        self.appointment = None;
    }

    /// Lets an appointment age, and tells if it cannot be followed.
    pub(super) fn check_appointment(&mut self, effects: &mut Effects) {
        let Some(appointment) = &mut self.appointment else { return };
        appointment.ticks = appointment.ticks.saturating_add(1);
        let promisers = self.replica.promisers();
        let has_quorum = |set: &ReplicaSet| set.is_quorum(|node| promisers.contains(&node));
        let waits = self.replica.role() == Role::Candidate
            && !self.replica.replica_set().is_some_and(has_quorum);
        appointment.waiting_ticks =
            if waits { appointment.waiting_ticks.saturating_add(1) } else { 0 };
        effects.resignations.extend(self.resignation());
    }

    /// Why the appointment in force cannot be followed, if that is so.
    fn resignation(&self) -> Option<Resignation> {
        let appointment = self.appointment.as_ref()?;
        let promised = self.replica.promised();
        let reason = if appointment.stale {
            ResignReason::Stale { promised_round: promised.round }
        } else if appointment.peers.is_empty() {
            // Nobody could do better.
            return None;
        } else if self.ended.is_some() {
            ResignReason::Faulty
        } else {
            match self.replica.role() {
                Role::Leader { quorum: false, .. } => ResignReason::QuorumLost,
                // One that is not ready yet copies its log to its followers, which takes its time.
                Role::Leader { quorum: true, .. } => return None,
                Role::Candidate if appointment.waiting_ticks < CHECK_QUORUM_TICKS => return None,
                // A newer ballot: whoever appointed that knows.
                Role::Follower if promised != appointment.ballot => return None,
                Role::Candidate | Role::Follower => ResignReason::PromisesMissing,
            }
        };
        Some(Resignation { key: self.key, round: appointment.ballot.round, reason })
    }

    /// Shows everybody whether this replica may serve as leader: what it adopted is decided, and it
    /// could write at once.
    pub(super) fn publish_role(&mut self) {
        let serves = match self.replica.role() {
            Role::Leader { ready: true, .. } => self.writes.takes_appends(),
            Role::Leader { .. } => is_planted(PlantedBug::WatermarkLowered),
            _ => false,
        };
        let round = (serves && self.ended.is_none()).then(|| self.replica.ballot().round);
        if round == self.view.leading_round() {
            return;
        }
        tracing::debug!(partition = %self.key, ?round, "leading");
        self.view.set_leading_round(round);
        self.in_sync.clear();
        if round.is_some() {
            self.look_at_followers(0);
        }
    }

    /// Notes how far the followers are.
    pub(super) fn watch_followers(&mut self) {
        if self.is_ready() {
            self.look_at_followers(1);
            self.refuse_missing_replicas();
        }
    }

    pub(super) fn look_at_followers(&mut self, ticks: u32) {
        let statuses = self.replica.followers();
        let decided_end = self.replica.decided_end();
        self.in_sync.watch(&statuses, decided_end, u64::from(CHECK_QUORUM_TICKS), ticks);
        self.view.set_in_sync_count(self.in_sync_count());
    }

    /// How many voters keep up, this leader included.
    pub(super) fn in_sync_count(&self) -> usize {
        let set = self.replica.replica_set();
        self.in_sync.count(|node| set.is_some_and(|set| set.is_voter(node)))
    }

    /// For how many ticks a follower has kept up with this leader without a break.
    pub(crate) fn caught_up_ticks(&self, follower: NodeId) -> u32 {
        self.in_sync.caught_up_ticks(follower)
    }

    /// Whether leading, once appointed, is only a matter of a little time.
    pub(crate) fn can_become_ready(&self) -> bool {
        let Some(appointment) = self.appointment.as_ref() else { return false };
        if appointment.peers.is_empty() {
            return self.log.faulty().is_none();
        }
        let tries = self.role() != Role::Follower;
        tries && appointment.ticks < APPOINTMENT_SETTLE_TICKS
    }

    /// Whether other brokers hold what this replica holds, as far as it knows.
    pub(super) fn has_peers(&self) -> bool {
        let others_led = self.replica.promised().node != self.replica.node();
        let set = self.replica.replica_set();
        let shares = set.is_some_and(|set| set.members().nth(1).is_some());
        shares || (others_led && self.replica.promised() != Ballot::ZERO)
    }
}
