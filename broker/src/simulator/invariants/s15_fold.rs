//! S15: what brokers serve from memory equals the fold of a log.
//!
//! The metadata image of every broker equals the replay of the decided metadata log, up to wherever
//! that broker is; at the end the producers that a replica knows equal the replay of its log.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use synod_log::key::PartitionKey;
use synod_paxos::{Ballot, NodeId};
use synod_wire::batch::Batches;

use crate::control::decode;
use crate::metadata::{MetadataImage, MetadataRecord};
use crate::simulator::violation::{Checked, Violation, demand};
use crate::state_log::{StateError, StateMachine};

pub(crate) const NAME: &str = "S15 state is the fold of its log";

/// The metadata as it was after each decided batch.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    newest: MetadataImage,
    images: BTreeMap<u64, MetadataImage>,
    deleted: BTreeSet<[u8; 16]>,
}

impl Fold {
    /// First offset that was not folded.
    pub(crate) fn end(&self) -> u64 {
        self.newest.end()
    }

    /// Folds batches of which some may be known. Returns whom they appoint.
    pub(crate) fn decided(
        &mut self,
        batches: &Bytes,
    ) -> Result<Vec<(PartitionKey, Ballot)>, Violation> {
        let failed = |error: StateError| Violation::new(NAME, error.to_string());
        let mut news = false;
        for batch in Batches::new(batches.clone()) {
            let batch = batch.map_err(|error| failed(error.into()))?;
            let (base, records) = decode(&batch).map_err(failed)?;
            if base < self.newest.end() {
                continue;
            }
            for (offset, record) in (base..).zip(&records) {
                let record = MetadataImage::decode(record).map_err(failed)?;
                StateMachine::apply(&mut self.newest, offset, &record).map_err(failed)?;
                if let MetadataRecord::TopicDeleted { topic } = record {
                    self.deleted.insert(topic.bytes());
                }
            }
            news = true;
            self.images.insert(self.newest.end(), self.newest.clone());
        }
        Ok(if news { self.appointments() } else { Vec::new() })
    }

    fn appointments(&self) -> Vec<(PartitionKey, Ballot)> {
        let mut all = Vec::new();
        for topic in self.newest.topics() {
            for (partition, entry) in (0u32..).zip(&topic.partitions) {
                let key = PartitionKey { topic: topic.id.bytes(), partition };
                all.push((key, Ballot::new(entry.round, NodeId(entry.leader.0))));
            }
        }
        all
    }

    /// The topics that were deleted since anybody asked.
    pub(crate) fn take_deleted(&mut self) -> BTreeSet<[u8; 16]> {
        std::mem::take(&mut self.deleted)
    }

    /// A broker publishes this image.
    pub(crate) fn check(&self, who: impl std::fmt::Display, image: &MetadataImage) -> Checked {
        if image.end() == 0 {
            return Ok(());
        }
        let expected = self.images.get(&image.end());
        demand(NAME, expected == Some(image), || {
            format!("{who} holds {image:?}, the log says {expected:?}")
        })
    }
}
