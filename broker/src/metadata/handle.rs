//! The way from any task of the broker to the controller.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{
    BrokerId, MetadataImage, TopicId,
    controller::{self, ControllerContext},
    error::{AdminError, AdminErrorKind},
    request::{
        AlterConfigs, BeginControl, CreatePartitions, CreateTopics, CreatedTopic, DeletedTopic,
        NewTopic, Outcomes, ProducerIdBlock, RegisterBroker, TopicRef,
    },
};
use crate::state_log::{NotDone, StateLog};

/// Where a request's answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, NotDone>>;

/// A request to the controller with the place for its answer.
#[derive(Debug)]
pub enum ControllerRequest {
    /// See [`ControllerHandle::begin_control`].
    BeginControl(BeginControl, Reply<Result<(), AdminError>>),
    /// See [`ControllerHandle::register_broker`].
    RegisterBroker(RegisterBroker, Reply<Result<(), AdminError>>),
    /// See [`ControllerHandle::create_topics`].
    CreateTopics(CreateTopics, Reply<Outcomes<CreatedTopic>>),
    /// See [`ControllerHandle::delete_topics`].
    DeleteTopics(Vec<TopicRef>, Reply<Outcomes<DeletedTopic>>),
    /// See [`ControllerHandle::create_partitions`].
    CreatePartitions(CreatePartitions, Reply<Outcomes<()>>),
    /// See [`ControllerHandle::alter_configs`].
    AlterConfigs(AlterConfigs, Reply<Outcomes<()>>),
    /// See [`ControllerHandle::allocate_producer_ids`].
    AllocateProducerIds(BrokerId, u32, Reply<Result<ProducerIdBlock, AdminError>>),
}

impl ControllerRequest {
    /// Hands the request to the metadata log's runtime, whose owner calls this.
    pub fn submit(self, log: &mut StateLog<MetadataImage>, context: &Arc<ControllerContext>) {
        let context = Arc::clone(context);
        match self {
            Self::BeginControl(request, reply) => {
                log.submit(move |image| controller::begin_control(image, &request), answer(reply));
            }
            Self::RegisterBroker(request, reply) => {
                log.submit(
                    move |image| controller::register_broker(image, &request),
                    answer(reply),
                );
            }
            Self::CreateTopics(request, reply) => {
                log.submit(
                    move |image| controller::create_topics(image, &request, &context),
                    answer(reply),
                );
            }
            Self::DeleteTopics(topics, reply) => {
                log.submit(move |image| controller::delete_topics(image, &topics), answer(reply));
            }
            Self::CreatePartitions(request, reply) => {
                log.submit(
                    move |image| controller::create_partitions(image, &request, &context),
                    answer(reply),
                );
            }
            Self::AlterConfigs(request, reply) => {
                log.submit(
                    move |image| controller::alter_configs(image, &request, &context),
                    answer(reply),
                );
            }
            Self::AllocateProducerIds(broker, count, reply) => {
                log.submit(
                    move |image| controller::allocate_producer_ids(image, broker, count),
                    answer(reply),
                );
            }
        }
    }
}

/// Whoever asked may have gone away meanwhile; what was decided stays decided.
fn answer<T>(reply: Reply<T>) -> impl FnOnce(Result<T, NotDone>) {
    move |outcome| drop(reply.send(outcome))
}

/// Asks the controller; cheap to clone, for every task of the broker.
///
/// Each method waits for room in the controller's inbox, so a busy controller slows its callers
/// rather than grow. A method whose future is dropped may still take effect.
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
        self.ask(|reply| ControllerRequest::BeginControl(request, reply)).await?
    }

    /// Registers a started broker; partitions that its earlier incarnation led get new rounds.
    ///
    /// # Errors
    /// The registration cannot be, or the request was not carried out.
    pub async fn register_broker(&self, request: RegisterBroker) -> Result<(), AdminError> {
        self.ask(|reply| ControllerRequest::RegisterBroker(request, reply)).await?
    }

    /// Creates topics. Outcomes stand in the request's order.
    ///
    /// # Errors
    /// The request was not carried out, or nothing is known about it.
    pub async fn create_topics(
        &self,
        request: CreateTopics,
    ) -> Result<Outcomes<CreatedTopic>, AdminError> {
        self.ask(|reply| ControllerRequest::CreateTopics(request, reply)).await
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
        self.ask(|reply| ControllerRequest::DeleteTopics(topics, reply)).await
    }

    /// Adds partitions. Outcomes stand in the request's order.
    ///
    /// # Errors
    /// The request was not carried out, or nothing is known about it.
    pub async fn create_partitions(
        &self,
        request: CreatePartitions,
    ) -> Result<Outcomes<()>, AdminError> {
        self.ask(|reply| ControllerRequest::CreatePartitions(request, reply)).await
    }

    /// Changes settings. Outcomes stand in the request's order.
    ///
    /// # Errors
    /// The request was not carried out, or nothing is known about it.
    pub async fn alter_configs(&self, request: AlterConfigs) -> Result<Outcomes<()>, AdminError> {
        self.ask(|reply| ControllerRequest::AlterConfigs(request, reply)).await
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
        self.ask(|reply| ControllerRequest::AllocateProducerIds(broker, count, reply)).await?
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(Reply<T>) -> ControllerRequest,
    ) -> Result<T, AdminError> {
        let (reply, answer) = oneshot::channel();
        let stopped = |_| not_done(NotDone::NotLeading);
        self.inbox.send(request(reply)).await.map_err(stopped)?;
        // An inbox that goes away with a request inside leaves open how far it got.
        let outcome = answer.await.unwrap_or(Err(NotDone::Unknown));
        outcome.map_err(not_done)
    }
}

fn not_done(reason: NotDone) -> AdminError {
    let kind = match reason {
        NotDone::NotLeading => AdminErrorKind::NotController,
        NotDone::Busy | NotDone::Refused => AdminErrorKind::Busy,
        NotDone::Unknown => AdminErrorKind::OutcomeUnknown,
    };
    AdminError::new(kind, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

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
            request.submit(&mut log, &context());
            while let Some(proposal) = log.poll_proposal() {
                log.handle_decided(proposal.base_offset, &proposal.records).unwrap().send();
            }
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
            request.submit(&mut log, &context());
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
