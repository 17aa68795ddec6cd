//! A broker that answers as a test tells it: real TCP on a free port, real frames.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use synod_client::wire::messages::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse,
};
use synod_client::wire::messages::init_producer_id::InitProducerIdResponse;
use synod_client::wire::messages::metadata::{
    MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use synod_client::wire::{ApiKey, ErrorCode, Message, Request, decode_request, encode_response};
use synod_client::{ClientConfig, Cluster};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) key: ApiKey,
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    body: Bytes,
}

impl Call {
    /// The decoded request.
    pub(crate) fn request<R: Request>(&self) -> R {
        decode_request::<R>(self.body.clone()).expect("the client's request decodes").1
    }

    /// The whole frame of an answer.
    pub(crate) fn answer<M: Message>(&self, response: &M) -> Reply {
        let frame = encode_response(self.correlation_id, self.version, response);
        Reply::Bytes(frame.expect("the test's answer encodes").segments().concat())
    }
}

/// What the broker does about a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Sends these bytes as they are.
    Bytes(Vec<u8>),
    /// Sends these bytes once the gate is open.
    Gated(watch::Receiver<bool>, Vec<u8>),
    /// Sends these bytes, then closes the connection.
    BytesThenClose(Vec<u8>),
    /// Closes the connection.
    Close,
    /// Says nothing and goes on to the next request.
    Silence,
}

type Script = Arc<Mutex<dyn FnMut(&Call) -> Reply + Send>>;

/// A running broker; ends when dropped.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    /// A listener whose port is known before the script that needs to tell it.
    pub(crate) async fn bind() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        (listener, address)
    }

    /// Answers every request by the script.
    pub(crate) fn run(
        listener: TcpListener,
        script: impl FnMut(&Call) -> Reply + Send + 'static,
    ) -> Self {
        Self::run_while(listener, watch::channel(true).1, script)
    }

    /// Answers every request by the script while `runs` holds; in between the broker stands still,
    /// as a stopped process does: connections are taken, and nothing happens on them.
    pub(crate) fn run_while(
        listener: TcpListener,
        runs: watch::Receiver<bool>,
        script: impl FnMut(&Call) -> Reply + Send + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("it has an address");
        let script: Script = Arc::new(Mutex::new(script));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, runs.clone(), script.clone()));
            }
        });
        Self { address, task }
    }

    /// Binds and runs.
    pub(crate) async fn start(script: impl FnMut(&Call) -> Reply + Send + 'static) -> Self {
        Self::run(Self::bind().await.0, script)
    }
}

async fn serve(mut stream: TcpStream, mut runs: watch::Receiver<bool>, script: Script) {
    loop {
        let mut length = [0; 4];
        if stream.read_exact(&mut length).await.is_err() {
            return;
        }
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        let call = Call {
            key: ApiKey(i16::from_be_bytes([body[0], body[1]])),
            version: i16::from_be_bytes([body[2], body[3]]),
            correlation_id: i32::from_be_bytes([body[4], body[5], body[6], body[7]]),
            body: body.into(),
        };
        // Without a sender it can only run on.
        let _ = runs.wait_for(|runs| *runs).await;
        let reply = (script.lock().expect("no script panicked"))(&call);
        let (bytes, close) = match reply {
            Reply::Bytes(bytes) => (bytes, false),
            Reply::Gated(mut gate, bytes) => {
                if gate.wait_for(|open| *open).await.is_err() {
                    return;
                }
                (bytes, false)
            }
            Reply::BytesThenClose(bytes) => (bytes, true),
            Reply::Close => return,
            Reply::Silence => continue,
        };
        if stream.write_all(&bytes).await.is_err() || close {
            return;
        }
    }
}

/// Every API this client knows, in these versions at most.
pub(crate) fn versions(key_max: &[(ApiKey, i16)]) -> ApiVersionsResponse {
    let all = (0..100).map(ApiKey).filter(|key| key.name() != "Unknown");
    let api = |key: ApiKey| {
        let max = key_max.iter().find(|(k, _)| *k == key).map_or(i16::MAX, |(_, max)| *max);
        ApiVersion { api_key: key.0, min_version: 0, max_version: max, ..ApiVersion::default() }
    };
    ApiVersionsResponse { api_keys: all.map(api).collect(), ..ApiVersionsResponse::default() }
}

/// The answers that every client needs first: versions, a producer id, and metadata of a cluster
/// whose topic `t` has partitions led by `leaders`, at `brokers` (ids from 1). `None` for other
/// requests.
pub(crate) fn basics(call: &Call, brokers: &[SocketAddr], leaders: &[i32]) -> Option<Reply> {
    match call.key {
        ApiKey::API_VERSIONS => {
            let _: ApiVersionsRequest = call.request();
            Some(call.answer(&versions(&[])))
        }
        ApiKey::INIT_PRODUCER_ID => Some(call.answer(&InitProducerIdResponse {
            producer_id: 7,
            producer_epoch: 0,
            ..InitProducerIdResponse::default()
        })),
        ApiKey::METADATA => Some(call.answer(&metadata(&call.request(), brokers, leaders))),
        _ => None,
    }
}

pub(crate) fn metadata(
    request: &MetadataRequest,
    brokers: &[SocketAddr],
    leaders: &[i32],
) -> MetadataResponse {
    let broker = |(id, address): (i32, &SocketAddr)| MetadataResponseBroker {
        node_id: id,
        host: address.ip().to_string().into(),
        port: i32::from(address.port()),
        ..MetadataResponseBroker::default()
    };
    let partition = |(index, &leader): (i32, &i32)| MetadataResponsePartition {
        partition_index: index,
        leader_id: leader,
        leader_epoch: -1,
        replica_nodes: vec![1],
        isr_nodes: vec![1],
        ..MetadataResponsePartition::default()
    };
    let topic = |name: Option<synod_client::wire::Str>| {
        let known = name.as_deref() == Some("t");
        let code = if known { ErrorCode::NONE } else { ErrorCode::UNKNOWN_TOPIC_OR_PARTITION };
        let partitions = (0..).zip(leaders).map(partition);
        MetadataResponseTopic {
            error_code: code,
            name,
            partitions: if known { partitions.collect() } else { Vec::new() },
            ..MetadataResponseTopic::default()
        }
    };
    let asked = match &request.topics {
        None => vec![Some("t".into())],
        Some(topics) => topics.iter().map(|topic| topic.name.clone()).collect(),
    };
    MetadataResponse {
        cluster_id: Some("fake".into()),
        controller_id: 1,
        brokers: (1..).zip(brokers).map(broker).collect(),
        topics: asked.into_iter().map(topic).collect(),
        ..MetadataResponse::default()
    }
}

/// Settings for tests: short pauses, and time-outs that only a hang reaches.
pub(crate) fn config(address: SocketAddr) -> ClientConfig {
    ClientConfig::new([address.to_string()])
        .request_timeout(Duration::from_secs(20))
        .operation_timeout(Duration::from_secs(20))
        .backoff(Duration::from_millis(1), Duration::from_millis(5))
}

/// The cluster behind a fake.
pub(crate) async fn cluster(address: SocketAddr) -> Cluster {
    Cluster::connect(config(address)).await.expect("the fake answers")
}
