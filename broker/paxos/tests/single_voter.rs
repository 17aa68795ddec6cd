//! A replica set of one goes the whole way: appointed, vow, own promise, adoption, leader, append,
//! synced, decided.

use synod_paxos::{
    AppointError, Ballot, Batch, Durable, NodeId, Output, Proposal, ProposeError, Replica,
    ReplicaConfig, ReplicaSet, Role, RoundStart, WriteId,
};

const NODE: NodeId = NodeId(1);

fn outputs(replica: &mut Replica) -> Vec<Output> {
    std::iter::from_fn(|| replica.poll_output()).collect()
}

fn set() -> ReplicaSet {
    ReplicaSet::new(&[NODE])
}

fn leader() -> Replica {
    let mut replica = Replica::new(ReplicaConfig::new(NODE), Durable::default());
    let appointed = replica.handle_appointed(Ballot::new(1, NODE), set());
    assert_eq!(appointed, Ok(()));
    outputs(&mut replica);
    replica.handle_written(WriteId(1));
    outputs(&mut replica);
    replica.handle_written(WriteId(2));
    outputs(&mut replica);
    replica
}

fn proposal(count: u32) -> Proposal {
    Proposal { count, size: 100, checksum: count }
}

#[test]
fn the_whole_path() {
    let mut replica = Replica::new(ReplicaConfig::new(NODE), Durable::default());
    let ballot = Ballot::new(1, NODE);
    assert_eq!(replica.handle_propose(&[proposal(1)]), Err(ProposeError::NotLeader { hint: None }));
    replica.handle_appointed(ballot, set()).unwrap();
    assert_eq!(
        outputs(&mut replica),
        vec![
            Output::Vow { write: WriteId(1), promised: ballot, accepted_ballot: Ballot::ZERO },
            Output::RoleChanged { role: Role::Candidate, ballot },
        ]
    );
    assert_eq!(
        replica.handle_propose(&[proposal(1)]),
        Err(ProposeError::NotLeader { hint: Some(NODE) })
    );

    replica.handle_written(WriteId(1));
    assert_eq!(
        outputs(&mut replica),
        vec![
            Output::Vow { write: WriteId(2), promised: ballot, accepted_ballot: ballot },
            Output::RoleChanged { role: Role::Leader { ready: false, quorum: true }, ballot },
        ]
    );
    assert_eq!(replica.handle_propose(&[proposal(1)]), Err(ProposeError::NotReady));

    replica.handle_written(WriteId(2));
    let ready = Role::Leader { ready: true, quorum: true };
    assert_eq!(outputs(&mut replica), vec![Output::RoleChanged { role: ready, ballot }]);

    assert_eq!(replica.handle_propose(&[proposal(3), proposal(1)]), Ok(0..4));
    let batches = vec![
        Batch { base: 0, end: 3, round: 1, size: 100, checksum: 3 },
        Batch { base: 3, end: 4, round: 1, size: 100, checksum: 1 },
    ];
    assert_eq!(outputs(&mut replica), vec![Output::Append { write: WriteId(3), batches }]);
    assert_eq!((replica.log_end(), replica.durable_end(), replica.decided_end()), (4, 0, 0));

    replica.handle_written(WriteId(3));
    assert_eq!(outputs(&mut replica), vec![Output::Decided { end: 4 }]);
    assert_eq!((replica.log_end(), replica.durable_end(), replica.decided_end()), (4, 4, 4));
}

#[test]
fn one_completion_may_cover_many_appends() {
    let mut replica = leader();
    for i in 0..100 {
        assert_eq!(replica.handle_propose(&[proposal(2)]), Ok(i * 2..i * 2 + 2));
    }
    outputs(&mut replica);
    replica.handle_written(WriteId(52));
    assert_eq!(outputs(&mut replica), vec![Output::Decided { end: 100 }]);
    replica.handle_written(WriteId(102));
    assert_eq!(outputs(&mut replica), vec![Output::Decided { end: 200 }]);
}

