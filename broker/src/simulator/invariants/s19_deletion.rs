//! S19: data is deleted only by decision: a log starts no later than a client asked for, and a
//! partition's directory goes only with its topic.

use std::collections::{BTreeMap, BTreeSet};

use synod_log::key::PartitionKey;

use crate::simulator::violation::{Checked, demand};

pub(crate) const NAME: &str = "S19 deletion by decision";

/// Up to where clients had each partition deleted.
#[derive(Debug, Default)]
pub(crate) struct Deletion {
    allowed: BTreeMap<PartitionKey, u64>,
    /// Topics that decided records deleted.
    deleted: BTreeSet<[u8; 16]>,
    /// Directories that are durable on each broker's disk.
    owned: BTreeMap<usize, BTreeSet<PartitionKey>>,
}

impl Deletion {
    /// A client asks for the records before `end` to be deleted.
    pub(crate) fn allow(&mut self, key: PartitionKey, end: u64) {
        let allowed = self.allowed.entry(key).or_default();
        *allowed = end.max(*allowed);
    }

    /// Whether all of a partition's records have to be there.
    pub(crate) fn is_whole(&self, key: PartitionKey) -> bool {
        self.allowed.get(&key).is_none_or(|end| *end == 0)
    }

    /// A replica's log starts at `start`.
    pub(crate) fn check(
        &self,
        who: impl std::fmt::Display,
        key: PartitionKey,
        start: u64,
    ) -> Checked {
        let allowed = self.allowed.get(&key).copied().unwrap_or(0);
        demand(NAME, start <= allowed, || {
            format!("the log of {key} on {who} starts at {start}; deletable was {allowed}")
        })
    }

    /// A record that deletes a topic is decided.
    pub(crate) fn decided(&mut self, topic: [u8; 16]) {
        self.deleted.insert(topic);
    }

    /// A broker's disk has a directory for sure.
    pub(crate) fn own(&mut self, broker: usize, key: PartitionKey) {
        self.owned.entry(broker).or_default().insert(key);
    }

    /// A broker has these directories.
    pub(crate) fn observe_directories(&mut self, broker: usize, found: &[PartitionKey]) -> Checked {
        let owned = self.owned.entry(broker).or_default();
        let gone: Vec<PartitionKey> =
            owned.iter().filter(|key| !found.contains(key)).copied().collect();
        for key in gone {
            demand(NAME, self.deleted.contains(&key.topic), || {
                format!("the directory of {key} is gone from broker {}", broker + 1)
            })?;
            owned.remove(&key);
        }
        Ok(())
    }

    /// At the end: what was deleted by decision is gone from a broker.
    pub(crate) fn check_end(&self, broker: usize, found: &[PartitionKey]) -> Checked {
        for key in found {
            demand(NAME, !self.deleted.contains(&key.topic), || {
                format!("the directory of {key}, which was deleted, is left on {}", broker + 1)
            })?;
        }
        Ok(())
    }
}
