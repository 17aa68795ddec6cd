//! The real controller on a simulated broker: the metadata group's replica, what it decided, and
//! what this broker asks of it.
//!
//! It does what the shard that runs the controller does, and what shards ask of the controller
//! about leaders, in simulated time.

use std::sync::Arc;

use synod_log::key::PartitionKey;
use synod_paxos::{NodeId, ReplicaSet};
use tokio::sync::oneshot;

use super::agenda::Micros;
use super::setting::Setting;
use crate::broker::DeletedTopics;
use crate::control::{Group, GroupParts, OpenedMetadata};
use crate::limits::RESIGN_INTERVAL;
use crate::metadata::record::{Endpoint, Listener};
use crate::metadata::request::{LedPartition, Resign, ReturnLeadership};
use crate::metadata::{
    Answer, Ask, BrokerId, ControllerRequest, ImagePublisher, ImageReader, MetadataImage,
    RegisterBroker, TopicId,
};
use crate::partition::Resignation;
use crate::peers::Introduction;
use crate::state_log::NotDone;

/// An answer of the controller that may come.
pub(crate) type Answering = oneshot::Receiver<Result<Answer, NotDone>>;

#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) group: Group,
    pub(crate) broker: BrokerId,
    /// What this broker says of itself to others.
    pub(crate) introduction: Introduction,
    incarnation: TopicId,
    image: ImageReader,
    /// The image that was carried out last.
    pub(crate) followed: Arc<MetadataImage>,
    pub(crate) deleted: Arc<DeletedTopics>,
    /// Directories found at the start that nobody has judged yet.
    pub(crate) leftovers: Vec<PartitionKey>,
    pub(crate) ticks: u32,
    /// Up to where the invariants have looked at the image.
    pub(crate) observed_end: u64,
    resigning: Option<Answering>,
    resign_again: Micros,
    nominating: Option<Answering>,
}

impl Control {
    pub(crate) fn new(
        introduction: Introduction,
        opened: OpenedMetadata,
        voters: ReplicaSet,
        leftovers: Vec<PartitionKey>,
        setting: &Setting,
    ) -> Control {
        let broker = BrokerId(introduction.node);
        let incarnation = TopicId::from_bytes(introduction.incarnation.random);
        let (publisher, image) = ImagePublisher::new(MetadataImage::default());
        let deleted = Arc::new(DeletedTopics::default());
        let OpenedMetadata { log, replica, view } = opened;
        let group = Group::new(GroupParts {
            log,
            replica,
            view,
            voters,
            publisher,
            context: setting.context(broker),
            deleted: deleted.clone(),
            registration: RegisterBroker {
                broker,
                incarnation,
                endpoints: vec![Endpoint { listener: Listener::Kafka, host: None, port: 9092 }],
                rack: None,
                start: introduction.incarnation.start,
            },
            new_cluster_id: "simulated".into(),
            seed: u64::from_le_bytes(
                *introduction.incarnation.random.first_chunk().expect("16 bytes"),
            ),
        });
        Control {
            group,
            broker,
            introduction,
            incarnation,
            image,
            followed: Arc::default(),
            deleted,
            leftovers,
            ticks: 0,
            observed_end: 0,
            resigning: None,
            resign_again: 0,
            nominating: None,
        }
    }

    pub(crate) fn node(&self) -> NodeId {
        NodeId(self.broker.0)
    }

    /// The newest decided metadata that this broker knows.
    pub(crate) fn image(&self) -> Arc<MetadataImage> {
        self.image.image()
    }

    /// Whether an image knows this very start of the broker.
    pub(crate) fn is_registered(&self, image: &MetadataImage) -> bool {
        image.broker(self.broker).is_some_and(|known| known.incarnation == self.incarnation)
    }

    /// Asks the controller, wherever it is.
    pub(crate) fn ask(&mut self, ask: Ask) -> Answering {
        let (request, answer) = ControllerRequest::new(ask);
        self.group.handle_request(request);
        answer
    }

    /// Sends resignations on their way, all in one request; those that cannot go now are told again
    /// with the next tick.
    pub(crate) fn resign(&mut self, resignations: Vec<Resignation>, now: Micros) {
        if is_under_way(&mut self.resigning) || now < self.resign_again || resignations.is_empty() {
            return;
        }
        self.resign_again = now + RESIGN_INTERVAL.as_micros() as Micros;
        let told = resignations.into_iter().map(|Resignation { key, round, reason }| {
            (TopicId::from_bytes(key.topic), key.partition, round, reason)
        });
        let resign = Resign { broker: self.broker, partitions: told.collect() };
        self.resigning = Some(self.ask(Ask::Resign(resign)));
    }

    /// Offers partitions back to their preferred leaders.
    pub(crate) fn nominate(&mut self, partitions: Vec<LedPartition>) {
        if is_under_way(&mut self.nominating) || partitions.is_empty() {
            return;
        }
        let nominated = ReturnLeadership { broker: self.broker, partitions };
        self.nominating = Some(self.ask(Ask::ReturnLeadership(nominated)));
    }
}

/// Whether an answer is still awaited; forgets one that came.
fn is_under_way(answering: &mut Option<Answering>) -> bool {
    let waits = answering.as_mut().is_some_and(|answer| {
        matches!(answer.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    });
    if !waits {
        *answering = None;
    }
    waits
}
