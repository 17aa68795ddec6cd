//! Deleting records.

use std::collections::BTreeMap;
use std::sync::Arc;

use synod_wire::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use synod_wire::{ErrorCode, Str};

use super::Admin;
use crate::cluster::{PerPartition, TopicPartition};
use crate::{Connection, Error};

/// The offset that stands for the high watermark.
const HIGH_WATERMARK: i64 = -1;

impl Admin {
    /// Deletes the records before an offset in each partition; `None` means all that can be read
    /// now. The result has the first offset that is left. Deleting what is deleted already does
    /// nothing, so this is retried like a question.
    ///
    /// ```no_run
    /// use synod_client::cluster::TopicPartition;
    /// # async fn example(admin: synod_client::admin::Admin)
    /// # -> Result<(), synod_client::Error> {
    /// let orders = TopicPartition::new("orders", 0);
    /// admin.delete_records([(orders, Some(1000))].into()).await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn delete_records(
        &self,
        before: BTreeMap<TopicPartition, Option<i64>>,
    ) -> PerPartition<i64> {
        let timeout_ms = self.timeout_ms();
        let before = Arc::new(before);
        let partitions: Vec<_> = before.keys().cloned().collect();
        self.cluster
            .ask_leaders(partitions, |connection, partitions| {
                delete(connection, partitions, before.clone(), timeout_ms)
            })
            .await
    }
}

async fn delete(
    connection: Connection,
    partitions: Vec<TopicPartition>,
    before: Arc<BTreeMap<TopicPartition, Option<i64>>>,
    timeout_ms: i32,
) -> Result<PerPartition<i64>, Error> {
    let mut topics: Vec<DeleteRecordsTopic> = Vec::new();
    for partition in &partitions {
        let offset = before.get(partition).copied().flatten().unwrap_or(HIGH_WATERMARK);
        let asked = DeleteRecordsPartition {
            partition_index: partition.partition,
            offset,
            ..DeleteRecordsPartition::default()
        };
        match topics.last_mut().filter(|topic| *topic.name == *partition.topic) {
            Some(topic) => topic.partitions.push(asked),
            None => topics.push(DeleteRecordsTopic {
                name: Str::from(&*partition.topic),
                partitions: vec![asked],
                ..DeleteRecordsTopic::default()
            }),
        }
    }
    let request = DeleteRecordsRequest { topics, timeout_ms, ..DeleteRecordsRequest::default() };
    let response = connection.send(&request).await?;
    let mut results = PerPartition::new();
    for topic in response.topics {
        for answer in topic.partitions {
            let partition = TopicPartition::new(&*topic.name, answer.partition_index);
            let result = match answer.error_code {
                ErrorCode::NONE => Ok(answer.low_watermark),
                code => Err(Error::broker(code, partition.to_string(), None)),
            };
            results.insert(partition, result);
        }
    }
    Ok(results)
}