#[test]
fn a_restarted_leader_needs_a_new_round_and_decides_its_old_log_first() {
    let ballot = Ballot::new(1, NODE);
    let durable = Durable {
        promised: ballot,
        accepted_ballot: ballot,
        log_start: 10,
        log_end: 40,
        rounds: vec![RoundStart { round: 1, base: 0 }],
        ..Durable::default()
    };
    let mut replica = Replica::new(ReplicaConfig::new(NODE), durable);
    assert_eq!((replica.log_start(), replica.decided_end(), replica.log_end()), (10, 10, 40));
    assert_eq!(
        replica.handle_appointed(ballot, set()),
        Err(AppointError::Stale { promised: ballot }),
        "what it had appended unsynced may live on elsewhere"
    );
    let next = Ballot::new(2, NODE);
    replica.handle_appointed(next, set()).unwrap();
    replica.handle_written(WriteId(1));
    outputs(&mut replica);
    assert_eq!(replica.decided_end(), 10, "not decided under the new ballot yet");
    replica.handle_written(WriteId(2));
    assert_eq!(outputs(&mut replica)[0], Output::Decided { end: 40 });
    assert_eq!(replica.handle_propose(&[proposal(5)]), Ok(40..45));
}

#[test]
fn back_pressure_is_definite_and_ends_when_something_is_decided() {
    let mut config = ReplicaConfig::new(NODE);
    config.undecided_batch_count = 4;
    let mut replica = Replica::new(config, Durable::default());
    replica.handle_appointed(Ballot::new(1, NODE), set()).unwrap();
    replica.handle_written(WriteId(1));
    replica.handle_written(WriteId(2));
    replica.handle_propose(&[proposal(1); 3]).unwrap();
    assert_eq!(replica.handle_propose(&[proposal(1); 2]), Err(ProposeError::WindowFull));
    assert_eq!(replica.log_end(), 3, "nothing of it was appended");
    assert_eq!(replica.handle_propose(&[proposal(1)]), Ok(3..4));
    replica.handle_written(WriteId(3));
    assert_eq!(replica.handle_propose(&[proposal(1); 3]), Ok(4..7));
}

#[test]
fn an_appointment_again_changes_nothing_and_a_higher_one_moves_on() {
    let mut replica = leader();
    let first = Ballot::new(1, NODE);
    replica.handle_propose(&[proposal(1)]).unwrap();
    outputs(&mut replica);
    replica.handle_appointed(first, set()).unwrap();
    assert_eq!(outputs(&mut replica), vec![]);

    let second = Ballot::new(2, NODE);
    replica.handle_appointed(second, set()).unwrap();
    replica.handle_written(WriteId(4));
    replica.handle_written(WriteId(5));
    let all = outputs(&mut replica);
    assert!(all.contains(&Output::Decided { end: 1 }), "{all:?}");
    assert_eq!(replica.ballot(), second);
    assert_eq!(replica.handle_propose(&[proposal(1)]), Ok(1..2));
    let appended = outputs(&mut replica);
    assert!(matches!(&appended[0], Output::Append { batches, .. } if batches[0].round == 2));
}

#[test]
fn appointments_for_others_are_refused() {
    let mut replica = leader();
    let elsewhere = Ballot::new(9, NodeId(2));
    let other = ReplicaSet::new(&[NodeId(2)]);
    assert_eq!(replica.handle_appointed(elsewhere, other.clone()), Err(AppointError::NotMine));
    let mine = Ballot::new(9, NODE);
    assert_eq!(replica.handle_appointed(mine, other), Err(AppointError::NotMine));
    assert_eq!(replica.ballot(), Ballot::new(1, NODE));
}

#[test]
fn a_corrupt_log_of_the_only_voter_waits_for_repair() {
    let ballot = Ballot::new(1, NODE);
    let durable = Durable {
        promised: ballot,
        accepted_ballot: ballot,
        log_end: 10,
        faulty_end: Some(20),
        rounds: vec![RoundStart { round: 1, base: 0 }],
        ..Durable::default()
    };
    let mut replica = Replica::new(ReplicaConfig::new(NODE), durable);
    replica.handle_appointed(Ballot::new(2, NODE), set()).unwrap();
    replica.handle_written(WriteId(1));
    for _ in 0..100 {
        replica.handle_tick();
    }
    assert_eq!(replica.role(), Role::Candidate, "unavailable beats lost");
    assert_eq!(replica.decided_end(), 0);
}

#[test]
fn trimming_moves_the_log_start() {
    let mut replica = leader();
    replica.handle_propose(&[proposal(4), proposal(4)]).unwrap();
    replica.handle_written(WriteId(3));
    outputs(&mut replica);
    replica.handle_trimmed(4);
    assert_eq!((replica.log_start(), replica.log_end()), (4, 8));
    replica.handle_trimmed(0);
    assert_eq!(replica.log_start(), 4, "never goes back");
}
