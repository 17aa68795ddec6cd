//! The way from any task of the broker to the controller.

use tokio::sync::mpsc;

use super::{
    BrokerId, TopicId,
    ask::{Answer, Ask, ControllerRequest},
    error::{AdminError, AdminErrorKind},
    request::{
        AlterConfigs, BeginControl, CreatePartitions, CreateTopics, CreatedTopic, DeletedTopic,
        ElectLeaders, ElectionOutcome, NewTopic, Outcomes, ProducerIdBlock, RegisterBroker, Resign,
        ReturnLeadership, ShutDown, TopicRef,
    },
};
use crate::state_log::NotDone;

/// Asks the controller; cheap to clone, for every task of the broker.
///
/// Any broker may be asked: one that does not lead the metadata group passes requests on to the one
/// that does, and answers when its own image shows what the answer tells of. Each method waits for
/// room in the inbox, so a busy controller slows its callers rather than grow. A method whose
/// future is dropped may still take effect.
#[derive(Clone, Debug)]
pub struct ControllerHandle {
    inbox: mpsc::Sender<ControllerRequest>,
}

impl ControllerHandle {
    /// A handle and the inbox that it writes to, which holds up to `capacity` requests.
    #[must_use]
    pub fn new(capacity: usize) -> (Self, mpsc::Receiver<ControllerRequest>) {
        let (inbox, receiver) = mpsc::channel(capacity);
        (Self { inbox }, receiver)
    }

    /// Forms the cluster if this is its beginning, and takes control in a new round.
    ///
    /// # Errors
    /// The round is not newer than the last controller's, or the request was not carried out.
    pub async fn begin_control(&self, request: BeginControl) -> Result<(), AdminError> {
        self.done(Ask::BeginControl(request)).await
    }

    /// Registers a started broker; partitions that its earlier incarnation led get new rounds.
    ///
    /// # Errors
    /// The registration cannot be, or the request was not carried out.
    pub async fn register_broker(&self, request: RegisterBroker) -> Result<(), AdminError> {
        self.done(Ask::RegisterBroker(request)).await
    }

    /// Creates topics. Outcomes stand in the request's order.
    ///
    /// # Errors
    /// The request was not carried out, or nothing is known about it.
    pub async fn create_topics(
        &self,
        request: CreateTopics,
    ) -> Result<Outcomes<CreatedTopic>, AdminError> {
        match self.ask(Ask::CreateTopics(request)).await? {
            Answer::TopicsCreated(outcomes) => Ok(outcomes),
            _ => Err(mismatch()),
        }
    }

    /// Creates one topic with the broker's defaults, as asking for it by name may do.
    ///
    /// A topic that exists by now is as good as a new one.
    ///
    /// # Errors
    /// As [`ControllerHandle::create_topics`], or the name is not allowed.
    pub async fn auto_create_topic(&self, name: &str) -> Result<(), AdminError> {
        let topics = vec![NewTopic::with_defaults(TopicId::random()?, name)];
        let request = CreateTopics { topics, validate_only: false };
        match self.create_topics(request).await?.into_iter().next() {
            Some(Err(error)) if error.kind != AdminErrorKind::TopicExists => Err(error),
            _ => Ok(()),
        }
    }

    /// Deletes topics. Outcomes stand in the request's order.
    ///
    /// # Errors
    /// The request was not carried out, or nothing is known about it.
    pub async fn delete_topics(
        &self,
        topics: Vec<TopicRef>,
    ) -> Result<Outcomes<DeletedTopic>, AdminError> {
        match self.ask(Ask::DeleteTopics(topics)).await? {
            Answer::TopicsDeleted(outcomes) => Ok(outcomes),
            _ => Err(mismatch()),
        }
    }

    /// Adds partitions. Outcomes stand in the request's order.
    ///
    /// # Errors
    /// The request was not carried out, or nothing is known about it.
    pub async fn create_partitions(
        &self,
        request: CreatePartitions,
    ) -> Result<Outcomes<()>, AdminError> {
        self.items(Ask::CreatePartitions(request)).await
    }

    /// Changes settings. Outcomes stand in the request's order.
    ///
    /// # Errors
    /// The request was not carried out, or nothing is known about it.
    pub async fn alter_configs(&self, request: AlterConfigs) -> Result<Outcomes<()>, AdminError> {
        self.items(Ask::AlterConfigs(request)).await
    }

    /// Takes `count` producer ids for `broker` that no other broker will ever get.
    ///
    /// # Errors
    /// The request was not carried out, nothing is known about it, or the ids are used up.
    pub async fn allocate_producer_ids(
        &self,
        broker: BrokerId,
        count: u32,
    ) -> Result<ProducerIdBlock, AdminError> {
        match self.ask(Ask::AllocateProducerIds(broker, count)).await? {
            Answer::ProducerIds(block) => block,
            _ => Err(mismatch()),
        }
    }

    /// Moves leaders. Outcomes stand in the request's order, each partition once.
    ///
    /// # Errors
    /// The request was not carried out, or nothing is known about it.
    pub async fn elect_leaders(
        &self,
        request: ElectLeaders,
    ) -> Result<Vec<ElectionOutcome>, AdminError> {
        match self.ask(Ask::ElectLeaders(request)).await? {
            Answer::Elections(outcomes) => Ok(outcomes),
            _ => Err(mismatch()),
        }
    }

    /// Says that this broker cannot lead partitions that it is appointed for. To be said again from
    /// time to time while it holds: the controller may change, or find no better leader yet.
    ///
    /// # Errors
    /// The request was not taken, or nothing is known about it.
    pub async fn resign(&self, request: Resign) -> Result<(), AdminError> {
        self.done(Ask::Resign(request)).await
    }

