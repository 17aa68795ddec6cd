//! Brokers' links over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use synod_log::identity::{ClusterId, Member};
use synod_paxos::{Heartbeat, NodeId};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;

/// Longer than anything here takes, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A broker's part in the protocol, with what arrives at its metadata group.
struct Side {
    peers: Peers,
    control: mpsc::Receiver<Received>,
    _shards: mpsc::Receiver<Introduced>,
    metrics: Arc<Metrics>,
}

async fn bind() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    (listener, address)
}

fn directory(node: u32) -> DirectoryId {
    DirectoryId([node as u8; 16])
}

fn own(node: u32, start: u64, addresses: &[SocketAddr]) -> Own {
    let nodes = || (1u32..).zip(addresses);
    let list: Vec<String> = nodes().map(|(node, address)| format!("{node}@{address}")).collect();
    let members = nodes().map(|(node_id, _)| Member { node_id, directory: directory(node_id) });
    let cluster_id = ClusterId([7; 16]);
    Own {
        node,
        directory: directory(node),
        incarnation: Incarnation { start, random: [start as u8; 16] },
        cluster: Some(list.join(",").parse().expect("a cluster list")),
        membership: Some(Membership { cluster_id, members: members.collect() }),
    }
}

fn side(listener: TcpListener, own: Own) -> Side {
    let metrics = Arc::new(Metrics::new());
    let peers = Peers::new(own, metrics.clone());
    peers.listen(listener);
    let (sender, control) = Inbound::control();
    let (shard, shards) = mpsc::channel(8);
    peers.serve(Inbound { shards: vec![shard], control: sender, lags: Inbound::lags().0 });
    Side { peers, control, _shards: shards, metrics }
}

async fn pair() -> (Side, Side, Vec<SocketAddr>) {
    let ((a, first), (b, second)) = (bind().await, bind().await);
    let addresses = vec![first, second];
    (side(a, own(1, 1, &addresses)), side(b, own(2, 1, &addresses)), addresses)
}

fn request(id: u64) -> ControlMessage {
    ControlMessage::Request { id, body: Bytes::from_static(b"body") }
}

fn heartbeat(hears: &[u32]) -> ControlMessage {
    ControlMessage::Heartbeat(BrokerHeartbeat {
        election: Heartbeat { round: 1, quorum: true, leads: None, follows: None },
        hears: hears.iter().map(|node| NodeId(*node)).collect(),
        linked: Vec::new(),
        incarnation: Incarnation::default(),
        metadata_end: 0,
    })
}

/// Waits for what another task brings about.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn connected(side: &Side, peer: u32) {
    let link = side.metrics.link(peer, "control");
    until("connected", || link.connected.value() == 1).await;
}

async fn receive(side: &mut Side) -> (NodeId, ControlMessage) {
    let (from, message, _share) =
        timeout(PATIENCE, side.control.recv()).await.expect("in time").expect("open");
    (from, message)
}

#[tokio::test]
async fn messages_arrive_in_order_and_heartbeats_make_contact() {
    let (a, mut b, _) = pair().await;
    let links = a.peers.control_links();
    connected(&a, 2).await;
    for id in 0..1000 {
        links.send(NodeId(2), request(id));
        links.send(NodeId(9), request(id));
    }
    for id in 0..1000 {
        assert_eq!(receive(&mut b).await, (NodeId(1), request(id)));
    }
    let contacts = b.peers.contacts();
    let began = std::time::Instant::now();
    links.send(NodeId(2), heartbeat(&[1, 3]));
    assert_eq!(receive(&mut b).await.1, heartbeat(&[1, 3]));
    assert!(!contacts.heard_since(NodeId(1), began), "it does not hear this broker");
    links.send(NodeId(2), heartbeat(&[2]));
    assert_eq!(receive(&mut b).await.1, heartbeat(&[2]));
    assert!(contacts.heard_since(NodeId(1), began));
}

#[tokio::test]
async fn a_link_comes_back_after_the_peers_restart() {
    let (a, b, addresses) = pair().await;
    let links = a.peers.control_links();
    connected(&a, 2).await;
    b.peers.stop();
    drop(b);
    let link = a.metrics.link(2, "control");
    until("broken", || link.connected.value() == 0).await;
    links.send(NodeId(2), request(1));
    assert_eq!(link.dropped.value(), 1, "nothing waits for a peer that is not there");
    let listener = loop {
        // The old listener's task may still be ending.
        match TcpListener::bind(addresses[1]).await {
            Ok(listener) => break listener,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let mut b = side(listener, own(2, 2, &addresses));
    connected(&a, 2).await;
    assert_eq!(link.connections.value(), 2);
    links.send(NodeId(2), request(2));
    assert_eq!(receive(&mut b).await, (NodeId(1), request(2)));
}

#[tokio::test]
async fn a_peer_that_never_reads_holds_nobody_up() {
    let (a, b, _) = pair().await;
    let links = a.peers.control_links();
    connected(&a, 2).await;
    // Nobody takes what arrives at b, so its inbox, the sockets and then the queue fill up.
    let body = Bytes::from(vec![0; crate::limits::CONTROL_BODY_SIZE]);
    let link = a.metrics.link(2, "control");
    for id in 0..2000 {
        links.send(NodeId(2), ControlMessage::Request { id, body: body.clone() });
        tokio::task::yield_now().await;
        assert!(link.queued_size.value() <= crate::limits::LINK_QUEUE_SIZE as i64);
        if link.dropped.value() > 0 {
            break;
        }
    }
    assert!(link.dropped.value() > 0, "the queue has an end");
    drop(b);
}
