//! Requests about many partitions, each of which only its leader answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use synod_wire::ErrorCode;
use tokio::time::{Instant, sleep, timeout};

use super::Cluster;
use crate::{Connection, Error};

/// A partition of a topic.
///
/// ```
/// use synod_client::cluster::TopicPartition;
/// let partition = TopicPartition::new("orders", 3);
/// assert_eq!(partition.to_string(), "topic orders, partition 3");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
}

impl TopicPartition {
    /// That partition of that topic.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "topic {}, partition {}", self.topic, self.partition)
    }
}

/// What became of each partition.
///
/// ```no_run
/// use synod_client::cluster::{Isolation, OffsetSpec, TopicPartition};
/// # async fn example(cluster: synod_client::Cluster) -> Result<(), synod_client::Error> {
/// let asked = (0..6).map(|index| TopicPartition::new("orders", index));
/// let ends = cluster.list_offsets(asked, OffsetSpec::End, Isolation::default()).await;
/// for (partition, end) in ends {
///     match end {
///         Ok(end) => println!("{partition}: {:?}", end.map(|end| end.offset)),
///         Err(error) => println!("{error}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub type PerPartition<T> = BTreeMap<TopicPartition, Result<T, Error>>;

impl Cluster {
    /// Asks the leaders of `partitions`, each about its own, all at once. What fails for a passing
    /// reason is asked again after a metadata refresh, until the operation time-out. The result has
    /// every partition.
    pub(crate) async fn ask_leaders<T, F, Answer>(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
        ask: F,
    ) -> PerPartition<T>
    where
        F: Fn(Connection, Vec<TopicPartition>) -> Answer,
        Answer: Future<Output = Result<PerPartition<T>, Error>>,
    {
        let deadline = Instant::now() + self.config().operation_timeout;
        let mut backoff = self.backoff();
        let mut open: Vec<TopicPartition> = partitions.into_iter().collect();
        let mut results = PerPartition::new();
        let mut hopeless = BTreeSet::new();
        let mut patience = self.config().suspect_after.saturating_mul(4);
        loop {
            let by_leader = self.by_leader(std::mem::take(&mut open), &mut results).await;
            hopeless.extend(results.iter().filter_map(|(partition, result)| {
                let code = result.as_ref().err()?.code()?;
                // The cluster as a whole does not know it: no leader's word that may be outdated.
                let unknown = code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
                    && !by_leader.values().flatten().any(|asked| asked == partition);
                unknown.then(|| partition.clone())
            }));
            patience = patience.min(self.config().request_timeout);
            self.ask_once(by_leader, &ask, patience, &mut results).await;
            // A broker that is slow and not dead gets more time in the next round.
            patience = patience.saturating_mul(2);
            open.extend(results.iter().filter_map(|(partition, result)| {
                let error = result.as_ref().err()?;
                let unknown = hopeless.contains(partition);
                (error.is_retriable() && !unknown).then(|| partition.clone())
            }));
            let pause = backoff.next();
            if open.is_empty() || Instant::now() + pause >= deadline {
                return results;
            }
            sleep(pause).await;
            // If nobody answers, the next round finds out too.
            let _ = self.refresh_metadata().await;
        }
    }

    /// Sorts partitions by leader; those without one get their result at once.
    async fn by_leader<T>(
        &self,
        partitions: Vec<TopicPartition>,
        results: &mut PerPartition<T>,
    ) -> BTreeMap<i32, Vec<TopicPartition>> {
        let mut by_leader: BTreeMap<i32, Vec<TopicPartition>> = BTreeMap::new();
        for partition in partitions {
            match self.leader_of(&partition).await {
                Ok(leader) => by_leader.entry(leader).or_default().push(partition),
                Err(error) => {
                    results.insert(partition, Err(error));
                }
            }
        }
        by_leader
    }

    async fn ask_once<T, F, Answer>(
        &self,
        by_leader: BTreeMap<i32, Vec<TopicPartition>>,
        ask: &F,
        patience: Duration,
        results: &mut PerPartition<T>,
    ) where
        F: Fn(Connection, Vec<TopicPartition>) -> Answer,
        Answer: Future<Output = Result<PerPartition<T>, Error>>,
    {
        let asked = by_leader.into_iter().map(|(leader, partitions)| async move {
            let answer = async { ask(self.broker(leader).await?, partitions.clone()).await };
            let answer = timeout(patience, answer).await;
            (partitions, answer.unwrap_or_else(|_| Err(self.silent(leader, patience))))
        });
        for (partitions, answer) in join_all(asked).await {
            let mut answer = answer.map_err(Arc::new);
            for partition in partitions {
                let result = match &mut answer {
                    Err(error) => Err(Error::clone(error)),
                    Ok(answers) => answers.remove(&partition).unwrap_or_else(|| {
                        let code = ErrorCode::UNKNOWN_SERVER_ERROR;
                        let message = "the broker's answer leaves this partition out";
                        Err(Error::broker(code, partition.to_string(), Some(message)))
                    }),
                };
                results.insert(partition, result);
            }
        }
    }

    /// The error for a broker that does not answer in time.
    fn silent(&self, broker: i32, after: Duration) -> Error {
        let address = self.metadata().broker(broker).map(|broker| broker.address());
        let address = address.unwrap_or_else(|| format!("broker {broker}"));
        Error::Timeout { address: address.into(), after }
    }

    /// The broker that leads a partition, as far as known.
    async fn leader_of(&self, partition: &TopicPartition) -> Result<i32, Error> {
        let topic = self.topic(&partition.topic, false).await?;
        let code = match topic.partition(partition.partition) {
            None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            Some(known) => match known.leader {
                Some(leader) => return Ok(leader),
                None => ErrorCode::LEADER_NOT_AVAILABLE,
            },
        };
        if code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION {
            let count = topic.partitions.len();
            let reason = format!("{partition}: there is no such partition, the topic has {count}");
            return Err(Error::config(reason));
        }
        Err(Error::broker(code, partition.to_string(), None))
    }
}
