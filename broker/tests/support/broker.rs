//! A `synod serve` process under test: started on free ports, always stopped.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a broker may take to become ready, or to refuse to start, before the test fails.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a broker may take to stop after SIGTERM before the test fails. The promise is 5 s;
/// the rest is for a machine that is busy with other tests.
pub(crate) const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// Names a broker that is already running, for example the oracle, as the target of the tests.
const EXTERNAL: &str = "SYNOD_INTEROP_BROKERS";

/// A running broker: one that this test started, or the one that the environment names.
#[derive(Debug)]
pub(crate) struct Broker {
    process: Option<Process>,
    addresses: Addresses,
    data_dir: PathBuf,
    args: Vec<String>,
    /// Holds the data directory when the test did not bring one.
    _temporary: Option<TempDir>,
}

/// The addresses in the broker's ready line, each `host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) kafka: String,
    pub(crate) peer: String,
    pub(crate) http: String,
}

/// How a broker ended that did not become ready.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: ExitStatus,
    pub(crate) stderr: String,
}

#[derive(Debug)]
struct Process {
    child: Child,
    stderr: PathBuf,
}

impl Broker {
    /// Starts a broker on an empty temporary directory.
    pub(crate) fn start() -> Broker {
        Broker::start_with(&[])
    }

    /// As [`Broker::start`], with more arguments for `synod serve`.
    pub(crate) fn start_with(args: &[&str]) -> Broker {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        let mut broker = Broker::start_in_with(&temporary.path().join("data"), args);
        broker._temporary = Some(temporary);
        broker
    }

    /// Starts a broker on the given data directory.
    pub(crate) fn start_in(data_dir: &Path) -> Broker {
        Broker::start_in_with(data_dir, &[])
    }

    pub(crate) fn start_in_with(data_dir: &Path, args: &[&str]) -> Broker {
        match Broker::try_start(data_dir, args) {
            Ok(broker) => broker,
            Err(refusal) => panic!("synod did not start: {}\n{}", refusal.status, refusal.stderr),
        }
    }

    /// The broker named by `SYNOD_INTEROP_BROKERS`, or one started for this test.
    pub(crate) fn external_or_start() -> Broker {
        Broker::external_or_start_with(&[])
    }

    /// As [`Broker::external_or_start`]; one that is started gets these arguments.
    pub(crate) fn external_or_start_with(args: &[&str]) -> Broker {
        match env::var(EXTERNAL) {
            Ok(kafka) => Broker {
                process: None,
                addresses: Addresses { kafka, peer: String::new(), http: String::new() },
                data_dir: PathBuf::new(),
                args: Vec::new(),
                _temporary: None,
            },
            Err(_) => Broker::start_with(args),
        }
    }

    /// Starts a broker that may refuse to start.
    pub(crate) fn try_start(data_dir: &Path, args: &[&str]) -> Result<Broker, Refusal> {
        let args: Vec<String> = args.iter().map(|arg| String::from(*arg)).collect();
        let (process, addresses) = Process::start(data_dir, &args)?;
        Ok(Broker {
            process: Some(process),
            addresses,
            data_dir: data_dir.to_owned(),
            args,
            _temporary: None,
        })
    }

    /// Kafka bootstrap address, `host:port`.
    pub(crate) fn kafka(&self) -> &str {
        &self.addresses.kafka
    }

