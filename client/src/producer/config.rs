//! How a producer behaves.

use std::time::Duration;

use synod_wire::batch::Compression;

use crate::Error;

/// Who must have a record before it counts as written.
///
/// ```
/// use synod_client::producer::{Acks, ProducerConfig};
/// assert_eq!(Acks::default(), Acks::All);
/// let fast_and_loose = ProducerConfig::default().acks(Acks::Leader);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acks {
    /// A majority of the replicas (Synod), or all replicas in sync (Apache Kafka).
    #[default]
    All,
    /// The leader alone; a failover may drop the record.
    Leader,
    /// Nobody: the broker does not answer, errors stay unseen.
    None,
}

impl Acks {
    pub(super) fn code(self) -> i16 {
        match self {
            Self::All => -1,
            Self::Leader => 1,
            Self::None => 0,
        }
    }
}

/// Settings of a [`Producer`](super::Producer). The defaults are safe and fast: every record is
/// acknowledged by a majority, once, in order; batches form by themselves under load.
///
/// ```
/// use synod_client::producer::ProducerConfig;
/// use synod_client::Compression;
/// let config = ProducerConfig::default().compression(Compression::Zstd);
/// ```
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    pub(super) acks: Acks,
    pub(super) idempotent: bool,
    pub(super) compression: Compression,
    pub(super) linger: Duration,
    pub(super) batch_size: usize,
    pub(super) max_request_size: usize,
    pub(super) buffer_size: usize,
    pub(super) delivery_timeout: Duration,
    pub(super) max_in_flight: usize,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            idempotent: true,
            compression: Compression::None,
            linger: Duration::ZERO,
            batch_size: 128 << 10,
            max_request_size: 1_000_000,
            buffer_size: 32 << 20,
            delivery_timeout: Duration::from_secs(120),
            max_in_flight: 5,
        }
    }
}

impl ProducerConfig {
    /// Who must have a record. Anything but [`Acks::All`] also turns idempotence off. Default all.
    pub fn acks(mut self, acks: Acks) -> Self {
        self.acks = acks;
        self.idempotent &= acks == Acks::All;
        self
    }

    /// Whether retries can neither duplicate nor reorder records. Default true.
    pub fn idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = idempotent;
        self
    }

    /// How batches are compressed. Default not at all.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// How long a record may wait for company when the broker is idle. Under load batches fill
    /// while earlier ones are under way, so waiting buys little. Default 0.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Bytes at which a batch is full, before compression; a larger record gets a batch of its own.
    /// Default 128 KiB.
    pub fn batch_size(mut self, size: usize) -> Self {
        self.batch_size = size;
        self
    }

    /// Most bytes of batches in one request, and the largest record, in bytes. Default 1,000,000.
    pub fn max_request_size(mut self, size: usize) -> Self {
        self.max_request_size = size;
        self
    }

    /// Most bytes of records that wait or are under way; senders wait beyond it. At most
    /// 512 MiB. Default 32 MiB.
    pub fn buffer_size(mut self, size: usize) -> Self {
        self.buffer_size = size;
        self
    }

    /// Longest time from sending a record to knowing its fate, retries included. Default 120 s.
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.delivery_timeout = timeout;
        self
    }

    /// Requests under way to one broker, 1 to 5. Default 5.
    pub fn max_in_flight(mut self, count: usize) -> Self {
        self.max_in_flight = count;
        self
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        if self.idempotent && self.acks != Acks::All {
            return Err(Error::config("an idempotent producer needs acks=all"));
        }
        if !(1..=5).contains(&self.max_in_flight) {
            // Brokers remember five batches of each producer.
            return Err(Error::config("max_in_flight must be 1 to 5"));
        }
        if self.batch_size == 0 || self.max_request_size < 1024 {
            return Err(Error::config("batch_size must not be 0, max_request_size not under 1024"));
        }
        if self.buffer_size < self.max_request_size || self.buffer_size > 512 << 20 {
            return Err(Error::config("buffer_size must be max_request_size to 512 MiB"));
        }
        if self.delivery_timeout < self.linger || self.delivery_timeout.is_zero() {
            return Err(Error::config("delivery_timeout must be longer than linger"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_refused() {
        let good = ProducerConfig::default;
        assert!(good().validate().is_ok());
        assert!(good().acks(Acks::Leader).validate().is_ok());
        let bad = [
            good().acks(Acks::Leader).idempotent(true),
            good().max_in_flight(6),
            good().max_in_flight(0),
            good().batch_size(0),
            good().buffer_size(1),
            good().delivery_timeout(Duration::ZERO),
        ];
        for config in bad {
            assert!(matches!(config.validate(), Err(Error::Config(_))), "{config:?}");
        }
    }
}
