//! What replicas say to each other: one struct per kind, one enum of all.
//!
//! Messages carry batch descriptors only. The runtime sends the payload of `[first.base, last.end)`
//! beside every `Entries`, `Adopt` and `Accept`, and on receipt hands the message to the core with
//! the payload at hand, for the [`Append`](crate::Output::Append) outputs that follow.

use crate::{Ballot, Batch, RoundStart};

/// A message between replicas of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Message {
    /// Candidate → all: promise me this ballot.
    Prepare(Prepare),
    /// Replica → candidate: promised; this is what I hold.
    Promise(Promise),
    /// Candidate → best promiser: give me the suffix I miss.
    Read(Read),
    /// Best promiser → candidate: a part of it.
    Entries(Entries),
    /// Leader → follower: make your log a prefix of mine, up to where I adopted it.
    Adopt(Adopt),
    /// Follower → leader: that part of the adoption is here; send the next.
    Copied(Copied),
    /// Leader → follower: phase 2, pipelined.
    Accept(Accept),
    /// Follower → leader: synced here up to this end, under this ballot.
    Accepted(Accepted),
    /// Leader → follower: what is decided, when there is no `Accept` to carry it.
    Decide(Decide),
    /// Refusal: a higher ballot was promised, or this one was not promised yet.
    Nack(Nack),
    /// Leader → voter: is this ballot still the highest that you promised?
    Confirm(Confirm),
    /// Voter → leader: it is.
    Confirmed(Confirmed),
}

impl Message {
    /// The ballot the message belongs to.
    pub fn ballot(&self) -> Ballot {
        match self {
            Message::Prepare(m) => m.ballot,
            Message::Promise(m) => m.ballot,
            Message::Read(m) => m.ballot,
            Message::Entries(m) => m.ballot,
            Message::Adopt(m) => m.ballot,
            Message::Copied(m) => m.ballot,
            Message::Accept(m) => m.ballot,
            Message::Accepted(m) => m.ballot,
            Message::Decide(m) => m.ballot,
            Message::Nack(m) => m.ballot,
            Message::Confirm(m) => m.ballot,
            Message::Confirmed(m) => m.ballot,
        }
    }

    /// The batches whose payload travels beside the message.
    pub fn batches(&self) -> &[Batch] {
        match self {
            Message::Entries(m) => &m.batches,
            Message::Adopt(m) => &m.batches,
            Message::Accept(m) => &m.batches,
            _ => &[],
        }
    }
}

/// Phase 1a.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prepare {
    /// The ballot to promise; its node is the sender.
    pub ballot: Ballot,
    /// The candidate's own accepted ballot.
    pub accepted_ballot: Ballot,
    /// The end of the candidate's own log.
    pub accepted_end: u64,
    /// Up to where the candidate knows the log to be decided. The promise leaves out round history
    /// that both sides know to be decided.
    pub decided_end: u64,
}

/// Phase 1b. Sent only after the vow *and* every earlier write are synced.
///
/// It answers for each part of the log: `[log_start, durable_end)` is *accepted* (or decided);
/// `[durable_end, faulty_end)` is *faulty*, maybe accepted; everything at and after the greater of
/// the two was *surely never accepted*.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Promise {
    /// The promised ballot.
    pub ballot: Ballot,
    /// The ballot under which the sender accepted its whole log.
    pub accepted_ballot: Ballot,
    /// First offset in the sender's log.
    pub log_start: u64,
    /// First offset not accepted and readable here.
    pub durable_end: u64,
    /// End of what was durable here once and cannot be read any more. `None` = nothing is lost.
    pub faulty_end: Option<u64>,
    /// Up to where the sender knows the log to be decided.
    pub decided_end: u64,
    /// Round history from the lesser of the two decided ends on, oldest first.
    pub rounds: Vec<RoundStart>,
}

