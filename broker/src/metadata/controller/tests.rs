//! Each handler against tables of requests, and all of them together against a replay.

mod configs;
mod failover;
mod handover;
mod lifecycle;
mod replay;
mod topics;

use std::collections::BTreeMap;

use super::*;
use crate::metadata::{
    AdminErrorKind, MetadataRecord, TopicId,
    record::{Endpoint, Listener},
    request::{CreateTopics, CreatedTopic, NewTopic, Outcomes, RegisterBroker},
};

/// A controller's image that takes whatever its handlers make.
pub(super) struct Cluster {
    pub(super) image: MetadataImage,
    pub(super) context: ControllerContext,
    pub(super) records: Vec<MetadataRecord>,
    next_id: u8,
}

impl Cluster {
    /// A formed cluster of brokers 1, 2, ….
    pub(super) fn of(brokers: u32) -> Self {
        let context = ControllerContext::new(&Config::default()).unwrap();
        let records = Vec::new();
        let mut cluster = Self { image: MetadataImage::default(), context, records, next_id: 0 };
        cluster.take(vec![
            MetadataRecord::ClusterFormed { cluster_id: "test".into() },
            MetadataRecord::ControllerElected { broker: BrokerId(1), round: 1 },
        ]);
        for broker in 1..=brokers {
            let request = registration(broker, 1);
            let (records, outcome) = register_broker(&cluster.image, &request);
            outcome.unwrap();
            cluster.take(records);
        }
        cluster
    }

    /// Decides records.
    pub(super) fn take(&mut self, records: Vec<MetadataRecord>) {
        for record in records {
            self.image.apply(self.image.end(), &record).unwrap();
            self.records.push(record);
        }
    }

    pub(super) fn new_id(&mut self) -> TopicId {
        self.next_id += 1;
        TopicId::from_bytes([self.next_id; 16])
    }

    pub(super) fn topic(&mut self, name: &str) -> NewTopic {
        NewTopic::with_defaults(self.new_id(), name)
    }

    /// Creates topics and decides it.
    pub(super) fn create(&mut self, topics: Vec<NewTopic>) -> Outcomes<CreatedTopic> {
        let request = CreateTopics { topics, validate_only: false };
        let (records, outcomes) = create_topics(&self.image, &request, &self.context);
        self.take(records);
        outcomes
    }

    /// Creates one topic with `partitions` partitions, which must work.
    pub(super) fn with_topic(mut self, name: &str, partitions: i32) -> Self {
        let topic = NewTopic { partition_count: Some(partitions), ..self.topic(name) };
        self.create(vec![topic]).remove(0).unwrap();
        self
    }
}

pub(super) fn registration(broker: u32, incarnation: u8) -> RegisterBroker {
    RegisterBroker {
        broker: BrokerId(broker),
        incarnation: TopicId::from_bytes([incarnation; 16]),
        endpoints: vec![Endpoint { listener: Listener::Kafka, host: None, port: 9092 }],
        rack: None,
        start: 0,
    }
}

/// Outcomes as kinds, to compare with a table.
pub(super) fn kinds<T>(outcomes: &Outcomes<T>) -> Vec<Option<AdminErrorKind>> {
    outcomes.iter().map(|outcome| outcome.as_ref().err().map(|error| error.kind)).collect()
}

pub(super) fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}
