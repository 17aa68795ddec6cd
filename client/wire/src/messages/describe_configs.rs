//! DescribeConfigs: asks for the configuration of topics and brokers.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str};

api! {
    DESCRIBE_CONFIGS: DescribeConfigsRequest => DescribeConfigsResponse,
    versions 1..=4, flexible Some(4)
}

structs! {
    /// Asks for the configuration of topics and brokers.
    struct DescribeConfigsRequest {
        /// The resources.
        resources: Vec<DescribeConfigsResource> => 1..;
        /// Whether to list where else the value is set.
        include_synonyms: bool => 1..;
        /// Whether to explain the entries.
        include_documentation: bool => 3..;
    }

    /// One resource asked about.
    struct DescribeConfigsResource {
        /// 2: topic, 4: broker, 8: broker loggers.
        resource_type: i8 => 1..;
        /// Topic name or broker id; empty: the default of all brokers.
        resource_name: Str => 1..;
        /// Names of the entries wanted; null: all.
        configuration_keys: Option<Vec<Str>> => 1..;
    }

    /// The answer to [`DescribeConfigsRequest`].
    struct DescribeConfigsResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 1..;
        /// The outcome for each item asked for.
        results: Vec<DescribeConfigsResult> => 1..;
    }

    /// One configuration entry.
    struct DescribeConfigsResourceResult {
        /// The name.
        name: Str => 1..;
        /// The value; null: none, or a secret.
        value: Option<Str> => 1..;
        /// Whether it cannot be changed.
        read_only: bool => 1..;
        /// Where the value comes from: 1 topic, 2 dynamic broker, 3 dynamic default, 4 static, 5
        /// default.
        config_source: i8 => 1.., default -1;
        /// Whether the value is a secret, and hence not shown.
        is_sensitive: bool => 1..;
        /// The places where the value could come from, the first wins.
        synonyms: Vec<DescribeConfigsSynonym> => 1..;
        /// Type of the value: 1 boolean, 2 string, 3 int, 4 short, 5 long, 6 double, 7 list, 8
        /// class, 9 password.
        config_type: i8 => 3..;
        /// What the entry means.
        documentation: Option<Str> => 3..;
    }

    /// The configuration of one resource.
    struct DescribeConfigsResult {
        /// What went wrong, if anything.
        error_code: ErrorCode => 1..;
        /// More about the error, in words.
        error_message: Option<Str> => 1..;
        /// 2: topic, 4: broker, 8: broker loggers.
        resource_type: i8 => 1..;
        /// Topic name or broker id; empty: the default of all brokers.
        resource_name: Str => 1..;
        /// Configuration entries.
        configs: Vec<DescribeConfigsResourceResult> => 1..;
    }

    /// One place where an entry is set.
    struct DescribeConfigsSynonym {
        /// The name.
        name: Str => 1..;
        /// The value; null: none, or a secret.
        value: Option<Str> => 1..;
        /// Where the value comes from, as in the entry's source.
        source: i8 => 1..;
    }
}
