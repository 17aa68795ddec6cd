//! What becomes of a batch that failed.

use synod_wire::ErrorCode;
use tokio::time::Instant;

use super::Shared;
use super::accumulator::Key;
use super::batch::SealedBatch;
use super::completion::Written;
use super::queue::Failure;
use crate::Error;

/// Decides what becomes of a batch that failed.
pub(super) fn handle_failed(
    shared: &Shared,
    key: Key,
    batch: SealedBatch,
    error: Error,
    now: Instant,
) {
    let idempotent = shared.config.idempotent;
    let position = batch.position();
    let mut accumulator = shared.accumulator();
    let Some(queue) = accumulator.queue(&key) else { return };
    let failure = match error.code() {
        Some(ErrorCode::DUPLICATE_SEQUENCE_NUMBER) if idempotent => {
            queue.handle_written(&batch);
            let written = Written { base_offset: None, append_time: None };
            shared.settle(&mut accumulator, &batch, Ok(written));
            return;
        }
        Some(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER) if idempotent && !queue.is_first(&batch) => {
            Failure::NotWritten
        }
        Some(ErrorCode::UNKNOWN_PRODUCER_ID | ErrorCode::INVALID_PRODUCER_EPOCH) if idempotent => {
            Failure::SequenceLost
        }
        Some(ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE)
            if batch.count > 1 =>
        {
            if let Ok(Some(halves)) = batch.split(shared.config.compression) {
                queue.handle_failed(position, halves, Failure::NotWritten, now);
                shared.wake.notify_one();
                return;
            }
            Failure::NotWritten
        }
        _ if error.is_retriable() => Failure::Unknown,
        _ => {
            queue.handle_given_up(&batch, idempotent);
            shared.settle(&mut accumulator, &batch, Err(error));
            return;
        }
    };
    queue.handle_failed(position, [batch], failure, now);
}

/// Gives up a batch that was taken to be sent and cannot be.
pub(super) fn give_up(shared: &Shared, key: &Key, batch: &SealedBatch, error: Error) {
    let mut accumulator = shared.accumulator();
    if let Some(queue) = accumulator.queue(key) {
        queue.handle_given_up(batch, shared.config.idempotent);
    }
    shared.settle(&mut accumulator, batch, Err(error));
}
