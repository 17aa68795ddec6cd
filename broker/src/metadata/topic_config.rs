//! A topic's settings in the types that the broker works with.

use std::time::Duration;

use synod_wire::batch::Compression;

use super::{
    TopicImage, config_key::list_items, config_view::ConfigView, topic_config_table::topic_key,
};

/// The values in force for one topic on one broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// Old segments are dropped by age and size.
    pub delete: bool,
    /// The last record of each key is kept; records without a key are refused.
    pub compact: bool,
    /// How the leader stores batches; `None`: as their producer compressed them.
    pub compression: Option<Compression>,
    /// Age beyond which segments are dropped; `None`: never.
    pub retention: Option<Duration>,
    /// Size in bytes beyond which segments are dropped; `None`: never.
    pub retention_size: Option<u64>,
    /// Size in bytes at which a segment is sealed.
    pub segment_size: u32,
    /// Age at which a segment is sealed.
    pub segment_age: Duration,
    /// Bytes of batches between two entries of the offset index.
    pub index_interval_size: u32,
    /// Largest batch in bytes, as it is stored.
    pub max_batch_size: u32,
    /// Replicas that must be following for produce with `acks=all` to be taken at all; more than
    /// the partition has mean all it has. It never lowers the majority that an answer stands for.
    pub min_in_sync_replicas: u32,
    /// Whose time a record's timestamp is.
    pub timestamp_type: TimestampType,
    /// How far behind the broker's clock a producer's timestamp may be.
    pub timestamp_before_max: Duration,
    /// How far ahead of the broker's clock a producer's timestamp may be.
    pub timestamp_after_max: Duration,
}

/// Whose time a record's timestamp is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The leader's, at the append.
    LogAppendTime,
}

impl TopicConfig {
    /// The values in force for `topic`.
    #[must_use]
    pub fn new(topic: &TopicImage, view: &ConfigView<'_>) -> Self {
        let text = |name: &'static str| value_of(name, topic, view);
        let number = |name| number_of(name, topic, view);
        let size = |name| u32::try_from(number(name).max(0)).unwrap_or(u32::MAX);
        let millis = |name| Duration::from_millis(u64::try_from(number(name)).unwrap_or(0));
        let limit = |name| u64::try_from(number(name)).ok();
        let policy = text("cleanup.policy");
        let has_policy = |word| list_items(&policy).any(|item| item == word);
        Self {
            delete: has_policy("delete"),
            compact: has_policy("compact"),
            compression: compression_of(&text("compression.type")),
            retention: limit("retention.ms").map(Duration::from_millis),
            retention_size: limit("retention.bytes"),
            segment_size: size("segment.bytes"),
            segment_age: millis("segment.ms"),
            index_interval_size: size("index.interval.bytes"),
            max_batch_size: size("max.message.bytes"),
            min_in_sync_replicas: size("min.insync.replicas"),
            timestamp_type: match text("message.timestamp.type").as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            timestamp_before_max: millis("message.timestamp.before.max.ms"),
            timestamp_after_max: millis("message.timestamp.after.max.ms"),
        }
    }
}

fn compression_of(name: &str) -> Option<Compression> {
    match name {
        "uncompressed" => Some(Compression::None),
        "gzip" => Some(Compression::Gzip),
        "snappy" => Some(Compression::Snappy),
        "lz4" => Some(Compression::Lz4),
        "zstd" => Some(Compression::Zstd),
        _ => None,
    }
}

fn value_of(name: &'static str, topic: &TopicImage, view: &ConfigView<'_>) -> String {
    let key = topic_key(name);
    assert!(key.is_some(), "{name} is not in the table of topic settings");
    let value = key.and_then(|key| view.topic_setting(key, topic).value);
    value.unwrap_or_default()
}

/// A number in force. A value that an older or newer version stored and this one cannot read
/// falls back to the built-in one rather than stop the partition.
fn number_of(name: &'static str, topic: &TopicImage, view: &ConfigView<'_>) -> i64 {
    let built_in = || topic_key(name).and_then(|key| key.default.parse().ok()).unwrap_or(-1);
    value_of(name, topic, view).parse().unwrap_or_else(|_| built_in())
}
