//! One runtime for everything that is folded from a replicated log: the pure part.
//!
//! A [`StateMachine`] is a deterministic fold of records. [`StateLog`] holds its live value and
//! turns requests into proposals. A request's handler is a pure function of the state that returns
//! records and a response; the records go into the next proposal and the response is parked until
//! they are decided. The live state changes only by decided records, read back from the bytes that
//! were decided, so it always equals a replay.
//!
//! The owner's loop, with no IO, clock or lock in here:
//!
//! ```text
//! on a request:             log.submit(handler, reply)
//! when its replica leads and has applied all that is decided:   log.handle_leading()
//! whenever it may propose:  if let Some(proposal) = log.poll_proposal() { propose it }
//!                           a definite refusal:                 log.handle_refused()
//! on each decided batch:    let responses = log.handle_decided(base, &records)?;
//!                           publish log.state(); responses.send()
//! then, each time:          see to log.reads_mut(), as Reads tells
//! when it no longer leads:  log.handle_lost_leadership()
//! ```
//!
//! One proposal is in flight at a time. Requests that arrive meanwhile wait and are then handled
//! together, each seeing the records of those before it, and proposed as one batch: batching comes
//! from load. The same holds for answers that need no record: a replica that was superseded may not
//! know it, so they are parked until a quorum has said, after they were made, that it still leads.

pub(crate) mod batches;

use std::{collections::VecDeque, fmt};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Requests that may wait for their handler to run; further ones are refused as busy.
pub const WAITING_REQUESTS: usize = 1024;

/// A proposal stops gathering requests once it holds this many records.
pub const PROPOSAL_RECORDS: usize = 4096;

/// A proposal stops gathering requests once its keys and values hold this many bytes.
pub const PROPOSAL_SIZE: usize = 512 << 10;

/// Why a record could not be read or applied. The owner stops: going on would be a guess.
pub type StateError = Box<dyn std::error::Error + Send + Sync>;

/// A deterministic fold of records.
///
/// `clone` must be cheap: each proposal is prepared on a copy of the live state.
pub trait StateMachine: Clone {
    /// What the log is made of.
    type Record;

    /// Folds in the record at `offset`; offsets come without gaps.
    ///
    /// # Errors
    /// The record contradicts the state: a bug or a damaged log.
    fn apply(&mut self, offset: u64, record: &Self::Record) -> Result<(), StateError>;

    /// The record's key and value in the log.
    fn encode(record: &Self::Record) -> EncodedRecord;

    /// The inverse of [`StateMachine::encode`].
    ///
    /// # Errors
    /// The bytes are no record, or one of a newer version.
    fn decode(record: &EncodedRecord) -> Result<Self::Record, StateError>;
}

/// A record's key and value as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedRecord {
    /// The key, for logs that are compacted by key.
    pub key: Option<Bytes>,
    /// The value.
    pub value: Option<Bytes>,
}

impl EncodedRecord {
    fn size(&self) -> usize {
        self.key.as_ref().map_or(0, Bytes::len) + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// Records to be proposed as one batch, decided together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The offset that the first record must get.
    pub base_offset: u64,
    /// The records; never empty.
    pub records: Vec<EncodedRecord>,
}

/// Why a request got no response from its handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum NotDone {
    /// This replica does not lead; nothing was proposed.
    #[error("this broker does not lead the log")]
    NotLeading,
    /// Too many requests wait; nothing was proposed.
    #[error("too many requests are waiting")]
    Busy,
    /// The log refused the records; nothing was proposed.
    #[error("the log takes no records at the moment")]
    Refused,
    /// The request cannot be passed on to the broker that leads; nothing was proposed.
    #[error("the request is too large to be passed on to the controller: ask for less at a time")]
    TooLarge,
    /// The records were proposed and may or may not be decided later.
    #[error("leadership was lost before the outcome was known")]
    Unknown,
}

type Reply = Box<dyn FnOnce(Result<(), NotDone>) + Send>;

