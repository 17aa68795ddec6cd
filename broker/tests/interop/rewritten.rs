//! The offsets topic is kept short: what holds is written again, the head goes, and whoever reads
//! the rest, a restarted broker or Kafka's own tools, finds the same.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use synod_broker::groups::{OFFSETS_TOPIC, partition_of};
use synod_client::admin::{Admin, NewTopic};
use synod_client::cluster::{Isolation, OffsetSpec, TopicPartition};
use synod_client::consumer::CommittedOffset;
use synod_client::{ClientConfig, Cluster};
use tokio::runtime::Runtime;

use crate::client::Client;
use crate::support::broker::Broker;

const TOPIC: &str = "committed";
const GROUP: &str = "often";

/// Partitions that the group commits each time.
const PARTITIONS: i32 = 100;

/// Commits of all partitions, each of about 400 KB: enough for the log to be worth rewriting.
const COMMITS: i64 = 90;

/// Length of the remark beside each offset, the largest that is taken.
const REMARK: usize = 4096;

const PATIENCE: Duration = Duration::from_secs(120);

type Committed = BTreeMap<TopicPartition, CommittedOffset>;

async fn admin(broker: &Broker) -> Admin {
    let config = ClientConfig::new([broker.kafka()]);
    Admin::new(Cluster::connect(config).await.expect("the broker answers"))
}

fn commit(number: i64) -> Committed {
    let offset = |partition| {
        let mut offset = CommittedOffset::new(number * 1000 + i64::from(partition));
        offset.metadata = number.to_string().repeat(REMARK)[..REMARK].to_owned();
        (TopicPartition::new(TOPIC, partition), offset)
    };
    (0..PARTITIONS).map(offset).collect()
}

/// The group's log.
fn log() -> TopicPartition {
    let partition = i32::try_from(partition_of(GROUP, 50)).expect("small");
    TopicPartition::new(OFFSETS_TOPIC, partition)
}

async fn bound(admin: &Admin, spec: OffsetSpec) -> i64 {
    let answer = admin.cluster().list_offsets([log()], spec, Isolation::ReadUncommitted).await;
    answer[&log()].as_ref().expect("an answer").expect("an offset").offset
}

/// The last offset of each partition that Kafka's formatter tells of, and how many it told.
fn formatted(broker: &Broker) -> (BTreeMap<i64, i64>, usize) {
    let args = [
        "--bootstrap-server",
        "{bootstrap}",
        "--topic",
        OFFSETS_TOPIC,
        "--from-beginning",
        "--timeout-ms",
        "5000",
        "--formatter",
        "org.apache.kafka.tools.consumer.OffsetsMessageFormatter",
    ];
    let class = "org.apache.kafka.tools.consumer.ConsoleConsumer";
    let job = json!({ "do": "tool", "class": class, "args": args });
    let result = Client::Java.run(broker.kafka(), &[job]).remove(0);
    let (mut last, mut count) = (BTreeMap::new(), 0);
    // One record after the other, and then the tool's own last words.
    let out = result["out"].as_str().expect("text");
    let out = &out[..out.rfind('}').map_or(0, |last| last + 1)];
    for record in serde_json::Deserializer::from_str(out).into_iter::<Value>() {
        let record = record.expect("JSON");
        let (key, value) = (&record["key"]["data"], &record["value"]["data"]);
        assert_eq!((&key["group"], &key["topic"]), (&GROUP.into(), &TOPIC.into()), "{record}");
        let number = |value: &Value| value.as_i64().expect("a number");
        last.insert(number(&key["partition"]), number(&value["offset"]));
        count += 1;
    }
    (last, count)
}

#[test]
fn the_offsets_topic_is_kept_short() {
    let mut broker = Broker::start();
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let admin = admin(&broker).await;
        let topic = NewTopic::new(TOPIC).partitions(PARTITIONS);
        admin.create_topic(topic).await.expect("a topic");
        for number in 1..=COMMITS {
            let outcomes = admin.alter_group_offsets(GROUP, &commit(number)).await;
            assert!(outcomes.expect("answered").into_values().all(|one| one.is_ok()));
        }
        assert_eq!(bound(&admin, OffsetSpec::End).await, COMMITS * i64::from(PARTITIONS));
    });
    // A coordinator looks at its log when it begins, and then each minute.
    broker.restart();
    let started = Instant::now();
    runtime.block_on(async {
        let admin = admin(&broker).await;
        while bound(&admin, OffsetSpec::Beginning).await == 0 {
            assert!(started.elapsed() < PATIENCE, "the log keeps its head");
            thread::sleep(Duration::from_millis(100));
        }
        let (start, end) =
            (bound(&admin, OffsetSpec::Beginning).await, bound(&admin, OffsetSpec::End).await);
        assert_eq!(
            start,
            COMMITS * i64::from(PARTITIONS),
            "nothing from before the rewrite is left"
        );
        assert_eq!(end - start, i64::from(PARTITIONS), "each offset once");
        assert_eq!(admin.group_offsets(GROUP).await.expect("answered"), commit(COMMITS));
    });
    let expected = |number: i64| (0..i64::from(PARTITIONS)).map(move |p| (p, number * 1000 + p));
    assert_eq!(formatted(&broker), (expected(COMMITS).collect(), PARTITIONS as usize));
    // Whoever begins at the new head knows as much, and goes on.
    broker.restart();
    runtime.block_on(async {
        let admin = admin(&broker).await;
        assert_eq!(admin.group_offsets(GROUP).await.expect("answered"), commit(COMMITS));
        let later = commit(COMMITS + 1);
        admin.alter_group_offsets(GROUP, &later).await.expect("answered");
        assert_eq!(admin.group_offsets(GROUP).await.expect("answered"), later);
    });
    assert_eq!(formatted(&broker).0, expected(COMMITS + 1).collect());
}
