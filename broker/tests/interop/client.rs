//! Runs a client's driver: jobs in, results out, as JSON.

use std::io::{Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::install;

/// Bound on one run of a driver. It catches a client that waits for ever, nothing else.
const RUN_TIMEOUT: Duration = Duration::from_secs(240);

/// The client libraries under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Confluent,
    KafkaPython3,
    KafkaPython2,
    Aiokafka,
    Kafkajs,
    Java,
    FranzGo,
}

impl Client {
    pub(crate) const ALL: [Client; 7] = [
        Client::Confluent,
        Client::KafkaPython3,
        Client::KafkaPython2,
        Client::Aiokafka,
        Client::Kafkajs,
        Client::Java,
        Client::FranzGo,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Client::Confluent => "confluent-kafka",
            Client::KafkaPython3 => "kafka-python-3",
            Client::KafkaPython2 => "kafka-python-2",
            Client::Aiokafka => "aiokafka",
            Client::Kafkajs => "kafkajs",
            Client::Java => "java",
            Client::FranzGo => "franz-go",
        }
    }

    /// The codecs that the client can write with what is installed.
    pub(crate) fn codecs(self) -> &'static [&'static str] {
        match self {
            // Its other codecs are native modules that would have to be compiled.
            Client::Kafkajs => &["none", "gzip", "snappy"],
            _ => &["none", "gzip", "snappy", "lz4", "zstd"],
        }
    }

    pub(crate) fn can_be_idempotent(self) -> bool {
        self != Client::KafkaPython2
    }

    /// kafkajs consumers always join a group.
    pub(crate) fn can_assign(self) -> bool {
        self != Client::Kafkajs
    }

    /// Whether the client can write a header without a value.
    pub(crate) fn has_null_headers(self) -> bool {
        matches!(self, Client::Confluent | Client::Java)
    }

    /// Does jobs against the broker; all must work. Returns a result for each.
    pub(crate) fn run(self, bootstrap: &str, jobs: &[Value]) -> Vec<Value> {
        let input = json!({ "bootstrap": bootstrap, "jobs": jobs }).to_string();
        let output = run(self.command(), input.as_bytes());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {}\n{errors}", self.name(), output.status);
        let results: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            let text = String::from_utf8_lossy(&output.stdout);
            panic!("{}: {error}\n{text}\n{errors}", self.name())
        });
        assert_eq!(results.len(), jobs.len(), "{}: results", self.name());
        results
    }

    /// Starts jobs and leaves them to themselves; nobody reads what becomes of them.
    pub(crate) fn start(self, bootstrap: &str, jobs: &[Value]) -> Child {
        let input = json!({ "bootstrap": bootstrap, "jobs": jobs }).to_string();
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut stdin = child.stdin.take().expect("a pipe to the client");
        stdin.write_all(input.as_bytes()).expect("the client reads");
        child
    }

    fn command(self) -> Command {
        let drivers = install::drivers();
        let python = |driver: &str, requirements: &str| {
            let mut command = Command::new("python3");
            command
                .arg(drivers.join("python").join(driver))
                .env("PYTHONPATH", install::python(requirements))
                .env("PYTHONDONTWRITEBYTECODE", "1");
            command
        };
        match self {
            Client::Confluent => python("confluent.py", "confluent-kafka.txt"),
            Client::KafkaPython3 => python("kafkapython.py", "kafka-python.txt"),
            Client::KafkaPython2 => python("kafkapython.py", "kafka-python-2.txt"),
            Client::Aiokafka => python("aio.py", "aiokafka.txt"),
            Client::Kafkajs => {
                let mut command = Command::new("node");
                command
                    .arg(drivers.join("node/kafkajs.js"))
                    .env("NODE_PATH", install::node().join("node_modules"))
                    .env("KAFKAJS_NO_PARTITIONER_WARNING", "1");
                command
            }
            Client::Java => {
                let mut command = Command::new("java");
                command
                    .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
                    .arg("-Dlog4j2.level=ERROR")
                    .args(["-cp", &install::java()])
                    .arg(drivers.join("java/Driver.java"));
                command
            }
            Client::FranzGo => Command::new(install::go()),
        }
    }
}

/// Runs a command to its end with the given input; one that takes too long is killed.
pub(crate) fn run(mut command: Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().expect("a pipe to the client");
    let input = input.to_vec();
    // A client that ends early need not have read everything.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let stdout = collect(child.stdout.take().expect("a pipe from the client"));
    let stderr = collect(child.stderr.take().expect("a pipe from the client"));
    let deadline = Instant::now() + RUN_TIMEOUT;
    let status = loop {
        if let Some(status) = child.try_wait().expect("the client can be waited for") {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().expect("the client can be killed");
            child.wait().expect("the client can be waited for");
            let stderr = stderr.join().unwrap_or_default();
            let text = String::from_utf8_lossy(&stderr);
            panic!("{command:?} did not end within {RUN_TIMEOUT:?}\n{text}");
        }
        thread::sleep(Duration::from_millis(5));
    };
    writer.join().expect("the writing thread");
    let stdout = stdout.join().expect("the reading thread");
    let stderr = stderr.join().expect("the reading thread");
    Output { status, stdout, stderr }
}

fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}
