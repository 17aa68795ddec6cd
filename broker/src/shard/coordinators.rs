//! The group coordinators of a shard: one for each partition of the offsets topic that it leads.
//!
//! A partition that becomes ready to lead has its decided log folded on a blocking thread; then its
//! coordinator serves until the leadership, and with it the coordinator, ends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use synod_log::key::PartitionKey;
use synod_wire::Uuid;
use synod_wire::batch::Batches;

use super::event_loop::{Shard, unix_time_ms};
use super::events::Event;
use super::shard_of;
use crate::groups::{Coordinator, GroupError, GroupRequest, GroupsState, Now, OFFSETS_TOPIC};
use crate::metadata::{MetadataImage, TopicId};
use crate::partition::{Effects, Partition, PartitionError, PartitionView};
use crate::state_log::batches::{decode, encode};
use crate::state_log::{EncodedRecord, StateError, StateMachine};

/// Bytes of decided records that are folded at a time.
const READ_SIZE: usize = 1 << 20;

/// The group coordinators of a shard.
#[derive(Debug)]
pub(super) struct Coordinators {
    /// Partitions of the offsets topic that belong to this shard.
    keys: Vec<PartitionKey>,
    slots: BTreeMap<PartitionKey, Slot>,
    started: Instant,
    /// Topics deleted since the coordinators last heard of any.
    deleted: BTreeSet<Uuid>,
}

/// A coordinator in one round of its partition.
#[derive(Debug)]
struct Slot {
    round: u32,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The log is being folded.
    Loading,
    Serving(Box<Coordinator>),
    /// The log cannot be folded. Going on would be a guess.
    Broken,
}

/// The fold of a coordinator's log, and the first offset that is not in it.
pub(crate) type Loaded = Result<(GroupsState, u64), String>;

impl Default for Coordinators {
    fn default() -> Coordinators {
        Coordinators {
            keys: Vec::new(),
            slots: BTreeMap::new(),
            started: Instant::now(),
            deleted: BTreeSet::new(),
        }
    }
}

impl Coordinators {
    /// Follows the metadata: which partitions of the offsets topic are this shard's.
    pub(super) fn follow(&mut self, image: &MetadataImage, shard: usize, shard_count: usize) {
        self.keys.clear();
        let Some(topic) = image.topic(OFFSETS_TOPIC) else { return };
        let keys = (0u32..).zip(&topic.partitions);
        let keys = keys.map(|(partition, _)| PartitionKey { topic: topic.id.bytes(), partition });
        self.keys.extend(keys.filter(|key| shard_of(*key, shard_count) == shard));
    }

    /// A topic was deleted; so are the offsets that groups committed of it.
    pub(super) fn topic_deleted(&mut self, topic: TopicId) {
        self.deleted.insert(Uuid(topic.bytes()));
    }

    fn serving(&mut self) -> impl Iterator<Item = &mut Coordinator> {
        self.slots.values_mut().filter_map(|slot| match &mut slot.phase {
            Phase::Serving(coordinator) => Some(&mut **coordinator),
            Phase::Loading | Phase::Broken => None,
        })
    }

    fn now(&self) -> Now {
        let mono_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { mono_ms, wall_ms: unix_time_ms() }
    }
}

impl Shard {
    /// Takes a request to the coordinator of one partition of the offsets topic.
    pub(super) fn group_request(&mut self, key: PartitionKey, request: GroupRequest) {
        let now = self.coordinators.now();
        match self.coordinators.slots.get_mut(&key).map(|slot| &mut slot.phase) {
            Some(Phase::Serving(coordinator)) => coordinator.handle(request, now),
            Some(Phase::Loading) => request.refuse(GroupError::Loading),
            Some(Phase::Broken) => request.refuse(GroupError::NotAvailable),
            None => {
                let ready = self.partitions.get(&key).is_some_and(|partition| partition.is_ready());
                let about_to_load = ready && self.coordinators.keys.contains(&key);
                request.refuse(if about_to_load {
                    GroupError::Loading
                } else {
                    GroupError::NotCoordinator
                });
            }
        }
    }

    /// Lets time pass for all coordinators.
    pub(super) fn tick_groups(&mut self) {
        let now = self.coordinators.now();
        for coordinator in self.coordinators.serving() {
            coordinator.handle_tick(now);
        }
    }

    /// Does what all coordinators are in no hurry with, and shows the rest of the broker, such as
    /// its metrics, the groups as they are now.
    ///
    /// # Errors
    /// A partition's log failed for good.
    pub(super) fn look_after_groups(&mut self) -> Result<(), PartitionError> {
        let now = self.coordinators.now();
        for (key, slot) in &mut self.coordinators.slots {
            let Phase::Serving(coordinator) = &mut slot.phase else { continue };
            coordinator.handle_upkeep(now);
            if let Some(partition) = self.partitions.get_mut(key) {
                coordinator.keep_short(partition.view().log().size());
                let before = coordinator.useless_before();
                if partition.view().log().start() < before
                    && let Err(error) = partition.trim(Some(before), &mut self.effects)?
                {
                    tracing::debug!(partition = %key, %error, "the log keeps its head for now");
                }
            }
            let overview = coordinator.overview();
            self.broker.group_overviews().set(key.partition, Some(overview));
        }
        Ok(())
    }

