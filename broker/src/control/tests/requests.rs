//! Requests to the controller, asked of any broker.

use super::world::{Answered, World};
use crate::limits::CONTROL_BODY_SIZE;
use crate::metadata::{
    AdminErrorKind, Answer, Ask, BrokerId, TopicId,
    request::{
        CreateTopics, LedPartition, NewTopic, Resign, ResignReason, ReturnLeadership, ShutDown,
    },
};
use crate::state_log::NotDone;

fn outcome(answer: &mut Answered) -> Result<Answer, NotDone> {
    answer.try_recv().expect("answered")
}

fn is_created(answer: &mut Answered) -> bool {
    matches!(outcome(answer), Ok(Answer::TopicsCreated(outcomes)) if outcomes[0].is_ok())
}

fn others(world: &World) -> Vec<u32> {
    let controller = world.controller().unwrap();
    world.nodes.keys().copied().filter(|node| *node != controller).collect()
}

#[test]
fn any_broker_answers_and_its_own_image_shows_it() {
    let mut world = World::running(3);
    for asked in 1..=3 {
        let name = format!("t{asked}");
        let ask = world.new_topic(&name, 1, 3);
        let mut answer = world.ask(asked, ask.clone());
        for _ in 0..3 {
            world.settle();
            if let Ok(outcome) = answer.try_recv() {
                let created = matches!(outcome, Ok(Answer::TopicsCreated(it)) if it[0].is_ok());
                assert!(created && world.image(asked).topic(&name).is_some());
                break;
            }
            world.pass(1);
        }
        assert!(world.image(asked).topic(&name).is_some());
        // A refusal comes back as well.
        let mut again = world.ask(asked, ask);
        world.pass(4);
        match outcome(&mut again) {
            Ok(Answer::TopicsCreated(it)) => {
                assert_eq!(it[0].as_ref().unwrap_err().kind, AdminErrorKind::TopicExists);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn lost_requests_and_answers_are_repeated_and_carried_out_once() {
    let mut world = World::running(3);
    world.lossy = true;
    for (index, asked) in others(&world).into_iter().enumerate() {
        let name = format!("t{index}");
        let ask = world.new_topic(&name, 1, 3);
        let mut answer = world.ask(asked, ask);
        world.pass(60);
        assert!(is_created(&mut answer), "not a second time as existing");
    }
}

#[test]
fn a_request_waits_for_a_controller_and_gives_up_in_the_end() {
    let mut world = World::running(3);
    let controller = world.controller().unwrap();
    let asked = others(&world)[0];
    world.kill(controller);
    world.pass(12);
    let ask = world.new_topic("t", 1, 3);
    let mut answer = world.ask(asked, ask);
    assert!(answer.try_recv().is_err());
    world.pass(40);
    assert!(is_created(&mut answer), "the next controller did it");
    // Without a majority nobody does.
    let last = *world.nodes.keys().find(|node| **node != asked).unwrap();
    world.kill(last);
    world.pass(30);
    let ask = world.new_topic("u", 1, 3);
    let mut answer = world.ask(asked, ask);
    world.pass(99);
    assert!(answer.try_recv().is_err());
    world.pass(400);
    let given_up = outcome(&mut answer).unwrap_err();
    world.start(last);
    world.pass(60);
    let done = world.image(asked).topic("u").is_some();
    assert!(!done || given_up == NotDone::Unknown, "what was refused is never done");
}

#[test]
fn what_a_dying_controller_may_have_done_is_unknown() {
    let mut world = World::running(3);
    let controller = world.controller().unwrap();
    let asked = others(&world)[0];
    // The request arrives and is decided; its answer does not get through any more.
    let ask = world.new_topic("t", 1, 3);
    world.cut.insert((controller, asked));
    let mut answer = world.ask(asked, ask);
    world.settle();
    world.kill(controller);
    world.heal();
    world.pass(100);
    assert_eq!(outcome(&mut answer), Err(NotDone::Unknown));
    assert!(world.image(asked).topic("t").is_some());
}

#[test]
fn a_deposed_controllers_own_requests_are_not_lost() {
    let mut world = World::running(3);
    let old = world.controller().unwrap();
    world.isolate(old);
    // It still believes that it leads: what it proposes now may or may not be decided.
    let ask = world.new_topic("proposed", 1, 3);
    let mut proposed = world.ask(old, ask);
    world.pass(40);
    let ask = world.new_topic("waiting", 1, 3);
    let mut waiting = world.ask(old, ask);
    world.heal();
    world.pass(60);
    assert_eq!(outcome(&mut proposed), Err(NotDone::Unknown));
    let waited = outcome(&mut waiting);
    let refused = matches!(waited, Err(NotDone::Refused));
    assert!(refused || matches!(waited, Ok(Answer::TopicsCreated(_))), "{waited:?}");
    world.check_agreement();
    assert!(world.image(old).topic("proposed").is_none(), "overruled");
}

#[test]
fn resignations_and_nominations_move_leaders() {
    let mut world = World::running(3);
    world.create("t", 1, 3);
    world.pass(120);
    let topic = world.image(1).topic("t").unwrap().id;
    let before = world.partition(1, 0);
    let leader = before.leader;
    let resign = |round| {
        let reason = ResignReason::QuorumLost;
        Ask::Resign(Resign { broker: leader, partitions: vec![(topic, 0, round, reason)] })
    };
    let mut stale = world.ask(leader.0, resign(7));
    world.pass(4);
    assert_eq!(outcome(&mut stale), Ok(Answer::Done(Ok(()))));
    assert_eq!(world.partition(1, 0), before, "of a round that is not its own");
    let mut resigned = world.ask(leader.0, resign(1));
    world.pass(4);
    assert_eq!(outcome(&mut resigned), Ok(Answer::Done(Ok(()))));
    let moved = world.partition(1, 0);
    assert!(moved.leader != leader && moved.round == 2, "{moved:?}");

    let one = LedPartition { topic, partition: 0, round: 2 };
    let nominate =
        |broker| Ask::ReturnLeadership(ReturnLeadership { broker, partitions: vec![one] });
    world.ask(moved.leader.0, nominate(moved.leader));
    world.pass(4);
    assert_eq!(world.partition(1, 0), moved, "too soon after the last move");
    world.pass(100);
    world.ask(moved.leader.0, nominate(moved.leader));
    world.pass(4);
    assert_eq!(world.partition(1, 0).leader, leader);
}

/// What a controller remembers of resignations and of its own moves is gone with it.
#[test]
fn the_next_controller_is_told_again_and_moves_leaders_all_the_same() {
    let mut world = World::running(3);
    world.create("t", 9, 3);
    world.pass(120);
    let first = world.controller().unwrap();
    let leader = others(&world)[0];
    let topic = world.image(leader).topic("t").unwrap().id;
    let index = (0..9).find(|at| world.partition(leader, *at).leader == BrokerId(leader)).unwrap();
    let round = world.partition(leader, index).round;
    let resign = || {
        let reason = ResignReason::PromisesMissing;
        let partitions = vec![(topic, index as u32, round, reason)];
        Ask::Resign(Resign { broker: BrokerId(leader), partitions })
    };
    // It is told, and dies before it has done anything about it.
    world.isolate(first);
    world.ask(leader, resign());
    world.kill(first);
    world.heal();
    world.pass(60);
    let second = world.controller().expect("another controller");
    // The shard says it again for as long as it holds.
    let mut answer = world.ask(leader, resign());
    world.pass(4);
    assert_eq!(outcome(&mut answer), Ok(Answer::Done(Ok(()))));
    let moved = world.partition(leader, index);
    assert!(moved.leader != BrokerId(leader) && moved.round > round, "{moved:?}");
    // The first one's partitions were moved by the second; when it is back, it gets them again.
    world.start(first);
    world.pass(120);
    world.check_agreement();
    let own = (0..9).find(|at| world.partition(second, *at).replicas[0] == BrokerId(first));
    let own = own.expect("each is preferred once");
    let now = world.partition(second, own);
    let led = LedPartition { topic, partition: own as u32, round: now.round };
    let nominate = ReturnLeadership { broker: now.leader, partitions: vec![led] };
    world.ask(now.leader.0, Ask::ReturnLeadership(nominate));
    world.pass(4);
    assert_eq!(world.partition(second, own).leader, BrokerId(first));
}

#[test]
fn nobody_speaks_for_another_broker() {
    let mut world = World::running(3);
    world.create("t", 1, 3);
    let controller = world.controller().unwrap();
    let others = others(&world);
    let (asked, victim) = (others[0], others[1]);
    let incarnation = world.image(asked).broker(BrokerId(victim)).unwrap().incarnation;
    let mut answer =
        world.ask(asked, Ask::ShutDown(ShutDown { broker: BrokerId(victim), incarnation }));
    world.pass(4);
    assert_eq!(outcome(&mut answer), Err(NotDone::Refused));
    assert!(world.image(controller).is_live(BrokerId(victim)));
}

#[test]
fn a_broker_that_stops_hands_over_first_and_is_not_taken_back() {
    let mut world = World::running(3);
    world.create("t", 6, 3);
    let leaving = others(&world)[0];
    let incarnation = world.image(1).broker(BrokerId(leaving)).unwrap().incarnation;
    let ask = Ask::ShutDown(ShutDown { broker: BrokerId(leaving), incarnation });
    let mut answer = world.ask(leaving, ask);
    world.pass(4);
    assert_eq!(outcome(&mut answer), Ok(Answer::Done(Ok(()))));
    world.pass(60);
    let image = world.image(leaving);
    assert!(!image.is_live(BrokerId(leaving)), "although it is still heard");
    for partition in &image.topic("t").unwrap().partitions {
        assert_ne!(partition.leader, BrokerId(leaving));
    }
    world.kill(leaving);
    world.start(leaving);
    world.pass(60);
    world.check_agreement();
}

#[test]
fn a_copy_of_an_older_start_is_refused_for_good() {
    let mut world = World::running(3);
    let victim = others(&world)[0];
    let known = world.image(1).broker(BrokerId(victim)).unwrap().clone();
    let newer = crate::metadata::RegisterBroker {
        broker: BrokerId(victim),
        incarnation: TopicId::from_bytes([0xee; 16]),
        endpoints: Vec::new(),
        rack: None,
        start: known.start + 1,
    };
    let mut answer = world.ask(victim, Ask::RegisterBroker(newer));
    world.pass(4);
    assert_eq!(outcome(&mut answer), Ok(Answer::Done(Ok(()))));
    world.pass(20);
    let refusal = world.nodes[&victim].group.refusal().expect("refused");
    assert_eq!(refusal.kind, AdminErrorKind::StaleIncarnation);
}

/// Thousands of topics at once, asked of a broker that has to pass the request on.
#[test]
fn a_large_request_is_passed_on_and_one_beyond_the_limit_is_refused_for_good() {
    let mut world = World::running(3);
    let other = 1 + world.controller().unwrap() % 3;
    let topic = |index: usize, configs| {
        let mut id = [9; 16];
        id[..8].copy_from_slice(&(index as u64).to_be_bytes());
        let name = format!("{index:0>249}");
        NewTopic { configs, ..NewTopic::with_defaults(TopicId::from_bytes(id), name) }
    };
    let create = |topics| Ask::CreateTopics(CreateTopics { topics, validate_only: false });
    let topics: Vec<NewTopic> = (0..5000).map(|index| topic(index, Vec::new())).collect();
    let mut answer = world.ask(other, create(topics));
    world.settle();
    match answer.try_recv().unwrap().unwrap() {
        Answer::TopicsCreated(outcomes) => assert!(outcomes.iter().all(Result::is_ok)),
        answer => panic!("{answer:?}"),
    }
    assert_eq!(world.image(other).topic_count(), 5000);
    let huge = vec![("retention.ms".to_owned(), Some("1".repeat(CONTROL_BODY_SIZE)))];
    let mut answer = world.ask(other, create(vec![topic(5000, huge)]));
    assert_eq!(answer.try_recv().unwrap(), Err(NotDone::TooLarge), "told at once");
}
