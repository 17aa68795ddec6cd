//! DescribeCluster: the brokers, for tools.

use serde::Serialize;
use synod_wire::messages::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};
use synod_wire::{ErrorCode, RequestHeader, Str};

use super::metadata::{address, controller_id, listed};
use super::operations::CLUSTER_OPERATIONS;
use crate::config::HostPort;
use crate::context::Context;
use crate::metadata::record::Listener;
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
    if request.synod {
        response.synod = registered(image, own);
    }
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    response
}

/// All that is known of a broker, for Synod's own tools.
#[derive(Serialize)]
struct Registered<'a> {
    id: u32,
    /// Where clients reach it.
    kafka: String,
    peer: Option<String>,
    http: Option<String>,
    rack: Option<&'a str>,
    /// How many times its data directory has been started.
    start: u64,
    incarnation: String,
    /// The controller hears nothing from it.
    lost: bool,
}

/// All registered brokers as JSON, those included that are lost.
fn registered(image: &MetadataImage, own: &(BrokerId, HostPort)) -> Str {
    let brokers = image.brokers().map(|broker| {
        let (host, port) = address(broker, own);
        let other = |listener| {
            let endpoint = broker.endpoint(listener)?;
            Some(format!("{}:{}", endpoint.host.as_deref()?, endpoint.port))
        };
        Registered {
            id: broker.id.0,
            kafka: format!("{host}:{port}"),
            peer: other(Listener::Peer),
            http: other(Listener::Http),
            rack: broker.rack.as_deref(),
            start: broker.start,
            incarnation: broker.incarnation.to_string(),
            lost: broker.lost,
        }
    });
    let brokers: Vec<Registered<'_>> = brokers.collect();
    serde_json::to_string(&brokers).unwrap_or_default().into()
}
