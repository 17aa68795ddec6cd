//! Metadata: which brokers and topics there are, and who leads what.
//!
//! Version 0 cannot say null, so its empty list means all topics. A topic that is named but does
//! not exist is created if the client and the configuration allow it; the answer waits until the
//! new topic can be used, so that a client's first produce need not be retried.

use std::collections::BTreeSet;
use std::sync::Arc;

use synod_wire::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use synod_wire::{ErrorCode, RequestHeader, Str, Uuid};

use super::error_codes::of_admin_error;
use super::operations::{CLUSTER_OPERATIONS, TOPIC_OPERATIONS};
use crate::config::HostPort;
use crate::context::Context;
use crate::metadata::record::Listener;
use crate::metadata::request::{CreateTopics, NewTopic};
use crate::metadata::{
    AdminError, AdminErrorKind, BrokerId, ControllerHandle, MetadataImage, PartitionImage, TopicId,
    TopicImage, image::BrokerImage, validate_topic_name,
};

/// First version in which a client says whether topics may be created; before it always wants so.
const AUTO_CREATE_VERSION: i16 = 4;

/// First version in which topics can be asked for by id. Versions 10 and 11 have the field, and no
/// broker answers it.
const BY_ID_VERSION: i16 = 12;

/// Topics that only their coordinators create, with settings of their own.
pub(super) const COORDINATOR_TOPICS: [&str; 2] = ["__consumer_offsets", "__transaction_state"];

pub(crate) async fn handle(
    context: &Context,
    header: &RequestHeader,
    request: MetadataRequest,
) -> MetadataResponse {
    let version = header.api_version;
    let wanted = Wanted::of(&request, version);
    let mut image = context.image();
    let mut failed = Vec::new();
    let may_create = version < AUTO_CREATE_VERSION || request.allow_auto_topic_creation;
    if may_create && context.config().auto_create_topics {
        let missing = wanted.creatable(&image);
        if !missing.is_empty() {
            failed = create(context.controller(), missing).await;
            image = context.image();
            context.settled().await;
        }
    }
    let own = (context.broker().id(), context.advertised());
    let mut response = cluster(&image, &own);
    response.topics = wanted.answer(&image, &failed);
    if request.include_topic_authorized_operations {
        let found = response.topics.iter_mut().filter(|t| t.error_code == ErrorCode::NONE);
        found.for_each(|topic| topic.topic_authorized_operations = TOPIC_OPERATIONS);
    }
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    response
}

/// A topic that could not be created, by name.
type Failed = (Str, AdminError);

/// What a client asks for.
#[derive(Debug)]
enum Wanted {
    All,
    /// Each once, in the request's order.
    These(Vec<Asked>),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Name(Str),
    Id(Uuid),
    /// By id in a version that does not answer ids, or by nothing; with the name, if any.
    Neither(Str, Uuid),
}

impl Wanted {
    fn of(request: &MetadataRequest, version: i16) -> Self {
        match &request.topics {
            None => Self::All,
            Some(topics) if topics.is_empty() && version == 0 => Self::All,
            Some(topics) => {
                let mut seen = BTreeSet::new();
                let asked = topics.iter().map(|topic| Asked::of(topic, version));
                Self::These(asked.filter(|topic| seen.insert(topic.clone())).collect())
            }
        }
    }

    /// Names that may be created: allowed, absent, and no coordinator's.
    fn creatable(&self, image: &MetadataImage) -> Vec<Str> {
        let Self::These(asked) = self else { return Vec::new() };
        let names = asked.iter().filter_map(|asked| match asked {
            Asked::Name(name) => Some(name),
            _ => None,
        });
        names
            .filter(|name| image.topic(name).is_none())
            .filter(|name| validate_topic_name(name).is_ok())
            .filter(|name| !COORDINATOR_TOPICS.contains(&name.as_str()))
            .cloned()
            .collect()
    }

    fn answer(&self, image: &MetadataImage, failed: &[Failed]) -> Vec<MetadataResponseTopic> {
        match self {
            Self::All => image.topics().map(|topic| found(image, topic)).collect(),
            Self::These(asked) => asked.iter().map(|one| one.answer(image, failed)).collect(),
        }
    }
}

impl Asked {
    fn of(topic: &MetadataRequestTopic, version: i16) -> Self {
        let by_id = version >= BY_ID_VERSION && !topic.topic_id.is_zero();
        match &topic.name {
            None if by_id => Self::Id(topic.topic_id),
            Some(name) if topic.topic_id.is_zero() => Self::Name(name.clone()),
            // An id beside the name says which of two topics of that name is meant.
            Some(_) if by_id => Self::Id(topic.topic_id),
            name => Self::Neither(name.clone().unwrap_or_default(), topic.topic_id),
        }
    }

    fn answer(&self, image: &MetadataImage, failed: &[Failed]) -> MetadataResponseTopic {
        match self {
            Self::Name(name) => match image.topic(name) {
                Some(topic) => found(image, topic),
                None => missing(name, failed),
            },
            Self::Id(id) => match image.topic_by_id(TopicId::from_bytes(id.0)) {
                Some(topic) => found(image, topic),
                None => MetadataResponseTopic {
                    error_code: ErrorCode::UNKNOWN_TOPIC_ID,
                    topic_id: *id,
                    name: None,
                    ..MetadataResponseTopic::default()
                },
            },
            Self::Neither(name, id) => MetadataResponseTopic {
                error_code: ErrorCode::INVALID_REQUEST,
                topic_id: *id,
                name: Some(name.clone()),
                ..MetadataResponseTopic::default()
            },
        }
    }
}

