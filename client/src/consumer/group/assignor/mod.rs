//! Who of a group reads which partitions: decided by one member, its leader, for all.
//!
//! The names and what members tell each other are Kafka's, so that groups may be mixed. The results
//! need not be the same as another client's leader would find: only one leader decides.

mod range;
mod round_robin;
mod sticky;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use synod_wire::consumer_protocol::{StickyUserData, Subscription, TopicPartitions};
use synod_wire::{DecodeError, Str};

use crate::cluster::TopicPartition;

/// How partitions are spread over the members of a group.
///
/// ```
/// use synod_client::consumer::{Assignor, GroupConfig};
/// assert_eq!(Assignor::from_name("cooperative-sticky"), Some(Assignor::CooperativeSticky));
/// assert_eq!(Assignor::RoundRobin.name(), "roundrobin");
/// let group = GroupConfig::new("billing").assignors([Assignor::Sticky]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignor {
    /// Each topic's partitions in consecutive ranges; a member has the same numbers of all topics.
    Range,
    /// One by one to each member in turn.
    RoundRobin,
    /// Evenly, and as much as possible where they were before.
    Sticky,
    /// Like sticky, and members go on with what they keep while the group changes.
    CooperativeSticky,
}

impl Assignor {
    /// Its name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RoundRobin => "roundrobin",
            Self::Sticky => "sticky",
            Self::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// The assignor with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Range, Self::RoundRobin, Self::Sticky, Self::CooperativeSticky];
        all.into_iter().find(|assignor| assignor.name() == name)
    }

    /// Whether members keep their partitions while they join.
    pub(crate) fn is_cooperative(self) -> bool {
        self == Self::CooperativeSticky
    }

    /// What a member says about itself when it joins. `owned`: what it has, from `generation`.
    pub(crate) fn subscription(
        self,
        topics: &BTreeSet<Arc<str>>,
        owned: &BTreeSet<TopicPartition>,
        generation: i32,
    ) -> Subscription {
        let topics = topics.iter().map(|topic| Str::from(&**topic)).collect();
        let subscription = Subscription { topics, ..Subscription::default() };
        match self {
            Self::Range | Self::RoundRobin => subscription,
            Self::Sticky => {
                let data = StickyUserData { previous_assignment: by_topic(owned), generation };
                // It fails only for names longer than any topic's, which nobody was assigned.
                Subscription { user_data: data.encode().ok(), ..subscription }
            }
            Self::CooperativeSticky => Subscription {
                user_data: Some(Bytes::copy_from_slice(&generation.to_be_bytes())),
                owned_partitions: by_topic(owned),
                generation_id: generation,
                ..subscription
            },
        }
    }

    /// Spreads the partitions of all topics that someone wants. `partition_counts` has the topics
    /// that exist.
    pub(crate) fn assign(
        self,
        members: &[Member],
        partition_counts: &BTreeMap<Arc<str>, i32>,
    ) -> Vec<BTreeSet<TopicPartition>> {
        match self {
            Self::Range => range::assign(members, partition_counts),
            Self::RoundRobin => round_robin::assign(members, partition_counts),
            Self::Sticky => sticky::assign(members, partition_counts),
            Self::CooperativeSticky => {
                let mut assigned = sticky::assign(members, partition_counts);
                sticky::hold_back(members, &mut assigned);
                assigned
            }
        }
    }
}

/// A member as the leader sees it.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) id: Str,
    pub(crate) instance_id: Option<Str>,
    pub(crate) topics: BTreeSet<Arc<str>>,
    /// What it had, from which generation; -1 if it does not say.
    pub(crate) owned: BTreeSet<TopicPartition>,
    pub(crate) generation: i32,
}

impl Member {
    /// A member from what it says about itself.
    pub(crate) fn decode(
        id: Str,
        instance_id: Option<Str>,
        metadata: Bytes,
    ) -> Result<Self, DecodeError> {
        let subscription = Subscription::decode(metadata)?;
        let mut owned = partitions(&subscription.owned_partitions);
        let mut generation = subscription.generation_id;
        match subscription.user_data {
            // As long as one number: the cooperative assignor's generation.
            Some(data) if data.len() == 4 => {
                let told = data.first_chunk().map_or(-1, |bytes| i32::from_be_bytes(*bytes));
                generation = generation.max(told);
            }
            // Other assignors' data are none of our business.
            Some(data) if owned.is_empty() => {
                if let Ok(data) = StickyUserData::decode(data) {
                    owned = partitions(&data.previous_assignment);
                    generation = generation.max(data.generation);
                }
            }
            _ => {}
        }
        let topics = subscription.topics.iter().map(|topic| Arc::from(&**topic)).collect();
        Ok(Self { id, instance_id, topics, owned, generation })
    }

    /// Members are looked at in this order: static ones first, by static id; the others by id.
    fn order(&self) -> (bool, &str) {
        match &self.instance_id {
            Some(instance_id) => (false, instance_id),
            None => (true, &self.id),
        }
    }
}

/// The members' places in [`Member::order`].
fn in_order(members: &[Member]) -> Vec<usize> {
    let mut order: Vec<_> = (0..members.len()).collect();
    order.sort_by(|&a, &b| members[a].order().cmp(&members[b].order()));
    order
}

/// All partitions that there are of topics that someone wants, in order.
fn wanted(members: &[Member], partition_counts: &BTreeMap<Arc<str>, i32>) -> Vec<TopicPartition> {
    let topics: BTreeSet<_> = members.iter().flat_map(|member| &member.topics).collect();
    let known = topics.into_iter().filter_map(|topic| partition_counts.get_key_value(topic));
    let each = |(topic, &count): (&Arc<str>, &i32)| {
        let topic = topic.clone();
        (0..count).map(move |partition| TopicPartition::new(topic.clone(), partition))
    };
    known.flat_map(each).collect()
}

/// Partitions as the protocol lists them.
pub(crate) fn by_topic<'a>(
    partitions: impl IntoIterator<Item = &'a TopicPartition>,
) -> Vec<TopicPartitions> {
    let mut topics: BTreeMap<&Arc<str>, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(&partition.topic).or_default().push(partition.partition);
    }
    let topic = |(topic, partitions): (&Arc<str>, Vec<i32>)| TopicPartitions {
        topic: Str::from(&**topic),
        partitions,
    };
    topics.into_iter().map(topic).collect()
}

/// Partitions from the protocol's list.
pub(crate) fn partitions(topics: &[TopicPartitions]) -> BTreeSet<TopicPartition> {
    let each = |listed: &TopicPartitions| {
        let topic: Arc<str> = Arc::from(&*listed.topic);
        let numbers = listed.partitions.clone();
        numbers.into_iter().map(move |number| TopicPartition::new(topic.clone(), number))
    };
    topics.iter().flat_map(each).collect()
}

#[cfg(test)]
mod tests;
