//! S21: memory and queues are bounded: what waits in a process is limited by its load.

use crate::simulator::violation::{Checked, demand};

pub(crate) const NAME: &str = "S21 bounded queues";

/// More than any run's clients and partitions can have under way at once.
const MOST: usize = 2_000;

/// So much waits in a process.
pub(crate) fn check(who: impl std::fmt::Display, waiting: usize) -> Checked {
    demand(NAME, waiting <= MOST, || format!("{waiting} things wait in {who}"))
}
