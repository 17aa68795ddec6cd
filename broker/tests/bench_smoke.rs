//! `synod bench` against a live broker, with tiny loads: every measurement runs to its end, its
//! figures agree with each other, and its check of what was acknowledged is no formality. How fast
//! anything is decides nothing here.

mod support;

use std::process::{Command, Output, Stdio};

use serde_json::Value;
use support::broker::Broker;

/// Runs `synod bench` with these arguments.
fn bench(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
    command.arg("bench").args(args).env_remove("SYNOD_BROKERS");
    command.output().expect("the synod binary can be started")
}

/// The JSON that a measurement of the broker prints.
fn measure(broker: &Broker, args: &[&str]) -> Value {
    let output = bench(&[args, &["-b", broker.kafka(), "--json"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn number(value: &Value, pointer: &str) -> f64 {
    let found = value.pointer(pointer).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("no number at {pointer} in {value:#}"))
}

#[test]
fn produce_counts_what_it_wrote_and_finds_it_again() {
    let broker = Broker::start();
    let pid = broker.id().to_string();
    let report = measure(
        &broker,
        &["produce", "-n", "5000", "--size", "100", "-p", "3", "--producers", "2", "--pid", &pid],
    );
    assert_eq!(number(&report, "/records"), 5000.0);
    assert_eq!(number(&report, "/bytes"), 500_000.0);
    assert_eq!(number(&report, "/latency_us/count"), 5000.0);
    assert_eq!(number(&report, "/check/acked"), 5000.0);
    assert_eq!(number(&report, "/check/read"), 5000.0);
    assert_eq!(number(&report, "/check/lost"), 0.0);
    assert!(number(&report, "/brokers/resident_mib") > 1.0);
    assert!(number(&report, "/latency_us/p50") <= number(&report, "/latency_us/p99"));
    let topics = measure_topics(&broker);
    assert!(!topics.contains("synod-bench-"), "the topic is deleted: {topics}");
}

fn measure_topics(broker: &Broker) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
    let output = command.args(["topic", "list", "-b", broker.kafka()]).output();
    String::from_utf8(output.expect("the command runs").stdout).expect("UTF-8")
}

#[test]
fn open_loop_measurements_keep_to_their_schedule() {
    let broker = Broker::start();
    let args = ["--rate", "200", "--seconds", "0.5", "--warmup", "0.2"];
    let latency = measure(&broker, &[&["latency"], &args[..]].concat());
    let count = number(&latency, "/latency_us/count");
    // Those sent in the warm-up and acknowledged after it count, too.
    assert!((95.0..=145.0).contains(&count), "{count}");
    assert!(number(&latency, "/check/acked") >= count);
    let end_to_end = measure(&broker, &[&["end-to-end"], &args[..]].concat());
    assert_eq!(number(&end_to_end, "/end_to_end_us/count"), 100.0);
    assert_eq!(number(&end_to_end, "/ack_us/count"), 100.0);
    let one_by_one = measure(&broker, &["latency", "--one-by-one", "-n", "20"]);
    assert_eq!(number(&one_by_one, "/records"), 20.0);
}

#[test]
fn consume_reads_exactly_what_was_written() {
    let broker = Broker::start();
    let topic = ["--topic", "read-me", "-p", "2"];
    let filled = measure(&broker, &[&["consume", "-n", "3000"], &topic[..]].concat());
    assert_eq!(number(&filled, "/records"), 3000.0);
    let again = measure(&broker, &["consume", "--as-is", "--topic", "read-me"]);
    assert_eq!(number(&again, "/records"), 3000.0);
    assert_eq!(number(&again, "/bytes"), number(&filled, "/bytes"));
}

#[test]
fn partitions_connections_and_failover_run_to_their_end() {
    let broker = Broker::start();
    let partitions =
        measure(&broker, &["partitions", "--counts", "1,7", "-n", "700", "--stick", "1024"]);
    let counts: Vec<f64> =
        (0..2).map(|run| number(&partitions, &format!("/runs/{run}/partitions"))).collect();
    assert_eq!(counts, [1.0, 7.0]);
    assert_eq!(number(&partitions, "/runs/1/check/acked"), 700.0);
    let connections = measure(&broker, &["connections", "--count", "40", "--seconds", "0.5"]);
    assert_eq!(number(&connections, "/answered"), 40.0);
    // Nobody is killed: no partition is hit.
    let args = ["failover", "-p", "4", "--rate", "2", "--seconds", "2", "--after", "0.1"];
    let failover = measure(&broker, &args);
    assert_eq!(number(&failover, "/hit_partitions"), 0.0);
}

#[test]
fn recovery_starts_and_kills_a_broker_of_its_own() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = dir.path().join("data");
    let args = ["recovery", "-p", "3", "-n", "2000", "--restarts", "2", "--json", "--data-dir"];
    let output = bench(&[&args[..], &[data.to_str().expect("UTF-8")]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["ready_ms"].as_array().map(Vec::len), Some(2));
    assert_eq!(number(&report, "/bytes"), 2000.0 * 1024.0);
    assert!(!data.exists(), "the data is removed");
}

#[test]
fn recovery_goes_on_from_batches_that_take_no_room() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = dir.path().join("data");
    let args = ["recovery", "-p", "3", "-n", "300", "--restarts", "1", "--json"];
    // Four batches of zeros for each partition, two in a segment.
    let sparse = ["--sparse", "12500000", "--segment-size", "2097152", "--data-dir"];
    let data_dir = data.to_str().expect("UTF-8");
    let output = bench(&[&args[..], &sparse, &[data_dir]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!((12_000_000.0..12_500_000.0).contains(&number(&report, "/sparse_bytes")), "{report}");
    assert_eq!(number(&report, "/bytes"), 300.0 * 1024.0);
    assert!(number(&report, "/ready_ms/0") <= number(&report, "/answer_ms/0"));
    assert!(number(&report, "/answer_ms/0") <= number(&report, "/read_ms/0"));
    let output = bench(&[&args[..], &["--sparse", "1", "--data-dir"], &[data_dir]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("give --sparse 300"), "{errors}");
}

#[test]
fn the_line_of_kafkas_own_tool_is_printed() {
    let broker = Broker::start();
    let args = ["produce", "-n", "100", "--format", "perf-test", "-b", broker.kafka()];
    let output = bench(&args);
    let line = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(line.starts_with("100 records sent, "), "{line}");
    assert!(line.contains(" MB/sec), ") && line.ends_with("99.9th.\n"), "{line}");
}

#[test]
fn a_cluster_that_loses_acknowledged_records_is_found_out() {
    let broker = Broker::start();
    let synod = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
        command.args(args).args(["-b", broker.kafka()]);
        command
    };
    let made = synod(&["topic", "create", "lossy"]).output().expect("it runs");
    assert!(made.status.success());
    let mut run = synod(&["bench", "produce", "-t", "lossy", "--rate", "500", "--seconds", "4"]);
    let mut run = run.stderr(Stdio::piped()).spawn().expect("it runs");
    // Somebody else takes away the first five, as soon as they are there.
    while !synod(&["topic", "trim", "lossy", "-o", "5"]).output().expect("it runs").status.success()
    {
        assert!(run.try_wait().expect("a child").is_none(), "nothing to trim during the run");
    }
    let output = run.wait_with_output().expect("a child");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("5 are lost, 0 repeated"), "{text}");
}

#[test]
fn mistakes_are_told_in_one_line() {
    for args in [
        &["produce", "--size", "3"][..],
        &["latency", "--rate", "0"],
        &["partitions", "--topic", "t"],
        &["consume", "--as-is"],
        &["recovery", "--data-dir", "/"],
        &["produce", "-n", "1", "--seconds", "1"],
    ] {
        let output = bench(args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
        assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
        assert!(text.starts_with("synod: "), "{args:?}: {text}");
    }
    let output = bench(&["produce", "-n", "1", "-b", "127.0.0.1:1", "--timeout", "0.2"]);
    assert_eq!(output.status.code(), Some(1));
}
