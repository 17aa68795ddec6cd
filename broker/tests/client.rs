//! The client library and its commands against a live broker: one that the test starts, or the one
//! that `SYNOD_INTEROP_BROKERS` names (for example a real Apache Kafka, see `tests/oracle`).

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::broker::Broker;
use support::cli::{command, feed, json, printed, refused, run, topic, unique};
use synod_client::admin::{Admin, ConfigChange, ConfigResource, ConfigSource, NewTopic};
use synod_client::cluster::{Isolation, OffsetSpec, TopicPartition};
use synod_client::consumer::{Consumer, ConsumerConfig, OffsetReset, Start};
use synod_client::producer::{Acks, Producer, ProducerConfig, ProducerRecord};
use synod_client::wire::ErrorCode;
use synod_client::{ClientConfig, Cluster, Compression};

/// How long a command may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn topics_live_and_die_by_command() {
    let broker = Broker::external_or_start();
    let topic = unique("life");
    let create = ["topic", "create", &topic, "-p", "2", "-c", "retention.ms=86400000"];
    assert_eq!(printed(&broker, &create), format!("created topic {topic}\n"));
    assert!(refused(&broker, &create).1.contains("TOPIC_ALREADY_EXISTS"));
    printed(&broker, &["topic", "create", &topic, "--if-not-exists"]);
    assert!(printed(&broker, &["topic", "list"]).contains(&topic));
    let listed: Value = json(&printed(&broker, &["topic", "list", "--json"]));
    let listed = listed.as_array().expect("a list").iter().find(|t| t["name"] == *topic);
    assert_eq!(listed.expect("it is listed")["partitions"], 2);

    printed(&broker, &["topic", "add-partitions", &topic, "--num", "1"]);
    printed(&broker, &["topic", "add-partitions", &topic, "--to", "5"]);
    printed(&broker, &["topic", "alter", &topic, "-s", "segment.ms=7200000", "-u", "retention.ms"]);
    let (code, error) = refused(&broker, &["topic", "alter", &topic, "-s", "retention.ms=soon"]);
    assert_eq!(code, 1);
    assert!(error.contains("INVALID_CONFIG") && error.contains("retention.ms"), "{error}");
    let described = json(&printed(&broker, &["topic", "describe", &topic, "--json"]));
    assert_eq!(described[0]["partitions"].as_array().expect("a list").len(), 5);
    let configs = described[0]["configs"].as_array().expect("a list");
    assert_eq!(configs.len(), 1, "{configs:?}");
    assert_eq!(
        (&configs[0]["name"], &configs[0]["value"]),
        (&"segment.ms".into(), &"7200000".into())
    );

    printed(&broker, &["topic", "delete", &topic]);
    let (code, error) = refused(&broker, &["topic", "delete", &topic]);
    assert_eq!(code, 1);
    assert!(error.contains("UNKNOWN_TOPIC_OR_PARTITION"), "{error}");
    printed(&broker, &["topic", "delete", &topic, "--if-exists"]);
}

#[test]
fn what_is_produced_is_consumed_with_every_codec() {
    let broker = Broker::external_or_start();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = topic(&broker, codec, "1");
        let lines: Vec<_> = (0..2000).map(|n| format!("key {}:value {n} äöü", n % 7)).collect();
        let input = lines.join("\n") + "\n";
        feed(&broker, &["produce", &topic, "-K", ":", "-z", codec, "-H", "h=1"], input.as_bytes());
        let plain = printed(&broker, &["consume", &topic, "-e", "-K", ":"]);
        assert_eq!(plain, input, "{codec}");
        let args = ["consume", &topic, "-e", "-o", "-2", "-f", "%t %p %o %k %s %K %S %h|"];
        let expected = format!(
            "{topic} 0 1998 key 3 value 1998 äöü 5 17 h=1|{topic} 0 1999 key 4 value 1999 äöü 5 17 h=1|"
        );
        assert_eq!(printed(&broker, &args), expected);
    }
}