/// A request whose handler has not run.
trait Waiting<S: StateMachine>: Send {
    fn handle(self: Box<Self>, state: &S) -> (Vec<S::Record>, Reply);
    fn fail(self: Box<Self>, reason: NotDone);
}

struct Request<H, F> {
    handler: H,
    reply: F,
}

impl<S, H, F, R> Waiting<S> for Request<H, F>
where
    S: StateMachine,
    H: FnOnce(&S) -> (Vec<S::Record>, R) + Send,
    F: FnOnce(Result<R, NotDone>) + Send + 'static,
    R: Send + 'static,
{
    fn handle(self: Box<Self>, state: &S) -> (Vec<S::Record>, Reply) {
        let Self { handler, reply } = *self;
        let (records, response) = handler(state);
        (records, Box::new(move |outcome| reply(outcome.map(|()| response))))
    }

    fn fail(self: Box<Self>, reason: NotDone) {
        (self.reply)(Err(reason));
    }
}

/// Responses that may go out, once whatever they tell of has been published.
#[must_use = "responses are parked until they are sent"]
#[derive(Default)]
pub struct Responses(Vec<Reply>);

impl Responses {
    /// Sends them, in the order of their requests.
    pub fn send(self) {
        self.finish(Ok(()));
    }

    fn finish(self, outcome: Result<(), NotDone>) {
        for reply in self.0 {
            reply(outcome);
        }
    }
}

impl fmt::Debug for Responses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Responses({})", self.0.len())
    }
}

struct InFlight {
    base_offset: u64,
    record_count: usize,
    parked: Responses,
}

/// Responses that rest on what is decided and need no record, until a quorum has confirmed that
/// this replica still leads. One question is under way at a time:
///
/// ```text
/// if reads.needs_confirmation():   ask a quorum, then reads.handle_asked(its number)
/// when a quorum has confirmed:     reads.handle_confirmed(that number)
/// when there is no quorum:         reads.handle_unconfirmed()
/// ```
#[derive(Default)]
pub struct Reads {
    /// Made since a quorum was last asked.
    fresh: Responses,
    /// Made before it was asked, and by which number.
    asked: Option<(u64, Responses)>,
}

impl Reads {
    /// Whether a quorum is to be asked now.
    #[must_use]
    pub fn needs_confirmation(&self) -> bool {
        self.asked.is_none() && !self.fresh.0.is_empty()
    }

    /// A quorum is being asked from now on, by this number.
    pub fn handle_asked(&mut self, number: u64) {
        assert!(self.asked.is_none(), "one question is under way at a time");
        self.asked = Some((number, std::mem::take(&mut self.fresh)));
    }

    /// A quorum has confirmed everything up to this number.
    pub fn handle_confirmed(&mut self, number: u64) {
        if let Some((_, responses)) = self.asked.take_if(|(asked, _)| *asked <= number) {
            responses.send();
        }
    }

    /// There is no quorum to be asked.
    pub fn handle_unconfirmed(&mut self) {
        self.fail(NotDone::Refused);
    }

    /// Has everything confirmed, as a replica without peers does at once.
    #[cfg(test)]
    pub(crate) fn confirm_now(&mut self) {
        if self.needs_confirmation() {
            self.handle_asked(1);
        }
        self.handle_confirmed(1);
    }

    fn fail(&mut self, reason: NotDone) {
        let Reads { fresh, asked } = std::mem::take(self);
        if let Some((_, responses)) = asked {
            responses.finish(Err(reason));
        }
        fresh.finish(Err(reason));
    }
}

impl fmt::Debug for Reads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = self.asked.as_ref().map(|(number, _)| number);
        f.debug_struct("Reads").field("asked", &asked).field("fresh", &self.fresh).finish()
    }
}

/// The live state of one log and the requests on their way into it.
pub struct StateLog<S: StateMachine> {
    state: S,
    /// First offset that the live state has not applied.
    end: u64,
    leading: bool,
    waiting: VecDeque<Box<dyn Waiting<S>>>,
    in_flight: Option<InFlight>,
    reads: Reads,
}

