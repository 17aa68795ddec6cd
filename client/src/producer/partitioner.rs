//! Which partition a record goes to, when its sender does not say.

use std::collections::HashMap;
use std::sync::Arc;

use crate::backoff::random_below;
use crate::cluster::Topic;

const MURMUR2_SEED: u32 = 0x9747_b28c;
const MURMUR2_MULTIPLIER: u32 = 0x5bd1_e995;

/// The partition Java's producer chooses for this key, so that clients in different languages
/// agree.
///
/// ```
/// use synod_client::producer::partition_for_key;
/// assert_eq!(partition_for_key(b"21", 1000), 340);
/// ```
///
/// # Panics
/// When `partition_count` is zero.
pub fn partition_for_key(key: &[u8], partition_count: u32) -> u32 {
    // Java masks the sign away rather than taking the absolute value.
    (murmur2(key) & 0x7fff_ffff) % partition_count
}

/// 32-bit murmur2 with the seed of Java's producer.
fn murmur2(data: &[u8]) -> u32 {
    let mut hash = MURMUR2_SEED ^ data.len() as u32;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(MURMUR2_MULTIPLIER);
        k ^= k >> 24;
        hash = hash.wrapping_mul(MURMUR2_MULTIPLIER) ^ k.wrapping_mul(MURMUR2_MULTIPLIER);
    }
    if !tail.is_empty() {
        for (i, &byte) in tail.iter().enumerate() {
            hash ^= u32::from(byte) << (8 * i);
        }
        hash = hash.wrapping_mul(MURMUR2_MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MURMUR2_MULTIPLIER);
    hash ^ (hash >> 15)
}

/// Keeps records without a key on one partition until about a batch of them is there, then moves
/// on: fewer, fuller batches than round-robin, and in the long run the same share for each
/// partition.
#[derive(Debug)]
pub(super) struct Sticky {
    switch_after: usize,
    topics: HashMap<Arc<str>, Choice>,
}

#[derive(Debug)]
struct Choice {
    /// The topic as it was known; when that changes, the choice is looked at again.
    topic: Arc<Topic>,
    partition: i32,
    size: usize,
}

impl Sticky {
    /// Moves on after `switch_after` bytes.
    pub(super) fn new(switch_after: usize) -> Self {
        Self { switch_after, topics: HashMap::new() }
    }

    /// The partition for a record of this size; one with a leader if there is any. `None` for a
    /// topic without partitions.
    pub(super) fn choose(&mut self, topic: &Arc<Topic>, size: usize) -> Option<i32> {
        let choice = self.topics.get_mut(&topic.name);
        if let Some(choice) = choice
            && choice.size < self.switch_after
            && (Arc::ptr_eq(&choice.topic, topic) || has_leader(topic, choice.partition))
        {
            choice.size += size;
            return Some(choice.partition);
        }
        let previous = self.topics.get(&topic.name).map(|choice| choice.partition);
        let led = topic.partitions.iter().filter(|partition| partition.leader.is_some());
        let mut others = led.clone().filter(|partition| Some(partition.index) != previous);
        let partition = match others.clone().count() {
            0 => led.chain(&topic.partitions).next()?.index,
            count => others.nth(random_below(count))?.index,
        };
        let choice = Choice { topic: topic.clone(), partition, size };
        self.topics.insert(topic.name.clone(), choice);
        Some(partition)
    }
}

fn has_leader(topic: &Topic, partition: i32) -> bool {
    topic.partition(partition).is_some_and(|partition| partition.leader.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Partition;

    /// Vectors of Java's own `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_is_javas() {
        let cases: [(&[u8], i32); 7] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
            (b"", 275_646_681),
        ];
        for (key, expected) in cases {
            assert_eq!(murmur2(key) as i32, expected, "{}", String::from_utf8_lossy(key));
        }
    }

    #[test]
    fn keys_map_into_the_partitions() {
        for count in 1..50 {
            for key in 0..200u32 {
                assert!(partition_for_key(&key.to_le_bytes(), count) < count);
            }
        }
    }

    /// A topic whose partitions with these numbers have a leader, of `count` in all.
    fn topic(led: &[i32], count: i32) -> Arc<Topic> {
        let partition = |index| Partition {
            index,
            leader: led.contains(&index).then_some(1),
            leader_epoch: 0,
            replicas: vec![1],
            in_sync: vec![1],
            offline: Vec::new(),
            error: synod_wire::ErrorCode::NONE,
        };
        let partitions = (0..count).map(partition).collect();
        let id = synod_wire::Uuid::ZERO;
        Arc::new(Topic { name: "t".into(), id, is_internal: false, partitions })
    }

    #[test]
    fn sticky_stays_for_a_batch_then_moves_and_reaches_all() {
        let topic = topic(&[0, 1, 2, 3], 4);
        let mut sticky = Sticky::new(100);
        let mut seen = std::collections::BTreeSet::new();
        let mut previous = None;
        for _ in 0..200 {
            let partition = sticky.choose(&topic, 50).unwrap();
            assert_ne!(Some(partition), previous, "moves on after its share");
            assert_eq!(sticky.choose(&topic, 50), Some(partition), "stays before");
            seen.insert(partition);
            previous = Some(partition);
        }
        assert_eq!(seen.len(), 4);
    }

    #[test]
    fn sticky_leaves_a_partition_that_lost_its_leader() {
        let mut sticky = Sticky::new(1000);
        assert_eq!(sticky.choose(&topic(&[], 0), 1), None);
        assert_eq!(sticky.choose(&topic(&[1], 3), 1), Some(1));
        assert_eq!(sticky.choose(&topic(&[1, 2], 3), 1), Some(1), "no reason to move");
        assert_eq!(sticky.choose(&topic(&[2], 3), 1), Some(2));
        assert_eq!(sticky.choose(&topic(&[2], 3), 2000), Some(2));
        assert_eq!(sticky.choose(&topic(&[2], 3), 1), Some(2), "the only one there is");
        assert!(sticky.choose(&topic(&[], 3), 1).is_some(), "waits for a leader somewhere");
    }
}
