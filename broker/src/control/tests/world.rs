//! Metadata groups wired by a scripted network: everything happens when the test says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use synod_log::journal::{JournalRecord, Vow};
use synod_log::{Log, LogConfig, MemoryStorage, Storage};
use synod_paxos::{Ballot, Durable, NodeId, Replica, ReplicaConfig, ReplicaSet, RoundStart};
use tokio::sync::oneshot;

use super::super::{Group, GroupParts, METADATA_KEY, OpenedMetadata};
use crate::broker::DeletedTopics;
use crate::config::Config;
use crate::limits::{HEARTBEAT_TICKS, METADATA_CHECK_QUORUM_TICKS};
use crate::metadata::{
    Answer, Ask, BrokerId, ConfigView, ControllerContext, ControllerRequest, ImagePublisher,
    ImageReader, MetadataImage, PartitionImage, RegisterBroker, StaticConfigs, TopicConfig,
    TopicId, TopicImage,
    record::{Endpoint, Listener},
    request::{CreateTopics, NewTopic},
};
use crate::partition::{Effects, EndReason, PartitionView};
use crate::peers::ControlMessage;
use crate::state_log::NotDone;

/// What a broker's disk holds.
struct Disk {
    storage: Arc<MemoryStorage>,
    journal: Vec<JournalRecord>,
    starts: u64,
}

pub(super) struct Node {
    pub(super) group: Group,
    effects: Effects,
    pub(super) image: ImageReader,
}

/// An answer that may come.
pub(super) type Answered = oneshot::Receiver<Result<Answer, NotDone>>;

pub(super) struct World {
    size: u32,
    disks: BTreeMap<u32, Disk>,
    pub(super) nodes: BTreeMap<u32, Node>,
    /// Directed: nothing of the first reaches the second.
    pub(super) cut: BTreeSet<(u32, u32)>,
    in_flight: VecDeque<(u32, u32, ControlMessage)>,
    /// About half of all requests and answers are lost.
    pub(super) lossy: bool,
    random: u32,
    next_topic: u8,
}

fn topic_config() -> TopicConfig {
    let statics = StaticConfigs::new(&Config::default()).unwrap();
    let (image, broker) = (MetadataImage::default(), BrokerId(1));
    let view = ConfigView { image: &image, statics: &statics, broker };
    TopicConfig::new(&TopicImage::metadata_log(), &view)
}

impl Disk {
    fn new(node: u32) -> Disk {
        let storage = Arc::new(MemoryStorage::new(node.into()));
        storage.create_dir(Path::new("/metadata")).unwrap();
        storage.sync_dir(Path::new("/")).unwrap();
        Disk { storage, journal: Vec::new(), starts: 0 }
    }

    /// Opens the log, of which these offsets were found unreadable before.
    fn open(&self, node: u32, corrupt: &[Range<u64>]) -> OpenedMetadata {
        let (log, durable) = self.recover(corrupt);
        let config = Arc::new(topic_config());
        let view = PartitionView::new(METADATA_KEY, 0, log.view(), config, Arc::default());
        let config = ReplicaConfig {
            heartbeat_ticks: HEARTBEAT_TICKS,
            check_quorum_ticks: METADATA_CHECK_QUORUM_TICKS,
            ..ReplicaConfig::new(NodeId(node))
        };
        OpenedMetadata { log, replica: Replica::new(config, durable), view: Arc::new(view) }
    }

    fn recover(&self, corrupt: &[Range<u64>]) -> (Log, Durable) {
        let device: Arc<dyn Storage> = self.storage.clone();
        let (path, config) = (Path::new("/metadata"), LogConfig::default());
        if self.journal.is_empty() {
            return (Log::create(device, path, config).unwrap(), Durable::default());
        }
        let (mut vow, mut mark) = (Vow::default(), 0);
        for record in &self.journal {
            match record {
                JournalRecord::Vow { vow: newer, .. } => vow = *newer,
                JournalRecord::Mark { durable_end, .. } => mark = *durable_end,
                other => panic!("{other:?}"),
            }
        }
        let (mut log, _) = Log::open(device, path, config, mark).unwrap();
        while let Some(job) = log.poll_sync() {
            log.handle_synced(job.run()).unwrap();
        }
        let ballot = |it: synod_log::journal::Ballot| Ballot::new(it.round, NodeId(it.node));
        let round = |entry: &synod_log::EpochStart| RoundStart {
            round: u32::try_from(entry.leader_epoch).unwrap(),
            base: entry.start,
        };
        let damaged = log.corrupt().iter().chain(corrupt).map(|range| range.start).min();
        let durable = Durable {
            promised: ballot(vow.promised),
            accepted_ballot: ballot(vow.accepted),
            log_end: damaged.unwrap_or(log.durable_end()),
            faulty_end: damaged.map(|_| log.durable_end().max(mark)),
            rounds: log.epochs().entries().iter().map(round).collect(),
            ..Durable::default()
        };
        (log, durable)
    }
}

