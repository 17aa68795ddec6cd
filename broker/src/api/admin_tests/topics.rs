//! CreateTopics, DeleteTopics, CreatePartitions.

use synod_wire::messages::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsResponse,
    CreatePartitionsTopic,
};
use synod_wire::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
    CreateTopicsResponse,
};
use synod_wire::messages::delete_topics::{
    DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};
use synod_wire::{ErrorCode, RequestHeader};

use super::*;

async fn create(
    context: &Context,
    version: i16,
    request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let handler = |context, header: RequestHeader, request| async move {
        crate::api::create_topics::handle(context, &header, request).await
    };
    call(context, handler, version, request).await
}

fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    let name = text(name);
    CreatableTopic { name, num_partitions, replication_factor, ..CreatableTopic::default() }
}

fn request(topics: Vec<CreatableTopic>) -> CreateTopicsRequest {
    CreateTopicsRequest { topics, ..CreateTopicsRequest::default() }
}

fn codes(response: &CreateTopicsResponse) -> Vec<(&str, i16)> {
    response.topics.iter().map(|topic| (&*topic.name, topic.error_code.code())).collect()
}

#[tokio::test(flavor = "current_thread")]
async fn a_created_topic_is_told_with_all_its_settings() {
    with_broker(Config::default(), async |context| {
        for version in 2..=7 {
            let name = format!("v{version}");
            let config = CreatableTopicConfig { name: text("retention.ms"), value: some("5") };
            let wanted = CreatableTopic { configs: vec![config], ..topic(&name, 3, -1) };
            let response = create(context, version, request(vec![wanted])).await;
            assert_eq!(codes(&response), [(&*name, 0)]);
            let created = &response.topics[0];
            assert_eq!(created.error_message, None);
            let id = context.image().topic_id(&name).unwrap();
            if version >= 7 {
                assert_eq!(created.topic_id, Uuid(id.bytes()));
            }
            if version >= 5 {
                assert_eq!((created.num_partitions, created.replication_factor), (3, 1));
                let configs = created.configs.as_deref().unwrap();
                assert_eq!(configs.len(), 33);
                let find = |name: &str| configs.iter().find(|c| &*c.name == name).unwrap();
                let told = |name| (find(name).value.as_deref(), find(name).config_source);
                assert_eq!(told("retention.ms"), (Some("5"), 1));
                assert_eq!(told("cleanup.policy"), (Some("delete"), 5));
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn topics_fail_by_themselves_and_repeated_names_once_at_the_end() {
    with_broker(Config::default(), async |context| {
        let config = CreatableTopicConfig { name: text("nope"), value: some("1") };
        let null = CreatableTopicConfig { name: text("retention.ms"), value: None };
        let assignment = CreatableReplicaAssignment { partition_index: 0, broker_ids: vec![9] };
        let topics = vec![
            topic("dup", 1, 1),
            topic("ok", -1, -1),
            topic("bad/", 1, 1),
            topic("dup", 1, 1),
            topic("count", 0, 1),
            topic("factor", 1, 2),
            topic("many", i32::MAX, 1),
            CreatableTopic { configs: vec![config], ..topic("config", 1, 1) },
            CreatableTopic { configs: vec![null], ..topic("null", 1, 1) },
            CreatableTopic { assignments: vec![assignment.clone()], ..topic("broker", -1, -1) },
            CreatableTopic { assignments: vec![assignment], ..topic("both", 1, 1) },
        ];
        let response = create(context, 5, request(topics)).await;
        let wanted = [
            ("ok", 0),
            ("bad/", 17),
            ("count", 37),
            ("factor", 38),
            ("many", 44),
            ("config", 40),
            ("null", 40),
            ("broker", 39),
            ("both", 42),
            ("dup", 42),
        ];
        assert_eq!(codes(&response), wanted);
        for failed in response.topics.iter().filter(|topic| topic.error_code != ErrorCode::NONE) {
            assert!(failed.error_message.as_deref().is_some_and(|text| !text.is_empty()));
            assert_eq!((failed.num_partitions, failed.replication_factor), (-1, -1));
            assert_eq!(failed.configs.as_deref(), Some(&[][..]));
        }
        let again = create(context, 5, request(vec![topic("ok", 1, 1)])).await;
        assert_eq!(codes(&again), [("ok", 36)]);
        assert_eq!(context.image().topic_count(), 1);
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn validate_only_and_no_time_at_all() {
    with_broker(Config::default(), async |context| {
        let only = CreateTopicsRequest {
            validate_only: true,
            ..request(vec![topic("t", 3, 1), topic("bad/", 1, 1)])
        };
        let response = create(context, 7, only).await;
        assert_eq!(codes(&response), [("t", 0), ("bad/", 17)]);
        assert_eq!(response.topics[0].num_partitions, 3);
        assert_eq!(context.image().topic_count(), 0);
        for (name, timeout_ms) in [("zero", 0), ("negative", -1)] {
            let hurried = CreateTopicsRequest { timeout_ms, ..request(vec![topic(name, 1, 1)]) };
            assert_eq!(codes(&create(context, 7, hurried).await), [(name, 7)]);
        }
        // They are created all the same, in the order in which they were asked for.
        create(context, 7, request(vec![topic("last", 1, 1)])).await;
        let names: Vec<_> = context.image().topics().map(|t| t.name.to_string()).collect();
        assert_eq!(names, ["last", "negative", "zero"]);
    })
    .await;
}

async fn delete(
    context: &Context,
    version: i16,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let handler = |context, header: RequestHeader, request| async move {
        crate::api::delete_topics::handle(context, &header, request).await
    };
    let request = DeleteTopicsRequest { timeout_ms: 5000, ..request };
    call(context, handler, version, request).await
}

fn outcome(response: &DeleteTopicsResponse) -> Vec<(Option<&str>, i16)> {
    let mut told: Vec<_> =
        response.responses.iter().map(|one| (one.name.as_deref(), one.error_code.code())).collect();
    told.sort_unstable();
    told
}

#[tokio::test(flavor = "current_thread")]
async fn topics_are_deleted_by_name_and_by_id() {
    with_broker(Config::default(), async |context| {
        let names = ["a", "b", "c", "d", "e"];
        create(context, 7, request(names.map(|name| topic(name, 1, 1)).into())).await;
        let named = |names: &[&str]| DeleteTopicsRequest {
            topic_names: names.iter().map(|name| text(name)).collect(),
            ..DeleteTopicsRequest::default()
        };
        let response = delete(context, 1, named(&["a", "nope"])).await;
        assert_eq!(outcome(&response), [(Some("a"), 0), (Some("nope"), 3)]);
        let response = delete(context, 5, named(&["b", "b", "../x"])).await;
        assert_eq!(outcome(&response), [(Some("../x"), 3), (Some("b"), 42)]);

        let id = |name: &str| Uuid(context.image().topic_id(name).unwrap().bytes());
        let (c, d) = (id("c"), id("d"));
        let state =
            |name: Option<&str>, topic_id| DeleteTopicState { name: name.map(Str::from), topic_id };
        let topics = vec![
            state(None, c),
            state(Some("e"), Uuid::ZERO),
            state(None, ABSENT_ID),
            state(None, Uuid::ZERO),
            state(Some("b"), d),
            state(None, d),
            state(None, d),
        ];
        let request = DeleteTopicsRequest { topics, ..DeleteTopicsRequest::default() };
        let response = delete(context, 6, request).await;
        let wanted =
            [(None, 42), (None, 42), (None, 100), (Some("b"), 42), (Some("c"), 0), (Some("e"), 0)];
        assert_eq!(outcome(&response), wanted);
        let deleted = response.responses.iter().find(|one| one.topic_id == c).unwrap();
        assert_eq!((deleted.name.as_deref(), &deleted.error_message), (Some("c"), &None));
        let names: Vec<_> = context.image().topics().map(|t| t.name.to_string()).collect();
        assert_eq!(names, ["b", "d"]);
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn partitions_are_created() {
    with_broker(Config::default(), async |context| {
        create(context, 7, request(vec![topic("a", 2, 1), topic("b", 2, 1)])).await;
        let more = |name: &str, count, sets: Option<&[i32]>| CreatePartitionsTopic {
            name: text(name),
            count,
            assignments: sets.map(|sets| {
                sets.iter().map(|id| CreatePartitionsAssignment { broker_ids: vec![*id] }).collect()
            }),
        };
        for version in 0..=3 {
            let topics = vec![
                more("a", 3 + i32::from(version), None),
                more("nope", 3, None),
                more("b", 2, None),
                more("dup", 3, None),
                more("dup", 4, None),
            ];
            let request =
                CreatePartitionsRequest { topics, timeout_ms: 5000, validate_only: false };
            let handler = |context, header: RequestHeader, request| async move {
                crate::api::create_partitions::handle(context, &header, request).await
            };
            let response: CreatePartitionsResponse = call(context, handler, version, request).await;
            let told: Vec<_> =
                response.results.iter().map(|one| (&*one.name, one.error_code.code())).collect();
            assert_eq!(told, [("a", 0), ("nope", 3), ("b", 37), ("dup", 42)]);
        }
        assert_eq!(context.image().topic("a").unwrap().partitions.len(), 6);
        let topics = vec![more("b", 4, Some(&[1, 1])), more("a", 9, Some(&[1, 7]))];
        let request = CreatePartitionsRequest { topics, timeout_ms: 5000, validate_only: true };
        let header = RequestHeader { api_key: 37, ..RequestHeader::default() };
        let response = crate::api::create_partitions::handle(context, &header, request).await;
        let codes: Vec<_> = response.results.iter().map(|one| one.error_code.code()).collect();
        assert_eq!(codes, [0, 39]);
        assert_eq!(context.image().topic("b").unwrap().partitions.len(), 2);
    })
    .await;
}
