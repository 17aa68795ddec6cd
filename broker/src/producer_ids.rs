//! Producer ids for idempotent producers, handed out from blocks that the controller allotted.

use tokio::sync::Mutex;

use crate::limits::PRODUCER_ID_BLOCK;
use crate::metadata::{AdminError, BrokerId, ControllerHandle, ProducerIdBlock};

/// The rest of this broker's current block. What a restart loses is never handed out again.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds {
    block: Mutex<Option<ProducerIdBlock>>,
}

impl ProducerIds {
    /// An id that no producer of the cluster ever had.
    ///
    /// # Errors
    /// A new block was needed and the controller did not give one.
    pub(crate) async fn next(
        &self,
        broker: BrokerId,
        controller: &ControllerHandle,
    ) -> Result<i64, AdminError> {
        let mut block = self.block.lock().await;
        let rest = match block.take().filter(|block| block.count > 0) {
            Some(rest) => rest,
            None => controller.allocate_producer_ids(broker, PRODUCER_ID_BLOCK).await?,
        };
        *block = Some(ProducerIdBlock { start: rest.start + 1, count: rest.count - 1 });
        // The controller hands out ids below 2^63 only.
        Ok(i64::try_from(rest.start).unwrap_or(i64::MAX))
    }
}
