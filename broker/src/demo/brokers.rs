//! Brokers as child processes: a cluster on loopback that is killed, paused and restarted.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::links::Links;
use super::port::Port;

/// The pause between two looks at a process that is ending.
const EXIT_PAUSE: Duration = Duration::from_millis(2);

/// Lines of a broker's output that are kept until someone asks; there is one.
const LINES: usize = 16;

/// Lines of a broker's log that go with an error.
const LOG_TAIL_LINES: usize = 30;

/// What the cluster is made of.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The `synod` binary.
    pub binary: PathBuf,
    /// Where data directories and logs go; one of each per broker.
    pub directory: PathBuf,
    /// How many brokers, numbered from 1.
    pub broker_count: u32,
    /// More arguments for `synod serve`.
    pub args: Vec<OsString>,
}

/// Why a broker is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The operating system refuses something.
    #[error("broker {node}: {source}")]
    Io {
        /// Which broker.
        node: u32,
        /// What the operating system says.
        source: io::Error,
    },
    /// It ended instead of becoming ready.
    #[error("broker {node} ended with {status}:\n{log}")]
    Ended {
        /// Which broker.
        node: u32,
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// It is not ready in time.
    #[error("broker {node} was not ready after {} s:\n{log}", .after.as_secs())]
    Late {
        /// Which broker.
        node: u32,
        /// How long was waited.
        after: Duration,
        /// The end of its log.
        log: String,
    },
}

/// A cluster of child processes. All of them are killed when it is dropped.
#[derive(Debug)]
pub struct Brokers {
    setup: Setup,
    links: Links,
    members: BTreeMap<u32, Member>,
}

#[derive(Debug)]
struct Member {
    kafka: Port,
    peer: Port,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
    /// Its HTTP address, once it was ready.
    http: Option<String>,
}

impl Brokers {
    /// Reserves ports and starts the links; no broker runs yet.
    ///
    /// # Errors
    /// When there are no free ports or the directory cannot be made.
    pub fn prepare(setup: Setup) -> io::Result<Brokers> {
        fs::create_dir_all(&setup.directory)?;
        let links = Links::start(1..=setup.broker_count)?;
        let mut members = BTreeMap::new();
        for node in 1..=setup.broker_count {
            let member = Member { kafka: Port::reserve()?, peer: Port::reserve()?, running: None };
            links.lead_to(node, member.peer.address());
            members.insert(node, member);
        }
        Ok(Brokers { setup, links, members })
    }

    /// Starts every broker that does not run, and waits until all are ready.
    ///
    /// # Errors
    /// As [`Brokers::start`] and [`Brokers::wait_ready`].
    pub fn start_all(&mut self, timeout: Duration) -> Result<(), BrokerError> {
        let nodes: Vec<u32> = self.nodes().collect();
        for node in &nodes {
            self.start(*node)?;
        }
        let deadline = Instant::now() + timeout;
        nodes.iter().try_for_each(|node| self.wait_ready_until(*node, deadline, timeout))
    }

    /// The numbers of all brokers, running or not.
    pub fn nodes(&self) -> impl Iterator<Item = u32> + use<> {
        1..=self.setup.broker_count
    }

    /// The network between them.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// Where clients reach a broker; stays the same over its restarts.
    pub fn kafka(&self, node: u32) -> SocketAddr {
        self.members[&node].kafka.address()
    }

    /// Where clients reach the cluster.
    pub fn bootstrap(&self) -> Vec<String> {
        self.nodes().map(|node| self.kafka(node).to_string()).collect()
    }

    /// Where a broker that is ready serves HTTP.
    pub fn http(&self, node: u32) -> Option<&str> {
        self.members[&node].running.as_ref()?.http.as_deref()
    }

    /// A broker's data directory.
    pub fn data_dir(&self, node: u32) -> PathBuf {
        self.setup.directory.join(format!("broker-{node}"))
    }

