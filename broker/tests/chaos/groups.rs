//! A large group whose members come, go and die: how long partitions are without an owner.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use synod_client::consumer::{Assignor, Consumer, ConsumerConfig, GroupConfig};
use synod_client::{ClientConfig, Cluster};
use tokio::runtime;
use tokio::sync::watch;

use crate::cluster::{PATIENCE, TestCluster};
use crate::support::random::Random;
use crate::variable;

const MEMBERS: usize = 50;

const PARTITIONS: usize = 60;

/// The shortest that the broker takes.
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// What detecting a death and forming the next generation may take.
const GRACE: Duration = Duration::from_secs(3);

/// From one change of the members to the next, on average.
const CHANGE_INTERVAL: Duration = Duration::from_secs(1);

/// From one death to the next. A generation waits for whoever died while it forms, so deaths that
/// follow each other closely may add up, in any classic group.
const DEATH_INTERVAL: Duration = Duration::from_secs(10);

/// How a member ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    NotYet,
    /// It says goodbye.
    Leaves,
    /// It falls silent.
    Dies,
}

/// When each partition had an owner last, and how long it ever was without.
#[derive(Debug)]
struct Owned(Mutex<[(Option<Instant>, Duration); PARTITIONS]>);

impl Owned {
    fn lock(&self) -> MutexGuard<'_, [(Option<Instant>, Duration); PARTITIONS]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A member has these now.
    fn note(&self, partitions: &BTreeSet<usize>) {
        let now = Instant::now();
        let mut all = self.lock();
        for partition in partitions {
            let (last, longest) = &mut all[*partition];
            *longest = (*longest).max(last.map_or(Duration::ZERO, |last| now - last));
            *last = Some(now);
        }
    }

    fn all_were_owned(&self) -> bool {
        self.lock().iter().all(|(last, _)| last.is_some())
    }

    /// The longest that any partition was without an owner, up to now.
    fn longest(&self) -> Duration {
        let open = |last: Option<Instant>| last.map_or(Duration::MAX, |last| last.elapsed());
        let each = self.lock().map(|(last, longest)| longest.max(open(last)));
        each.into_iter().max().unwrap_or_default()
    }
}

/// A member on a thread and a runtime of its own, so that it can die with all its tasks.
struct Member {
    end: watch::Sender<End>,
    running: thread::JoinHandle<()>,
}

impl Member {
    fn start(brokers: Vec<String>, owned: Arc<Owned>) -> Member {
        let (end, told) = watch::channel(End::NotYet);
        let running = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime");
            let dead = runtime.block_on(follow(brokers, &owned, &told));
            drop(runtime);
            drop(dead);
        });
        Member { end, running }
    }

    fn end(self, end: End) -> thread::JoinHandle<()> {
        // It may have failed; then joining it tells.
        let _ = self.end.send(end);
        self.running
    }
}

/// Reads until it is told to end. One that is to die comes back as it is.
async fn follow(
    brokers: Vec<String>,
    owned: &Owned,
    told: &watch::Receiver<End>,
) -> Option<Consumer> {
    let cluster = Cluster::connect(ClientConfig::new(brokers)).await.expect("a broker answers");
    let group = GroupConfig::new("many")
        .assignors([Assignor::Range])
        .heartbeat_interval(Duration::from_millis(300))
        .session_timeout(SESSION_TIMEOUT);
    let config = ConsumerConfig::default().group(group);
    let mut consumer = Consumer::new(cluster, config).expect("a consumer");
    consumer.subscribe(["many"]).expect("subscribed");
    loop {
        match *told.borrow() {
            End::NotYet => {}
            End::Dies => return Some(consumer),
            End::Leaves => {
                consumer.close().await;
                return None;
            }
        }
        consumer.poll(Duration::from_millis(50)).await.expect("it goes on");
        let mine = consumer.assignment().filter_map(|at| usize::try_from(at.partition).ok());
        owned.note(&mine.collect());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_group_whose_members_come_go_and_die() {
    let seed = variable("SYNOD_TEST_SEED", 1);
    let duration = Duration::from_secs(variable("SYNOD_GROUP_SECONDS", 20));
    println!("SYNOD_TEST_SEED={seed} SYNOD_GROUP_SECONDS={}", duration.as_secs());
    let mut random = Random::from_seed(seed);
    let cluster = TestCluster::start(3).await;
    cluster.create(&[("many", PARTITIONS as i32)], 3).await;
    let owned = Arc::new(Owned(Mutex::new([(None, Duration::ZERO); PARTITIONS])));
    let start = || Member::start(cluster.bootstrap(), owned.clone());
    let mut members: Vec<Member> = (0..MEMBERS).map(|_| start()).collect();
    let mut ended = Vec::new();
    let started = Instant::now();
    while !owned.all_were_owned() {
        assert!(started.elapsed() < PATIENCE, "the group does not form");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("{MEMBERS} members have a generation after {:?}", started.elapsed());
    let (started, mut died) = (Instant::now(), Instant::now());
    let (mut deaths, mut leaves) = (0, 0);
    while started.elapsed() < duration {
        let pause = random.below(2 * CHANGE_INTERVAL.as_millis() as u64);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let one = random.below(members.len() as u64) as usize;
        if died.elapsed() >= DEATH_INTERVAL {
            died = Instant::now();
            deaths += 1;
            ended.push(members.swap_remove(one).end(End::Dies));
        } else if members.len() == MEMBERS || random.below(2) == 0 {
            leaves += 1;
            ended.push(members.swap_remove(one).end(End::Leaves));
        } else {
            members.push(start());
        }
    }
    let longest = owned.longest();
    println!("FIGURE {deaths} died, {leaves} left: a partition had no owner for {longest:?}");
    ended.extend(members.into_iter().map(|member| member.end(End::Leaves)));
    for member in ended {
        member.join().expect("a member ends well");
    }
    assert!(longest <= SESSION_TIMEOUT + GRACE, "a partition had no owner for {longest:?}");
}
