//! What no cluster may show, and the report of a check.

use std::collections::BTreeMap;
use std::fmt;

use super::Value;

/// Anomalies of each kind that a report describes; the others are only counted.
const DESCRIBED_COUNT: usize = 10;

/// The kinds of [`Anomaly`].
///
/// ```
/// use synod_client::history::AnomalyKind;
/// assert_eq!(AnomalyKind::Lost.name(), "lost writes");
/// assert_eq!(AnomalyKind::ALL.len(), 9);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnomalyKind {
    /// One offset, two values.
    InconsistentOffset,
    /// Acknowledged, and never read although a later one was.
    Lost,
    /// Acknowledged, and not read by anyone even in the end.
    Unseen,
    /// One value at two offsets, though its sender was promised exactness.
    Duplicate,
    /// Read, although its write was definitely refused.
    RefusedRead,
    /// Read, although nobody ever sent it to this partition.
    Foreign,
    /// A reader was handed a later record than the next one.
    Skip,
    /// A reader was handed a record at or before its place.
    StepBack,
    /// Values of one sender stand in another order than they were sent.
    Reordered,
}

impl AnomalyKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::InconsistentOffset,
        Self::Lost,
        Self::Unseen,
        Self::Duplicate,
        Self::RefusedRead,
        Self::Foreign,
        Self::Skip,
        Self::StepBack,
        Self::Reordered,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::InconsistentOffset => "inconsistent offsets",
            Self::Lost => "lost writes",
            Self::Unseen => "unseen writes",
            Self::Duplicate => "duplicates",
            Self::RefusedRead => "reads of refused writes",
            Self::Foreign => "reads of values never sent",
            Self::Skip => "skips",
            Self::StepBack => "steps back",
            Self::Reordered => "reordered sends",
        }
    }
}

/// One thing that must not happen, with its evidence in words.
///
/// ```
/// use synod_client::history::{AnomalyKind, Guarantee, History, Outcome};
///
/// let mut history = History::new(["orders-0"]);
/// let mut sender = history.sender(Guarantee::Exact);
/// let value = sender.invoke(0);
/// sender.settle(value, Outcome::Written { offset: Some(0) });
/// history.add_sender(sender);
/// // Acknowledged, and nobody ever reads it.
/// for anomaly in history.check().anomalies() {
///     println!("{}: {}", anomaly.kind.name(), anomaly.evidence);
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anomaly {
    /// Which rule it breaks.
    pub kind: AnomalyKind,
    /// Where, and what was seen.
    pub evidence: String,
}

/// The judgement of a history.
///
/// ```
/// use synod_client::history::{AnomalyKind, Guarantee, History, Outcome};
///
/// let mut history = History::new(["orders-0"]);
/// let mut sender = history.sender(Guarantee::Exact);
/// let value = sender.invoke(0);
/// sender.settle(value, Outcome::Written { offset: Some(0) });
/// history.add_sender(sender);
/// // Acknowledged, and nobody ever reads it.
/// let report = history.check();
/// assert!(!report.is_clean());
/// assert_eq!(report.count(AnomalyKind::Unseen), 1, "{report}");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Report {
    counts: BTreeMap<AnomalyKind, u64>,
    described: Vec<Anomaly>,
    /// Values that were sent.
    pub invoked: u64,
    /// Of these acknowledged.
    pub written: u64,
    /// Of these definitely refused.
    pub refused: u64,
    /// Of these nobody knows; found in a log or not.
    pub unknown: u64,
    /// Of the unknown ones those that somebody read.
    pub unknown_read: u64,
    /// Records read, by all readers together.
    pub read: u64,
    /// Values found at two offsets, of senders that were promised no better.
    pub repeated: u64,
}

impl Report {
    pub(super) fn add(&mut self, kind: AnomalyKind, evidence: impl FnOnce() -> String) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= DESCRIBED_COUNT as u64 {
            self.described.push(Anomaly { kind, evidence: evidence() });
        }
    }

    pub(super) fn place(partition: &str, offset: i64, value: Option<Value>) -> String {
        match value {
            Some(value) => format!("{partition} offset {offset}: {value}"),
            None => format!("{partition} offset {offset}: bytes that are no value"),
        }
    }

    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.counts.is_empty()
    }

    /// How many of a kind were found.
    pub fn count(&self, kind: AnomalyKind) -> u64 {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    /// The first few of each kind.
    pub fn anomalies(&self) -> &[Anomaly] {
        &self.described
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} sent: {} written, {} refused, {} unknown ({} of them read); {} reads",
            self.invoked, self.written, self.refused, self.unknown, self.unknown_read, self.read
        )?;
        if self.repeated > 0 {
            write!(f, "; {} repeated by plain producers", self.repeated)?;
        }
        if self.is_clean() {
            return write!(f, "; no anomaly");
        }
        for (kind, count) in &self.counts {
            write!(f, "\n{count} {}:", kind.name())?;
            for anomaly in self.described.iter().filter(|anomaly| anomaly.kind == *kind) {
                write!(f, "\n  {}", anomaly.evidence)?;
            }
        }
        Ok(())
    }
}
