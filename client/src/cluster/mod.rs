//! A cluster: its metadata, and a connection to each of its brokers.

mod any;
mod channel;
mod metadata;
mod offsets;
mod partitioned;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use synod_wire::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use synod_wire::{ErrorCode, Str};
use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::{ClientConfig, Connection, Error, Remedy};

use channel::Slot;

pub(crate) use channel::Channel;
pub use metadata::{Broker, Metadata, Partition, Topic};
pub use offsets::{FoundOffset, Isolation, OffsetSpec};
pub use partitioned::{PerPartition, TopicPartition};

/// A cluster that is being talked to. Cheap to clone; clones share connections and metadata.
///
/// ```no_run
/// use synod_client::admin::Admin;
/// use synod_client::producer::{Producer, ProducerConfig};
/// # async fn example(cluster: synod_client::Cluster) -> Result<(), synod_client::Error> {
/// // Both use the same connections and know the same leaders.
/// let admin = Admin::new(cluster.clone());
/// let producer = Producer::new(cluster, ProducerConfig::default())?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Cluster {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: ClientConfig,
    state: Mutex<State>,
    /// One refresh at a time; those who wait for it may find their question answered.
    refreshing: tokio::sync::Mutex<()>,
    /// Numbers the channels.
    next_channel: AtomicU64,
}

#[derive(Debug)]
struct State {
    metadata: Arc<Metadata>,
    refreshed_at: Instant,
    /// Topics that refreshes ask for.
    wanted: BTreeSet<Arc<str>>,
    /// A slot per broker and channel; its lock is held while connecting, so that two do not
    /// connect at once.
    slots: BTreeMap<(i32, u64), Slot>,
    /// The connection over which the cluster was found: it may lead to an address that is not
    /// advertised.
    seed: Option<Connection>,
    /// Brokers that kept silent lately, and until when they come last.
    shunned: BTreeMap<i32, Instant>,
}

impl Cluster {
    /// Finds the cluster through any of the configured addresses.
    ///
    /// ```no_run
    /// use synod_client::{ClientConfig, Cluster};
    /// # async fn example()
    /// # -> Result<(), synod_client::Error> {
    /// let brokers = ["mq1.lan:9092", "mq2.lan:9092"];
    /// let cluster = Cluster::connect(ClientConfig::new(brokers)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] for a malformed address; [`Error::NoBroker`] when none answers, with every
    /// address's reason.
    pub async fn connect(config: ClientConfig) -> Result<Self, Error> {
        config.validate()?;
        let state = State {
            metadata: Arc::new(Metadata::default()),
            refreshed_at: Instant::now(),
            wanted: BTreeSet::new(),
            slots: BTreeMap::new(),
            seed: None,
            shunned: BTreeMap::new(),
        };
        let inner = Inner {
            config,
            state: Mutex::new(state),
            refreshing: Default::default(),
            next_channel: AtomicU64::new(channel::SHARED + 1),
        };
        let cluster = Self { inner: Arc::new(inner) };
        cluster.refresh(Ask::Wanted).await?;
        Ok(cluster)
    }

    /// The settings it was made with.
    pub fn config(&self) -> &ClientConfig {
        &self.inner.config
    }