impl Promise {
    /// Whether the promise can be true at all.
    pub(crate) fn is_sound(&self) -> bool {
        self.accepted_ballot <= self.ballot
            && self.log_start <= self.decided_end
            && self.decided_end <= self.durable_end
            && self.faulty_end.is_none_or(|faulty_end| faulty_end > self.durable_end)
    }
}

/// Asks the best promiser for `[from, end)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Read {
    /// The candidate's ballot.
    pub ballot: Ballot,
    /// First offset wanted.
    pub from: u64,
    /// First offset not wanted.
    pub end: u64,
}

/// Answers [`Read`] with whole batches, perhaps not all of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entries {
    /// The candidate's ballot.
    pub ballot: Ballot,
    /// Base of the first batch.
    pub from: u64,
    /// Contiguous batches. The payload travels beside the message.
    pub batches: Vec<Batch>,
}

/// Brings a follower's log to the leader's log as adopted in phase 1, in one or more parts.
///
/// Self-validating: a follower applies it only where its own log provably equals the leader's
/// below `from`, so lost, repeated and reordered parts are harmless.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Adopt {
    /// The leader's ballot.
    pub ballot: Ballot,
    /// First offset of the leader's log. Nothing before it can be needed again.
    pub log_start: u64,
    /// Base of the first batch, or the end of the adoption if there is none.
    pub from: u64,
    /// Round of the leader's batch that ends at `from`; if the leader has forgotten that, of the
    /// one that begins there. A follower whose own batch ending there is of this round holds the
    /// leader's log below `from`.
    pub prev_round: Option<u32>,
    /// The follower's log ends before, or differs at, the leader's log start: restart it there.
    pub restart: bool,
    /// Contiguous batches. The payload travels beside the message.
    pub batches: Vec<Batch>,
    /// End of the leader's log as adopted: a follower notes its acceptance once it is there, and
    /// cuts what it holds beyond.
    pub adopted_end: u64,
    /// Up to where the leader knows the log to be decided.
    pub decided_end: u64,
}

/// Flow control of a long adoption; says nothing about acceptance.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Copied {
    /// The leader's ballot.
    pub ballot: Ballot,
    /// End of what equals the leader's log and is synced here.
    pub end: u64,
}

/// Phase 2a. Contiguous with the follower's log, or refused.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Accept {
    /// The leader's ballot.
    pub ballot: Ballot,
    /// Base of the first batch.
    pub base: u64,
    /// Contiguous batches. The payload travels beside the message.
    pub batches: Vec<Batch>,
    /// Up to where the leader knows the log to be decided.
    pub decided_end: u64,
}

/// Phase 2b. Everything before `durable_end` is accepted under `ballot` and synced.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Accepted {
    /// The ballot of the acceptance.
    pub ballot: Ballot,
    /// First offset not known to be synced here.
    pub durable_end: u64,
    /// Set when something was refused or announced that begins beyond this end of the log: the
    /// leader goes on from here.
    pub gap: Option<u64>,
}

/// Tells what is decided; also the leader's probe for a follower that fell silent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Decide {
    /// The leader's ballot.
    pub ballot: Ballot,
    /// First offset of the leader's log; a follower may trim up to it.
    pub log_start: u64,
    /// End of what the leader has sent to this follower.
    pub sent_end: u64,
    /// Up to where the leader knows the log to be decided.
    pub decided_end: u64,
    /// Whether the follower is to answer even if it misses nothing.
    pub probe: bool,
}

/// Refusal of a message of `ballot`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nack {
    /// The refused ballot.
    pub ballot: Ballot,
    /// What the sender has promised. Higher than `ballot`: the sender of that is superseded.
    /// Lower: it has to prepare the sender of this first.
    pub promised: Ballot,
}

/// Asks a voter whether the sender is superseded. Says nothing about the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Confirm {
    /// The leader's ballot.
    pub ballot: Ballot,
    /// How often the leader has asked under this ballot.
    pub number: u64,
}

/// When the sender handled that [`Confirm`], it had promised nothing higher.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Confirmed {
    /// The leader's ballot.
    pub ballot: Ballot,
    /// The number of the question.
    pub number: u64,
}