#[test]
fn consuming_begins_and_ends_where_it_is_told() {
    let broker = Broker::external_or_start();
    let topic = topic(&broker, "place", "1");
    feed(&broker, &["produce", &topic], b"a\nb\nc\n\nd\n");
    let consume = |args: &[&str]| {
        printed(&broker, &[&["consume", topic.as_str(), "-e", "-f", "%s,"], args].concat())
    };
    assert_eq!(consume(&[]), "a,b,c,,d,");
    assert_eq!(consume(&["-o", "beginning", "-c", "2"]), "a,b,");
    assert_eq!(consume(&["-o", "end"]), "");
    assert_eq!(consume(&["-o", "2"]), "c,,d,");
    assert_eq!(consume(&["-o", "-1"]), "d,");
    assert_eq!(consume(&["-o", "@0"]), "a,b,c,,d,");
    assert_eq!(consume(&["-o", "@99999999999999"]), "");
    let lines = printed(&broker, &["consume", &topic, "-J", "-c", "1"]);
    let record = json(&lines);
    assert_eq!((&record["offset"], &record["value"]), (&0.into(), &"a".into()));
    assert_eq!(record["key"], Value::Null);

    assert_eq!(consume(&["-o", "17"]), "", "the end lies before it");
    printed(&broker, &["topic", "trim", &topic, "-o", "3"]);
    let (code, error) = refused(&broker, &["consume", &topic, "-e", "-o", "1"]);
    assert_eq!(code, 1);
    assert!(error.contains("OFFSET_OUT_OF_RANGE"), "{error}");
    assert_eq!(consume(&[]), ",d,");
    printed(&broker, &["topic", "trim", &topic, "-o", "end"]);
    assert_eq!(consume(&[]), "");
    let described = json(&printed(&broker, &["topic", "describe", &topic, "--json"]));
    let partition = &described[0]["partitions"][0];
    assert_eq!((&partition["start_offset"], &partition["end_offset"]), (&5.into(), &5.into()));
}

#[test]
fn null_and_empty_are_different() {
    let broker = Broker::external_or_start();
    let topic = topic(&broker, "null", "1");
    feed(&broker, &["produce", &topic, "-K", "=", "-Z"], b"k=\n=v\n");
    feed(&broker, &["produce", &topic, "-K", "="], b"k=\n=v\n");
    let args = ["consume", &topic, "-e", "-f", "[%k:%K][%s:%S]"];
    let expected = "[k:1][:-1][:-1][v:1][k:1][:0][:0][v:1]";
    assert_eq!(printed(&broker, &args), expected);
    let args = [&args[..], &["-Z", "-c", "2"]].concat();
    assert_eq!(printed(&broker, &args), "[k:1][NULL:-1][NULL:-1][v:1]");
}

#[test]
fn a_real_text_comes_back_byte_for_byte() {
    let broker = Broker::external_or_start();
    let topic = topic(&broker, "text", "1");
    let text = std::fs::read("/usr/share/common-licenses/GPL-3")
        .unwrap_or_else(|_| include_bytes!("../../LICENSE").to_vec());
    feed(&broker, &["produce", &topic, "-z", "zstd"], &text);
    let output = run(&broker, &["consume", &topic, "-e"]);
    assert!(output.status.success());
    assert!(output.stdout == text, "{} bytes of {}", output.stdout.len(), text.len());
}

#[test]
fn the_cluster_shows_itself() {
    let broker = Broker::external_or_start();
    let info = json(&printed(&broker, &["cluster", "info", "--json"]));
    let brokers = info["brokers"].as_array().expect("a list");
    assert_eq!(brokers.len(), 1);
    assert_eq!(brokers[0]["id"], info["controller"]);
    assert_eq!(brokers[0]["error"], Value::Null);
    let id = info["cluster_id"].as_str().expect("an id");
    assert!(!id.is_empty());
    assert!(printed(&broker, &["cluster", "info"]).starts_with(&format!("cluster {id}")));
}

#[test]
fn mistakes_say_what_to_do() {
    let broker = Broker::external_or_start();
    let topic = topic(&broker, "mistakes", "2");
    let nobody = ["topic", "list", "-b", "127.0.0.1:1"];
    let cases: [(&[&str], i32, &str); 12] = [
        (&nobody, 1, "127.0.0.1:1: connection refused"),
        (&["topic", "list", "-b", "host:port"], 2, "is not host:port"),
        (&["consume", "no-such-topic", "-e"], 1, "UNKNOWN_TOPIC_OR_PARTITION"),
        (&["topic", "describe", "no-such-topic"], 1, "UNKNOWN_TOPIC_OR_PARTITION"),
        (&["consume", &topic, "-p", "7"], 1, "no partition 7"),
        (&["consume", &topic, "-o", "middle"], 2, "'middle'"),
        (&["consume", &topic, "-f", "%q"], 2, "%q"),
        (&["produce", &topic, "-z", "brotli"], 2, "brotli"),
        (&["topic", "create", "a b"], 1, "INVALID_TOPIC_EXCEPTION"),
        (&["topic", "trim", &topic, "-o", "soon"], 2, "'soon'"),
        (&["topic", "add-partitions", &topic, "--to", "1"], 1, "INVALID_PARTITIONS"),
        (&["produce", &topic, "-l", "/no/such/file"], 1, "/no/such/file"),
    ];
    for (args, code, word) in cases {
        let (found, line) = refused(&broker, args);
        assert_eq!(found, code, "{args:?}: {line}");
        assert!(line.contains(word), "{args:?}: {line}");
    }
    for args in [&["consume"][..], &["topic", "create"], &["topic", "alter", &topic]] {
        assert_eq!(run(&broker, args).status.code(), Some(2), "{args:?}");
    }
}

