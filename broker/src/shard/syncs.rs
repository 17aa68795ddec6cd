//! Where syncs run: on threads of their own, or here when nobody would have to wait.
//!
//! Handing a sync to another thread and hearing of its end costs two wake-ups of idle cores, about
//! as much as a quick device needs for the sync itself. So the only sync of a turn is done on the
//! shard's own thread if syncs are quick lately, asked for rarely, and nothing else is due. What
//! comes at their own pace would wait for them: checks and copies then better go on beside them.

use std::time::{Duration, Instant};

use synod_log::carrier::CarrierRound;
use synod_log::jobs::SyncJob;
use synod_log::key::PartitionKey;
use synod_log::sync::JobReport;

use super::event_loop::Shard;
use super::events::Event;
use crate::limits::QUICK_SYNC;
use crate::partition::PartitionError;

/// The syncs of one shard.
#[derive(Debug, Default)]
pub(super) struct Syncs {
    /// How long they take lately; `None` before the first one.
    recent: Option<Duration>,
    /// When one was asked for last.
    asked: Option<Instant>,
    /// The only one of the turn, which may be done here.
    lone: Option<Sync>,
}

/// A sync to be done.
#[derive(Debug)]
enum Sync {
    /// Of one partition's log.
    Log(PartitionKey, SyncJob),
    /// Of what is carried together.
    Round(CarrierRound),
}

impl Syncs {
    /// Takes in how long a sync took. One slow sync ends quick times, several quick ones bring
    /// them back.
    pub(super) fn note(&mut self, took: Duration) {
        self.recent = Some(self.recent.map_or(took, |recent| (recent * 3 + took) / 4));
    }

    fn are_quick(&self) -> bool {
        self.recent.is_some_and(|recent| recent <= QUICK_SYNC)
    }

    /// Notes that syncs are asked for. Whether they are asked for so rarely that most of the time
    /// none is under way.
    fn are_rare(&mut self, now: Instant) -> bool {
        let since = self.asked.replace(now).map(|asked| now - asked);
        since.zip(self.recent).is_none_or(|(since, recent)| since > recent * 2)
    }
}

impl Shard {
    /// Starts the syncs that the turn asked for, or keeps its only one for [`Shard::sync_here`].
    pub(super) fn start_syncs(&mut self) {
        let mut jobs = std::mem::take(&mut self.effects.syncs);
        self.carry(&mut jobs);
        let round = self.carrier.poll_round();
        jobs.append(&mut self.carrier.take_refused());
        let logs = jobs.drain(..).map(|(key, job)| Sync::Log(key, job));
        let mut syncs: Vec<Sync> = round.map(Sync::Round).into_iter().chain(logs).collect();
        self.effects.syncs = jobs;
        if syncs.is_empty() {
            return;
        }
        let rare = self.syncs.are_rare(Instant::now());
        if rare && syncs.len() == 1 && self.syncs.are_quick() {
            self.syncs.lone = syncs.pop();
        }
        for sync in syncs {
            self.submit_sync(sync);
        }
    }

    /// Does the turn's only sync on this thread, if it is still alone when everything that was to
    /// be sent is sent. Returns whether it did.
    ///
    /// # Errors
    /// The sync failed: nothing is known of what is durable any more.
    pub(super) async fn sync_here(&mut self) -> Result<bool, PartitionError> {
        let Some(sync) = self.syncs.lone.take() else { return Ok(false) };
        // Connections and links have their turn meanwhile.
        tokio::task::yield_now().await;
        if !(self.inbox.is_empty() && self.events.is_empty()) {
            self.submit_sync(sync);
            return Ok(false);
        }
        let event = match sync {
            Sync::Log(key, job) => Event::Synced(key, done_here(|| job.run())),
            Sync::Round(round) => Event::Carried(done_here(|| round.run())),
        };
        self.handle_event(event)?;
        Ok(true)
    }

    fn submit_sync(&self, sync: Sync) {
        let events = self.events.clone();
        match sync {
            Sync::Log(key, job) => {
                let done = move |report| events.push(Event::Synced(key, report));
                self.storage.pool.submit(move || job.run(), done);
            }
            Sync::Round(round) => {
                let done = move |report| events.push(Event::Carried(report));
                self.storage.pool.submit(move || round.run(), done);
            }
        }
    }

    /// Takes in how long a sync took.
    pub(super) fn note_sync(&mut self, took: Duration) {
        self.syncs.note(took);
        self.broker.metrics().syncs.record(took);
    }
}

fn done_here<T>(work: impl FnOnce() -> T) -> JobReport<T> {
    let began = Instant::now();
    let result = Ok(work());
    JobReport { result, waited: Duration::ZERO, took: began.elapsed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_at_the_pace_of_syncs_is_not_rare() {
        let mut syncs = Syncs::default();
        let (took, begun) = (QUICK_SYNC / 3, Instant::now());
        syncs.note(took);
        assert!(syncs.are_rare(begun), "the first one");
        assert!(!syncs.are_rare(begun + took * 2));
        assert!(syncs.are_rare(begun + took * 5));
    }

    #[test]
    fn a_stall_ends_quick_times_until_it_is_forgotten() {
        let mut syncs = Syncs::default();
        assert!(!syncs.are_quick(), "nothing is known yet");
        syncs.note(QUICK_SYNC / 3);
        assert!(syncs.are_quick());
        syncs.note(QUICK_SYNC * 10);
        assert!(!syncs.are_quick());
        for _ in 0..20 {
            syncs.note(QUICK_SYNC / 3);
        }
        assert!(syncs.are_quick());
    }
}
