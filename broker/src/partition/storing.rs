//! Making a replica's writes durable: starting them in order, marks, cuts.

use synod_log::LogError;
use synod_log::jobs::{BackgroundDone, SyncDone};
use synod_log::journal::{JournalRecord, Vow};

use super::writes::{Cut, Write};
use super::{Effects, EndReason, Marks, Partition, PartitionError};
use crate::planted::{PlantedBug, is_planted};

/// The durability mark: an end up to which the log is known to be synced, kept in the journal. What
/// a later start misses below it is corruption, so only a truncation lowers it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// Given to the journal last.
    wanted: u64,
    /// Known to be in the journal.
    durable: u64,
}

impl Mark {
    /// A mark that the journal holds.
    pub(super) fn new(durable: u64) -> Mark {
        Mark { wanted: durable, durable }
    }

    pub(super) fn wanted(&self) -> u64 {
        self.wanted
    }
}

impl Partition {
    /// How far the log as it is now is durable, by the rule that holds for this replica.
    pub(super) fn synced_end(&self) -> u64 {
        match self.marks {
            Marks::BeforeAnswers => self.log.durable_end().min(self.mark.durable),
            Marks::Lazy => self.log.durable_end(),
        }
    }

    /// Takes a sync's result.
    ///
    /// # Errors
    /// The sync failed: nothing is known of what is durable any more.
    pub(crate) fn handle_synced(
        &mut self,
        done: SyncDone,
        effects: &mut Effects,
    ) -> Result<(), PartitionError> {
        self.jobs_out -= 1;
        self.log.handle_synced(done)?;
        self.raise_mark(effects);
        self.step(effects)
    }

    /// Has the journal note how far the log is synced, if that is news.
    fn raise_mark(&mut self, effects: &mut Effects) {
        let durable_end = self.log.durable_end();
        if durable_end <= self.mark.wanted || self.cut.is_some() || self.ended.is_some() {
            return;
        }
        self.mark.wanted = durable_end;
        match self.marks {
            Marks::BeforeAnswers => {
                effects.journal.push(JournalRecord::Mark { key: self.key, durable_end });
            }
            Marks::Lazy => effects.lazy_marks.push((self.key, durable_end)),
        }
    }

    /// Takes the news that a record of this partition is durable in the journal.
    ///
    /// # Errors
    /// As [`Partition::handle_synced`].
    pub(crate) fn handle_journaled(
        &mut self,
        record: &JournalRecord,
        effects: &mut Effects,
    ) -> Result<(), PartitionError> {
        match record {
            JournalRecord::Vow { vow, .. } => {
                self.vow = Some(*vow);
                self.writes.vow_durable();
            }
            JournalRecord::Mark { durable_end, .. } => self.mark_durable(*durable_end)?,
            other => unreachable!("no partition journals {other:?}"),
        }
        self.step(effects)
    }

    fn mark_durable(&mut self, durable_end: u64) -> Result<(), PartitionError> {
        self.mark.durable = durable_end;
        match self.cut {
            Some(cut) if durable_end <= self.mark.wanted => {
                self.cut = None;
                if self.ended.is_none() { self.cut_log(cut) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    /// Takes the result of upkeep.
    ///
    /// # Errors
    /// As [`Partition::handle_synced`].
    pub(crate) fn handle_background(
        &mut self,
        done: BackgroundDone,
        effects: &mut Effects,
    ) -> Result<(), PartitionError> {
        self.jobs_out -= 1;
        self.log.handle_background(done)?;
        if self.is_damaged_anew() && self.has_peers() {
            self.end(EndReason::Corrupt);
        }
        self.step(effects)
    }

    /// Starts all writes whose turn has come.
    pub(super) fn start_writes(&mut self, effects: &mut Effects) -> Result<(), PartitionError> {
        while self.ended.is_none()
            && let Some(write) = self.writes.start_next()
        {
            match write {
                Write::Vow(vow) => self.write_vow(vow, effects),
                Write::Append { end, batches } => {
                    if !self.cut_unreadable()? {
                        return Ok(());
                    }
                    match self.log.append(&batches) {
                        Ok(()) => assert_eq!(self.log.end(), end, "core and log agree"),
                        Err(LogError::DiskFull { .. }) => self.end(EndReason::DiskFull),
                        Err(error) => return Err(error.into()),
                    }
                }
                Write::Cut(cut) => self.begin_cut(cut, effects)?,
            }
        }
        Ok(())
    }

    fn write_vow(&mut self, vow: Vow, effects: &mut Effects) {
        effects.journal.push(JournalRecord::Vow { key: self.key, vow });
    }

    /// Cuts at once where the journal's mark allows it, else has the mark lowered first: what is
    /// missing below a mark after a crash would be taken for corruption.
    fn begin_cut(&mut self, cut: Cut, effects: &mut Effects) -> Result<(), PartitionError> {
        match cut {
            Cut::Truncate { end }
                if end < self.mark.wanted && !is_planted(PlantedBug::MarkNotLowered) =>
            {
                effects.lazy_marks.retain(|(key, _)| *key != self.key);
                effects.journal.push(JournalRecord::Mark { key: self.key, durable_end: end });
                self.mark.wanted = end;
                self.cut = Some(cut);
                Ok(())
            }
            // A restart does not lower the mark: until the truncation that follows it where it is
            // needed, what the mark tells of counts as faulty.
            _ => self.cut_log(cut),
        }
    }

    fn cut_log(&mut self, cut: Cut) -> Result<(), PartitionError> {
        if !self.cut_unreadable()? {
            return Ok(());
        }
        let before = self.log.start()..self.log.end();
        let done = match cut {
            Cut::Truncate { end } => self.log.truncate(end),
            Cut::Restart { at } => self.restart_log(at),
        };
        match done {
            Ok(()) => {}
            Err(LogError::DiskFull { .. }) => {
                self.end(EndReason::DiskFull);
                return Ok(());
            }
            Err(error @ LogError::Corrupt { .. }) if self.has_peers() => {
                self.note_unreadable(error);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        let now = self.log.start()..self.log.end();
        tracing::info!(partition = %self.key, ?before, ?now, "the log was cut");
        self.writes.cut_done();
        Ok(())
    }

    /// Begins an empty log. What diverges from there on goes first, so that a crash in between
    /// leaves a log that ends early, never one that begins in the middle of an overruled batch.
    fn restart_log(&mut self, at: u64) -> Result<(), LogError> {
        if self.log.end() > at {
            self.log.truncate(self.first_boundary()?)?;
        }
        self.log.restart_at(at)
    }

    /// The first batch boundary that is not before the log's start.
    fn first_boundary(&self) -> Result<u64, LogError> {
        let start = self.log.start();
        let first = self.log.view().read(start, 0, true, self.log.end())?;
        Ok(if first.first_offset == start { start } else { first.next_offset })
    }

    /// Gives up what cannot be read, before the first write of this incarnation to the log. The
    /// mark stays, so a crash does not make this replica forget that it lost something.
    ///
    /// False where even more turns out to be unreadable, which ends this incarnation: the next one
    /// gives up that, too.
    fn cut_unreadable(&mut self) -> Result<bool, PartitionError> {
        let Some(end) = self.unreadable_from.take() else { return Ok(true) };
        tracing::warn!(partition = %self.key, end, "records that cannot be read are given up");
        match self.log.truncate(end) {
            Ok(()) => Ok(true),
            Err(error @ LogError::Corrupt { .. }) if self.has_peers() => {
                self.note_unreadable(error);
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}