    /// Nominates the preferred leaders of partitions that this broker leads. The controller takes
    /// what it finds right.
    ///
    /// # Errors
    /// The request was not carried out, or nothing is known about it.
    pub async fn return_leadership(&self, request: ReturnLeadership) -> Result<(), AdminError> {
        self.done(Ask::ReturnLeadership(request)).await
    }

    /// Has all leaderships of this broker moved to others before it stops.
    ///
    /// # Errors
    /// The request was not carried out, or nothing is known about it.
    pub async fn shut_down(&self, request: ShutDown) -> Result<(), AdminError> {
        self.done(Ask::ShutDown(request)).await
    }

    async fn done(&self, ask: Ask) -> Result<(), AdminError> {
        match self.ask(ask).await? {
            Answer::Done(outcome) => outcome,
            _ => Err(mismatch()),
        }
    }

    async fn items(&self, ask: Ask) -> Result<Outcomes<()>, AdminError> {
        match self.ask(ask).await? {
            Answer::Items(outcomes) => Ok(outcomes),
            _ => Err(mismatch()),
        }
    }

    async fn ask(&self, ask: Ask) -> Result<Answer, AdminError> {
        let (request, answer) = ControllerRequest::new(ask);
        let stopped = |_| not_done(NotDone::NotLeading);
        self.inbox.send(request).await.map_err(stopped)?;
        // An inbox that goes away with a request inside leaves open how far it got.
        let outcome = answer.await.unwrap_or(Err(NotDone::Unknown));
        outcome.map_err(not_done)
    }
}

/// The answer is to something else: the controller is of another version. It may have been done.
fn mismatch() -> AdminError {
    AdminError::new(AdminErrorKind::OutcomeUnknown, "the controller's answer was not understood")
}

fn not_done(reason: NotDone) -> AdminError {
    let kind = match reason {
        NotDone::NotLeading => AdminErrorKind::NotController,
        NotDone::Busy | NotDone::Refused => AdminErrorKind::Busy,
        NotDone::TooLarge => AdminErrorKind::LimitExceeded,
        NotDone::Unknown => AdminErrorKind::OutcomeUnknown,
    };
    AdminError::new(kind, reason)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        config::Config,
        metadata::{ControllerContext, MetadataImage, connectivity::Connectivity},
        state_log::StateLog,
    };

    fn connectivity() -> Arc<Connectivity> {
        Arc::new(Connectivity::new(BrokerId(1), 10))
    }

    fn context() -> Arc<ControllerContext> {
        Arc::new(ControllerContext::new(&Config::default()).unwrap())
    }

    fn begin() -> BeginControl {
        BeginControl { broker: BrokerId(1), round: 1, new_cluster_id: "c".into() }
    }

    /// Takes every request from the inbox, decides it at once and answers.
    async fn serve(mut inbox: mpsc::Receiver<ControllerRequest>) {
        let mut log = StateLog::new(MetadataImage::default(), 0);
        log.handle_leading();
        while let Some(request) = inbox.recv().await {
            request.submit(&mut log, &context(), &connectivity());
            while let Some(proposal) = log.poll_proposal() {
                log.handle_decided(proposal.base_offset, &proposal.records).unwrap().send();
            }
            log.reads_mut().confirm_now();
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn requests_come_back_with_what_was_decided() {
        let (handle, inbox) = ControllerHandle::new(2);
        let client = async move {
            handle.begin_control(begin()).await.unwrap();
            let kind = |error: AdminError| error.kind;
            let error = handle.auto_create_topic("t").await.map_err(kind).unwrap_err();
            assert_eq!(error, AdminErrorKind::InvalidReplicationFactor, "no broker yet");
            let registration = RegisterBroker {
                broker: BrokerId(1),
                incarnation: TopicId::random().unwrap(),
                endpoints: Vec::new(),
                rack: None,
                start: 0,
            };
            handle.register_broker(registration).await.unwrap();
            handle.auto_create_topic("t").await.unwrap();
            handle.auto_create_topic("t").await.unwrap();
            let error = handle.auto_create_topic("../x").await.map_err(kind).unwrap_err();
            assert_eq!(error, AdminErrorKind::InvalidTopicName);
            let deleted = handle.delete_topics(vec![TopicRef::Name("t".into())]).await.unwrap();
            assert_eq!(deleted[0].as_ref().unwrap().name, "t");
            let block = handle.allocate_producer_ids(BrokerId(1), 5).await.unwrap();
            assert_eq!((block.start, block.count), (0, 5));
        };
        tokio::join!(client, serve(inbox));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn whoever_does_not_lead_says_so() {
        let (handle, mut inbox) = ControllerHandle::new(2);
        let mut log = StateLog::new(MetadataImage::default(), 0);
        let server = async {
            let request = inbox.recv().await.unwrap();
            request.submit(&mut log, &context(), &connectivity());
            // The next one is taken, and then the broker stops.
            drop(inbox.recv().await.unwrap());
            drop(inbox);
        };
        let client = async {
            let kinds = [
                handle.begin_control(begin()).await.unwrap_err().kind,
                handle.begin_control(begin()).await.unwrap_err().kind,
                handle.begin_control(begin()).await.unwrap_err().kind,
            ];
            use AdminErrorKind::{NotController, OutcomeUnknown};
            assert_eq!(kinds, [NotController, OutcomeUnknown, NotController]);
        };
        tokio::join!(client, server);
    }
}
