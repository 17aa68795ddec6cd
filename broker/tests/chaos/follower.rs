//! A follower that is slow or cut off: what does producing cost while the majority is well?
//!
//! Machines are never equally fast for long, so healthy and harmed times take turns within one run.
//! That no producer is stalled is judged; how much longer an answer takes is told.

use std::time::Duration;

use synod_broker::demo::clients::silence;
use synod_broker::demo::links::Link;
use tokio::time::{Instant, sleep};

use crate::cluster::TestCluster;
use crate::probe::{Probes, latencies};
use crate::{promised, variable};

/// How long the follower is well, or harmed, at a time.
const WINDOW: Duration = Duration::from_secs(2);

/// Time for the follower to catch up before the next healthy window.
const CATCH_UP: Duration = Duration::from_secs(1);

/// Longest time without an acknowledgement.
const STALL_LIMIT: Duration = Duration::from_secs(1);

/// A hundredth of the time that a starved process gets.
const SLICE: Duration = Duration::from_millis(5);

/// What the follower suffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    Nothing,
    /// Its links take 100 times as long as a busy loopback.
    SlowLinks,
    /// Its process gets a hundredth of the time.
    Starved,
    /// Its connections are reset.
    Cut,
    /// Nothing passes, and nobody is told so.
    Blackholed,
}

const TURNS: [Harm; 8] = [
    Harm::Nothing,
    Harm::SlowLinks,
    Harm::Nothing,
    Harm::Starved,
    Harm::Nothing,
    Harm::Cut,
    Harm::Nothing,
    Harm::Blackholed,
];

impl Harm {
    /// Lets the follower suffer for a window, and heals it.
    async fn strike(self, cluster: &TestCluster, follower: u32) {
        let slow = Link::Slow(Duration::from_millis(10));
        match self {
            Harm::SlowLinks => cluster.links().set_around(follower, slow),
            Harm::Cut => cluster.links().set_around(follower, Link::Cut),
            Harm::Blackholed => cluster.links().set_around(follower, Link::Silent),
            Harm::Nothing | Harm::Starved => {}
        }
        let end = Instant::now() + WINDOW;
        while self == Harm::Starved && Instant::now() < end {
            cluster.pause(follower);
            sleep(99 * SLICE).await;
            cluster.resume(follower);
            sleep(SLICE).await;
        }
        sleep(end.saturating_duration_since(Instant::now())).await;
        cluster.links().heal();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_or_cut_follower_slows_nobody() {
    let cluster = TestCluster::start(3).await;
    let admin = cluster.admin().await;
    let controller = cluster.wait_all_there(admin.cluster()).await;
    let others: Vec<u32> = cluster.nodes().filter(|node| *node != controller).collect();
    let (leader, follower) = (others[0], others[1]);
    let partitions = cluster.create_on("probed", &[leader, controller, follower]).await;
    let probes = Probes::start(&cluster, &partitions, 1).await;
    sleep(CATCH_UP).await;
    let mut windows = Vec::new();
    for _ in 0..variable("SYNOD_CHAOS_WINDOWS", 1) {
        for harm in TURNS {
            let from = Instant::now();
            harm.strike(&cluster, follower).await;
            windows.push((harm, from, Instant::now()));
            if harm != Harm::Nothing {
                cluster.wait_whole(admin.cluster(), "probed").await;
                sleep(CATCH_UP).await;
            }
        }
    }
    let acks = probes.judge(&cluster).await;
    let mut healthy = None;
    for harm in [Harm::Nothing, Harm::SlowLinks, Harm::Starved, Harm::Cut, Harm::Blackholed] {
        let of_harm = || windows.iter().filter(|(of, ..)| *of == harm);
        let figures = latencies(&acks, of_harm().map(|(_, from, to)| (*from, *to)));
        let p99 = figures.percentile(99);
        let ratio = p99.as_secs_f64() / healthy.get_or_insert(p99).as_secs_f64();
        println!("FIGURE follower {harm:?}: produce takes {figures}; p99 is {ratio:.2} × healthy");
        let gap = of_harm().map(|(_, from, to)| silence(&acks[0], *from, *to)).max();
        let gap = gap.expect("a window");
        assert!(gap < promised(STALL_LIMIT), "{harm:?}: no acknowledgement for {gap:?}");
    }
}
