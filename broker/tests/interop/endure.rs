//! Clients that nobody here wrote, while the leader of their partition is killed: they go on
//! without a restart, and every record is there once, in order.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::Client;
use crate::kcat;
use crate::world::{PATIENCE, World};

/// Numbers that each client writes and reads.
const COUNT: usize = 400;

/// Time from one number to the next.
const PACE: Duration = Duration::from_millis(10);

/// Records that are there when the leader is killed.
const BEFORE: i64 = 100;

/// Waits until some records are there, kills the leader, waits a little and starts it again.
fn kill_leader(world: &mut World, topic: &str) {
    let started = Instant::now();
    while world.end(topic, 0) < BEFORE {
        assert!(started.elapsed() < PATIENCE, "{topic}: the client does not write");
        thread::sleep(PACE);
    }
    let known = world.runtime.block_on(world.admin.cluster().refresh_topic(topic));
    let leader = known.expect("the topic").partitions[0].leader.expect("a leader");
    println!("{topic}: broker {leader} is killed");
    world.kill(leader);
    while world.end(topic, 0) < BEFORE + 1 {
        assert!(started.elapsed() < PATIENCE, "{topic}: no leader");
        thread::sleep(PACE);
    }
    world.restart(leader);
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
        world.create(topic, 1);
        let bootstrap = world.bootstrap();
        let pace_ms = PACE.as_millis() as u64;
        let job = json!({ "do": "endure", "topic": topic, "count": COUNT, "pace_ms": pace_ms });
        let running = thread::spawn(move || client.run(&bootstrap, &[job]));
        kill_leader(&mut world, topic);
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
    world.create("kcat", 1);
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
    kill_leader(&mut world, "kcat");
    writing.join().expect("everything is written");
    assert!(writer.wait().expect("kcat ends").success());
    assert!(reader.wait().expect("kcat ends").success());
    assert_whole("kcat", &reading.join().expect("everything is read"));
}
