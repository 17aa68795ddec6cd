//! ApiVersions: asks which APIs and versions the broker has; the first request of most clients.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str};

api! {
    API_VERSIONS: ApiVersionsRequest => ApiVersionsResponse,
    versions 0..=4, flexible Some(3)
}

structs! {
    /// Asks which APIs and versions the broker has; the first request of most clients.
    struct ApiVersionsRequest {
        /// Name of the client library.
        client_software_name: Str => 3..;
        /// Version of the client library.
        client_software_version: Str => 3..;
    }

    /// The answer to [`ApiVersionsRequest`].
    struct ApiVersionsResponse {
        /// What went wrong, if anything.
        error_code: ErrorCode => 0..;
        /// The APIs on offer.
        api_keys: Vec<ApiVersion> => 0..;
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 1..;
        /// Features that the broker has.
        supported_features: Vec<SupportedFeatureKey> => 3.., tag 0;
        /// Version of the features in force; -1: unknown.
        finalized_features_epoch: i64 => 3.., default -1, tag 1;
        /// Features in force across the cluster.
        finalized_features: Vec<FinalizedFeatureKey> => 3.., tag 2;
        /// Obsolete; false.
        zk_migration_ready: bool => 3.., tag 3;
    }

    /// One API and its versions.
    struct ApiVersion {
        /// Number of the API.
        api_key: i16 => 0..;
        /// Oldest version supported.
        min_version: i16 => 0..;
        /// Newest version supported.
        max_version: i16 => 0..;
    }

    /// One feature in force.
    struct FinalizedFeatureKey {
        /// The name.
        name: Str => 3..;
        /// Highest level in force.
        max_version_level: i16 => 3..;
        /// Lowest level in force.
        min_version_level: i16 => 3..;
    }

    /// One feature that the broker has.
    struct SupportedFeatureKey {
        /// The name.
        name: Str => 3..;
        /// Oldest version supported.
        min_version: i16 => 3..;
        /// Newest version supported.
        max_version: i16 => 3..;
    }
}
