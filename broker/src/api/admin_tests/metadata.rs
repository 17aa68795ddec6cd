//! Metadata, DescribeCluster and the small ones.

use synod_wire::messages::describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
use synod_wire::messages::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsRequest, DescribeLogDirsResponse,
};
use synod_wire::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};
use synod_wire::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use synod_wire::{ErrorCode, RequestHeader};

use super::*;

async fn metadata(context: &Context, version: i16, request: MetadataRequest) -> MetadataResponse {
    let handler = |context, header: RequestHeader, request| async move {
        crate::api::metadata::handle(context, &header, request).await
    };
    call(context, handler, version, request).await
}

fn named(names: &[&str]) -> MetadataRequest {
    let topic = |name: &&str| MetadataRequestTopic { name: some(name), topic_id: Uuid::ZERO };
    let topics = Some(names.iter().map(topic).collect());
    MetadataRequest { topics, ..MetadataRequest::default() }
}

fn by_id(id: Uuid, name: Option<&str>) -> MetadataRequest {
    let topics = Some(vec![MetadataRequestTopic { topic_id: id, name: name.map(Str::from) }]);
    MetadataRequest { topics, ..MetadataRequest::default() }
}

fn quiet() -> Config {
    Config { auto_create_topics: false, ..Config::default() }
}

async fn existing(context: &Context, names: &[&str]) {
    for name in names {
        context.controller().auto_create_topic(name).await.unwrap();
    }
}

/// Names and error codes, as answered.
fn topics(response: &MetadataResponse) -> Vec<(&str, i16)> {
    let topics = response.topics.iter();
    topics.map(|t| (t.name.as_deref().unwrap_or("-"), t.error_code.code())).collect()
}