impl<S: StateMachine> StateLog<S> {
    /// Starts from `state`, which is the fold of all records below `end`.
    #[must_use]
    pub fn new(state: S, end: u64) -> Self {
        let (waiting, reads) = (VecDeque::new(), Reads::default());
        Self { state, end, leading: false, waiting, in_flight: None, reads }
    }

    /// The fold of all decided records seen so far.
    #[must_use]
    pub fn state(&self) -> &S {
        &self.state
    }

    /// First offset that [`StateLog::state`] has not applied.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Whether requests are taken.
    #[must_use]
    pub fn is_leading(&self) -> bool {
        self.leading
    }

    /// Whether [`StateLog::submit`] would take another request rather than refuse it as busy.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.waiting.len() + self.reads.fresh.0.len() < WAITING_REQUESTS
    }

    /// Takes a request: `handler` makes its records and response from the state, `reply` is called
    /// exactly once, with the response when all that it rests on is decided.
    pub fn submit<R: Send + 'static>(
        &mut self,
        handler: impl FnOnce(&S) -> (Vec<S::Record>, R) + Send + 'static,
        reply: impl FnOnce(Result<R, NotDone>) + Send + 'static,
    ) {
        if !self.leading {
            reply(Err(NotDone::NotLeading));
        } else if !self.has_room() {
            reply(Err(NotDone::Busy));
        } else {
            self.waiting.push_back(Box::new(Request { handler, reply }));
        }
    }

    /// Takes an answer made from [`StateLog::state`] as it is now. `reply` is called exactly once:
    /// with Ok when it is sure that nobody else had decided anything more by now.
    pub fn read(&mut self, reply: impl FnOnce(Result<(), NotDone>) + Send + 'static) {
        if !self.leading {
            reply(Err(NotDone::NotLeading));
        } else if !self.has_room() {
            reply(Err(NotDone::Busy));
        } else {
            self.reads.fresh.0.push(Box::new(reply));
        }
    }

    /// The answers that wait for a quorum.
    pub fn reads_mut(&mut self) -> &mut Reads {
        &mut self.reads
    }

    /// This replica leads, all that it adopted is decided, and all that is decided was applied.
    pub fn handle_leading(&mut self) {
        assert!(self.in_flight.is_none(), "a proposal is in flight before leadership began");
        self.leading = true;
    }

    /// This replica leads no more. What was proposed has an unknown outcome; the rest did not
    /// happen.
    pub fn handle_lost_leadership(&mut self) {
        self.leading = false;
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.parked.finish(Err(NotDone::Unknown));
        }
        self.reads.fail(NotDone::NotLeading);
        for request in self.waiting.drain(..) {
            request.fail(NotDone::NotLeading);
        }
    }

    /// The proposal just polled was refused as a whole and will never be decided.
    pub fn handle_refused(&mut self) {
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.parked.finish(Err(NotDone::Refused));
        }
    }

    /// The next batch to propose. None while one is in flight, or when nothing that waits needs
    /// one. Requests without records, and nothing undecided before them, become reads.
    ///
    /// A handler whose records contradict the state has a bug: its request fails as refused, the
    /// bug is logged, and the other requests go on.
    pub fn poll_proposal(&mut self) -> Option<Proposal> {
        if self.in_flight.is_some() || self.waiting.is_empty() {
            return None;
        }
        let mut gathered = Gathered::new(&self.state, self.end);
        while gathered.has_room()
            && let Some(request) = self.waiting.pop_front()
        {
            gathered.add(request);
        }
        let Gathered { encoded: records, parked, reads, .. } = gathered;
        self.reads.fresh.0.extend(reads);
        if records.is_empty() {
            assert!(parked.0.is_empty(), "a response is parked behind no record");
            return None;
        }
        let (base_offset, record_count) = (self.end, records.len());
        self.in_flight = Some(InFlight { base_offset, record_count, parked });
        Some(Proposal { base_offset, records })
    }

    /// Applies a decided batch, whoever proposed it. Returns the responses that it releases:
    /// publish the state first, so that whoever gets a response sees what it tells of.
    ///
    /// # Errors
    /// The batch is not the next one, or holds a record that cannot be read or applied. The state
    /// is as before; the owner must stop.
    pub fn handle_decided(
        &mut self,
        base_offset: u64,
        records: &[EncodedRecord],
    ) -> Result<Responses, StateError> {
        self.handle_decided_seen(base_offset, records, |_| {})
    }

    /// As [`StateLog::handle_decided`]; shows each record to `see` as it is applied.
    ///
    /// # Errors
    /// As [`StateLog::handle_decided`].
    pub fn handle_decided_seen(
        &mut self,
        base_offset: u64,
        records: &[EncodedRecord],
        mut see: impl FnMut(&S::Record),
    ) -> Result<Responses, StateError> {
        if base_offset != self.end {
            return Err(format!("decided batch at {base_offset}, expected {}", self.end).into());
        }
        if let Some(mine) = &self.in_flight
            && (mine.base_offset, mine.record_count) != (base_offset, records.len())
        {
            return Err(format!("decided batch at {base_offset} is not what was proposed").into());
        }
        let mut state = self.state.clone();
        for (offset, record) in (base_offset..).zip(records) {
            let record = S::decode(record)?;
            state.apply(offset, &record)?;
            see(&record);
        }
        self.state = state;
        self.end = base_offset + records.len() as u64;
        Ok(self.in_flight.take().map(|in_flight| in_flight.parked).unwrap_or_default())
    }
}

