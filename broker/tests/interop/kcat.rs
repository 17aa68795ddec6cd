//! kcat: librdkafka on the command line.

use std::process::Command;

use crate::client::run;
use crate::corpus::{Record, base64};
use crate::support::broker::Broker;
use crate::support::wire::{self, Connection};
use crate::{fresh, install};

/// A command that runs kcat.
pub(crate) fn command(bootstrap: &str) -> Command {
    let root = install::kcat();
    let mut command = Command::new(root.join("usr/bin/kcat"));
    let machine = std::env::consts::ARCH;
    command
        .env("LD_LIBRARY_PATH", root.join(format!("usr/lib/{machine}-linux-gnu")))
        // The end of a partition is told by an empty answer: wait shortly for those.
        .args(["-b", bootstrap, "-m", "60", "-X", "fetch.wait.max.ms=5"]);
    command
}

/// Runs kcat with these arguments; it must work. Returns its standard output.
fn kcat(bootstrap: &str, args: &[&str], input: &str) -> Vec<u8> {
    let mut command = command(bootstrap);
    command.args(args);
    let output = run(command, input.as_bytes());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kcat {args:?}: {}\n{errors}", output.status);
    output.stdout
}

fn kcat_text(bootstrap: &str, args: &[&str], input: &str) -> String {
    String::from_utf8(kcat(bootstrap, args, input)).expect("text from kcat")
}

#[test]
fn every_codec_of_kcat() {
    let broker = Broker::external_or_start();
    let connection = &mut Connection::open(broker.kafka());
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = fresh(&format!("kcat-{codec}"));
        wire::create_topic(connection, &topic, 1, &[]);
        let lines: Vec<String> = (0..5000).map(|n| format!("{n}:value {n} of {codec}")).collect();
        let args = ["-P", "-t", &topic, "-p", "0", "-K:", "-z", codec, "-H", "from=kcat"];
        kcat(broker.kafka(), &args, &(lines.join("\n") + "\n"));
        let args = ["-C", "-t", &topic, "-p", "0", "-o", "beginning", "-e", "-q"];
        let read = kcat_text(broker.kafka(), &[&args[..], &["-f", "%o %h %k:%s\n"]].concat(), "");
        let expected = lines.iter().enumerate();
        let expected: Vec<String> =
            expected.map(|(offset, line)| format!("{offset} from=kcat {line}")).collect();
        assert_eq!(read.lines().count(), expected.len(), "{codec}");
        for (read, expected) in read.lines().zip(&expected) {
            assert_eq!(read, expected, "{codec}");
        }
        let args = ["-C", "-t", &topic, "-p", "0", "-o", "-3", "-e", "-q"];
        let tail = kcat_text(broker.kafka(), &args, "");
        let last: Vec<&str> = lines[4997..]
            .iter()
            .filter_map(|line| line.split_once(':'))
            .map(|pair| pair.1)
            .collect();
        assert_eq!(tail.lines().collect::<Vec<_>>(), last, "{codec}: the last three");
    }
}

#[test]
fn acks_and_idempotence_of_kcat() {
    let broker = Broker::external_or_start();
    let topic = fresh("kcat-acks");
    wire::create_topic(&mut Connection::open(broker.kafka()), &topic, 1, &[]);
    let settings = ["acks=0", "acks=1", "acks=all", "enable.idempotence=true"];
    for setting in settings {
        let args = ["-P", "-t", &topic, "-p", "0", "-X", setting];
        kcat(broker.kafka(), &args, &format!("{setting}\n"));
    }
    let args = ["-C", "-t", &topic, "-p", "0", "-o", "beginning", "-c", "4", "-q"];
    let read = kcat_text(broker.kafka(), &args, "");
    assert_eq!(read.lines().collect::<Vec<_>>(), settings);
}

#[test]
fn listings_of_kcat() {
    let broker = Broker::external_or_start();
    let topic = fresh("kcat-list");
    wire::create_topic(&mut Connection::open(broker.kafka()), &topic, 3, &[]);
    let listing = kcat_text(broker.kafka(), &["-L", "-t", &topic], "");
    assert!(listing.contains("1 brokers:"), "{listing}");
    assert!(listing.contains(&format!("at {}", broker.kafka())), "{listing}");
    let expected = format!("topic \"{topic}\" with 3 partitions:");
    assert!(listing.contains(&expected), "{listing}");
    assert!(listing.contains("partition 2, leader 1, replicas: 1, isrs: 1"), "{listing}");
    let listing: serde_json::Value =
        serde_json::from_slice(&kcat(broker.kafka(), &["-L", "-J"], "")).expect("JSON from kcat");
    let topics = listing["topics"].as_array().expect("topics");
    assert!(topics.iter().any(|known| known["topic"] == topic.as_str()), "{listing}");
}

