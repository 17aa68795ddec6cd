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

/// Syncs that take no longer may be done on a shard's own thread.
pub(crate) const QUICK_SYNC: Duration = Duration::from_micros(300);

/// Most bytes of batches that a sync may leave to the shard's carrier, where they are written a
/// second time.
pub(crate) const CARRY_MAX_SIZE: u32 = 16 << 10;

/// A shard's tick: what the replicas of the metadata group count in.
pub(crate) const REPLICA_TICK: Duration = Duration::from_millis(50);

/// Ticks of a shard between two ticks of its data partitions' replicas.
pub(crate) const DATA_TICKS: u32 = 2;

/// Ticks of a data partition's replica after which a leader that heard of no quorum stops taking
/// batches, and a candidate without promises gives its appointment back.
pub(crate) const CHECK_QUORUM_TICKS: u32 = 15;

/// Ticks of a replica after which an unanswered message is repeated.
pub(crate) const RESEND_TICKS: u32 = 2;

/// Ticks of a data partition's replica between two probes of a follower that seems to lack nothing:
/// 10 s.
pub(crate) const PROBE_TICKS: u32 = 100;

/// Ticks for which a follower may lag before it no longer counts as in sync.
pub(crate) const IN_SYNC_LAG_TICKS: u32 = 100;

/// Ticks for which whoever waits for new partitions waits for the leader that was appointed here.
pub(crate) const APPOINTMENT_SETTLE_TICKS: u32 = 20;

/// Messages of one partition that wait for its disk; what comes beyond is lost, and repeated later.
pub(crate) const HELD_MESSAGES: usize = 4096;

/// Ticks of a shard between two looks at retention, segment age and background work of its
/// partitions: a second.
pub(crate) const UPKEEP_TICKS: u32 = 20;

/// Time between two requests of a shard to the controller to appoint others.
pub(crate) const RESIGN_INTERVAL: Duration = Duration::from_millis(300);

/// Ticks of a replica for which a preferred leader must have kept up before it is offered its
/// partition: 5 s, so that one that comes and goes does not take leadership with it each time.
pub(crate) const NOMINATION_TICKS: u32 = 50;

/// Free space in bytes from which on a replica that found the disk full is tried again.
pub(crate) const REOPEN_FREE_SIZE: u64 = 4 << 20;

/// Producer ids handed to a broker in one decided block, as in Kafka.
pub(crate) const PRODUCER_ID_BLOCK: u32 = 1000;

const _: () = assert!(SHARD_TURN <= SHARD_INBOX);
const _: () = assert!(RESEND_TICKS * 3 < CHECK_QUORUM_TICKS);
const _: () = assert!(CHECK_QUORUM_TICKS < IN_SYNC_LAG_TICKS);
const _: () = assert!(WRITE_SLICES <= 1024);

/// How long a stopping broker waits until its leaderships are moved to others.
pub(crate) const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(1);

const _: () = assert!(HAND_OVER_TIMEOUT.as_millis() < STOP_TIMEOUT.as_millis());

/// Ticks between two heartbeats of a broker to each other broker: 100 ms.
pub(crate) const HEARTBEAT_TICKS: u32 = 2;

/// Ticks of silence after which a broker counts as gone: 500 ms.
pub(crate) const BROKER_TIMEOUT_TICKS: u32 = 10;

/// Ticks after which a leader of the metadata group that got no answers from a majority stops
/// taking records. Longer than the silence that makes others stand for election.
pub(crate) const METADATA_CHECK_QUORUM_TICKS: u32 = 12;

const _: () = assert!(BROKER_TIMEOUT_TICKS >= 3 * HEARTBEAT_TICKS);
const _: () = assert!(METADATA_CHECK_QUORUM_TICKS > BROKER_TIMEOUT_TICKS);

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

/// Largest request frame that can be configured. A batch is never larger than the request that
/// brought it.
pub(crate) const FRAME_SIZE_CEILING: usize = 1 << 30;

/// Most bytes of batches in one message between replicas, exceeded by at most one batch: the core's
/// `message_size`.
pub(crate) const REPLICA_MESSAGE_SIZE: usize = 4 << 20;

/// Largest header of a frame between brokers. The longest are requests to the controller and its
/// answers ([`CONTROL_BODY_SIZE`]); lists of batches take less: at some 70 bytes for the smallest
/// batch, a message of [`REPLICA_MESSAGE_SIZE`] describes about 60,000 of them.
pub(crate) const PEER_HEADER_SIZE: usize = 12 << 20;

/// Largest payload of a frame between brokers.
pub(crate) const PEER_PAYLOAD_SIZE: usize = REPLICA_MESSAGE_SIZE + FRAME_SIZE_CEILING;

/// Messages for one peer are joined into a frame until they take this much.
pub(crate) const PEER_PACK_SIZE: usize = 1 << 20;

/// Largest frame before a connection between brokers is introduced.
pub(crate) const HELLO_FRAME_SIZE: usize = 8 << 10;

