//! From a name in a request to a partition that may serve it.

use std::sync::Arc;

use synod_wire::ErrorCode;

use crate::context::Context;
use crate::metadata::MetadataImage;
use crate::partition::PartitionView;

/// Finds partitions by the names in one request, all in the same image.
#[derive(Debug)]
pub(super) struct Lookup<'a> {
    context: &'a Context,
    image: Arc<MetadataImage>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(context: &'a Context) -> Lookup<'a> {
        Lookup { context, image: context.image() }
    }

    /// The partition's view, if it is hosted here.
    ///
    /// # Errors
    /// The code for a topic or partition that does not exist, or is hosted elsewhere.
    pub(super) fn hosted(
        &self,
        topic: &str,
        partition: i32,
    ) -> Result<Arc<PartitionView>, ErrorCode> {
        let topic = self.image.topic(topic).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        let known = u32::try_from(partition).ok().filter(|&index| topic.partition(index).is_some());
        let index = known.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        let hosted = self.context.partitions().partition(topic.id, index);
        hosted.ok_or(ErrorCode::NOT_LEADER_OR_FOLLOWER)
    }

    /// The view of a partition that is led here, and its round.
    ///
    /// `current_leader_epoch` is what the client believes; negative is "does not say".
    ///
    /// # Errors
    /// As [`Lookup::hosted`], and the codes for another leader or another leader epoch.
    pub(super) fn led(
        &self,
        topic: &str,
        partition: i32,
        current_leader_epoch: i32,
    ) -> Result<(Arc<PartitionView>, u32), ErrorCode> {
        let view = self.hosted(topic, partition)?;
        let round = view.leading_round().ok_or(ErrorCode::NOT_LEADER_OR_FOLLOWER)?;
        match u32::try_from(current_leader_epoch) {
            Ok(believed) if believed < round => Err(ErrorCode::FENCED_LEADER_EPOCH),
            Ok(believed) if believed > round => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
            _ => Ok((view, round)),
        }
    }
}
