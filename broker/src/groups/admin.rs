//! What tools ask: listing, describing and deleting groups.

use std::collections::BTreeMap;

use synod_wire::Str;

use super::coordinator::Coordinator;
use super::error::GroupError;
use super::group::Phase;
use super::record::GroupRecord;
use super::request::{Described, Listed, Reply};
use super::state::GroupFacts;

impl Coordinator {
    pub(super) fn list(&self) -> Vec<Listed> {
        let mut all: BTreeMap<&Str, Listed> = BTreeMap::new();
        for (id, facts) in self.state().groups() {
            let protocol_type = resting_type(facts);
            let state = Phase::Empty.name();
            all.insert(id, Listed { group: id.clone(), protocol_type, state });
        }
        for (id, group) in &self.groups {
            let protocol_type = group.protocol_type.clone().unwrap_or_default();
            let state = group.phase.name();
            all.insert(id, Listed { group: id.clone(), protocol_type, state });
        }
        all.into_values().collect()
    }

    pub(super) fn describe(&self, ids: &[Str]) -> Vec<Option<Described>> {
        let describe = |id: &Str| match self.groups.get(id) {
            Some(group) => Some(group.describe()),
            None => self.state().group(id).map(|facts| Described {
                state: Phase::Empty.name(),
                protocol_type: resting_type(facts),
                ..Described::default()
            }),
        };
        ids.iter().map(describe).collect()
    }

    /// Deletes groups that have no members, offsets and all.
    pub(super) fn delete(
        &mut self,
        ids: Vec<Str>,
        reply: Reply<Result<Vec<Result<(), GroupError>>, GroupError>>,
    ) {
        let mut wanted = Vec::with_capacity(ids.len());
        for id in ids {
            let outcome = match self.groups.get(&id).map(|group| group.phase) {
                None => None,
                Some(Phase::Empty) => {
                    self.drop_group(&id);
                    Some(Ok(()))
                }
                Some(_) => Some(Err(GroupError::NotEmpty)),
            };
            wanted.push((id, outcome));
        }
        self.desk.submit(reply, move |state| {
            let mut records = Vec::new();
            let outcomes = wanted.into_iter().map(|(id, outcome)| {
                if let Some(Err(error)) = outcome {
                    return Err(error);
                }
                match state.group(&id) {
                    Some(facts) => {
                        delete_records(&id, facts, &mut records);
                        Ok(())
                    }
                    None => outcome.unwrap_or(Err(GroupError::GroupNotFound)),
                }
            });
            let outcomes = outcomes.collect();
            (records, outcomes)
        });
    }

    /// Lets go of a group that is to be deleted, and of the ids that it gave out.
    fn drop_group(&mut self, id: &Str) {
        let Some(group) = self.groups.get_mut(id) else { return };
        for member in std::mem::take(&mut group.pending) {
            self.desk.stop_session(id, &member);
        }
        // One whose end is still on its way into the log is kept until it has arrived there.
        self.put_to_rest(id);
    }
}

/// The records that make nothing known of a group.
pub(super) fn delete_records(id: &Str, facts: &GroupFacts, records: &mut Vec<GroupRecord>) {
    let offsets = facts.offsets.iter().map(|(partition, _)| GroupRecord::Forgotten {
        group: id.clone(),
        partition: partition.clone(),
    });
    records.extend(offsets);
    if facts.stored.is_some() {
        records.push(GroupRecord::GroupGone { group: id.clone() });
    }
}

fn resting_type(facts: &GroupFacts) -> Str {
    facts.stored.as_ref().and_then(|stored| stored.protocol_type.clone()).unwrap_or_default()
}
