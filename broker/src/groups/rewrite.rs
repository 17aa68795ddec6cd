//! Keeping the log short: everything that still holds is written again at the log's end, and then
//! the log's head can go.
//!
//! That is key compaction without a cleaner. What is written again are ordinary records, decided
//! like all others, so every replica and every reader sees the same; the head is dropped only when
//! the last of them is decided. A fold that begins behind the head, or before it, ends the same.

use synod_wire::Str;
use tokio::sync::oneshot;

use super::coordinator::Coordinator;
use super::record::{GroupRecord, TopicPartition};
use super::state::{GroupFacts, GroupsState};

/// A log that grew by less than this is left alone.
const SMALL_LOG_SIZE: u64 = 32 << 20;

/// A log is written again when it grew by this many times what holds in it.
const WASTE_FACTOR: u64 = 4;

/// Bytes that a record takes in the log, more or less.
const RECORD_SIZE: usize = 200;

/// Records that are written again at a time.
const CHUNK: usize = 1000;

/// Time between two looks at the log's size.
const INTERVAL_MS: u64 = 60_000;

/// A rewrite under way, if any.
#[derive(Debug, Default)]
pub(super) struct Rewrite {
    next_mono_ms: u64,
    under_way: Option<UnderWay>,
    /// The log's head before this offset is of no use.
    useless_before: u64,
    /// Of the log's size, what was left by the last rewrite: dropping the head frees no space
    /// before it fills a segment.
    left_size: u64,
}

#[derive(Debug)]
struct UnderWay {
    /// Where the log ended when it began: everything before is to be written again.
    from: u64,
    /// Groups that are still to be written.
    groups: Vec<Str>,
    /// Items of one group that are still to be written; `None`: its members.
    items: Vec<(Str, Option<TopicPartition>)>,
    /// Tells whether the chunk written last is decided.
    outcome: Option<oneshot::Receiver<bool>>,
}

impl Coordinator {
    /// Looks from time to time whether the log, of this size, should be shorter.
    pub fn keep_short(&mut self, log_size: u64) {
        if !self.is_leading() {
            return;
        }
        let now_ms = self.desk.now.mono_ms;
        self.rewrite.left_size = self.rewrite.left_size.min(log_size);
        let grown = log_size - self.rewrite.left_size;
        if self.rewrite.under_way.is_some() {
            self.go_on_rewriting(log_size);
        } else if now_ms >= self.rewrite.next_mono_ms {
            self.rewrite.next_mono_ms = now_ms.saturating_add(INTERVAL_MS);
            if grown > SMALL_LOG_SIZE && grown / WASTE_FACTOR > live_size(self.state()) {
                let groups = self.state().groups().map(|(id, _)| id.clone()).collect();
                let from = self.end();
                let under_way = UnderWay { from, groups, items: Vec::new(), outcome: None };
                self.rewrite.under_way = Some(under_way);
                self.go_on_rewriting(log_size);
            }
        }
    }

    /// The offset before which the log may be dropped.
    #[must_use]
    pub fn useless_before(&self) -> u64 {
        self.rewrite.useless_before
    }

    fn go_on_rewriting(&mut self, log_size: u64) {
        let Some(mut work) = self.rewrite.under_way.take() else { return };
        match work.outcome.take().map(|mut outcome| (outcome.try_recv(), outcome)) {
            None | Some((Ok(true), _)) => {}
            Some((Err(oneshot::error::TryRecvError::Empty), outcome)) => {
                work.outcome = Some(outcome);
                self.rewrite.under_way = Some(work);
                return;
            }
            // It was refused; another look comes later.
            Some(_) => return,
        }
        let chunk = work.next_chunk(self.state());
        if chunk.is_empty() {
            tracing::debug!(before = work.from, "what holds of the groups is written again");
            self.rewrite.useless_before = work.from;
            self.rewrite.left_size = log_size;
            return;
        }
        let (done, outcome) = oneshot::channel();
        work.outcome = Some(outcome);
        self.rewrite.under_way = Some(work);
        let handler = move |state: &GroupsState| {
            let records = chunk.into_iter().filter_map(|(id, item)| {
                let facts = state.group(&id)?;
                record(id, item, facts)
            });
            (records.collect(), ())
        };
        self.desk.log.submit(handler, move |outcome| {
            let _ = done.send(outcome.is_ok());
        });
    }
}

impl UnderWay {
    fn next_chunk(&mut self, state: &GroupsState) -> Vec<(Str, Option<TopicPartition>)> {
        while self.items.len() < CHUNK
            && let Some(id) = self.groups.pop()
        {
            let Some(facts) = state.group(&id) else { continue };
            self.items.push((id.clone(), None));
            let offsets = facts.offsets.iter().map(|(at, _)| (id.clone(), Some(at.clone())));
            self.items.extend(offsets);
        }
        self.items.split_off(self.items.len().saturating_sub(CHUNK))
    }
}

/// The record that says again what holds, if it does still.
fn record(id: Str, item: Option<TopicPartition>, facts: &GroupFacts) -> Option<GroupRecord> {
    Some(match item {
        None => GroupRecord::Group { group: id, stored: facts.stored.clone()? },
        Some(partition) => {
            let offset = facts.offsets.get(&partition)?.clone();
            GroupRecord::Committed { group: id, partition, offset }
        }
    })
}

fn live_size(state: &GroupsState) -> u64 {
    let sizes = state.groups().map(|(_, facts)| {
        let members = facts.stored.iter().flat_map(|stored| &stored.members);
        let members = members.map(|member| member.metadata.len() + member.assignment.len());
        members.sum::<usize>() + (1 + facts.offsets.len()) * RECORD_SIZE
    });
    sizes.sum::<usize>() as u64
}
