//! A process: a replica, its disk, and the messages that wait for a write.

use synod_paxos::{
    Ballot, Message, NodeId, Output, Proposal, ProposeError, Replica, ReplicaConfig, ReplicaSet,
    Role, WriteId,
};

use super::disk::{Disk, Write};

/// What an input led to, besides writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// Messages free to leave.
    pub(crate) sent: Vec<(NodeId, Message)>,
    /// Outputs in order, for transcripts.
    pub(crate) outputs: Vec<Output>,
    /// The message was refused as malformed.
    pub(crate) refused: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) config: ReplicaConfig,
    /// `None` while the process is down.
    pub(crate) replica: Option<Replica>,
    pub(crate) disk: Disk,
    waiting: Vec<(WriteId, NodeId, Message)>,
    /// Liars are about: reads may be answered with what the replica finds malformed.
    pub(crate) patient: bool,
}

impl Node {
    pub(crate) fn new(config: ReplicaConfig) -> Node {
        let disk = Disk::default();
        let replica = Some(Replica::new(config.clone(), disk.recover()));
        Node { config, replica, disk, waiting: Vec::new(), patient: false }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.config.node
    }

    pub(crate) fn is_up(&self) -> bool {
        self.replica.is_some()
    }

    pub(crate) fn is_ready_leader(&self) -> bool {
        let ready = |r: &Replica| matches!(r.role(), Role::Leader { ready: true, .. });
        self.replica.as_ref().is_some_and(ready)
    }

    pub(crate) fn deliver(&mut self, from: NodeId, message: Message) -> Effects {
        let Some(replica) = &mut self.replica else { return Effects::default() };
        let refused = replica.handle_message(from, message).is_err();
        let mut effects = self.drain();
        effects.refused = refused;
        effects
    }

    pub(crate) fn appoint(&mut self, ballot: Ballot, set: ReplicaSet) -> Effects {
        let Some(replica) = &mut self.replica else { return Effects::default() };
        let refused = replica.handle_appointed(ballot, set).is_err();
        let mut effects = self.drain();
        effects.refused = refused;
        effects
    }

    pub(crate) fn propose(&mut self, proposals: &[Proposal]) -> (Effects, Option<ProposeError>) {
        let Some(replica) = &mut self.replica else { return (Effects::default(), None) };
        let error = replica.handle_propose(proposals).err();
        (self.drain(), error)
    }

    /// Asks whether it still leads; returns the question's ballot and number.
    pub(crate) fn confirm(&mut self) -> (Effects, Option<(Ballot, u64)>) {
        let Some(replica) = &mut self.replica else { return (Effects::default(), None) };
        let number = replica.handle_confirm().ok();
        let asked = number.map(|number| (replica.ballot(), number));
        (self.drain(), asked)
    }

    pub(crate) fn tick(&mut self) -> Effects {
        let Some(replica) = &mut self.replica else { return Effects::default() };
        replica.handle_tick();
        self.drain()
    }

    /// Makes up to `count` pending writes durable and reports the last of them.
    pub(crate) fn sync(&mut self, count: usize) -> Effects {
        let mut last = None;
        for _ in 0..count.min(self.disk.pending.len()) {
            last = self.disk.sync_one();
        }
        let (Some(write), Some(replica)) = (last, &mut self.replica) else {
            return Effects::default();
        };
        replica.handle_written(write);
        let mut effects = Effects::default();
        self.waiting.retain(|(after, to, message)| {
            let free = *after <= write;
            if free {
                effects.sent.push((*to, message.clone()));
            }
            !free
        });
        let more = self.drain();
        effects.sent.extend(more.sent);
        effects.outputs.extend(more.outputs);
        effects
    }

    pub(crate) fn trim(&mut self, start: u64) -> Effects {
        let Some(replica) = &mut self.replica else { return Effects::default() };
        self.disk.trim(start);
        replica.handle_trimmed(start);
        self.drain()
    }

    pub(crate) fn crash(&mut self, kept: usize) {
        self.replica = None;
        self.waiting.clear();
        self.disk.crash(kept);
    }

    pub(crate) fn restart(&mut self) {
        assert!(self.replica.is_none());
        self.replica = Some(Replica::new(self.config.clone(), self.disk.recover()));
    }

    /// Does what the replica asks for, until it asks for nothing. Reads are answered at once.
    fn drain(&mut self) -> Effects {
        let mut effects = Effects::default();
        let Some(replica) = &mut self.replica else { return effects };
        while let Some(output) = replica.poll_output() {
            if let Some((write, what)) = Write::from_output(&output) {
                self.disk.submit(write, what);
            }
            match &output {
                Output::Send { to, message, after: Some(after) }
                    if self.disk.pending.iter().any(|(write, _)| write <= after) =>
                {
                    self.waiting.push((*after, *to, message.clone()));
                }
                Output::Send { to, message, .. } => effects.sent.push((*to, message.clone())),
                Output::Read { read, from, end, max_size } => {
                    let batches = self.disk.visible.read(*from, *end, *max_size);
                    let taken = replica.handle_read(*read, batches);
                    assert!(taken.is_ok() || self.patient, "{taken:?}");
                }
                _ => {}
            }
            effects.outputs.push(output);
        }
        effects
    }
}
