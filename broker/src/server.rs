//! A broker's life: open the data, start the shards, serve, stop.

mod observe;
mod observe_groups;
mod peers;
mod shard_thread;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use synod_log::Log;
use synod_log::data_dir::{ClusterClaim, DataDir, DataDirError};
use synod_log::identity::ClusterId;
use synod_log::journal::{JournalConfig, JournalOpenError};
use synod_log::os::OsStorage;
use synod_log::sync::SyncPool;
use synod_paxos::{NodeId, Replica, ReplicaConfig, ReplicaSet};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::broker::{Broker, BrokerParts, DeletedTopics};
use crate::config::{Config, HostPort};
use crate::control::{Control, ControlParts, GroupParts, METADATA_KEY};
use crate::http::{Health, HttpServer, Readiness};
use crate::limits::{CONTROLLER_INBOX, SHARD_INBOX, START_TIMEOUT, STOP_TIMEOUT};
use crate::metadata::record::{Endpoint, Listener};
use crate::metadata::request::RegisterBroker;
use crate::metadata::{
    AdminError, BrokerId, ControllerContext, ControllerHandle, ImagePublisher, MetadataImage,
    StaticConfigs, TopicConfig, TopicId, TopicImage,
};
use crate::metrics::Metrics;
use crate::net::{ConnectionSlots, accept_loop};
use crate::partition::{PartitionView, log_config};
use crate::peers::ControlLinks;
use crate::shard::{
    Copies, OpenError, Past, ShardHandle, ShardParts, ShardRequest, Storage, open_partition,
    purge_deleted,
};
use observe::Observer;
use shard_thread::ShardThread;

