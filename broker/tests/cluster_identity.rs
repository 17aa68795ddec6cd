//! Who may take part in a cluster, with real processes: every wrong start gets a clear error on the
//! right side, nobody wrong ever votes, and the cluster goes on.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::broker::{Broker, Refusal};
use synod_broker::demo::port::Port;
use tempfile::TempDir;

/// Longer than anything here takes, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The addresses and directories of a cluster of three.
struct Place {
    temporary: TempDir,
    addresses: Vec<String>,
    /// Keeps others away from the addresses while nobody listens there.
    _ports: Vec<Port>,
}

impl Place {
    fn new() -> Place {
        let ports: Vec<Port> = (0..3).map(|_| Port::reserve().expect("a free port")).collect();
        let addresses = ports.iter().map(|port| port.address().to_string()).collect();
        let temporary = tempfile::tempdir().expect("a temporary directory");
        Place { temporary, addresses, _ports: ports }
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.temporary.path().join(name)
    }

    fn list(&self) -> String {
        let voters = (1..).zip(&self.addresses);
        let voters: Vec<String> =
            voters.map(|(node, address): (u32, _)| format!("{node}@{address}")).collect();
        voters.join(",")
    }

    fn try_start(&self, node: u32, dir: &Path, more: &[&str]) -> Result<Broker, Refusal> {
        let (node_id, list) = (node.to_string(), self.list());
        let own = &self.addresses[node as usize - 1];
        let mut args = vec!["--node-id", &node_id];
        for (flag, value) in [("--cluster", list.as_str()), ("--peer-listen", own)] {
            if !more.contains(&flag) {
                args.extend([flag, value]);
            }
        }
        args.extend(more);
        Broker::try_start(dir, &args)
    }

    fn start(&self, node: u32) -> Broker {
        let started = self.try_start(node, &self.dir(&node.to_string()), &[]);
        started.unwrap_or_else(|refusal| panic!("{}: {}", refusal.status, refusal.stderr))
    }

    /// Starts all three, which form their cluster.
    fn start_all(&self) -> Vec<Broker> {
        thread::scope(|scope| {
            let starting: Vec<_> =
                (1..=3).map(|node| scope.spawn(move || self.start(node))).collect();
            starting.into_iter().map(|broker| broker.join().expect("started")).collect()
        })
    }
}

