//! The thread of one shard: its event loop, and the connections that live on it.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio_util::task::TaskTracker;

use crate::broker::Broker;
use crate::limits::SHARD_BLOCKING_THREADS;
use crate::net::{self, Accepted};
use crate::peers::Introduced;
use crate::shard::{Shard, ShardParts, Storage};

/// Sockets on their way to one shard.
const ACCEPTED_QUEUE: usize = 128;

/// Other brokers' connections on their way to one shard.
const INTRODUCED_QUEUE: usize = 128;

/// A running shard.
#[derive(Debug)]
pub(super) struct ShardThread {
    connections: mpsc::Sender<Accepted>,
    peers: mpsc::Sender<Introduced>,
    tracker: TaskTracker,
    thread: JoinHandle<()>,
}

impl ShardThread {
    /// Starts the thread; `parts` is made on it.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(super) fn start(
        index: usize,
        broker: Arc<Broker>,
        storage: Storage,
        parts: impl FnOnce() -> ShardParts + Send + 'static,
    ) -> io::Result<ShardThread> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(SHARD_BLOCKING_THREADS)
            .thread_name(format!("blocking-{index}"))
            .build()?;
        let (connections, accepted) = mpsc::channel(ACCEPTED_QUEUE);
        let (peers, introduced) = mpsc::channel(INTRODUCED_QUEUE);
        let tracker = TaskTracker::new();
        let serving = tracker.clone();
        let thread =
            std::thread::Builder::new().name(format!("shard-{index}")).spawn(move || {
                let local = LocalSet::new();
                local.spawn_local(read_peers(introduced, broker.clone()));
                local.spawn_local(serve_connections(accepted, broker, serving));
                let shard = local.spawn_local(async move { Shard::new(parts()).run().await });
                match runtime.block_on(local.run_until(shard)) {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => die(&storage, &error.to_string()),
                    Err(panic) => die(&storage, &format!("shard {index} panicked: {panic}")),
                }
            })?;
        Ok(ShardThread { connections, peers, tracker, thread })
    }

    /// Where new connections for this shard go.
    pub(super) fn connections(&self) -> mpsc::Sender<Accepted> {
        self.connections.clone()
    }

    /// Where other brokers' connections for this shard go.
    pub(super) fn peers(&self) -> mpsc::Sender<Introduced> {
        self.peers.clone()
    }

    /// Waits until no connection is left.
    pub(super) async fn drained(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Waits for the thread's end.
    pub(super) fn join(self) {
        drop(self.connections);
        if self.thread.join().is_err() {
            tracing::error!("a shard's thread had panicked");
        }
    }
}

async fn serve_connections(
    mut accepted: mpsc::Receiver<Accepted>,
    broker: Arc<Broker>,
    tracker: TaskTracker,
) {
    while let Some(accepted) = accepted.recv().await {
        tracker.spawn_local(net::serve(accepted, broker.clone()));
    }
}

/// Reads what other brokers send, beside the shard that most of it is for.
async fn read_peers(mut introduced: mpsc::Receiver<Introduced>, broker: Arc<Broker>) {
    while let Some(introduced) = introduced.recv().await {
        tokio::task::spawn_local(introduced.read_for(broker.shards().to_vec()));
    }
}

/// Ends the process at once. A failed write or sync, or a bug in a shard, leaves unknown what is
/// durable; the next start finds the note and reads everything from the device.
fn die(storage: &Storage, reason: &str) -> ! {
    tracing::error!(reason, "the broker cannot go on and ends now");
    if let Err(error) = storage.data_dir.mark_suspect(reason) {
        tracing::error!(%error, "cannot mark the data directory as suspect");
    }
    std::process::abort()
}
