//! InitProducerId: asks for a producer id and epoch.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str};

api! {
    INIT_PRODUCER_ID: InitProducerIdRequest => InitProducerIdResponse,
    versions 0..=5, flexible Some(2)
}

structs! {
    /// Asks for a producer id and epoch.
    struct InitProducerIdRequest {
        /// The transactional id; null: not transactional.
        transactional_id: Option<Str> => 0..;
        /// How long a transaction may stay open without a sign of life.
        transaction_timeout_ms: i32 => 0..;
        /// The producer id; -1: none.
        producer_id: i64 => 3.., default -1;
        /// The producer epoch; -1: none.
        producer_epoch: i16 => 3.., default -1;
        /// Whether the transaction is part of a two-phase commit.
        enable_2pc: bool => 6..;
        /// Whether to keep a transaction that has been prepared.
        keep_prepared_txn: bool => 6..;
    }

    /// The answer to [`InitProducerIdRequest`].
    struct InitProducerIdResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 0..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 0..;
        /// The producer id; -1: none.
        producer_id: i64 => 0.., default -1;
        /// The producer epoch; -1: none.
        producer_epoch: i16 => 0..;
        /// Producer id of the open transaction; -1: none.
        ongoing_txn_producer_id: i64 => 6.., default -1;
        /// Producer epoch of the open transaction.
        ongoing_txn_producer_epoch: i16 => 6.., default -1;
    }
}
