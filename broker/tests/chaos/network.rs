//! Links that are slow, cut or one-way: a replica that reaches a majority leads, and stays.

use std::time::Duration;

use synod_broker::demo::clients::silence;
use synod_broker::demo::links::Link;
use synod_client::cluster::Cluster;
use tokio::time::{Instant, sleep};

use crate::cluster::{PATIENCE, TestCluster};
use crate::figures::Figures;
use crate::probe::{Probes, latencies};
use crate::variable;

/// How long a partition of the network lasts.
fn fault_time() -> Duration {
    Duration::from_secs(variable("SYNOD_CHAOS_PARTITION_SECONDS", 6))
}

/// Time without a fault before and after one.
const CALM: Duration = Duration::from_secs(2);

/// Partitions that are probed.
const PROBED: i32 = 3;

/// The sum of the rounds of all partitions of a topic, as this client can learn it.
async fn rounds(client: &Cluster) -> i64 {
    let started = Instant::now();
    loop {
        match client.refresh_topic("probed").await {
            Ok(topic) => {
                return topic
                    .partitions
                    .iter()
                    .map(|partition| i64::from(partition.leader_epoch))
                    .sum();
            }
            Err(error) => assert!(started.elapsed() < PATIENCE, "{error}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Runs probes through a fault of the network, and tells how long partitions were silent and how
/// many rounds it took.
async fn endure(name: &str, broker_count: u32, fault: impl AsyncFn(&TestCluster)) {
    let cluster = TestCluster::start(broker_count).await;
    let partitions = cluster.create(&[("probed", PROBED)], 3).await;
    let admin = cluster.admin().await;
    let probes = Probes::start(&cluster, &partitions, PROBED as u32).await;
    sleep(CALM).await;
    let before = rounds(admin.cluster()).await;
    let from = Instant::now();
    fault(&cluster).await;
    let during = rounds(admin.cluster()).await;
    let to = Instant::now();
    cluster.links().heal();
    cluster.wait_led(admin.cluster(), "probed").await;
    sleep(CALM).await;
    let after = rounds(admin.cluster()).await;
    let acks = probes.judge(&cluster).await;
    let mut silent = Figures::default();
    silent.extend(acks.iter().map(|acks| silence(acks, from, to)));
    let mut healed = Figures::default();
    healed.extend(acks.iter().map(|acks| silence(acks, to, to + CALM)));
    println!(
        "FIGURE {name}: silent for {silent}, after healing for {healed}; \
         {} new rounds of {PROBED} partitions, {} more after healing",
        during - before,
        after - during
    );
    assert!(silent.percentile(100) < PATIENCE / 2, "{name}: {silent}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_reaches_only_the_controller_is_replaced() {
    endure("one replica apart from another (chain)", 3, async |cluster| {
        cluster.links().set_both(1, 3, Link::Cut);
        sleep(fault_time()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_nobody_reaches_is_replaced() {
    endure("one of three isolated", 3, async |cluster| {
        cluster.links().set_around(1, Link::Silent);
        sleep(fault_time()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_star_keeps_its_centre() {
    endure("star of five", 5, async |cluster| {
        for one in 2..=5 {
            for other in one + 1..=5 {
                cluster.links().set_both(one, other, Link::Cut);
            }
        }
        sleep(fault_time()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_hears_and_is_not_heard() {
    endure("one-way: nobody hears broker 1", 3, async |cluster| {
        cluster.links().set(1, 2, Link::Silent);
        cluster.links().set(1, 3, Link::Silent);
        sleep(fault_time()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_heard_and_hears_nothing() {
    endure("one-way: broker 1 hears nobody", 3, async |cluster| {
        cluster.links().set(2, 1, Link::Silent);
        cluster.links().set(3, 1, Link::Silent);
        sleep(fault_time()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flapping_link_causes_no_flapping_leaders() {
    endure("a link that flaps every 500 ms", 3, async |cluster| {
        let end = Instant::now() + fault_time();
        while Instant::now() < end {
            cluster.links().set_both(1, 2, Link::Cut);
            sleep(Duration::from_millis(500)).await;
            cluster.links().heal();
            sleep(Duration::from_millis(500)).await;
        }
    })
    .await;
}

/// The follower of every probed partition that is slowed or cut is broker 3, or a leader on it is
/// moved by its being slow: what counts is what clients see.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_or_cut_follower_slows_nobody() {
    let cluster = TestCluster::start(3).await;
    let partitions = cluster.create(&[("probed", 3)], 3).await;
    let admin = cluster.admin().await;
    let topic = admin.cluster().refresh_topic("probed").await.expect("the topic");
    let leaders: Vec<u32> =
        topic.partitions.iter().map(|p| p.leader.expect("a leader") as u32).collect();
    let follower = 3;
    let probes = Probes::start(&cluster, &partitions, 3).await;
    sleep(CALM).await;
    let healthy = (Instant::now(), sleep(fault_time()).await, Instant::now());
    // 100 times the round trip of a busy loopback.
    for other in [1, 2] {
        cluster.links().set_both(other, follower, Link::Slow(Duration::from_millis(10)));
    }
    sleep(CALM).await;
    let slow = (Instant::now(), sleep(fault_time()).await, Instant::now());
    cluster.links().set_around(follower, Link::Cut);
    sleep(CALM).await;
    let cut = (Instant::now(), sleep(fault_time()).await, Instant::now());
    cluster.links().heal();
    let acks = probes.judge(&cluster).await;
    // Partitions that the harmed broker itself led are another story.
    let acks: Vec<_> = acks
        .into_iter()
        .zip(leaders)
        .filter(|(_, leader)| *leader != follower)
        .map(|(a, _)| a)
        .collect();
    for (name, (from, (), to)) in [("healthy", healthy), ("slow", slow), ("cut", cut)] {
        println!("FIGURE follower {name}: produce takes {}", latencies(&acks, from, to));
    }
}
