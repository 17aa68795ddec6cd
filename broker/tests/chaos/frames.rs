//! Frames that are changed, cut, repeated or made up on a connection whose two ends know each
//! other: the one that gets them closes the connection, takes nothing of it, and all goes on.

use std::time::Duration;

use synod_broker::demo::clients::Load;
use synod_broker::demo::links::Link;
use synod_client::history::Guarantee;
use synod_client::producer::ProducerConfig;

use crate::cluster::TestCluster;
use crate::scrape::{metric, says, until};
use crate::tamper::{Attack, Tamper};

const REFUSED: &str = "synod_peer_frames_refused_total";

/// Where a broker really listens for others.
fn peer_address(cluster: &TestCluster, node: u32) -> std::net::SocketAddr {
    let command = cluster.command(node);
    let mut args = command.get_args().skip_while(|arg| *arg != "--peer-listen");
    let address = args.nth(1).and_then(|arg| arg.to_str()).expect("an address");
    address.parse().expect("an address")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_frames_on_a_live_connection_end_it_and_nothing_else() {
    let cluster = TestCluster::start(3).await;
    let partitions = cluster.create(&[("frames", 3)], 3).await;
    let mut workload = cluster.workload(&partitions);
    let pace = Some(Duration::from_millis(2));
    let load = Load { targets: vec![0, 1, 2], value_size: 200, in_flight: 20, pace };
    let config = ProducerConfig::default().delivery_timeout(Duration::from_secs(60));
    workload.add_sender(Guarantee::Exact, config, load).await.expect("a sender");
    workload.add_reader().await.expect("a reader");
    let counters = workload.counters();
    // From now on all that others say to broker 1 passes through these hands.
    let tamper = Tamper::start(peer_address(&cluster, 1));
    cluster.links().lead_to(1, tamper.address());
    for other in [2, 3] {
        cluster.links().set(other, 1, Link::Cut);
        let connected = || metric(&cluster, other, "synod_peer_connected", "peer=\"1\"");
        until("the connections are gone", || connected() == 0).await;
        cluster.links().set(other, 1, Link::Open);
    }
    until("the brokers dial anew", || tamper.connections() >= 4).await;
    for attack in [
        Attack::Garbage,
        Attack::Oversize,
        Attack::FlipHeader,
        Attack::Repeat,
        Attack::Omit,
        Attack::Replay,
        Attack::Introduce,
        Attack::Truncate,
        Attack::FlipPayload,
    ] {
        let (refused, connections) = (metric(&cluster, 1, REFUSED, ""), tamper.connections());
        let written = counters.written();
        tamper.arm(attack);
        until(&format!("{attack:?} strikes"), || tamper.is_done()).await;
        match attack {
            // The frame is sound, the batch in it is not: it alone is dropped.
            Attack::FlipPayload => says(&cluster, 1, &["a peer's message is dropped"]).await,
            // A connection that ends in the middle of a frame is an ordinary end.
            Attack::Truncate => {
                until("dialed again", || tamper.connections() > connections).await;
                assert_eq!(metric(&cluster, 1, REFUSED, ""), refused, "{attack:?}");
            }
            _ => {
                let now = || metric(&cluster, 1, REFUSED, "");
                until(&format!("{attack:?} is refused"), || now() > refused).await;
                until("dialed again", || tamper.connections() > connections).await;
            }
        }
        until("produce goes on", || counters.written() > written + 50).await;
    }
    says(&cluster, 1, &["a peer's connection is closed"]).await;
    cluster.judge(workload).await;
}
