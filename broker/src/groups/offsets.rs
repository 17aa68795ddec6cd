//! Committing, fetching and forgetting offsets.

use std::sync::Arc;

use synod_wire::Str;

use super::config::RECORDS_SIZE;
use super::coordinator::Coordinator;
use super::error::GroupError;
use super::group::Phase;
use super::record::{CommittedOffset, GroupRecord, TopicPartition};
use super::request::{Claim, Commit, Fetch, Fetched, Forget, Reply};

/// One outcome for each item of a request, in the request's order.
type Outcomes = Vec<Result<(), GroupError>>;

impl Coordinator {
    pub(super) fn commit(&mut self, commit: Commit, reply: Reply<Result<Outcomes, GroupError>>) {
        let group = commit.claim.group.clone();
        if let Err(error) = self.check_commit(&commit.claim) {
            let _ = reply.send(Err(error));
            return;
        }
        let now_ms = self.desk.now.wall_ms;
        let expire_ms = commit.retention_ms.map(|retention| now_ms.saturating_add(retention));
        let longest = self.desk.config.offset_metadata_size;
        let (mut records, mut outcomes) = (Vec::new(), Vec::with_capacity(commit.offsets.len()));
        let mut size = 0;
        for (partition, offset) in commit.offsets {
            // Kafka counts characters as Java does.
            if offset.metadata.encode_utf16().count() > longest {
                outcomes.push(Err(GroupError::RemarkTooLarge));
                continue;
            }
            size += record_size(&group, &partition, &offset);
            outcomes.push(Ok(()));
            let offset = Arc::new(CommittedOffset { commit_ms: now_ms, expire_ms, ..offset });
            records.push(GroupRecord::Committed { group: group.clone(), partition, offset });
        }
        if size > RECORDS_SIZE {
            let _ = reply.send(Err(GroupError::CommitTooLarge));
            return;
        }
        self.desk.submit(reply, move |_| (records, outcomes));
    }

    /// Whether somebody may commit for a group. A member's commit is a sign of life.
    fn check_commit(&mut self, claim: &Claim) -> Result<(), GroupError> {
        let Claim { group: id, member, instance, generation } = claim;
        let outsider = *generation < 0;
        let Some(group) = self.groups.get(id) else {
            let exists = self.state().group(id).is_some();
            return match (outsider, exists) {
                (true, _) => Ok(()),
                (false, true) => Err(GroupError::UnknownMember),
                (false, false) => Err(GroupError::IllegalGeneration),
            };
        };
        if outsider && group.phase == Phase::Empty {
            return Ok(());
        }
        if outsider && member.is_empty() && instance.is_none() {
            // Its offsets would be lost among the members' own.
            return Err(GroupError::UnknownMember);
        }
        group.check_member(member, instance.as_ref())?;
        if *generation != group.generation {
            return Err(GroupError::IllegalGeneration);
        }
        match group.phase {
            Phase::Completing => Err(GroupError::RebalanceInProgress),
            Phase::Stable | Phase::Preparing => {
                group.restart_session(member, &mut self.desk);
                Ok(())
            }
            Phase::Empty => Ok(()),
        }
    }

    pub(super) fn fetch(&self, fetch: Fetch) -> Vec<Fetched> {
        let offsets = self.state().group(&fetch.group).map(|facts| &facts.offsets);
        match fetch.partitions {
            Some(partitions) => {
                let fetched = partitions.into_iter().map(|partition| {
                    let offset = offsets.and_then(|offsets| offsets.get(&partition)).cloned();
                    Fetched { partition, offset }
                });
                fetched.collect()
            }
            None => {
                let all = offsets.into_iter().flat_map(|offsets| offsets.iter());
                let mut fetched: Vec<Fetched> = all
                    .map(|(partition, offset)| Fetched {
                        partition: partition.clone(),
                        offset: Some(offset.clone()),
                    })
                    .collect();
                fetched.sort_by(|a, b| a.partition.cmp(&b.partition));
                fetched
            }
        }
    }

    pub(super) fn forget(&mut self, forget: Forget, reply: Reply<Result<Outcomes, GroupError>>) {
        let Forget { group: id, partitions } = forget;
        let live = self.groups.get(&id);
        let refusal = match live {
            _ if id.is_empty() => Some(GroupError::InvalidGroup),
            None if self.state().group(&id).is_none() => Some(GroupError::GroupNotFound),
            Some(group) if group.phase != Phase::Empty && !group.uses_consumer_protocol() => {
                Some(GroupError::NotEmpty)
            }
            _ => None,
        };
        if let Some(error) = refusal {
            let _ = reply.send(Err(error));
            return;
        }
        let subscribed = |topic: &Str| live.is_some_and(|group| group.is_subscribed(topic));
        let outcomes: Outcomes = partitions
            .iter()
            .map(|one| if subscribed(&one.topic) { Err(GroupError::Subscribed) } else { Ok(()) })
            .collect();
        self.desk.submit(reply, move |state| {
            let offsets = state.group(&id).map(|facts| &facts.offsets);
            let wanted =
                partitions.into_iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok());
            let mut records: Vec<GroupRecord> = Vec::new();
            let mut seen = std::collections::BTreeSet::new();
            for (partition, _) in wanted {
                let exists = offsets.is_some_and(|offsets| offsets.get(&partition).is_some());
                if exists && seen.insert(partition.clone()) {
                    records.push(GroupRecord::Forgotten { group: id.clone(), partition });
                }
            }
            (records, outcomes)
        });
    }
}

/// Bytes that an offset's record takes, more or less.
fn record_size(group: &Str, partition: &TopicPartition, offset: &CommittedOffset) -> usize {
    let names = [group, &partition.topic, &offset.metadata];
    64 + names.iter().map(|name| name.as_bytes().len()).sum::<usize>()
}
