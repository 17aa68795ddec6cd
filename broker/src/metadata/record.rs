//! The records of the metadata log: what the cluster has decided about itself.
//!
//! A record's value is one JSON object whose `kind` names its variant, so that a dump of the log
//! reads by itself; the record has no key. Rules that keep old logs and mixed versions readable:
//!
//! * a kind's meaning never changes and a kind is never removed;
//! * a field may be added only with a default that means what its absence meant;
//! * whatever an older broker must not ignore is a new kind, which an older broker refuses.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::ids::{BrokerId, TopicId};

/// One decided fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum MetadataRecord {
    /// The cluster came to be. It is the first record of every metadata log, and only that.
    ClusterFormed {
        /// The cluster's stable id, as clients see it.
        cluster_id: String,
    },
    /// A broker began to lead the metadata group in `round`; first record of each such round.
    ControllerElected {
        /// The new controller.
        broker: BrokerId,
        /// The metadata group's round that it leads.
        round: u32,
    },
    /// A broker joined, or came back as a new incarnation.
    BrokerRegistered {
        /// The broker's number.
        broker: BrokerId,
        /// Differs for each start of the broker's process.
        incarnation: TopicId,
        /// Where it can be reached.
        endpoints: Vec<Endpoint>,
        /// The failure domain it stands in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rack: Option<String>,
        /// How many times its data directory has been started; 0: not told.
        #[serde(default, skip_serializing_if = "is_zero")]
        start: u64,
    },
    /// Every partition that `broker` leads is appointed to it again, each in its next round.
    ///
    /// A restarted broker may not go on in a round it led before; this is one record however
    /// many partitions it leads.
    LeadershipRenewed {
        /// The leader that started anew.
        broker: BrokerId,
    },
    /// A topic came to be; its partitions follow in the same batch.
    TopicCreated {
        /// Its id, never used before.
        topic: TopicId,
        /// Its name, free at this point of the log.
        name: String,
    },
    /// A partition came to be: the topic's next one.
    PartitionCreated {
        /// The topic it belongs to.
        topic: TopicId,
        /// Its index, equal to the topic's partition count so far.
        partition: u32,
        /// The ordered replica set; the first is the preferred leader.
        replicas: Vec<BrokerId>,
        /// The appointed leader.
        leader: BrokerId,
        /// The leader's round.
        round: u32,
    },
    /// A leader, and possibly another replica set, is appointed for a partition.
    Appointed {
        /// The topic.
        topic: TopicId,
        /// The partition's index.
        partition: u32,
        /// The appointed leader.
        leader: BrokerId,
        /// Its round: higher than the partition's last one.
        round: u32,
        /// The replica set that this ballot carries.
        replicas: Vec<BrokerId>,
    },
    /// A topic and all its partitions are gone; their data may be deleted.
    TopicDeleted {
        /// The topic.
        topic: TopicId,
    },
    /// A setting got a value of its own.
    ConfigSet {
        /// Whose setting.
        resource: ConfigScope,
        /// The setting's name.
        name: String,
        /// Its value, in canonical text form.
        value: String,
    },
    /// A setting lost its own value and follows the next wider scope again.
    ConfigRemoved {
        /// Whose setting.
        resource: ConfigScope,
        /// The setting's name.
        name: String,
    },
    /// Producer ids below `end` are handed out: a broker may use the last `count` of them.
    ProducerIdsAllocated {
        /// The broker they went to.
        broker: BrokerId,
        /// The first id that is still free.
        end: u64,
        /// How many this block holds.
        count: u32,
    },
    /// The controller hears nothing from a broker any more: it can neither lead nor serve.
    BrokerLost {
        /// The broker.
        broker: BrokerId,
        /// Which of its lives; a later one is not meant.
        incarnation: TopicId,
    },
    /// A lost broker is heard from again, in the same life.
    BrokerReturned {
        /// The broker.
        broker: BrokerId,
        /// Which of its lives.
        incarnation: TopicId,
    },
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// An address of a broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// What listens there.
    pub listener: Listener,
    /// Host name or address; `None` means "the address that the client connected to".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// TCP port.
    pub port: u16,
}

/// The kinds of listeners a broker registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Listener {
    /// Kafka clients.
    Kafka,
    /// Other brokers.
    Peer,
    /// Metrics and health.
    Http,
}

/// Whose setting a config record speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigScope {
    /// One topic.
    Topic(TopicId),
    /// One broker.
    Broker(BrokerId),
    /// All brokers that have no value of their own.
    AllBrokers,
}

/// Why a metadata record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MetadataDecodeError {
    /// Written by a newer version.
    #[error("metadata record of kind {kind:?} is not known to this version; upgrade the broker")]
    UnknownKind {
        /// The record's kind.
        kind: String,
    },
    /// Not a metadata record.
    #[error("malformed metadata record: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// Names of all kinds, to tell a newer kind from a damaged record.
const KINDS: [&str; 13] = [
    "cluster_formed",
    "controller_elected",
    "broker_registered",
    "leadership_renewed",
    "topic_created",
    "partition_created",
    "appointed",
    "topic_deleted",
    "config_set",
    "config_removed",
    "producer_ids_allocated",
    "broker_lost",
    "broker_returned",
];

