//! How a consumer behaves.

use std::time::Duration;

use super::group::config::GroupConfig;
use crate::Error;
use crate::cluster::Isolation;

/// Where to go on when the position no longer exists, because records were deleted or lost.
///
/// ```
/// use synod_client::consumer::{ConsumerConfig, OffsetReset};
/// assert_eq!(OffsetReset::default(), OffsetReset::Beginning);
/// let only_news = ConsumerConfig::default().offset_reset(OffsetReset::End);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OffsetReset {
    /// At the first record there is.
    #[default]
    Beginning,
    /// At the end.
    End,
    /// Nowhere: report an error.
    Fail,
}

/// Settings of a [`Consumer`](super::Consumer).
///
/// ```
/// use synod_client::consumer::{ConsumerConfig, OffsetReset};
/// let config = ConsumerConfig::default().offset_reset(OffsetReset::Fail);
/// ```
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    pub(super) isolation: Isolation,
    pub(super) offset_reset: OffsetReset,
    pub(super) min_fetch_size: i32,
    pub(super) max_fetch_size: i32,
    pub(super) max_partition_fetch_size: i32,
    pub(super) max_fetch_wait: Duration,
    pub(super) max_buffered_size: usize,
    pub(super) max_batch_size: usize,
    pub(super) max_poll_records: usize,
    pub(super) group: Option<GroupConfig>,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        Self {
            isolation: Isolation::default(),
            offset_reset: OffsetReset::default(),
            min_fetch_size: 1,
            max_fetch_size: 50 << 20,
            max_partition_fetch_size: 1 << 20,
            max_fetch_wait: Duration::from_millis(500),
            max_buffered_size: 64 << 20,
            max_batch_size: 256 << 20,
            max_poll_records: 1000,
            group: None,
        }
    }
}

impl ConsumerConfig {
    /// Which records of transactions are seen. Default: only committed ones.
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// Where to go on when the position no longer exists. Default at the beginning.
    pub fn offset_reset(mut self, reset: OffsetReset) -> Self {
        self.offset_reset = reset;
        self
    }

    /// Bytes for which a broker waits before it answers, unless the wait is over. Default 1.
    pub fn min_fetch_size(mut self, size: i32) -> Self {
        self.min_fetch_size = size;
        self
    }

    /// Most bytes in one answer, though never less than one batch. Default 50 MiB.
    pub fn max_fetch_size(mut self, size: i32) -> Self {
        self.max_fetch_size = size;
        self
    }

    /// Most bytes of one partition in one answer, though never less than one batch. Default 1 MiB.
    pub fn max_partition_fetch_size(mut self, size: i32) -> Self {
        self.max_partition_fetch_size = size;
        self
    }

    /// How long a broker waits for records to come. Default 500 ms.
    pub fn max_fetch_wait(mut self, wait: Duration) -> Self {
        self.max_fetch_wait = wait;
        self
    }

    /// Bytes fetched ahead of the reader, as they came from the network; fetching pauses beyond it.
    /// Default 64 MiB.
    pub fn max_buffered_size(mut self, size: usize) -> Self {
        self.max_buffered_size = size;
        self
    }

    /// Largest batch after decompression, in bytes; a larger one is an error, not a memory problem.
    /// Default 256 MiB.
    pub fn max_batch_size(mut self, size: usize) -> Self {
        self.max_batch_size = size;
        self
    }

    /// Most records that one poll returns. Default 1000.
    pub fn max_poll_records(mut self, count: usize) -> Self {
        self.max_poll_records = count;
        self
    }

    /// Membership in a group, for [`Consumer::subscribe`](super::Consumer::subscribe) and commits.
    /// Default none.
    pub fn group(mut self, group: GroupConfig) -> Self {
        self.group = Some(group);
        self
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        if let Some(group) = &self.group {
            group.validate()?;
        }
        if self.max_fetch_size <= 0 || self.max_partition_fetch_size <= 0 || self.min_fetch_size < 0
        {
            return Err(Error::config("fetch sizes must be positive"));
        }
        if self.max_poll_records == 0 || self.max_buffered_size == 0 {
            return Err(Error::config("max_poll_records and max_buffered_size must not be 0"));
        }
        Ok(())
    }
}
