//! Making a replica's writes durable: starting them in order, marks, cuts.

use synod_log::LogError;
use synod_log::jobs::{BackgroundDone, SyncDone, SyncJob};
use synod_log::journal::{JournalRecord, Vow};
use synod_log::key::PartitionKey;

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

/// A cut that cannot be done yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct WaitingCut {
    cut: Cut,
    waits_for: Wait,
}

/// What a cut waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// The mark that allows it.
    Mark,
    /// The same; then nothing that was carried may come back.
    MarkThenVoid,
    Void,
}

impl Partition {
    /// How far the log as it is now is durable, by the rule that holds for this replica. Without a
    /// mark a carrier vouches for what it holds, and for all before.
    pub(super) fn synced_end(&self) -> u64 {
        match self.marks {
            Marks::BeforeAnswers => {
                self.log.durable_end().min(self.mark.durable).max(self.log.carried_end())
            }
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

    /// Has the journal note how far the log's own files are synced, if that is news.
    fn raise_mark(&mut self, effects: &mut Effects) {
        let durable_end = self.log.settled_end();
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
            JournalRecord::Mark { durable_end, .. } => self.mark_durable(*durable_end, effects)?,
            other => unreachable!("no partition journals {other:?}"),
        }
        self.step(effects)
    }

    fn mark_durable(
        &mut self,
        durable_end: u64,
        effects: &mut Effects,
    ) -> Result<(), PartitionError> {
        self.mark.durable = durable_end;
        match &mut self.cut {
            Some(WaitingCut { waits_for, .. }) if durable_end == self.mark.wanted => {
                match waits_for {
                    Wait::Mark => self.end_wait(),
                    Wait::MarkThenVoid => {
                        *waits_for = Wait::Void;
                        effects.voids.push(self.key);
                        Ok(())
                    }
                    Wait::Void => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Takes the news that nothing that was carried of the log before comes back any more.
    ///
    /// # Errors
    /// As [`Partition::handle_synced`].
    pub(crate) fn handle_voided(&mut self, effects: &mut Effects) -> Result<(), PartitionError> {
        self.may_be_carried = false;
        if self.cut.is_some_and(|waiting| waiting.waits_for == Wait::Void) {
            self.end_wait()?;
        }
        self.step(effects)
    }

    fn end_wait(&mut self) -> Result<(), PartitionError> {
        match self.cut.take() {
            Some(WaitingCut { cut, .. }) if self.ended.is_none() => self.cut_log(cut),
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
        let is_settle = done.is_settle();
        self.log.handle_background(done)?;
        if is_settle {
            self.raise_mark(effects);
        }
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
        if self.may_be_carried {
            return self.begin_cut_of_carried(cut, effects);
        }
        match cut {
            Cut::Truncate { end }
                if end < self.mark.wanted && !is_planted(PlantedBug::MarkNotLowered) =>
            {
                self.set_mark(end, effects);
                self.cut = Some(WaitingCut { cut, waits_for: Wait::Mark });
                Ok(())
            }
            // A restart does not lower the mark: until the truncation that follows it where it is
            // needed, what the mark tells of counts as faulty.
            _ => self.cut_log(cut),
        }
    }

    /// What a carrier holds of the log would come back with the next start. So the log's own files
    /// take all of it over first, and vouch for what stays of it; then it is made void.
    fn begin_cut_of_carried(
        &mut self,
        cut: Cut,
        effects: &mut Effects,
    ) -> Result<(), PartitionError> {
        let settled_end = self.log.settle()?;
        let waits_for = match cut {
            Cut::Truncate { .. } if is_planted(PlantedBug::MarkNotLowered) => {
                effects.voids.push(self.key);
                Wait::Void
            }
            Cut::Truncate { end } => {
                self.set_mark(end.min(settled_end), effects);
                Wait::MarkThenVoid
            }
            Cut::Restart { .. } => {
                self.set_mark(self.mark.wanted.max(settled_end), effects);
                Wait::MarkThenVoid
            }
        };
        self.cut = Some(WaitingCut { cut, waits_for });
        Ok(())
    }

    fn set_mark(&mut self, durable_end: u64, effects: &mut Effects) {
        effects.lazy_marks.retain(|(key, _)| *key != self.key);
        effects.journal.push(JournalRecord::Mark { key: self.key, durable_end });
        self.mark.wanted = durable_end;
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

    // ---- carriers ----------------------------------------------------------------------------

    /// Says whether a carrier may hold something of the log.
    pub(crate) fn set_may_be_carried(&mut self, may_be_carried: bool) {
        self.may_be_carried = may_be_carried;
    }

    /// The next sync, which a carrier may do if the log's mark is where its settled end is: what a
    /// start brings back lies beyond the mark.
    pub(super) fn poll_sync(&mut self) -> Option<SyncJob> {
        let job = self.log.poll_sync()?;
        if self.mark.wanted > self.log.settled_end() || self.cut.is_some() {
            return Some(job.uncarried());
        }
        self.may_be_carried |= job.is_carriable();
        Some(if self.marks == Marks::BeforeAnswers { job.as_sole_copy() } else { job })
    }

    /// Has the log's own files synced up to `end` in the background, as far as it is durable. True
    /// if nothing is left to be done.
    pub(crate) fn settle_log(&mut self, end: u64, effects: &mut Effects) -> bool {
        let settled_end = self.log.settled_end();
        if self.ended.is_some() || settled_end >= end || settled_end == self.log.durable_end() {
            return true;
        }
        self.log.want_settled();
        self.poll_jobs(effects);
        false
    }

    /// The log of an incarnation that ended is opened anew while a carrier holds some of it. So its
    /// own files take that over, and the mark tells of it.
    pub(super) fn settle_ended(&mut self, effects: &mut Effects) -> Result<(), PartitionError> {
        if self.cut.is_none() && !self.is_settled() {
            let settled_end = self.log.settle()?;
            self.set_mark(self.mark.wanted.max(settled_end), effects);
        }
        Ok(())
    }

    pub(super) fn is_settled(&self) -> bool {
        self.log.settled_end() >= self.log.durable_end()
    }

    /// Ends this incarnation with everything synced. The mark that is to be journaled then, if the
    /// journal does not hold it.
    ///
    /// # Errors
    /// A sync failed.
    pub(crate) fn stop(self) -> Result<Option<(PartitionKey, u64)>, LogError> {
        let (key, mark, is_cut) = (self.key, self.mark.wanted, self.cut.is_some());
        let end = self.close().close()?;
        Ok((end > mark && !is_cut).then_some((key, end)))
    }
}
