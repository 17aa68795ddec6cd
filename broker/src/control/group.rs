//! The metadata group's replica on this broker, the state folded from its log, and the controller
//! while this broker leads.
//!
//! Pure but for the partition's files: no clock, no runtime. Its owner hands in ticks, what other
//! brokers say, and requests; after each turn it calls [`Group::step`] and sends what
//! [`Group::take_messages`] yields.

use std::sync::Arc;

use bytes::Bytes;
use synod_log::key::PartitionKey;
use synod_log::{Log, LogError};
use synod_paxos::{
    Ballot, Election, ElectionConfig, ElectionOutput, NodeId, Replica, ReplicaSet, Role,
};
use synod_wire::batch::Batches;

use super::form::{self, AnswerForm, RequestForm};
use super::open::OpenedMetadata;
use super::registering::Registering;
use super::released::{Origin, Released};
use super::requests::{Controller, Out, Requests};
use super::served::{Known, Served};
use super::supervisor::Supervisor;
use crate::broker::DeletedTopics;
use crate::limits::{BROKER_TIMEOUT_TICKS, HEARTBEAT_TICKS};
use crate::metadata::connectivity::{Connectivity, Report, Sighting};
use crate::metadata::{
    Ask, BeginControl, BrokerId, ControllerContext, ControllerRequest, ImagePublisher,
    MetadataImage, MetadataRecord, RegisterBroker, TopicId,
};
use crate::partition::{Effects, Marks, Partition, PartitionError, PartitionView};
use crate::peers::{BrokerHeartbeat, ControlMessage, LinkedPeer};
use crate::state_log::batches::{decode, encode};
use crate::state_log::{NotDone, StateError, StateLog};

/// Partition of the metadata group's own log.
pub(crate) const METADATA_KEY: PartitionKey =
    PartitionKey { topic: TopicId::METADATA_BYTES, partition: 0 };

/// Bytes of decided metadata that are folded at a time.
const READ_SIZE: usize = 1 << 20;

/// What a [`Group`] is made of.
#[derive(Debug)]
pub(crate) struct GroupParts {
    pub(crate) log: Log,
    pub(crate) replica: Replica,
    pub(crate) view: Arc<PartitionView>,
    /// The group's voters: the brokers of the cluster.
    pub(crate) voters: ReplicaSet,
    pub(crate) publisher: ImagePublisher,
    pub(crate) context: Arc<ControllerContext>,
    pub(crate) deleted: Arc<DeletedTopics>,
    /// This start of the broker.
    pub(crate) registration: RegisterBroker,
    pub(crate) new_cluster_id: String,
    /// Spreads campaigns; best different at each start.
    pub(crate) seed: u64,
}

/// The metadata group's replica with its state and the requests to the controller.
#[derive(Debug)]
pub(crate) struct Group {
    me: NodeId,
    voters: ReplicaSet,
    partition: Partition,
    log: StateLog<MetadataImage>,
    election: Election,
    /// The role that the election knows of.
    told: (Role, Ballot),
    /// The round in which the log's runtime takes requests.
    led_round: Option<u32>,
    connectivity: Arc<Connectivity>,
    supervisor: Supervisor,
    registering: Registering,
    requests: Requests,
    served: Served,
    released: Released,
    out: Out,
    publisher: ImagePublisher,
    context: Arc<ControllerContext>,
    deleted: Arc<DeletedTopics>,
    new_cluster_id: String,
    /// This broker asked to be relieved of its leaderships.
    stopping: bool,
    /// It was, and gives up leading this group as well.
    leaving: bool,
}

impl Group {
    pub(crate) fn new(parts: GroupParts) -> Group {
        let me = parts.replica.node();
        assert!(parts.voters.is_voter(me), "every broker of the cluster votes on its metadata");
        let promised = parts.replica.promised();
        let election = Election::new(
            ElectionConfig {
                heartbeat_ticks: HEARTBEAT_TICKS,
                timeout_ticks: BROKER_TIMEOUT_TICKS,
                ..ElectionConfig::new(me, parts.voters.clone(), parts.seed)
            },
            promised,
        );
        // Ids of a start must be none of an earlier one.
        let first_request = parts.registration.start.wrapping_shl(32);
        let marks = Marks::BeforeAnswers;
        Group {
            me,
            partition: Partition::new(METADATA_KEY, parts.log, parts.replica, parts.view, marks),
            voters: parts.voters,
            log: StateLog::new(MetadataImage::default(), 0),
            election,
            told: (Role::Follower, promised),
            led_round: None,
            connectivity: Arc::new(Connectivity::new(BrokerId(me.0), BROKER_TIMEOUT_TICKS)),
            supervisor: Supervisor::default(),
            registering: Registering::new(parts.registration),
            requests: Requests::new(first_request),
            served: Served::default(),
            released: Released::default(),
            out: Out::new(),
            publisher: parts.publisher,
            context: parts.context,
            deleted: parts.deleted,
            new_cluster_id: parts.new_cluster_id,
            stopping: false,
            leaving: false,
        }
    }

