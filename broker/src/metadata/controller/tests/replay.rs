//! Random administration through the runtime: the live image always equals a replay.

use super::*;
use crate::{
    metadata::{
        Ask, ControllerRequest, TopicId,
        connectivity::Connectivity,
        request::{
            AlterConfigs, BeginControl, ConfigChange, ConfigOperation, ConfigResource,
            CreatePartitions, MorePartitions, ResourceChange, TopicRef,
        },
    },
    state_log::{EncodedRecord, StateLog},
};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Action {
    Create { names: Vec<&'static str>, partitions: i32, replicas: i16, id: u8 },
    Delete { names: Vec<&'static str> },
    Grow { name: &'static str, count: i32 },
    Configure { name: Option<&'static str>, value: Option<i64> },
    Restart { broker: u32, incarnation: u8 },
    ProducerIds,
    Poll,
    Decide,
    Depose,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let name = prop::sample::select(vec!["a", "b", "c.d", "c_d", "../e"]);
    let names = prop::collection::vec(name.clone(), 0..3);
    let action = prop_oneof![
        3 => (names.clone(), -1..5i32, -1..4i16, any::<u8>()).prop_map(
            |(names, partitions, replicas, id)| Action::Create { names, partitions, replicas, id }
        ),
        1 => names.prop_map(|names| Action::Delete { names }),
        1 => (name.clone(), -1..9i32).prop_map(|(name, count)| Action::Grow { name, count }),
        1 => (prop::option::of(name), prop::option::of(-3..9i64))
            .prop_map(|(name, value)| Action::Configure { name, value }),
        1 => (1..4u32, any::<u8>())
            .prop_map(|(broker, incarnation)| Action::Restart { broker, incarnation }),
        1 => Just(Action::ProducerIds),
        4 => Just(Action::Poll),
        4 => Just(Action::Decide),
        1 => Just(Action::Depose),
    ];
    prop::collection::vec(action, 0..80)
}

fn request(action: &Action) -> Option<ControllerRequest> {
    Some(ControllerRequest::new(ask(action)?).0)
}

fn ask(action: &Action) -> Option<Ask> {
    // Outcomes are the handlers' own tests' matter; nobody waits for the answer here.
    Some(match action.clone() {
        Action::Create { names, partitions, replicas, id } => {
            let topic = |(index, name): (usize, &str)| NewTopic {
                partition_count: Some(partitions).filter(|count| *count != -1),
                replication_factor: Some(replicas).filter(|count| *count != -1),
                ..NewTopic::with_defaults(
                    TopicId::from_bytes([id.wrapping_add(index as u8); 16]),
                    name,
                )
            };
            let topics = names.into_iter().enumerate().map(topic).collect();
            let request = CreateTopics { topics, validate_only: id % 8 == 0 };
            Ask::CreateTopics(request)
        }
        Action::Delete { names } => {
            let refs = names.into_iter().map(|name| TopicRef::Name(name.into())).collect();
            Ask::DeleteTopics(refs)
        }
        Action::Grow { name, count } => {
            let topics = vec![MorePartitions { name: name.into(), count, assignments: None }];
            let request = CreatePartitions { topics, validate_only: false };
            Ask::CreatePartitions(request)
        }
        Action::Configure { name, value } => {
            let operation = value
                .map_or(ConfigOperation::Delete, |value| ConfigOperation::Set(value.to_string()));
            let (resource, key) = match name {
                Some(name) => (ConfigResource::Topic(name.into()), "retention.ms"),
                None => (ConfigResource::AllBrokers, "log.retention.ms"),
            };
            let changes = vec![ConfigChange { name: key.into(), operation }];
            let resources = vec![ResourceChange { resource, replace: false, changes }];
            let request = AlterConfigs { resources, validate_only: false };
            Ask::AlterConfigs(request)
        }
        Action::Restart { broker, incarnation } => {
            let request = registration(broker, incarnation);
            Ask::RegisterBroker(request)
        }
        Action::ProducerIds => Ask::AllocateProducerIds(BrokerId(1), 10),
        Action::Poll | Action::Decide | Action::Depose => return None,
    })
}

fn check_invariants(image: &MetadataImage) {
    let mut partition_count = 0;
    for topic in image.topics() {
        assert_eq!(image.topic_by_id(topic.id).unwrap(), topic);
        assert_eq!(image.topic_id(&topic.name), Some(topic.id));
        partition_count += topic.partitions.len();
        for partition in &topic.partitions {
            assert!(partition.replicas.contains(&partition.leader));
            assert!(partition.round >= FIRST_ROUND);
        }
    }
    assert_eq!(image.partition_count(), partition_count);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn live_image_equals_replay(actions in actions()) {
        let context = std::sync::Arc::new(ControllerContext::new(&Config::default()).unwrap());
        let reach = std::sync::Arc::new(Connectivity::new(BrokerId(1), 10));
        let mut log = StateLog::new(MetadataImage::default(), 0);
        log.handle_leading();
        let begin = BeginControl { broker: BrokerId(1), round: 1, new_cluster_id: "c".into() };
        ControllerRequest::new(Ask::BeginControl(begin)).0.submit(&mut log, &context, &reach);
        let mut decided: Vec<EncodedRecord> = Vec::new();
        let mut proposed = None;
        for action in actions {
            match &action {
                Action::Poll => proposed = proposed.or_else(|| log.poll_proposal()),
                Action::Depose => {
                    log.handle_lost_leadership();
                    if let Some(proposal) = proposed.take() {
                        log.handle_decided(proposal.base_offset, &proposal.records).unwrap().send();
                        decided.extend(proposal.records);
                    }
                    log.handle_leading();
                }
                Action::Decide => if let Some(proposal) = proposed.take() {
                    log.handle_decided(proposal.base_offset, &proposal.records).unwrap().send();
                    decided.extend(proposal.records);
                },
                _ => if let Some(request) = request(&action) {
                    request.submit(&mut log, &context, &reach);
                },
            }
        }
        let mut replay = StateLog::new(MetadataImage::default(), 0);
        // However the log is cut into batches.
        for (base, record) in (0..).zip(&decided) {
            replay.handle_decided(base, std::slice::from_ref(record)).unwrap().send();
        }
        prop_assert_eq!(replay.state(), log.state());
        check_invariants(log.state());
    }
}
