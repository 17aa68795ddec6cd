//! Several replicas over storage twins and a network that does what the test says.

use std::collections::BTreeMap;

use synod_log::data_dir::{ClusterClaim, DataDir};
use synod_log::identity::ClusterId;
use synod_log::journal::{JournalError, JournalStore};

use super::*;
use crate::shard::{Copies, Past, recover};

type Answer = oneshot::Receiver<Vec<AppendOutcome>>;

/// A broker with one partition.
pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) storage: MemoryStorage,
    dir: Option<DataDir>,
    journal: Option<JournalStore>,
    /// `None` while the broker is down, or has no space to open it.
    pub(super) partition: Option<Partition>,
    past: Option<Past>,
    pub(super) effects: Effects,
}

impl Node {
    fn new(id: u32) -> Node {
        let storage = MemoryStorage::new(u64::from(id));
        let (dir, journal, partition) = (None, None, None);
        let effects = Effects::default();
        let mut node =
            Node { id: NodeId(id), storage, dir, journal, partition, past: None, effects };
        node.start();
        node
    }

    /// Starts the broker and opens its partition.
    pub(super) fn start(&mut self) {
        let device: Arc<dyn Storage> = Arc::new(self.storage.clone());
        let claim = ClusterClaim::AnyOrNew(ClusterId([7; 16]));
        let dir = DataDir::open(device.clone(), Path::new("/data"), claim, self.id.0);
        let dir = dir.expect("data directory");
        let journal = JournalStore::open(device, &dir.journal_path(), dir.identity());
        let (journal, _) = journal.expect("journal");
        let journaled = journal.partitions().get(&KEY).copied().unwrap_or_default();
        let past = Past { journaled, corrupt: Vec::new(), copies: Copies::Several };
        (self.dir, self.journal, self.past) = (Some(dir), Some(journal), Some(past));
        self.open();
    }

    /// Opens the partition, unless the disk is full.
    pub(super) fn open(&mut self) {
        let (Some(dir), Some(past)) = (&self.dir, &self.past) else { return };
        let journal = self.journal.as_mut().expect("started");
        let opened =
            recover(dir, KEY, LogConfig::default(), past, |record| journal.write(&[record]));
        let (log, durable) = match opened {
            Err(error) if error.is_disk_full() => return,
            opened => opened.expect("opens"),
        };
        let config = Arc::new(topic_config());
        let view = Arc::new(PartitionView::new(KEY, 0, log.view(), config, Arc::default()));
        let replica = Replica::new(replica_config(self.id), durable);
        self.partition = Some(Partition::new(KEY, log, replica, view, Marks::Lazy));
        self.past = None;
    }

    /// A power loss; what was under way is gone.
    pub(super) fn crash(&mut self) {
        self.storage.crash();
        (self.partition, self.dir, self.journal, self.past) = (None, None, None, None);
        self.effects = Effects::default();
    }

    pub(super) fn is_up(&self) -> bool {
        self.dir.is_some()
    }

    fn with(&mut self, act: impl FnOnce(&mut Partition, &mut Effects)) {
        if let Some(partition) = &mut self.partition {
            act(partition, &mut self.effects);
        }
    }

    pub(super) fn sync(&mut self) {
        for (_, job) in std::mem::take(&mut self.effects.syncs) {
            let done = job.run();
            self.with(|partition, effects| partition.handle_synced(done, effects).expect("synced"));
        }
        for (_, job) in std::mem::take(&mut self.effects.background) {
            let done = job.run();
            self.with(|partition, effects| {
                partition.handle_background(done, effects).expect("upkeep");
            });
        }
    }

    /// Nothing is carried here, so nothing has to become void.
    fn answer_voids(&mut self) {
        for _ in std::mem::take(&mut self.effects.voids) {
            self.with(|partition, effects| partition.handle_voided(effects).expect("cut"));
        }
    }

