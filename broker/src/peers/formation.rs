//! How a cluster of several brokers forms, once for ever.
//!
//! Every voter that belongs to no cluster yet dials the addresses of all others, over and over, and
//! tells whom it found there: node by node, the id of the data directory. As soon as all tell the
//! same, that list is the cluster, and its hash is the cluster's id. Each voter makes both durable
//! before it does anything that the cluster could count on. So two lists of one cluster would need
//! a voter that told both.
//!
//! A voter that meets a member of a formed cluster takes over that member's list, if the list has
//! its own directory. One that comes with another directory has lost what it promised, or is not
//! who it says: it is told so and never becomes a member.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use synod_log::identity::{ClusterId, DirectoryId, Member, Membership};

use super::circle::Circle;
use super::dial::{DialError, probe};
use super::frame::FrameError;
use super::hello::{HelloReply, Introduction, Mismatch, Refusal};
use crate::config::Voter;
use crate::limits::{FORMATION_PATIENCE, FORMATION_REPORT, FORMATION_ROUND};

/// Why this broker can be part of no cluster as it was started.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct FormationError(String);

/// One voter's attempt to be part of a cluster.
#[derive(Debug)]
pub(super) struct Formation {
    circle: Arc<Circle>,
    /// Since when somebody else has been found at this broker's own address.
    disputed: Option<Instant>,
    reported: Option<Instant>,
}

/// What one round of dials has shown to a voter that belongs to no cluster yet. Pure: who is
/// dialed, and how, is the caller's.
#[derive(Debug)]
pub(crate) struct Round {
    /// All voters of the cluster list in order of node id.
    voters: Vec<u32>,
    found: Vec<(u32, [u8; 16])>,
    /// Voters that tell of others than this broker does.
    differing: usize,
    missing: Vec<String>,
    /// Somebody found another directory at this broker's address.
    dispute: Option<String>,
}

impl Formation {
    pub(super) fn new(circle: Arc<Circle>) -> Formation {
        Formation { circle, disputed: None, reported: None }
    }

    /// Goes on until the cluster is known; `report` is told now and then what is missing. May be
    /// cancelled.
    ///
    /// # Errors
    /// Something is wrong that only the operator can mend.
    pub(super) async fn run(
        mut self,
        report: &(dyn Fn(String) + Sync),
    ) -> Result<Membership, FormationError> {
        loop {
            let own = self.circle.own();
            let circle = self.circle.clone();
            let others = circle.others();
            let dials =
                others.iter().map(|voter| probe(&voter.address, own.clone(), voter.node_id));
            let replies = join_all(dials).await;
            let nodes = others.iter().map(|voter| voter.node_id).chain([own.node]);
            let mut round = Round::new(nodes);
            for (voter, reply) in others.iter().zip(replies) {
                if let Some(membership) = self.look_at(&own, voter, reply, &mut round)? {
                    return Ok(membership);
                }
            }
            self.check_dispute(&round)?;
            if let Some(membership) = round.agreed(&own) {
                return Ok(membership);
            }
            self.report(&round, report);
            self.circle.tell_found(round.found);
            tokio::time::sleep(FORMATION_ROUND).await;
        }
    }

    /// Judges what one voter's address has shown; a formed cluster ends the search.
    fn look_at(
        &self,
        own: &Introduction,
        voter: &Voter,
        reply: Result<HelloReply, DialError>,
        round: &mut Round,
    ) -> Result<Option<Membership>, FormationError> {
        let place = format!("node {} at {}", voter.node_id, voter.address);
        let reply = match reply {
            Ok(reply) => reply,
            Err(error @ DialError::Frame(FrameError::Version { .. })) => {
                return Err(FormationError(format!("{place}: {error}")));
            }
            Err(error) => {
                round.missing.push(format!("{}@{} ({error})", voter.node_id, voter.address));
                return Ok(None);
            }
        };
        let refusal = match &reply.outcome {
            Err(Refusal::Mismatch(mismatch)) => Some(*mismatch),
            _ => None,
        };
        let membership = round.hear(own, (voter.node_id, &place), &reply.from, refusal);
        let membership = membership.map_err(FormationError)?;
        self.circle.note_found(&reply.from);
        Ok(membership)
    }

    /// A dispute may be old news of an earlier start of this broker; one that stays is real.
    fn check_dispute(&mut self, round: &Round) -> Result<(), FormationError> {
        let Some(dispute) = &round.dispute else {
            self.disputed = None;
            return Ok(());
        };
        let since = *self.disputed.get_or_insert_with(Instant::now);
        if since.elapsed() < FORMATION_PATIENCE {
            return Ok(());
        }
        Err(FormationError(dispute.clone()))
    }