fn missing(name: &Str, failed: &[Failed]) -> MetadataResponseTopic {
    let error_code = match failed.iter().find(|(failed, _)| failed == name) {
        _ if validate_topic_name(name).is_err() => ErrorCode::INVALID_TOPIC_EXCEPTION,
        // Clients ask again after this one: it may well work, or have worked, by then.
        Some((_, error)) if is_passing(error.kind) => ErrorCode::LEADER_NOT_AVAILABLE,
        Some((_, error)) => of_admin_error(error),
        None => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
    };
    let name = Some(name.clone());
    MetadataResponseTopic { error_code, name, ..MetadataResponseTopic::default() }
}

fn is_passing(kind: AdminErrorKind) -> bool {
    use AdminErrorKind::{Busy, NotController, OutcomeUnknown, TopicExists};
    matches!(kind, Busy | NotController | OutcomeUnknown | TopicExists)
}

/// Creates topics with the broker's defaults; returns those that could not be.
async fn create(controller: &ControllerHandle, names: Vec<Str>) -> Vec<Failed> {
    let fail_all = |names: Vec<Str>, error: AdminError| {
        names.into_iter().map(|name| (name, error.clone())).collect()
    };
    let drawn: Result<_, _> = names
        .iter()
        .map(|name| TopicId::random().map(|id| NewTopic::with_defaults(id, name.as_str())))
        .collect();
    let topics = match drawn {
        Ok(topics) => topics,
        Err(error) => return fail_all(names, error.into()),
    };
    match controller.create_topics(CreateTopics { topics, validate_only: false }).await {
        Err(error) => fail_all(names, error),
        Ok(outcomes) => {
            let failed = names.into_iter().zip(outcomes);
            failed.filter_map(|(name, outcome)| Some((name, outcome.err()?))).collect()
        }
    }
}

/// The answer without topics. This client reaches the broker that it talks to as `own` says.
fn cluster(image: &MetadataImage, own: &(BrokerId, HostPort)) -> MetadataResponse {
    let brokers = listed(image).map(|broker| {
        let (host, port) = address(broker, own);
        let rack = broker.rack.as_deref().map(Str::from);
        MetadataResponseBroker { node_id: broker.id.as_wire(), host, port, rack }
    });
    MetadataResponse {
        brokers: brokers.collect(),
        cluster_id: image.cluster_id().map(|id| Str::from(&**id)),
        controller_id: controller_id(image),
        ..MetadataResponse::default()
    }
}

/// The brokers that clients should know of: those that are not lost, in the same words from each.
pub(super) fn listed(image: &MetadataImage) -> impl Iterator<Item = &BrokerImage> {
    // Whoever answers although all are lost knows no better than to name them all.
    let none_is_live = image.brokers().all(|broker| broker.lost);
    image.brokers().filter(move |broker| !broker.lost || none_is_live)
}

/// A live broker to send administrative requests to; every broker passes them on.
pub(super) fn controller_id(image: &MetadataImage) -> i32 {
    let controller = image.controller_id().filter(|id| image.is_live(*id));
    let any = || listed(image).next().map(|broker| broker.id);
    controller.or_else(any).map_or(-1, BrokerId::as_wire)
}

/// Where a client reaches a broker: where it says, and all say the same. One that registered no
/// host is reached where this one is.
pub(super) fn address(broker: &BrokerImage, own: &(BrokerId, HostPort)) -> (Str, i32) {
    let (own_id, own_address) = own;
    let endpoint = broker.endpoint(Listener::Kafka);
    match endpoint.and_then(|endpoint| Some((endpoint.host.as_deref()?, endpoint.port))) {
        Some((host, port)) => (host.into(), port.into()),
        None if broker.id == *own_id => (own_address.host().into(), own_address.port().into()),
        None => {
            let port = endpoint.map_or(own_address.port(), |endpoint| endpoint.port);
            (own_address.host().into(), port.into())
        }
    }
}

fn found(image: &MetadataImage, topic: &Arc<TopicImage>) -> MetadataResponseTopic {
    let partitions = topic.partitions.iter().zip(0..);
    MetadataResponseTopic {
        error_code: ErrorCode::NONE,
        name: Some(Str::from(&*topic.name)),
        topic_id: Uuid(topic.id.bytes()),
        is_internal: COORDINATOR_TOPICS.contains(&&*topic.name),
        partitions: partitions.map(|(one, index)| partition(image, one, index)).collect(),
        ..MetadataResponseTopic::default()
    }
}

fn partition(
    image: &MetadataImage,
    partition: &PartitionImage,
    index: i32,
) -> MetadataResponsePartition {
    let live = |broker: &&BrokerId| image.is_live(**broker);
    let ids = |brokers: Vec<&BrokerId>| brokers.into_iter().map(|id| id.as_wire()).collect();
    let (present, offline): (Vec<_>, Vec<_>) = partition.replicas.iter().partition(live);
    let led = image.is_live(partition.leader);
    MetadataResponsePartition {
        error_code: if led { ErrorCode::NONE } else { ErrorCode::LEADER_NOT_AVAILABLE },
        partition_index: index,
        leader_id: if led { partition.leader.as_wire() } else { -1 },
        leader_epoch: i32::try_from(partition.round).unwrap_or(i32::MAX),
        replica_nodes: partition.replicas.iter().map(|id| id.as_wire()).collect(),
        isr_nodes: ids(present),
        offline_replicas: ids(offline),
    }
}