/// Waits for the end of a process that must come by itself.
fn wait(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            return status.code();
        }
        std::thread::yield_now();
    }
    child.kill().expect("it can be killed");
    panic!("the command did not end");
}

#[test]
fn a_consumer_waits_for_more_and_stops_when_told() {
    let broker = Broker::external_or_start();
    let topic = topic(&broker, "follow", "1");
    let start = || {
        let mut child = command(&broker, &["consume", &topic, "-o", "beginning"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        (child, lines)
    };
    let (mut interrupted, mut lines) = start();
    for word in ["one", "two"] {
        feed(&broker, &["produce", &topic], word.as_bytes());
        assert_eq!(lines.next().expect("a line").expect("text"), word, "as soon as it is there");
    }
    let id = Pid::from_raw(i32::try_from(interrupted.id()).expect("a pid")).expect("not zero");
    kill_process(id, Signal::INT).expect("it can be interrupted");
    assert_eq!(wait(&mut interrupted), Some(0), "Ctrl-C is how one stops it");

    let (mut unread, mut lines) = start();
    lines.next().expect("a line").expect("text");
    drop(lines);
    feed(&broker, &["produce", &topic], b"three");
    assert_eq!(wait(&mut unread), Some(0), "a closed pipe is no mistake");
    let mut stderr = String::new();
    std::io::Read::read_to_string(&mut unread.stderr.take().expect("a pipe"), &mut stderr)
        .expect("text");
    assert_eq!(stderr, "");
}

/// A runtime for what the library is asked directly.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

async fn cluster(broker: &Broker) -> Cluster {
    Cluster::connect(ClientConfig::new([broker.kafka()])).await.expect("the broker answers")
}

#[test]
fn many_tasks_share_a_producer_and_every_record_arrives_once_in_its_order() {
    const TASKS: usize = 8;
    const RECORDS: usize = 2000;
    let broker = Broker::external_or_start();
    let topic = topic(&broker, "shared", "4");
    block_on(async {
        let cluster = cluster(&broker).await;
        let config = ProducerConfig::default().batch_size(8 << 10).compression(Compression::Lz4);
        let producer = Arc::new(Producer::new(cluster.clone(), config).expect("a good config"));
        let written: Arc<Mutex<BTreeMap<(i32, i64), String>>> = Arc::default();
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..TASKS {
            let (producer, written, topic) = (producer.clone(), written.clone(), topic.clone());
            tasks.spawn(async move {
                let mut deliveries = Vec::new();
                for number in 0..RECORDS {
                    let value = format!("{task} {number:06}");
                    let record = ProducerRecord::new(&*topic).key(task.to_string());
                    let delivery = producer.send(record.value(value.clone())).await.expect("sent");
                    deliveries.push((value, delivery));
                }
                for (value, delivery) in deliveries {
                    let receipt = delivery.await.expect("written");
                    let place = (receipt.partition, receipt.offset.expect("an offset"));
                    let before = written.lock().expect("no panic").insert(place, value);
                    assert_eq!(before, None, "one record for each offset");
                }
            });
        }
        while let Some(task) = tasks.join_next().await {
            task.expect("no panic");
        }
        let written = std::mem::take(&mut *written.lock().expect("no panic"));
        assert_eq!(written.len(), TASKS * RECORDS);

        let mut consumer = Consumer::new(cluster, ConsumerConfig::default()).expect("good config");
        consumer.assign_topic(&topic, Start::Beginning).await.expect("assigned");
        let mut last: BTreeMap<String, String> = BTreeMap::new();
        for _ in 0..TASKS * RECORDS {
            let record = consumer.next().await.expect("a record");
            let value = String::from_utf8(record.value.expect("a value").to_vec()).expect("text");
            assert_eq!(written[&(record.partition, record.offset)], value);
            let task = value.split(' ').next().expect("a word").to_owned();
            let previous = last.insert(task, value.clone());
            assert!(previous.is_none_or(|previous| previous < value), "in order");
        }
        assert_eq!(consumer.poll(Duration::from_millis(1)).await.expect("no error"), []);
    });
}

#[test]
fn every_kind_of_acknowledgement_delivers() {
    let broker = Broker::external_or_start();
    let topic = topic(&broker, "acks", "1");
    block_on(async {
        let cluster = cluster(&broker).await;
        // Without acknowledgement last: only a partition that is surely up takes each record then.
        for acks in [Acks::All, Acks::Leader, Acks::None] {
            let config = ProducerConfig::default().acks(acks);
            let producer = Producer::new(cluster.clone(), config).expect("a good config");
            for value in ["1", "2"] {
                let record = ProducerRecord::new(&*topic).key(format!("{acks:?}")).value(value);
                let delivery = producer.send(record).await;
                let receipt = delivery.expect("sent").await.expect("written");
                assert_eq!(receipt.offset.is_some(), acks != Acks::None);
            }
            producer.close().await;
        }
        let mut consumer = Consumer::new(cluster, ConsumerConfig::default()).expect("good config");
        consumer.assign_topic(&topic, Start::Beginning).await.expect("assigned");
        // Unanswered records may come in after those of a producer that began later.
        let mut read = BTreeMap::<String, Vec<String>>::new();
        for _ in 0..6 {
            let record = consumer.next().await.expect("a record");
            let text = |bytes: Option<bytes::Bytes>| {
                String::from_utf8(bytes.expect("there").to_vec()).expect("text")
            };
            read.entry(text(record.key)).or_default().push(text(record.value));
        }
        for acks in ["None", "Leader", "All"] {
            assert_eq!(read[acks], ["1", "2"], "acks {acks}");
        }
    });
}

#[test]
fn administration_through_the_library() {
    let broker = Broker::external_or_start();
    block_on(async {
        let admin = Admin::new(cluster(&broker).await);
        let name = unique("admin");
        let created =
            admin.create_topic(NewTopic::new(&name).partitions(2)).await.expect("created");
        assert_eq!((created.partitions, created.replicas), (Some(2), Some(1)));
        assert!(!created.id.is_zero());
        assert_eq!(admin.topic(&name).await.expect("it exists").id, created.id);

        let resource = ConfigResource::Topic(name.clone());
        let change = [ConfigChange::Set("retention.ms".into(), "1234567".into())];
        admin.alter_config(&resource, &change, true).await.expect("valid");
        let configs = || async { admin.describe_config(&resource).await.expect("described") };
        let source = |configs: Vec<synod_client::admin::ConfigEntry>| {
            let found = configs.into_iter().find(|config| config.name == "retention.ms");
            found.map(|config| (config.source, config.value))
        };
        assert_ne!(source(configs().await).expect("known").0, ConfigSource::Topic, "only checked");
        admin.alter_config(&resource, &change, false).await.expect("changed");
        let expected = (ConfigSource::Topic, Some("1234567".into()));
        // Brokers may hear of a change a moment after it was made.
        let deadline = Instant::now() + PATIENCE;
        while source(configs().await).as_ref() != Some(&expected) {
            assert!(Instant::now() < deadline, "the setting is not changed");
        }

        let producer = Producer::new(admin.cluster().clone(), ProducerConfig::default());
        let producer = producer.expect("a good config");
        for timestamp in [1000, 2000, 3000] {
            let record = ProducerRecord::new(&*name).partition(1).timestamp(timestamp).value("x");
            producer.send(record).await.expect("sent").await.expect("written");
        }
        let partition = TopicPartition::new(&*name, 1);
        let find = |spec| {
            let (admin, partition) = (&admin, partition.clone());
            async move {
                let isolation = Isolation::ReadUncommitted;
                let found =
                    admin.cluster().list_offsets([partition.clone()], spec, isolation).await;
                found[&partition].clone().expect("answered").map(|found| found.offset)
            }
        };
        assert_eq!(find(OffsetSpec::Beginning).await, Some(0));
        assert_eq!(find(OffsetSpec::End).await, Some(3));
        assert_eq!(find(OffsetSpec::Timestamp(1500)).await, Some(1));
        assert_eq!(find(OffsetSpec::Timestamp(5000)).await, None);
        assert_eq!(find(OffsetSpec::MaxTimestamp).await, Some(2));
        let before = BTreeMap::from([(partition.clone(), Some(2))]);
        let trimmed = admin.delete_records(before).await;
        assert_eq!(*trimmed[&partition].as_ref().expect("trimmed"), 2);
        assert_eq!(find(OffsetSpec::Beginning).await, Some(2));

        let config = ConsumerConfig::default().offset_reset(OffsetReset::Beginning);
        let mut consumer = Consumer::new(admin.cluster().clone(), config).expect("good config");
        consumer.assign([(partition.clone(), Start::Offset(0))]).await.expect("assigned");
        assert_eq!(consumer.next().await.expect("a record").offset, 2, "0 is gone");

        let elected = admin.elect_leaders(Some(std::slice::from_ref(&partition))).await;
        let elected = elected.expect("answered");
        assert!(elected[&partition].is_ok(), "it leads already, which is what was wanted");
        let nobody = TopicPartition::new(unique("nobody"), 0);
        let elected = admin.elect_leaders(Some(std::slice::from_ref(&nobody))).await;
        let error = elected.expect("answered").remove(&nobody).expect("told").expect_err("no");
        assert_eq!(error.code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));

        let dirs = admin.log_dirs(1).await.expect("answered");
        let replicas = dirs.iter().flat_map(|dir| &dir.replicas);
        assert!(replicas.clone().any(|replica| replica.partition == partition && replica.size > 0));
        admin.delete_topic(&name).await.expect("deleted");
        let error = admin.topic(&name).await.expect_err("gone");
        assert_eq!(error.code(), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    });
}

/// An address that stays while the broker behind it comes and goes.
async fn relay(target: Arc<Mutex<String>>) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it has one");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let target = target.lock().expect("no panic").clone();
            tokio::spawn(async move {
                // Without a broker the client finds its connection closed, as it should.
                if let Ok(mut broker) = tokio::net::TcpStream::connect(target).await {
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut broker).await;
                }
            });
        }
    });
    address
}