impl World {
    /// Brokers 1, 2, … that have not been started.
    pub(super) fn of(size: u32) -> World {
        World {
            size,
            disks: (1..=size).map(|node| (node, Disk::new(node))).collect(),
            nodes: BTreeMap::new(),
            cut: BTreeSet::new(),
            in_flight: VecDeque::new(),
            lossy: false,
            random: 1,
            next_topic: 0,
        }
    }

    /// Brokers that are all started, registered and agree on a controller.
    pub(super) fn running(size: u32) -> World {
        let mut world = World::of(size);
        (1..=size).for_each(|node| world.start(node));
        world.pass(80);
        world.check_agreement();
        world
    }

    pub(super) fn start(&mut self, node: u32) {
        let disk = self.disks.get_mut(&node).unwrap();
        disk.starts += 1;
        let start = disk.starts;
        let OpenedMetadata { log, replica, view } = disk.open(node, &[]);
        let (publisher, image) = ImagePublisher::new(MetadataImage::default());
        let config = Config { node_id: node, ..Config::default() };
        let voters: Vec<NodeId> = (1..=self.size).map(NodeId).collect();
        let mut life = [0; 16];
        life[..2].copy_from_slice(&[node as u8, start as u8]);
        let group = Group::new(GroupParts {
            log,
            replica,
            view,
            voters: ReplicaSet::new(&voters),
            publisher,
            context: Arc::new(ControllerContext::new(&config).unwrap()),
            deleted: Arc::new(DeletedTopics::default()),
            registration: RegisterBroker {
                broker: BrokerId(node),
                incarnation: TopicId::from_bytes(life),
                endpoints: vec![Endpoint { listener: Listener::Kafka, host: None, port: 9092 }],
                rack: None,
                start,
            },
            new_cluster_id: "a cluster".into(),
            seed: u64::from(node) * 100 + start,
        });
        self.nodes.insert(node, Node { group, effects: Effects::default(), image });
        self.turn(node);
    }

    /// Opens a replica anew that had to stop, as its shard does; tells why it had to.
    pub(super) fn reopen(&mut self, node: u32) -> Option<EndReason> {
        let it = self.nodes.get_mut(&node).unwrap();
        let ended = it.group.partition().poll_ended()?;
        let opened = self.disks[&node].open(node, &ended.corrupt);
        it.group.reopen(opened);
        self.turn(node);
        Some(ended.reason)
    }

    /// What a broker's log lies on.
    pub(super) fn storage(&self, node: u32) -> &MemoryStorage {
        &self.disks[&node].storage
    }

    /// kill -9 and a power cut at once: what is not synced is gone.
    pub(super) fn kill(&mut self, node: u32) {
        drop(self.nodes.remove(&node).unwrap());
        self.disks[&node].storage.crash();
        self.in_flight.retain(|(_, to, _)| *to != node);
    }

    pub(super) fn cut(&mut self, a: u32, b: u32) {
        self.cut.extend([(a, b), (b, a)]);
    }

    pub(super) fn isolate(&mut self, node: u32) {
        (1..=self.size).filter(|other| *other != node).for_each(|other| self.cut(node, other));
    }

    pub(super) fn heal(&mut self) {
        self.cut.clear();
    }

    /// Lets ticks pass; after each, everything that it set off comes to rest.
    pub(super) fn pass(&mut self, ticks: u32) {
        for _ in 0..ticks {
            let nodes: Vec<u32> = self.nodes.keys().copied().collect();
            for node in nodes {
                let it = self.nodes.get_mut(&node).unwrap();
                it.group.handle_tick(&mut it.effects).unwrap();
                self.turn(node);
            }
            self.settle();
        }
    }