/// The start fails with an error that contains all these words.
fn refused(started: Result<Broker, Refusal>, words: &[&str]) {
    let Err(Refusal { status, stderr }) = started else { panic!("started") };
    assert_eq!(status.code(), Some(1), "{stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("synod: ")).collect();
    assert_eq!(errors.len(), 1, "not one line of error:\n{stderr}");
    for word in words {
        assert!(errors[0].contains(word), "no {word:?} in {:?}", errors[0]);
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

/// Waits until the broker's log has these words in one line.
fn says(broker: &Broker, words: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    let said = |text: &str| text.lines().any(|line| words.iter().all(|word| line.contains(word)));
    while !said(&broker.stderr()) {
        assert!(Instant::now() < deadline, "no {words:?} in\n{}", broker.stderr());
        thread::sleep(Duration::from_millis(10));
    }
}

/// Records in a topic with three replicas.
struct Kept {
    written: u32,
}

impl Kept {
    fn write(broker: &Broker) -> Kept {
        synod(broker, &["topic", "create", "kept", "-r", "3"], "");
        let mut kept = Kept { written: 0 };
        kept.add(broker);
        kept
    }

    fn add(&mut self, broker: &Broker) {
        let lines: String = (self.written..self.written + 10).map(|it| format!("{it}\n")).collect();
        synod(broker, &["produce", "kept"], &lines);
        self.written += 10;
    }

    /// The cluster serves as ever: it takes more, and has kept everything, in order.
    fn check(&mut self, broker: &Broker) {
        self.add(broker);
        let expected: String = (0..self.written).map(|it| format!("{it}\n")).collect();
        assert_eq!(synod(broker, &["consume", "kept", "-e"], ""), expected);
    }
}

/// Runs a command of the client; it must work.
fn synod(broker: &Broker, args: &[&str], input: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
    command.args(args).args(["-b", broker.kafka()]).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

#[test]
fn a_lost_directory_never_votes_and_both_sides_say_so() {
    let place = Place::new();
    let mut brokers = place.start_all();
    let mut records = Kept::write(&brokers[0]);
    brokers[2].kill();
    let kept = place.dir("kept");
    fs::rename(place.dir("3"), &kept).expect("moved away");
    refused(
        place.try_start(3, &place.dir("3"), &[]),
        &["data was lost or the node id is taken", "must not vote"],
    );
    says(&brokers[0], &["node 3 comes with data directory", "must not vote"]);
    records.check(&brokers[0]);
    // With its data back it is welcome.
    fs::remove_dir_all(place.dir("3")).expect("removed");
    fs::rename(&kept, place.dir("3")).expect("moved back");
    brokers[2] = place.start(3);
    records.check(&brokers[2]);
}

#[test]
fn a_copied_directory_is_refused_under_any_id() {
    let place = Place::new();
    let mut brokers = place.start_all();
    let mut records = Kept::write(&brokers[0]);
    brokers[2].kill();
    let copy = place.dir("copy");
    copy_tree(&place.dir("3"), &copy);
    refused(place.try_start(2, &copy, &["--peer-listen", "127.0.0.1:0"]), &["node 3", "node 2"]);
    // The same id, twice: the one at the address of the cluster list is the one.
    brokers[2] = place.start(3);
    refused(
        place.try_start(3, &copy, &["--peer-listen", "127.0.0.1:0"]),
        &["another process answers at this broker's address"],
    );
    says(&brokers[0], &["node 3", "two brokers run with one node id", "refused"]);
    assert!(brokers.iter_mut().all(Broker::is_running));
    records.check(&brokers[0]);
}

#[test]
fn two_brokers_with_one_node_id() {
    let place = Place::new();
    let mut brokers = place.start_all();
    let mut records = Kept::write(&brokers[1]);
    let second = place.try_start(1, &place.dir("second"), &["--peer-listen", "127.0.0.1:0"]);
    refused(second, &["node 1", "the node id is taken", "must not vote"]);
    assert!(brokers.iter_mut().all(Broker::is_running));
    records.check(&brokers[1]);
}

#[test]
fn a_broker_of_another_cluster() {
    let place = Place::new();
    drop(place.start_all());
    for node in ["1", "2", "3"] {
        fs::rename(place.dir(node), place.dir(&format!("old-{node}"))).expect("moved away");
    }
    // A second cluster, of the same list.
    let mut brokers = place.start_all();
    let mut records = Kept::write(&brokers[0]);
    brokers[2].kill();
    let started = place.try_start(3, &place.dir("old-3"), &[]);
    refused(started, &["belongs to cluster", "wrong address or data directory"]);
    says(&brokers[0], &["node 3 belongs to cluster", "wrong address or data directory"]);
    records.check(&brokers[0]);
    brokers[2] = place.start(3);
    records.check(&brokers[2]);
}

/// A frame as another version of the protocol would make it.
fn frame_of_version(version: u8) -> Vec<u8> {
    let header = b"nothing that this version understands";
    let mut frame = (10 + header.len() as u32).to_be_bytes().to_vec();
    frame.extend([0; 4]);
    frame.extend([version, 1]);
    frame.extend((header.len() as u32).to_be_bytes());
    frame.extend(header);
    let crc = crc32fast::hash(&[&frame[..4], &frame[8..]].concat());
    frame[4..8].copy_from_slice(&crc.to_be_bytes());
    frame
}

/// Answers everybody at an address in another version, until the test ends.
fn answer_in_version(address: &str, version: u8) {
    let deadline = Instant::now() + PATIENCE;
    let listener = loop {
        match TcpListener::bind(address) {
            Ok(listener) => break listener,
            Err(error) => assert!(Instant::now() < deadline, "{address}: {error}"),
        }
    };
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.expect("a connection");
            let _ = socket.read(&mut [0; 4096]);
            let _ = socket.write_all(&frame_of_version(version));
        }
    });
}

#[test]
fn brokers_of_another_protocol_version() {
    let place = Place::new();
    let mut brokers = place.start_all();
    let mut records = Kept::write(&brokers[0]);
    // One that dials …
    let mut socket = TcpStream::connect(&place.addresses[0]).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    socket.write_all(&frame_of_version(9)).expect("sent");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("answered and closed");
    assert_ne!(answer[8], 9, "the answer's version is that of the broker");
    says(&brokers[0], &["version 9 of the brokers' protocol", "this build speaks"]);
    // … and one that is dialed.
    brokers[2].kill();
    answer_in_version(&place.addresses[2], 7);
    says(&brokers[0], &["node 3 at", "version 7 of the brokers' protocol", "this build speaks"]);
    records.check(&brokers[0]);
    // A broker that finds nobody else does not start.
    let place = Place::new();
    answer_in_version(&place.addresses[0], 7);
    answer_in_version(&place.addresses[1], 7);
    let started = place.try_start(3, &place.dir("3"), &[]);
    refused(started, &["version 7 of the brokers' protocol", "this build speaks"]);
}

#[test]
fn another_cluster_list() {
    let place = Place::new();
    let mut brokers = place.start_all();
    let mut records = Kept::write(&brokers[0]);
    brokers[2].kill();
    let moved = place.list().replace(&place.addresses[0], "localhost:9");
    // Its second peer differs, its first is nobody: no majority has its list.
    let started = place.try_start(3, &place.dir("new"), &["--cluster", &moved]);
    refused(started, &["start all brokers with one list", &moved]);
    says(&brokers[1], &["node 3 was started with", &moved]);
    let fewer = place.list().replace("1@", "4@");
    let started = place.try_start(3, &place.dir("3"), &["--cluster", &fewer]);
    refused(started, &["belongs to a cluster of other nodes", "correct the list"]);
    records.check(&brokers[0]);
    brokers[2] = place.start(3);
}

#[test]
fn a_cluster_and_a_broker_of_its_own_do_not_mix() {
    let place = Place::new();
    let mut brokers = place.start_all();
    brokers[2].kill();
    let alone = Broker::try_start(&place.dir("3"), &["--node-id", "3"]);
    refused(alone, &["belongs to a cluster of several brokers", "nodes 1, 2, 3"]);
    let single = place.dir("single");
    drop(Broker::start_in_with(&single, &["--node-id", "3"]));
    refused(place.try_start(3, &single, &[]), &["its own cluster", "empty directory"]);
    brokers[2] = place.start(3);
}

#[test]
fn senseless_bytes_end_their_connection_and_nothing_else() {
    let place = Place::new();
    let mut brokers = place.start_all();
    let mut noise = 0x2545_f491_4f6c_dd1d_u64;
    for length in [1, 4, 13, 14, 100, 5000] {
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (noise >> 56) as u8
            })
            .collect();
        ends(&place.addresses[0], &bytes);
    }
    ends(&place.addresses[0], b"GET / HTTP/1.1\r\n\r\n");
    says(&brokers[0], &["closed a connection to the peer port"]);
    assert!(brokers.iter_mut().all(Broker::is_running));
    // The cluster takes in a broker all the same.
    brokers[2].kill();
    brokers[2] = place.start(3);
}

/// Sends bytes, and nothing more, and waits for the end of the connection.
fn ends(address: &str, bytes: &[u8]) {
    let mut socket = TcpStream::connect(address).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("set");
    // The other side may close before everything is sent.
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(std::net::Shutdown::Write);
    let end = socket.read(&mut [0; 64]);
    assert!(matches!(end, Ok(0)) || end.is_err_and(|e| e.kind() != std::io::ErrorKind::WouldBlock));
}
