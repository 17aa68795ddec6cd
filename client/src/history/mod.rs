//! What clients saw, and whether a cluster may have done that: a black-box check.
//!
//! Each client notes its operations while it works: a [`Sender`] every value it sends and what
//! became of it, a [`Reader`] every record it reads. Afterwards [`History::check`] looks for
//! anything that a cluster that keeps its promises can never show: a lost write, a value at two
//! offsets, a reader that skips. It knows nothing of brokers, leaders or rounds.
//!
//! Values are unique, and a time-out, a lost connection or NOT_LEADER is *unknown*, never "did not
//! happen". An operation that was never settled is unknown, too.
//!
//! ```
//! use synod_client::history::{Guarantee, History, Outcome};
//!
//! let mut history = History::new(["orders-0"]);
//! let mut sender = history.sender(Guarantee::Exact);
//! let first = sender.invoke(0);
//! let second = sender.invoke(0);
//! sender.settle(first, Outcome::Written { offset: Some(0) });
//! sender.settle(second, Outcome::Unknown);
//! let mut reader = history.reader();
//! reader.starts_at(0, 0);
//! reader.read(0, 0, Some(first));
//! history.add_sender(sender);
//! history.add_reader(reader);
//! let report = history.check();
//! assert!(report.is_clean(), "{report}");
//! ```

mod anomaly;
mod check;
mod value;

#[cfg(test)]
mod tests;

pub use anomaly::{Anomaly, AnomalyKind, Report};
pub use value::Value;

use crate::Error;

/// What became of an operation.
///
/// ```
/// use synod_client::Error;
/// use synod_client::history::Outcome;
/// // Nobody knows what became of a record when the connection ended.
/// let error = Error::Disconnected { address: "localhost:9092".into(), reason: "reset".into() };
/// assert_eq!(Outcome::of_delivery(&Err(error)), Outcome::Unknown);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged. The offset is absent when the broker only knows that it has the record.
    Written {
        /// Where, as the broker told.
        offset: Option<i64>,
    },
    /// A definite refusal: nobody may ever read the value.
    Refused,
    /// It may or may not have been written.
    Unknown,
}

impl Outcome {
    /// What a producer's answer about a record says. Only errors that rule out that any attempt
    /// reached a log are definite; a producer that retried tells its last error, not its worst.
    pub fn of_delivery(answer: &Result<crate::producer::Receipt, Error>) -> Self {
        match answer {
            Ok(receipt) => Self::Written { offset: receipt.offset },
            Err(Error::Expired { sent: false, .. } | Error::RecordTooLarge { .. }) => Self::Refused,
            Err(_) => Self::Unknown,
        }
    }
}

/// What a sender was promised.
///
/// ```
/// use synod_client::history::{Guarantee, History};
/// let mut history = History::new(["orders-0"]);
/// let idempotent = history.sender(Guarantee::Exact);
/// let plain = history.sender(Guarantee::AtLeastOnce);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// Each value at most once, per partition in the order sent: an idempotent producer.
    Exact,
    /// Values may be repeated and change places by retries: a plain producer.
    AtLeastOnce,
}

/// One value that was sent.
#[derive(Debug, Clone, Copy)]
struct Send {
    partition: u32,
    /// Unknown from the invocation on, until it is settled.
    outcome: Outcome,
}

/// The sends of one producer, in the order in which they were handed over.
///
/// ```
/// use synod_client::history::{Guarantee, History, Outcome};
/// let mut history = History::new(["orders-0"]);
/// let mut sender = history.sender(Guarantee::Exact);
/// let value = sender.invoke(0);
/// sender.settle(value, Outcome::Written { offset: Some(0) });
/// assert_eq!((sender.invoked_count(), sender.written_count()), (1, 1));
/// ```
#[derive(Debug)]
pub struct Sender {
    id: u32,
    guarantee: Guarantee,
    sends: Vec<Send>,
}

impl Sender {
    /// Notes that a value is about to be sent to this partition, and says which.
    ///
    /// # Panics
    /// After 2^32 values.
    pub fn invoke(&mut self, partition: u32) -> Value {
        self.sends.push(Send { partition, outcome: Outcome::Unknown });
        self.value(self.sends.len() - 1)
    }

    /// The value that was sent as the `index`-th.
    fn value(&self, index: usize) -> Value {
        Value::new(self.id, u32::try_from(index).expect("fewer than 2^32 values per sender"))
    }

