//! A broker's life: open the data, start the shards, serve, stop.

mod entry;
mod error;
mod hand_over;
mod lags;
mod listeners;
mod observe;
mod observe_groups;
mod open;
mod shard_thread;

use std::net::SocketAddr;
use std::sync::Arc;

use synod_paxos::{NodeId, ReplicaSet};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::broker::{Broker, BrokerParts, DeletedTopics};
use crate::config::Config;
use crate::control::{Control, ControlParts, GroupParts, METADATA_KEY, OpenedMetadata};
use crate::http::{Health, HttpServer, Readiness};
use crate::limits::{CONTROLLER_INBOX, SHARD_INBOX, START_TIMEOUT, STOP_TIMEOUT, WAITING_WARNING};
use crate::metadata::request::RegisterBroker;
use crate::metadata::{
    BrokerId, ControllerContext, ControllerHandle, ImagePublisher, MetadataImage, StaticConfigs,
    TopicId,
};
use crate::net::{ConnectionSlots, accept_loop};
use crate::peers::{Inbound, Peers};
use crate::shard::{ShardHandle, ShardParts, ShardRequest, Storage};
use entry::Entry;
pub use error::ServeError;
use lags::LagDesk;
use listeners::endpoints;
use observe::Observer;
use open::{open_metadata, open_storage};
use shard_thread::ShardThread;

/// Runs a broker until SIGTERM or SIGINT. Prints one line on stdout when clients are served.
///
/// # Errors
/// See [`ServeError`]. A write or sync that fails while the broker runs ends the process at once
/// instead, since nothing is known of what is durable any more.
pub fn run(config: Config) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> Result<(), ServeError> {
    let mut stop = StopSignals::new()?;
    let mut entry = Entry::open(config)?;
    let kafka = entry.listeners.kafka.try_clone()?;
    let waits = entry.config.voter_count() > 1;
    let mut turning_away = std::pin::pin!(turn_away(waits, kafka.try_clone()?));
    tokio::select! {
        joined = entry.join_cluster() => joined?,
        () = &mut turning_away => {}
        () = stop.received() => return Ok(()),
    }
    let server = Server::start(entry)?;
    tokio::select! {
        ready = server.wait_ready() => ready?,
        () = &mut turning_away => {}
        () = stop.received() => {
            server.stop().await;
            return Ok(());
        }
    }
    server.accept(kafka)?;
    server.health.set(Readiness::Ready);
    server.say_ready();
    stop.received().await;
    server.stop().await;
    Ok(())
}

/// The signals that ask a broker to stop.
#[derive(Debug)]
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> std::io::Result<StopSignals> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(StopSignals { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = self.interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
    }
}

/// Closes clients' connections to a broker that waits for others, so that they try those; does not
/// end. A broker of its own is ready in a moment, and its clients wait for that.
async fn turn_away(waits: bool, listener: std::net::TcpListener) {
    if let Some(listener) = waits.then(|| TcpListener::from_std(listener).ok()).flatten() {
        while listener.accept().await.is_ok() {}
    }
    std::future::pending().await
}

/// A running broker.
#[derive(Debug)]
struct Server {
    broker: Arc<Broker>,
    shards: Vec<ShardThread>,
    storage: Storage,
    http: HttpServer,
    health: Health,
    peers: Peers,
    peer_address: SocketAddr,
}

