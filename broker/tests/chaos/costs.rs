//! What a failover costs those who are left.

use std::time::Duration;

use synod_client::cluster::Topic;
use tokio::time::sleep;

use crate::cluster::TestCluster;
use crate::scrape::{metric, until};
use crate::variable;

/// Time for what creating topics set off to come to rest.
const SETTLE: Duration = Duration::from_secs(3);

fn led_by(topic: &Topic, node: u32) -> usize {
    topic.partitions.iter().filter(|partition| partition.leader == Some(node as i32)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_costs_acceptors_a_few_journal_syncs_and_frames() {
    let count = variable("SYNOD_CHAOS_PARTITIONS", 100) as i32;
    let mut cluster = TestCluster::start(3).await;
    cluster.create(&[("many", count * 3)], 3).await;
    let admin = cluster.admin().await;
    cluster.wait_whole(admin.cluster(), "many").await;
    sleep(SETTLE).await;
    let before = admin.cluster().refresh_topic("many").await.expect("the topic");
    let victim = (1..=3).max_by_key(|node| led_by(&before, *node)).expect("three brokers");
    let led = led_by(&before, victim);
    let survivors = || (1..=3).filter(move |node| *node != victim);
    let costs = |cluster: &TestCluster| {
        survivors()
            .map(|node| {
                let syncs = metric(cluster, node, "synod_journal_sync_duration_seconds_count", "");
                let frames = metric(cluster, node, "synod_peer_sent_frames_total", "shard");
                (syncs, frames)
            })
            .collect::<Vec<_>>()
    };
    let from = costs(&cluster);
    cluster.kill(victim);
    let is_replaced = |topic: &Topic| {
        let mut leaders = topic.partitions.iter().map(|partition| partition.leader);
        leaders.all(|leader| leader.is_some_and(|leader| leader != victim as i32))
    };
    cluster.wait_for(admin.cluster(), "many", "new leaders", is_replaced).await;
    // Appointed is not ready yet: all of them have to be led.
    let led_here = |node| {
        // Its own number for each partition that it leads.
        metric(&cluster, node, "kafka_topic_partition_leader", "many") / u64::from(node)
    };
    let ready = || survivors().map(led_here).sum::<u64>();
    until("all are led", || ready() == before.partitions.len() as u64).await;
    for ((before, after), node) in from.into_iter().zip(costs(&cluster)).zip(survivors()) {
        let (syncs, frames) = (after.0 - before.0, after.1 - before.1);
        println!(
            "FIGURE {led} leaders replaced: broker {node}: {syncs} journal syncs, {frames} frames"
        );
        assert!(syncs <= 12 && frames <= 40, "{syncs} syncs, {frames} frames for {led} partitions");
    }
}