    /// Notes what became of it.
    ///
    /// # Panics
    /// For a value of another sender.
    pub fn settle(&mut self, value: Value, outcome: Outcome) {
        assert_eq!(value.sender(), self.id, "a value of this sender");
        self.sends[value.number() as usize].outcome = outcome;
    }

    /// Values handed over so far.
    pub fn invoked_count(&self) -> usize {
        self.sends.len()
    }

    /// Values acknowledged so far.
    pub fn written_count(&self) -> usize {
        let is_written = |send: &&Send| matches!(send.outcome, Outcome::Written { .. });
        self.sends.iter().filter(is_written).count()
    }
}

/// A step of a reader.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// It goes on reading from here: a first assignment, or a seek.
    Start { partition: u32, offset: i64 },
    /// It was handed a record. `None`: its bytes are no value of ours.
    Read { partition: u32, offset: i64, value: Option<Value> },
}

/// The reads of one consumer, in order.
///
/// ```
/// use synod_client::history::{AnomalyKind, Guarantee, History};
/// let mut history = History::new(["orders-0"]);
/// let mut sender = history.sender(Guarantee::Exact);
/// let mut reader = history.reader();
/// reader.starts_at(0, 5);
/// reader.read(0, 4, Some(sender.invoke(0)));
/// history.add_sender(sender);
/// history.add_reader(reader);
/// assert_eq!(history.check().count(AnomalyKind::StepBack), 1);
/// ```
#[derive(Debug)]
pub struct Reader {
    id: u32,
    steps: Vec<Step>,
}

impl Reader {
    /// Notes that the partition is read from this offset on: at first, and after a seek.
    pub fn starts_at(&mut self, partition: u32, offset: i64) {
        self.steps.push(Step::Start { partition, offset });
    }

    /// Notes a record; without a value if its bytes are none of ours.
    pub fn read(&mut self, partition: u32, offset: i64, value: Option<Value>) {
        self.steps.push(Step::Read { partition, offset, value });
    }

    /// Records read so far.
    pub fn read_count(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step, Step::Read { .. })).count()
    }
}

/// Everything that the clients of a run noted.
///
/// Partitions are numbered in the order of their names. Before [`History::check`] one more reader
/// must have read every partition from its beginning to its end, after all senders ended: what was
/// acknowledged and never read counts as an anomaly.
///
/// ```
/// use synod_client::history::{Guarantee, History};
/// let mut history = History::new(["orders-0", "orders-1"]);
/// let mut sender = history.sender(Guarantee::Exact);
/// let never_settled = sender.invoke(1);
/// history.add_sender(sender);
/// // It may or may not have been written.
/// assert!(history.check().is_clean());
/// ```
#[derive(Debug)]
pub struct History {
    partitions: Vec<String>,
    sender_count: u32,
    reader_count: u32,
    senders: Vec<Sender>,
    readers: Vec<Reader>,
}

impl History {
    /// An empty history about these partitions.
    pub fn new<N: Into<String>>(partitions: impl IntoIterator<Item = N>) -> Self {
        Self {
            partitions: partitions.into_iter().map(Into::into).collect(),
            sender_count: 0,
            reader_count: 0,
            senders: Vec::new(),
            readers: Vec::new(),
        }
    }

    /// A notebook for one more producer, to be handed back with [`History::add_sender`].
    pub fn sender(&mut self, guarantee: Guarantee) -> Sender {
        let id = self.sender_count;
        self.sender_count += 1;
        Sender { id, guarantee, sends: Vec::new() }
    }

    /// A notebook for one more consumer, to be handed back with [`History::add_reader`].
    pub fn reader(&mut self) -> Reader {
        let id = self.reader_count;
        self.reader_count += 1;
        Reader { id, steps: Vec::new() }
    }

    /// Takes a producer's notes.
    pub fn add_sender(&mut self, sender: Sender) {
        self.senders.push(sender);
    }

    /// Takes a consumer's notes.
    pub fn add_reader(&mut self, reader: Reader) {
        self.readers.push(reader);
    }

    /// Judges it. Takes time in proportion to the operations (and their logarithm).
    ///
    /// # Panics
    /// When a notebook was not handed back, or names a partition that the history does not have.
    pub fn check(mut self) -> Report {
        self.senders.sort_by_key(|sender| sender.id);
        let ids = |senders: &[Sender]| senders.iter().map(|s| s.id).collect::<Vec<_>>();
        let all: Vec<u32> = (0..self.sender_count).collect();
        assert_eq!(ids(&self.senders), all, "every sender's notes, once");
        assert_eq!(self.readers.len(), self.reader_count as usize, "every reader's notes, once");
        check::check(&self)
    }
}
