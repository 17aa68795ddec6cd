//! IncrementalAlterConfigs: changes single configuration entries.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str};

api! {
    INCREMENTAL_ALTER_CONFIGS: IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse,
    versions 0..=1, flexible Some(1)
}

structs! {
    /// Changes single configuration entries.
    struct IncrementalAlterConfigsRequest {
        /// The resources.
        resources: Vec<AlterConfigsResource> => 0..;
        /// Whether to only check the request and change nothing.
        validate_only: bool => 0..;
    }

    /// One resource to change.
    struct AlterConfigsResource {
        /// 2: topic, 4: broker, 8: broker loggers.
        resource_type: i8 => 0..;
        /// Topic name or broker id; empty: the default of all brokers.
        resource_name: Str => 0..;
        /// Configuration entries.
        configs: Vec<AlterableConfig> => 0..;
    }

    /// One entry to change.
    struct AlterableConfig {
        /// The name.
        name: Str => 0..;
        /// 0: set, 1: reset to the default, 2: append to the list, 3: remove from the list.
        config_operation: i8 => 0..;
        /// The value; null: reset to the default.
        value: Option<Str> => 0..;
    }

    /// The answer to [`IncrementalAlterConfigsRequest`].
    struct IncrementalAlterConfigsResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 0..;
        /// The outcome for each item asked for.
        responses: Vec<AlterConfigsResourceResponse> => 0..;
    }

    /// The outcome for one resource.
    struct AlterConfigsResourceResponse {
        /// What went wrong, if anything.
        error_code: ErrorCode => 0..;
        /// More about the error, in words.
        error_message: Option<Str> => 0..;
        /// 2: topic, 4: broker, 8: broker loggers.
        resource_type: i8 => 0..;
        /// Topic name or broker id; empty: the default of all brokers.
        resource_name: Str => 0..;
    }
}
