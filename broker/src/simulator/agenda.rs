//! What is going to happen, by simulated time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Simulated time since the run began, in microseconds.
pub(crate) type Micros = u64;

/// One millisecond.
pub(crate) const MS: Micros = 1_000;

/// One second.
pub(crate) const SECOND: Micros = 1_000_000;

/// Events in the order of their time; of two at one time, the one that was added first.
#[derive(Debug)]
pub(crate) struct Agenda<E> {
    heap: BinaryHeap<Reverse<Entry<E>>>,
    added: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: Micros,
    number: u64,
    event: E,
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Agenda { heap: BinaryHeap::new(), added: 0 }
    }
}

impl<E> Agenda<E> {
    pub(crate) fn add(&mut self, at: Micros, event: E) {
        self.added += 1;
        self.heap.push(Reverse(Entry { at, number: self.added, event }));
    }

    /// When something happens next.
    pub(crate) fn next_at(&self) -> Option<Micros> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    pub(crate) fn next(&mut self) -> Option<(Micros, E)> {
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.event))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
