//! Small appends of many partitions that one sync makes durable together: what the shard gives to
//! its carrier, and what it does so that the carrier's files become free again.
//!
//! A sync costs a device about the same whatever file it is for. So where a turn asks for several,
//! or one would have to be followed by a mark in the journal, those that are small are carried.

use synod_log::carrier::{Carried, CarrierDone, CarrierPrepared};
use synod_log::jobs::SyncJob;
use synod_log::journal::JournalRecord;
use synod_log::key::PartitionKey;
use synod_log::sync::{JobPanicked, JobReport};

use super::event_loop::Shard;
use super::events::Event;
use crate::partition::PartitionError;

impl Shard {
    /// Gives the carrier what it may do of the turn's syncs, and what it is to make void.
    pub(super) fn carry(&mut self, jobs: &mut Vec<(PartitionKey, SyncJob)>) {
        let small = jobs.iter().filter(|(_, job)| job.is_carriable()).count();
        let several = small + self.carrier.waiting_count() > 1;
        let is_carried = |(_, job): &mut (PartitionKey, SyncJob)| {
            job.is_carriable() && (several || job.is_sole_copy())
        };
        for (key, job) in jobs.extract_if(.., is_carried) {
            self.carrier.add(key, job);
        }
        for key in self.effects.voids.drain(..) {
            if !self.carrier.void(key) {
                self.events.push(Event::Voided(key));
            }
        }
    }

    /// A round is durable, or can never be.
    pub(super) fn handle_carried(
        &mut self,
        report: JobReport<CarrierDone>,
    ) -> Result<(), PartitionError> {
        self.note_sync(report.took);
        for carried in self.carrier.handle_done(report.result?)? {
            match carried {
                Carried::Synced(key, done) => {
                    if let Some((partition, effects)) = self.partition(key) {
                        partition.handle_synced(done, effects)?;
                    }
                }
                Carried::Voided(key) => self.handle_voided(key)?,
            }
        }
        Ok(())
    }

    pub(super) fn handle_voided(&mut self, key: PartitionKey) -> Result<(), PartitionError> {
        match self.partition(key) {
            Some((partition, effects)) => partition.handle_voided(effects),
            None => Ok(()),
        }
    }

    /// Prepares room for the carrier in the background, where it needs some.
    pub(super) fn prepare_carrier(&mut self) {
        if let Some(preparation) = self.carrier.poll_preparation() {
            let events = self.events.clone();
            self.storage.pool.submit_background(
                move || preparation.run(),
                move |report| events.push(Event::CarrierPrepared(report.result)),
            );
        }
    }

    pub(super) fn handle_prepared(
        &mut self,
        prepared: Result<CarrierPrepared, JobPanicked>,
    ) -> Result<(), PartitionError> {
        Ok(self.carrier.handle_prepared(prepared?)?)
    }

    /// Has the logs settled that hold a file of the carrier, and then their marks journaled.
    pub(super) fn settle_carried(&mut self) {
        while let Some((key, end)) = self.carrier.poll_settle() {
            let partition = self.partition(key);
            if partition.is_none_or(|(partition, effects)| partition.settle_log(end, effects)) {
                self.carrier.handle_settled(key);
            }
        }
        for key in self.carrier.poll_marks() {
            let open = self.partition(key).map(|(partition, _)| partition.mark());
            if let Some(durable_end) = open.or_else(|| self.reconciler.past_mark(key)) {
                self.effects.journal.push(JournalRecord::Mark { key, durable_end });
            }
        }
    }
}
