//! Scenario transcripts: commands in, the full event log out, compared with the golden file.
//!
//! A line that begins with `>` is a command, one that begins with `#` a comment; everything else
//! is what the replicas did. `SYNOD_REWRITE=1 cargo test -p synod-paxos --test transcripts` writes
//! the files anew; read the difference before you keep it.
//!
//! | command | does |
//! |---|---|
//! | `cluster 3 [window N] [message N] [cached N]` | begins with nodes 1 to 3; limits |
//! | `appoint 1 2 [voters 1,2 [old 2,3]] [observers 4]` | node 1 is to run round 2 |
//! | `propose 1 3 2` | node 1 proposes batches of 3 and of 2 records |
//! | `sync 1 [2]` | the oldest (two) writes of node 1 become durable; without a number, all |
//! | `deliver 1 2 [all]`, `drop 1 2 [all]`, `repeat 1 2` | the oldest message from 1 to 2 |
//! | `crash 1 [kept 2]`, `corrupt 1 2`, `restart 1` | 2 writes survive; unreadable from batch 2 |
//! | `tick 1`, `trim 1 30` | |
//! | `settle [without 3]` | sync and deliver until all is quiet; messages of node 3 stay |
//! | `quiet CMD` | runs a command without logging what it leads to |
//! | `state` | every node in a line |

mod cluster;
mod transcript_words;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cluster::node::{Effects, Node};
use synod_paxos::{Ballot, Message, NodeId, Proposal, ReplicaConfig, ReplicaSet};
use transcript_words::{describe_message, describe_node, describe_output};

#[derive(Default)]
struct Stage {
    nodes: BTreeMap<u32, Node>,
    /// Messages under way, in order of sending.
    network: Vec<(u32, u32, Message)>,
    next_value: u32,
    log: Vec<String>,
}

impl Stage {
    fn run(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| -> u32 {
            let word = words.get(at).unwrap_or_else(|| panic!("{line}: too short"));
            word.parse().unwrap_or_else(|_| panic!("{line}: {word} is no number"))
        };
        let option =
            |name: &str| words.iter().position(|word| *word == name).map(|at| words[at + 1]);
        let list = |name: &str| -> Vec<NodeId> {
            let ids = option(name).into_iter().flat_map(|ids| ids.split(','));
            ids.map(|id| NodeId(id.parse().expect("a node"))).collect()
        };
        match words[0] {
            "cluster" => self.begin(number(1), option),
            "appoint" => {
                let mut voters = list("voters");
                if voters.is_empty() {
                    voters = self.nodes.keys().map(|id| NodeId(*id)).collect();
                }
                let set = ReplicaSet::joint(&voters, &list("old"));
                let set = set.with_observers(&list("observers"));
                let ballot = Ballot::new(number(2), NodeId(number(1)));
                self.with(number(1), |node| node.appoint(ballot, set));
            }
            "propose" => {
                let mut proposals = Vec::new();
                for at in 2..words.len() {
                    self.next_value += 1;
                    let checksum = self.next_value;
                    proposals.push(Proposal { count: number(at), size: 100, checksum });
                }
                let mut error = None;
                self.with(number(1), |node| {
                    let (effects, refusal) = node.propose(&proposals);
                    error = refusal;
                    effects
                });
                self.log.extend(error.map(|error| format!("refused: {error}")));
            }
            "sync" => {
                let count = if words.len() > 2 { number(2) as usize } else { usize::MAX };
                let count = count.min(self.nodes[&number(1)].disk.pending.len());
                self.with(number(1), |node| node.sync(count));
            }
            "deliver" | "drop" | "repeat" => {
                let (from, to) = (number(1), number(2));
                let count = if words.contains(&"all") { usize::MAX } else { 1 };
                self.pass(words[0], from, to, count);
            }
            "crash" => {
                let kept = option("kept").map_or(0, |kept| kept.parse().expect("a number"));
                self.with_node(number(1), |node| node.crash(kept));
            }
            "corrupt" => {
                self.with_node(number(1), |node| node.disk.corrupt(number(2) as usize));
            }
            "restart" => self.with_node(number(1), Node::restart),
            "tick" => self.with(number(1), Node::tick),
            "trim" => self.with(number(1), |node| node.trim(u64::from(number(2)))),
            "settle" => self.settle(&list("without")),
            "quiet" => {
                let length = self.log.len();
                self.run(&words[1..].join(" "));
                self.log.truncate(length);
            }
            "state" => self.log.extend(self.nodes.values().map(describe_node)),
            other => panic!("unknown command {other}"),
        }
    }

