//! Settings of one partition's log, all of which may change while the log is open.

use std::num::NonZeroU32;

/// How one partition's log rolls, indexes, keeps and prepares its segments.
///
/// The defaults are Kafka's. A change by [`crate::Log::set_config`] applies to the next append or
/// retention run; segments that exist already are not rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// A segment is rolled before an append would make it larger than this many bytes
    /// (`segment.bytes`). A single batch larger than this still gets a segment of its own.
    pub segment_size: NonZeroU32,
    /// A segment is rolled when the appended batch's greatest timestamp lies this many
    /// milliseconds or more after that of the segment's first batch (`segment.ms`). `None`: never.
    pub segment_ms: Option<u64>,
    /// Sealed segments whose newest record is older than this many milliseconds are deleted
    /// (`retention.ms`). `None`: never.
    pub retention_ms: Option<u64>,
    /// The oldest sealed segments are deleted while the rest still holds at least this many bytes
    /// (`retention.bytes`). `None`: never.
    pub retention_size: Option<u64>,
    /// Bytes of batches between two entries of the sparse index (`index.interval.bytes`).
    pub index_interval_size: NonZeroU32,
    /// A producer that appended nothing for this many milliseconds is forgotten
    /// (`producer.id.expiration.ms`).
    pub producer_expiration_ms: u64,
    /// The most bytes of zeros that are prepared ahead of the writer. Grows up to this in doubling
    /// steps while the partition is written fast, and shrinks again while it is not.
    pub prepare_max_size: u32,
    /// The most bytes of batches that a sync may leave to a [carrier](crate::carrier). 0: it never
    /// does.
    pub carry_max_size: u32,
}

impl Default for LogConfig {
    fn default() -> Self {
        const DAY_MS: u64 = 24 * 60 * 60 * 1000;
        Self {
            segment_size: NonZeroU32::MIN.saturating_add((1 << 30) - 1),
            segment_ms: Some(7 * DAY_MS),
            retention_ms: Some(7 * DAY_MS),
            retention_size: None,
            index_interval_size: NonZeroU32::MIN.saturating_add(4095),
            producer_expiration_ms: DAY_MS,
            prepare_max_size: 32 << 20,
            carry_max_size: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_kafkas() {
        let config = LogConfig::default();
        assert_eq!(config.segment_size.get(), 1_073_741_824);
        assert_eq!(config.segment_ms, Some(604_800_000));
        assert_eq!(config.retention_ms, Some(604_800_000));
        assert_eq!(config.retention_size, None);
        assert_eq!(config.index_interval_size.get(), 4096);
        assert_eq!(config.producer_expiration_ms, 86_400_000);
    }
}
