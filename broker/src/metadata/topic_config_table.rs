//! The table of topic settings: one row per name that Kafka's tools know.

use super::config_key::{ConfigKey, ConfigType, Effect, MAX, Rule, Synonym};

use ConfigType::{Boolean, Double, Int, List, Long, String};
use Effect::{Acts, Kept};

const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;

/// The row of that name.
#[must_use]
pub fn topic_key(name: &str) -> Option<&'static ConfigKey> {
    TOPIC_KEYS.binary_search_by_key(&name, |key| key.name).ok().map(|index| &TOPIC_KEYS[index])
}

const fn same(name: &'static str) -> Synonym {
    Synonym { name, factor: 1 }
}

const fn scaled(name: &'static str, factor: i64) -> Synonym {
    Synonym { name, factor }
}

macro_rules! key {
    ($name:literal, $kind:ident = $default:literal, $rule:expr, $effect:ident,
     [$($synonym:expr),*], $doc:literal) => {
        ConfigKey {
            name: $name,
            kind: $kind,
            default: $default,
            rule: $rule,
            effect: $effect,
            doc: $doc,
            follows: &[$($synonym),*],
        }
    };
}

const CODECS: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];

/// All rows, ordered by name.
pub static TOPIC_KEYS: &[ConfigKey] = &[
    key!(
        "cleanup.policy",
        List = "delete",
        Rule::OneOf(&["compact", "delete"]),
        Acts,
        [same("log.cleanup.policy")],
        "What happens to old records: \"delete\" drops whole segments by retention.ms and \
         retention.bytes; \"compact\" promises to keep the last record of each key and refuses \
         records without one; empty keeps everything. Compaction does not run yet: a topic that is \
         only \"compact\" keeps every record."
    ),
    key!(
        "compression.gzip.level",
        Int = "-1",
        Rule::Range(-1, 9),
        Kept,
        [same("compression.gzip.level")],
        "Kept for tools. What the leader compresses itself gets its codec's default level."
    ),
    key!(
        "compression.lz4.level",
        Int = "9",
        Rule::Range(1, 17),
        Kept,
        [same("compression.lz4.level")],
        "Kept for tools. What the leader compresses itself gets its codec's default level."
    ),
    key!(
        "compression.type",
        String = "producer",
        Rule::OneOf(CODECS),
        Acts,
        [same("compression.type")],
        "How batches are stored: \"producer\" keeps each as its producer compressed it; any other \
         value makes the leader compress batches anew."
    ),
    key!(
        "compression.zstd.level",
        Int = "3",
        Rule::Range(-131_072, 22),
        Kept,
        [same("compression.zstd.level")],
        "Kept for tools. What the leader compresses itself gets its codec's default level."
    ),
    key!(
        "delete.retention.ms",
        Long = "86400000",
        Rule::Range(0, MAX),
        Kept,
        [same("log.cleaner.delete.retention.ms")],
        "How long a compacted topic keeps a tombstone, in milliseconds. Without effect until \
         compaction runs."
    ),
    key!(
        "file.delete.delay.ms",
        Long = "60000",
        Rule::Range(0, MAX),
        Kept,
        [same("log.segment.delete.delay.ms")],
        "Kept for tools. A dropped segment's file goes as soon as no reader uses it."
    ),
    key!(
        "flush.messages",
        Long = "9223372036854775807",
        Rule::Range(1, MAX),
        Kept,
        [same("log.flush.interval.messages")],
        "Kept for tools. Every record is on stable storage of a majority before acks=all is \
         answered, whatever this says."
    ),
    key!(
        "flush.ms",
        Long = "9223372036854775807",
        Rule::Range(0, MAX),
        Kept,
        [same("log.flush.interval.ms"), same("log.flush.scheduler.interval.ms")],
        "Kept for tools. Every record is on stable storage of a majority before acks=all is \
         answered, whatever this says."
    ),
    key!(
        "follower.replication.throttled.replicas",
        List = "",
        Rule::ReplicaList,
        Kept,
        [],
        "Kept for tools that move replicas. Replication is flow-controlled by itself."
    ),
    key!(
        "index.interval.bytes",
        Int = "4096",
        Rule::Range(0, i32::MAX as i64),
        Acts,
        [same("log.index.interval.bytes")],
        "Bytes of batches between two entries of a segment's sparse offset index."
    ),
    key!(
        "leader.replication.throttled.replicas",
        List = "",
        Rule::ReplicaList,
        Kept,
        [],
        "Kept for tools that move replicas. Replication is flow-controlled by itself."
    ),
    key!(
        "local.retention.bytes",
        Long = "-2",
        Rule::Range(-2, MAX),
        Kept,
        [same("log.local.retention.bytes")],
        "Kept for tools. There is no remote storage; retention.bytes holds."
    ),
    key!(
        "local.retention.ms",
        Long = "-2",
        Rule::Range(-2, MAX),
        Kept,
        [same("log.local.retention.ms")],
        "Kept for tools. There is no remote storage; retention.ms holds."
    ),
    key!(
        "max.compaction.lag.ms",
        Long = "9223372036854775807",
        Rule::Range(1, MAX),
        Kept,
        [same("log.cleaner.max.compaction.lag.ms")],
        "The longest a record of a compacted topic may stay uncompacted, in milliseconds. Without \
         effect until compaction runs."
    ),
    key!(
        "max.message.bytes",
        Int = "1048588",
        Rule::Range(0, i32::MAX as i64),
        Acts,
        [same("message.max.bytes")],
        "The largest batch of records that is taken, in bytes as it is stored."
    ),
    key!(
        "message.timestamp.after.max.ms",
        Long = "3600000",
        Rule::Range(0, MAX),
        Acts,
        [same("log.message.timestamp.after.max.ms")],
        "How far ahead of the broker's clock a record's timestamp may be, in milliseconds, with \
         message.timestamp.type=CreateTime."
    ),
    key!(
        "message.timestamp.before.max.ms",
        Long = "9223372036854775807",
        Rule::Range(0, MAX),
        Acts,
        [same("log.message.timestamp.before.max.ms")],
        "How far behind the broker's clock a record's timestamp may be, in milliseconds, with \
         message.timestamp.type=CreateTime."
    ),
    key!(
        "message.timestamp.type",
        String = "CreateTime",
        Rule::OneOf(&["CreateTime", "LogAppendTime"]),
        Acts,
        [same("log.message.timestamp.type")],
        "Whether a record's timestamp is the producer's (CreateTime) or the time at which the \
         leader appended its batch (LogAppendTime)."
    ),
    key!(
        "min.cleanable.dirty.ratio",
        Double = "0.5",
        Rule::Fraction,
        Kept,
        [same("log.cleaner.min.cleanable.ratio")],
        "The uncompacted share of a log at which compaction begins. Without effect until \
         compaction runs."
    ),
    key!(
        "min.compaction.lag.ms",
        Long = "0",
        Rule::Range(0, MAX),
        Kept,
        [same("log.cleaner.min.compaction.lag.ms")],
        "The least time a record of a compacted topic stays uncompacted, in milliseconds. Without \
         effect until compaction runs."
    ),
    key!(
        "min.insync.replicas",
        Int = "1",
        Rule::Range(1, i32::MAX as i64),
        Acts,
        [same("min.insync.replicas")],
        "How many replicas must be following for produce with acks=all to be taken; a number \
         beyond the partition's replicas means all of them. Whatever it is, the answer to acks=all \
         means durable on a majority."
    ),
    key!(
        "preallocate",
        Boolean = "false",
        Rule::Any,
        Kept,
        [same("log.preallocate")],
        "Kept for tools. Segments are always prepared ahead of need, in growing steps."
    ),
    key!(
        "remote.log.copy.disable",
        Boolean = "false",
        Rule::Any,
        Kept,
        [],
        "Kept for tools. There is no remote storage."
    ),
    key!(
        "remote.log.delete.on.disable",
        Boolean = "false",
        Rule::Any,
        Kept,
        [],
        "Kept for tools. There is no remote storage."
    ),
    key!(
        "remote.storage.enable",
        Boolean = "false",
        Rule::Only("false", "Tiered storage is not supported; only false is"),
        Kept,
        [],
        "Whether old segments move to remote storage. Only false: there is no remote storage."
    ),
    key!(
        "retention.bytes",
        Long = "-1",
        Rule::Any,
        Acts,
        [same("log.retention.bytes")],
        "The size in bytes beyond which a partition's oldest segments are dropped; -1: no limit."
    ),
    key!(
        "retention.ms",
        Long = "604800000",
        Rule::Range(-1, MAX),
        Acts,
        [
            same("log.retention.ms"),
            scaled("log.retention.minutes", MINUTE_MS),
            scaled("log.retention.hours", HOUR_MS)
        ],
        "The age in milliseconds beyond which a partition's oldest segments are dropped; -1: no \
         limit."
    ),
    key!(
        "segment.bytes",
        Int = "1073741824",
        Rule::Range(1 << 20, i32::MAX as i64),
        Acts,
        [same("log.segment.bytes")],
        "The size in bytes at which a partition goes on in a new segment file."
    ),
    key!(
        "segment.index.bytes",
        Int = "10485760",
        Rule::Range(4, i32::MAX as i64),
        Kept,
        [same("log.index.size.max.bytes")],
        "Kept for tools. A segment's indexes grow with the segment."
    ),
    key!(
        "segment.jitter.ms",
        Long = "0",
        Rule::Range(0, MAX),
        Kept,
        [same("log.roll.jitter.ms"), scaled("log.roll.jitter.hours", HOUR_MS)],
        "Kept for tools. Rolling a segment is cheap enough to need no spreading."
    ),
    key!(
        "segment.ms",
        Long = "604800000",
        Rule::Range(1, MAX),
        Acts,
        [same("log.roll.ms"), scaled("log.roll.hours", HOUR_MS)],
        "The age in milliseconds at which a partition goes on in a new segment file, so that \
         retention can drop the old one."
    ),
    key!(
        "unclean.leader.election.enable",
        Boolean = "false",
        Rule::Only(
            "false",
            "Only false is supported: an unclean election would lose records that \
                             were acknowledged"
        ),
        Kept,
        [same("unclean.leader.election.enable")],
        "Whether a replica without all acknowledged records may lead. Only false: no setting \
         weakens what acks=all means."
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_ordered_and_their_defaults_are_valid() {
        assert!(TOPIC_KEYS.is_sorted_by(|a, b| a.name < b.name));
        for key in TOPIC_KEYS {
            assert_eq!(key.canonical(key.default).unwrap(), key.default, "{}", key.name);
            assert!(key.doc.ends_with('.'), "{}", key.name);
            assert!(std::ptr::eq(topic_key(key.name).unwrap(), key));
        }
        assert!(topic_key("nope").is_none());
    }

    /// The settings that a topic of Apache Kafka 4.3 has, with their defaults: tools expect all.
    #[test]
    fn every_setting_of_kafka_is_there_with_its_default() {
        let kafka = "cleanup.policy=delete compression.gzip.level=-1 compression.lz4.level=9 \
            compression.type=producer compression.zstd.level=3 delete.retention.ms=86400000 \
            file.delete.delay.ms=60000 flush.messages=9223372036854775807 \
            flush.ms=9223372036854775807 follower.replication.throttled.replicas= \
            index.interval.bytes=4096 leader.replication.throttled.replicas= \
            local.retention.bytes=-2 local.retention.ms=-2 \
            max.compaction.lag.ms=9223372036854775807 max.message.bytes=1048588 \
            message.timestamp.after.max.ms=3600000 \
            message.timestamp.before.max.ms=9223372036854775807 \
            message.timestamp.type=CreateTime min.cleanable.dirty.ratio=0.5 \
            min.compaction.lag.ms=0 min.insync.replicas=1 preallocate=false \
            remote.log.copy.disable=false remote.log.delete.on.disable=false \
            remote.storage.enable=false retention.bytes=-1 retention.ms=604800000 \
            segment.bytes=1073741824 segment.index.bytes=10485760 segment.jitter.ms=0 \
            segment.ms=604800000 unclean.leader.election.enable=false";
        let ours: Vec<_> = TOPIC_KEYS.iter().map(|k| format!("{}={}", k.name, k.default)).collect();
        assert_eq!(ours, kafka.split_whitespace().collect::<Vec<_>>());
    }

    #[test]
    fn broker_level_names_are_distinct() {
        let mut names: Vec<_> =
            TOPIC_KEYS.iter().flat_map(|key| key.follows).map(|synonym| synonym.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
