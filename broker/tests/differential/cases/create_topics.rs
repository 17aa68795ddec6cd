//! CreateTopics.

use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use kafka_protocol::messages::create_topics_response::CreateTopicsResponse;

use crate::run::{Answer, Run, error, list};
use crate::support::wire::{new_topic, text};

/// A case of assigned replicas: partition count, replication factor, brokers of each partition.
type Assigned<'a> = (&'a str, i32, i16, &'a [(i32, &'a [i32])]);

pub(crate) fn run(run: &mut Run) {
    names(run);
    counts(run);
    configs(run);
    assignments(run);
    requests(run);
}

fn create(
    run: &Run,
    version: i16,
    topics: Vec<CreatableTopic>,
    validate_only: bool,
) -> Answer<String> {
    let request = CreateTopicsRequest::default()
        .with_topics(topics)
        .with_timeout_ms(10_000)
        .with_validate_only(validate_only);
    run.call(version, &request).map(|response| show(version, response))
}

/// The answers sorted by name: a broker may give them in any order.
fn show(version: i16, mut response: CreateTopicsResponse) -> String {
    response.topics.sort_by(|a, b| a.name.cmp(&b.name));
    list(&response.topics, |topic| {
        let mut shown = error(topic.error_code);
        if version >= 5 {
            let count = topic.configs.as_ref().map(Vec::len);
            shown += &format!(" partitions {}", topic.num_partitions);
            shown += &format!(" replicas {}", topic.replication_factor);
            shown += if count.unwrap_or(0) > 0 { " with configs" } else { " without configs" };
        }
        if version >= 7 {
            shown += if topic.topic_id.is_nil() { " no id" } else { " id" };
        }
        shown
    })
}

fn names(run: &mut Run) {
    let long = "n".repeat(250);
    let cases = ["../x", "", ".", "..", "a b", "ü", "a/b", "a\\b", "a:b", "a\0b", long.as_str()];
    for name in cases {
        let answer = create(run, 7, vec![new_topic(name, 1, &[])], false);
        let shown = if name.len() > 99 { "250 characters".to_owned() } else { format!("{name:?}") };
        run.note(&format!("create topic, name {shown}"), answer);
    }
    let longest = format!("{:x<249}", run.topic("longest"));
    let answer = create(run, 7, vec![new_topic(&longest, 1, &[])], false);
    run.note("create topic, name of 249 characters", answer);
    run.create("a.b", 1, &[]);
    let answer = create(run, 7, vec![new_topic(&run.topic("a_b"), 1, &[])], false);
    run.note("create topic, a_b beside a.b", answer);
    let answer = create(run, 7, vec![new_topic(&run.topic("a.b"), 1, &[])], false);
    run.note("create topic that exists", answer);
    let answer = create(run, 7, vec![new_topic(&run.topic("a.b"), 1, &[])], true);
    run.note("create topic that exists, only validate", answer);
}

fn counts(run: &mut Run) {
    for (version, partitions, replicas) in [
        (7, 1, 2),
        (7, 1, 0),
        (7, 1, -2),
        (7, 1, i16::MAX),
        (7, 0, 1),
        (7, -2, 1),
        (7, 10_001, 1),
        (7, i32::MAX, 1),
        (7, -1, -1),
        (4, -1, -1),
        (2, -1, -1),
        (2, 3, 1),
        (5, 3, 1),
        (7, 3, 1),
    ] {
        let topic =
            new_topic(&run.topic("counts"), partitions, &[]).with_replication_factor(replicas);
        let answer = create(run, version, vec![topic], true);
        let case = format!("create topic v{version}, {partitions} partitions, {replicas} replicas");
        run.note(&case, answer);
    }
}

