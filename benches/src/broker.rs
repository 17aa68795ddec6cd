//! A broker that a measurement starts, stops and kills.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use synod_client::{ClientConfig, Cluster};

use crate::error::BenchError;

/// A broker of the same binary as this one, on free ports.
#[derive(Debug)]
pub(crate) struct Broker {
    child: Child,
    kafka: String,
}

impl Broker {
    /// Returns when its ready line has come.
    pub(crate) fn start(data_dir: &Path) -> Result<Self, BenchError> {
        let broken = |reason: &str| BenchError::Process(format!("the broker: {reason}"));
        let binary = std::env::current_exe().map_err(BenchError::io("cannot find this binary"))?;
        let mut command = Command::new(binary);
        command.arg("serve").arg("--data-dir").arg(data_dir);
        for listener in ["--listen", "--peer-listen", "--http-listen"] {
            command.args([listener, "127.0.0.1:0"]);
        }
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SYNOD_") {
                command.env_remove(name);
            }
        }
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let child = command.spawn().map_err(BenchError::io("cannot start a broker"))?;
        // From here on it ends with this value, however this goes on.
        let mut broker = Self { child, kafka: String::new() };
        let stdout = broker.child.stdout.take().ok_or_else(|| broken("no pipe"))?;
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        read.map_err(BenchError::io("cannot read the broker's ready line"))?;
        let address = line.split_whitespace().find_map(|field| field.strip_prefix("kafka="));
        broker.kafka = address.ok_or_else(|| broken("it did not become ready"))?.to_owned();
        Ok(broker)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How clients reach it.
    pub(crate) fn client(&self) -> ClientConfig {
        ClientConfig::new([self.kafka.clone()]).client_id("synod-bench")
    }

    pub(crate) async fn connect(&self) -> Result<Cluster, BenchError> {
        Ok(Cluster::connect(self.client()).await?)
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// It ended in another way.
    pub(crate) fn stop(&mut self) -> Result<(), BenchError> {
        let ended = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let ended = ended.map_err(io::Error::from).and_then(|()| self.child.wait());
        match ended.map_err(BenchError::io("cannot stop the broker"))? {
            status if status.success() => Ok(()),
            status => Err(BenchError::Process(format!("the broker: {status}"))),
        }
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}
