//! What a group's coordinators wrote, as anybody can read it in `__consumer_offsets`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use synod_client::cluster::{Isolation, OffsetSpec, TopicPartition};
use synod_client::consumer::{Consumer, ConsumerConfig, ConsumerRecord, Start};
use synod_client::wire::consumer_protocol::Assignment;
use synod_client::wire::offsets_topic::{GroupMetadataValue, OffsetCommitValue, OffsetsKey};

use crate::world::World;

/// Partitions by member.
pub(crate) type Owners = BTreeMap<Bytes, BTreeSet<i32>>;

/// How the log of one group reads.
#[derive(Debug, Default)]
pub(crate) struct OffsetsLog {
    /// All commits in their order, by partition.
    commits: BTreeMap<i32, Vec<i64>>,
    /// Who owns which partitions, by generation.
    generations: BTreeMap<i32, Owners>,
    /// Which member led the group, by generation.
    leaders: BTreeMap<i32, String>,
    /// Commits of less than was committed before: the doing of a client that sends an older one
    /// again after a newer one.
    pub(crate) steps_back: Vec<String>,
    /// What must not be.
    pub(crate) faults: Vec<String>,
}

impl OffsetsLog {
    /// Reads all that is decided about a group.
    pub(crate) fn read(world: &World, group: &str) -> OffsetsLog {
        let mut log = OffsetsLog::default();
        for record in world.runtime.block_on(records(world)) {
            let Some(key) = record.key.clone() else { continue };
            match OffsetsKey::decode(key).expect("a key") {
                OffsetsKey::Offset(key) if *key.group == *group => {
                    log.note_commit(key.partition, &record);
                }
                OffsetsKey::Group(key) if *key.group == *group => log.note_group(&record),
                _ => {}
            }
        }
        log
    }

    /// What holds in the end, by partition.
    pub(crate) fn committed(&self) -> BTreeMap<i32, i64> {
        let last = |commits: &Vec<i64>| commits.last().copied().unwrap_or(-1);
        self.commits.iter().map(|(partition, commits)| (*partition, last(commits))).collect()
    }

    /// What was told of a partition, in this order, must have been committed in this order: no
    /// answer is out of date, and nothing that was told is lost.
    pub(crate) fn check_told(&mut self, partition: i32, told: &[i64]) {
        let mut commits = self.commits.get(&partition).into_iter().flatten().peekable();
        for offset in told {
            while commits.next_if(|commit| *commit != offset).is_some() {}
            if commits.peek().is_none() {
                let fault = format!("partition {partition}: {offset} was told out of its turn");
                return self.faults.push(fault);
            }
        }
    }

    /// Generations that were assigned.
    pub(crate) fn generations(&self) -> usize {
        self.generations.len()
    }

    /// The last generation of so many members in which each of so many partitions is somebody's:
    /// who led it, and who owned what.
    pub(crate) fn whole(&self, members: usize, partitions: usize) -> Option<(&str, &Owners)> {
        let is_whole = |owners: &Owners| {
            owners.len() == members
                && owners.values().map(BTreeSet::len).sum::<usize>() == partitions
        };
        let found = self.generations.iter().rev().find(|(_, owners)| is_whole(owners));
        found.map(|(generation, owners)| (self.leaders[generation].as_str(), owners))
    }

    fn note_commit(&mut self, partition: i32, record: &ConsumerRecord) {
        let Some(value) = record.value.clone() else {
            self.faults.push(format!("{}: an offset is forgotten", record.offset));
            return;
        };
        let value = OffsetCommitValue::decode(value).expect("a committed offset");
        let commits = self.commits.entry(partition).or_default();
        let before = commits.last().copied();
        commits.push(value.offset);
        if let Some(before) = before.filter(|before| *before > value.offset) {
            let (at, now) = (record.offset, value.offset);
            let newest = self.generations.last_key_value();
            self.steps_back.push(format!(
                "{at}: partition {partition} goes from {before} to {now} after {newest:?}"
            ));
        }
    }

    fn note_group(&mut self, record: &ConsumerRecord) {
        let Some(value) = record.value.clone() else { return };
        let value = GroupMetadataValue::decode(value).expect("a group");
        let mut owners = BTreeMap::new();
        let mut owned = BTreeSet::new();
        for member in value.members.iter().filter(|member| !member.assignment.is_empty()) {
            let assignment = Assignment::decode(member.assignment.clone()).expect("an assignment");
            let topics = assignment.assigned_partitions.iter();
            let mine: BTreeSet<i32> = topics.flat_map(|topic| topic.partitions.clone()).collect();
            for partition in &mine {
                if !owned.insert(*partition) {
                    let generation = value.generation;
                    self.faults.push(format!("{partition} has two owners in {generation}"));
                }
            }
            owners.insert(Bytes::copy_from_slice(member.member_id.as_bytes()), mine);
        }
        let at = record.offset;
        let newest = self.generations.last_key_value().map(|(generation, _)| *generation);
        if newest.is_some_and(|newest| newest > value.generation) {
            self.faults.push(format!("{at}: generation {} after {newest:?}", value.generation));
        }
        let leader = value.leader.as_deref().unwrap_or_default();
        self.leaders.insert(value.generation, leader.to_owned());
        let before = self.generations.insert(value.generation, owners.clone());
        if before.is_some_and(|before| before != owners) {
            self.faults.push(format!("{at}: generation {} changed its owners", value.generation));
        }
    }
}

/// Every record of the offsets topic.
async fn records(world: &World) -> Vec<ConsumerRecord> {
    let cluster = world.admin.cluster();
    let topic = cluster.refresh_topic("__consumer_offsets").await.expect("the offsets topic");
    let all = 0..i32::try_from(topic.partitions.len()).expect("a count");
    let all: Vec<_> = all.map(|at| TopicPartition::new("__consumer_offsets", at)).collect();
    let ends = cluster.list_offsets(all.clone(), OffsetSpec::End, Isolation::ReadUncommitted).await;
    let mut open: BTreeMap<_, _> = ends
        .into_iter()
        .map(|(at, end)| (at, end.expect("an end").map_or(0, |end| end.offset)))
        .collect();
    let mut consumer =
        Consumer::new(cluster.clone(), ConsumerConfig::default()).expect("a consumer");
    let starts = all.iter().map(|at| (at.clone(), Start::Beginning));
    consumer.assign(starts).await.expect("assigned");
    let mut records = Vec::new();
    loop {
        open.retain(|at, end| consumer.position(at).expect("assigned") < *end);
        if open.is_empty() {
            return records;
        }
        records.extend(consumer.poll(Duration::from_millis(100)).await.expect("read"));
    }
}
