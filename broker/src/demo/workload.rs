//! A workload: senders and readers that run until they are stopped, and the judgement of it all.

use std::sync::Arc;
use std::time::Duration;

use synod_client::history::{Guarantee, History, Reader, Report};
use synod_client::producer::{Producer, ProducerConfig};
use synod_client::{ClientConfig, Cluster, Error};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;

use super::clients::{self, Ack, Counters, Load, Partitions, ReadError, Until};

/// How long a client of a workload waits for one answer before it asks somebody else.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a workload could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    /// A client could not be made.
    #[error(transparent)]
    Client(#[from] Error),
    /// Not everything could be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A client panicked.
    #[error("a client ended early: {0}")]
    Ended(#[from] JoinError),
}

/// Clients at work on some partitions.
#[derive(Debug)]
pub struct Workload {
    bootstrap: Vec<String>,
    partitions: Partitions,
    history: History,
    counters: Arc<Counters>,
    started: Instant,
    stop_senders: watch::Sender<bool>,
    /// Where readers stop, once that is known.
    until: watch::Sender<Option<Until>>,
    senders: Vec<JoinHandle<clients::Sent>>,
    readers: Vec<JoinHandle<Result<Reader, ReadError>>>,
}

/// A workload that has ended, judged.
#[derive(Debug)]
pub struct Judgement {
    /// Whether the cluster kept its promises.
    pub report: Report,
    /// When the first sender could begin.
    pub started: Instant,
    /// The acknowledgements of each sender, in the order in which the senders were added.
    pub acks: Vec<Vec<Ack>>,
}

impl Workload {
    /// Nobody at work yet.
    pub fn new(bootstrap: Vec<String>, partitions: Partitions) -> Workload {
        Workload {
            bootstrap,
            history: History::new(partitions.names()),
            partitions,
            counters: Arc::default(),
            started: Instant::now(),
            stop_senders: watch::Sender::new(false),
            until: watch::Sender::new(None),
            senders: Vec::new(),
            readers: Vec::new(),
        }
    }

    /// What has been done so far.
    pub fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Connections of a client of its own.
    async fn connect(&self, name: &str) -> Result<Cluster, Error> {
        connect(&self.bootstrap, name).await
    }

    /// Adds a producer and lets it send.
    ///
    /// # Errors
    /// When the cluster cannot be found.
    pub async fn add_sender(
        &mut self,
        guarantee: Guarantee,
        config: ProducerConfig,
        load: Load,
    ) -> Result<(), Error> {
        let config = config.idempotent(guarantee == Guarantee::Exact);
        let producer = Producer::new(self.connect("sender").await?, config)?;
        let notes = self.history.sender(guarantee);
        let (partitions, counters) = (self.partitions.clone(), self.counters.clone());
        let stop = self.stop_senders.subscribe();
        self.senders.push(tokio::spawn(async move {
            clients::send(&producer, &partitions, &load, notes, &counters, stop).await
        }));
        Ok(())
    }

    /// Adds a consumer of all partitions.
    ///
    /// # Errors
    /// When the cluster cannot be found.
    pub async fn add_reader(&mut self) -> Result<(), Error> {
        let cluster = self.connect("reader").await?;
        let notes = self.history.reader();
        let (partitions, counters) = (self.partitions.clone(), self.counters.clone());
        let until = self.until.subscribe();
        self.readers.push(tokio::spawn(async move {
            clients::read(cluster, &partitions, notes, &counters, until).await
        }));
        Ok(())
    }

    /// Stops all senders, and waits until they know what became of everything they sent.
    ///
    /// # Errors
    /// When one panicked.
    pub async fn stop_senders(&mut self) -> Result<Vec<Vec<Ack>>, WorkloadError> {
        self.stop_senders.send_replace(true);
        let mut acks = Vec::new();
        for sender in std::mem::take(&mut self.senders) {
            let sent = sender.await?;
            self.history.add_sender(sent.notes);
            acks.push(sent.acks);
        }
        Ok(acks)
    }

    /// Stops everything, reads all partitions from beginning to end, and judges.
    ///
    /// # Errors
    /// When not everything can be read within `drain_timeout`, or a client could not go on.
    pub async fn judge(mut self, drain_timeout: Duration) -> Result<Judgement, WorkloadError> {
        let acks = self.stop_senders().await?;
        let cluster = self.connect("ends").await?;
        let until = Until::now(&cluster, &self.partitions, drain_timeout).await?;
        self.until.send_replace(Some(until));
        // Whoever reads now gets what a new application would.
        self.add_reader().await?;
        for reader in std::mem::take(&mut self.readers) {
            self.history.add_reader(reader.await??);
        }
        let report = self.history.check();
        Ok(Judgement { report, started: self.started, acks })
    }
}

/// Connections of one more client, which expects brokers to vanish.
///
/// # Errors
/// When no broker answers.
pub async fn connect(bootstrap: &[String], name: &str) -> Result<Cluster, Error> {
    let config = ClientConfig::new(bootstrap.to_vec())
        .client_id(name)
        .connect_timeout(REQUEST_TIMEOUT)
        .request_timeout(REQUEST_TIMEOUT);
    Cluster::connect(config).await
}
