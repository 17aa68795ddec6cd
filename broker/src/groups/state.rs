//! What is decided about groups: the fold of the coordinator's log.

use std::sync::Arc;

use synod_wire::Str;

use super::record::{CommittedOffset, GroupRecord, StoredGroup, TopicPartition};
use super::shared_map::SharedMap;
use crate::state_log::{EncodedRecord, StateError, StateMachine};

/// The groups of one partition of the offsets topic. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupsState {
    groups: SharedMap<Str, Arc<GroupFacts>>,
    newest_ms: i64,
}

/// What is decided about one group. There is something, or the group is not in the state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupFacts {
    /// Its generation and members; `None` for a group that only ever committed offsets.
    pub stored: Option<Arc<StoredGroup>>,
    /// Its committed offsets.
    pub offsets: SharedMap<TopicPartition, Arc<CommittedOffset>>,
}

impl GroupsState {
    /// What is known of a group.
    #[must_use]
    pub fn group(&self, group: &str) -> Option<&Arc<GroupFacts>> {
        self.groups.get(group)
    }

    /// All groups.
    pub fn groups(&self) -> impl Iterator<Item = (&Str, &Arc<GroupFacts>)> {
        self.groups.iter()
    }

    /// How many groups there are.
    #[must_use]
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// The latest time that any record tells of, in milliseconds since 1970.
    #[must_use]
    pub fn newest_ms(&self) -> i64 {
        self.newest_ms
    }

    /// Changes what is known of a group; of one with nothing left, nothing is kept.
    fn change(&mut self, group: &Str, change: impl FnOnce(&mut GroupFacts)) {
        let mut facts = self.groups.get(group).cloned().unwrap_or_default();
        change(Arc::make_mut(&mut facts));
        if facts.stored.is_none() && facts.offsets.is_empty() {
            self.groups.remove(group);
        } else {
            self.groups.insert(group.clone(), facts);
        }
    }
}

impl StateMachine for GroupsState {
    type Record = GroupRecord;

    fn apply(&mut self, _: u64, record: &GroupRecord) -> Result<(), StateError> {
        match record {
            GroupRecord::Committed { group, partition, offset } => {
                self.newest_ms = self.newest_ms.max(offset.commit_ms);
                self.change(group, |facts| {
                    facts.offsets.insert(partition.clone(), offset.clone());
                });
            }
            GroupRecord::Forgotten { group, partition } => {
                self.change(group, |facts| {
                    facts.offsets.remove(partition);
                });
            }
            GroupRecord::Group { group, stored } => {
                self.newest_ms = self.newest_ms.max(stored.since_ms.unwrap_or_default());
                self.change(group, |facts| facts.stored = Some(stored.clone()));
            }
            GroupRecord::GroupGone { group } => self.change(group, |facts| facts.stored = None),
            GroupRecord::Unknown => {}
        }
        Ok(())
    }

    fn encode(record: &GroupRecord) -> EncodedRecord {
        record.encode().unwrap_or_else(|error| {
            // Names come from decoded requests, whose strings are no longer than the record's.
            unreachable!("a group record has no form: {error}")
        })
    }

    fn decode(record: &EncodedRecord) -> Result<GroupRecord, StateError> {
        GroupRecord::decode(record)
    }
}
