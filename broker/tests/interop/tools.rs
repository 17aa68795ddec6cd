//! Apache Kafka's command-line tools.

use serde_json::{Value, json};

use crate::client::Client;
use crate::fresh;
use crate::support::broker::Broker;

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const CONFIGS: &str = "kafka.admin.ConfigCommand";
const PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";
const DELETE_RECORDS: &str = "org.apache.kafka.tools.DeleteRecordsCommand";
const LOG_DIRS: &str = "org.apache.kafka.tools.LogDirsCommand";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
const API_VERSIONS: &str = "org.apache.kafka.tools.BrokerApiVersionsCommand";

/// A run of one tool and what its output must and must not hold.
struct Step {
    class: &'static str,
    args: Vec<String>,
    input: &'static str,
    status: i64,
    shows: Vec<String>,
    hides: Vec<String>,
}

/// A tool run with its arguments in one line, split at spaces.
fn step(class: &'static str, args: &str) -> Step {
    let bootstrap = ["--bootstrap-server", "{bootstrap}"];
    let args = bootstrap.into_iter().chain(args.split(' ')).map(str::to_owned).collect();
    Step { class, args, input: "", status: 0, shows: Vec::new(), hides: Vec::new() }
}

impl Step {
    fn input(mut self, input: &'static str) -> Step {
        self.input = input;
        self
    }

    fn fails(mut self) -> Step {
        self.status = 1;
        self
    }

    fn shows(mut self, text: impl Into<String>) -> Step {
        self.shows.push(text.into());
        self
    }

    fn hides(mut self, text: impl Into<String>) -> Step {
        self.hides.push(text.into());
        self
    }
}

