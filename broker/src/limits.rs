//! Every bound of the broker that is not a setting, in one place.
//!
//! Bounds that an operator may want to move (frame size, byte budget, connections) are settings and
//! live in the configuration; what stands here follows from the protocol or from this code's shape.

use std::time::Duration;

/// Bytes of a request that may arrive before the global budget is asked for room.
///
/// A request that is not larger than this never waits for the budget while it arrives, so a client
/// must really send this much before it can hold a share of the budget.
pub(crate) const FREE_FRAME_SIZE: usize = 64 << 10;

/// How long a request may take from its first byte to its last.
pub(crate) const FRAME_READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Requests of one connection that may be under way at once.
///
/// Clients keep five in flight by default; a connection beyond this bound is simply not read
/// until an answer has left.
pub(crate) const PIPELINE_DEPTH: usize = 64;

/// Bytes of ready responses that are joined into one vectored write.
pub(crate) const WRITE_BATCH_SIZE: usize = 1 << 20;

/// Slices handed to the kernel in one vectored write (Linux takes at most 1,024).
pub(crate) const WRITE_SLICES: usize = 128;

/// Requests that wait in one shard's inbox before connections are held back.
pub(crate) const SHARD_INBOX: usize = 1024;

/// Requests that a shard takes from its inbox in one turn of its loop.
pub(crate) const SHARD_TURN: usize = 256;

/// Fetch sessions kept for incremental fetches (KIP-227's default for a broker).
pub(crate) const FETCH_SESSIONS: usize = 1000;

/// How long a stopping broker waits for connections and shards before it exits anyway.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// Time between two looks at retention, segment age and background work of a shard's partitions.
pub(crate) const SHARD_TICK: Duration = Duration::from_secs(1);

/// Producer ids handed to a broker in one decided block, as in Kafka.
pub(crate) const PRODUCER_ID_BLOCK: u32 = 1000;

const _: () = assert!(SHARD_TURN <= SHARD_INBOX);
const _: () = assert!(WRITE_SLICES <= 1024);

/// Requests that wait in the controller's inbox.
pub(crate) const CONTROLLER_INBOX: usize = 256;

/// How long a start may take until all partitions are in service.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(120);

/// Threads of one shard for work that waits for the device: opening files, cold reads.
pub(crate) const SHARD_BLOCKING_THREADS: usize = 4;

/// How long an answer about new topics waits until they can be used.
pub(crate) const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Time between two checks of a sealed segment by one shard: with segments of 1 GiB a slow read of
/// some 17 MB/s.
pub(crate) const SCRUB_INTERVAL: Duration = Duration::from_secs(60);
