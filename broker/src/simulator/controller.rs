//! Who hosts and who leads what, as the run knows it: decided by the brokers' own controller, or
//! by a script that appoints leaders by what it sees of the cluster, and errs when told to.
//!
//! Safety must not rest on what the script does; liveness after the heal does, and then it sees
//! the truth.

use std::collections::BTreeMap;
use std::sync::Arc;

use synod_log::key::PartitionKey;
use synod_paxos::{Ballot, NodeId, ReplicaSet};

use super::admin::News;
use super::agenda::{MS, Micros};
use super::fault::Repeat;
use super::random::Random;
use crate::metadata::MetadataImage;

/// A leader that cannot lead for this long is replaced.
const PATIENCE: Micros = 500 * MS;

/// A new appointment is left alone for this long.
const SETTLING: Micros = 300 * MS;

#[derive(Clone, Debug)]
pub(crate) struct Assignment {
    pub(crate) voters: Vec<NodeId>,
    pub(crate) ballot: Ballot,
    appointed_at: Micros,
    /// Since when its leader cannot lead.
    missing_since: Option<Micros>,
    /// Its round was given to two nodes.
    ambiguous: bool,
}

impl Assignment {
    pub(crate) fn set(&self) -> ReplicaSet {
        ReplicaSet::new(&self.voters)
    }
}

/// Who hosts which partition, and who leads it.
#[derive(Debug, Default)]
pub(crate) struct Controller {
    assignments: BTreeMap<PartitionKey, Assignment>,
    /// The newest metadata that the brokers decided.
    image: Arc<MetadataImage>,
}

impl Controller {
    /// Places a partition.
    pub(crate) fn assign(&mut self, key: PartitionKey, voters: Vec<NodeId>) {
        let ballot = Ballot::new(1, voters[0]);
        let assignment =
            Assignment { voters, ballot, appointed_at: 0, missing_since: None, ambiguous: false };
        self.assignments.insert(key, assignment);
    }

    /// Takes over what brokers decided, if that is news.
    pub(crate) fn follow(&mut self, image: &Arc<MetadataImage>, now: Micros) -> News {
        let mut news = News::default();
        if image.end() <= self.image.end() {
            return news;
        }
        for topic in self.image.topics().filter(|it| image.topic_by_id(it.id).is_none()) {
            news.deleted.push(topic.id.bytes());
        }
        self.assignments.retain(|key, _| !news.deleted.contains(&key.topic));
        for topic in image.topics() {
            for (partition, entry) in (0u32..).zip(&topic.partitions) {
                let key = PartitionKey { topic: topic.id.bytes(), partition };
                if !self.assignments.contains_key(&key) {
                    news.created.push(key);
                }
                let assignment = Assignment {
                    voters: entry.replicas.iter().map(|broker| NodeId(broker.0)).collect(),
                    ballot: Ballot::new(entry.round, NodeId(entry.leader.0)),
                    appointed_at: now,
                    missing_since: None,
                    ambiguous: false,
                };
                self.assignments.insert(key, assignment);
            }
        }
        self.image = image.clone();
        news
    }

    /// The round in which each partition is led.
    pub(crate) fn rounds(&self) -> BTreeMap<PartitionKey, u32> {
        self.assignments.iter().map(|(key, it)| (*key, it.ballot.round)).collect()
    }

    pub(crate) fn has_topic(&self, name: &str) -> bool {
        self.image.topic(name).is_some()
    }

    pub(crate) fn get(&self, key: PartitionKey) -> Option<&Assignment> {
        self.assignments.get(&key)
    }

    pub(crate) fn assignments(&self) -> impl Iterator<Item = (PartitionKey, &Assignment)> {
        self.assignments.iter().map(|(key, assignment)| (*key, assignment))
    }

    /// The partitions that a node hosts.
    pub(crate) fn hosted(&self, node: NodeId) -> Vec<PartitionKey> {
        let hosts = |assignment: &Assignment| assignment.voters.contains(&node);
        self.assignments.iter().filter(|(_, a)| hosts(a)).map(|(key, _)| *key).collect()
    }

    /// Looks at each partition: a leader that cannot lead is replaced by one that can.
    pub(crate) fn check(
        &mut self,
        now: Micros,
        can_lead: impl Fn(&Assignment, NodeId) -> bool,
        random: &mut Random,
    ) -> Vec<PartitionKey> {
        let mut changed = Vec::new();
        for (key, assignment) in &mut self.assignments {
            if can_lead(assignment, assignment.ballot.node) {
                assignment.missing_since = None;
                continue;
            }
            let since = *assignment.missing_since.get_or_insert(now);
            let able: Vec<NodeId> = assignment
                .voters
                .iter()
                .copied()
                .filter(|node| can_lead(assignment, *node))
                .collect();
            if now < since + PATIENCE || now < assignment.appointed_at + SETTLING {
                continue;
            }
            if !able.is_empty() {
                let node = random.pick(&able);
                assignment.appoint(node, now);
                changed.push(*key);
            }
        }
        changed
    }

    /// A leader gave up a round; true if that led to another appointment.
    pub(crate) fn resigned(
        &mut self,
        key: PartitionKey,
        round: u32,
        promised: u32,
        now: Micros,
        can_lead: impl Fn(&Assignment, NodeId) -> bool,
        random: &mut Random,
    ) -> bool {
        let Some(assignment) = self.assignments.get_mut(&key) else { return false };
        if assignment.ballot.round != round || now < assignment.appointed_at + 20 * MS {
            return false;
        }
        let able: Vec<NodeId> =
            assignment.voters.iter().copied().filter(|node| can_lead(assignment, *node)).collect();
        if able.is_empty() {
            return false;
        }
        assignment.ballot.round = assignment.ballot.round.max(promised);
        assignment.appoint(random.pick(&able), now);
        true
    }

    /// No more errors: a node that promised an ambiguous round to itself can only follow another.
    pub(crate) fn heal(&mut self, now: Micros) {
        for assignment in self.assignments.values_mut().filter(|a| a.ambiguous) {
            assignment.appoint(assignment.ballot.node, now);
        }
    }

    /// An appointment that nobody needs. Returns the ballot to tell of.
    pub(crate) fn err(
        &mut self,
        partition: u64,
        voter: u64,
        repeats: Repeat,
        now: Micros,
    ) -> Option<(PartitionKey, Ballot)> {
        let count = self.assignments.len();
        let key = *self.assignments.keys().nth(partition as usize % count.max(1))?;
        let assignment = self.assignments.get_mut(&key)?;
        let node = assignment.voters[voter as usize % assignment.voters.len()];
        match repeats {
            Repeat::Nothing => assignment.appoint(node, now),
            Repeat::Ballot => {}
            // Nothing is said of it to anybody else: the controller does not even know it.
            Repeat::Round => {
                let other = assignment.voters[(voter >> 32) as usize % assignment.voters.len()];
                assignment.appoint(other, now);
                assignment.ambiguous = true;
                return Some((key, Ballot::new(assignment.ballot.round, node)));
            }
        }
        Some((key, assignment.ballot))
    }
}

impl Assignment {
    fn appoint(&mut self, node: NodeId, now: Micros) {
        self.ballot = Ballot::new(self.ballot.round + 1, node);
        self.appointed_at = now;
        self.missing_since = None;
        self.ambiguous = false;
    }
}