/// Runs the steps in order, in one virtual machine.
fn run(steps: &[Step]) {
    let broker = Broker::external_or_start();
    let jobs: Vec<Value> = steps
        .iter()
        .map(|step| {
            json!({ "do": "tool", "class": step.class, "args": step.args, "stdin": step.input })
        })
        .collect();
    for (step, result) in steps.iter().zip(Client::Java.run(broker.kafka(), &jobs)) {
        let shown = format!("{} {}\n{result:#}", step.class, step.args.join(" "));
        assert_eq!(result["status"], step.status, "{shown}");
        let out = format!("{}{}", text(&result["out"]), text(&result["err"]));
        for text in &step.shows {
            assert!(out.contains(text), "no {text:?} from {shown}");
        }
        for text in &step.hides {
            assert!(!out.contains(text), "{text:?} from {shown}");
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn topics_and_configs() {
    let topic = &fresh("tools");
    let of = |args: &str| args.replace("TOPIC", topic);
    run(&[
        step(TOPICS, &of("--create --topic TOPIC --partitions 3 --config retention.ms=123456"))
            .shows(format!("Created topic {topic}.")),
        step(TOPICS, &of("--create --topic TOPIC --partitions 3")).fails().shows("already exists"),
        step(TOPICS, &of("--create --topic TOPIC --if-not-exists")).hides("already exists"),
        step(TOPICS, "--create --topic bad/name").fails().shows("bad/name"),
        step(TOPICS, "--create --topic none --replication-factor 3").fails(),
        step(TOPICS, "--create --topic none --config nope=1").fails().shows("nope"),
        step(TOPICS, "--list").shows(format!("{topic}\n")),
        step(TOPICS, &of("--describe --topic TOPIC"))
            .shows("PartitionCount: 3")
            .shows("ReplicationFactor: 1")
            .shows("retention.ms=123456")
            .shows("Partition: 2\tLeader: 1\tReplicas: 1\tIsr: 1"),
        step(TOPICS, "--describe --under-replicated-partitions").hides("Partition: "),
        step(TOPICS, "--describe --unavailable-partitions").hides("Partition: "),
        step(TOPICS, &of("--alter --topic TOPIC --partitions 5")),
        step(TOPICS, &of("--alter --topic TOPIC --partitions 2")).fails(),
        step(TOPICS, &of("--describe --topic TOPIC")).shows("PartitionCount: 5"),
        step(
            CONFIGS,
            &of("--entity-type topics --entity-name TOPIC --alter \
                 --add-config max.message.bytes=2000,cleanup.policy=[compact,delete]"),
        )
        .shows("Completed updating config"),
        step(CONFIGS, &of("--entity-type topics --entity-name TOPIC --describe"))
            .shows("max.message.bytes=2000")
            .shows("cleanup.policy=compact,delete")
            .shows("retention.ms=123456"),
        step(
            CONFIGS,
            &of("--entity-type topics --entity-name TOPIC --alter --delete-config retention.ms"),
        )
        .shows("Completed updating config"),
        step(CONFIGS, &of("--entity-type topics --entity-name TOPIC --describe --all"))
            .shows("retention.ms=604800000")
            .shows("segment.bytes=1073741824"),
        step(
            CONFIGS,
            &of("--entity-type topics --entity-name TOPIC --alter --add-config segment.bytes=x"),
        )
        .fails()
        .shows("segment.bytes"),
        step(CONFIGS, "--entity-type brokers --entity-name 1 --describe --all").shows("node.id=1"),
        step(TOPICS, &of("--delete --topic TOPIC")),
        step(TOPICS, "--list").hides(topic.as_str()),
        step(TOPICS, &of("--describe --topic TOPIC")).fails().shows("does not exist"),
        step(API_VERSIONS, "--command-config /dev/null").shows("Produce(0): 0 to "),
    ]);
}

/// Groups as their tool sees them, and the offsets topic as any reader of it does.
#[test]
fn groups() {
    let (topic, group) = (&fresh("tools"), &fresh("group"));
    let of = |args: &str| args.replace("TOPIC", topic).replace("GROUP", group);
    let group_step = |args: &str| step(GROUPS, &of(args));
    let formatted = |formatter: &str| {
        step(
            CONSUMER,
            &format!(
                "--topic __consumer_offsets --from-beginning --timeout-ms 5000 \
                 --formatter org.apache.kafka.tools.consumer.{formatter}"
            ),
        )
    };
    run(&[
        step(TOPICS, &of("--create --topic TOPIC --partitions 1")),
        step(PRODUCER, &of("--topic TOPIC")).input("one\ntwo\nthree\n"),
        step(CONSUMER, &of("--topic TOPIC --group GROUP --from-beginning --max-messages 2"))
            .shows("one\ntwo\n"),
        group_step("--list").shows(format!("{group}\n")),
        group_step("--list --state Stable").hides(group.as_str()),
        group_step("--describe --group GROUP").shows("has no active members").shows(topic.as_str()),
        group_step("--describe --group GROUP --state").shows("Empty"),
        group_step("--describe --group none").shows("does not exist"),
        group_step("--reset-offsets --group GROUP --topic TOPIC --to-offset 1 --dry-run")
            .shows(topic.as_str()),
        group_step("--reset-offsets --group GROUP --topic TOPIC --to-offset 1 --execute"),
        step(CONSUMER, &of("--topic TOPIC --group GROUP --max-messages 2"))
            .shows("two\nthree\n")
            .hides("one"),
        formatted("OffsetsMessageFormatter")
            .shows(format!("\"group\":\"{group}\",\"topic\":\"{topic}\",\"partition\":0"))
            .shows("\"offset\":3"),
        formatted("GroupMetadataMessageFormatter")
            .shows(format!("\"group\":\"{group}\""))
            .shows("\"protocolType\":\"consumer\""),
        group_step("--delete-offsets --group GROUP --topic TOPIC").shows("Successful"),
        group_step("--delete --group GROUP").shows("was successful"),
        group_step("--list").hides(group.as_str()),
    ]);
}

#[test]
fn records() {
    let topic = &fresh("tools");
    let of = |args: &str| args.replace("TOPIC", topic);
    let deletion = tempfile::NamedTempFile::new().expect("a temporary file");
    let partitions = json!([{ "topic": topic, "partition": 0, "offset": 2 }]);
    let text = json!({ "version": 1, "partitions": partitions }).to_string();
    std::fs::write(deletion.path(), text).expect("a written file");
    let consume = |args: &str| step(CONSUMER, &of(&format!("--topic TOPIC --partition 0 {args}")));
    let offsets =
        |time: &str| step(OFFSETS, &of(&format!("--topic TOPIC --partitions 0 --time {time}")));
    run(&[
        step(TOPICS, &of("--create --topic TOPIC --partitions 1")),
        step(
            PRODUCER,
            &of("--topic TOPIC --reader-property parse.key=true \
             --reader-property key.separator=:"),
        )
        .input("k1:first\nk2:second\n"),
        step(
            PRODUCER,
            &of("--topic TOPIC --compression-codec zstd --reader-property parse.headers=true"),
        )
        .input("h:x\tthird\nh:y,i:z\tfourth\n"),
        step(PRODUCER, &of("--topic TOPIC --sync --request-required-acks 1")).input("fifth\n"),
        consume(
            "--offset earliest --max-messages 5 --formatter-property print.key=true \
                 --formatter-property print.offset=true --formatter-property print.headers=true",
        )
        .shows("Offset:0\tNO_HEADERS\tk1\tfirst\n")
        .shows("Offset:1\tNO_HEADERS\tk2\tsecond\n")
        .shows("Offset:2\th:x\tnull\tthird\n")
        .shows("Offset:3\th:y,i:z\tnull\tfourth\n")
        .shows("Offset:4\tNO_HEADERS\tnull\tfifth\n"),
        consume("--offset 3 --max-messages 2").shows("fourth\nfifth\n").hides("third"),
        offsets("-1").shows(format!("{topic}:0:5\n")),
        offsets("-2").shows(format!("{topic}:0:0\n")),
        offsets("latest").shows(format!("{topic}:0:5\n")),
        offsets("earliest").shows(format!("{topic}:0:0\n")),
        offsets("0").shows(format!("{topic}:0:0\n")),
        offsets("max-timestamp").shows(format!("{topic}:0:")),
        step(DELETE_RECORDS, &format!("--offset-json-file {}", deletion.path().display()))
            .shows(format!("partition: {topic}-0\tlow_watermark: 2")),
        offsets("earliest").shows(format!("{topic}:0:2\n")),
        consume("--offset earliest --max-messages 3").shows("third\nfourth\nfifth\n"),
        step(LOG_DIRS, &of("--describe --topic-list TOPIC"))
            .shows(format!("\"partition\":\"{topic}-0\""))
            .shows("\"offsetLag\":0")
            .shows("\"error\":null"),
    ]);
}
