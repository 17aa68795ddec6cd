//! Room for what was received and not processed yet.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::PEER_RECEIVED_SIZE;

/// How much of one connection may be in memory at once; beyond it the socket is not read.
#[derive(Clone, Debug)]
pub(super) struct InboundRoom(Arc<Semaphore>);

/// The room that received messages take; it is given back with the last clone, once they are
/// processed.
#[derive(Clone, Debug, Default)]
pub(crate) struct InboundShare {
    _permit: Option<Arc<OwnedSemaphorePermit>>,
}

impl InboundRoom {
    pub(super) fn new() -> InboundRoom {
        InboundRoom(Arc::new(Semaphore::new(PEER_RECEIVED_SIZE as usize)))
    }

    /// Waits for room for `size` bytes. What is larger than all there is takes all of it.
    pub(super) async fn take(&self, size: usize) -> InboundShare {
        let size = u32::try_from(size).unwrap_or(u32::MAX).min(PEER_RECEIVED_SIZE);
        let permit = self.0.clone().acquire_many_owned(size).await.ok();
        InboundShare { _permit: permit.map(Arc::new) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn room_is_bounded_and_comes_back() {
        let room = InboundRoom::new();
        let all = room.take(usize::MAX).await;
        assert!(room.take(1).now_or_never().is_none());
        drop(all);
        let some = room.take(PEER_RECEIVED_SIZE as usize - 1).await;
        assert!(room.take(2).now_or_never().is_none());
        assert!(room.take(1).now_or_never().is_some());
        drop(some);
        assert!(room.take(2).now_or_never().is_some());
    }
}
