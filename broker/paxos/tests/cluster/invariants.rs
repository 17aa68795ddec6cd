//! What must hold after every event, judged from outside the replicas.

use std::collections::BTreeMap;

use synod_paxos::{Ballot, Batch, Message, NodeId, Output, Role};

use super::node::Node;

/// Everything ever decided, and everything ever proposed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Invariants {
    /// One value per offset (S1, S6): base → batch.
    pub(crate) decided: BTreeMap<u64, Batch>,
    /// One leader per round (S2).
    leaders: BTreeMap<u32, NodeId>,
    /// `(round, base)` names one batch for ever (rule 9).
    proposed: BTreeMap<(u32, u64), Batch>,
    decided_ends: BTreeMap<NodeId, u64>,
    /// The last question of a leader that did not know all that was decided when it asked.
    ignorant: BTreeMap<Ballot, u64>,
}

impl Invariants {
    pub(crate) fn decided_end(&self) -> u64 {
        self.decided.last_key_value().map_or(0, |(_, batch)| batch.end)
    }

    /// Checks what one input to `nodes[at]` led to. `Err` names the broken invariant.
    pub(crate) fn after_step(
        &mut self,
        nodes: &[Node],
        at: usize,
        outputs: &[Output],
    ) -> Result<(), String> {
        for output in outputs {
            match output {
                Output::Append { batches, .. } => self.appended(batches)?,
                Output::RoleChanged { role: Role::Leader { .. }, ballot } => {
                    self.leads(nodes[at].id(), *ballot)?;
                }
                _ => {}
            }
        }
        self.confirmed(&nodes[at])?;
        self.decided(nodes, at)
    }

    /// A leader asks whether it still leads.
    pub(crate) fn asked(&mut self, node: &Node, ballot: Ballot, number: u64) {
        let knows = node.replica.as_ref().map_or(0, |replica| replica.decided_end());
        if knows < self.decided_end() {
            self.ignorant.insert(ballot, number);
        }
    }

    /// Whoever is confirmed knew all that was decided anywhere when it asked.
    fn confirmed(&self, node: &Node) -> Result<(), String> {
        let Some(replica) = &node.replica else { return Ok(()) };
        match self.ignorant.get(&replica.ballot()) {
            Some(number) if replica.confirmed() >= *number => {
                Err(format!("{} is confirmed and did not know what is decided", node.id()))
            }
            _ => Ok(()),
        }
    }

    /// Nothing is said before it is durable (S3).
    pub(crate) fn said(&self, node: &Node, message: &Message) -> Result<(), String> {
        let disk = &node.disk;
        match message {
            Message::Promise(m) if disk.promised < m.ballot => {
                Err(format!("{} tells of a vow for {} that is not synced", node.id(), m.ballot))
            }
            Message::Accepted(m)
                if disk.accepted_ballot < m.ballot
                    || (disk.accepted_ballot == m.ballot && disk.log.end() < m.durable_end) =>
            {
                Err(format!("{} tells of an acceptance that is not synced: {m:?}", node.id()))
            }
            _ => Ok(()),
        }
    }

    fn appended(&mut self, batches: &[Batch]) -> Result<(), String> {
        for batch in batches {
            let known = self.proposed.entry((batch.round, batch.base)).or_insert(*batch);
            if known != batch {
                return Err(format!("one (round, offset), two batches: {known:?} {batch:?}"));
            }
        }
        Ok(())
    }

    fn leads(&mut self, node: NodeId, ballot: Ballot) -> Result<(), String> {
        let leader = self.leaders.entry(ballot.round).or_insert(node);
        if *leader == node { Ok(()) } else { Err(format!("two leaders in round {}", ballot.round)) }
    }

    /// Decided prefixes are equal (S6), never shrink (S9), and a quorum holds them (S4, S5).
    fn decided(&mut self, nodes: &[Node], at: usize) -> Result<(), String> {
        let node = &nodes[at];
        let Some(replica) = &node.replica else { return Ok(()) };
        let known = self.decided_ends.entry(node.id()).or_insert(0);
        let end = replica.decided_end();
        if end < *known {
            return Err(format!("decided end of {} went back from {known} to {end}", node.id()));
        }
        let from = std::mem::replace(known, end);
        for batch in node.disk.visible.batches.iter().filter(|b| b.end > from && b.end <= end) {
            let first = *self.decided.entry(batch.base).or_insert(*batch);
            if first != *batch {
                return Err(format!("one offset, two values: {first:?} {batch:?}"));
            }
            let held = |id| nodes.iter().any(|n| n.id() == id && n.disk.swears_to(batch));
            if let (Some(set), Role::Leader { ready: true, .. }) =
                (replica.replica_set(), replica.role())
                && !set.is_quorum(held)
            {
                return Err(format!("{} decided {batch:?} without a quorum", node.id()));
            }
        }
        Ok(())
    }

    /// A restarted replica knows nothing to be decided.
    pub(crate) fn restarted(&mut self, node: NodeId) {
        self.decided_ends.remove(&node);
    }

    /// Every decided batch is still sworn to by a majority of the disks (S5).
    pub(crate) fn nothing_is_lost(&self, nodes: &[Node]) -> Result<(), String> {
        for batch in self.decided.values() {
            let count = nodes.iter().filter(|node| node.disk.swears_to(batch)).count();
            if count * 2 <= nodes.len() {
                return Err(format!("decided {batch:?} is left on {count} disks only"));
            }
        }
        let mut end = self.decided.first_key_value().map_or(0, |(base, _)| *base);
        for batch in self.decided.values() {
            if batch.base != end {
                return Err(format!("the decided log has a gap before {batch:?}"));
            }
            end = batch.end;
        }
        Ok(())
    }
}