/// Largest request to the controller, and largest answer, that is sent to another broker. The most
/// partitions that one request may create (10,000), each in a topic of its own with a name of 249
/// bytes, take about 5 MB with the answer's description of each.
pub(crate) const CONTROL_BODY_SIZE: usize = 8 << 20;

/// Partitions of which a shard speaks in one request to the controller; the rest comes later.
pub(crate) const APPEAL_PARTITIONS: usize = 16 << 10;

const _: () = assert!(APPEAL_PARTITIONS * 128 < CONTROL_BODY_SIZE);

/// Messages that wait for one connection to a peer; more are dropped.
pub(crate) const LINK_QUEUE_COUNT: usize = 16 << 10;

/// Bytes that wait for one connection to a peer, exceeded by at most one message. What a leader has
/// under way to one follower is bounded by the core's window, so this holds for several leaders.
pub(crate) const LINK_QUEUE_SIZE: usize = 128 << 20;

/// Bytes received on one connection and not processed yet; beyond it the socket is not read.
pub(crate) const PEER_RECEIVED_SIZE: u32 = 32 << 20;

const _: () = assert!(REPLICA_MESSAGE_SIZE / 64 * 40 < PEER_HEADER_SIZE);
const _: () = assert!(PEER_HEADER_SIZE + PEER_PAYLOAD_SIZE < u32::MAX as usize);
const _: () = assert!(CONTROL_BODY_SIZE + PEER_PACK_SIZE < PEER_HEADER_SIZE);
const _: () = assert!(HELLO_FRAME_SIZE < FREE_FRAME_SIZE);
const _: () = assert!(PEER_PACK_SIZE <= LINK_QUEUE_SIZE);

/// How long connecting to a peer may take.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_millis(1000);

/// How long the other side's introduction may take, on both sides. It covers the dial by which the
/// other side may verify this one.
pub(crate) const HELLO_TIMEOUT: Duration = Duration::from_secs(3);

/// First and longest pause between two dials of one link.
pub(crate) const DIAL_PAUSE: Duration = Duration::from_millis(25);
pub(crate) const DIAL_PAUSE_LIMIT: Duration = Duration::from_millis(500);

/// How long a connection to a peer may take no byte before it is given up.
pub(crate) const PEER_STALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Time between two signs of life of whoever reads a connection between brokers, and the silence
/// after which its dialer gives it up. Longer than the silence after which a broker counts as gone:
/// a connection is not to blame for that.
pub(crate) const PEER_PULSE: Duration = Duration::from_millis(300);
pub(crate) const PEER_PULSE_TIMEOUT: Duration = Duration::from_millis(1500);

const _: () = assert!(PEER_PULSE_TIMEOUT.as_millis() >= 4 * PEER_PULSE.as_millis());

/// A silent connection between brokers is probed after this time, and this often.
pub(crate) const PEER_KEEPALIVE: Duration = Duration::from_secs(1);
pub(crate) const PEER_KEEPALIVE_PROBES: u32 = 4;

/// Connections to the peer port that may be without introduction at once.
pub(crate) const PEER_STRANGERS: usize = 64;

/// The same complaint about the same peer is logged this often.
pub(crate) const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// Control messages received and not yet processed, over all peers.
pub(crate) const CONTROL_RECEIVED: usize = 256;

/// Questions and answers about lag received and not yet processed, over all peers; more are
/// dropped.
pub(crate) const LAGS_RECEIVED: usize = 64;

/// Places about which one broker asks the others at a time; the lag of the rest is not known.
pub(crate) const LAG_PLACES: usize = 10_000;

/// Time between two such questions, and how long an answer counts.
pub(crate) const LAG_INTERVAL: Duration = Duration::from_secs(5);
pub(crate) const LAG_MAX_AGE: Duration = Duration::from_secs(20);

const _: () = assert!(LAG_PLACES * 64 < PEER_HEADER_SIZE);

const _: () = assert!(DIAL_TIMEOUT.as_millis() < HELLO_TIMEOUT.as_millis());
const _: () = assert!(DIAL_PAUSE.as_millis() < DIAL_PAUSE_LIMIT.as_millis());

/// Pause between two rounds of dials while a cluster forms.
pub(crate) const FORMATION_ROUND: Duration = Duration::from_millis(100);

/// How often a broker that waits for its cluster to form says so.
pub(crate) const FORMATION_REPORT: Duration = Duration::from_secs(5);

/// How long another broker may be found at this one's address before that is an error. By then
/// everybody has dialed anew.
pub(crate) const FORMATION_PATIENCE: Duration = Duration::from_secs(10);

const _: () = assert!(FORMATION_PATIENCE.as_millis() > 2 * HELLO_TIMEOUT.as_millis());

/// How often a broker that waits for others says so.
pub(crate) const WAITING_WARNING: Duration = Duration::from_secs(10);
