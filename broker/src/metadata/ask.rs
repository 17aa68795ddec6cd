//! A request to the controller and its answer, in one form for callers here and on other brokers.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{
    BrokerId, MetadataImage, MetadataRecord,
    connectivity::Connectivity,
    controller::{self, ControllerContext},
    error::AdminError,
    request::{
        AlterConfigs, BeginControl, CreatePartitions, CreateTopics, CreatedTopic, DeletedTopic,
        ElectLeaders, ElectionOutcome, Outcomes, ProducerIdBlock, RegisterBroker, Resign,
        ReturnLeadership, ShutDown, TopicRef,
    },
};
use crate::state_log::{NotDone, StateLog};

/// What can be asked of the controller; each is a method of
/// [`ControllerHandle`](super::ControllerHandle).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// To begin a controller's work; only by the broker itself.
    BeginControl(BeginControl),
    /// To register a broker's new life.
    RegisterBroker(RegisterBroker),
    /// To create topics.
    CreateTopics(CreateTopics),
    /// To delete topics.
    DeleteTopics(Vec<TopicRef>),
    /// To add partitions.
    CreatePartitions(CreatePartitions),
    /// To change settings.
    AlterConfigs(AlterConfigs),
    /// For a number of producer ids, for a broker.
    AllocateProducerIds(BrokerId, u32),
    /// To move leaders.
    ElectLeaders(ElectLeaders),
    /// To take leaderships back that cannot be kept.
    Resign(Resign),
    /// To give preferred leaders their partitions back.
    ReturnLeadership(ReturnLeadership),
    /// To take all leaderships from a broker that is about to stop.
    ShutDown(ShutDown),
}

/// What the controller answers to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Done, or refused.
    Done(Result<(), AdminError>),
    /// For topics to create.
    TopicsCreated(Outcomes<CreatedTopic>),
    /// For topics to delete.
    TopicsDeleted(Outcomes<DeletedTopic>),
    /// For partitions to add and settings to change.
    Items(Outcomes<()>),
    /// For producer ids.
    ProducerIds(Result<ProducerIdBlock, AdminError>),
    /// For leaders to move.
    Elections(Vec<ElectionOutcome>),
}

impl Ask {
    /// The handler's records and answer.
    pub fn handle(
        &self,
        image: &MetadataImage,
        context: &ControllerContext,
        connectivity: &Connectivity,
    ) -> (Vec<MetadataRecord>, Answer) {
        fn with<T>(
            (records, outcome): (Vec<MetadataRecord>, T),
            answer: fn(T) -> Answer,
        ) -> (Vec<MetadataRecord>, Answer) {
            (records, answer(outcome))
        }
        match self {
            Self::BeginControl(it) => with(controller::begin_control(image, it), Answer::Done),
            Self::RegisterBroker(it) => with(controller::register_broker(image, it), Answer::Done),
            Self::CreateTopics(it) => {
                with(controller::create_topics(image, it, context), Answer::TopicsCreated)
            }
            Self::DeleteTopics(it) => {
                with(controller::delete_topics(image, it), Answer::TopicsDeleted)
            }
            Self::CreatePartitions(it) => {
                with(controller::create_partitions(image, it, context), Answer::Items)
            }
            Self::AlterConfigs(it) => {
                with(controller::alter_configs(image, it, context), Answer::Items)
            }
            Self::AllocateProducerIds(broker, count) => {
                let made = controller::allocate_producer_ids(image, *broker, *count);
                with(made, Answer::ProducerIds)
            }
            Self::ElectLeaders(it) => {
                with(controller::elect_leaders(image, it, connectivity), Answer::Elections)
            }
            // The controller only remembers resignations; its failover answers them.
            Self::Resign(_) => (Vec::new(), Answer::Done(Ok(()))),
            Self::ReturnLeadership(it) => {
                with(controller::return_leadership(image, it, connectivity), Answer::Done)
            }
            Self::ShutDown(it) => {
                with(controller::shut_down(image, it, connectivity), Answer::Done)
            }
        }
    }

    /// Whether carrying it out twice is the same as once, so that it may be sent again although
    /// nothing is known about the first time.
    #[must_use]
    pub fn is_repeatable(&self) -> bool {
        match self {
            Self::RegisterBroker(_)
            | Self::Resign(_)
            | Self::ReturnLeadership(_)
            | Self::ShutDown(_) => true,
            // Ids that nobody uses are lost, and that is all.
            Self::AllocateProducerIds(..) => true,
            Self::BeginControl(_)
            | Self::CreateTopics(_)
            | Self::DeleteTopics(_)
            | Self::CreatePartitions(_)
            | Self::AlterConfigs(_)
            | Self::ElectLeaders(_) => false,
        }
    }