    /// Delivers everything in flight, and what that sets off.
    pub(super) fn settle(&mut self) {
        let mut steps = 0;
        while let Some((from, to, message)) = self.in_flight.pop_front() {
            steps += 1;
            assert!(steps < 100_000, "messages without end");
            if self.cut.contains(&(from, to)) || self.is_lost(&message) {
                continue;
            }
            if let Some(node) = self.nodes.get_mut(&to) {
                node.group.handle_message(NodeId(from), message, &mut node.effects).unwrap();
                self.turn(to);
            }
        }
    }

    fn is_lost(&mut self, message: &ControlMessage) -> bool {
        let request =
            matches!(message, ControlMessage::Request { .. } | ControlMessage::Answer { .. });
        self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.lossy && request && self.random >> 31 == 1
    }

    /// One broker's turns until its disk has done all that was asked of it.
    fn turn(&mut self, id: u32) {
        let node = self.nodes.get_mut(&id).unwrap();
        loop {
            node.group.step(0, &mut node.effects).unwrap();
            let effects = std::mem::take(&mut node.effects);
            assert!(effects.messages.is_empty() && effects.resignations.is_empty());
            let idle =
                effects.syncs.is_empty() && effects.journal.is_empty() && effects.voids.is_empty();
            for _ in effects.voids {
                node.group.partition().handle_voided(&mut node.effects).unwrap();
            }
            for (_, job) in effects.background {
                node.group.partition().handle_background(job.run(), &mut node.effects).unwrap();
            }
            for (_, job) in effects.syncs {
                node.group.partition().handle_synced(job.run(), &mut node.effects).unwrap();
            }
            for record in effects.journal {
                self.disks.get_mut(&id).unwrap().journal.push(record);
                node.group.partition().handle_journaled(&record, &mut node.effects).unwrap();
            }
            if idle {
                break;
            }
        }
        let sent = node.group.take_messages();
        self.in_flight.extend(sent.into_iter().map(|(to, message)| (id, to.0, message)));
    }

    // ---- requests ----------------------------------------------------------------------------

    pub(super) fn ask(&mut self, node: u32, ask: Ask) -> Answered {
        let (request, answer) = ControllerRequest::new(ask);
        self.nodes.get_mut(&node).unwrap().group.handle_request(request);
        self.turn(node);
        answer
    }

    pub(super) fn new_topic(&mut self, name: &str, partitions: i32, replicas: i16) -> Ask {
        self.next_topic += 1;
        let id = TopicId::from_bytes([self.next_topic; 16]);
        let topic = NewTopic {
            partition_count: Some(partitions),
            replication_factor: Some(replicas),
            ..NewTopic::with_defaults(id, name)
        };
        Ask::CreateTopics(CreateTopics { topics: vec![topic], validate_only: false })
    }

    /// A topic that is there for sure.
    pub(super) fn create(&mut self, name: &str, partitions: i32, replicas: i16) {
        let node = self.controller().unwrap();
        let ask = self.new_topic(name, partitions, replicas);
        let mut answer = self.ask(node, ask);
        self.settle();
        match answer.try_recv().unwrap().unwrap() {
            Answer::TopicsCreated(outcomes) => assert!(outcomes[0].is_ok(), "{outcomes:?}"),
            other => panic!("{other:?}"),
        }
        self.pass(4);
    }

    // ---- what there is to see ----------------------------------------------------------------

    pub(super) fn image(&self, node: u32) -> Arc<MetadataImage> {
        self.nodes[&node].image.image()
    }

    /// The broker that leads and may write.
    pub(super) fn controller(&self) -> Option<u32> {
        let mut leading = self.nodes.iter().filter(|(_, node)| node.group.is_leading());
        leading.next().map(|(id, _)| *id)
    }

    pub(super) fn partition(&self, viewer: u32, index: usize) -> PartitionImage {
        self.image(viewer).topic("t").unwrap().partitions[index].clone()
    }

    /// The group's round, as the newest image has it.
    pub(super) fn round(&self) -> u32 {
        let rounds = self.nodes.keys().filter_map(|node| self.image(*node).controller_round());
        rounds.max().unwrap_or_default()
    }

    /// All running brokers hold the same image, in which they are all registered in this life.
    pub(super) fn check_agreement(&self) {
        let controller = self.controller().expect("a controller");
        let image = self.image(controller);
        assert_eq!(image.controller_id(), Some(BrokerId(controller)));
        for (id, node) in &self.nodes {
            assert_eq!(node.image.image(), image, "broker {id}");
            let start = self.disks[id].starts;
            let known = image.broker(BrokerId(*id)).expect("registered");
            assert_eq!((known.start, known.lost), (start, false), "broker {id}");
        }
    }
}