#[test]
fn a_producer_outlives_kill_9_without_loss_repetition_or_reordering() {
    const RECORDS: usize = 6000;
    const KILLS: usize = 4;
    if std::env::var_os("SYNOD_INTEROP_BROKERS").is_some() {
        return; // Not ours to kill.
    }
    block_on(async {
        let target: Arc<Mutex<String>> = Arc::default();
        let address = relay(target.clone()).await.to_string();
        let start = tokio::task::spawn_blocking({
            let address = address.clone();
            move || Broker::start_with(&["--advertise", &address])
        });
        let mut broker = start.await.expect("started");
        *target.lock().expect("no panic") = broker.kafka().to_owned();
        let config =
            ClientConfig::new([address]).backoff(Duration::ZERO, Duration::from_millis(50));
        let cluster = Cluster::connect(config).await.expect("the broker answers");
        Admin::new(cluster.clone()).create_topic(NewTopic::new("t")).await.expect("created");
        let settings = ProducerConfig::default().batch_size(500);
        let producer = Producer::new(cluster.clone(), settings).expect("a good config");
        let mut deliveries = Vec::new();
        for number in 0..RECORDS {
            let record = ProducerRecord::new("t").value(number.to_string());
            deliveries.push(producer.send(record).await.expect("sent"));
            if number % (RECORDS / KILLS) == RECORDS / KILLS / 2 {
                // Some of what was sent is under way at this moment, whatever that catches.
                tokio::task::yield_now().await;
                let restart = tokio::task::spawn_blocking(move || {
                    broker.restart();
                    broker
                });
                broker = restart.await.expect("restarted");
                *target.lock().expect("no panic") = broker.kafka().to_owned();
            }
        }
        for (number, delivery) in deliveries.into_iter().enumerate() {
            let receipt = delivery.await.expect("written");
            assert_eq!(receipt.offset.unwrap_or(number as i64), number as i64);
        }
        producer.close().await;
        let mut consumer = Consumer::new(cluster, ConsumerConfig::default()).expect("good config");
        consumer.assign_topic("t", Start::Beginning).await.expect("assigned");
        for number in 0..RECORDS {
            let record = consumer.next().await.expect("a record");
            assert_eq!(record.value.as_deref(), Some(number.to_string().as_bytes()));
        }
        assert_eq!(consumer.poll(Duration::from_millis(1)).await.expect("no error"), []);
    });
}