impl MetadataRecord {
    /// The record's value as it stands in the log.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        // Serialization of these plain types into memory has no way to fail.
        Bytes::from(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads a record's value.
    ///
    /// # Errors
    /// The value is of a newer kind, or no metadata record at all.
    pub fn decode(value: &[u8]) -> Result<Self, MetadataDecodeError> {
        #[derive(Deserialize)]
        struct Kind {
            kind: String,
        }
        serde_json::from_slice(value).map_err(|error| match serde_json::from_slice(value) {
            Ok(Kind { kind }) if !KINDS.contains(&kind.as_str()) => {
                MetadataDecodeError::UnknownKind { kind: kind.chars().take(64).collect() }
            }
            _ => MetadataDecodeError::Malformed(error),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic() -> TopicId {
        TopicId::from_bytes(*b"0123456789abcdef")
    }

    /// Every kind; `golden.jsonl` has the text of each in the log.
    fn every_kind() -> Vec<MetadataRecord> {
        let (topic, broker) = (topic(), BrokerId(1));
        let endpoints = vec![
            Endpoint { listener: Listener::Kafka, host: None, port: 9092 },
            Endpoint { listener: Listener::Peer, host: Some("b1".into()), port: 9192 },
        ];
        let replicas = vec![BrokerId(1), BrokerId(2)];
        let rack = Some("r".into());
        let (of_topic, of_all) = (ConfigScope::Topic(topic), ConfigScope::AllBrokers);
        let (name, value) = ("retention.ms".to_owned(), "1".to_owned());
        vec![
            MetadataRecord::ClusterFormed { cluster_id: "c".into() },
            MetadataRecord::ControllerElected { broker, round: 3 },
            MetadataRecord::BrokerRegistered {
                broker,
                incarnation: topic,
                endpoints,
                rack,
                start: 0,
            },
            MetadataRecord::LeadershipRenewed { broker },
            MetadataRecord::TopicCreated { topic, name: "t".into() },
            MetadataRecord::PartitionCreated {
                topic,
                partition: 0,
                replicas: replicas.clone(),
                leader: broker,
                round: 1,
            },
            MetadataRecord::Appointed { topic, partition: 0, leader: broker, round: 2, replicas },
            MetadataRecord::TopicDeleted { topic },
            MetadataRecord::ConfigSet { resource: of_topic, name, value },
            MetadataRecord::ConfigRemoved { resource: of_all, name: "n".into() },
            MetadataRecord::ProducerIdsAllocated { broker, end: 1000, count: 1000 },
            MetadataRecord::BrokerLost { broker, incarnation: topic },
            MetadataRecord::BrokerReturned { broker, incarnation: topic },
        ]
    }

    #[test]
    fn text_of_every_kind_stays_as_it_is() {
        // A changed text would orphan existing logs.
        let (records, golden) = (every_kind(), include_str!("record/golden.jsonl"));
        assert_eq!(records.len(), KINDS.len(), "a new kind needs its line here");
        assert_eq!(golden.lines().count(), KINDS.len(), "a new kind needs its line there");
        for ((record, text), kind) in records.into_iter().zip(golden.lines()).zip(KINDS) {
            assert_eq!(std::str::from_utf8(&record.encode()).unwrap(), text);
            assert_eq!(MetadataRecord::decode(text.as_bytes()).unwrap(), record);
            assert!(text.starts_with(&format!(r#"{{"kind":"{kind}""#)));
        }
    }

    #[test]
    fn a_start_is_told_only_where_it_is_known() {
        let text = [
            r#"{"kind":"broker_registered","broker":1,"incarnation":"MDEyMzQ1Njc4OWFiY2RlZg","#,
            r#""endpoints":[],"start":7}"#,
        ]
        .concat();
        let record = MetadataRecord::decode(text.as_bytes()).unwrap();
        assert!(matches!(record, MetadataRecord::BrokerRegistered { start: 7, .. }));
        assert_eq!(record.encode(), text.as_bytes());
    }

    #[test]
    fn a_newer_kind_is_refused_by_name_and_a_newer_field_is_not() {
        let newer = br#"{"kind":"acl_created","rule":1}"#;
        let error = MetadataRecord::decode(newer).unwrap_err();
        assert!(
            matches!(&error, MetadataDecodeError::UnknownKind { kind } if kind == "acl_created")
        );
        assert!(error.to_string().contains("upgrade"), "{error}");
        let field = br#"{"kind":"leadership_renewed","broker":1,"reason":"restart"}"#;
        assert!(MetadataRecord::decode(field).is_ok());
    }

    #[test]
    fn what_is_no_record_is_malformed() {
        let cases: [&[u8]; 8] = [
            b"",
            b"\xff",
            b"[]",
            b"{}",
            br#"{"kind":1}"#,
            br#"{"kind":"topic_deleted"}"#,
            br#"{"kind":"topic_deleted","topic":"x"}"#,
            br#"{"kind":"leadership_renewed","broker":-1}"#,
        ];
        for value in cases {
            let error = MetadataRecord::decode(value).unwrap_err();
            assert!(matches!(error, MetadataDecodeError::Malformed(_)), "{value:?}: {error}");
        }
    }
}
