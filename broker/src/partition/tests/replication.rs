//! Replicas of several brokers, one situation at a time.

use super::cluster::{Cluster, Producer};
use super::*;
use crate::limits::PROBE_TICKS;

fn ok(answer: &mut oneshot::Receiver<Vec<AppendOutcome>>) -> u64 {
    base_of(answer).expect("answered")
}

fn outcome(answer: &mut oneshot::Receiver<Vec<AppendOutcome>>) -> AppendOutcome {
    answer.try_recv().expect("answered")[0]
}

#[test]
fn a_batch_is_answered_once_a_majority_has_synced_it_and_reaches_all() {
    let mut cluster = Cluster::led();
    let mut answer = cluster.node(1).append(plain(&["a", "b"]), Acks::All);
    cluster.node(1).sync();
    assert!(answer.try_recv().is_err(), "on the leader alone");
    cluster.deliver_all();
    cluster.deliver_all();
    assert!(answer.try_recv().is_err(), "followers have not synced");
    cluster.node(2).sync();
    cluster.deliver_all();
    assert_eq!(ok(&mut answer), 0);
    cluster.settle();
    cluster.run(3);
    assert!((1..=3).all(|id| cluster.partition(id).decided_end() == 2));
    assert_eq!(cluster.node(1).bytes(2), cluster.node(3).bytes(2));
}

#[test]
fn what_arrives_in_one_turn_is_told_in_one_message_and_written_as_it_is() {
    let mut cluster = Cluster::led();
    let large = "x".repeat(10_000);
    let run = vec![
        sequenced(0, &["a"]),
        sequenced(1, &[&large]),
        sequenced(1, &[&large]),
        sequenced(7, &["a gap"]),
        sequenced(2, &["b", "c"]),
    ];
    let mut answers = cluster.node(1).append_run(run, Acks::All);
    cluster.collect();
    let accepts =
        cluster.in_flight.iter().filter(|(_, it)| it.message.message.batches().len() == 3);
    assert_eq!((accepts.count(), cluster.in_flight.len()), (2, 2), "one to each follower");
    cluster.settle();
    cluster.run(3);
    let outcomes: Vec<_> =
        answers.iter_mut().map(|it| outcome(it).map(|it| it.base_offset)).collect();
    let gap = Err(AppendError::OutOfOrderSequence);
    assert_eq!(outcomes, [Ok(0), Ok(1), Ok(1), gap, Ok(2)]);
    assert!((1..=3).all(|id| cluster.partition(id).decided_end() == 4));
    cluster.assert_equal();
}

#[test]
fn a_run_that_does_not_fit_one_message_takes_several() {
    let mut cluster = Cluster::led();
    let large = "x".repeat(1 << 20);
    let run = (0..10).map(|_| plain(&[&large])).collect();
    let mut answers = cluster.node(1).append_run(run, Acks::All);
    cluster.collect();
    let sizes = cluster.in_flight.iter().map(|(_, it)| it.message.payload_size());
    assert!(sizes.clone().count() > 4 && sizes.max() < Some(6 << 20));
    cluster.settle();
    cluster.run(3);
    assert!(answers.iter_mut().map(ok).eq(0..10));
    cluster.assert_equal();
}

#[test]
fn an_overruled_tail_is_cut_after_its_mark_whatever_moment_the_power_fails() {
    for crash_at in 0..7 {
        let mut cluster = Cluster::led();
        let mut producer = Producer::default();
        producer.send(cluster.node(1), "kept".into());
        cluster.settle();
        cluster.run(2);
        cluster.cut = vec![NodeId(1)];
        let _lost = cluster.node(1).append(sequenced(0, &["lost"]), Acks::All);
        cluster.node(1).sync();
        cluster.node(1).write_journal();
        cluster.appoint(2);
        cluster.run(3);
        producer.send(cluster.node(2), "new".into());
        cluster.run(3);
        producer.hear();
        assert_eq!(producer.acked.len(), 2);
        cluster.cut.clear();
        cluster.tick();
        for step in 0..12 {
            if step == crash_at {
                cluster.node(1).crash();
                cluster.node(1).start();
            }
            cluster.deliver_all();
            match step % 2 {
                0 => cluster.node(1).write_journal(),
                _ => cluster.node(1).sync(),
            }
            cluster.node(2).sync();
            cluster.node(3).sync();
            if step % 3 == 0 {
                cluster.tick();
            }
        }
        cluster.run(10);
        let ends = [1, 2, 3].map(|id| cluster.partition(id).decided_end());
        assert_eq!(ends, [2, 2, 2], "crash at {crash_at}");
        cluster.assert_equal();
        cluster.nodes.iter().for_each(|node| producer.check(node));
        // The overruled batch is forgotten as a producer's first, too.
        cluster.appoint(1);
        cluster.run(5);
        let mut again = cluster.node(1).append(sequenced(0, &["lost"]), Acks::All);
        cluster.run(2);
        assert_eq!(ok(&mut again), 2, "not taken for a repeat");
    }
}