    fn report(&mut self, round: &Round, report: &(dyn Fn(String) + Sync)) {
        let text = if round.missing.is_empty() {
            "forming the cluster: all voters are there, they compare their lists".to_owned()
        } else {
            format!("forming the cluster: waiting for {}", round.missing.join(", "))
        };
        if self.reported.is_none_or(|at| at.elapsed() >= FORMATION_REPORT) {
            self.reported = Some(Instant::now());
            tracing::info!("{text}");
        }
        report(text);
    }
}

impl Round {
    /// Nobody of `voters`, this broker included, has answered.
    pub(crate) fn new(voters: impl IntoIterator<Item = u32>) -> Round {
        let mut voters: Vec<u32> = voters.into_iter().collect();
        voters.sort_unstable();
        Round { voters, found: Vec::new(), differing: 0, missing: Vec::new(), dispute: None }
    }

    /// Judges what `it` says, who was found where node `meant` should be; `refusal` is what it has
    /// against this broker. A formed cluster ends the search.
    ///
    /// # Errors
    /// The two can never be of one cluster.
    pub(crate) fn hear(
        &mut self,
        own: &Introduction,
        (meant, place): (u32, &str),
        it: &Introduction,
        refusal: Option<Mismatch>,
    ) -> Result<Option<Membership>, String> {
        let mismatch = own.fits(it, Some(meant)).err().or(refusal.map(Mismatch::reversed));
        if let Some(mismatch) = mismatch {
            return Err(format!("{place}: {}", mismatch.describe(own, it)));
        }
        if let Some(membership) = it.membership() {
            return match self.check_membership(&membership) {
                Ok(()) => Ok(Some(membership)),
                Err(problem) => Err(format!("{place} tells of a cluster {problem}")),
            };
        }
        self.found.push((it.node, it.directory));
        if let Some(directory) = it.member(own.node)
            && directory != own.directory
        {
            self.dispute = Some(format!(
                "{place} finds data directory {} at this broker's address, not {}: another \
                 broker runs as node {}, or the cluster list leads to another one",
                DirectoryId(directory),
                DirectoryId(own.directory),
                own.node
            ));
        }
        if own.members != it.members {
            self.differing += 1;
        }
        Ok(None)
    }

    /// The cluster, if all voters answered and tell of the same. What was told in this round is
    /// what was found in it, here and everywhere.
    pub(crate) fn agreed(&self, own: &Introduction) -> Option<Membership> {
        let mut members = self.found.clone();
        members.push((own.node, own.directory));
        members.sort_unstable();
        let all = members.len() == self.voters.len() && members == own.members;
        (all && self.differing == 0).then(|| membership_of(members))
    }

    /// A list that is not what its id says, or not of these voters, was made up.
    fn check_membership(&self, membership: &Membership) -> Result<(), &'static str> {
        let members = membership.members.iter();
        let list = members.map(|member| (member.node_id, member.directory.0)).collect();
        if membership_of(list) != *membership {
            return Err("whose id is not that of its members");
        }
        let named = membership.members.iter().map(|member| member.node_id);
        if !named.eq(self.voters.iter().copied()) {
            return Err("of other voters than the cluster list");
        }
        Ok(())
    }

    /// Whom this round has found.
    #[cfg(any(test, feature = "simulator"))]
    pub(crate) fn into_found(self) -> Vec<(u32, [u8; 16])> {
        self.found
    }
}

/// The cluster of these voters.
fn membership_of(mut members: Vec<(u32, [u8; 16])>) -> Membership {
    members.sort_unstable();
    let mut bytes = Vec::with_capacity(members.len() * 20);
    for (node, directory) in &members {
        bytes.extend_from_slice(&node.to_be_bytes());
        bytes.extend_from_slice(directory);
    }
    let members = members
        .into_iter()
        .map(|(node_id, directory)| Member { node_id, directory: DirectoryId(directory) });
    Membership { cluster_id: ClusterId(hash(&bytes)), members: members.collect() }
}

/// FNV-1a with 128 bits. The directories' ids are random already; this only folds them into one.
fn hash(bytes: &[u8]) -> [u8; 16] {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash =
        bytes.iter().fold(BASIS, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME));
    hash.to_be_bytes()
}

#[cfg(test)]
mod tests;
