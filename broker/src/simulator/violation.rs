//! A broken promise: what a run fails with.

use std::fmt;

/// Which invariant does not hold, and how that shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The invariant's name: what shrinking keeps the same.
    pub(crate) invariant: &'static str,
    pub(crate) text: String,
}

impl Violation {
    pub(crate) fn new(invariant: &'static str, text: impl Into<String>) -> Violation {
        Violation { invariant, text: text.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.text)
    }
}

/// The outcome of a check.
pub(crate) type Checked = Result<(), Violation>;

/// Fails with `invariant` unless `holds`.
pub(crate) fn demand(
    invariant: &'static str,
    holds: bool,
    text: impl FnOnce() -> String,
) -> Checked {
    if holds { Ok(()) } else { Err(Violation::new(invariant, text())) }
}
