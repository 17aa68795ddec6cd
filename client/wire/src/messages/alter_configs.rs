//! AlterConfigs: replaces the whole configuration of topics or brokers.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str};

api! {
    ALTER_CONFIGS: AlterConfigsRequest => AlterConfigsResponse,
    versions 0..=2, flexible Some(2)
}

structs! {
    /// Replaces the whole configuration of topics or brokers.
    struct AlterConfigsRequest {
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
        /// The value; null: reset to the default.
        value: Option<Str> => 0..;
    }

    /// The answer to [`AlterConfigsRequest`].
    struct AlterConfigsResponse {
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