#[test]
fn offsets_by_time_of_kcat() {
    let broker = Broker::external_or_start();
    let topic = fresh("kcat-query");
    wire::create_topic(&mut Connection::open(broker.kafka()), &topic, 1, &[]);
    kcat(broker.kafka(), &["-P", "-t", &topic, "-p", "0"], "one\ntwo\nthree\n");
    for (query, offset) in [("-1", "3"), ("-2", "0"), ("1", "0"), ("4102444800000", "-1")] {
        let asked = format!("{topic}:0:{query}");
        let answer = kcat_text(broker.kafka(), &["-Q", "-t", &asked], "");
        assert_eq!(answer.trim(), format!("{topic} [0] offset {offset}"), "{query}");
    }
}

/// A balanced consumer reads everything once, and goes on where it left off.
#[test]
fn groups_of_kcat() {
    let broker = Broker::external_or_start();
    let (topic, group) = (fresh("kcat-group"), fresh("group"));
    wire::create_topic(&mut Connection::open(broker.kafka()), &topic, 2, &[]);
    let settings = ["-X", "auto.offset.reset=earliest", "-X", "session.timeout.ms=6000"];
    for round in ["first", "second"] {
        for partition in ["0", "1"] {
            let line = format!("{round} {partition}\n");
            kcat(broker.kafka(), &["-P", "-t", &topic, "-p", partition], &line);
        }
        let args = ["-G", &group, "-c", "2", "-q", &topic];
        let read = kcat_text(broker.kafka(), &[&settings[..], &args].concat(), "");
        let mut lines: Vec<&str> = read.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, [format!("{round} 0"), format!("{round} 1")], "{round}");
    }
}

/// A first producer to a topic that does not exist creates it.
#[test]
fn kcat_creates_a_topic_by_writing() {
    let broker = Broker::external_or_start();
    let topic = fresh("kcat-auto");
    kcat(broker.kafka(), &["-P", "-t", &topic], "hello\n");
    let args = ["-C", "-t", &topic, "-o", "beginning", "-e", "-q"];
    assert_eq!(kcat_text(broker.kafka(), &args, ""), "hello\n");
}

/// Reads whole topics, everything but headers.
pub(crate) fn read(bootstrap: &str, topics: &[&str], partitions: i32) -> Vec<Record> {
    let mut records = Vec::new();
    for topic in topics {
        for partition in 0..partitions {
            let partition = partition.to_string();
            // Sizes first, so that keys and values may hold any byte.
            let args = ["-C", "-t", topic, "-p", &partition, "-o", "beginning", "-e", "-q", "-u"];
            let format = ["-f", "%p %o %T %K %S\n%k%s"];
            let output = kcat(bootstrap, &[&args[..], &format].concat(), "");
            let mut rest = &output[..];
            while !rest.is_empty() {
                let (record, after) = parse(topic, rest);
                records.push(record);
                rest = after;
            }
        }
    }
    records
}

fn parse<'a>(topic: &str, bytes: &'a [u8]) -> (Record, &'a [u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').expect("a line of sizes");
    let line = std::str::from_utf8(&bytes[..end]).expect("a line of numbers");
    let numbers: Vec<i64> = line.split(' ').map(|n| n.parse().expect("a number")).collect();
    let [partition, offset, timestamp, key_size, value_size] = numbers[..] else {
        panic!("not five numbers: {line}")
    };
    let mut rest = &bytes[end + 1..];
    let mut take = |size: i64| {
        let size = usize::try_from(size).ok()?;
        let (field, after) = rest.split_at(size);
        rest = after;
        Some(base64(field))
    };
    let key = take(key_size);
    let value = take(value_size);
    let partition = i32::try_from(partition).expect("a partition");
    let headers = Vec::new();
    (Record { topic: topic.to_owned(), partition, offset, key, value, headers, timestamp }, rest)
}