fn configs(run: &mut Run) {
    for (name, value) in [
        ("nope", "1"),
        ("", "1"),
        ("Retention.ms", "1"),
        ("retention.ms", "abc"),
        ("retention.ms", "-2"),
        ("retention.ms", "-1"),
        ("retention.ms", ""),
        ("retention.ms", " 5 "),
        ("retention.ms", "1.5"),
        ("retention.ms", "9223372036854775808"),
        ("retention.bytes", "-5"),
        ("segment.bytes", "1"),
        ("segment.bytes", "1048576"),
        ("segment.bytes", "99999999999"),
        ("segment.ms", "0"),
        ("max.message.bytes", "-1"),
        ("max.message.bytes", "0"),
        ("min.insync.replicas", "0"),
        ("min.insync.replicas", "2"),
        ("cleanup.policy", "foo"),
        ("cleanup.policy", "delete,compact"),
        ("cleanup.policy", "compact"),
        ("compression.type", "brotli"),
        ("compression.type", "gzip"),
        ("compression.type", "uncompressed"),
        ("message.timestamp.type", "x"),
        ("message.timestamp.type", "LogAppendTime"),
        ("message.timestamp.before.max.ms", "-1"),
        ("message.timestamp.after.max.ms", "0"),
        ("message.format.version", "2.8"),
        ("preallocate", "maybe"),
        ("preallocate", "true"),
        ("min.cleanable.dirty.ratio", "1.5"),
        ("min.cleanable.dirty.ratio", "0.7"),
        ("index.interval.bytes", "-1"),
        ("flush.messages", "0"),
        ("unclean.leader.election.enable", "yes"),
    ] {
        let topic = new_topic(&run.topic("configs"), 1, &[(name, value)]);
        let answer = create(run, 7, vec![topic], true);
        run.note(&format!("create topic, config {name}={value}"), answer);
    }
    let null = CreatableTopicConfig::default().with_name(text("retention.ms")).with_value(None);
    let topic = new_topic(&run.topic("configs"), 1, &[]).with_configs(vec![null]);
    let answer = create(run, 7, vec![topic], true);
    run.note("create topic, config retention.ms is null", answer);
    let twice = [("retention.ms", "1"), ("retention.ms", "2")];
    let answer = create(run, 7, vec![new_topic(&run.topic("configs"), 1, &twice)], true);
    run.note("create topic, one config twice", answer);
}

fn assignments(run: &mut Run) {
    let cases: [Assigned<'_>; 9] = [
        ("beside counts", 1, 1, &[(0, &[1])]),
        ("beside a partition count", 1, -1, &[(0, &[1])]),
        ("alone", -1, -1, &[(0, &[1])]),
        ("to an unknown broker", -1, -1, &[(0, &[9])]),
        ("to nobody", -1, -1, &[(0, &[])]),
        ("to a broker twice", -1, -1, &[(0, &[1, 1])]),
        ("with a gap", -1, -1, &[(0, &[1]), (2, &[1])]),
        ("that begins at 1", -1, -1, &[(1, &[1])]),
        ("of one partition twice", -1, -1, &[(0, &[1]), (0, &[1])]),
    ];
    for (case, partitions, replicas, assignments) in cases {
        let assignments = assignments.iter().map(|(partition, brokers)| {
            CreatableReplicaAssignment::default()
                .with_partition_index(*partition)
                .with_broker_ids(brokers.iter().map(|id| BrokerId(*id)).collect())
        });
        let topic = new_topic(&run.topic("assigned"), partitions, &[])
            .with_replication_factor(replicas)
            .with_assignments(assignments.collect());
        let answer = create(run, 7, vec![topic], true);
        run.note(&format!("create topic, assignment {case}"), answer);
    }
}

fn requests(run: &mut Run) {
    run.note("create topics, none", create(run, 7, Vec::new(), false));
    let topic = |name: &str| new_topic(&run.topic(name), 1, &[]);
    let answer = create(run, 7, vec![topic("one"), topic("two"), topic("two")], true);
    run.note("create topics, one of them twice", answer);
    let topic = |name: &str| new_topic(name, 1, &[]);
    let good = run.topic("good");
    let answer = create(run, 7, vec![topic("a/b"), topic(&good)], false);
    run.note("create topics, a bad one and a good one", answer);
    for timeout_ms in [0, -1] {
        let topic = topic(&run.topic(&format!("timeout{timeout_ms}")));
        let request =
            CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(timeout_ms);
        let answer = run.call(7, &request).map(|response| show(7, response));
        run.note(&format!("create topic, timeout {timeout_ms} ms"), answer);
    }
}