    pub(super) fn write_journal(&mut self) {
        self.answer_voids();
        let Some(journal) = &mut self.journal else { return };
        let lazy = std::mem::take(&mut self.effects.lazy_marks);
        let lazy =
            lazy.into_iter().map(|(key, durable_end)| JournalRecord::Mark { key, durable_end });
        match journal.write(&lazy.collect::<Vec<_>>()) {
            Ok(()) | Err(JournalError::DiskFull) => {}
            Err(error) => panic!("{error}"),
        }
        let records = std::mem::take(&mut self.effects.journal);
        match journal.write(&records) {
            Ok(()) => {}
            Err(JournalError::DiskFull) => {
                self.effects.journal = records;
                return;
            }
            Err(error) => panic!("{error}"),
        }
        for record in records {
            self.with(|partition, effects| {
                partition.handle_journaled(&record, effects).expect("journaled");
            });
        }
    }

    /// Opens anew what had to stop, as a shard does.
    pub(super) fn reopen(&mut self) {
        let ended = self.partition.as_ref().and_then(Partition::poll_ended);
        if let Some(Ended { journaled, corrupt, .. }) = ended {
            drop(self.partition.take().map(Partition::close));
            self.past = Some(Past { journaled, corrupt, copies: Copies::Several });
        }
        if self.partition.is_none() {
            self.open();
        }
    }

    pub(super) fn append(&mut self, batch: Batch, acks: Acks) -> Answer {
        self.append_run(vec![batch], acks).remove(0)
    }

    /// Appends batches in one turn.
    pub(super) fn append_run(&mut self, batches: Vec<Batch>, acks: Acks) -> Vec<Answer> {
        let mut produce = |batch| {
            let share = Budget::new(1).take(1).now_or_never().expect("free");
            let (reply, answer) = oneshot::channel();
            let slot = PendingAppend::slots(1, Some(reply), Arc::new(share)).next().expect("one");
            let item = AppendItem { key: KEY, batch, log_append_time: false };
            (Produced { item, acks, slot }, answer)
        };
        let (run, answers): (Vec<_>, _) = batches.into_iter().map(&mut produce).unzip();
        self.with(|partition, effects| partition.append(run, 5, effects).expect("log"));
        answers
    }

    /// All bytes of the log below `end`.
    pub(super) fn bytes(&self, end: u64) -> Vec<u8> {
        let view = self.partition.as_ref().expect("up").view().log().clone();
        let slice = view.read(view.start(), usize::MAX, true, end).expect("readable");
        assert_eq!(slice.next_offset, end);
        slice.batches.concat()
    }
}

/// Brokers 1, 2, 3 with a partition of all of them.
pub(super) struct Cluster {
    pub(super) nodes: Vec<Node>,
    pub(super) round: u32,
    /// Brokers that hear nobody and are not heard.
    pub(super) cut: Vec<NodeId>,
    pub(super) in_flight: Vec<(NodeId, Outgoing)>,
}

impl Cluster {
    pub(super) fn new() -> Cluster {
        let nodes = (1..=3).map(Node::new).collect();
        Cluster { nodes, round: 0, cut: Vec::new(), in_flight: Vec::new() }
    }

    /// Broker 1 leads, everybody follows.
    pub(super) fn led() -> Cluster {
        let mut cluster = Cluster::new();
        cluster.appoint(1);
        cluster.settle();
        assert!(cluster.node(1).partition.as_ref().expect("up").is_ready());
        cluster
    }

    pub(super) fn node(&mut self, id: u32) -> &mut Node {
        &mut self.nodes[id as usize - 1]
    }

    pub(super) fn partition(&mut self, id: u32) -> &mut Partition {
        self.node(id).partition.as_mut().expect("up")
    }

    pub(super) fn appoint(&mut self, id: u32) {
        self.round += 1;
        let ballot = Ballot { round: self.round, node: NodeId(id) };
        let set = ReplicaSet::new(&[1, 2, 3].map(NodeId));
        for node in &mut self.nodes {
            let (me, set) = (node.id, set.clone());
            node.with(|partition, effects| match me == NodeId(id) {
                true => partition.appoint(ballot, set, effects).expect("log"),
                false => partition.handle_appointed_elsewhere(),
            });
        }
    }

    /// Collects what the brokers send.
    pub(super) fn collect(&mut self) {
        for node in &mut self.nodes {
            let sent = node.effects.messages.drain(..);
            self.in_flight.extend(sent.map(|outgoing| (node.id, outgoing)));
        }
    }

