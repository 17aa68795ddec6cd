//! DescribeCluster: asks for the cluster's brokers and controller.

use crate::schema::{api, structs};
use crate::{ErrorCode, Str};

api! {
    DESCRIBE_CLUSTER: DescribeClusterRequest => DescribeClusterResponse,
    versions 0..=1, flexible Some(0)
}

structs! {
    /// Asks for the cluster's brokers and controller.
    struct DescribeClusterRequest {
        /// Whether to tell what the client may do to the cluster.
        include_cluster_authorized_operations: bool => 0..;
        /// 1: brokers, 2: controllers.
        endpoint_type: i8 => 1.., default 1;
        /// Whether to list brokers that are not alive too.
        include_fenced_brokers: bool => 2..;
        /// Synod's own: tell all that is known of each broker.
        synod: bool => 0.., tag 21337;
    }

    /// The answer to [`DescribeClusterRequest`].
    struct DescribeClusterResponse {
        /// How long the client must be silent because it is over quota, in ms.
        throttle_time_ms: i32 => 0..;
        /// What went wrong, if anything.
        error_code: ErrorCode => 0..;
        /// More about the error, in words.
        error_message: Option<Str> => 0..;
        /// 1: brokers, 2: controllers.
        endpoint_type: i8 => 1.., default 1;
        /// Id of the cluster.
        cluster_id: Str => 0..;
        /// The broker to send changes to; -1: none known.
        controller_id: i32 => 0.., default -1;
        /// The brokers that are alive.
        brokers: Vec<DescribeClusterBroker> => 0..;
        /// What the client may do to the cluster, as bits; `i32::MIN` when not asked for.
        cluster_authorized_operations: i32 => 0.., default i32::MIN;
        /// Synod's own: all brokers that were ever registered, as JSON; only when asked for.
        synod: Str => 0.., tag 21337;
    }

    /// One broker.
    struct DescribeClusterBroker {
        /// The broker.
        broker_id: i32 => 0..;
        /// Name or address to connect to.
        host: Str => 0..;
        /// Port to connect to.
        port: i32 => 0..;
        /// Rack or zone of the broker.
        rack: Option<Str> => 0..;
        /// Whether the broker is not alive.
        is_fenced: bool => 2..;
    }
}
