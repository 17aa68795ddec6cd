//! What a scrape of the metrics sees of the running broker.

use std::sync::Arc;

use super::lags::Lags;
use super::observe_groups;
use crate::broker::Broker;
use crate::metadata::record::Listener;
use crate::metadata::{BrokerId, PartitionImage, TopicImage};
use crate::metrics::{BrokerSnapshot, LogSnapshot, PartitionSnapshot, Snapshot, Source};
use crate::partition::PartitionView;

/// Reads the broker's shared views; never waits for a shard.
#[derive(Debug)]
pub(super) struct Observer {
    broker: Arc<Broker>,
    lags: Arc<Lags>,
}

impl Observer {
    pub(super) fn new(broker: Arc<Broker>, lags: Arc<Lags>) -> Observer {
        Observer { broker, lags }
    }

    fn partition(
        &self,
        topic: &TopicImage,
        index: u32,
        partition: &PartitionImage,
    ) -> PartitionSnapshot {
        let view = self.broker.directory().partition(topic.id, index);
        let replica_count = u32::try_from(partition.replicas.len()).unwrap_or(u32::MAX);
        let led = view.as_ref().is_some_and(|view| view.leading_round().is_some());
        PartitionSnapshot {
            topic: topic.name.clone(),
            partition: index,
            leader: led.then(|| partition.leader.as_wire()),
            is_preferred_leader: partition.replicas.first() == Some(&partition.leader),
            replica_count,
            in_sync_count: view.as_ref().filter(|_| led).map_or(0, |view| in_sync_count(view)),
            leader_epoch: partition.round,
            log: view.map(|view| LogSnapshot {
                start_offset: view.log().start(),
                end_offset: view.log_end(),
                high_watermark: view.high_watermark(),
                size: view.log().size(),
            }),
        }
    }
}

impl Source for Observer {
    fn snapshot(&self) -> Snapshot {
        let image = self.broker.image();
        let address = |id: BrokerId| {
            let endpoint = image.broker(id).and_then(|broker| broker.endpoint(Listener::Kafka));
            endpoint.map_or_else(String::new, |endpoint| {
                let bound = self.broker.kafka_address().ip().to_string();
                format!("{}:{}", endpoint.host.as_deref().unwrap_or(&bound), endpoint.port)
            })
        };
        Snapshot {
            broker_id: self.broker.id().as_wire(),
            brokers: image
                .brokers()
                .map(|broker| BrokerSnapshot {
                    id: broker.id.as_wire(),
                    address: address(broker.id),
                })
                .collect(),
            memory_used: self.broker.budget().used() as u64,
            groups: observe_groups::groups(&self.broker, &image, &self.lags),
            memory_limit: self.broker.budget().total() as u64,
            partitions: image
                .topics()
                .flat_map(|topic| {
                    let partitions = (0u32..).zip(&topic.partitions);
                    partitions.map(|(index, partition)| self.partition(topic, index, partition))
                })
                .collect(),
        }
    }
}

/// How many replicas keep up with the one that leads here.
fn in_sync_count(view: &PartitionView) -> u32 {
    u32::try_from(view.in_sync_count()).unwrap_or(u32::MAX)
}