    // ---- inputs ------------------------------------------------------------------------------

    /// A tick passed: [`REPLICA_TICK`](crate::limits::REPLICA_TICK).
    ///
    /// # Errors
    /// The log failed.
    pub(crate) fn handle_tick(&mut self, effects: &mut Effects) -> Result<(), PartitionError> {
        Arc::make_mut(&mut self.connectivity).handle_tick();
        self.supervisor.handle_tick();
        self.served.handle_tick();
        self.election.handle_tick();
        // The core's own heartbeats measure contact: they go both ways.
        self.partition.tick(&|_| false, effects)?;
        let controller = self.controller();
        self.requests.handle_tick(controller, &mut self.out);
        if let Some(request) = self.registering.handle_tick(self.log.state()) {
            self.requests.add(request);
        }
        Ok(())
    }

    /// Takes what another broker says.
    ///
    /// # Errors
    /// The log failed.
    pub(crate) fn handle_message(
        &mut self,
        from: NodeId,
        message: ControlMessage,
        effects: &mut Effects,
    ) -> Result<(), PartitionError> {
        if from == self.me || !self.voters.is_voter(from) {
            tracing::debug!(%from, "a message of no other broker of the cluster is dropped");
            return Ok(());
        }
        match message {
            ControlMessage::Heartbeat(heartbeat) => self.handle_heartbeat(from, heartbeat),
            ControlMessage::Partition(it) if it.key == METADATA_KEY => {
                self.partition.handle_message(from, it.message, it.payload, effects)?;
            }
            ControlMessage::Partition(it) => {
                tracing::debug!(%from, partition = %it.key, "not of the metadata group");
            }
            ControlMessage::Request { id, body } => self.serve(from, id, &body),
            ControlMessage::Answer { id, body } => {
                self.requests.handle_answer(from, id, &body, self.log.end());
            }
            ControlMessage::LagQuestion(_) | ControlMessage::LagAnswer(_) => {
                tracing::debug!(%from, "lag is no business of the metadata group");
            }
        }
        Ok(())
    }

    fn handle_heartbeat(&mut self, from: NodeId, heartbeat: BrokerHeartbeat) {
        let BrokerHeartbeat { election, hears, linked, incarnation, metadata_end } = heartbeat;
        let is_voter = |node: &NodeId| self.voters.is_voter(*node);
        let report = Report {
            start: incarnation.start,
            incarnation: TopicId::from_bytes(incarnation.random),
            metadata_end,
            hears: hears.iter().filter(|it| is_voter(it)).map(|it| BrokerId(it.0)).collect(),
            linked: linked
                .into_iter()
                .filter(|it| is_voter(&NodeId(it.node)))
                .map(|LinkedPeer { node, random, metadata_end }| {
                    let incarnation = TopicId::from_bytes(random);
                    (BrokerId(node), Sighting { incarnation, metadata_end })
                })
                .collect(),
        };
        Arc::make_mut(&mut self.connectivity).handle_heartbeat(BrokerId(from.0), report);
        // Who hears this broker is linked to it. A link in one direction is none: nothing that is
        // decided could come back over it.
        let linked = hears.contains(&self.me);
        if linked {
            self.election.handle_heartbeat(from, election);
        }
    }

    /// Takes a request of this broker.
    pub(crate) fn handle_request(&mut self, request: ControllerRequest) {
        self.stopping |= matches!(request.ask, Ask::ShutDown(_));
        self.requests.add(request);
    }

    /// Whether [`Group::handle_request`] would take another request rather than refuse it as busy.
    pub(crate) fn has_room(&self) -> bool {
        self.requests.has_room()
    }

