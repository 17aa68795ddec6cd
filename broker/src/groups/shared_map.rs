//! A map whose clones share what they do not change.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Entries that a bucket holds on average before the map grows.
const FILL: usize = 16;

/// Most buckets: a clone that is written to copies this many pointers.
const BUCKETS_MAX: usize = 4096;

/// A map that is cheap to clone: a clone costs one reference count, and a write to it copies the
/// one small bucket that it touches. Iteration has no useful order, but always the same for the
/// same history.
#[derive(Clone, Debug)]
pub struct SharedMap<K, V> {
    /// A power of two of them, or none.
    buckets: Arc<Vec<Arc<BTreeMap<K, V>>>>,
    len: usize,
}

impl<K: Ord + Hash + Clone, V: Clone> SharedMap<K, V> {
    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value under a key.
    #[must_use]
    pub fn get<Q: Ord + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.buckets.get(self.place(key)?)?.get(key)
    }

    /// Puts a value under a key and returns the one that was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if self.len >= self.buckets.len() * FILL && self.buckets.len() < BUCKETS_MAX {
            self.grow();
        }
        let place = self.place(&key)?;
        let bucket = Arc::make_mut(&mut Arc::make_mut(&mut self.buckets)[place]);
        match bucket.entry(key) {
            Entry::Occupied(mut entry) => Some(entry.insert(value)),
            Entry::Vacant(entry) => {
                entry.insert(value);
                self.len += 1;
                None
            }
        }
    }

    /// Takes a value away.
    pub fn remove<Q: Ord + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let place = self.place(key)?;
        self.buckets[place].get(key)?;
        let bucket = Arc::make_mut(&mut Arc::make_mut(&mut self.buckets)[place]);
        let removed = bucket.remove(key);
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.buckets.iter().flat_map(|bucket| bucket.iter())
    }

    fn place<Q: Hash + ?Sized>(&self, key: &Q) -> Option<usize> {
        let mask = self.buckets.len().checked_sub(1)?;
        let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
        key.hash(&mut hasher);
        let hash = hasher.finish();
        // The upper half is folded in: the low bits of this hash depend on little of the key.
        usize::try_from((hash ^ hash >> 32) & u64::from(u32::MAX)).ok().map(|hash| hash & mask)
    }

    fn grow(&mut self) {
        let count = (self.buckets.len() * 2).max(1);
        let old = std::mem::replace(self, Self::with_buckets(count));
        for (key, value) in old.iter() {
            self.insert(key.clone(), value.clone());
        }
    }

    fn with_buckets(count: usize) -> Self {
        assert!(count.is_power_of_two(), "{count} buckets cannot be chosen by a mask");
        Self { buckets: Arc::new(vec![Arc::default(); count]), len: 0 }
    }
}

impl<K, V> Default for SharedMap<K, V> {
    fn default() -> Self {
        Self { buckets: Arc::default(), len: 0 }
    }
}

/// Equal when they hold the same entries, whatever their history.
impl<K: Ord + Hash + Clone, V: Clone + PartialEq> PartialEq for SharedMap<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

/// A hash that is the same in each process, unlike the standard library's.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn holds_what_an_ordinary_map_holds(
            steps in prop::collection::vec((any::<bool>(), 0u32..300, any::<u8>()), 0..2000)
        ) {
            let (mut map, mut model) = (SharedMap::default(), BTreeMap::new());
            let mut earlier = (map.clone(), model.clone());
            for (index, (insert, key, value)) in steps.into_iter().enumerate() {
                if insert {
                    prop_assert_eq!(map.insert(key, value), model.insert(key, value));
                } else {
                    prop_assert_eq!(map.remove(&key), model.remove(&key));
                }
                prop_assert_eq!(map.len(), model.len());
                if index == 500 {
                    earlier = (map.clone(), model.clone());
                }
            }
            for (map, model) in [(&map, &model), (&earlier.0, &earlier.1)] {
                let all: BTreeMap<u32, u8> = map.iter().map(|(k, v)| (*k, *v)).collect();
                prop_assert_eq!(&all, model, "a clone keeps what it had");
            }
        }
    }

    #[test]
    fn equality_forgets_history() {
        let (mut a, mut b) = (SharedMap::default(), SharedMap::default());
        for key in 0..100u32 {
            a.insert(key, key);
        }
        for key in 3..100u32 {
            a.remove(&key);
        }
        for key in (0..3u32).rev() {
            b.insert(key, key);
        }
        assert_eq!(a, b);
        b.insert(1, 9);
        assert_ne!(a, b);
        assert_eq!(SharedMap::<u32, u32>::default(), SharedMap::default());
    }

    #[test]
    fn ten_thousand_entries_stay_in_small_buckets() {
        let mut map = SharedMap::default();
        for key in 0..10_000u32 {
            map.insert(format!("group-{key}"), key);
        }
        let largest = map.buckets.iter().map(|bucket| bucket.len()).max();
        assert!(largest.is_some_and(|size| size < 64), "{largest:?}");
    }
}