    /// What is known now.
    ///
    /// ```no_run
    /// # async fn example(cluster: synod_client::Cluster) -> Result<(), synod_client::Error> {
    /// for broker in cluster.metadata().brokers() {
    ///     println!("{} at {}", broker.id, broker.address());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn metadata(&self) -> Arc<Metadata> {
        self.state().metadata.clone()
    }

    /// Asks the cluster for brokers and for the topics in use.
    ///
    /// ```no_run
    /// # async fn example(cluster: synod_client::Cluster) -> Result<(), synod_client::Error> {
    /// let metadata = cluster.refresh_metadata().await?;
    /// println!("{} live brokers", metadata.brokers().len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What kept the last broker tried from answering.
    pub async fn refresh_metadata(&self) -> Result<Arc<Metadata>, Error> {
        self.refresh(Ask::Wanted).await
    }

    /// Asks the cluster for brokers and all topics.
    ///
    /// ```no_run
    /// # async fn example(cluster: synod_client::Cluster) -> Result<(), synod_client::Error> {
    /// let metadata = cluster.all_topics().await?;
    /// println!("{} topics", metadata.topics().len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What kept the last broker tried from answering.
    pub async fn all_topics(&self) -> Result<Arc<Metadata>, Error> {
        self.refresh(Ask::All).await
    }

    /// The topic, from what is known or by asking; `create` lets the broker create it if it is so
    /// configured. From now on refreshes include it.
    ///
    /// ```no_run
    /// # async fn example(cluster: synod_client::Cluster)
    /// # -> Result<(), synod_client::Error> {
    /// let topic = cluster.topic("orders", false).await?;
    /// println!("{} partitions", topic.partitions.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Broker`] with the broker's code when there is no such topic within the operation
    /// time-out, which a leader-less topic may outlive too.
    pub async fn topic(&self, name: &str, create: bool) -> Result<Arc<Topic>, Error> {
        if let Some(topic) = self.known_topic(name) {
            return Ok(topic);
        }
        self.state().wanted.insert(name.into());
        let deadline = Instant::now() + self.inner.config.operation_timeout;
        let mut backoff = self.backoff();
        loop {
            let metadata = self.refresh(Ask::One(name, create)).await?;
            if let Some(topic) = metadata.topic(name) {
                return Ok(topic.clone());
            }
            let code = metadata.topic_error(name).unwrap_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            let error = Error::broker(code, format!("topic {name}"), None);
            // Without creation an unknown topic stays unknown; with it, it may be on its way.
            let hopeless = code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION && !create;
            let pause = backoff.next();
            if hopeless || !error.is_retriable() || Instant::now() + pause >= deadline {
                self.state().wanted.remove(name);
                return Err(error);
            }
            sleep(pause).await;
        }
    }

    /// The topic as it is now, or an error that says why there is none.
    ///
    /// ```no_run
    /// # async fn example(cluster: synod_client::Cluster) -> Result<(), synod_client::Error> {
    /// match cluster.refresh_topic("orders").await {
    ///     Ok(topic) => println!("{} partitions now", topic.partitions.len()),
    ///     Err(error) => println!("{error}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Broker`] with the broker's code; what kept the cluster from answering.
    pub async fn refresh_topic(&self, name: &str) -> Result<Arc<Topic>, Error> {
        let metadata = self.refresh(Ask::One(name, false)).await?;
        match metadata.topic(name) {
            Some(topic) => Ok(topic.clone()),
            None => {
                let code = metadata.topic_error(name);
                let code = code.unwrap_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
                Err(Error::broker(code, format!("topic {name}"), None))
            }
        }
    }

    /// From now on refreshes include these topics.
    pub(crate) fn want_topics<'a>(&self, topics: impl IntoIterator<Item = &'a Arc<str>>) {
        self.state().wanted.extend(topics.into_iter().cloned());
    }

    /// Numbers of partitions of those of these topics that exist. Refreshes do not include them on
    /// that account.
    pub(crate) async fn partition_counts(
        &self,
        topics: &[Arc<str>],
    ) -> Result<Vec<(Arc<str>, i32)>, Error> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let topic = |name: &Arc<str>| MetadataRequestTopic {
            name: Some(Str::from(&**name)),
            ..MetadataRequestTopic::default()
        };
        let request = MetadataRequest {
            topics: Some(topics.iter().map(topic).collect()),
            allow_auto_topic_creation: false,
            ..MetadataRequest::default()
        };
        let response = self.ask_any(&request).await?;
        let known = response.topics.into_iter().filter(|topic| topic.error_code == ErrorCode::NONE);
        let count = known.filter_map(|topic| {
            let name = Arc::from(topic.name.as_deref()?);
            Some((name, i32::try_from(topic.partitions.len()).ok()?))
        });
        Ok(count.collect())
    }

    /// No longer asks for this topic.
    ///
    /// ```no_run
    /// # async fn example(cluster: synod_client::Cluster) -> Result<(), synod_client::Error> {
    /// let partitions = cluster.topic("seldom-used", false).await?.partitions.len();
    /// cluster.forget_topic("seldom-used");
    /// # Ok(())
    /// # }
    /// ```
    pub fn forget_topic(&self, name: &str) {
        self.state().wanted.remove(name);
    }

    /// A connection to the controller, or to any broker of a cluster that names none.
    ///
    /// ```no_run
    /// # async fn example(cluster: synod_client::Cluster) -> Result<(), synod_client::Error> {
    /// let controller = cluster.controller().await?;
    /// println!("the controller is at {}", controller.address());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Cluster::broker`].
    pub async fn controller(&self) -> Result<Connection, Error> {
        match self.metadata().controller() {
            Some(id) => self.broker(id).await,
            None => self.any_broker().await,
        }
    }

    /// Runs `attempt` until it succeeds, fails for good, or the operation time-out is over;
    /// refreshes the metadata in between where that is the remedy.
    ///
    /// # Errors
    /// The error of the last attempt.
    pub(crate) async fn retry<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let deadline = Instant::now() + self.inner.config.operation_timeout;
        let mut backoff = self.backoff();
        loop {
            let error = match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let pause = backoff.next();
            if !error.is_retriable() || Instant::now() + pause >= deadline {
                return Err(error);
            }
            tracing::debug!(%error, "trying again");
            sleep(pause).await;
            if error.remedy() != Remedy::Retry {
                // If nobody answers, the next attempt finds out too.
                let _ = self.refresh(Ask::Wanted).await;
            }
        }
    }

    /// Whether the metadata is older than configured.
    pub(crate) fn is_stale(&self) -> bool {
        self.state().refreshed_at.elapsed() > self.inner.config.metadata_max_age
    }

    /// A new series of pauses, as configured.
    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.inner.config.backoff_first, self.inner.config.backoff_max)
    }

    /// A topic from what is known.
    fn known_topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.state().metadata.topic(name).cloned()
    }

    async fn refresh(&self, ask: Ask<'_>) -> Result<Arc<Metadata>, Error> {
        let before = self.state().refreshed_at;
        let _one_at_a_time = self.inner.refreshing.lock().await;
        if let Ask::Wanted = ask {
            // Someone else's refresh that began after this call answers it too.
            let state = self.state();
            if state.refreshed_at > before {
                return Ok(state.metadata.clone());
            }
        }
        let started = Instant::now();
        let names = |names: &BTreeSet<Arc<str>>| {
            names.iter().map(|name| Str::from(&**name)).map(Some).collect()
        };
        let names: Option<Vec<Option<Str>>> = match &ask {
            Ask::All => None,
            Ask::Wanted => Some(names(&self.state().wanted)),
            Ask::One(name, _) => Some(vec![Some(Str::from(*name))]),
        };
        let topic = |name| MetadataRequestTopic { name, ..MetadataRequestTopic::default() };
        let request = MetadataRequest {
            topics: names.map(|names| names.into_iter().map(topic).collect()),
            allow_auto_topic_creation: matches!(ask, Ask::One(_, true)),
            ..MetadataRequest::default()
        };
        let response = self.ask_any(&request).await?;
        let mut state = self.state();
        let metadata = Arc::new(state.metadata.updated(response, matches!(ask, Ask::All)));
        state.metadata = metadata.clone();
        state.refreshed_at = started;
        state.shunned.retain(|_, until| *until > started);
        state.slots.retain(|(id, _), _| metadata.broker(*id).is_some());
        Ok(metadata)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is whole, so a panic elsewhere leaves nothing half done.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which topics a refresh asks for.
#[derive(Debug, Clone, Copy)]
enum Ask<'a> {
    /// Those in use.
    Wanted,
    /// All.
    All,
    /// One; true: it may be created.
    One(&'a str, bool),
}
