//! What a shard asks of the controller about leaders.
//!
//! Both kinds of request tell what is so *now*, and are told again for as long as it is. So at most
//! one of each kind is under way, and a lost one needs no memory.

use std::sync::Arc;
use std::time::Instant;

use synod_log::key::PartitionKey;

use super::event_loop::Shard;
use super::events::{Event, Events};
use crate::broker::Broker;
use crate::limits::{APPEAL_PARTITIONS, NOMINATION_TICKS, RESIGN_INTERVAL};
use crate::metadata::request::{LedPartition, Resign, ResignReason, ReturnLeadership};
use crate::metadata::{BrokerId, MetadataImage, TopicId};
use crate::partition::{Partition, Resignation};

/// A kind of request to the controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Appeal {
    /// Appointments that this broker cannot follow.
    Resignation,
    /// Preferred leaders that could lead again.
    Nomination,
}

/// Requests to the controller that are under way.
#[derive(Debug)]
pub(super) struct Appeals {
    events: Arc<Events>,
    resigning: bool,
    nominating: bool,
    /// Before that, nobody resigns again.
    resign_again: Instant,
}

impl Appeals {
    pub(super) fn new(events: Arc<Events>) -> Appeals {
        Appeals { events, resigning: false, nominating: false, resign_again: Instant::now() }
    }

    /// The controller answered, or cannot be reached.
    pub(super) fn answered(&mut self, appeal: Appeal) {
        match appeal {
            Appeal::Resignation => self.resigning = false,
            Appeal::Nomination => self.nominating = false,
        }
    }

    /// Sends resignations on their way, all in one request. Those that cannot go now are told again
    /// with the next tick, if they still hold then.
    pub(super) fn send(&mut self, broker: &Arc<Broker>, resignations: &mut Vec<Resignation>) {
        if resignations.is_empty() {
            return;
        }
        let now = Instant::now();
        if self.resigning || now < self.resign_again {
            resignations.clear();
            return;
        }
        self.resigning = true;
        self.resign_again = now + RESIGN_INTERVAL;
        // What is beyond the bound is said again with the next tick.
        let partitions = resignations.drain(..).take(APPEAL_PARTITIONS).map(|resignation| {
            let Resignation { key, round, reason } = resignation;
            tracing::info!(partition = %key, round, ?reason, "cannot lead");
            (TopicId::from_bytes(key.topic), key.partition, round, reason)
        });
        let request = Resign { broker: broker.id(), partitions: partitions.collect() };
        let (broker, events) = (broker.clone(), self.events.clone());
        tokio::task::spawn_local(async move {
            if let Err(error) = broker.controller().resign(request).await {
                tracing::debug!(%error, "a resignation was not taken");
            }
            events.push(Event::Answered(Appeal::Resignation));
        });
    }

    fn nominate(&mut self, broker: &Arc<Broker>, partitions: Vec<LedPartition>) {
        if partitions.is_empty() || self.nominating {
            return;
        }
        self.nominating = true;
        let request = ReturnLeadership { broker: broker.id(), partitions };
        let (broker, events) = (broker.clone(), self.events.clone());
        tokio::task::spawn_local(async move {
            if let Err(error) = broker.controller().return_leadership(request).await {
                tracing::debug!(%error, "a nomination was not taken");
            }
            events.push(Event::Answered(Appeal::Nomination));
        });
    }
}

impl Shard {
    /// Offers the partitions led here back to their preferred leaders, where those have kept up for
    /// long enough.
    pub(super) fn nominate(&mut self) {
        let me = self.broker.id();
        let image = self.reconciler.image();
        let due = self.partitions.values().filter_map(|partition| nominee(partition, image, me));
        let due = due.take(APPEAL_PARTITIONS).collect();
        self.appeals.nominate(&self.broker, due);
    }
}

/// A partition that this broker could not open, if it is the one that should lead it: somebody else
/// has to.
pub(crate) fn unopened(
    key: PartitionKey,
    image: &MetadataImage,
    me: BrokerId,
) -> Option<Resignation> {
    let entry = image.partition(TopicId::from_bytes(key.topic), key.partition)?;
    let owed = entry.leader == me && entry.replicas.len() > 1;
    owed.then_some(Resignation { key, round: entry.round, reason: ResignReason::Faulty })
}

/// The partition, if it should go back to its preferred leader.
pub(crate) fn nominee(
    partition: &Partition,
    image: &MetadataImage,
    me: BrokerId,
) -> Option<LedPartition> {
    let round = partition.view().leading_round()?;
    let key = partition.key();
    let topic = TopicId::from_bytes(key.topic);
    let entry = image.topic_by_id(topic)?.partition(key.partition)?;
    let preferred = *entry.replicas.first().filter(|preferred| **preferred != me)?;
    let follower = synod_paxos::NodeId(preferred.0);
    let is_due = (entry.leader, entry.round) == (me, round)
        && partition.caught_up_ticks(follower) >= NOMINATION_TICKS;
    is_due.then_some(LedPartition { topic, partition: key.partition, round })
}
