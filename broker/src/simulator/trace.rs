//! What a run did, as one number: equal after equal runs. And as text, on request.

use std::fmt;

use super::agenda::Micros;

/// Folds everything that happens into a hash; prints it when asked to.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    printed: bool,
}

impl Trace {
    pub(crate) fn new(printed: bool) -> Trace {
        Trace { hash: 0xcbf2_9ce4_8422_2325, printed }
    }

    /// Folds in one number.
    pub(crate) fn note(&mut self, number: u64) {
        self.hash = (self.hash ^ number).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// Prints a line if the run is watched. The arguments are not even formatted otherwise.
    pub(crate) fn say(&self, now: Micros, line: fmt::Arguments<'_>) {
        if self.printed {
            println!("{:>10.3} ms  {line}", now as f64 / 1_000.0);
        }
    }

    pub(crate) fn is_printed(&self) -> bool {
        self.printed
    }
}