#[test]
fn whoever_waits_when_leadership_is_lost_hears_that_the_outcome_is_unknown() {
    let mut cluster = Cluster::led();
    cluster.cut = vec![NodeId(1)];
    let mut waits = cluster.node(1).append(plain(&["a"]), Acks::All);
    cluster.appoint(2);
    cluster.run(3);
    assert!(waits.try_recv().is_err());
    cluster.cut.clear();
    cluster.run(5);
    assert_eq!(outcome(&mut waits), Err(AppendError::Unknown));
    assert_eq!(cluster.partition(1).view().log_end(), 0, "cut");
    assert_eq!(cluster.partition(1).role(), Role::Follower);
}

#[test]
fn a_slow_journal_holds_the_log_back_and_nothing_is_promised_early() {
    let mut cluster = Cluster::led();
    let mut before = cluster.node(1).append(plain(&["a"]), Acks::All);
    cluster.settle();
    assert_eq!(ok(&mut before), 0);
    cluster.appoint(2);
    // Broker 3's journal does not answer: its vow for round 2 stays out.
    for _ in 0..20 {
        cluster.deliver_all();
        for id in [1, 2] {
            cluster.node(id).sync();
            cluster.node(id).write_journal();
        }
        cluster.node(3).sync();
    }
    cluster.tick();
    assert!(cluster.partition(2).is_ready(), "a majority is enough");
    let mut answer = cluster.node(2).append(plain(&["b"]), Acks::All);
    for _ in 0..10 {
        cluster.deliver_all();
        for id in [1, 2, 3] {
            cluster.node(id).sync();
        }
    }
    assert_eq!(ok(&mut answer), 1);
    assert_eq!(cluster.partition(3).view().log_end(), 1, "nothing overtakes the vow");
    cluster.run(5);
    assert_eq!(cluster.partition(3).decided_end(), 2);
    cluster.assert_equal();
}

#[test]
fn a_repeat_is_known_to_the_next_leader() {
    let mut cluster = Cluster::led();
    let mut first = cluster.node(1).append(sequenced(0, &["a", "b"]), Acks::All);
    cluster.settle();
    assert_eq!(ok(&mut first), 0);
    cluster.node(1).crash();
    cluster.appoint(2);
    cluster.run(3);
    let mut repeat = cluster.node(2).append(sequenced(0, &["a", "b"]), Acks::All);
    let mut next = cluster.node(2).append(sequenced(2, &["c"]), Acks::All);
    cluster.run(2);
    assert_eq!((ok(&mut repeat), ok(&mut next)), (0, 2));
    let mut astray = cluster.node(3).append(sequenced(0, &["a", "b"]), Acks::All);
    assert_eq!(outcome(&mut astray), Err(AppendError::NotLeader), "a follower judges nothing");
}

#[test]
fn a_leader_without_its_quorum_refuses_and_resigns() {
    let mut cluster = Cluster::led();
    cluster.cut = vec![NodeId(1)];
    let mut waits = cluster.node(1).append(plain(&["a"]), Acks::All);
    cluster.run(14);
    assert!(cluster.node(1).effects.resignations.is_empty());
    cluster.run(2);
    let reason = ResignReason::QuorumLost;
    let resignation = Resignation { key: KEY, round: 1, reason };
    assert_eq!(cluster.node(1).effects.resignations.first(), Some(&resignation));
    let mut refused = cluster.node(1).append(plain(&["b"]), Acks::All);
    assert_eq!(outcome(&mut refused), Err(AppendError::NotEnoughReplicas));
    cluster.cut.clear();
    cluster.run(5);
    assert_eq!(ok(&mut waits), 0, "it goes on where it was");
}

#[test]
fn a_candidate_that_hears_nobody_gives_its_appointment_back() {
    let mut cluster = Cluster::new();
    cluster.cut = vec![NodeId(2)];
    cluster.appoint(2);
    cluster.run(16);
    let reason = ResignReason::PromisesMissing;
    let resignation = Resignation { key: KEY, round: 1, reason };
    assert_eq!(cluster.node(2).effects.resignations.first(), Some(&resignation));
}