    fn begin<'a>(&mut self, count: u32, option: impl Fn(&str) -> Option<&'a str>) {
        let limit = |name| option(name).map(|limit| limit.parse().expect("a number"));
        for id in 1..=count {
            let mut config = ReplicaConfig::new(NodeId(id));
            config.check_quorum_ticks = 4;
            config.window_batch_count = limit("window").unwrap_or(config.window_batch_count);
            config.cached_batch_count = limit("cached").unwrap_or(config.cached_batch_count);
            config.message_size = limit("message").map_or(config.message_size, u64::from);
            self.nodes.insert(id, Node::new(config));
        }
    }

    fn with_node(&mut self, id: u32, act: impl FnOnce(&mut Node)) {
        act(self.nodes.get_mut(&id).expect("a node of the cluster"));
    }

    fn with(&mut self, id: u32, act: impl FnOnce(&mut Node) -> Effects) {
        let effects = act(self.nodes.get_mut(&id).expect("a node of the cluster"));
        if effects.refused {
            self.log.push(format!("n{id} refuses"));
        }
        for output in &effects.outputs {
            self.log.push(format!("n{id} {}", describe_output(output)));
        }
        for (to, message) in effects.sent {
            self.network.push((id, to.0, message));
        }
    }

    fn pass(&mut self, how: &str, from: u32, to: u32, count: usize) {
        for passed in 0..count {
            let next = self.network.iter().position(|(f, t, _)| (*f, *t) == (from, to));
            let Some(at) = next else {
                assert!(passed > 0 || count > 1, "there is no message from {from} to {to}");
                return;
            };
            let (_, _, message) =
                if how == "repeat" { self.network[at].clone() } else { self.network.remove(at) };
            let verb = if how == "drop" { "lost" } else { "takes" };
            self.log.push(format!("n{to} {verb} {} of n{from}", describe_message(&message)));
            if how != "drop" {
                self.with(to, |node| node.deliver(NodeId(from), message));
            }
        }
    }

    fn settle(&mut self, without: &[NodeId]) {
        loop {
            let busy = self.nodes.values().find(|node| !node.disk.pending.is_empty());
            if let Some(id) = busy.map(|node| node.id().0) {
                self.with(id, |node| node.sync(node.disk.pending.len()));
                continue;
            }
            let stays = |id: u32| without.contains(&NodeId(id));
            let next = self.network.iter().position(|(from, to, _)| !stays(*from) && !stays(*to));
            let Some(at) = next else { return };
            let (from, to, _) = self.network[at];
            self.pass("deliver", from, to, 1);
        }
    }
}

fn transcript(script: &str) -> String {
    let mut stage = Stage::default();
    for line in script.lines() {
        if let Some(command) = line.strip_prefix('>') {
            stage.log.push(line.into());
            stage.run(command.trim());
        } else if line.is_empty() || line.starts_with('#') {
            stage.log.push(line.into());
        }
    }
    stage.log.join("\n") + "\n"
}

#[test]
fn transcripts_match_their_golden_files() {
    #[expect(clippy::disallowed_methods, reason = "a test may read its environment")]
    let rewrite = std::env::var("SYNOD_REWRITE").is_ok();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 12, "the transcripts are missing");
    let mut differing = Vec::new();
    for file in files {
        let golden = fs::read_to_string(&file).unwrap();
        let actual = transcript(&golden);
        if actual == golden {
            continue;
        }
        if rewrite {
            fs::write(&file, actual).unwrap();
        } else {
            let line = golden.lines().zip(actual.lines()).position(|(a, b)| a != b);
            let at = line.unwrap_or_else(|| golden.lines().count().min(actual.lines().count()));
            differing.push(format!(
                "{}:{}\n  golden: {:?}\n  actual: {:?}",
                file.display(),
                at + 1,
                golden.lines().nth(at),
                actual.lines().nth(at),
            ));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
