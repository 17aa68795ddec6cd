//! Which partitions this broker hosts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::metadata::TopicId;
use crate::partition::PartitionView;

/// The partitions of one topic that are hosted here, by index.
type Hosted = Arc<HashMap<u32, Arc<PartitionView>>>;

/// All partitions hosted here: written by shards as they open and close partitions, read by every
/// request without a lock.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    topics: ArcSwap<HashMap<TopicId, Hosted>>,
    /// Serialises writers; readers never take it.
    writing: Mutex<()>,
}

impl Directory {
    /// The view of one partition, if it is hosted here and open.
    pub(crate) fn partition(&self, topic: TopicId, index: u32) -> Option<Arc<PartitionView>> {
        self.topics.load().get(&topic)?.get(&index).cloned()
    }

    /// All open partitions, grouped by topic.
    pub(crate) fn all(&self) -> Arc<HashMap<TopicId, Hosted>> {
        self.topics.load_full()
    }

    /// Adds opened partitions and takes closed ones away, in one step.
    pub(crate) fn update(
        &self,
        opened: impl IntoIterator<Item = Arc<PartitionView>>,
        closed: impl IntoIterator<Item = (TopicId, u32)>,
    ) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut topics = HashMap::clone(&self.topics.load());
        for view in opened {
            let key = view.key();
            let hosted = topics.entry(TopicId::from_bytes(key.topic)).or_default();
            Arc::make_mut(hosted).insert(key.partition, view);
        }
        for (topic, index) in closed {
            if let Some(hosted) = topics.get_mut(&topic) {
                Arc::make_mut(hosted).remove(&index);
                if hosted.is_empty() {
                    topics.remove(&topic);
                }
            }
        }
        self.topics.store(Arc::new(topics));
    }
}
