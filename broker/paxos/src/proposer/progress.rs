//! How far a follower is, as its leader sees it. Pure bookkeeping.

use std::collections::VecDeque;

use crate::{Batch, ReadId, ReplicaConfig};

/// What the leader is doing about a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// Waiting for its promise.
    Preparing,
    /// Sending it the adopted log, up to the adopted end.
    Adopting {
        /// Its log has to begin anew at the leader's log start.
        restart: bool,
    },
    /// Sending it proposals, trusting that the adoption arrives first.
    Accepting,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Progress {
    pub(crate) stage: Stage,
    /// Up to where the follower has accepted *under the leader's ballot*, synced. `None` until it
    /// has accepted the adopted log.
    pub(crate) match_end: Option<u64>,
    /// Next offset to send.
    pub(crate) next: u64,
    /// A read of the log is under way for it.
    pub(crate) reading: Option<ReadId>,
    /// The greatest decided end it has been told under this ballot.
    pub(crate) told_decided_end: u64,
    /// The latest question after the leader's standing that it confirmed.
    pub(crate) confirmed: u64,
    /// Tick at which it was last heard from.
    pub(crate) heard_tick: u64,
    /// Tick at which it last was sent something or made progress.
    pub(crate) active_tick: u64,
    /// Ends and sizes of batches sent and not accepted, oldest first.
    inflight: VecDeque<(u64, u32)>,
    inflight_size: u64,
}

impl Progress {
    pub(crate) fn new(tick: u64) -> Progress {
        Progress {
            stage: Stage::Preparing,
            match_end: None,
            next: 0,
            reading: None,
            told_decided_end: 0,
            confirmed: 0,
            heard_tick: tick,
            active_tick: tick,
            inflight: VecDeque::new(),
            inflight_size: 0,
        }
    }

    /// How many bytes the window still takes; 0 = wait. An empty window takes any batch.
    pub(crate) fn room(&self, config: &ReplicaConfig) -> u64 {
        if self.inflight.len() >= config.window_batch_count as usize {
            return 0;
        }
        config.window_size.saturating_sub(self.inflight_size)
    }

    /// How many more batches the window takes.
    pub(crate) fn window_count(&self, config: &ReplicaConfig) -> usize {
        (config.window_batch_count as usize).saturating_sub(self.inflight.len()).max(1)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.inflight.is_empty()
    }

    pub(crate) fn sent(&mut self, batches: &[Batch]) {
        for batch in batches {
            self.inflight.push_back((batch.end, batch.size));
            self.inflight_size += u64::from(batch.size);
            self.next = batch.end;
        }
    }

    /// Everything before `end` has arrived.
    pub(crate) fn arrived(&mut self, end: u64) {
        while let Some((batch_end, size)) = self.inflight.front().copied() {
            if batch_end > end {
                break;
            }
            self.inflight.pop_front();
            self.inflight_size -= u64::from(size);
        }
    }

    /// Everything before `end` is accepted under the leader's ballot and synced.
    pub(crate) fn accepted(&mut self, end: u64) {
        self.match_end = self.match_end.max(Some(end));
        self.arrived(end);
        if self.is_idle() {
            // What was sent before a rewind may be accepted after it.
            self.next = self.next.max(end);
        }
    }

    /// Sends from `next` on again; nothing sent counts as on its way any more.
    pub(crate) fn rewind(&mut self, next: u64) {
        self.next = next;
        self.inflight.clear();
        self.inflight_size = 0;
        self.reading = None;
    }

    pub(crate) fn check(&self, adopted_end: u64, log_end: u64) {
        assert!(self.match_end.is_none_or(|end| end >= adopted_end), "accepted part of a log");
        assert!(self.match_end.is_none_or(|end| end <= log_end), "accepted what was never sent");
        assert!(self.inflight.back().is_none_or(|(end, _)| *end <= self.next));
    }
}

/// A leader's view of one follower, for metrics and placement decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerStatus {
    /// Up to where it has accepted under the current ballot, synced; `None` = not adopted yet.
    pub match_end: Option<u64>,
    /// Ticks since it was last heard from.
    pub silent_ticks: u64,
    /// Bytes sent to it and not accepted yet.
    pub inflight_size: u64,
}

impl Progress {
    pub(crate) fn status(&self, tick: u64) -> FollowerStatus {
        FollowerStatus {
            match_end: self.match_end,
            silent_ticks: tick.saturating_sub(self.heard_tick),
            inflight_size: self.inflight_size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeId;

    fn batches(from: u64, count: u64) -> Vec<Batch> {
        (from..from + count)
            .map(|base| Batch { base, end: base + 1, round: 1, size: 10, checksum: 0 })
            .collect()
    }

    fn config(count: u32, size: u64) -> ReplicaConfig {
        let mut config = ReplicaConfig::new(NodeId(1));
        config.window_batch_count = count;
        config.window_size = size;
        config
    }

    #[test]
    fn the_window_counts_batches_and_bytes() {
        let mut progress = Progress::new(0);
        progress.sent(&batches(0, 3));
        assert_eq!(progress.next, 3);
        assert_eq!(progress.room(&config(3, 1000)), 0, "full by count");
        assert_eq!(progress.room(&config(4, 30)), 0, "full by size");
        assert_eq!(progress.room(&config(4, 45)), 15);
        progress.accepted(2);
        assert_eq!(progress.room(&config(3, 30)), 20);
        assert!(!progress.is_idle());
        progress.accepted(3);
        assert!(progress.is_idle());
        progress.check(0, 3);
    }

    #[test]
    fn acceptance_never_goes_back() {
        let mut progress = Progress::new(0);
        progress.sent(&batches(0, 5));
        progress.accepted(4);
        progress.accepted(2);
        assert_eq!(progress.match_end, Some(4));
    }

    #[test]
    fn a_rewind_empties_the_window_and_late_answers_still_count() {
        let mut progress = Progress::new(0);
        progress.sent(&batches(0, 5));
        progress.rewind(2);
        assert_eq!((progress.next, progress.is_idle()), (2, true));
        progress.accepted(4);
        assert_eq!((progress.next, progress.match_end), (4, Some(4)));
        progress.sent(&batches(4, 2));
        progress.accepted(5);
        assert_eq!(progress.next, 6);
        progress.check(0, 6);
    }
}