impl Server {
    /// Opens what the directory holds and starts the shards on it.
    fn start(entry: Entry) -> Result<Server, ServeError> {
        let Entry { config, metrics, health, listeners, http, peers, incarnation, claimed } = entry;
        health.set(Readiness::Starting("opening partitions".into()));
        let storage = open_storage(&config, claimed, &metrics)?;
        let statics = Arc::new(StaticConfigs::new(&config)?);
        let (publisher, image) = ImagePublisher::new(MetadataImage::default());
        let (controller, requests) = ControllerHandle::new(CONTROLLER_INBOX);
        let deleted = Arc::new(DeletedTopics::default());
        let id = BrokerId(config.node_id);
        let (handles, inboxes): (Vec<_>, Vec<_>) =
            (0..config.shards).map(|_| mpsc::channel(SHARD_INBOX)).unzip();
        let (settled, settled_readers): (Vec<_>, Vec<_>) =
            (0..config.shards).map(|_| watch::channel(0)).unzip();
        let mut leftovers = storage.data_dir.partitions()?;
        leftovers.retain(|key| *key != METADATA_KEY);
        let broker = Arc::new(Broker::new(BrokerParts {
            id,
            incarnation: TopicId::from_bytes(incarnation.random),
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
        let OpenedMetadata { log, replica, view } = open_metadata(&storage, &broker)?;
        let group = GroupParts {
            log,
            replica,
            view,
            voters: voters(&config),
            publisher,
            context: Arc::new(ControllerContext::new(&config)?),
            deleted,
            registration: RegisterBroker {
                broker: id,
                incarnation: TopicId::from_bytes(incarnation.random),
                endpoints: endpoints(&config, &listeners, http.local_addr()),
                rack: config.rack.clone(),
                start: incarnation.start,
            },
            new_cluster_id: storage.data_dir.identity().cluster_id.to_string(),
            seed: u64::from_be_bytes(*incarnation.random.first_chunk().expect("16 bytes")),
        };
        let (control, incoming) = Inbound::control();
        let links = peers.control_links();
        let parts = ControlParts { group, requests, incoming, links: links.clone() };
        let mut parts = Some(parts);
        let mut shards = Vec::with_capacity(config.shards);
        for (index, (inbox, settled)) in inboxes.into_iter().zip(settled).enumerate() {
            let (broker, image, storage) = (broker.clone(), image.clone(), storage.clone());
            let (control, peers) = (parts.take(), peers.clone());
            shards.push(ShardThread::start(index, broker.clone(), storage.clone(), move || {
                let control = control.map(Control::new);
                let (links, contacts) = (peers.shard_links(index), peers.contacts());
                ShardParts {
                    index,
                    broker,
                    inbox,
                    image,
                    storage,
                    settled,
                    control,
                    links,
                    contacts,
                }
            })?);
        }
        let inbound = shards.iter().map(ShardThread::peers).collect();
        let (lags_inbox, incoming) = Inbound::lags();
        peers.serve(Inbound { shards: inbound, control, lags: lags_inbox });
        let lags = LagDesk::start(broker.clone(), links, incoming);
        metrics.set_source(Arc::new(Observer::new(broker.clone(), lags)));
        let peer_address = listeners.peer_address;
        Ok(Server { broker, shards, storage, http, health, peers, peer_address })
    }

    /// Waits until this start is registered and all its partitions are in service.
    async fn wait_ready(&self) -> Result<(), ServeError> {
        let broker = &self.broker;
        let mut image = broker.image_reader().clone();
        let registered = async {
            while !broker.is_registered(&image.image()) {
                image.changed().await?;
            }
            Some(image.image().end())
        };
        if broker.config().voter_count() > 1 {
            return self.wait_for_peers(registered).await;
        }
        let settled = async {
            match registered.await {
                Some(end) => broker.settled(end, START_TIMEOUT).await,
                None => false,
            }
        };
        match tokio::time::timeout(START_TIMEOUT, settled).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(ServeError::NotReady),
        }
    }

    /// In a cluster: waits for the others as long as it takes, unless they want nothing to do with
    /// this broker. Partitions that nobody can lead yet do not keep it from serving the rest.
    async fn wait_for_peers(
        &self,
        registered: impl Future<Output = Option<u64>>,
    ) -> Result<(), ServeError> {
        let waiting = "waiting for a majority of the cluster's brokers";
        self.health.set(Readiness::Starting(waiting.into()));
        let mut trouble = self.peers.trouble();
        let mut warning = tokio::time::interval(WAITING_WARNING);
        warning.reset();
        let mut registered = std::pin::pin!(registered);
        let end = loop {
            tokio::select! {
                end = &mut registered => break end,
                _ = warning.tick() => tracing::warn!("not ready: {waiting}"),
                Ok(text) = trouble.wait_for(Option::is_some) => {
                    return Err(ServeError::Cluster(text.clone().unwrap_or_default()));
                }
            }
        };
        let end = end.ok_or(ServeError::NotReady)?;
        self.health.set(Readiness::Starting("opening partitions".into()));
        if !self.broker.settled(end, WAITING_WARNING).await {
            tracing::warn!("some partitions are not in service yet");
        }
        Ok(())
    }

    fn accept(&self, kafka: std::net::TcpListener) -> Result<(), ServeError> {
        let limits = &self.broker.config().limits;
        let slots = ConnectionSlots::new(limits.connections, limits.connections_per_address);
        let listener = TcpListener::from_std(kafka)?;
        let shards = self.shards.iter().map(ShardThread::connections).collect();
        let stopping = self.broker.stopping();
        let metrics = self.broker.metrics().clone();
        tokio::spawn(accept_loop(listener, slots, shards, metrics, stopping));
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
        hand_over::hand_over(&self.broker).await;
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
        self.peers.stop();
        self.http.stop();
        tracing::info!("stopped");
    }
}

/// The metadata group's voters: all brokers of the cluster.
fn voters(config: &Config) -> ReplicaSet {
    match &config.cluster {
        Some(cluster) => {
            let nodes = cluster.voters().iter().map(|voter| NodeId(voter.node_id));
            ReplicaSet::new(&nodes.collect::<Vec<_>>())
        }
        None => ReplicaSet::new(&[NodeId(config.node_id)]),
    }
}
