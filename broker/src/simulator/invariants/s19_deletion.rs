//! S19: data is deleted only by decision: a log starts no later than a client asked for, and a
//! partition's directory goes only with its topic.

use std::collections::BTreeMap;

use synod_log::key::PartitionKey;

use crate::simulator::violation::{Checked, demand};

pub(crate) const NAME: &str = "S19 deletion by decision";

/// Up to where clients had each partition deleted.
#[derive(Debug, Default)]
pub(crate) struct Deletion {
    allowed: BTreeMap<PartitionKey, u64>,
}

impl Deletion {
    /// A client asks for the records before `end` to be deleted.
    pub(crate) fn allow(&mut self, key: PartitionKey, end: u64) {
        let allowed = self.allowed.entry(key).or_default();
        *allowed = end.max(*allowed);
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
}