    /// Goes on with a replica whose files were opened anew, after the last one had to stop. What is
    /// folded stays so: it was decided.
    pub(crate) fn reopen(&mut self, opened: OpenedMetadata) {
        assert!(self.partition.has_ended(), "a replica in service is not replaced");
        let OpenedMetadata { log, replica, view } = opened;
        self.partition = Partition::new(METADATA_KEY, log, replica, view, Marks::BeforeAnswers);
        self.tell_role();
    }

    // ---- outputs -----------------------------------------------------------------------------

    /// The metadata group's replica: completed writes are reported to it directly.
    pub(crate) fn partition(&mut self) -> &mut Partition {
        &mut self.partition
    }

    /// The metadata group's replica, for looking at.
    #[cfg(any(test, feature = "simulator"))]
    pub(crate) fn replica(&self) -> &Partition {
        &self.partition
    }

    /// The durability mark that the journal should hold.
    pub(crate) fn mark(&self) -> u64 {
        self.partition.mark()
    }

    /// What is to be sent to other brokers.
    pub(crate) fn take_messages(&mut self) -> Vec<(NodeId, ControlMessage)> {
        std::mem::take(&mut self.out)
    }

    /// The fold of all that is decided, as far as this broker knows.
    pub(crate) fn image(&self) -> &MetadataImage {
        self.log.state()
    }

    /// Whether this broker leads the metadata group and takes requests.
    #[cfg(test)]
    pub(crate) fn is_leading(&self) -> bool {
        self.led_round.is_some()
    }

    /// Why the cluster does not take this start of the broker, if it does not: a later start, or a
    /// copy, is registered under its number.
    pub(crate) fn refusal(&self) -> Option<&crate::metadata::AdminError> {
        self.registering.refusal()
    }

    /// Closes the metadata log.
    pub(crate) fn stop(self) -> Result<Option<(PartitionKey, u64)>, LogError> {
        self.partition.stop()
    }

    // ---- the turn ----------------------------------------------------------------------------

    /// Ends a turn: elects, folds and publishes what was decided, answers, and proposes what was
    /// asked since. `now_ms` stamps batches and decides nothing.
    ///
    /// # Errors
    /// The log failed, or holds what cannot be folded.
    pub(crate) fn step(
        &mut self,
        now_ms: i64,
        effects: &mut Effects,
    ) -> Result<(), PartitionError> {
        self.elect(effects)?;
        let leading = self.partition.view().leading_round();
        if self.led_round.is_some() && self.led_round != leading {
            // Before anything of the next leader is folded.
            self.abdicate();
        }
        self.fold_decided()?;
        // Relieved of all else, it no longer speaks as a leader: another is elected at once.
        let me = BrokerId(self.me.0);
        self.leaving |= self.stopping && self.image().broker(me).is_some_and(|it| it.lost);
        // What an interrupted time of leading left in the log is decided before more is proposed.
        let settled = self.log.end() == self.partition.replica().log_end();
        if let Some(round) = leading.filter(|_| self.led_round.is_none() && settled) {
            self.begin(round);
        }
        let controller = self.controller();
        for (id, ask) in self.requests.route(controller, &mut self.out) {
            self.submit(ask, Origin::Own(id));
        }
        if self.is_controller() {
            self.supervisor.supervise(&mut self.log, &self.connectivity);
        }
        self.propose(now_ms, effects)?;
        self.partition.confirm(self.log.reads_mut(), effects)?;
        self.pass_on_released();
        self.collect(effects);
        Ok(())
    }

    /// Campaigns and heartbeats.
    fn elect(&mut self, effects: &mut Effects) -> Result<(), PartitionError> {
        self.tell_role();
        while let Some(output) = self.election.poll_output() {
            match output {
                ElectionOutput::Heartbeat { to, heartbeat } => {
                    let heartbeat = self.heartbeat(heartbeat);
                    self.out.push((to, ControlMessage::Heartbeat(heartbeat)));
                }
                ElectionOutput::Campaign { .. } if self.leaving || self.partition.has_ended() => {}
                ElectionOutput::Campaign { ballot } => {
                    tracing::info!(%ballot, "standing for election to lead the metadata group");
                    self.partition.appoint(ballot, self.voters.clone(), effects)?;
                    self.tell_role();
                }
            }
        }
        Ok(())
    }

    fn tell_role(&mut self) {
        let now = (self.partition.role(), self.partition.ballot());
        if now != self.told {
            self.told = now;
            self.election.handle_role(now.0, now.1);
        }
    }