    pub(super) fn deliver(&mut self, from: NodeId, outgoing: Outgoing) {
        let Outgoing { to, message } = outgoing;
        if self.cut.contains(&from) || self.cut.contains(&to) {
            return;
        }
        self.node(to.0).with(|partition, effects| {
            let result = partition.handle_message(from, message.message, message.payload, effects);
            result.expect("log");
        });
    }

    pub(super) fn deliver_all(&mut self) {
        self.collect();
        for (from, outgoing) in std::mem::take(&mut self.in_flight) {
            self.deliver(from, outgoing);
        }
    }

    pub(super) fn tick(&mut self) {
        let cut = self.cut.clone();
        for node in &mut self.nodes {
            let alone = cut.contains(&node.id);
            let heard = |peer: NodeId| !alone && !cut.contains(&peer);
            node.with(|partition, effects| partition.tick(&heard, effects).expect("log"));
        }
    }

    /// Runs everything that is due until nothing is left but time.
    pub(super) fn settle(&mut self) {
        for _ in 0..1000 {
            self.deliver_all();
            let idle = |node: &Node| {
                node.effects.syncs.is_empty()
                    && node.effects.journal.is_empty()
                    && node.effects.voids.is_empty()
                    && node.effects.messages.is_empty()
            };
            if self.nodes.iter().all(idle) {
                return;
            }
            for node in &mut self.nodes {
                node.sync();
                node.write_journal();
            }
        }
        panic!("never comes to rest");
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, ticks: u32) {
        for _ in 0..ticks {
            self.tick();
            self.settle();
            self.nodes.iter_mut().filter(|node| node.is_up()).for_each(Node::reopen);
        }
    }

    /// Every broker holds the same bytes below what anyone knows to be decided.
    pub(super) fn assert_equal(&self) {
        let ups = || self.nodes.iter().filter(|node| node.partition.is_some());
        let decided = |node: &Node| node.partition.as_ref().map_or(0, Partition::decided_end);
        for node in ups() {
            for other in ups() {
                let end = decided(node).min(decided(other));
                assert_eq!(node.bytes(end), other.bytes(end), "{} and {}", node.id, other.id);
            }
        }
    }
}

/// Outcomes by value, with the answers that are still due.
#[derive(Default)]
pub(super) struct Producer {
    due: Vec<(String, Answer)>,
    pub(super) acked: BTreeMap<String, u64>,
    pub(super) refused: BTreeMap<String, AppendError>,
}

impl Producer {
    pub(super) fn send(&mut self, node: &mut Node, value: String) {
        let answer = node.append(plain(&[&value]), Acks::All);
        self.due.push((value, answer));
    }

    pub(super) fn hear(&mut self) {
        self.due.retain_mut(|(value, answer)| match answer.try_recv() {
            Ok(outcomes) => {
                match outcomes[0] {
                    Ok(appended) => {
                        self.acked.insert(value.clone(), appended.base_offset);
                    }
                    Err(error) => {
                        self.refused.insert(value.clone(), error);
                    }
                }
                false
            }
            Err(oneshot::error::TryRecvError::Empty) => true,
            Err(oneshot::error::TryRecvError::Closed) => false,
        });
    }

    /// Everything acknowledged is where it was said to be; what was refused for certain is nowhere.
    pub(super) fn check(&self, node: &Node) {
        let decided_end = node.partition.as_ref().expect("up").decided_end();
        let bytes = Bytes::from(node.bytes(decided_end));
        let mut held = BTreeMap::new();
        for batch in synod_wire::batch::Batches::new(bytes) {
            let batch = batch.expect("whole");
            let base = u64::try_from(batch.header().base_offset).expect("offset");
            for record in batch.records(1 << 20).expect("records") {
                let value = record.expect("record").value.expect("value");
                let value = String::from_utf8(value.to_vec()).expect("text");
                assert_eq!(held.insert(value, base), None, "twice in the log");
            }
        }
        for (value, base) in &self.acked {
            assert_eq!(held.get(value), Some(base), "acknowledged: {value}");
        }
        for (value, error) in &self.refused {
            let unknown =
                matches!(error, AppendError::Unknown | AppendError::NotEnoughReplicasAfterAppend);
            assert!(unknown || !held.contains_key(value), "refused and there: {value} {error}");
        }
    }
}