#[tokio::test(flavor = "current_thread")]
async fn the_cluster_is_told_in_every_version() {
    with_broker(quiet(), async |context| {
        existing(context, &["t"]).await;
        for version in 0..=12 {
            let response = metadata(context, version, named(&["t"])).await;
            let [broker] = &response.brokers[..] else { panic!("{response:?}") };
            // The address that the client connected to, not the one that was bound.
            assert_eq!((broker.node_id, &*broker.host, broker.port), (1, "127.0.0.1", 19092));
            let [topic] = &response.topics[..] else { panic!("{response:?}") };
            assert_eq!((topic.error_code, topic.name.as_deref()), (ErrorCode::NONE, Some("t")));
            assert!(!topic.is_internal);
            let [partition] = &topic.partitions[..] else { panic!("{response:?}") };
            assert_eq!((partition.partition_index, partition.leader_id), (0, 1));
            assert_eq!(
                (&partition.replica_nodes[..], &partition.isr_nodes[..]),
                (&[1][..], &[1][..])
            );
            assert!(partition.offline_replicas.is_empty());
            if version >= 1 {
                assert_eq!(response.controller_id, 1);
            }
            if version >= 2 {
                assert_eq!(response.cluster_id.as_deref(), Some("the-cluster"));
            }
            if version >= 7 {
                assert_eq!(partition.leader_epoch, 1);
            }
            assert_eq!(topic.topic_id.is_zero(), version < 10);
        }
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn an_empty_list_means_all_in_version_0_and_none_later() {
    with_broker(quiet(), async |context| {
        existing(context, &["b", "a"]).await;
        let empty = || MetadataRequest { topics: Some(Vec::new()), ..MetadataRequest::default() };
        let null = || MetadataRequest { topics: None, ..MetadataRequest::default() };
        let all = [("a", 0), ("b", 0)];
        assert_eq!(topics(&metadata(context, 0, empty()).await), all);
        for version in [1, 4, 8, 9, 12] {
            assert_eq!(topics(&metadata(context, version, empty()).await), []);
            assert_eq!(topics(&metadata(context, version, null()).await), all);
        }
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn what_does_not_exist_is_told_by_its_code() {
    with_broker(quiet(), async |context| {
        existing(context, &["t"]).await;
        let long = "x".repeat(250);
        let request = named(&["nope", "t", "../x", "", &long, "t"]);
        let response = metadata(context, 9, request).await;
        let wanted = [("nope", 3), ("t", 0), ("../x", 17), ("", 17), (&*long, 17)];
        assert_eq!(topics(&response), wanted, "a name given twice is answered once");
        assert_eq!(context.image().topic_count(), 1, "nothing was created");
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn missing_topics_are_created_when_client_and_configuration_allow() {
    with_broker(Config { num_partitions: 3, ..Config::default() }, async |context| {
        let forbidding =
            |name| MetadataRequest { allow_auto_topic_creation: false, ..named(&[name]) };
        let response = metadata(context, 4, forbidding("a")).await;
        assert_eq!(topics(&response), [("a", 3)]);
        // Before version 4 a client cannot forbid it.
        assert_eq!(topics(&metadata(context, 3, forbidding("old")).await), [("old", 0)]);
        let request = named(&["a", "bad/", "x.y", "x_y", "__consumer_offsets"]);
        let response = metadata(context, 12, request).await;
        let wanted = [("a", 0), ("bad/", 17), ("x.y", 0), ("x_y", 17), ("__consumer_offsets", 3)];
        assert_eq!(topics(&response), wanted);
        assert_eq!(response.topics[0].partitions.len(), 3);
        let names: Vec<_> = context.image().topics().map(|t| t.name.to_string()).collect();
        assert_eq!(names, ["a", "old", "x.y"]);
    })
    .await;
    with_broker(Config { default_replication_factor: 3, ..Config::default() }, async |context| {
        let response = metadata(context, 4, named(&["a"])).await;
        assert_eq!(topics(&response), [("a", ErrorCode::INVALID_REPLICATION_FACTOR.code())]);
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn topics_are_found_by_id_from_version_12_on() {
    with_broker(Config::default(), async |context| {
        existing(context, &["t"]).await;
        let id = Uuid(context.image().topic_id("t").unwrap().bytes());
        let response = metadata(context, 12, by_id(id, None)).await;
        assert_eq!(topics(&response), [("t", 0)]);
        assert_eq!(response.topics[0].topic_id, id);
        let response = metadata(context, 12, by_id(ABSENT_ID, None)).await;
        assert_eq!(topics(&response), [("-", 100)]);
        assert_eq!(response.topics[0].topic_id, ABSENT_ID);
        let response = metadata(context, 12, by_id(Uuid::ZERO, None)).await;
        assert_eq!(topics(&response), [("", 42)]);
        for version in [10, 11] {
            for name in [None, Some("t")] {
                let response = metadata(context, version, by_id(id, name)).await;
                assert_eq!(topics(&response), [(name.unwrap_or_default(), 42)]);
            }
        }
        assert_eq!(context.image().topic_count(), 1);
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn what_a_client_may_do_is_told_when_asked() {
    with_broker(quiet(), async |context| {
        existing(context, &["t"]).await;
        let request = MetadataRequest {
            include_cluster_authorized_operations: true,
            include_topic_authorized_operations: true,
            ..named(&["t", "nope"])
        };
        let response = metadata(context, 8, request).await;
        assert_eq!(response.cluster_authorized_operations, 8096);
        let told: Vec<_> = response.topics.iter().map(|t| t.topic_authorized_operations).collect();
        assert_eq!(told, [3576, i32::MIN]);
        let response = metadata(context, 8, named(&["t"])).await;
        assert_eq!(response.cluster_authorized_operations, i32::MIN);
        assert_eq!(response.topics[0].topic_authorized_operations, i32::MIN);
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn other_brokers_are_told_as_they_registered() {
    let advertise = Some("here.example:1234".parse().unwrap());
    with_broker(Config { advertise, ..quiet() }, async |context| {
        let incarnation = TopicId::from_bytes([3; 16]);
        register(context.controller(), 2, incarnation, Some("there.example")).await;
        register(context.controller(), 3, incarnation, None).await;
        let response = metadata(context, 12, named(&[])).await;
        let told: Vec<_> = response
            .brokers
            .iter()
            .map(|b| (b.node_id, &*b.host, b.port, b.rack.as_deref()))
            .collect();
        let wanted = [
            (1, "here.example", 1234, None),
            (2, "there.example", 9092, Some("rack2")),
            (3, "here.example", 9092, Some("rack3")),
        ];
        assert_eq!(told, wanted);
    })
    .await;
}

async fn describe_cluster(
    context: &Context,
    version: i16,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let handler = |context, header: RequestHeader, request| async move {
        crate::api::describe_cluster::handle(context, &header, request).await
    };
    call(context, handler, version, request).await
}

#[tokio::test(flavor = "current_thread")]
async fn describe_cluster_tells_brokers_and_refuses_other_endpoints() {
    with_broker(quiet(), async |context| {
        for version in 0..=1 {
            let request = DescribeClusterRequest {
                include_cluster_authorized_operations: true,
                ..DescribeClusterRequest::default()
            };
            let response = describe_cluster(context, version, request).await;
            assert_eq!(response.error_code, ErrorCode::NONE);
            assert_eq!((&*response.cluster_id, response.controller_id), ("the-cluster", 1));
            assert_eq!((response.brokers[0].broker_id, response.brokers[0].port), (1, 19092));
            assert_eq!(response.cluster_authorized_operations, 8096);
        }
        for (endpoint_type, code) in [(2, 114), (9, 115)] {
            let request =
                DescribeClusterRequest { endpoint_type, ..DescribeClusterRequest::default() };
            let response = describe_cluster(context, 1, request).await;
            assert_eq!(response.error_code.code(), code);
            assert!(response.error_message.is_some() && response.brokers.is_empty());
        }
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn reassignments_are_none() {
    with_broker(quiet(), async |context| {
        let handler = |context, header: RequestHeader, request| async move {
            crate::api::list_partition_reassignments::handle(context, &header, request).await
        };
        let request = ListPartitionReassignmentsRequest::default();
        let response = call(context, handler, 0, request).await;
        assert_eq!(response, ListPartitionReassignmentsResponse::default());
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn log_dirs_tell_the_room_there_is() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config { data_dir: directory.path().into(), ..quiet() };
    with_broker(config, async |context| {
        let handler = |context, header: RequestHeader, request| async move {
            crate::api::describe_log_dirs::handle(context, &header, request).await
        };
        for version in 1..=4 {
            let topic = DescribableLogDirTopic { topic: text("nope"), partitions: vec![0] };
            let request =
                DescribeLogDirsRequest { topics: Some(vec![topic]), ..Default::default() };
            let response: DescribeLogDirsResponse = call(context, handler, version, request).await;
            let [result] = &response.results[..] else { panic!("{response:?}") };
            assert_eq!(&*result.log_dir, directory.path().to_str().unwrap());
            assert!(result.topics.is_empty());
            if version >= 4 {
                assert!(0 < result.usable_bytes && result.usable_bytes <= result.total_bytes);
            }
        }
    })
    .await;
}
