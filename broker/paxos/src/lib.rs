//! Sans-IO multi-Paxos over a prefix log: the consensus core of Synod.
//!
//! A [`Replica`] is proposer, acceptor and learner of one partition on one node: a pure,
//! synchronous state machine without IO, clocks, threads or ambient randomness. `handle_*` takes
//! what happened, [`poll_output`](Replica::poll_output) yields what to do. The same code runs in
//! the broker, in the simulator and under the model checker; it is `Clone + Eq + Hash`.
//!
//! The log is a run of batches `[start, end)` in *record offsets*. There are no no-op entries: user
//! offsets are dense. The core knows a batch as a [`Batch`] descriptor only; payload travels beside
//! the messages, located by offset range.
//!
//! # How agreement is reached
//!
//! *Phase 1.* An appointment names a [`Ballot`]. The candidate vows it, asks all replicas for a
//! [`Promise`], and, with a quorum of them, adopts the *whole* log of the promiser with the
//! greatest `(accepted_ballot, durable_end)`: cuts what diverges, copies what is missing, and notes
//! that its log is accepted under the new ballot. Then it leads, and makes every follower do the
//! same by [`Adopt`].
//!
//! *Phase 2.* Proposals are appended, sent by pipelined [`Accept`]s, and decided once a quorum has
//! them synced *under this ballot*. The adopted log counts the same way: a new leader is
//! [ready](Role::Leader) only when that is decided under its ballot.
//!
//! *Reads.* A leader that was superseded may not know it. Before it answers from what it holds as
//! decided, it asks the voters to [`Confirm`] that they promised nothing higher: a quorum that says
//! so afterwards means that nobody else had decided anything when it asked. No clock is involved.
//!
//! A round is promised to one node once, so a round has one leader; a leader never resumes a
//! ballot after a restart. Therefore `(round, offset)` names one batch for ever, and replicas
//! compare logs by nothing but the list of their rounds ([`RoundStart`]).
//!
//! # The contract with the caller
//!
//! 1. **Drain** [`poll_output`](Replica::poll_output) after every input, before the next one: the
//!    payload for an [`Output::Append`] is the payload that came beside the message, or belongs to
//!    the proposals, just handed in (or a suffix of it).
//! 2. **Writes are one ordered stream.** [`Vow`](Output::Vow), [`Append`](Output::Append),
//!    [`Truncate`](Output::Truncate) and [`RestartLog`](Output::RestartLog) become durable in the
//!    order of their [`WriteId`]s: no write may be durable while an earlier one is not. Appends in
//!    a row may be written and synced together; between a log write and a vow, in either order,
//!    the first has to be synced before the second starts. Reporting in order is not enough: a vow
//!    that is durable before the log it speaks for loses chosen batches in a crash.
//! 3. **Report** [`handle_written`](Replica::handle_written) only after the sync returned Ok. One
//!    report covers all earlier writes. A failed write or sync is never retried: end the
//!    incarnation.
//! 4. **Hold back** a [`Send`](Output::Send) until its `after` is written. Messages may otherwise
//!    be lost, repeated and reordered at will, even across restarts.
//! 5. **Durability mark.** Keep, durably, an end up to which the log is known to be synced. It
//!    rises freely; only `Truncate` lowers it, and no later than the cut takes place. After a
//!    restart, a readable log that ends below the mark has lost something to corruption:
//!    [`Durable::faulty_end`] is the mark then. Such a replica never denies what it may have sworn.
//! 6. **Reads** are answered with descriptors of whole batches from the own log, including appended
//!    batches that are not synced yet.
//! 7. **Trim** the head of the log at a batch boundary at or below
//!    [`decided_end`](Replica::decided_end), and tell [`handle_trimmed`](Replica::handle_trimmed).
//!    A user-visible start in the middle of a batch is the runtime's own affair.
//! 8. **Appointments.** Rounds are never reused, and a set changes through a
//!    [joint](ReplicaSet::joint) one: the new set alone is appointed only after a leader of the
//!    joint ballot was ready. A refused ballot is [stale](AppointError::Stale); appoint a higher
//!    round. Safety does not need the appointing side to be right about who is alive.
//! 9. **Ticks** repeat what went unanswered and measure the leader's contact with a quorum. The
//!    core never reads a clock. If heartbeats per partition cost too much, set
//!    [`heartbeat_ticks`](ReplicaConfig::heartbeat_ticks) to 0 and report contact between nodes by
//!    [`handle_contact`](Replica::handle_contact).
//! 10. **Identity.** A node that lost its disk is a new node: it must not vote under its old id.
//!
//! # The main loop
//!
//! ```text
//! loop {
//!     match next_event() {
//!         Message(from, message)  => replica.handle_message(from, message),
//!         Appointed(ballot, set)  => replica.handle_appointed(ballot, set),
//!         Propose(batches)        => replica.handle_propose(&batches), // answered when decided
//!         Written(write)          => { replica.handle_written(write); outbox.release(write) }
//!         Tick                    => replica.handle_tick(),
//!     }
//!     while let Some(output) = replica.poll_output() {
//!         match output {
//!             Vow { .. } | Append { .. } | Truncate { .. } | RestartLog { .. } =>
//!                 stream.submit(output),
//!             Send { to, message, after } => outbox.send(to, message, after), // with its payload
//!             Read { read, from, end, max_size } =>
//!                 replica.handle_read(read, log.descriptors(from, end, max_size)),
//!             Decided { end }             => { answer_producers(end); wake_consumers(end) }
//!             TrimHint { start }          => retention.may_trim(start),
//!             RoleChanged { role, ballot } => publish(role, ballot),
//!         }
//!     }
//! }
//! ```
//!
//! A leader that stops leading leaves the outcome of undecided proposals open: they may be decided
//! under a later ballot, at the same offsets. Report them as unknown, not as failed.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | ballot, round | a totally ordered attempt to lead; its number, Kafka's leader epoch |
//! | vow | the durable promise behind a [`Promise`] message |
//! | accepted ballot | the ballot under which a replica accepted its *whole* log |
//! | chosen / decided | a quorum accepted it under one ballot / this replica knows so |
//! | `*_end` | exclusive: first offset not accepted, not synced, not decided |
//! | adopted end | end of a leader's log as it came out of phase 1 |
//! | faulty | between a log's readable end and its durability mark: maybe accepted |
//! | surely never accepted | what a promise says of everything beyond those |
//! | observer | receives everything, votes on nothing |
//! | learner | the part of every replica that learns what is decided |
//!
//! The pointers of one replica, asserted by [`check`](Replica::check) after every input:
//!
//! ```text
//! log_start ≤ decided_end ≤ log_end < faulty_end (if any)     durable_end ≤ log_end
//! accepted_ballot ≤ promised      synced vows ≤ vows in memory      newest round ≤ promised.round
//! leader: ballot = promised = accepted_ballot;  adopted_end ≤ decided_end once it is ready
//! ```
//!
//! # How it is tested
//!
//! * `cargo test -p synod-paxos`: every handler one message at a time; golden transcripts
//!   (`SYNOD_REWRITE=1` writes them anew); liars; random schedules of loss, repetition, reordering,
//!   cuts, crashes, corruption, trimming and changes of replicas, which then heal and have to make
//!   progress (`SYNOD_SEEDS=n` runs more of them, `SYNOD_SEED=n SYNOD_TRACE=1` one of them); every
//!   planted bug is found by those within 1,000 seeds.
//! * `cargo test -p synod-paxos --test model`: exhaustive within bounds: three replicas, competing
//!   ballots, two batches, loss, reordering, a crash, corruption. With `-- --ignored` the larger
//!   bounds.
//!
//! # Limits
//!
//! * A [`Promise`] carries the round history of the undecided tail: as long as the number of rounds
//!   with data in it. A replica that kept no decided end sends that of its whole log.
//! * What lies behind the first unreadable batch counts as faulty although it may be readable.
//!   If several replicas rot at different places, that costs availability, never data.
//! * A candidate takes the missing suffix from one promiser; if that one dies in the middle, the
//!   candidate gives up and another round has to be appointed.
//!
//! # A worked example
//!
//! One voter, every step by hand:
//!
//! ```
//! use synod_paxos::*;
//!
//! let node = NodeId(1);
//! let mut replica = Replica::new(ReplicaConfig::new(node), Durable::default());
//! replica.handle_appointed(Ballot::new(1, node), ReplicaSet::new(&[node]))?;
//! assert!(matches!(replica.poll_output(), Some(Output::Vow { write: WriteId(1), .. })));
//!
//! replica.handle_written(WriteId(1)); // its own promise is a quorum: it adopts its own log
//! replica.handle_written(WriteId(2)); // and has accepted that under ballot 1
//! assert_eq!(replica.role(), Role::Leader { ready: true, quorum: true });
//!
//! let batch = Proposal { count: 10, size: 1_000, checksum: 0 };
//! assert_eq!(replica.handle_propose(&[batch])?, 0..10);
//! assert_eq!(replica.decided_end(), 0);
//! replica.handle_written(WriteId(3)); // the append is synced
//! assert_eq!(replica.decided_end(), 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Three voters in memory, with disks that sync at once and a network that loses nothing:
//!
//! ```
//! use std::collections::VecDeque;
//! use synod_paxos::*;
//!
//! let nodes = [NodeId(0), NodeId(1), NodeId(2)];
//! let mut replicas = nodes.map(|node| Replica::new(ReplicaConfig::new(node), Durable::default()));
//! let mut network = VecDeque::new();
//!
//! // Does what a replica asks for. Writes are durable at once here, so no message has to wait.
//! fn drain(replica: &mut Replica, network: &mut VecDeque<(NodeId, NodeId, Message)>) {
//!     let from = replica.node();
//!     while let Some(output) = replica.poll_output() {
//!         match output {
//!             Output::Vow { write, .. } | Output::Append { write, .. } => {
//!                 replica.handle_written(write)
//!             }
//!             Output::Send { to, message, .. } => network.push_back((from, to, message)),
//!             _ => {}
//!         }
//!     }
//! }
//!
//! replicas[0].handle_appointed(Ballot::new(1, nodes[0]), ReplicaSet::new(&nodes))?;
//! let mut proposed = false;
//! loop {
//!     drain(&mut replicas[0], &mut network);
//!     if !proposed && replicas[0].role() == (Role::Leader { ready: true, quorum: true }) {
//!         proposed = true;
//!         let batch = Proposal { count: 3, size: 300, checksum: 7 };
//!         assert_eq!(replicas[0].handle_propose(&[batch, batch])?, 0..6);
//!         continue;
//!     }
//!     let Some((from, to, message)) = network.pop_front() else { break };
//!     let receiver = &mut replicas[to.0 as usize];
//!     receiver.handle_message(from, message)?;
//!     drain(receiver, &mut network);
//! }
//! assert!(replicas.iter().all(|replica| replica.decided_end() == 6));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod acceptor;
mod ballot;
mod batch;
mod config;
mod core;
mod election;
mod error;
mod history;
mod message;
mod output;
mod planted;
mod prefix_log;
mod proposer;
mod replica;
mod replica_set;
mod write_stream;

pub use ballot::{Ballot, NodeId};
pub use batch::{Batch, Proposal};
pub use config::{Durable, MAX_VOTERS, ReplicaConfig};
pub use election::{Election, ElectionConfig, ElectionOutput, Heartbeat};
pub use error::{AppointError, InputError, ProposeError};
pub use history::RoundStart;
pub use message::{
    Accept, Accepted, Adopt, Confirm, Confirmed, Copied, Decide, Entries, Message, Nack, Prepare,
    Promise, Read,
};
pub use output::{Output, ReadId, Role, WriteId};
#[cfg(feature = "planted-bugs")]
pub use planted::PlantedBug;
pub use proposer::FollowerStatus;
pub use replica::Replica;
pub use replica_set::ReplicaSet;
