//! Commands that administer and examine a cluster, against a live broker: one that the test starts,
//! or the one that `SYNOD_INTEROP_BROKERS` names.

mod support;

use std::io::Write;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::broker::Broker;
use support::cli::{command, feed, json, printed, refused, run, topic, unique};
use support::cluster::start_three;

/// How long a cluster may take to become what a test waits for.
const PATIENCE: Duration = Duration::from_secs(90);

/// A file with this text.
fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    file
}

fn apply<'a>(file: &'a tempfile::NamedTempFile, more: &[&'a str]) -> Vec<&'a str> {
    let path = file.path().to_str().expect("UTF-8");
    [&["topic", "apply", "-f", path], more].concat()
}

#[test]
fn a_file_is_applied_once_and_then_nothing_is_left_to_do() {
    let broker = Broker::external_or_start();
    let (new, old) = (unique("apply-new"), unique("apply-old"));
    printed(&broker, &["topic", "create", &old, "-p", "2", "-c", "segment.ms=7200000"]);
    let wanted = file(&format!(
        "[defaults]\npartitions = 3\n[topic.{new}]\nconfig.retention.ms = 1000\n\
         [topic.{old}.config]\ncleanup.policy = 'compact'\n"
    ));
    let plan = format!(
        "+ topic {new}\n    + partitions 3\n    + retention.ms 1000\n\
         ~ topic {old}\n    ~ partitions 2 -> 3\n    + cleanup.policy compact\n    - segment.ms 7200000\n\
         1 to create, 1 to change, 0 as they shall be, 0 impossible\n"
    );
    assert_eq!(printed(&broker, &apply(&wanted, &["--dry-run"])), plan);
    assert!(!printed(&broker, &["topic", "list"]).contains(&new), "only looked at");
    assert_eq!(printed(&broker, &apply(&wanted, &["--yes"])), plan + "applied\n");
    // Brokers may hear of a change a moment after it was made.
    let is_done = || {
        let described = json(&printed(&broker, &["topic", "describe", &old, "--json"]));
        let count = |what: &str| described[0][what].as_array().expect("a list").len();
        (count("partitions"), count("configs")) == (3, 1)
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_done() {
        assert!(Instant::now() < deadline, "the topic does not become what the file says");
    }
    let again = json(&printed(&broker, &apply(&wanted, &["--yes", "--json"])));
    assert_eq!(again["applied"], false, "nothing is left to do");
    let actions: Vec<_> = again["topics"].as_array().expect("a list").iter().collect();
    assert!(actions.iter().all(|step| step["action"] == "keep"), "{again}");
}

#[test]
fn nothing_is_changed_unless_all_can_be() {
    let broker = Broker::external_or_start();
    let (new, old) = (unique("apply-new"), topic(&broker, "apply-old", "3"));
    let bad = [
        (format!("[topic.{old}]\npartitions = 2\n"), "none can be taken away"),
        (format!("[topic.{old}]\nreplicas = 7\n"), "apply does not change"),
        (format!("[topic.{old}]\nconfig.retention.ms = 'soon'\n"), "INVALID_CONFIG"),
        ("[topic.'a b']\n".to_owned(), "INVALID_TOPIC_EXCEPTION"),
    ];
    for (text, reason) in bad {
        let wanted = file(&format!("[topic.{new}]\npartitions = 1\n{text}"));
        let output = run(&broker, &apply(&wanted, &["--yes"]));
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{stdout}{stderr}");
        assert!(stdout.contains("! topic ") && stdout.contains(reason), "{stdout}");
        assert!(stderr.contains(reason) && stderr.lines().count() == 1, "{stderr}");
        assert!(!printed(&broker, &["topic", "list"]).contains(&new));
    }
}

#[test]
fn a_malformed_file_is_refused_by_line_and_key() {
    let broker = Broker::external_or_start();
    let cases = [
        ("[topic.a]\npartitions = 'x'\n", ":2: topic.a.partitions"),
        ("[topic.a]\n\nparts = 1\n", ":3: unknown key topic.a.parts"),
        ("[topic.a\n", ":1: "),
    ];
    for (text, expected) in cases {
        let wanted = file(text);
        let (code, line) = refused(&broker, &apply(&wanted, &["--yes"]));
        assert_eq!(code, 2, "{line}");
        assert!(line.contains(expected), "{line}");
    }
    let two = file("[topic.a]\npartitions = 0\nreplicas = 0\n");
    let output = run(&broker, &apply(&two, &["--dry-run"]));
    assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 2);
    let binary = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(binary.path(), [0xff, 0xfe]).expect("written");
    assert_eq!(refused(&broker, &apply(&binary, &["--yes"])).0, 2);
    let gone = ["topic", "apply", "-f", "/no/such/file", "--yes"];
    assert!(refused(&broker, &gone).1.contains("/no/such/file"));
    let unasked = file("");
    let (code, line) = refused(&broker, &apply(&unasked, &[]));
    assert_eq!(code, 2);
    assert!(line.contains("--yes"), "nobody is there to be asked: {line}");
    assert_eq!(refused(&broker, &["topic", "apply", "--yes"]).0, 2);
    assert_eq!(refused(&broker, &apply(&unasked, &["--yes", "--dry-run"])).0, 2);
}

#[test]
fn every_change_can_be_told_as_json() {
    let broker = Broker::external_or_start();
    let name = unique("json");
    let run_json = |args: &[&str]| json(&printed(&broker, &[args, &["--json"]].concat()));
    let create = ["topic", "create", &name, "-p", "1", "--if-not-exists"];
    assert_eq!(run_json(&create)[0]["outcome"], "created");
    assert_eq!(run_json(&create)[0]["outcome"], "exists");
    let grown = run_json(&["topic", "add-partitions", &name, "--to", "2"]);
    assert_eq!((&grown["topic"], &grown["partitions"]), (&name.as_str().into(), &2.into()));
    let altered = run_json(&["topic", "alter", &name, "-s", "retention.ms=1", "--dry-run"]);
    assert_eq!((&altered["settings"], &altered["dry_run"]), (&1.into(), &true.into()));
    let written = feed(&broker, &["produce", &name, "-p", "0", "--json"], b"a\nb\n");
    let written: Vec<_> = written.lines().map(json).collect();
    for (offset, place) in written.iter().enumerate() {
        let place = (&place["topic"], &place["partition"], &place["offset"]);
        assert_eq!(place, (&name.as_str().into(), &0.into(), &offset.into()));
    }
    assert!(written.len() == 2 && written[0]["timestamp"].as_i64() > Some(0), "{written:?}");
    let trimmed = run_json(&["topic", "trim", &name, "-o", "end", "-p", "0"]);
    assert_eq!((&trimmed[0]["partition"], &trimmed[0]["start_offset"]), (&0.into(), &2.into()));

    let group = unique("group");
    printed(&broker, &["group", "reset", &group, "-t", &name, "--to-latest"]);
    let deleted = run_json(&["group", "offset-delete", &group, "-t", &format!("{name}:0")]);
    assert_eq!((&deleted[0]["partition"], &deleted[0]["error"]), (&0.into(), &Value::Null));
    assert_eq!(run_json(&["group", "delete", &group])[0]["outcome"], "deleted");
    let output = run(&broker, &["group", "delete", &group, "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let failed = json(&String::from_utf8_lossy(&output.stdout));
    assert!(
        failed[0]["error"].as_str().expect("an error").contains("GROUP_ID_NOT_FOUND"),
        "{failed}"
    );

    let delete = ["topic", "delete", &name, "--if-exists"];
    assert_eq!(run_json(&delete)[0]["outcome"], "deleted");
    assert_eq!(run_json(&delete)[0]["outcome"], "missing");
}

#[test]
fn groups_that_do_not_exist_are_mistakes() {
    let broker = Broker::external_or_start();
    let topic = topic(&broker, "nogroup", "1");
    let named = format!("{topic}:3");
    let cases: [(&[&str], i32, &str); 5] = [
        (&["group", "describe", "no-such-group"], 1, "no such group"),
        (&["group", "delete", "no-such-group"], 1, "GROUP_ID_NOT_FOUND"),
        (&["group", "reset", "no-such-group", "--to-earliest"], 1, "committed nothing"),
        (&["group", "reset", "g", "-t", &named, "--to-earliest"], 1, "no partition 3"),
        (&["group", "reset", "g", "-t", "t:x", "--to-latest"], 2, "'t:x'"),
    ];
    for (args, code, word) in cases {
        let (found, line) = refused(&broker, args);
        assert_eq!(found, code, "{args:?}: {line}");
        assert!(line.contains(word), "{args:?}: {line}");
    }
}

/// An address that takes connections and says nothing, and one where nobody listens.
fn silent_and_closed() -> (TcpListener, String, String) {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("it has one").to_string();
    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let gone = closed.local_addr().expect("it has one").to_string();
    (silent, address, gone)
}

#[test]
fn unreachable_brokers_are_named_within_the_time_out() {
    let broker = Broker::external_or_start();
    let (_open, silent, closed) = silent_and_closed();
    let all = format!("{silent},{closed}");
    let started = Instant::now();
    for args in
        [&["topic", "list"][..], &["group", "list"], &["cluster", "info"], &["consume", "t"]]
    {
        let (code, line) = refused(&broker, &[args, &["-b", &all, "--timeout", "0.5"]].concat());
        assert_eq!(code, 1);
        assert!(line.contains(&silent) && line.contains(&closed), "{line}");
    }
    // Four commands of half a second each; the rest is for a machine that is busy with others.
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}

fn doctor(broker: &Broker, more: &[&str]) -> (Option<i32>, Value) {
    let output = run(broker, &[&["doctor", "--json"], more].concat());
    (output.status.code(), json(&String::from_utf8_lossy(&output.stdout)))
}

fn finding<'a>(diagnosis: &'a Value, check: &str, status: &str) -> Option<&'a Value> {
    let findings = diagnosis["findings"].as_array().expect("a list");
    findings.iter().find(|found| found["check"] == check && found["status"] == status)
}

#[test]
fn the_doctor_finds_a_sound_cluster_sound() {
    let broker = Broker::external_or_start();
    let port = broker.http().rsplit_once(':').map_or("1", |(_, port)| port);
    let (code, diagnosis) = doctor(&broker, &["--http-port", port]);
    assert_eq!((code, &diagnosis["healthy"]), (Some(0), &true.into()), "{diagnosis}");
    for check in ["given", "controller", "address", "version", "partitions"] {
        assert!(finding(&diagnosis, check, "ok").is_some(), "{check}: {diagnosis}");
    }
    if broker.is_ours() {
        assert!(finding(&diagnosis, "clock", "ok").is_some(), "{diagnosis}");
        assert!(finding(&diagnosis, "state", "ok").is_some(), "{diagnosis}");
        let version = finding(&diagnosis, "version", "ok").expect("found above");
        assert_eq!(version["detail"], env!("CARGO_PKG_VERSION"));
    }
    if broker.is_ours() {
        // The broker has told the cluster which port it is.
        let (code, diagnosis) = doctor(&broker, &[]);
        assert_eq!(code, Some(0), "{diagnosis}");
        assert!(finding(&diagnosis, "clock", "ok").is_some(), "{diagnosis}");
    }
    // Without the HTTP port the clock is unknown, which is no mistake.
    let (code, diagnosis) = doctor(&broker, &["--http-port", "1"]);
    assert_eq!(code, Some(0), "{diagnosis}");
    assert!(finding(&diagnosis, "clock", "unknown").is_some(), "{diagnosis}");
}

#[test]
fn the_doctor_names_the_bad_address_and_why() {
    let (_open, silent, closed) = silent_and_closed();
    // Advertises where nobody listens: clients find the cluster and then cannot reach it.
    let broker = Broker::start_with(&["--advertise", &closed]);
    let (code, diagnosis) = doctor(&broker, &[]);
    assert_eq!((code, &diagnosis["healthy"]), (Some(1), &false.into()));
    let found = finding(&diagnosis, "address", "problem").expect("it is found");
    let detail = found["detail"].as_str().expect("text");
    assert!(detail.contains(&closed) && detail.contains("refused"), "{detail}");

    let given = format!("{},{silent},{closed}", broker.kafka());
    let (_, diagnosis) = doctor(&broker, &["-b", &given, "--timeout", "1"]);
    let findings = diagnosis["findings"].as_array().expect("a list");
    let of = |address: &str| findings.iter().find(|found| found["subject"] == address);
    assert_eq!(of(broker.kafka()).expect("told")["status"], "ok");
    for address in [&silent, &closed] {
        assert_eq!(of(address).expect("told")["status"], "problem", "{diagnosis}");
    }

    // Two brokers that are strangers: the one advertises the other.
    let other = Broker::start();
    let lost = Broker::start_with(&["--advertise", other.kafka()]);
    let (code, diagnosis) = doctor(&lost, &[]);
    assert_eq!(code, Some(1), "{diagnosis}");
    let found = finding(&diagnosis, "address", "problem").expect("it is found");
    assert!(found["detail"].as_str().expect("text").contains("another cluster"), "{found}");
    let both = format!("{},{}", broker.kafka(), other.kafka());
    let (_, diagnosis) = doctor(&broker, &["-b", &both]);
    let found = finding(&diagnosis, "given", "problem").expect("it is found");
    assert_eq!(found["subject"], other.kafka(), "{found}");
}

/// A process that ends with the test.
struct Stray(Child);

impl Drop for Stray {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Status and detail of every finding of one check, by broker.
fn by_broker(diagnosis: &Value, check: &str) -> Vec<(String, String, String)> {
    let text = |found: &Value, key: &str| found[key].as_str().expect("text").to_owned();
    let findings = diagnosis["findings"].as_array().expect("a list").iter();
    let mut of_check: Vec<_> = findings
        .filter(|found| found["check"] == check)
        .map(|found| (text(found, "subject"), text(found, "status"), text(found, "detail")))
        .collect();
    of_check.sort();
    of_check
}

/// One of three brokers advertises an address where nobody listens, then it is killed.
#[test]
fn the_doctor_and_health_find_the_one_broker_of_a_cluster_that_is_not_well() {
    let (mut brokers, _directory) = start_three(&[], PATIENCE);
    let bootstrap = brokers.bootstrap().join(",");
    let look = |command: &[&str]| {
        let mut process = Command::new(env!("CARGO_BIN_EXE_synod"));
        let more = ["--json", "-b", &bootstrap, "--timeout", "5"];
        let output = process.args(command).args(more).output().expect("it runs");
        (output.status.code(), json(&String::from_utf8_lossy(&output.stdout)))
    };
    let deadline = Instant::now() + PATIENCE;
    let until = |command: &[&str], is_so: &dyn Fn(&Value) -> bool| loop {
        let (code, seen) = look(command);
        if is_so(&seen) {
            return (code, seen);
        }
        assert!(Instant::now() < deadline, "{command:?}: {seen:#}");
    };
    let (code, diagnosis) = until(&["doctor"], &|seen| seen["healthy"] == true);
    assert_eq!(code, Some(0), "{diagnosis:#}");
    for check in ["address", "state", "clock", "disk"] {
        let found = by_broker(&diagnosis, check);
        let subjects: Vec<_> = found.iter().map(|(subject, ..)| subject.as_str()).collect();
        assert_eq!(subjects, ["broker 1", "broker 2", "broker 3"], "{check}: {diagnosis:#}");
    }

    let (_open, _silent, closed) = silent_and_closed();
    brokers.kill(2);
    let mut command = brokers.command(2);
    command.args(["--advertise", &closed]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut stray = Stray(command.spawn().expect("it starts"));
    let (code, diagnosis) = until(&["doctor"], &|seen| {
        by_broker(seen, "address").iter().any(|(_, _, detail)| detail.contains(&closed))
    });
    assert_eq!(code, Some(1), "{diagnosis:#}");
    let found = by_broker(&diagnosis, "address");
    let statuses: Vec<_> = found.iter().map(|(_, status, _)| status.as_str()).collect();
    assert_eq!(statuses, ["ok", "problem", "ok"], "{diagnosis:#}");
    assert!(found[1].2.contains("refused"), "{diagnosis:#}");
    let (code, health) = look(&["cluster", "health"]);
    let problems = health["problems"].to_string();
    assert_eq!(code, Some(1), "{health:#}");
    assert!(problems.contains("broker 2") && problems.contains(&closed), "{health:#}");

    stray.0.kill().expect("it can be killed");
    stray.0.wait().expect("it ends");
    let is_lost = |seen: &Value| {
        let states = by_broker(seen, "state");
        states.iter().any(|(who, status, _)| who == "broker 2" && status == "problem")
    };
    assert_eq!(until(&["doctor"], &is_lost).0, Some(1));
    let (code, health) = look(&["cluster", "health"]);
    assert_eq!(code, Some(1));
    assert!(health["problems"].to_string().contains("broker 2: the controller hears nothing"));
}

#[test]
fn the_doctor_reaches_nobody_and_says_whom() {
    let broker = Broker::external_or_start();
    let (_open, silent, closed) = silent_and_closed();
    let output = run(&broker, &["doctor", "-b", &format!("{silent},{closed}"), "--timeout", "0.3"]);
    assert_eq!(output.status.code(), Some(1));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(stdout.matches("PROBLEM").count(), 2, "{stdout}");
    assert!(stdout.contains(&silent) && stdout.contains(&closed), "{stdout}");
    assert_eq!(refused(&broker, &["doctor", "-b", "host:port"]).0, 2);
}

#[test]
fn colours_and_bars_stay_out_of_pipes() {
    let broker = Broker::external_or_start();
    for args in [&["topic", "list"][..], &["doctor", "--help"], &["cluster", "health"]] {
        let mut child = command(&broker, args);
        let output = child.env("NO_COLOR", "1").stdin(Stdio::null()).output().expect("it runs");
        let all = [output.stdout, output.stderr].concat();
        assert!(!all.contains(&0x1b), "{args:?}");
    }
}
