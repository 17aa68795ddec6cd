//! Whether a leader still leads: asked of a quorum, counted by number and ballot.

use synod_paxos::{Confirm, Confirmed};

use super::*;

fn confirm(number: u64) -> Message {
    Message::Confirm(Confirm { ballot: b5(), number })
}

fn confirmed(number: u64) -> Message {
    Message::Confirmed(Confirmed { ballot: b5(), number })
}

/// What it sends, and to whom.
fn sent(replica: &mut Replica) -> Vec<(NodeId, Message)> {
    let sends = outputs(replica).into_iter().filter_map(|output| match output {
        Output::Send { to, message, .. } => Some((to, message)),
        _ => None,
    });
    sends.collect()
}

#[test]
fn a_quorum_that_answers_later_confirms() {
    let mut replica = leader();
    assert_eq!(replica.confirmed(), 0);
    assert_eq!(replica.handle_confirm(), Ok(1));
    assert_eq!(sent(&mut replica), [(B, confirm(1)), (C, confirm(1))]);
    assert_eq!(replica.confirmed(), 0, "its own word is not enough");
    assert_eq!(replica.handle_confirm(), Ok(2));
    outputs(&mut replica);
    take(&mut replica, B, confirmed(1));
    assert_eq!(replica.confirmed(), 1, "that answer may be older than the second question");
    take(&mut replica, C, confirmed(2));
    assert_eq!(replica.confirmed(), 2);
    take(&mut replica, B, confirmed(1));
    assert_eq!(replica.confirmed(), 2, "late answers take nothing back");
}

#[test]
fn what_is_lost_is_asked_again_with_the_tick() {
    let mut replica = leader();
    assert_eq!(replica.handle_confirm(), Ok(1));
    outputs(&mut replica);
    replica.handle_tick();
    let asked = sent(&mut replica);
    assert!(asked.contains(&(B, confirm(1))) && asked.contains(&(C, confirm(1))), "{asked:?}");
    take(&mut replica, C, confirmed(1));
    replica.handle_tick();
    let asked = sent(&mut replica);
    assert!(!asked.iter().any(|(_, message)| matches!(message, Message::Confirm(_))), "{asked:?}");
}

#[test]
fn a_superseded_leader_is_never_confirmed() {
    let mut replica = leader();
    assert_eq!(replica.handle_confirm(), Ok(1));
    take(&mut replica, B, Message::Nack(Nack { ballot: b5(), promised: ballot(6, C.0) }));
    take(&mut replica, C, confirmed(1));
    assert_eq!(replica.confirmed(), 0);
    assert!(matches!(replica.handle_confirm(), Err(ProposeError::NotLeader { .. })));
}

#[test]
fn answers_under_another_ballot_and_to_no_question_count_for_nothing() {
    let mut replica = leader();
    take(&mut replica, B, confirmed(9));
    assert_eq!(replica.handle_confirm(), Ok(1));
    assert_eq!(replica.confirmed(), 0, "nobody confirms ahead of time");
    let other = Confirmed { ballot: ballot(4, ME.0), number: 1 };
    take(&mut replica, B, Message::Confirmed(other));
    take(&mut replica, NodeId(9), confirmed(1));
    assert_eq!(replica.confirmed(), 0);
}

#[test]
fn a_voter_confirms_what_it_promised_last() {
    let mut replica = leader();
    let other = |round| Message::Confirm(Confirm { ballot: ballot(round, C.0), number: 7 });
    for round in [4, 6] {
        // A round of its own is refused below; one that it never promised, above.
        take(&mut replica, C, other(round));
        let refused = sent(&mut replica);
        assert!(matches!(refused.as_slice(), [(C, Message::Nack(_))]), "{refused:?}");
    }
}
