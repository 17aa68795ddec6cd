//! Lost brokers and leaders, as clients see them.

use synod_wire::ErrorCode;
use synod_wire::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreateTopicsRequest,
};
use synod_wire::messages::describe_cluster::DescribeClusterRequest;
use synod_wire::messages::elect_leaders::{ElectLeadersRequest, TopicPartitions};
use synod_wire::messages::metadata::MetadataRequest;

use super::*;
use crate::api::{create_topics, describe_cluster, elect_leaders, metadata};
use crate::metadata::request::ShutDown;

fn quiet() -> Config {
    Config { auto_create_topics: false, ..Config::default() }
}

/// Broker 2 and a topic "t" with partition 0 on broker 2 alone and partition 1 on 1 and 2.
async fn two_brokers(context: &Context) {
    register(context.controller(), 2, TopicId::from_bytes([2; 16]), Some("b2")).await;
    let sets = [vec![2], vec![1]];
    let assign =
        |(partition_index, broker_ids)| CreatableReplicaAssignment { partition_index, broker_ids };
    for (name, sets) in [("t", sets.to_vec()), ("u", vec![vec![1, 2]])] {
        let request = CreateTopicsRequest {
            topics: vec![CreatableTopic {
                name: text(name),
                num_partitions: -1,
                replication_factor: -1,
                assignments: (0..).zip(sets).map(assign).collect(),
                ..CreatableTopic::default()
            }],
            timeout_ms: 1000,
            ..CreateTopicsRequest::default()
        };
        let response = call(
            context,
            |c, h, r| async move { create_topics::handle(c, &h, r).await },
            5,
            request,
        )
        .await;
        assert_eq!(response.topics[0].error_code, ErrorCode::NONE, "{response:?}");
    }
}

async fn lose_broker_2(context: &Context) {
    let request = ShutDown { broker: BrokerId(2), incarnation: TopicId::from_bytes([2; 16]) };
    context.controller().shut_down(request).await.unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn a_lost_broker_is_not_listed_and_leads_nothing() {
    with_broker(quiet(), async |context| {
        two_brokers(context).await;
        let ask = async || {
            let request = MetadataRequest { topics: None, ..MetadataRequest::default() };
            let handler = |c, h, r| async move { metadata::handle(c, &h, r).await };
            call(context, handler, 9, request).await
        };
        let before = ask().await;
        let hosts: Vec<_> = before.brokers.iter().map(|it| (it.node_id, &*it.host)).collect();
        assert_eq!(hosts, [(1, "127.0.0.1"), (2, "b2")]);
        assert!(before.topics.iter().flat_map(|it| &it.partitions).all(|it| it.leader_id > 0));

        lose_broker_2(context).await;
        let after = ask().await;
        let ids: Vec<_> = after.brokers.iter().map(|it| it.node_id).collect();
        assert_eq!((ids, after.controller_id), (vec![1], 1));
        let [t, u] = &after.topics[..] else { panic!("{after:?}") };
        let told = |it: &synod_wire::messages::metadata::MetadataResponsePartition| {
            (it.error_code.code(), it.leader_id, it.isr_nodes.clone(), it.offline_replicas.clone())
        };
        assert_eq!(told(&t.partitions[0]), (5, -1, vec![], vec![2]));
        assert_eq!(told(&t.partitions[1]), (0, 1, vec![1], vec![]));
        assert_eq!(told(&u.partitions[0]), (0, 1, vec![1], vec![2]));
        let handler = |c, h, r| async move { describe_cluster::handle(c, &h, r).await };
        let request = DescribeClusterRequest { endpoint_type: 1, ..Default::default() };
        let described = call(context, handler, 1, request).await;
        let ids: Vec<_> = described.brokers.iter().map(|it| it.broker_id).collect();
        assert_eq!((ids, described.controller_id), (vec![1], 1));
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn elections_are_answered_per_partition_in_every_version() {
    with_broker(quiet(), async |context| {
        two_brokers(context).await;
        lose_broker_2(context).await;
        let handler = |c, h, r| async move { elect_leaders::handle(c, &h, r).await };
        for version in 0..=2 {
            let topic_partitions = Some(vec![
                TopicPartitions { topic: text("t"), partitions: vec![0, 1, 7] },
                TopicPartitions { topic: text("nope"), partitions: vec![0] },
            ]);
            let request = ElectLeadersRequest {
                topic_partitions,
                timeout_ms: 1000,
                ..ElectLeadersRequest::default()
            };
            let response = call(context, handler, version, request).await;
            let results = response.replica_election_results.iter().map(|topic| {
                let codes = topic.partition_result.iter();
                let codes = codes.map(|it| (it.partition_id, it.error_code.code()));
                (topic.topic.to_string(), codes.collect::<Vec<_>>())
            });
            let expected = [
                ("t".to_owned(), vec![(0, 80), (1, 84), (7, 3)]),
                ("nope".to_owned(), vec![(0, 3)]),
            ];
            assert_eq!(results.collect::<Vec<_>>(), expected);
        }
        let request = ElectLeadersRequest {
            election_type: 1,
            timeout_ms: 1000,
            ..ElectLeadersRequest::default()
        };
        let all = call(context, handler, 2, request.clone()).await;
        let results = all.replica_election_results.iter().map(|it| {
            let codes: Vec<_> = it.partition_result.iter().map(|it| it.error_code).collect();
            (it.topic.to_string(), codes)
        });
        let none = ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE;
        let expected = [("t".to_owned(), vec![none]), ("u".to_owned(), vec![none])];
        assert_eq!(results.collect::<Vec<_>>(), expected, "the rest has the leader it wants");
        let strange = ElectLeadersRequest { election_type: 5, ..request };
        let response = call(context, handler, 2, strange).await;
        assert_eq!(response.error_code, ErrorCode::INVALID_REQUEST);
    })
    .await;
}
