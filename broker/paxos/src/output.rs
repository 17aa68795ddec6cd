//! What the core asks its runtime to do.

use std::fmt;

use crate::{Ballot, Batch, Message, NodeId};

/// A write in a replica's one ordered stream. Numbered from 1 in each incarnation, without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u64);

impl fmt::Display for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}", self.0)
    }
}

/// A read of the replica's own log, answered by
/// [`Replica::handle_read`](crate::Replica::handle_read).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

impl fmt::Display for ReadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// What a replica is doing as a proposer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It follows whoever leads.
    Follower,
    /// It runs phase 1 of its ballot.
    Candidate,
    /// It leads its ballot.
    Leader {
        /// The adopted log is decided under this ballot: produce, latest-offset reads and
        /// coordinator work may be served.
        ready: bool,
        /// It has heard from a quorum within the check-quorum time.
        quorum: bool,
    },
}

/// One thing for the runtime to do. Outputs are done in the order in which they are polled, as far
/// as the variants say so.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// Ordered write: make the vow durable in the journal.
    Vow {
        /// Place in the write stream.
        write: WriteId,
        /// The ballot promised.
        promised: Ballot,
        /// The ballot under which the whole log is accepted.
        accepted_ballot: Ballot,
    },
    /// Ordered write: append to the log. On a follower the payload stands beside the message just
    /// handled; on a leader it belongs to the proposal just made.
    Append {
        /// Place in the write stream.
        write: WriteId,
        /// Contiguous batches, the first of them at the end of the log.
        batches: Vec<Batch>,
    },
    /// Ordered write: cut the log at `end`, zero and sync what was cut, and lower the durability
    /// mark to `end`. The only output that lowers a mark.
    Truncate {
        /// Place in the write stream.
        write: WriteId,
        /// The new end; a batch boundary.
        end: u64,
    },
    /// Ordered write: drop the whole log and begin an empty one at `at`.
    RestartLog {
        /// Place in the write stream.
        write: WriteId,
        /// The start and end of the empty log.
        at: u64,
    },
    /// Send a message, not before the write `after` is synced.
    Send {
        /// The receiver; never this replica itself.
        to: NodeId,
        /// What to send. Payload goes beside it.
        message: Message,
        /// The write the message waits for. All earlier writes are synced then, too.
        after: Option<WriteId>,
    },
    /// Read batch descriptors (not payload) of whole batches from the own log, beginning with the
    /// one at `from`, ending at or before `end`; at least one, then as many as fit `max_size`
    /// bytes. Sees every earlier `Append`, synced or not.
    Read {
        /// Hand it back with the answer.
        read: ReadId,
        /// Base of the first batch.
        from: u64,
        /// Exclusive end of the range wanted; a batch boundary.
        end: u64,
        /// Sum of batch sizes not to exceed, except by the first batch.
        max_size: u64,
    },
    /// The log is decided up to `end`, which only ever grows.
    Decided {
        /// The decided end.
        end: u64,
    },
    /// The leader's log starts at `start`: this replica may trim its own. Advisory.
    TrimHint {
        /// The leader's log start, at most this replica's decided end.
        start: u64,
    },
    /// The replica took another role.
    RoleChanged {
        /// The new role.
        role: Role,
        /// The ballot it is about: the own one of a candidate or leader, else the promised one.
        ballot: Ballot,
    },
}