/// Why a broker did not start, or did not stop in order.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A listener could not be bound.
    #[error("cannot listen on {address} ({setting}): {source}")]
    Listen {
        /// The address.
        address: String,
        /// The setting it comes from.
        setting: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// The data directory cannot be used.
    #[error("data directory {0}")]
    DataDir(#[from] DataDirError),
    /// The journal in the data directory cannot be used.
    #[error("data directory {}: {source}", .path.display())]
    Journal {
        /// The data directory.
        path: PathBuf,
        /// What is wrong.
        source: JournalOpenError,
    },
    /// The metadata group's log cannot be used.
    #[error("data directory {}: the metadata log cannot be used: {reason}", .path.display())]
    MetadataLog {
        /// The data directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A default of topic settings in the configuration is not valid.
    #[error("configuration: {0}")]
    TopicDefaults(#[from] AdminError),
    /// A cluster of several brokers was asked for.
    #[error("a cluster of several brokers is not supported yet; leave `cluster` unset")]
    ClusterUnsupported,
    /// The system refused a thread, a socket or randomness.
    #[error("{0}")]
    System(#[from] std::io::Error),
    /// The broker could not lead its metadata group or open its partitions in time.
    #[error("not ready within {} s; the log above says why", START_TIMEOUT.as_secs())]
    NotReady,
}

/// Runs a broker until SIGTERM or SIGINT. Prints one line on stdout when clients are served.
///
/// # Errors
/// See [`ServeError`]. A write or sync that fails while the broker runs ends the process at once
/// instead, since nothing is known of what is durable any more.
pub fn run(config: Config) -> Result<(), ServeError> {
    if config.voter_count() > 1 {
        return Err(ServeError::ClusterUnsupported);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> Result<(), ServeError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let server = Server::start(config).await?;
    server.say_ready();
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
    }
    server.stop().await;
    Ok(())
}

/// A running broker.
#[derive(Debug)]
struct Server {
    broker: Arc<Broker>,
    shards: Vec<ShardThread>,
    storage: Storage,
    http: HttpServer,
    health: Health,
    peer_address: SocketAddr,
}

/// The sockets that the broker listens on.
#[derive(Debug)]
struct Listeners {
    kafka: TcpListener,
    kafka_address: SocketAddr,
    peer: TcpListener,
    peer_address: SocketAddr,
}

impl Listeners {
    fn bind(config: &Config) -> Result<Listeners, ServeError> {
        let (kafka, kafka_address) = bind(&config.listen, "listen")?;
        let (peer, peer_address) = bind(&config.peer_listen, "peer_listen")?;
        Ok(Listeners { kafka, kafka_address, peer, peer_address })
    }
}

fn bind(
    address: &HostPort,
    setting: &'static str,
) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen { address: address.to_string(), setting, source };
    let listener = TcpListener::bind((address.host(), address.port())).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

impl Server {
    async fn start(config: Config) -> Result<Server, ServeError> {
        let config = Arc::new(config);
        let metrics = Arc::new(Metrics::new());
        let health = Health::new();
        // The data directory first: a second broker on it should hear of that, not of ports.
        let storage = open_storage(&config)?;
        let listeners = Listeners::bind(&config)?;
        let http = HttpServer::start(&config.http_listen, metrics.clone(), health.clone())
            .map_err(|source| ServeError::Listen {
                address: config.http_listen.to_string(),
                setting: "http_listen",
                source,
            })?;
        let statics = Arc::new(StaticConfigs::new(&config)?);
        let (publisher, image) = ImagePublisher::new(MetadataImage::default());
        let (controller, requests) = ControllerHandle::new(CONTROLLER_INBOX);
        let deleted = Arc::new(DeletedTopics::default());
        let id = BrokerId(config.node_id);
        let incarnation = TopicId::random()?;
        let (handles, inboxes): (Vec<_>, Vec<_>) =
            (0..config.shards).map(|_| mpsc::channel(SHARD_INBOX)).unzip();
        let (settled, settled_readers): (Vec<_>, Vec<_>) =
            (0..config.shards).map(|_| watch::channel(0)).unzip();
        let mut leftovers = storage.data_dir.partitions()?;
        leftovers.retain(|key| *key != METADATA_KEY);
        let broker = Arc::new(Broker::new(BrokerParts {
            id,
            incarnation,
            config: config.clone(),
            statics: statics.clone(),
            metrics: metrics.clone(),
            image: image.clone(),
            controller,
            deleted: deleted.clone(),
            shards: handles.into_iter().map(ShardHandle::new).collect(),
            settled: settled_readers,
            leftovers,
            kafka_address: listeners.kafka_address,
        }));
        let endpoints = endpoints(&config, &listeners, http.local_addr());
        let rack = config.rack.clone();
        let registration = RegisterBroker { broker: id, incarnation, endpoints, rack, start: 0 };
        let (log, replica, view) = open_metadata(&storage, &broker)?;
        let group = GroupParts {
            log,
            replica,
            view,
            voters: ReplicaSet::new(&[NodeId(id.0)]),
            publisher,
            context: Arc::new(ControllerContext::new(&config)?),
            deleted,
            registration,
            new_cluster_id: storage.data_dir.identity().cluster_id.to_string(),
            seed: 0,
        };
        let incoming = mpsc::channel(1).1;
        let parts = ControlParts { group, requests, incoming, links: ControlLinks::none() };
        let mut parts = Some(parts);
        let mut shards = Vec::with_capacity(config.shards);
        for (index, (inbox, settled)) in inboxes.into_iter().zip(settled).enumerate() {
            let (broker, image, storage) = (broker.clone(), image.clone(), storage.clone());
            let control = parts.take();
            shards.push(ShardThread::start(index, broker.clone(), storage.clone(), move || {
                let control = control.map(Control::new);
                ShardParts::without_peers(index, broker, inbox, image, storage, settled, control)
            })?);
        }
        metrics.set_source(Arc::new(Observer::new(broker.clone())));
        let server =
            Server { broker, shards, storage, http, health, peer_address: listeners.peer_address };
        server.wait_ready().await?;
        server.accept(listeners)?;
        server.health.set(Readiness::Ready);
        Ok(server)
    }

    /// Waits until this start is registered and all its partitions are in service.
    async fn wait_ready(&self) -> Result<(), ServeError> {
        self.health.set(Readiness::Starting("opening partitions".into()));
        let broker = &self.broker;
        let mut image = broker.image_reader().clone();
        let registered = async {
            while !broker.is_registered(&image.image()) {
                if image.changed().await.is_none() {
                    return false;
                }
            }
            let end = image.image().end();
            broker.settled(end, START_TIMEOUT).await
        };
        match tokio::time::timeout(START_TIMEOUT, registered).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(ServeError::NotReady),
        }
    }

    fn accept(&self, listeners: Listeners) -> Result<(), ServeError> {
        let limits = &self.broker.config().limits;
        let slots = ConnectionSlots::new(limits.connections, limits.connections_per_address);
        let listener = tokio::net::TcpListener::from_std(listeners.kafka)?;
        let shards = self.shards.iter().map(ShardThread::connections).collect();
        let stopping = self.broker.stopping();
        let metrics = self.broker.metrics().clone();
        tokio::spawn(accept_loop(listener, slots, shards, metrics, stopping));
        let peer = tokio::net::TcpListener::from_std(listeners.peer)?;
        tokio::spawn(peers::refuse_all(peer, self.broker.stopping()));
        Ok(())
    }

    fn say_ready(&self) {
        use std::io::Write;
        let line = format!(
            "synod ready node={} kafka={} peer={} http={}\n",
            self.broker.id(),
            self.broker.kafka_address(),
            self.peer_address,
            self.http.local_addr()
        );
        let mut stdout = std::io::stdout().lock();
        // Whoever started the broker may have closed its output; clients are served all the same.
        let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
        tracing::info!("{}", line.trim_end());
    }

    /// Stops in order: no new connections, answers to what is under way, logs closed.
    async fn stop(self) {
        self.health.set(Readiness::Stopping);
        self.broker.stop();
        let deadline = tokio::time::Instant::now() + STOP_TIMEOUT;
        for shard in &self.shards {
            if tokio::time::timeout_at(deadline, shard.drained()).await.is_err() {
                tracing::warn!("connections were still busy; they are closed now");
                break;
            }
        }
        for shard in self.broker.shards() {
            let (reply, stopped) = tokio::sync::oneshot::channel();
            shard.send(ShardRequest::Stop { reply }).await;
            if stopped.await.is_err() {
                tracing::error!("a shard had stopped before");
            }
        }
        for shard in self.shards {
            shard.join();
        }
        if let Err(error) = self.storage.journal.close() {
            tracing::warn!(%error, "the journal was not closed cleanly");
        }
        self.http.stop();
        tracing::info!("stopped");
    }
}

fn open_storage(config: &Config) -> Result<Storage, ServeError> {
    let os = Arc::new(OsStorage);
    let claim = ClusterClaim::AnyOrNew(ClusterId(crate::metadata::ids::random_id()?));
    let mut data_dir = DataDir::open(os, &config.data_dir, claim, config.node_id)?;
    if let Some(reason) = data_dir.suspect() {
        tracing::warn!(
            reason,
            "an earlier write or sync failed: everything is read from the device"
        );
        data_dir.evict()?;
        data_dir.clear_suspect()?;
    }
    let data_dir = Arc::new(data_dir);
    let opened = data_dir
        .open_journal(JournalConfig::default())
        .map_err(|source| ServeError::Journal { path: config.data_dir.clone(), source })?;
    let pool = Arc::new(SyncPool::spawn(config.storage.sync_threads)?);
    purge_deleted(&pool, &data_dir);
    Ok(Storage { data_dir, journal: opened.journal, pool, recovered: Arc::new(opened.partitions) })
}

fn open_metadata(
    storage: &Storage,
    broker: &Broker,
) -> Result<(Log, Replica, Arc<PartitionView>), ServeError> {
    let fail = |reason: OpenError| ServeError::MetadataLog {
        path: broker.config().data_dir.clone(),
        reason: reason.to_string(),
    };
    let image = MetadataImage::default();
    let topic = TopicImage::metadata_log();
    let config = Arc::new(TopicConfig { delete: false, ..broker.topic_config(&image, &topic) });
    let log_config = log_config(&config, broker.config());
    let journaled = storage.recovered.get(&METADATA_KEY).copied().unwrap_or_default();
    let past = Past { journaled, corrupt: Vec::new(), copies: Copies::One };
    let (log, durable) = open_partition(storage, METADATA_KEY, log_config, &past).map_err(fail)?;
    if let Some(faulty) = log.faulty() {
        return Err(ServeError::MetadataLog {
            path: broker.config().data_dir.clone(),
            reason: format!(
                "its records {}..{} are corrupt and there is no other replica",
                faulty.start, faulty.end
            ),
        });
    }
    let metrics = Arc::default();
    let view = Arc::new(PartitionView::new(METADATA_KEY, 0, log.view(), config, metrics));
    let replica = Replica::new(ReplicaConfig::new(NodeId(broker.id().0)), durable);
    Ok((log, replica, view))
}

fn endpoints(config: &Config, listeners: &Listeners, http: SocketAddr) -> Vec<Endpoint> {
    let advertised = config.advertise.as_ref();
    let kafka = Endpoint {
        listener: Listener::Kafka,
        host: advertised.map(|address| address.host().to_owned()),
        port: advertised.map_or(listeners.kafka_address.port(), HostPort::port),
    };
    let of = |listener, address: SocketAddr| Endpoint {
        listener,
        host: Some(address.ip().to_string()),
        port: address.port(),
    };
    vec![kafka, of(Listener::Peer, listeners.peer_address), of(Listener::Http, http)]
}
