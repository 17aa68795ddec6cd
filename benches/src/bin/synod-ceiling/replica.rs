//! A process that writes and syncs what its connection brings, and passes it on.
//!
//! The stream has no form: an answer tells how many bytes of it are safe. Whatever has arrived when
//! the process looks is written and synced at once, as every group commit does.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use clap::Args;

use crate::majority::Majority;
use crate::space::{Space, ZeroFilled};

/// Most bytes that are written and synced at once.
const BUFFER_SIZE: usize = 4 << 20;

#[derive(Debug, Args)]
pub(crate) struct ReplicaArgs {
    #[arg(long)]
    file: PathBuf,
    #[arg(long)]
    size: u64,
    /// Those who get everything, too, and answer
    #[arg(long, value_delimiter = ',')]
    follower: Vec<SocketAddr>,
}

/// Serves one connection to its end. Prints its port first.
pub(crate) fn run(args: &ReplicaArgs) -> io::Result<()> {
    match serve(args) {
        // The other side leaves when it has seen enough, with answers still on their way.
        Err(error) if is_hang_up(&error) => Ok(()),
        result => result,
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn serve(args: &ReplicaArgs) -> io::Result<()> {
    let mut file = ZeroFilled::open(&args.file, args.size)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    io::stdout().flush()?;
    let (mut upstream, _) = listener.accept()?;
    upstream.set_nodelay(true)?;
    let answers = Answers {
        majority: Majority::new(args.follower.len() + 1),
        upstream: upstream.try_clone()?,
    };
    let answers = Arc::new(Mutex::new(answers));
    let mut followers = Vec::new();
    for (index, address) in args.follower.iter().enumerate() {
        let follower = TcpStream::connect(address)?;
        follower.set_nodelay(true)?;
        let (reading, answers) = (follower.try_clone()?, answers.clone());
        thread::spawn(move || listen(reading, index + 1, &answers));
        followers.push(follower);
    }
    let mut buffer = vec![0; BUFFER_SIZE];
    let mut end = 0;
    loop {
        let size = upstream.read(&mut buffer)?;
        if size == 0 {
            return Ok(());
        }
        for follower in &mut followers {
            follower.write_all(&buffer[..size])?;
        }
        file.write(&buffer[..size])?;
        end += size as u64;
        handle_synced(&answers, 0, end)?;
    }
}

/// Where answers come together.
struct Answers {
    majority: Majority,
    upstream: TcpStream,
}

fn handle_synced(answers: &Mutex<Answers>, process: usize, end: u64) -> io::Result<()> {
    // A thread that panicked ends the measurement anyhow.
    let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
    match answers.majority.handle_synced(process, end) {
        Some(safe) => answers.upstream.write_all(&safe.to_le_bytes()),
        None => Ok(()),
    }
}

/// Takes the answers of a follower until it or the client has gone.
fn listen(mut follower: TcpStream, process: usize, answers: &Mutex<Answers>) {
    let mut end = [0; 8];
    while follower.read_exact(&mut end).is_ok() {
        if handle_synced(answers, process, u64::from_le_bytes(end)).is_err() {
            return;
        }
    }
}

/// Replica processes: one that clients talk to, and its followers.
#[derive(Debug)]
pub(crate) struct Processes {
    children: Vec<Child>,
    address: SocketAddr,
}

impl Processes {
    /// Starts `count` of them.
    ///
    /// # Errors
    /// When one cannot be started or does not get ready.
    pub(crate) fn start(space: &Space, count: u32, file_size: u64) -> io::Result<Self> {
        let mut addresses = Vec::new();
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut processes = Self { children: Vec::new(), address: unknown };
        for index in (0..count).rev() {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("replica").arg("--file").arg(space.file(index));
            command.arg("--size").arg(file_size.to_string());
            if index == 0 {
                for address in &addresses {
                    command.arg("--follower").arg(address);
                }
            }
            let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
            let stdout = child.stdout.take();
            processes.children.push(child);
            let mut line = String::new();
            BufReader::new(stdout.ok_or_else(|| io::Error::other("no pipe"))?)
                .read_line(&mut line)?;
            addresses.push(line.trim().to_owned());
        }
        let own = addresses.last().and_then(|line| line.parse().ok());
        processes.address =
            own.ok_or_else(|| io::Error::other("a replica process did not get ready"))?;
        Ok(processes)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for their end, which follows that of the client's connection.
    ///
    /// # Errors
    /// When one of them failed: then its figures are worth nothing.
    pub(crate) fn stop(mut self) -> io::Result<()> {
        // The one that clients talk to was started last; its followers end with it.
        for child in self.children.iter_mut().rev() {
            let status = child.wait()?;
            if !status.success() {
                return Err(io::Error::other(format!("a replica process failed: {status}")));
            }
        }
        Ok(())
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
