//! The beginnings of things: clusters, controllers, brokers, blocks of producer ids.

use crate::metadata::{
    BrokerId, MetadataImage, MetadataRecord,
    error::{AdminError, AdminErrorKind as Kind},
    request::{BeginControl, ProducerIdBlock, RegisterBroker},
};

type Answer<T> = (Vec<MetadataRecord>, Result<T, AdminError>);

/// The first record of a controller's round, after the cluster's very first one if need be.
pub fn begin_control(image: &MetadataImage, request: &BeginControl) -> Answer<()> {
    if image.controller_round().is_some_and(|round| round >= request.round) {
        let message = "the metadata group is in this round or a newer one already";
        return (Vec::new(), Err(AdminError::new(Kind::NotController, message)));
    }
    let mut records = Vec::new();
    if image.cluster_id().is_none() {
        records.push(MetadataRecord::ClusterFormed { cluster_id: request.new_cluster_id.clone() });
    }
    let (broker, round) = (request.broker, request.round);
    records.push(MetadataRecord::ControllerElected { broker, round });
    (records, Ok(()))
}

/// Registers a broker. A new incarnation gets a new round for each partition that it leads,
/// because what its earlier life appended without a sync may live on elsewhere.
///
/// An earlier life is refused, and so is another one with the same start: that is a second process
/// on a copy of the data.
pub fn register_broker(image: &MetadataImage, request: &RegisterBroker) -> Answer<()> {
    if image.cluster_id().is_none() {
        let message = "the cluster has not been formed yet";
        return (Vec::new(), Err(AdminError::new(Kind::InvalidRequest, message)));
    }
    let broker = request.broker;
    if let Some(known) = image.broker(broker)
        && (known.start > request.start
            || known.start == request.start
                && known.start > 0
                && known.incarnation != request.incarnation)
    {
        let message = format!(
            "broker {broker} registered with start {} of its data directory, this is start {}: \
             another process uses this broker's number, or an older copy of its data",
            known.start, request.start
        );
        return (Vec::new(), Err(AdminError::new(Kind::StaleIncarnation, message)));
    }
    let registered = image.broker(broker).map(|known| known.incarnation);
    let mut records = vec![MetadataRecord::BrokerRegistered {
        broker,
        incarnation: request.incarnation,
        endpoints: request.endpoints.clone(),
        rack: request.rack.clone(),
        start: request.start,
    }];
    if registered.is_some_and(|incarnation| incarnation != request.incarnation)
        && image.topics().flat_map(|topic| &topic.partitions).any(|p| p.leader == broker)
    {
        records.push(MetadataRecord::LeadershipRenewed { broker });
    }
    (records, Ok(()))
}

/// Hands out the next block of producer ids.
pub fn allocate_producer_ids(
    image: &MetadataImage,
    broker: BrokerId,
    count: u32,
) -> Answer<ProducerIdBlock> {
    let start = image.producer_id_end();
    // Producer ids are signed 64-bit numbers on the wire.
    let end = start.checked_add(u64::from(count)).filter(|end| i64::try_from(*end).is_ok());
    match end {
        Some(end) if count > 0 => (
            vec![MetadataRecord::ProducerIdsAllocated { broker, end, count }],
            Ok(ProducerIdBlock { start, count }),
        ),
        _ => {
            let message = format!("cannot allocate {count} producer ids from {start} on");
            (Vec::new(), Err(AdminError::new(Kind::LimitExceeded, message)))
        }
    }
}
