//! Clients that nobody here wrote, while the leader of their partition is killed: they go on
//! without a restart, and every record is there once, in order.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use synod_broker::demo::brokers::{Brokers, Setup};
use synod_client::admin::{Admin, NewTopic};
use synod_client::cluster::{Isolation, OffsetSpec, TopicPartition};
use synod_client::{ClientConfig, Cluster};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::client::Client;
use crate::kcat;

/// Numbers that each client writes and reads.
const COUNT: usize = 400;

/// Time from one number to the next.
const PACE: Duration = Duration::from_millis(10);

/// Records that are there when the leader is killed.
const BEFORE: i64 = 100;

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// Three brokers and somebody who looks at them.
struct World {
    brokers: Brokers,
    runtime: Runtime,
    admin: Admin,
    _directory: TempDir,
}

impl World {
    fn start() -> World {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let setup = Setup {
            binary: env!("CARGO_BIN_EXE_synod").into(),
            directory: directory.path().into(),
            broker_count: 3,
            args: Vec::new(),
        };
        let mut brokers = Brokers::prepare(setup).expect("free ports");
        brokers.start_all(PATIENCE).unwrap_or_else(|error| panic!("{error}"));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let config = ClientConfig::new(brokers.bootstrap());
        let cluster = runtime.block_on(Cluster::connect(config)).expect("a broker answers");
        World { brokers, runtime, admin: Admin::new(cluster), _directory: directory }
    }

    fn bootstrap(&self) -> String {
        self.brokers.bootstrap().join(",")
    }

    fn create(&self, topic: &str) {
        let topic = NewTopic::new(topic).partitions(1).replicas(3);
        self.runtime.block_on(self.admin.create_topic(topic)).expect("a topic");
    }

    /// Waits until some records are there, kills the leader, waits a little and starts it again.
    fn kill_leader(&mut self, topic: &str) {
        let started = Instant::now();
        while self.end(topic) < BEFORE {
            assert!(started.elapsed() < PATIENCE, "{topic}: the client does not write");
            thread::sleep(PACE);
        }
        let known = self.runtime.block_on(self.admin.cluster().refresh_topic(topic));
        let leader = known.expect("the topic").partitions[0].leader.expect("a leader");
        println!("{topic}: broker {leader} is killed");
        let leader = u32::try_from(leader).expect("a node id");
        self.brokers.kill(leader);
        while self.end(topic) < BEFORE + 1 {
            assert!(started.elapsed() < PATIENCE, "{topic}: no leader");
            thread::sleep(PACE);
        }
        self.brokers.start(leader).expect("a broker starts");
        self.brokers.wait_ready(leader, PATIENCE).unwrap_or_else(|error| panic!("{error}"));
    }

    fn end(&self, topic: &str) -> i64 {
        let asked = [TopicPartition::new(topic, 0)];
        let cluster = self.admin.cluster();
        let answer = cluster.list_offsets(asked, OffsetSpec::End, Isolation::ReadUncommitted);
        let answer = self.runtime.block_on(answer).into_values().next().expect("an answer");
        answer.ok().flatten().map_or(0, |found| found.offset)
    }
}

#[track_caller]
fn assert_whole(name: &str, seen: &[(i64, String)]) {
    let expected: Vec<(i64, String)> =
        (0..COUNT as i64).map(|number| (number, number.to_string())).collect();
    let wrong = seen.iter().zip(&expected).find(|(seen, expected)| seen != expected);
    assert_eq!(wrong, None, "{name}: what was read, and what should have been");
    assert_eq!(seen.len(), expected.len(), "{name}");
}

#[test]
fn libraries_go_on_through_a_leaders_death() {
    let mut world = World::start();
    for client in [Client::Confluent, Client::KafkaPython3, Client::Java] {
        let topic = client.name();
        world.create(topic);
        let bootstrap = world.bootstrap();
        let pace_ms = PACE.as_millis() as u64;
        let job = json!({ "do": "endure", "topic": topic, "count": COUNT, "pace_ms": pace_ms });
        let running = thread::spawn(move || client.run(&bootstrap, &[job]));
        world.kill_leader(topic);
        let result = running.join().expect("the client ends well").remove(0);
        let pair = |pair: &Value| (pair[0].as_i64().unwrap_or(-1), text(&pair[1]));
        let seen: Vec<_> = result.as_array().expect("a list").iter().map(pair).collect();
        assert_whole(topic, &seen);
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn kcat_goes_on_through_a_leaders_death() {
    let mut world = World::start();
    world.create("kcat");
    let bootstrap = world.bootstrap();
    let count = COUNT.to_string();
    let mut reader = kcat::command(&bootstrap)
        .args(["-C", "-t", "kcat", "-p", "0", "-o", "0", "-q", "-u", "-c", &count])
        .args(["-f", "%o %s\n"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("kcat starts");
    let mut writer = kcat::command(&bootstrap)
        .args(["-P", "-t", "kcat", "-p", "0", "-X", "enable.idempotence=true"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("kcat starts");
    let mut input = writer.stdin.take().expect("a pipe");
    let writing = thread::spawn(move || {
        for number in 0..COUNT {
            writeln!(input, "{number}").expect("kcat reads");
            thread::sleep(PACE);
        }
    });
    let output = reader.stdout.take().expect("a pipe");
    let reading = thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        let pair = |line: String| {
            let (offset, value) = line.split_once(' ').expect("an offset and a value");
            (offset.parse().expect("an offset"), value.to_owned())
        };
        lines.map(pair).collect::<Vec<(i64, String)>>()
    });
    world.kill_leader("kcat");
    writing.join().expect("everything is written");
    assert!(writer.wait().expect("kcat ends").success());
    assert!(reader.wait().expect("kcat ends").success());
    assert_whole("kcat", &reading.join().expect("everything is read"));
}
