//! Voters that find each other over real sockets, or find something else.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::super::{Incarnation, Own, Peers};
use super::*;
use crate::metrics::Metrics;

const PATIENCE: Duration = Duration::from_secs(60);

type Formed = Result<Membership, FormationError>;

/// A broker that may have formed its cluster.
struct Voter {
    peers: Peers,
    formed: JoinHandle<Formed>,
    /// Rounds of dials after which it was not formed yet.
    rounds: watch::Receiver<usize>,
}

async fn bind(count: usize) -> Vec<(TcpListener, SocketAddr)> {
    let mut bound = Vec::new();
    for _ in 0..count {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        bound.push((listener, address));
    }
    bound
}

fn list(addresses: &[SocketAddr]) -> String {
    let voters: Vec<String> =
        (1..).zip(addresses).map(|(node, address): (u32, _)| format!("{node}@{address}")).collect();
    voters.join(",")
}

fn own(node: u32, disk: u8, list: &str) -> Own {
    Own {
        node,
        directory: DirectoryId([disk; 16]),
        incarnation: Incarnation { start: 1, random: [disk; 16] },
        cluster: Some(list.parse().expect("a list")),
        membership: None,
    }
}

/// Starts a voter that makes its membership known as soon as it has one, as a broker does.
fn start(listener: TcpListener, own: Own) -> Voter {
    let peers = Peers::new(own, Arc::new(Metrics::new()));
    peers.listen(listener);
    let forming = peers.clone();
    let (round, rounds) = watch::channel(0);
    let formed = tokio::spawn(async move {
        let membership = forming.form(&|_| round.send_modify(|count| *count += 1)).await?;
        forming.join(&membership);
        Ok(membership)
    });
    Voter { peers, formed, rounds }
}

async fn result(voter: &mut Voter) -> Formed {
    tokio::time::timeout(PATIENCE, &mut voter.formed).await.expect("in time").expect("no panic")
}

async fn refusal(voter: &mut Voter, words: &[&str]) {
    let error = result(voter).await.expect_err("refused").to_string();
    for word in words {
        assert!(error.contains(word), "no {word:?} in {error:?}");
    }
}

#[tokio::test]
async fn voters_form_one_cluster_once_all_are_there() {
    let mut bound = bind(3).await;
    let addresses: Vec<SocketAddr> = bound.iter().map(|(_, address)| *address).collect();
    let list = list(&addresses);
    let (late, _) = bound.pop().expect("three");
    // The late voter's port takes connections already and answers nobody.
    let mut voters: Vec<Voter> = (1..)
        .zip(bound)
        .map(|(node, (listener, _))| start(listener, own(node, node as u8 * 10, &list)))
        .collect();
    for voter in &mut voters {
        let three = voter.rounds.wait_for(|count| *count >= 3);
        let three = tokio::time::timeout(PATIENCE, three).await.expect("in time");
        three.expect("not formed: one is missing");
    }
    voters.push(start(late, own(3, 30, &list)));
    let first = result(&mut voters[0]).await.expect("formed");
    for voter in &mut voters[1..] {
        assert_eq!(result(voter).await.expect("formed"), first);
    }
    let disks: Vec<u8> = first.members.iter().map(|member| member.directory.0[0]).collect();
    assert_eq!(disks, [10, 20, 30]);
    // One that crashed before it could note the membership finds it again; one that lost its disk
    // does not become a member, and both sides know.
    voters[2].peers.stop();
    let listener = rebind(addresses[2]).await;
    let mut again = start(listener, own(3, 30, &list));
    assert_eq!(result(&mut again).await.expect("formed"), first);
    again.peers.stop();
    let listener = rebind(addresses[2]).await;
    let mut empty = start(listener, own(3, 99, &list));
    let id = first.cluster_id.to_string();
    refusal(&mut empty, &["data was lost", &id, "must not vote"]).await;
    assert!(!empty.peers.circle.is_formed());
}

async fn rebind(address: SocketAddr) -> TcpListener {
    let bound = async {
        loop {
            match TcpListener::bind(address).await {
                Ok(listener) => return listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, bound).await.expect("the port is free again")
}

#[tokio::test]
async fn different_lists_are_told_on_both_sides() {
    let bound = bind(3).await;
    let addresses: Vec<SocketAddr> = bound.iter().map(|(_, address)| *address).collect();
    let (all, two) = (list(&addresses), list(&addresses[..2]));
    let mut listeners = bound.into_iter().map(|(listener, _)| listener);
    let mut first = start(listeners.next().expect("three"), own(1, 10, &all));
    let mut second = start(listeners.next().expect("three"), own(2, 20, &two));
    let words = ["was started with the cluster list", &all, &two, "one list"];
    refusal(&mut first, &words).await;
    refusal(&mut second, &words).await;
}

#[tokio::test]
async fn a_list_that_leads_to_the_wrong_places_is_told() {
    let mut bound = bind(2).await;
    let (second, address_2) = bound.pop().expect("two");
    let (first, address_1) = bound.pop().expect("two");
    // Both run where the list has the other.
    let list = list(&[address_1, address_2]);
    let mut voters = [start(second, own(1, 10, &list)), start(first, own(2, 20, &list))];
    for voter in &mut voters {
        refusal(voter, &["leads back to this broker"]).await;
    }
}

#[tokio::test]
async fn two_brokers_with_one_node_id_do_not_form_a_cluster() {
    let mut bound = bind(3).await;
    let (elsewhere, _) = bound.pop().expect("three");
    let addresses: Vec<SocketAddr> = bound.iter().map(|(_, address)| *address).collect();
    let list = list(&addresses);
    let mut listeners = bound.into_iter().map(|(listener, _)| listener);
    let mut second_self = start(elsewhere, own(1, 11, &list));
    let mut first = start(listeners.next().expect("two"), own(1, 10, &list));
    let mut second = start(listeners.next().expect("two"), own(2, 20, &list));
    let membership = result(&mut first).await.expect("formed");
    assert_eq!(result(&mut second).await.expect("formed"), membership);
    refusal(&mut second_self, &["node 1", "node id is taken"]).await;
}

#[test]
fn the_clusters_id_is_of_its_members_in_any_order() {
    let (a, b) = ((1, [1; 16]), (2, [2; 16]));
    assert_eq!(membership_of(vec![a, b]), membership_of(vec![b, a]));
    let others = [vec![a], vec![(2, [1; 16]), (1, [2; 16])], vec![a, (2, [3; 16])], vec![a, b, b]];
    for other in others {
        assert_ne!(membership_of(other).cluster_id, membership_of(vec![a, b]).cluster_id);
    }
}
