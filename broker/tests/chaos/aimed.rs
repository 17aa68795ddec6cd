//! Faults aimed at the broker that leads, or at the one that controls: a replica that reaches a
//! majority leads within the time promised, and stays.

use std::time::Duration;

use synod_broker::demo::clients::silence;
use synod_broker::demo::links::{Link, Links};
use synod_client::admin::Admin;
use tokio::time::{Instant, sleep};

use crate::cluster::TestCluster;
use crate::look::{Lead, Watcher};
use crate::probe::Probes;
use crate::{promised, variable};

/// Until a replica that reaches a majority leads.
const REPLACEMENT_LIMIT: Duration = Duration::from_secs(2);

/// Clients of a leader that can lead on see no longer gap than this, which is a leader's move.
const STALL_LIMIT: Duration = Duration::from_secs(1);

/// New rounds that one fault may cost.
const ROUND_LIMIT: i32 = 3;

/// Time without a fault before and after one.
const CALM: Duration = Duration::from_secs(1);

/// Time from one cut to the next heal of a link that flaps, and from there to the next cut.
const FLAP: Duration = Duration::from_millis(500);

/// What happens to the links around the leader, or to processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    /// All of them are like this.
    Isolated(Link),
    /// It hears all others, and none hears it.
    Unheard,
    /// All others hear it, and it hears none.
    Deaf,
    /// Its links are cut and heal again, time after time.
    Flapping,
    /// Its link to one replica does; it reaches the other.
    FlappingLink,
    /// All links but those of one other replica do.
    FlappingRim,
    /// It reaches one replica that reaches another one; the ends do not reach each other.
    Chain,
    /// It reaches the controller, and none of its replicas.
    NoReplicas,
    /// It reaches its replicas, and not the controller.
    NoController,
    /// All brokers reach one of its replicas, and only that one.
    Rim,
    /// All brokers reach the leader, and only that one.
    Hub,
    /// A process stands still.
    Paused(Role),
}

/// A part in what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Leader,
    Follower,
    Controller,
}

/// What has to become of the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It reaches no majority: another one leads.
    Replaced,
    /// It can lead on, and does.
    Stays,
    /// It may be replaced or not, as long as the partition is led.
    Either,
}

impl Harm {
    fn fate(self) -> Fate {
        match self {
            Harm::Isolated(Link::HalfOpen) | Harm::Flapping | Harm::FlappingRim => Fate::Either,
            Harm::Isolated(_) | Harm::Unheard | Harm::Deaf | Harm::NoReplicas => Fate::Replaced,
            Harm::Paused(Role::Leader) => Fate::Replaced,
            _ => Fate::Stays,
        }
    }

    fn flaps(self) -> bool {
        matches!(self, Harm::Flapping | Harm::FlappingLink | Harm::FlappingRim)
    }

    /// How long it lasts.
    fn duration(self) -> Duration {
        Duration::from_secs(match self {
            Harm::Paused(_) => variable("SYNOD_CHAOS_PAUSE_SECONDS", 5),
            // A leader that looks well again for some seconds must not get it all back.
            _ if self.flaps() => variable("SYNOD_CHAOS_FLAP_SECONDS", 10),
            _ => variable("SYNOD_CHAOS_PARTITION_SECONDS", 4),
        })
    }

    /// Lets it happen for as long as it lasts, or until it is healed.
    async fn strike(self, cluster: &TestCluster, cast: &Cast) {
        let (leader, links) = (cast.leader, cluster.links());
        let end = Instant::now() + self.duration();
        match self {
            Harm::Isolated(link) => links.set_around(leader, link),
            Harm::Unheard => cast.others().for_each(|it| links.set(leader, it, Link::Silent)),
            Harm::Deaf => cast.others().for_each(|it| links.set(it, leader, Link::Silent)),
            Harm::Flapping | Harm::FlappingLink | Harm::FlappingRim => {
                while Instant::now() < end {
                    match self {
                        Harm::Flapping => links.set_around(leader, Link::Cut),
                        Harm::FlappingRim => star(links, cast, cast.replicas[1]),
                        _ => links.set_both(leader, cast.replicas[1], Link::Cut),
                    }
                    sleep(FLAP).await;
                    links.heal();
                    sleep(FLAP).await;
                }
            }
            Harm::Chain => {
                let mut ends = cast.replicas[1..].iter().filter(|it| **it != cast.controller);
                links.set_both(leader, *ends.next_back().expect("a replica"), Link::Cut);
            }
            Harm::NoReplicas => {
                cast.replicas[1..].iter().for_each(|it| links.set_both(leader, *it, Link::Cut));
            }
            Harm::NoController => links.set_both(leader, cast.controller, Link::Cut),
            Harm::Rim => star(links, cast, cast.replicas[1]),
            Harm::Hub => star(links, cast, leader),
            Harm::Paused(role) => cluster.pause(cast.of(role)),
        }
    }

    fn heal(self, cluster: &TestCluster, cast: &Cast) {
        match self {
            Harm::Paused(role) => cluster.resume(cast.of(role)),
            _ => cluster.links().heal(),
        }
    }
}

fn star(links: &Links, cast: &Cast, centre: u32) {
    let rim: Vec<u32> = cast.brokers.iter().copied().filter(|node| *node != centre).collect();
    for (index, one) in rim.iter().enumerate() {
        rim[index + 1..].iter().for_each(|other| links.set_both(*one, *other, Link::Cut));
    }
}

