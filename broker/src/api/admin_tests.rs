//! The administrative APIs against a live controller without a log: what clients are answered.

mod configs;
mod leaders;
mod metadata;
mod topics;

use std::future::Future;
use std::sync::Arc;

use synod_wire::{Frame, Message, Reader, Request, RequestHeader, Str, Uuid};
use tokio::sync::mpsc;

use crate::broker::{Broker, BrokerParts};
use crate::config::Config;
use crate::context::Context;
use crate::metadata::record::{Endpoint, Listener};
use crate::metadata::{
    BeginControl, BrokerId, ControllerContext, ControllerHandle, ControllerRequest, ImagePublisher,
    MetadataImage, RegisterBroker, StaticConfigs, TopicId, connectivity::Connectivity,
};
use crate::metrics::Metrics;
use crate::state_log::StateLog;

/// Runs `test` as a client of broker 1, beside a controller that decides at once.
async fn with_broker<T>(config: Config, test: impl AsyncFnOnce(&Context) -> T) -> T {
    let config = Arc::new(config);
    let (controller, inbox) = ControllerHandle::new(8);
    let (publisher, image) = ImagePublisher::new(MetadataImage::default());
    let statics = Arc::new(StaticConfigs::new(&config).unwrap());
    let incarnation = TopicId::from_bytes([200; 16]);
    let parts = BrokerParts {
        id: BrokerId(1),
        incarnation,
        config: config.clone(),
        statics,
        metrics: Arc::new(Metrics::new()),
        image,
        controller: controller.clone(),
        deleted: Arc::default(),
        shards: Vec::new(),
        settled: Vec::new(),
        leftovers: Vec::new(),
        kafka_address: address(9092),
    };
    let broker = Arc::new(Broker::new(parts));
    let context = Context::new(broker, address(19092), address(50_000));
    let control = Arc::new(ControllerContext::new(&config).unwrap());
    let client = async {
        form_cluster(&controller, incarnation).await;
        test(&context).await
    };
    tokio::select! {
        answer = client => answer,
        () = decide_all(inbox, control, publisher) => unreachable!("the inbox stays open"),
    }
}

fn address(port: u16) -> std::net::SocketAddr {
    ([127, 0, 0, 1], port).into()
}

async fn form_cluster(controller: &ControllerHandle, incarnation: TopicId) {
    let new_cluster_id = "the-cluster".to_owned();
    let begin = BeginControl { broker: BrokerId(1), round: 1, new_cluster_id };
    controller.begin_control(begin).await.unwrap();
    register(controller, 1, incarnation, None).await;
}

async fn register(
    controller: &ControllerHandle,
    broker: u32,
    incarnation: TopicId,
    host: Option<&str>,
) {
    let host = host.map(Into::into);
    let endpoints = vec![Endpoint { listener: Listener::Kafka, host, port: 9092 }];
    let rack = (broker != 1).then(|| format!("rack{broker}"));
    let request =
        RegisterBroker { broker: BrokerId(broker), incarnation, endpoints, rack, start: 0 };
    controller.register_broker(request).await.unwrap();
}

/// The controller's side: every request is decided at once, published, and answered.
async fn decide_all(
    mut inbox: mpsc::Receiver<ControllerRequest>,
    context: Arc<ControllerContext>,
    publisher: ImagePublisher,
) {
    let mut log = StateLog::new(MetadataImage::default(), 0);
    log.handle_leading();
    let connectivity = Arc::new(Connectivity::new(BrokerId(1), 10));
    while let Some(request) = inbox.recv().await {
        request.submit(&mut log, &context, &connectivity);
        while let Some(proposal) = log.poll_proposal() {
            let responses = log.handle_decided(proposal.base_offset, &proposal.records).unwrap();
            publisher.publish(log.state().clone());
            responses.send();
        }
        log.reads_mut().confirm_now();
    }
}

/// Sends a request through its encoding to the handler and the response through its own, so that
/// the client sees what `version` can carry.
async fn call<'a, R: Request, F: Future<Output = R::Response>>(
    context: &'a Context,
    handler: impl FnOnce(&'a Context, RequestHeader, R) -> F,
    version: i16,
    request: R,
) -> R::Response {
    let (api_key, api_version) = (R::KEY.0, version);
    let header = RequestHeader { api_key, api_version, correlation_id: 1, client_id: None };
    let request = through_the_wire(&request, version);
    let response = handler(context, header, request).await;
    through_the_wire(&response, version)
}

fn through_the_wire<M: Message>(message: &M, version: i16) -> M {
    let frame = Frame::encode(|writer| message.encode(writer, version)).unwrap();
    let mut reader = Reader::new(frame.to_body());
    let decoded = M::decode(&mut reader, version).unwrap();
    reader.finish().unwrap();
    decoded
}

fn text(text: &str) -> Str {
    Str::from(text)
}

fn some(value: &str) -> Option<Str> {
    Some(text(value))
}

/// An id that nobody has.
const ABSENT_ID: Uuid = Uuid([0x11; 16]);
