//! Groups in a cluster of three while their coordinator is killed: members go on without a restart,
//! every record is processed at least once, committed offsets never go back, and no partition has
//! two owners in one generation.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::thread;
use std::time::{Duration, Instant};

use kafka_protocol::messages::GroupId;
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestGroup};
use synod_client::consumer::Assignor;
use synod_client::producer::{Producer, ProducerConfig, ProducerRecord};
use synod_client::{ClientConfig, Cluster};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::members::{Job, Library, Member};
use crate::offsets_log::OffsetsLog;
use crate::support::wire::{Connection, text};
use crate::world::{PATIENCE, World, id};

const PARTITIONS: i32 = 6;

/// Time from one record to the next.
const PACE: Duration = Duration::from_millis(3);

/// The pause between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// What a group committed, by partition.
type Committed = BTreeMap<i32, i64>;

/// How often the coordinator dies.
fn kill_count() -> u64 {
    std::env::var("SYNOD_GROUP_KILLS").map_or(2, |count| count.parse().expect("a number"))
}

/// Writes numbers to all partitions in turn until told to stop; each must be acknowledged.
async fn write(brokers: Vec<String>, topic: String, stop: watch::Receiver<bool>) {
    let cluster = Cluster::connect(ClientConfig::new(brokers)).await.expect("a broker answers");
    let producer = Producer::new(cluster, ProducerConfig::default()).expect("a producer");
    let mut deliveries = Vec::new();
    for number in 0.. {
        if *stop.borrow() {
            break;
        }
        let record = ProducerRecord::new(topic.as_str())
            .partition(number % PARTITIONS)
            .value(number.to_string());
        deliveries.push(producer.send(record).await.expect("taken"));
        tokio::time::sleep(PACE).await;
    }
    for delivery in deliveries {
        delivery.await.expect("written");
    }
}

/// A writer at work.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
}

impl Load {
    /// Ends when everything is written.
    pub(crate) fn end(self, scene: &Scene) {
        self.stop.send(true).expect("it runs");
        scene.world.runtime.block_on(self.running).expect("everything is written");
    }
}

/// A group at work.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) job: Job,
    pub(crate) members: Vec<Member>,
    /// What was last told to be committed.
    seen: Committed,
    /// Everything that was told, in its order.
    told: BTreeMap<i32, Vec<i64>>,
    /// librdkafka may send an older commit again after a newer one.
    reorders: bool,
}

impl Scene {
    fn start(name: &str, assignor: Assignor, libraries: &[Library]) -> Scene {
        Scene::start_after("500ms", name, assignor, libraries)
    }

    /// As [`Scene::start`]; the first members gather for so long.
    pub(crate) fn start_after(
        delay: &str,
        name: &str,
        assignor: Assignor,
        libraries: &[Library],
    ) -> Scene {
        let delay = format!("groups.initial_rebalance_delay={delay}");
        let world = World::start_with(&["--set", &delay]);
        let stop = world.directory.path().join("stop");
        let job = Job { topic: "load".into(), group: name.into(), assignor, stop };
        world.create(&job.topic, PARTITIONS);
        let start = |library: &Library| Member::start(*library, &job, &world);
        let members = libraries.iter().map(start).collect();
        let reorders = libraries.contains(&Library::Other(Client::Confluent));
        let (seen, told) = (Committed::new(), BTreeMap::new());
        Scene { world, job, members, seen, told, reorders }
    }

    /// Lets somebody write.
    pub(crate) fn load(&self) -> Load {
        let (stop, stopped) = watch::channel(false);
        let load = write(self.world.brokers.bootstrap(), self.job.topic.clone(), stopped);
        Load { stop, running: self.world.runtime.spawn(load) }
    }

    pub(crate) fn coordinator(&self) -> i32 {
        let group = self.world.admin.group(&self.job.group);
        self.world.runtime.block_on(group).expect("the group is known").coordinator
    }

    /// Sees what is committed now.
    fn look(&mut self) -> i64 {
        let offsets = self.world.admin.group_offsets(&self.job.group);
        let offsets = self.world.runtime.block_on(offsets).expect("a coordinator answers");
        let now = offsets.into_iter().map(|(at, offset)| (at.partition, offset.offset)).collect();
        self.compare(now);
        self.seen.values().sum()
    }

    fn compare(&mut self, now: Committed) {
        for (partition, offset) in &now {
            let told = self.told.entry(*partition).or_default();
            let before = told.last().copied().unwrap_or(-1);
            let steps_back = *offset < before && !self.reorders;
            assert!(!steps_back, "partition {partition} goes from {before} to {offset}");
            if *offset != before {
                told.push(*offset);
            }
        }
        let lost = self.seen.keys().find(|partition| !now.contains_key(partition));
        assert_eq!(lost, None, "a partition without its committed offset");
        self.seen = now;
    }

    pub(crate) fn until(
        &mut self,
        what: &str,
        mut is_so: impl FnMut(&mut Scene) -> bool,
    ) -> Duration {
        let started = Instant::now();
        while !is_so(self) {
            assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
            let ended = self.members.iter().find(|member| member.has_ended());
            assert!(ended.is_none(), "{what}: {ended:?} ended");
            thread::sleep(LOOK_PAUSE);
        }
        started.elapsed()
    }

    /// Waits until every partition has moved on from where it stands.
    pub(crate) fn until_all_move(&mut self, what: &str) -> Duration {
        self.look();
        let before = self.seen.clone();
        self.until(what, |scene| {
            scene.look();
            (0..PARTITIONS).all(|at| scene.seen.get(&at) > before.get(&at))
        })
    }