    pub(crate) fn http(&self) -> &str {
        &self.addresses.http
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// True for a broker that this test started, and so may kill and measure.
    pub(crate) fn is_ours(&self) -> bool {
        self.process.is_some()
    }

    /// Ends the process as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.child.kill().expect("the broker can be killed");
            process.child.wait().expect("the broker can be waited for");
        }
    }

    /// Sends SIGTERM and waits for the end. Returns the exit status, the time it took and what
    /// the broker wrote to standard error.
    pub(crate) fn terminate(&mut self) -> (ExitStatus, Duration, String) {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for an end that is already under way, as [`Broker::terminate`] does.
    pub(crate) fn wait(&mut self) -> (ExitStatus, Duration, String) {
        let started = Instant::now();
        let mut process = self.process.take().expect("a running broker");
        let status = process.wait(STOP_TIMEOUT);
        (status, started.elapsed(), process.stderr())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.process().pid(), signal).expect("the broker can be signalled");
    }

    /// Starts the broker again on the same directory with the same arguments, on new ports.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let started = Process::start(&self.data_dir, &self.args);
        let (process, addresses) = started.unwrap_or_else(|refusal| {
            panic!("synod did not restart: {}\n{}", refusal.status, refusal.stderr)
        });
        self.process = Some(process);
        self.addresses = addresses;
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.process().child.id()
    }

    /// Starts the broker on the same directory and kills it after this time, ready or not. How far
    /// it came does not matter.
    pub(crate) fn start_and_kill(&mut self, after: Duration) {
        self.kill();
        let log = tempfile::NamedTempFile::new().expect("a log file");
        let (stderr, path) = log.keep().expect("a log file that stays");
        let mut process = Process::spawn(&self.data_dir, &self.args, stderr, path);
        thread::sleep(after);
        process.child.kill().expect("the broker can be killed");
        process.child.wait().expect("the broker can be waited for");
    }

    /// True while the process has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        match &mut self.process {
            Some(process) => matches!(process.child.try_wait(), Ok(None)),
            None => true,
        }
    }

    /// The most resident memory the process ever had, in bytes, as the kernel counts it.
    pub(crate) fn peak_resident_size(&self) -> u64 {
        let status = format!("/proc/{}/status", self.process().child.id());
        let status = fs::read_to_string(status).expect("the broker's process status");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a VmHWM line");
        let kib: u64 = line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a size");
        kib * 1024
    }

    /// What the broker wrote to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.process().stderr()
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("a broker that this test started")
    }
}

impl Process {
    fn start(data_dir: &Path, args: &[String]) -> Result<(Process, Addresses), Refusal> {
        let log = tempfile::Builder::new().prefix("synod-stderr-").tempfile().expect("a log file");
        let (stderr, path) = log.keep().expect("a log file that stays");
        let mut process = Process::spawn(data_dir, args, stderr, path);
        let stdout = process.child.stdout.take().expect("a pipe from the broker");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        match lines.recv_timeout(START_TIMEOUT) {
            Ok(line) => match Addresses::parse(&line) {
                Some(addresses) => {
                    // Whatever the broker may still print is read and dropped, so that it never
                    // blocks on a full pipe.
                    thread::spawn(move || while lines.recv().is_ok() {});
                    Ok((process, addresses))
                }
                None => panic!("not a ready line: {line:?}\n{}", process.stderr()),
            },
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                let status = process.wait(STOP_TIMEOUT);
                Err(Refusal { status, stderr: process.stderr() })
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                panic!("synod was not ready after {START_TIMEOUT:?}\n{}", process.stderr())
            }
        }
    }

    fn spawn(data_dir: &Path, args: &[String], stderr: File, path: PathBuf) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
        command.arg("serve").arg("--data-dir").arg(data_dir).args(args);
        for listener in ["--listen", "--peer-listen", "--http-listen"] {
            if !args.iter().any(|arg| arg == listener) {
                command.args([listener, "127.0.0.1:0"]);
            }
        }
        // Settings of the tests and of whoever runs them are not settings of this broker.
        for (name, _) in env::vars_os().filter(|(name, _)| is_setting(name)) {
            command.env_remove(name);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("the synod binary can be started");
        Process { child, stderr: path }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.stderr).unwrap_or_default()).into_owned()
    }

    /// Waits for the end, at most `timeout`; a process that outlives it is killed and the test
    /// fails.
    fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait().expect("the broker can be waited for") {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "still running after {timeout:?}\n{}",
                self.stderr()
            );
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn is_setting(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with("SYNOD_")
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let text = self.stderr();
            let tail: Vec<&str> = text.lines().rev().take(40).collect();
            eprintln!("--- the broker's last words:");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
        let _ = fs::remove_file(&self.stderr);
    }
}

impl Addresses {
    /// Reads `synod ready node=1 kafka=H:P peer=H:P http=H:P`.
    fn parse(line: &str) -> Option<Addresses> {
        let fields = line.strip_prefix("synod ready ")?;
        let field = |name: &str| {
            let mut values = fields.split(' ').filter_map(|field| field.split_once('='));
            values.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
        };
        field("node")?.parse::<u32>().ok()?;
        Some(Addresses { kafka: field("kafka")?, peer: field("peer")?, http: field("http")? })
    }
}