    /// The file of everything a broker wrote to standard error, in all its lives.
    pub fn log(&self, node: u32) -> PathBuf {
        self.setup.directory.join(format!("broker-{node}.log"))
    }

    /// The last lines of a broker's log.
    pub fn log_tail(&self, node: u32) -> String {
        tail(&self.log(node))
    }

    /// The cluster as every broker is told it: the addresses are those of the links.
    pub fn list(&self) -> String {
        let voter = |node| format!("{node}@{}", self.links.address(node));
        self.nodes().map(voter).collect::<Vec<_>>().join(",")
    }

    /// The command that starts a broker.
    pub fn command(&self, node: u32) -> Command {
        let member = &self.members[&node];
        let mut command = Command::new(&self.setup.binary);
        command.arg("serve").arg("--node-id").arg(node.to_string());
        command.arg("--data-dir").arg(self.data_dir(node));
        command.arg("--listen").arg(member.kafka.address().to_string());
        command.arg("--peer-listen").arg(member.peer.address().to_string());
        command.args(["--http-listen", "127.0.0.1:0", "--cluster"]).arg(self.list());
        command.args(&self.setup.args);
        // Settings of whoever runs this are not settings of these brokers.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SYNOD_") {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    /// Starts a broker, unless it runs; it need not be ready when this returns.
    ///
    /// # Errors
    /// When the process or its log cannot be made.
    pub fn start(&mut self, node: u32) -> Result<(), BrokerError> {
        if self.is_running(node) {
            return Ok(());
        }
        let failed = |source| BrokerError::Io { node, source };
        let log = OpenOptions::new().create(true).append(true).open(self.log(node));
        let log: File = log.map_err(failed)?;
        let mut child = self.command(node).stderr(log).spawn().map_err(failed)?;
        let lines = match child.stdout.take() {
            Some(stdout) => follow(stdout),
            None => mpsc::sync_channel(LINES).1,
        };
        self.member(node).running = Some(Running { child, lines, http: None });
        Ok(())
    }

    /// Waits until a broker that was started is ready.
    ///
    /// # Errors
    /// When it ends before, or takes too long.
    pub fn wait_ready(&mut self, node: u32, timeout: Duration) -> Result<(), BrokerError> {
        self.wait_ready_until(node, Instant::now() + timeout, timeout)
    }

    /// Whether a broker that was started is ready; does not wait.
    ///
    /// # Errors
    /// When it ended before.
    pub fn is_ready(&mut self, node: u32) -> Result<bool, BrokerError> {
        match self.wait_ready_until(node, Instant::now(), Duration::ZERO) {
            Ok(()) => Ok(true),
            Err(BrokerError::Late { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn wait_ready_until(
        &mut self,
        node: u32,
        deadline: Instant,
        after: Duration,
    ) -> Result<(), BrokerError> {
        let log = self.log(node);
        let member = self.member(node);
        let Some(running) = &mut member.running else {
            let source = io::Error::other("it was not started");
            return Err(BrokerError::Io { node, source });
        };
        while running.http.is_none() {
            let rest = deadline.saturating_duration_since(Instant::now());
            match running.lines.recv_timeout(rest) {
                Ok(line) => running.http = http_of(&line),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(BrokerError::Late { node, after, log: tail(&log) });
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = running.child.wait();
                    let status = status.map_err(|source| BrokerError::Io { node, source })?;
                    member.running = None;
                    return Err(BrokerError::Ended { node, status, log: tail(&log) });
                }
            }
        }
        Ok(())
    }

    /// Whether a broker's process lives, paused or not.
    pub fn is_running(&mut self, node: u32) -> bool {
        let member = self.member(node);
        match &mut member.running {
            Some(running) => matches!(running.child.try_wait(), Ok(None)),
            None => false,
        }
    }

    /// Ends a broker as `kill -9` does, paused or not; returns when it is gone.
    pub fn kill(&mut self, node: u32) {
        self.kill_many([node]);
    }

    /// Ends all brokers in the same moment.
    pub fn kill_all(&mut self) {
        self.kill_many(1..=self.setup.broker_count);
    }

    /// Ends several brokers in the same moment.
    pub fn kill_many(&mut self, nodes: impl IntoIterator<Item = u32>) {
        let mut gone = Vec::new();
        for node in nodes {
            if let Some(mut running) = self.member(node).running.take() {
                // It can only fail for a process that has ended.
                let _ = running.child.kill();
                gone.push(running);
            }
        }
        for mut running in gone {
            let _ = running.child.wait();
        }
    }

    /// Asks a broker to stop and waits for it; `None` if it did not within `timeout`, and was
    /// killed.
    pub fn stop(&mut self, node: u32, timeout: Duration) -> Option<ExitStatus> {
        self.signal(node, Signal::TERM);
        let mut running = self.member(node).running.take()?;
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = running.child.try_wait() {
                return Some(status);
            }
            thread::sleep(EXIT_PAUSE);
        }
        let _ = (running.child.kill(), running.child.wait());
        None
    }

    /// Stops a broker's process in its tracks, with everything it holds.
    pub fn pause(&self, node: u32) {
        self.signal(node, Signal::STOP);
    }

    /// Lets a paused broker go on.
    pub fn resume(&self, node: u32) {
        self.signal(node, Signal::CONT);
    }

    fn signal(&self, node: u32, signal: Signal) {
        if let Some(running) = &self.members[&node].running {
            // It can only fail for a process that has ended.
            let _ = kill_process(Pid::from_child(&running.child), signal);
        }
    }

    fn member(&mut self, node: u32) -> &mut Member {
        match self.members.get_mut(&node) {
            Some(member) => member,
            None => panic!("there is no broker {node}"),
        }
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// Reads a child's output for as long as there is any, so that it never blocks on a full pipe.
fn follow(stdout: ChildStdout) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::sync_channel(LINES);
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // Nobody may be interested in more lines; reading goes on.
            let _ = sender.try_send(line);
        }
    });
    lines
}

/// The HTTP address in `synod ready node=1 kafka=H:P peer=H:P http=H:P`.
fn http_of(line: &str) -> Option<String> {
    let fields = line.strip_prefix("synod ready ")?;
    let mut values = fields.split(' ').filter_map(|field| field.split_once('='));
    values.find(|(name, _)| *name == "http").map(|(_, value)| value.to_owned())
}

fn tail(log: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_lines() {
        let line = "synod ready node=1 kafka=127.0.0.1:1 peer=127.0.0.1:2 http=127.0.0.1:3";
        assert_eq!(http_of(line).as_deref(), Some("127.0.0.1:3"));
        for other in ["", "synod ready ", "hello http=a:1", "synod ready node=1"] {
            assert_eq!(http_of(other), None, "{other:?}");
        }
    }

    #[test]
    fn every_broker_is_told_the_same_list_and_its_own_address() {
        let directory = tempfile::tempdir().expect("a directory");
        let brokers = Brokers::prepare(Setup {
            binary: "synod".into(),
            directory: directory.path().into(),
            broker_count: 3,
            args: vec!["--shards".into(), "1".into()],
        })
        .expect("free ports");
        let args = |node| {
            let command = brokers.command(node);
            command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        let value = |node, flag: &str| {
            let args = args(node);
            let at = args.iter().position(|arg| arg == flag).expect("the flag");
            args[at + 1].clone()
        };
        for node in 1..=3 {
            assert_eq!(value(node, "--node-id"), node.to_string());
            assert_eq!(value(node, "--cluster"), brokers.list());
            assert_eq!(value(node, "--listen"), brokers.kafka(node).to_string());
            assert_eq!(value(node, "--shards"), "1");
        }
        assert_ne!(value(1, "--data-dir"), value(2, "--data-dir"));
        assert!(brokers.list().parse::<crate::config::Cluster>().is_ok(), "{}", brokers.list());
    }
}