    /// Begins and ends coordinators as partitions are led or not, folds what was decided, and
    /// proposes what was asked.
    ///
    /// # Errors
    /// A partition's log failed for good.
    pub(super) fn step_groups(&mut self) -> Result<(), PartitionError> {
        let deleted = std::mem::take(&mut self.coordinators.deleted);
        let gone = |key: &PartitionKey| !self.coordinators.keys.contains(key);
        let orphans: Vec<_> = self.coordinators.slots.keys().copied().filter(gone).collect();
        for key in orphans {
            self.end_coordinator(key);
        }
        for index in 0..self.coordinators.keys.len() {
            let key = self.coordinators.keys[index];
            let view = self.partitions.get(&key).map(|partition| partition.view().clone());
            let round = view.as_ref().and_then(|view| view.leading_round());
            let slot = self.coordinators.slots.get(&key).map(|slot| slot.round);
            if slot.is_some() && slot != round {
                self.end_coordinator(key);
            }
            match (view, round) {
                (Some(view), Some(round)) if slot != Some(round) => self.load(view, round),
                (Some(view), Some(_)) => self.step_coordinator(key, &view, &deleted)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn end_coordinator(&mut self, key: PartitionKey) {
        if let Some(Slot { phase: Phase::Serving(coordinator), round }) =
            self.coordinators.slots.remove(&key)
        {
            tracing::debug!(partition = %key, round, "coordinates its groups no more");
            self.broker.group_overviews().set(key.partition, None);
            coordinator.stop(GroupError::NotCoordinator);
        }
    }

    /// Has a partition's decided log folded on a blocking thread.
    fn load(&mut self, view: Arc<PartitionView>, round: u32) {
        let key = view.key();
        self.coordinators.slots.insert(key, Slot { round, phase: Phase::Loading });
        let events = self.events.clone();
        tokio::task::spawn_blocking(move || {
            let loaded = fold(&view).map_err(|error| error.to_string());
            events.push(Event::GroupsLoaded(key, round, Box::new(loaded)));
        });
    }

    /// A partition's log is folded.
    pub(super) fn groups_loaded(&mut self, key: PartitionKey, round: u32, loaded: Loaded) {
        let Some(slot) = self.coordinators.slots.get_mut(&key) else { return };
        if slot.round != round {
            return;
        }
        slot.phase = match loaded {
            Ok((state, end)) => {
                let groups = state.group_count();
                tracing::debug!(partition = %key, round, groups, "coordinates its groups");
                let config = Arc::new(self.broker.config().groups.clone());
                let counters = self.broker.group_counters().clone();
                Phase::Serving(Box::new(Coordinator::new(state, end, config, counters)))
            }
            Err(error) => {
                tracing::error!(partition = %key, error, "the groups' log cannot be read");
                Phase::Broken
            }
        };
    }

    fn step_coordinator(
        &mut self,
        key: PartitionKey,
        view: &PartitionView,
        deleted: &BTreeSet<Uuid>,
    ) -> Result<(), PartitionError> {
        let now = self.coordinators.now();
        let Some(slot) = self.coordinators.slots.get_mut(&key) else { return Ok(()) };
        let Phase::Serving(coordinator) = &mut slot.phase else { return Ok(()) };
        if let Err(error) = fold_decided(coordinator, view) {
            tracing::error!(partition = %key, %error, "the groups' log cannot be folded");
            if let Phase::Serving(coordinator) = std::mem::replace(&mut slot.phase, Phase::Broken) {
                coordinator.stop(GroupError::NotAvailable);
            }
            return Ok(());
        }
        if !coordinator.is_leading() {
            coordinator.begin(now);
        }
        if !deleted.is_empty() {
            coordinator.forget_topics(deleted.clone());
        }
        let Some(partition) = self.partitions.get_mut(&key) else { return Ok(()) };
        propose(coordinator, partition, &mut self.effects)?;
        partition.confirm(coordinator.reads_mut(), &mut self.effects)
    }
}

/// Proposes what was asked.
fn propose(
    coordinator: &mut Coordinator,
    partition: &mut Partition,
    effects: &mut Effects,
) -> Result<(), PartitionError> {
    let key = partition.key();
    while let Some(proposal) = coordinator.poll_proposal() {
        let proposed = match encode(&proposal, unix_time_ms()) {
            Ok(batch) => partition.propose(batch, effects)?.map_err(|e| e.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match proposed {
            Ok((base, _)) => assert_eq!(base, proposal.base_offset, "one writer"),
            Err(error) => {
                tracing::warn!(partition = %key, error, "the groups' log takes no records");
                coordinator.handle_refused();
            }
        }
    }
    Ok(())
}

/// Hands a coordinator what was decided since it last looked.
fn fold_decided(coordinator: &mut Coordinator, view: &PartitionView) -> Result<(), StateError> {
    let decided_end = view.high_watermark();
    while coordinator.end() < decided_end {
        for (base, records) in read(view, coordinator.end(), decided_end)? {
            coordinator.handle_decided(base, &records)?;
        }
    }
    Ok(())
}

/// Folds all that is decided. Blocks.
fn fold(view: &PartitionView) -> Result<(GroupsState, u64), StateError> {
    let (mut state, mut end) = (GroupsState::default(), view.log().start());
    let decided_end = view.high_watermark();
    while end < decided_end {
        for (base, records) in read(view, end, decided_end)? {
            for (offset, record) in (base..).zip(&records) {
                state.apply(offset, &GroupsState::decode(record)?)?;
                end = offset + 1;
            }
        }
    }
    Ok((state, end))
}

/// Some decided batches from an offset on, each as its base offset and records.
fn read(
    view: &PartitionView,
    from: u64,
    decided_end: u64,
) -> Result<Vec<(u64, Vec<EncodedRecord>)>, StateError> {
    let slice = view.log().read(from, READ_SIZE, true, decided_end)?;
    let mut batches = Vec::new();
    for bytes in slice.batches {
        for batch in Batches::new(bytes) {
            batches.push(decode(&batch?)?);
        }
    }
    if batches.is_empty() {
        return Err(format!("no batch at {from}, although {decided_end} is decided").into());
    }
    Ok(batches)
}
