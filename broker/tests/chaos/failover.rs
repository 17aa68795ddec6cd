//! Leaders that vanish: how long until somebody else leads.

use std::time::Duration;

use synod_broker::demo::clients::silence;
use synod_client::cluster::{Cluster, Topic};
use tokio::time::{Instant, sleep};

use crate::cluster::{PATIENCE, TestCluster};
use crate::figures::Figures;
use crate::probe::{PROBE_PACE, Probes};
use crate::variable;

/// Partitions that are probed.
const PROBED: i32 = 6;

/// Time for a fault to show and pass before the next; the promise is 2 s.
const SETTLE: Duration = Duration::from_secs(3);

fn kill_count() -> u64 {
    variable("SYNOD_CHAOS_KILLS", 3)
}

/// The partitions that a broker leads.
fn led_by(topic: &Topic, node: u32) -> Vec<usize> {
    let is_led = |index: &usize| topic.partitions[*index].leader == Some(node as i32);
    (0..topic.partitions.len()).filter(is_led).collect()
}

async fn topic(client: &Cluster, name: &str) -> std::sync::Arc<Topic> {
    client.refresh_topic(name).await.expect("the topic")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_is_replaced() {
    let mut cluster = TestCluster::start(3).await;
    let partitions = cluster.create(&[("probed", PROBED)], 3).await;
    let admin = cluster.admin().await;
    let probes = Probes::start(&cluster, &partitions, PROBED as u32).await;
    sleep(SETTLE).await;
    // Which partitions were concerned, from when to when.
    let mut faults = Vec::new();
    for _ in 0..kill_count() {
        let before = topic(admin.cluster(), "probed").await;
        let victim = before.partitions[0].leader.expect("a leader") as u32;
        let killed = Instant::now();
        cluster.kill(victim);
        sleep(SETTLE).await;
        faults.push((led_by(&before, victim), killed, Instant::now()));
        cluster.restart(victim);
        cluster.wait_whole(admin.cluster(), "probed").await;
        sleep(SETTLE).await;
    }
    let acks = probes.judge(&cluster).await;
    let mut figures = Figures::default();
    for (concerned, from, to) in &faults {
        let silences = concerned.iter().map(|index| silence(&acks[*index], *from, *to));
        figures.add(silences.max().expect("a partition led by the victim"));
    }
    println!("FIGURE leader killed: produce resumes after {figures}");
    assert!(figures.percentile(100) < PATIENCE / 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_broker_hands_its_leaderships_over() {
    let mut cluster = TestCluster::start(3).await;
    let partitions = cluster.create(&[("probed", PROBED)], 3).await;
    let admin = cluster.admin().await;
    let probes = Probes::start(&cluster, &partitions, PROBED as u32).await;
    sleep(SETTLE).await;
    let mut faults = Vec::new();
    for _ in 0..kill_count() {
        let before = topic(admin.cluster(), "probed").await;
        let victim = before.partitions[0].leader.expect("a leader") as u32;
        let asked = Instant::now();
        let status = cluster.stop(victim, PATIENCE).expect("it stops by itself");
        assert!(status.success(), "{status}");
        println!("broker {victim} stopped after {:?}", asked.elapsed());
        sleep(SETTLE).await;
        faults.push((led_by(&before, victim), asked, Instant::now()));
        cluster.restart(victim);
        cluster.wait_whole(admin.cluster(), "probed").await;
        sleep(SETTLE).await;
    }
    let acks = probes.judge(&cluster).await;
    let mut figures = Figures::default();
    for (concerned, from, to) in &faults {
        figures.extend(concerned.iter().map(|index| silence(&acks[*index], *from, *to)));
    }
    println!("FIGURE planned move (stop): a partition is silent for {figures}");
    assert!(figures.percentile(100) < PATIENCE / 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_controller_stalls_nobody_else() {
    let mut cluster = TestCluster::start(3).await;
    let partitions = cluster.create(&[("probed", PROBED)], 3).await;
    let admin = cluster.admin().await;
    let probes = Probes::start(&cluster, &partitions, PROBED as u32).await;
    sleep(SETTLE).await;
    let mut faults = Vec::new();
    for _ in 0..kill_count() {
        let before = topic(admin.cluster(), "probed").await;
        let controller = admin.cluster().metadata().controller().expect("a controller") as u32;
        let killed = Instant::now();
        cluster.kill(controller);
        sleep(SETTLE).await;
        faults.push((led_by(&before, controller), killed, Instant::now()));
        cluster.restart(controller);
        cluster.wait_whole(admin.cluster(), "probed").await;
        sleep(SETTLE).await;
    }
    let acks = probes.judge(&cluster).await;
    let (mut others, mut own) = (Figures::default(), Figures::default());
    for (concerned, from, to) in &faults {
        for (index, acks) in acks.iter().enumerate() {
            let figures = if concerned.contains(&index) { &mut own } else { &mut others };
            figures.add(silence(acks, *from, *to));
        }
    }
    println!("FIGURE controller killed, probes every {PROBE_PACE:?}: led by others {others}");
    println!("FIGURE controller killed, probes every {PROBE_PACE:?}: led by it {own}");
    assert!(own.percentile(100) < PATIENCE / 2 && others.percentile(100) < PATIENCE / 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_leaders_on_one_killed_broker_are_replaced() {
    let count = variable("SYNOD_CHAOS_PARTITIONS", 100) as i32;
    let mut cluster = TestCluster::start(3).await;
    let partitions = cluster.create(&[("probed", 3)], 3).await;
    // With three brokers and evenly spread leaders, each leads a third of these.
    cluster.create(&[("many", count * 3)], 3).await;
    let admin = cluster.admin().await;
    let probes = Probes::start(&cluster, &partitions, 3).await;
    sleep(SETTLE).await;
    let before = topic(admin.cluster(), "many").await;
    let victim = (1..=3).max_by_key(|node| led_by(&before, *node).len()).expect("three brokers");
    let led = led_by(&before, victim).len();
    let killed = Instant::now();
    cluster.kill(victim);
    let is_replaced = |topic: &Topic| {
        let mut leaders = topic.partitions.iter().map(|partition| partition.leader);
        leaders.all(|leader| leader.is_some_and(|leader| leader != victim as i32))
    };
    cluster.wait_for(admin.cluster(), "many", "new leaders", is_replaced).await;
    println!(
        "FIGURE {led} leaders on the killed broker: all appointed after {:?}",
        killed.elapsed()
    );
    cluster.restart(victim);
    cluster.wait_whole(admin.cluster(), "many").await;
    probes.judge(&cluster).await;
}
