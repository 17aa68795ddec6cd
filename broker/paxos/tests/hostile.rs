//! Messages that no honest replica sends: none of them makes a replica panic or take back what it
//! promised, accepted or decided. (What a lying *quorum* can do is another matter.)

mod cluster;

use cluster::node::Node;
use cluster::random::Random;
use cluster::schedule::tight_config;
use synod_paxos::{
    Accept, Accepted, Adopt, Ballot, Batch, Confirm, Confirmed, Copied, Decide, Entries, Message,
    Nack, NodeId, Prepare, Promise, Proposal, Read, ReplicaSet, RoundStart,
};

struct Liar(Random);

impl Liar {
    /// Small numbers mostly, so that they meet; now and then a huge one.
    fn offset(&mut self) -> u64 {
        if self.0.chance(3) { u64::MAX - self.0.next() % 3 } else { self.0.next() % 24 }
    }

    fn ballot(&mut self, from: NodeId) -> Ballot {
        let node = if self.0.chance(90) { from } else { NodeId(self.0.below(4) as u32) };
        let round = if self.0.chance(2) { u32::MAX } else { self.0.below(6) as u32 };
        Ballot::new(round, node)
    }

    fn batches(&mut self, from: u64) -> Vec<Batch> {
        let mut base = from;
        let mut round = self.0.below(5) as u32;
        let honest = self.0.chance(70);
        (0..self.0.below(4))
            .map(|_| {
                let end = base.saturating_add(self.0.next() % 4 + u64::from(honest));
                round += self.0.below(2) as u32;
                let batch = Batch { base, end, round, size: 50, checksum: 0 };
                base = if honest { end } else { self.offset() };
                batch
            })
            .collect()
    }

    fn rounds(&mut self) -> Vec<RoundStart> {
        let count = self.0.below(4);
        (0..count)
            .map(|_| RoundStart { round: self.0.below(6) as u32, base: self.offset() })
            .collect()
    }

    fn message(&mut self, from: NodeId, to_proposer: Option<Ballot>) -> Message {
        let mut ballot = self.ballot(from);
        let kind = self.0.below(12);
        if let (Some(own), true) = (to_proposer, [1, 3, 5, 7, 10, 11].contains(&kind)) {
            ballot = own;
        }
        let decided_end = self.offset();
        match kind {
            0 => Message::Prepare(Prepare {
                ballot,
                accepted_ballot: self.ballot(from),
                accepted_end: self.offset(),
                decided_end,
            }),
            1 => Message::Promise(Promise {
                ballot,
                accepted_ballot: self.ballot(from),
                log_start: self.offset(),
                durable_end: self.offset(),
                faulty_end: self.0.chance(20).then(|| self.offset()),
                decided_end,
                rounds: self.rounds(),
            }),
            2 => Message::Read(Read { ballot, from: self.offset(), end: self.offset() }),
            3 => {
                let from = self.offset();
                Message::Entries(Entries { ballot, from, batches: self.batches(from) })
            }
            4 => {
                let from = self.offset();
                let batches = self.batches(from);
                let covered = batches.last().map_or(from, |batch| batch.end);
                let adopted_end = if self.0.chance(60) { covered } else { self.offset() };
                Message::Adopt(Adopt {
                    ballot,
                    log_start: if self.0.chance(50) { 0 } else { self.offset() },
                    from,
                    prev_round: self.0.chance(70).then(|| self.0.below(6) as u32),
                    restart: self.0.chance(20),
                    batches,
                    adopted_end,
                    decided_end,
                })
            }
            5 => Message::Copied(Copied { ballot, end: self.offset() }),
            6 => {
                let base = self.offset();
                let batches = self.batches(base);
                Message::Accept(Accept { ballot, base, batches, decided_end })
            }
            7 => Message::Accepted(Accepted {
                ballot,
                durable_end: self.offset(),
                gap: self.0.chance(40).then(|| self.offset()),
            }),
            8 => Message::Decide(Decide {
                ballot,
                log_start: self.offset(),
                sent_end: self.offset(),
                decided_end,
                probe: self.0.chance(50),
            }),
            9 => Message::Confirm(Confirm { ballot, number: self.offset() }),
            10 => Message::Confirmed(Confirmed { ballot, number: self.offset() }),
            _ => Message::Nack(Nack { ballot, promised: self.ballot(from) }),
        }
    }
}

/// One honest replica among liars.
fn run(seed: u64) {
    let mut liar = Liar(Random::new(seed));
    let me = NodeId(1);
    let set = ReplicaSet::new(&[me, NodeId(2), NodeId(3)]);
    let mut node = Node::new(tight_config(me));
    node.patient = true;
    for _ in 0..400 {
        let replica = node.replica.as_ref().expect("it is up");
        let before = (replica.promised(), replica.accepted_ballot(), replica.decided_end());
        let role = replica.role();
        let own = (replica.ballot().node == me).then(|| replica.ballot());
        match liar.0.below(12) {
            0 => {
                let round = before.0.round.saturating_add(1).min(1 << 20);
                node.appoint(Ballot::new(round, me), set.clone());
            }
            1 => {
                node.propose(&[Proposal { count: 2, size: 60, checksum: 9 }]);
            }
            2 => {
                node.tick();
            }
            3 | 4 => {
                node.sync(liar.0.below(3) + 1);
            }
            _ => {
                let from = NodeId(2 + liar.0.below(2) as u32);
                let message = liar.message(from, own);
                node.deliver(from, message);
            }
        }
        let replica = node.replica.as_ref().expect("it is up");
        assert!(replica.promised() >= before.0, "seed {seed}: a promise was taken back");
        assert!(replica.accepted_ballot() >= before.1, "seed {seed}: an acceptance was");
        assert!(replica.decided_end() >= before.2, "seed {seed}: decided went back ({role:?})");
        replica.check();
    }
}

#[test]
fn lies_do_not_break_a_replica() {
    for seed in 0..3_000 {
        run(seed);
    }
}