    /// Waits until the group is in this state with so many members.
    pub(crate) fn until_state(&mut self, state: &str, count: usize) {
        self.until(state, |scene| {
            let group = scene.world.admin.group(&scene.job.group);
            let group = scene.world.runtime.block_on(group);
            group.is_ok_and(|group| group.state == state && group.members.len() == count)
        });
    }

    pub(crate) fn until_stable(&mut self) {
        self.until_state("Stable", self.members.len());
    }

    /// Lets the members finish, and judges all that happened.
    pub(crate) fn judge(mut self) {
        let end = |scene: &Scene, at| scene.world.end(&scene.job.topic, at);
        let ends: Committed = (0..PARTITIONS).map(|at| (at, end(&self, at))).collect();
        self.until("all is processed", |scene| {
            scene.look();
            scene.seen == ends
        });
        File::create(&self.job.stop).expect("the sign to stop");
        let mut processed = BTreeSet::new();
        let mut count = 0;
        for member in std::mem::take(&mut self.members) {
            let places = member.join();
            assert!(!places.is_empty(), "a member got nothing to do");
            count += places.len();
            processed.extend(places);
        }
        let all: BTreeSet<(i32, i64)> =
            ends.iter().flat_map(|(at, end)| (0..*end).map(|offset| (*at, offset))).collect();
        let missing: Vec<_> = all.difference(&processed).take(10).collect();
        assert!(missing.is_empty(), "never processed: {missing:?} …");
        let mut log = OffsetsLog::read(&self.world, &self.job.group);
        for (partition, told) in &self.told {
            log.check_told(*partition, told);
        }
        assert!(log.faults.is_empty(), "{:#?}", log.faults);
        assert!(self.reorders || log.steps_back.is_empty(), "{:#?}", log.steps_back);
        assert_eq!(log.committed(), ends, "the log agrees with the coordinator");
        let again = count - all.len();
        let generations = log.generations();
        println!("{} records, {again} of them again, {generations} generations", all.len());
    }
}

/// Kills the coordinator again and again under load.
fn goes_on(name: &str, assignor: Assignor, libraries: &[Library]) {
    let mut scene = Scene::start(name, assignor, libraries);
    let load = scene.load();
    scene.until_stable();
    scene.until_all_move("members commit");
    for _ in 0..kill_count() {
        let victim = scene.coordinator();
        scene.world.kill(victim);
        let took = scene.until_all_move("the group goes on");
        println!("FIGURE {name}: broker {victim} killed, all partitions go on after {took:?}");
        scene.world.restart(victim);
        scene.until_all_move("the group goes on after the restart");
    }
    load.end(&scene);
    scene.judge();
}

#[test]
fn own_members_go_on_when_their_coordinator_is_killed() {
    goes_on("own", Assignor::Range, &[Library::Own; 3]);
}

#[test]
fn own_cooperative_members_go_on_when_their_coordinator_is_killed() {
    goes_on("own-cooperative", Assignor::CooperativeSticky, &[Library::Own; 3]);
}

#[test]
fn librdkafka_members_go_on_when_their_coordinator_is_killed() {
    goes_on("librdkafka", Assignor::Range, &[Library::Other(Client::Confluent); 2]);
}

#[test]
fn java_members_go_on_when_their_coordinator_is_killed() {
    goes_on("java", Assignor::CooperativeSticky, &[Library::Other(Client::Java); 2]);
}

/// Members of three libraries in one group, whoever leads it.
#[test]
fn mixed_members_go_on_when_their_coordinator_is_killed() {
    let libraries = [Library::Own, Library::Other(Client::Java), Library::Other(Client::Confluent)];
    for assignor in [Assignor::Range, Assignor::CooperativeSticky] {
        goes_on(&format!("mixed-{}", assignor.name()), assignor, &libraries);
    }
}

/// A coordinator that was replaced and does not know it yet tells nothing that is out of date.
#[test]
fn a_deposed_coordinator_answers_nothing_stale() {
    const CONNECTIONS: usize = 20;
    let mut scene = Scene::start("deposed", Assignor::Range, &[Library::Own]);
    let load = scene.load();
    scene.until_all_move("members commit");
    for _ in 0..kill_count() {
        let deposed = scene.coordinator();
        let address = scene.world.brokers.kafka(id(deposed)).to_string();
        let mut connections: Vec<_> =
            (0..CONNECTIONS).map(|_| Connection::open(&address)).collect();
        scene.world.brokers.pause(id(deposed));
        scene.until_all_move("the group goes on");
        let group = GroupId(text(&scene.job.group));
        let group = OffsetFetchRequestGroup::default().with_group_id(group).with_topics(None);
        let request = OffsetFetchRequest::default().with_groups(vec![group]);
        for connection in &mut connections {
            connection.send(8, &request).expect("the kernel takes it");
        }
        scene.world.brokers.resume(id(deposed));
        let mut answers = 0;
        for connection in &mut connections {
            let Ok((_, answer)) = connection.receive::<OffsetFetchRequest>(8) else { continue };
            let group = &answer.groups[0];
            if group.error_code == 0 {
                let partitions = group.topics.iter().flat_map(|topic| &topic.partitions);
                let now = partitions.map(|one| (one.partition_index, one.committed_offset));
                scene.compare(now.collect());
                answers += 1;
            }
        }
        println!("broker {deposed} answered {answers} of {CONNECTIONS}");
        scene.until_all_move("the group goes on after the pause");
    }
    load.end(&scene);
    scene.judge();
}