    fn heartbeat(&self, mut election: synod_paxos::Heartbeat) -> BrokerHeartbeat {
        // A leader whose followers do not answer is none, whatever it hears.
        let unanswered = matches!(self.told.0, Role::Leader { quorum: false, .. });
        // So is one that cannot write: others may have space.
        let is_full = self.partition.is_disk_full();
        let gives_up = self.leaving || self.partition.has_ended() || is_full;
        if unanswered || gives_up || self.supervisor.is_yielding() {
            election.quorum = false;
            election.follows = election.follows.filter(|ballot| ballot.node != self.me);
        }
        let hears = self.connectivity.heard().map(|broker| NodeId(broker.0)).collect();
        let peer = |(broker, it): (BrokerId, Sighting)| LinkedPeer {
            node: broker.0,
            random: it.incarnation.bytes(),
            metadata_end: it.metadata_end,
        };
        let linked = self.connectivity.linked().map(peer).collect();
        let incarnation = self.registering.incarnation();
        BrokerHeartbeat { election, hears, linked, incarnation, metadata_end: self.log.end() }
    }

    fn controller(&self) -> Controller {
        match self.election.leader() {
            _ if self.led_round.is_some() => Controller::Here,
            Some(ballot) if ballot.node != self.me => Controller::There(ballot),
            _ => Controller::Unknown,
        }
    }

    /// Whether this broker leads, and the log says so.
    fn is_controller(&self) -> bool {
        self.led_round.is_some() && self.led_round == self.log.state().controller_round()
    }

    fn fold_decided(&mut self) -> Result<(), PartitionError> {
        let decided_end = self.partition.decided_end();
        if self.log.end() >= decided_end {
            return Ok(());
        }
        let mut responses = Vec::new();
        let supervise = self.is_controller();
        while self.log.end() < decided_end {
            let batches = self.read_decided(decided_end)?;
            if batches.is_empty() {
                break;
            }
            for bytes in batches {
                for batch in Batches::new(bytes) {
                    let (base, records) = batch
                        .map_err(StateError::from)
                        .and_then(|batch| decode(&batch))
                        .map_err(PartitionError::State)?;
                    let (deleted, supervisor) = (&self.deleted, &mut self.supervisor);
                    let released = self.log.handle_decided_seen(base, &records, |record| {
                        if let MetadataRecord::TopicDeleted { topic } = record {
                            deleted.note(*topic);
                        }
                        if supervise {
                            supervisor.handle_decided(record);
                        }
                    });
                    responses.push(released.map_err(PartitionError::State)?);
                }
            }
        }
        self.publisher.publish(self.log.state().clone());
        for released in responses {
            released.send();
        }
        self.requests.handle_applied(self.log.end());
        Ok(())
    }

