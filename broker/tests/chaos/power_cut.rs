//! Real power cuts: kill -9 proves nothing about durability, the page cache survives it.
//!
//! All brokers keep their data on one file system, so that one cut hits all in the same moment.

use std::time::Duration;

use synod_broker::demo::clients::Load;
use synod_client::history::Guarantee;
use synod_client::producer::ProducerConfig;
use tokio::time::{Instant, sleep};

use crate::cluster::{PATIENCE, TestCluster};
use crate::disk::Disk;
use crate::figures::Figures;
use crate::support::random::Random;
use crate::variable;

async fn run(broker_count: u32) {
    let mut random = Random::from_environment();
    let disk = Disk::new();
    let mut cluster = TestCluster::start_in(&disk.path(), broker_count).await;
    let replicas = broker_count.min(3) as i16;
    let small = [("segment.bytes", "1048576")];
    let partitions = cluster.create_with(&[("exact", 4), ("plain", 1)], replicas, &small).await;
    let mut workload = cluster.workload(&partitions);
    for target in 0..5 {
        let guarantee = if target < 4 { Guarantee::Exact } else { Guarantee::AtLeastOnce };
        let load = Load { targets: vec![target], value_size: 300, in_flight: 50, pace: None };
        let config = ProducerConfig::default().delivery_timeout(PATIENCE);
        workload.add_sender(guarantee, config, load).await.expect("a sender");
    }
    workload.add_reader().await.expect("a reader");
    let admin = cluster.admin().await;
    let counters = workload.counters();
    let mut back = Figures::default();
    for cut in 1..=variable("SYNOD_POWER_CUTS", 3) {
        sleep(Duration::from_millis(500 + random.below(2000))).await;
        let written = counters.written();
        disk.cut();
        cluster.kill_all();
        disk.restore();
        let started = Instant::now();
        cluster.start_all(PATIENCE).unwrap_or_else(|error| panic!("{error}"));
        for topic in ["exact", "plain"] {
            cluster.wait_led(admin.cluster(), topic).await;
        }
        println!("cut {cut} after {written} records; back after {:?}", started.elapsed());
        back.add(started.elapsed());
    }
    println!("FIGURE power cut on {broker_count} at once: led again after {back}");
    cluster.judge(workload).await;
    // The brokers end before their file system does.
    drop(cluster);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root, loop devices and python3"]
async fn power_cut_of_one_broker() {
    run(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root, loop devices and python3"]
async fn power_cut_of_three_brokers() {
    run(3).await;
}
