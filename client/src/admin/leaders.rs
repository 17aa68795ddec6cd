//! Electing leaders.

use std::collections::BTreeMap;

use synod_wire::ErrorCode;
use synod_wire::messages::elect_leaders::{ElectLeadersRequest, TopicPartitions};

use super::Admin;
use super::topics::moved;
use crate::Error;
use crate::cluster::{PerPartition, TopicPartition};
use crate::consumer::group::assignor::by_topic;

impl Admin {
    /// Makes the preferred replicas lead these partitions, or all (`None`): those that stand first
    /// in their replica sets. One that leads already is a success; with `None` only partitions
    /// whose leader changes, or should and cannot, are in the result.
    ///
    /// ```no_run
    /// # async fn example(admin: synod_client::admin::Admin) -> Result<(), synod_client::Error> {
    /// for (partition, result) in admin.elect_leaders(None).await? {
    ///     println!("{partition}: {result:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What kept the controller from answering; in the result for example
    /// `PREFERRED_LEADER_NOT_AVAILABLE`.
    pub async fn elect_leaders(
        &self,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<PerPartition<()>, Error> {
        let topic_partitions = partitions.map(|partitions| {
            let topics = by_topic(partitions.iter()).into_iter().map(|topic| TopicPartitions {
                topic: topic.topic,
                partitions: topic.partitions,
                ..TopicPartitions::default()
            });
            topics.collect()
        });
        let request = ElectLeadersRequest {
            election_type: 0,
            topic_partitions,
            timeout_ms: self.timeout_ms(),
            ..ElectLeadersRequest::default()
        };
        let context = || "leaders".to_owned();
        let response =
            self.change(&request, |response| moved(response.error_code, context)).await?;
        Error::check(response.error_code, context, None)?;
        let mut results = BTreeMap::new();
        for topic in response.replica_election_results {
            for answer in topic.partition_result {
                let partition = TopicPartition::new(&*topic.topic, answer.partition_id);
                let code = match answer.error_code {
                    ErrorCode::ELECTION_NOT_NEEDED => ErrorCode::NONE,
                    code => code,
                };
                let message = answer.error_message.as_deref();
                let result = Error::check(code, || partition.to_string(), message);
                results.insert(partition, result);
            }
        }
        Ok(results)
    }
}