#[test]
fn a_payload_that_is_not_what_the_message_says_is_dropped() {
    let mut cluster = Cluster::led();
    let mut answer = cluster.node(1).append(plain(&["a"]), Acks::All);
    cluster.collect();
    for (from, mut outgoing) in std::mem::take(&mut cluster.in_flight) {
        if let Some(bytes) = outgoing.message.payload.first_mut() {
            let mut wrong = bytes.to_vec();
            let last = wrong.len() - 1;
            wrong[last] ^= 1;
            *bytes = wrong.into();
        }
        cluster.deliver(from, outgoing.clone());
        outgoing.message.payload.clear();
        cluster.deliver(from, outgoing);
    }
    cluster.settle();
    assert!(answer.try_recv().is_err());
    assert_eq!(cluster.partition(2).view().log_end(), 0);
    cluster.run(5);
    assert_eq!(ok(&mut answer), 0, "sent again");
}

#[test]
fn a_follower_without_space_stops_and_comes_back() {
    let mut cluster = Cluster::led();
    cluster.node(3).storage.set_capacity(Some(0));
    let large = "x".repeat(1 << 20);
    let mut answer = cluster.node(1).append(plain(&[&large]), Acks::All);
    cluster.run(3);
    assert_eq!(ok(&mut answer), 0, "the majority has space");
    assert!(cluster.node(3).partition.as_ref().is_none_or(|p| p.view().log_end() == 0));
    cluster.node(3).storage.set_capacity(None);
    cluster.run(5);
    assert_eq!(cluster.partition(3).decided_end(), 1);
    cluster.assert_equal();
}

#[test]
fn a_restarted_leader_never_takes_its_round_up_again() {
    let mut cluster = Cluster::led();
    cluster.node(1).crash();
    cluster.node(1).start();
    let ballot = Ballot { round: 1, node: NodeId(1) };
    let set = ReplicaSet::new(&[1, 2, 3].map(NodeId));
    let node = cluster.node(1);
    let partition = node.partition.as_mut().expect("up");
    partition.appoint(ballot, set, &mut node.effects).expect("log");
    assert!(matches!(partition.role(), Role::Follower));
    let reason = ResignReason::Stale { promised_round: 1 };
    assert_eq!(node.effects.resignations, [Resignation { key: KEY, round: 1, reason }]);
}

#[test]
fn a_lost_directory_is_filled_again_by_the_others() {
    let mut cluster = Cluster::led();
    let mut answer = cluster.node(1).append(plain(&["a"]), Acks::All);
    cluster.run(3);
    assert_eq!(ok(&mut answer), 0);
    cluster.node(3).storage.kill();
    cluster.node(3).crash();
    let path = Path::new("/data/partitions").join(KEY.to_string());
    let storage = cluster.node(3).storage.clone();
    for entry in storage.list(&path).expect("there") {
        storage.remove_file(&path.join(&entry.name)).expect("removed");
    }
    storage.remove_dir(&path).expect("removed");
    cluster.node(3).start();
    assert_eq!(cluster.partition(3).replica().faulty_end(), Some(1));
    cluster.run(PROBE_TICKS + 5);
    assert_eq!(cluster.partition(3).replica().faulty_end(), None);
    assert_eq!(cluster.partition(3).decided_end(), 1);
    cluster.assert_equal();
}

#[test]
fn too_few_followers_refuse_before_and_after_the_append() {
    let mut cluster = Cluster::led();
    let config = TopicConfig { min_in_sync_replicas: 3, ..topic_config() };
    cluster.partition(1).configure(&Arc::new(config), &Config::default());
    cluster.run(2);
    let mut all = cluster.node(1).append(plain(&["a"]), Acks::All);
    cluster.run(2);
    assert_eq!(ok(&mut all), 0);
    cluster.cut = vec![NodeId(3)];
    let mut after = cluster.node(1).append(plain(&["b"]), Acks::All);
    cluster.run(3);
    assert!(after.try_recv().is_err(), "decided, and one of three is missing");
    assert_eq!(cluster.partition(1).decided_end(), 2);
    cluster.run(15);
    assert_eq!(outcome(&mut after), Err(AppendError::NotEnoughReplicasAfterAppend));
    let mut before = cluster.node(1).append(plain(&["c"]), Acks::All);
    assert_eq!(outcome(&mut before), Err(AppendError::NotEnoughReplicas));
    let mut one = cluster.node(1).append(plain(&["d"]), Acks::Leader);
    cluster.run(1);
    assert_eq!(ok(&mut one), 2, "acks=1 asks for nobody");
}
