//! The consensus core: what one proposal costs, with one voter and with three.

use std::collections::VecDeque;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use synod_paxos::{
    Ballot, Batch, Durable, Message, NodeId, Output, Proposal, Replica, ReplicaConfig, ReplicaSet,
    Role,
};

/// Proposals handed in together.
const BURST: usize = 64;

/// Replicas in one thread whose writes are durable at once and whose messages all arrive.
struct Group {
    replicas: Vec<Replica>,
    /// Descriptors of each log, for reads.
    logs: Vec<Vec<Batch>>,
    wire: VecDeque<(NodeId, NodeId, Message)>,
}

impl Group {
    fn new(count: u64) -> Self {
        let nodes: Vec<_> = (1..=count).map(|n| NodeId(n as u32)).collect();
        let replica = |&node| Replica::new(ReplicaConfig::new(node), Durable::default());
        let mut group = Self {
            replicas: nodes.iter().map(replica).collect(),
            logs: vec![Vec::new(); nodes.len()],
            wire: VecDeque::new(),
        };
        let ballot = Ballot::new(1, nodes[0]);
        let set = ReplicaSet::new(&nodes);
        group.replicas[0].handle_appointed(ballot, set).expect("a first appointment");
        group.settle();
        for _ in 0..100 {
            if matches!(group.replicas[0].role(), Role::Leader { ready: true, .. }) {
                return group;
            }
            group.replicas.iter_mut().for_each(Replica::handle_tick);
            group.settle();
        }
        panic!("no leader: {:?}", group.replicas[0].role());
    }

    fn propose(&mut self) {
        let proposals = [Proposal { count: 16, size: 16 << 10, checksum: 7 }; BURST];
        self.replicas[0].handle_propose(&proposals).expect("it leads");
        self.settle();
        let start = self.replicas[0].log_end();
        assert_eq!(self.replicas[0].decided_end(), start, "all is decided");
    }

    /// Runs until nobody has anything to do.
    fn settle(&mut self) {
        loop {
            let mut is_idle = true;
            for index in 0..self.replicas.len() {
                is_idle &= !self.drain(index);
            }
            let Some((from, to, message)) = self.wire.pop_front() else {
                if is_idle {
                    return;
                }
                continue;
            };
            let at = to.0 as usize - 1;
            self.replicas[at].handle_message(from, message).expect("an honest message");
        }
    }

    /// Carries out what a replica wants; whether there was anything.
    fn drain(&mut self, index: usize) -> bool {
        let mut had = false;
        while let Some(output) = self.replicas[index].poll_output() {
            had = true;
            match output {
                Output::Append { write, batches } => {
                    self.logs[index].extend(batches);
                    self.replicas[index].handle_written(write);
                }
                Output::Vow { write, .. } => self.replicas[index].handle_written(write),
                Output::Truncate { write, .. } | Output::RestartLog { write, .. } => {
                    self.replicas[index].handle_written(write);
                }
                Output::Send { to, message, .. } => {
                    let from = self.replicas[index].node();
                    self.wire.push_back((from, to, message));
                }
                Output::Read { read, from, end, .. } => {
                    let log = &self.logs[index];
                    let first = log.partition_point(|batch| batch.base < from);
                    let found = log[first..].iter().take_while(|batch| batch.end <= end);
                    let found = found.copied().collect();
                    self.replicas[index].handle_read(read, found).expect("what was asked for");
                }
                Output::Decided { .. } | Output::TrimHint { .. } | Output::RoleChanged { .. } => {}
            }
        }
        had
    }
}

fn propose(c: &mut Criterion) {
    let mut group = c.benchmark_group("core");
    group.throughput(Throughput::Elements(BURST as u64));
    for count in [1, 3, 5] {
        let mut replicas = Group::new(count);
        group.bench_function(format!("propose to decided, {count} voters"), |b| {
            b.iter(|| replicas.propose());
        });
    }
    group.finish();
}

criterion_group!(benches, propose);
criterion_main!(benches);
