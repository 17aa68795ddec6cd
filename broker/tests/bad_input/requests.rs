//! One valid, harmless request of each kind.

use kafka_protocol::messages::alter_configs_request::{self, AlterConfigsRequest};
use kafka_protocol::messages::api_versions_request::ApiVersionsRequest;
use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::CreateTopicsRequest;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicsRequest;
use kafka_protocol::messages::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use kafka_protocol::messages::describe_log_dirs_request::{
    DescribableLogDirTopic, DescribeLogDirsRequest,
};
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use kafka_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use kafka_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsRequest;
use kafka_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, ProducerId};

use crate::mutations::named;
use crate::support::wire::{fetch_request, new_topic, text, topic_name};

/// Resource type of a topic.
const TOPIC: i8 = 2;

/// A frame of each kind, with its name. None of them writes to the topic, even if a byte changes.
pub(crate) fn one_of_each(topic: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut frames = reads(topic);
    frames.extend(descriptions(topic));
    frames.extend(changes(topic));
    frames
}

fn reads(topic: &str) -> Vec<(&'static str, Vec<u8>)> {
    let metadata_topic = MetadataRequestTopic::default().with_name(Some(topic_name(topic)));
    let metadata = MetadataRequest::default()
        .with_topics(Some(vec![metadata_topic]))
        .with_allow_auto_topic_creation(false);
    let partition = ListOffsetsPartition::default().with_timestamp(-1);
    let offsets = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![
        ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]),
    ]);
    let partition = OffsetForLeaderPartition::default().with_current_leader_epoch(-1);
    let epochs = OffsetForLeaderEpochRequest::default().with_topics(vec![
        OffsetForLeaderTopic::default()
            .with_topic(topic_name(topic))
            .with_partitions(vec![partition]),
    ]);
    let software = ApiVersionsRequest::default()
        .with_client_software_name(text("test"))
        .with_client_software_version(text("1"));
    vec![
        named("ApiVersions v3", 3, &software),
        named("ApiVersions v0", 0, &ApiVersionsRequest::default()),
        named("Metadata v1", 1, &metadata.clone().with_allow_auto_topic_creation(true)),
        named("Metadata v12", 12, &metadata),
        named("Fetch v4", 4, &fetch_request(topic, 0, 0, 0)),
        named("Fetch v12", 12, &fetch_request(topic, 0, 0, 0)),
        named("ListOffsets v1", 1, &offsets),
        named("ListOffsets v7", 7, &offsets),
        named("OffsetForLeaderEpoch v4", 4, &epochs),
    ]
}

fn descriptions(topic: &str) -> Vec<(&'static str, Vec<u8>)> {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(topic))
        .with_configuration_keys(Some(vec![text("retention.ms")]));
    let configs = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let placed =
        DescribableLogDirTopic::default().with_topic(topic_name(topic)).with_partitions(vec![0]);
    let dirs = DescribeLogDirsRequest::default().with_topics(Some(vec![placed]));
    let reassignments = ListPartitionReassignmentsRequest::default().with_topics(None);
    vec![
        named("DescribeConfigs v1", 1, &configs),
        named("DescribeConfigs v4", 4, &configs),
        named("DescribeLogDirs v4", 4, &dirs),
        named("DescribeCluster v0", 0, &DescribeClusterRequest::default()),
        named("ListPartitionReassignments v0", 0, &reassignments),
    ]
}

fn changes(topic: &str) -> Vec<(&'static str, Vec<u8>)> {
    let create = CreateTopicsRequest::default()
        .with_topics(vec![new_topic("other", 1, &[("retention.ms", "1000000000")])])
        .with_timeout_ms(1000)
        .with_validate_only(true);
    let grow = CreatePartitionsRequest::default()
        .with_topics(vec![
            CreatePartitionsTopic::default()
                .with_name(topic_name("other"))
                .with_count(3)
                .with_assignments(None),
        ])
        .with_timeout_ms(1000)
        .with_validate_only(true);
    let delete = DeleteTopicsRequest::default()
        .with_topic_names(vec![topic_name("another")])
        .with_timeout_ms(1000);
    let records = DeleteRecordsRequest::default().with_timeout_ms(1000).with_topics(vec![
        DeleteRecordsTopic::default()
            .with_name(topic_name("another"))
            .with_partitions(vec![DeleteRecordsPartition::default().with_offset(0)]),
    ]);
    let change =
        AlterableConfig::default().with_name(text("segment.ms")).with_value(Some(text("1000000")));
    let resource = AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(topic))
        .with_configs(vec![change]);
    let alter = IncrementalAlterConfigsRequest::default()
        .with_resources(vec![resource])
        .with_validate_only(true);
    let change = alter_configs_request::AlterableConfig::default()
        .with_name(text("segment.ms"))
        .with_value(Some(text("1000000")));
    let resource = alter_configs_request::AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(topic))
        .with_configs(vec![change]);
    let replace =
        AlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(true);
    let producer = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1);
    vec![
        named("CreateTopics v2", 2, &create),
        named("CreateTopics v7", 7, &create),
        named("CreatePartitions v3", 3, &grow),
        named("DeleteTopics v5", 5, &delete),
        named("DeleteRecords v2", 2, &records),
        named("IncrementalAlterConfigs v1", 1, &alter),
        named("AlterConfigs v2", 2, &replace),
        named("InitProducerId v0", 0, &producer),
        named("InitProducerId v4", 4, &producer),
    ]
}
