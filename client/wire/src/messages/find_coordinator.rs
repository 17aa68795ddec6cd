//! FindCoordinator: asks who coordinates groups or transactions.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str};

api! {
    FIND_COORDINATOR: FindCoordinatorRequest => FindCoordinatorResponse,
    versions 0..=4, flexible Some(3)
}

structs! {
    /// Asks who coordinates groups or transactions.
    struct FindCoordinatorRequest {
        /// Group or transactional id.
        key: Str => 0..=3;
        /// 0: group, 1: transaction, 2: share.
        key_type: i8 => 1..;
        /// Group or transactional ids.
        coordinator_keys: Vec<Str> => 4..;
    }

    /// The answer to [`FindCoordinatorRequest`].
    struct FindCoordinatorResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 1..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 0..=3;
        /// More about the error, in words.
        error_message: Option<Str> => 1..=3;
        /// The broker's id.
        node_id: i32 => 0..=3;
        /// Name or address to connect to.
        host: Str => 0..=3;
        /// Port to connect to.
        port: i32 => 0..=3;
        /// The coordinators, one for each key asked for.
        coordinators: Vec<Coordinator> => 4..;
    }

    /// The coordinator of one key.
    struct Coordinator {
        /// Group or transactional id.
        key: Str => 4..;
        /// The broker's id.
        node_id: i32 => 4..;
        /// Name or address to connect to.
        host: Str => 4..;
        /// Port to connect to.
        port: i32 => 4..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 4..;
        /// More about the error, in words.
        error_message: Option<Str> => 4..;
    }
}
