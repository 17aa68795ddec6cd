//! Random faults under load.

use std::time::Duration;

use synod_broker::demo::clients::Load;
use synod_broker::demo::links::Link;
use synod_client::Cluster;
use synod_client::history::Guarantee;
use synod_client::producer::ProducerConfig;
use tokio::time::{Instant, sleep, timeout};

use crate::cluster::TestCluster;
use crate::support::random::Random;
use crate::variable;

/// How long the controller is looked for before any broker will do.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// The kinds of fault, one of which happens at a time; a next one may come before the last healed.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// A broker ends as `kill -9` does and starts again later.
    Kill,
    /// The controller does.
    KillController,
    /// All do, in the same moment.
    KillAll,
    /// A broker stops as it should and starts again.
    Stop,
    /// A broker's process stands still.
    Pause,
    /// Nothing passes between a broker and the others, or connections end, told or untold.
    Isolate(Link),
    /// Nothing passes between two brokers, in one direction or both.
    Part(Link),
    /// What one broker says to another arrives late.
    Slow,
}

impl Fault {
    fn draw(broker_count: u32, random: &mut Random) -> Fault {
        if broker_count == 1 {
            // There is nobody to be cut off from.
            return [Fault::Kill, Fault::Stop, Fault::Pause][random.below(3) as usize];
        }
        let link = [Link::Cut, Link::Silent, Link::HalfOpen][random.below(3) as usize];
        match random.below(16) {
            0..4 => Fault::Kill,
            4 => Fault::KillController,
            5 => Fault::KillAll,
            6 => Fault::Stop,
            7..10 => Fault::Pause,
            10..12 => Fault::Isolate(link),
            12..14 => Fault::Part(link),
            _ => Fault::Slow,
        }
    }
}

/// The longest a fault lasts; longer runs have longer ones, up to a minute.
fn longest(run: Duration) -> Duration {
    (run / 10).clamp(Duration::from_secs(3), Duration::from_secs(60))
}

async fn run(broker_count: u32, salt: u64) {
    let seed = variable("SYNOD_TEST_SEED", 1);
    let by_default = match broker_count {
        1 => 10,
        3 => 90,
        _ => 60,
    };
    let duration = Duration::from_secs(variable("SYNOD_CHAOS_SECONDS", by_default));
    println!("SYNOD_TEST_SEED={seed} SYNOD_CHAOS_SECONDS={}", duration.as_secs());
    let mut random = Random::from_seed(seed.wrapping_add(salt));
    let mut cluster = TestCluster::start(broker_count).await;
    let partitions =
        cluster.create(&[("exact", 6), ("plain", 2)], broker_count.min(3) as i16).await;
    let mut workload = cluster.workload(&partitions);
    let load = |targets: &[u32]| Load {
        targets: targets.into(),
        value_size: 200,
        in_flight: 50,
        pace: Some(Duration::from_millis(2)),
    };
    let config = || ProducerConfig::default().delivery_timeout(Duration::from_secs(60));
    for targets in [[0, 1], [2, 3], [4, 5], [0, 5]] {
        workload.add_sender(Guarantee::Exact, config(), load(&targets)).await.expect("a sender");
    }
    workload.add_sender(Guarantee::AtLeastOnce, config(), load(&[6, 7])).await.expect("a sender");
    for _ in 0..2 {
        workload.add_reader().await.expect("a reader");
    }
    let admin = cluster.admin().await;
    let deadline = Instant::now() + duration;
    while Instant::now() < deadline {
        let fault = Fault::draw(broker_count, &mut random);
        harm(&mut cluster, admin.cluster(), fault, &mut random, longest(duration)).await;
        sleep(Duration::from_millis(random.below(3000))).await;
    }
    heal(&mut cluster).await;
    cluster.judge(workload).await;
}

/// Lets a fault happen, waits, and heals most of it.
async fn harm(
    cluster: &mut TestCluster,
    client: &Cluster,
    fault: Fault,
    random: &mut Random,
    longest: Duration,
) {
    let nodes: Vec<u32> = cluster.nodes().collect();
    let one = nodes[random.below(nodes.len() as u64) as usize];
    let others: Vec<u32> = nodes.iter().copied().filter(|node| *node != one).collect();
    let drawn = random.below(others.len().max(1) as u64) as usize;
    let other = others.get(drawn).copied().unwrap_or(one);
    let lasts = Duration::from_millis(random.below(longest.as_millis() as u64));
    let is_one_way = random.below(2) == 0;
    println!("{fault:?} of {one} ({other}) for {lasts:?}");
    match fault {
        Fault::Kill => cluster.kill(one),
        Fault::KillController => {
            let controller = timeout(LOOK_TIMEOUT, client.refresh_metadata()).await;
            let controller = controller.ok().and_then(|known| known.ok()?.controller());
            cluster.kill(controller.map_or(one, |id| id as u32));
        }
        Fault::KillAll => cluster.kill_all(),
        Fault::Stop => {
            let status = cluster.stop(one, Duration::from_secs(20));
            assert!(status.is_some(), "broker {one} did not stop");
        }
        Fault::Pause => cluster.pause(one),
        Fault::Isolate(link) => cluster.links().set_around(one, link),
        Fault::Part(link) if is_one_way => cluster.links().set(one, other, link),
        Fault::Part(link) => cluster.links().set_both(one, other, link),
        Fault::Slow => {
            cluster.links().set(one, other, Link::Slow(Duration::from_millis(random.below(300))));
        }
    }
    sleep(lasts).await;
    match fault {
        Fault::Pause => cluster.resume(one),
        Fault::Isolate(_) | Fault::Part(_) | Fault::Slow => cluster.links().heal(),
        // They need not be ready before the next fault.
        _ => nodes.iter().for_each(|node| cluster.start(*node).expect("a broker starts")),
    }
}

/// Undoes every fault and waits until all brokers are ready.
async fn heal(cluster: &mut TestCluster) {
    cluster.links().heal();
    for node in cluster.nodes() {
        cluster.resume(node);
    }
    cluster.start_all(crate::cluster::PATIENCE).unwrap_or_else(|error| panic!("{error}"));
    let started = Instant::now();
    let client = cluster.admin().await;
    for topic in ["exact", "plain"] {
        cluster.wait_whole(client.cluster(), topic).await;
    }
    println!("whole {:?} after the last broker was ready", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_broker_keeps_its_promises() {
    run(1, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_brokers_keep_their_promises() {
    run(3, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_brokers_keep_their_promises() {
    run(5, 1).await;
}