    /// The decided batches that come next; none if they cannot be read now.
    fn read_decided(&mut self, decided_end: u64) -> Result<Vec<Bytes>, PartitionError> {
        let end = self.log.end();
        match self.partition.view().log().read(end, READ_SIZE, true, decided_end) {
            Ok(slice) => {
                if slice.batches.is_empty() {
                    // Only what can be read is shown as decided; never spin if that fails.
                    tracing::error!(end, decided_end, "decided records are missing");
                }
                Ok(slice.batches)
            }
            // The others have it: what is folded so far holds, and goes on once it is repaired.
            Err(LogError::Corrupt { offsets, .. })
                if self.voters.members().nth(1).is_some() && !offsets.is_empty() =>
            {
                self.partition.handle_unreadable(offsets);
                Ok(Vec::new())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Takes control: forms the cluster where there is none, and registers this broker's new life.
    fn begin(&mut self, round: u32) {
        tracing::info!(round, "this broker leads the metadata group");
        self.led_round = Some(round);
        self.log.handle_leading();
        let broker = BrokerId(self.me.0);
        let new_cluster_id = self.new_cluster_id.clone();
        let ask = Ask::BeginControl(BeginControl { broker, round, new_cluster_id });
        let reply = Box::new(|outcome| tracing::debug!(?outcome, "began control"));
        ControllerRequest { ask, reply }.submit(&mut self.log, &self.context, &self.connectivity);
        if let Some(request) = self.registering.hurry(self.log.state()) {
            self.requests.add(request);
        }
    }

    fn abdicate(&mut self) {
        tracing::info!(round = self.led_round, "this broker leads the metadata group no more");
        self.led_round = None;
        self.log.handle_lost_leadership();
        self.pass_on_released();
        self.served = Served::default();
        self.supervisor.handle_lost_leadership();
    }

    fn propose(&mut self, now_ms: i64, effects: &mut Effects) -> Result<(), PartitionError> {
        if matches!(self.partition.role(), Role::Leader { quorum: false, .. }) {
            // What waits goes on waiting: for the majority, or for the next controller.
            return Ok(());
        }
        while let Some(proposal) = self.log.poll_proposal() {
            let proposed = match encode(&proposal, now_ms) {
                Ok(batch) => self.partition.propose(batch, effects)?.map_err(|e| e.to_string()),
                Err(error) => Err(error.to_string()),
            };
            match proposed {
                Ok((base, _)) => assert_eq!(base, proposal.base_offset, "one writer"),
                Err(error) => {
                    tracing::warn!(error, "the metadata log takes no records");
                    self.log.handle_refused();
                    let wrote_nothing = self.log.end() == self.partition.replica().log_end();
                    if wrote_nothing && !self.is_controller() {
                        // It may have been the record that it controls: said again next time.
                        self.abdicate();
                    }
                }
            }
        }
        Ok(())
    }

    // ---- requests ----------------------------------------------------------------------------

    fn submit(&mut self, mut ask: Ask, origin: Origin) {
        self.supervisor.prepare(&mut ask, self.log.state());
        let request = ControllerRequest { ask, reply: self.released.reply(origin) };
        request.submit(&mut self.log, &self.context, &self.connectivity);
    }

    /// Takes another broker's request, if this broker leads the round that it was sent to.
    fn serve(&mut self, from: NodeId, id: u64, body: &Bytes) {
        let form: RequestForm = match form::decode(body) {
            Ok(form) => form,
            Err(error) => {
                tracing::warn!(%from, %error, "a request to the controller is not understood");
                return self.answer(from, id, Err(NotDone::Refused));
            }
        };
        if self.led_round != Some(form.round) || self.leaving {
            return self.answer(from, id, Err(NotDone::NotLeading));
        }
        if !form.ask.may_come_from(BrokerId(from.0)) {
            tracing::warn!(%from, ask = ?form.ask, "a request that is not its sender's to make");
            return self.answer(from, id, Err(NotDone::Refused));
        }
        match self.served.begin(from, id) {
            Known::New => self.submit(form.ask, Origin::Peer(from, id)),
            Known::InProgress => {}
            Known::Answered(Some(body)) => {
                self.out.push((from, ControlMessage::Answer { id, body }));
            }
            Known::Answered(None) => self.answer(from, id, Err(NotDone::Unknown)),
            Known::Full => self.answer(from, id, Err(NotDone::Busy)),
        }
    }

    fn answer(&mut self, to: NodeId, id: u64, outcome: Result<crate::metadata::Answer, NotDone>) {
        let end = self.log.end();
        let mut body = form::encode(&AnswerForm { end, outcome });
        if body.len() > crate::limits::CONTROL_BODY_SIZE {
            tracing::warn!(size = body.len(), "an answer is too large to be passed on");
            body = form::encode(&AnswerForm { end, outcome: Err(NotDone::Unknown) });
        }
        self.served.finish(to, id, &body);
        self.out.push((to, ControlMessage::Answer { id, body }));
    }

    /// Hands answers of the log's runtime to whoever asked.
    fn pass_on_released(&mut self) {
        for (origin, outcome) in self.released.take() {
            match origin {
                Origin::Own(id) => self.requests.handle_released(id, outcome),
                Origin::Peer(from, id) => {
                    let taken = outcome != Err(NotDone::NotLeading);
                    self.answer(from, id, outcome);
                    if !taken {
                        self.served.forget(from, id);
                    }
                }
            }
        }
    }

    /// Takes the metadata group's own messages out of what the partitions of a shard say.
    fn collect(&mut self, effects: &mut Effects) {
        for outgoing in effects.messages.extract_if(.., |it| it.message.key == METADATA_KEY) {
            self.out.push((outgoing.to, ControlMessage::Partition(outgoing.message)));
        }
        // Nobody appoints the group's leader; a campaign in a stale round is followed by another.
        effects.resignations.retain(|resignation| resignation.key != METADATA_KEY);
    }
}
