//! The `synod` binary's client commands, run against a broker.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use serde_json::Value;

use super::broker::Broker;

/// The binary, with no setting from the environment it runs in.
pub(crate) fn command(broker: &Broker, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SYNOD_") {
            command.env_remove(name);
        }
    }
    command.env("SYNOD_BROKERS", broker.kafka()).args(args);
    command
}

pub(crate) fn run(broker: &Broker, args: &[&str]) -> Output {
    command(broker, args).stdin(Stdio::null()).output().expect("the binary runs")
}

/// Standard output of a command that must succeed in silence on standard error.
pub(crate) fn printed(broker: &Broker, args: &[&str]) -> String {
    let output = run(broker, args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), &*stderr), (Some(0), ""), "{args:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Exit code and the one line of a command that must fail without output.
pub(crate) fn refused(broker: &Broker, args: &[&str]) -> (i32, String) {
    let output = run(broker, args);
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert_eq!(stderr.lines().count(), 1, "{args:?}: {stderr}");
    assert!(stderr.starts_with("synod: "), "{args:?}: {stderr}");
    assert!(output.stdout.is_empty(), "{args:?}");
    (output.status.code().expect("it exits"), stderr)
}

/// Standard output of a command that must succeed with this input.
pub(crate) fn feed(broker: &Broker, args: &[&str], input: &[u8]) -> String {
    let mut command = command(broker, args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it runs");
    child.stdin.take().expect("a pipe").write_all(input).expect("the command reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// A name that no other test uses, also not in an earlier run against the same broker.
pub(crate) fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock").as_micros();
    format!("{name}-{now}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A name of a topic that exists.
pub(crate) fn topic(broker: &Broker, name: &str, partitions: &str) -> String {
    let topic = unique(name);
    printed(broker, &["topic", "create", &topic, "-p", partitions]);
    topic
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}