/// Who is who when a fault begins.
#[derive(Debug)]
struct Cast {
    brokers: Vec<u32>,
    controller: u32,
    leader: u32,
    /// Of the probed partition, the leader first; without the controller, where there are others.
    replicas: Vec<u32>,
}

impl Cast {
    fn new(brokers: Vec<u32>, controller: u32, leader_controls: bool) -> Cast {
        let mut replicas: Vec<u32> =
            brokers.iter().copied().filter(|node| *node != controller).collect();
        if leader_controls {
            replicas.insert(0, controller);
        } else {
            replicas.push(controller);
        }
        replicas.truncate(3);
        Cast { brokers, controller, leader: replicas[0], replicas }
    }

    fn of(&self, role: Role) -> u32 {
        match role {
            Role::Leader => self.leader,
            Role::Follower => self.replicas[1],
            Role::Controller => self.controller,
        }
    }

    fn others(&self) -> impl Iterator<Item = u32> {
        self.brokers.iter().copied().filter(|node| *node != self.leader)
    }
}

/// One fault after the other on one cluster, each with a partition of its own.
async fn endure(broker_count: u32, leader_controls: bool, harms: &[Harm]) {
    let cluster = TestCluster::start(broker_count).await;
    let admin = cluster.admin().await;
    for (number, harm) in harms.iter().enumerate() {
        let controller = cluster.wait_all_there(admin.cluster()).await;
        let cast = Cast::new(cluster.nodes().collect(), controller, leader_controls);
        endure_one(&cluster, &admin, *harm, &cast, &format!("probed-{number}")).await;
    }
}

async fn endure_one(cluster: &TestCluster, admin: &Admin, harm: Harm, cast: &Cast, topic: &str) {
    println!("{harm:?}: {cast:?}");
    let partitions = cluster.create_on(topic, &cast.replicas).await;
    let probes = Probes::start(cluster, &partitions, 1).await;
    let mut watcher = Watcher::new(cluster, topic);
    sleep(CALM).await;
    let before = watcher.newest().await.expect("a leader");
    assert_eq!(before.leader, cast.leader, "nothing has happened yet");
    let from = Instant::now();
    harm.strike(cluster, cast).await;
    sleep((harm.duration() / 2).saturating_sub(from.elapsed())).await;
    let soon = watcher.newest().await.expect("a leader");
    sleep(harm.duration().saturating_sub(from.elapsed())).await;
    let during = watcher.newest().await.expect("a leader");
    let to = Instant::now();
    harm.heal(cluster, cast);
    cluster.wait_whole(admin.cluster(), topic).await;
    sleep(CALM).await;
    let after = watcher.newest().await.expect("a leader");
    let acks = probes.judge(cluster).await.remove(0);
    let gap = silence(&acks, from, to);
    let healed = silence(&acks, to, to + CALM);
    let role = if cast.leader == cast.controller { "is" } else { "is not" };
    println!(
        "FIGURE {} brokers, {harm:?}, the leader {role} the controller: silent for {gap:?}, after \
         healing for {healed:?}; {} new rounds, {} more after healing",
        cast.brokers.len(),
        during.round - before.round,
        after.round - during.round,
    );
    judge(harm, [before, soon, during, after], gap, healed);
}

fn judge(harm: Harm, leads: [Lead; 4], gap: Duration, healed: Duration) {
    let [before, soon, during, after] = leads;
    match harm.fate() {
        Fate::Replaced => assert_ne!(during.leader, before.leader, "{harm:?}: {leads:?}"),
        Fate::Stays => {
            assert_eq!(during, before, "{harm:?}: it can lead on");
            assert!(gap < promised(STALL_LIMIT), "{harm:?}: silent for {gap:?}");
        }
        Fate::Either => {}
    }
    assert!(gap <= promised(REPLACEMENT_LIMIT), "{harm:?}: silent for {gap:?}");
    assert!(healed <= promised(REPLACEMENT_LIMIT), "{harm:?}: silent for {healed:?} after healing");
    assert!(after.round - before.round <= ROUND_LIMIT, "{harm:?}: {leads:?}");
    if !harm.flaps() {
        assert_eq!(soon, during, "{harm:?}: stable once it is led");
    }
}

const AROUND: [Harm; 8] = [
    Harm::Isolated(Link::Silent),
    Harm::Isolated(Link::Cut),
    Harm::Isolated(Link::HalfOpen),
    Harm::Unheard,
    Harm::Deaf,
    Harm::Flapping,
    Harm::FlappingLink,
    Harm::Chain,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_among_three_that_is_the_controller() {
    endure(3, true, &AROUND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_among_three_that_is_not_the_controller() {
    endure(3, false, &[&AROUND[..], &[Harm::NoController]].concat()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_among_five_that_is_the_controller() {
    endure(5, true, &[Harm::NoReplicas, Harm::Rim, Harm::Hub, Harm::FlappingRim]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_among_five_that_is_not_the_controller() {
    let all = [Harm::NoReplicas, Harm::NoController, Harm::Rim, Harm::Hub, Harm::FlappingRim];
    endure(5, false, &all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stands_still() {
    endure(3, false, &[Role::Leader, Role::Follower, Role::Controller].map(Harm::Paused)).await;
    endure(3, true, &[Harm::Paused(Role::Leader)]).await;
}