/// A proposal in the making.
struct Gathered<'a, S: StateMachine> {
    live: &'a S,
    live_end: u64,
    /// The live state with `records` applied.
    ahead: S,
    records: Vec<S::Record>,
    encoded: Vec<EncodedRecord>,
    size: usize,
    parked: Responses,
    /// Replies that rest on nothing undecided.
    reads: Vec<Reply>,
}

impl<'a, S: StateMachine> Gathered<'a, S> {
    fn new(live: &'a S, live_end: u64) -> Self {
        let (records, encoded, reads) = (Vec::new(), Vec::new(), Vec::new());
        let (ahead, parked) = (live.clone(), Responses::default());
        Self { live, live_end, ahead, records, encoded, size: 0, parked, reads }
    }

    fn has_room(&self) -> bool {
        self.records.len() < PROPOSAL_RECORDS && self.size < PROPOSAL_SIZE
    }

    fn add(&mut self, request: Box<dyn Waiting<S>>) {
        let (records, reply) = request.handle(&self.ahead);
        if records.is_empty() && self.records.is_empty() {
            // All that the handler saw is decided.
            return self.reads.push(reply);
        }
        let kept = self.records.len();
        self.records.extend(records);
        if let Err(error) = self.apply(kept) {
            tracing::error!(%error, "a handler made a record that cannot be applied");
            self.records.truncate(kept);
            self.ahead = self.live.clone();
            let again = self.apply(0);
            assert!(again.is_ok(), "records that were applied once cannot be applied again");
            return reply(Err(NotDone::Refused));
        }
        let encoded = self.records[kept..].iter().map(S::encode);
        self.encoded.extend(encoded.inspect(|record| self.size += record.size()));
        self.parked.0.push(reply);
    }

    /// Applies the gathered records from index `from` on.
    fn apply(&mut self, from: usize) -> Result<(), StateError> {
        let offsets = self.live_end + from as u64..;
        let mut records = offsets.zip(&self.records[from..]);
        records.try_for_each(|(offset, record)| self.ahead.apply(offset, record))
    }
}

impl<S: StateMachine> fmt::Debug for StateLog<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateLog")
            .field("end", &self.end)
            .field("leading", &self.leading)
            .field("waiting", &self.waiting.len())
            .field("in_flight", &self.in_flight.as_ref().map(|it| it.record_count))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
