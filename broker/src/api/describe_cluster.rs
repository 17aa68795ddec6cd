//! DescribeCluster: the brokers, for tools.

use synod_wire::messages::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};
use synod_wire::{ErrorCode, RequestHeader, Str};

use super::metadata::{address, controller_id, listed};
use super::operations::CLUSTER_OPERATIONS;
use crate::config::HostPort;
use crate::context::Context;
use crate::metadata::{BrokerId, MetadataImage};

/// The endpoint types of the request: ordinary listeners, and those of dedicated controllers.
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(crate) async fn handle(
    context: &Context,
    _header: &RequestHeader,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let own = (context.broker().id(), context.advertised());
    answer(&context.image(), &own, &request)
}

fn answer(
    image: &MetadataImage,
    own: &(BrokerId, HostPort),
    request: &DescribeClusterRequest,
) -> DescribeClusterResponse {
    let refusal = match request.endpoint_type {
        BROKERS => None,
        CONTROLLERS => Some((
            ErrorCode::MISMATCHED_ENDPOINT_TYPE,
            "This endpoint is of type BROKER; there are none of type CONTROLLER".to_owned(),
        )),
        other => Some((
            ErrorCode::UNSUPPORTED_ENDPOINT_TYPE,
            format!("Unsupported endpoint type {other}"),
        )),
    };
    if let Some((error_code, message)) = refusal {
        return DescribeClusterResponse {
            error_code,
            error_message: Some(message.into()),
            controller_id: -1,
            ..DescribeClusterResponse::default()
        };
    }
    let brokers = listed(image).map(|broker| {
        let (host, port) = address(broker, own);
        let rack = broker.rack.as_deref().map(Str::from);
        let broker_id = broker.id.as_wire();
        DescribeClusterBroker { broker_id, host, port, rack, ..DescribeClusterBroker::default() }
    });
    let mut response = DescribeClusterResponse {
        cluster_id: image.cluster_id().map(|id| Str::from(&**id)).unwrap_or_default(),
        controller_id: controller_id(image),
        brokers: brokers.collect(),
        ..DescribeClusterResponse::default()
    };
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    response
}
