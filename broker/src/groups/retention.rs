//! Forgetting offsets that nobody needs any more: those older than the retention, and those of
//! deleted topics.

use std::collections::BTreeSet;

use synod_wire::{Str, Uuid};

use super::admin::delete_records;
use super::config::{RETENTION_GROUPS, ms};
use super::coordinator::Coordinator;
use super::desk::Now;
use super::group::Phase;
use super::record::{CommittedOffset, GroupRecord};
use super::state::{GroupFacts, GroupsState};

/// When offsets are looked at, and how old they are.
///
/// Ages are reckoned by a time that a jump of the wall clock does not move: the latest time that
/// the log told of when this coordinator began, plus what has passed since. It may lag behind the
/// wall clock, and is never ahead of it, so offsets live too long rather than not long enough.
#[derive(Debug, Default)]
pub(super) struct Retention {
    newest_ms: i64,
    began_mono_ms: u64,
    next_mono_ms: u64,
    /// Groups that are still to be looked at in this pass.
    queue: Vec<Str>,
}

/// How the age of a group's offsets is reckoned.
#[derive(Clone, Debug)]
enum Age {
    /// Not at all: somebody uses them.
    None,
    /// From the commit, but of these topics not at all.
    SinceCommit(BTreeSet<Str>),
    /// From the moment in which the group became empty.
    SinceEmpty,
}

impl Retention {
    pub(super) fn begin(&mut self, now: Now, newest_ms: i64) {
        // A log that tells of no time has nothing old.
        self.newest_ms = if newest_ms > 0 { newest_ms } else { now.wall_ms };
        self.began_mono_ms = now.mono_ms;
    }

    /// The time by which ages are reckoned.
    fn now_ms(&self, now: Now) -> i64 {
        let passed_ms = now.mono_ms.saturating_sub(self.began_mono_ms);
        let passed_ms = i64::try_from(passed_ms).unwrap_or(i64::MAX);
        self.newest_ms.saturating_add(passed_ms).min(now.wall_ms)
    }
}

impl Coordinator {
    /// Looks at the offsets of a few groups, from time to time.
    pub(super) fn expire_offsets(&mut self) {
        let now = self.desk.now;
        if self.retention.queue.is_empty() {
            if now.mono_ms < self.retention.next_mono_ms {
                return;
            }
            let interval_ms = ms(self.desk.config.offsets_retention_check_interval);
            self.retention.next_mono_ms = now.mono_ms.saturating_add(interval_ms);
            self.retention.queue = self.state().groups().map(|(id, _)| id.clone()).collect();
        }
        let keep = self.retention.queue.len().saturating_sub(RETENTION_GROUPS);
        let looked_at: Vec<(Str, Age)> =
            self.retention.queue.split_off(keep).into_iter().map(|id| self.aged(id)).collect();
        let now_ms = self.retention.now_ms(now);
        let retention_ms =
            i64::try_from(ms(self.desk.config.offsets_retention)).unwrap_or(i64::MAX);
        let handler = move |state: &GroupsState| {
            let mut records = Vec::new();
            for (id, age) in looked_at {
                if let Some(facts) = state.group(&id) {
                    expire(&id, facts, &age, now_ms, retention_ms, &mut records);
                }
            }
            (records, ())
        };
        self.desk.log.submit(handler, |_| ());
    }

    /// Forgets offsets of topics that were deleted. Ids are never used again.
    pub fn forget_topics(&mut self, deleted: BTreeSet<Uuid>) {
        if !self.is_leading() {
            return;
        }
        let handler = move |state: &GroupsState| {
            let mut records = Vec::new();
            for (id, facts) in state.groups() {
                let gone = |offset: &CommittedOffset| deleted.contains(&offset.topic_id);
                let offsets = facts.offsets.iter().filter(|(_, offset)| gone(offset));
                records.extend(offsets.map(|(partition, _)| GroupRecord::Forgotten {
                    group: id.clone(),
                    partition: partition.clone(),
                }));
            }
            (records, ())
        };
        self.desk.log.submit(handler, |_| ());
    }

    fn aged(&self, id: Str) -> (Str, Age) {
        let age = match self.groups.get(&id) {
            None => Age::SinceEmpty,
            Some(group) => match (group.phase, &group.subscribed) {
                (Phase::Empty, _) if group.pending.is_empty() => Age::SinceEmpty,
                (Phase::Stable, Some(topics)) if group.uses_consumer_protocol() => {
                    Age::SinceCommit(topics.clone())
                }
                _ => Age::None,
            },
        };
        (id, age)
    }
}

fn expire(
    id: &Str,
    facts: &GroupFacts,
    age: &Age,
    now_ms: i64,
    retention_ms: i64,
    records: &mut Vec<GroupRecord>,
) {
    let empty_since = facts.stored.as_ref().and_then(|stored| stored.since_ms);
    let is_old = |topic: &Str, offset: &CommittedOffset| {
        let since_ms = match age {
            Age::None => return false,
            Age::SinceCommit(used) if used.contains(topic) => return false,
            Age::SinceCommit(_) => offset.commit_ms,
            Age::SinceEmpty => {
                let named = facts.stored.as_ref().is_some_and(|it| it.protocol_type.is_some());
                empty_since.filter(|_| named).unwrap_or(offset.commit_ms)
            }
        };
        match offset.expire_ms {
            Some(expire_ms) => now_ms >= expire_ms,
            None => now_ms.saturating_sub(since_ms) >= retention_ms,
        }
    };
    let all_old = facts.offsets.iter().all(|(one, offset)| is_old(&one.topic, offset));
    let empty = facts.stored.as_ref().is_none_or(|stored| stored.members.is_empty());
    if all_old && empty && matches!(age, Age::SinceEmpty) {
        return delete_records(id, facts, records);
    }
    let old = facts.offsets.iter().filter(|(one, offset)| is_old(&one.topic, offset));
    records.extend(old.map(|(partition, _)| GroupRecord::Forgotten {
        group: id.clone(),
        partition: partition.clone(),
    }));
}
