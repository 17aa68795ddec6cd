//! Finding offsets.

use synod_wire::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use synod_wire::{ErrorCode, Str};

use super::Cluster;
use super::partitioned::{PerPartition, TopicPartition};
use crate::{Connection, Error};

/// Which offset of a partition is asked for.
///
/// ```
/// use synod_client::cluster::OffsetSpec;
/// // The first record of 2024 or later.
/// let spec = OffsetSpec::Timestamp(1_704_067_200_000);
/// assert_ne!(spec, OffsetSpec::MaxTimestamp);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first one there is.
    Beginning,
    /// The one the next record will get (that consumers can read: the high watermark, or the last
    /// stable offset when only committed records are read).
    End,
    /// That of the first record with this timestamp (ms since 1970) or a later one.
    Timestamp(i64),
    /// That of the record with the greatest timestamp.
    MaxTimestamp,
}

impl OffsetSpec {
    fn timestamp(self) -> i64 {
        match self {
            Self::End => -1,
            Self::Beginning => -2,
            Self::MaxTimestamp => -3,
            Self::Timestamp(timestamp) => timestamp,
        }
    }
}

/// Which records of transactions are seen.
///
/// ```
/// use synod_client::cluster::Isolation;
/// use synod_client::consumer::ConsumerConfig;
/// assert_eq!(Isolation::default(), Isolation::ReadCommitted);
/// let config = ConsumerConfig::default().isolation(Isolation::ReadUncommitted);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// All, also those of transactions that are open or aborted.
    ReadUncommitted,
    /// Only those of committed transactions, and those outside of any.
    #[default]
    ReadCommitted,
}

impl Isolation {
    pub(crate) fn level(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}

/// An offset that was found.
///
/// ```no_run
/// use synod_client::cluster::{Isolation, OffsetSpec, TopicPartition};
/// # async fn example(cluster: synod_client::Cluster) -> Result<(), synod_client::Error> {
/// let asked = [TopicPartition::new("orders", 0)];
/// let latest = cluster.list_offsets(asked, OffsetSpec::MaxTimestamp, Isolation::default()).await;
/// for (partition, found) in latest {
///     if let Some(found) = found? {
///         println!("{partition}: offset {} at {:?}", found.offset, found.timestamp);
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundOffset {
    /// The offset.
    pub offset: i64,
    /// The record's timestamp in ms since 1970, when a time was asked for.
    pub timestamp: Option<i64>,
    /// Round in which the record was written, if known.
    pub leader_epoch: Option<i32>,
}

impl Cluster {
    /// Finds one offset in each partition. `None`: there is no such record, which happens only when
    /// a time is asked for.
    ///
    /// ```no_run
    /// use synod_client::cluster::{Isolation, OffsetSpec, TopicPartition};
    /// # async fn example(cluster: synod_client::Cluster)
    /// # -> Result<(), synod_client::Error> {
    /// let partition = TopicPartition::new("orders", 0);
    /// let isolation = Isolation::ReadUncommitted;
    /// let ends = cluster.list_offsets([partition], OffsetSpec::End, isolation).await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list_offsets(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> PerPartition<Option<FoundOffset>> {
        self.ask_leaders(partitions, |connection, partitions| {
            let metadata = self.metadata();
            let with_epoch = |partition: TopicPartition| {
                let epoch = metadata.leader_epoch(&partition.topic, partition.partition);
                (partition, epoch)
            };
            let partitions = partitions.into_iter().map(with_epoch).collect();
            ask(connection, partitions, spec, isolation)
        })
        .await
    }
}

async fn ask(
    connection: Connection,
    partitions: Vec<(TopicPartition, i32)>,
    spec: OffsetSpec,
    isolation: Isolation,
) -> Result<PerPartition<Option<FoundOffset>>, Error> {
    let mut topics: Vec<ListOffsetsTopic> = Vec::new();
    for (partition, leader_epoch) in &partitions {
        let asked = ListOffsetsPartition {
            partition_index: partition.partition,
            // A broker that was leader once must not answer for the one that is.
            current_leader_epoch: *leader_epoch,
            timestamp: spec.timestamp(),
            ..ListOffsetsPartition::default()
        };
        match topics.last_mut().filter(|topic| *topic.name == *partition.topic) {
            Some(topic) => topic.partitions.push(asked),
            None => topics.push(ListOffsetsTopic {
                name: Str::from(&*partition.topic),
                partitions: vec![asked],
                ..ListOffsetsTopic::default()
            }),
        }
    }
    let request = ListOffsetsRequest {
        replica_id: -1,
        isolation_level: isolation.level(),
        topics,
        ..ListOffsetsRequest::default()
    };
    Ok(found(connection.send(&request).await?))
}

fn found(response: ListOffsetsResponse) -> PerPartition<Option<FoundOffset>> {
    let mut results = PerPartition::new();
    for topic in response.topics {
        for answer in topic.partitions {
            let partition = TopicPartition::new(&*topic.name, answer.partition_index);
            let result = if answer.error_code == ErrorCode::NONE {
                Ok((answer.offset >= 0).then_some(FoundOffset {
                    offset: answer.offset,
                    timestamp: Some(answer.timestamp).filter(|&timestamp| timestamp >= 0),
                    leader_epoch: Some(answer.leader_epoch).filter(|&epoch| epoch >= 0),
                }))
            } else {
                Err(Error::broker(answer.error_code, partition.to_string(), None))
            };
            results.insert(partition, result);
        }
    }
    results
}