    /// Whether `broker` may ask this: what concerns one broker, only that broker may.
    #[must_use]
    pub fn may_come_from(&self, broker: BrokerId) -> bool {
        match self {
            Self::BeginControl(_) => false,
            Self::RegisterBroker(it) => it.broker == broker,
            Self::AllocateProducerIds(asker, _) => *asker == broker,
            Self::Resign(it) => it.broker == broker,
            Self::ReturnLeadership(it) => it.broker == broker,
            Self::ShutDown(it) => it.broker == broker,
            Self::CreateTopics(_)
            | Self::DeleteTopics(_)
            | Self::CreatePartitions(_)
            | Self::AlterConfigs(_)
            | Self::ElectLeaders(_) => true,
        }
    }
}

/// Where an answer goes; called once.
pub type Reply = Box<dyn FnOnce(Result<Answer, NotDone>) + Send>;

/// A request to the controller with the place for its answer.
pub struct ControllerRequest {
    /// What is asked.
    pub ask: Ask,
    /// Where the answer goes.
    pub reply: Reply,
}

impl ControllerRequest {
    /// A request, and its answer in time. Whoever asks may go away meanwhile; what was decided
    /// stays decided.
    #[must_use]
    pub fn new(ask: Ask) -> (Self, oneshot::Receiver<Result<Answer, NotDone>>) {
        let (sender, answer) = oneshot::channel();
        (Self { ask, reply: Box::new(move |outcome| drop(sender.send(outcome))) }, answer)
    }

    /// Hands the request to the metadata log's runtime, whose owner calls this.
    pub fn submit(
        self,
        log: &mut StateLog<MetadataImage>,
        context: &Arc<ControllerContext>,
        connectivity: &Arc<Connectivity>,
    ) {
        let Self { ask, reply } = self;
        let (context, connectivity) = (Arc::clone(context), Arc::clone(connectivity));
        log.submit(move |image| ask.handle(image, &context, &connectivity), reply);
    }
}

impl fmt::Debug for ControllerRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControllerRequest").field("ask", &self.ask).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::{AdminErrorKind, TopicId, request::ResignReason};

    /// What travels between brokers comes back as it was, for a few of each shape.
    #[test]
    fn requests_and_answers_have_a_text_form() {
        let topic = TopicId::from_bytes([3; 16]);
        let broker = BrokerId(2);
        let reason = ResignReason::Stale { promised_round: 7 };
        let asks = [
            Ask::AllocateProducerIds(broker, 5),
            Ask::DeleteTopics(vec![TopicRef::Id(topic), TopicRef::Name("t".into())]),
            Ask::Resign(Resign { broker, partitions: vec![(topic, 1, 6, reason)] }),
            Ask::ElectLeaders(ElectLeaders { preferred: true, partitions: None }),
        ];
        for ask in asks {
            let text = serde_json::to_string(&ask).unwrap();
            assert_eq!(serde_json::from_str::<Ask>(&text).unwrap(), ask, "{text}");
        }
        let error = AdminError::new(AdminErrorKind::TopicExists, "it exists");
        let answers = [
            Answer::Done(Ok(())),
            Answer::Items(vec![Ok(()), Err(error)]),
            Answer::TopicsCreated(vec![Ok(crate::metadata::TopicImage::metadata_log())]),
            Answer::ProducerIds(Ok(ProducerIdBlock { start: 1, count: 2 })),
        ];
        for answer in answers {
            let text = serde_json::to_string(&answer).unwrap();
            assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), answer, "{text}");
        }
    }

    #[test]
    fn a_broker_speaks_for_itself_alone() {
        let (me, other) = (BrokerId(1), BrokerId(2));
        let incarnation = TopicId::from_bytes([1; 16]);
        let mine = [
            Ask::AllocateProducerIds(me, 1),
            Ask::Resign(Resign { broker: me, partitions: Vec::new() }),
            Ask::ShutDown(ShutDown { broker: me, incarnation }),
            Ask::ReturnLeadership(ReturnLeadership { broker: me, partitions: Vec::new() }),
        ];
        for ask in mine {
            assert!(ask.may_come_from(me) && !ask.may_come_from(other), "{ask:?}");
            assert!(ask.is_repeatable());
        }
        let begin = BeginControl { broker: me, round: 1, new_cluster_id: "c".into() };
        assert!(!Ask::BeginControl(begin).may_come_from(me), "never from elsewhere");
        assert!(Ask::CreateTopics(CreateTopics::default()).may_come_from(other));
    }
}
