//! Metadata replicas that had to stop, and go on without a restart of their broker.

use std::path::Path;

use super::world::World;
use crate::partition::EndReason;
use crate::state_log::NotDone;

const SEGMENT: &str = "/metadata/00000000000000000000.log";

/// Partitions whose records take more than the space that is prepared ahead.
const MANY: i32 = 4000;

#[test]
fn a_follower_without_space_goes_on_when_there_is_some() {
    let mut world = World::running(3);
    let full = 1 + world.controller().unwrap() % 3;
    world.storage(full).set_capacity(Some(0));
    let before = world.image(full).end();
    world.create("t", MANY, 3);
    assert_eq!(world.image(full).end(), before, "it could not take what the others decided");
    world.pass(100);
    let (controller, round) = (world.controller(), world.round());
    world.storage(full).set_capacity(None);
    assert_eq!(world.reopen(full), Some(EndReason::DiskFull));
    world.pass(40);
    world.check_agreement();
    assert_eq!((world.controller(), world.round()), (controller, round), "nobody else noticed");
    // It counts again: with it and without the third the group decides.
    let third = 6 - full - controller.unwrap();
    world.isolate(third);
    world.create("u", 1, 2);
    assert!(world.image(full).topic("u").is_some());
}

#[test]
fn a_controller_without_space_is_replaced_by_one_that_has_some() {
    let mut world = World::running(3);
    let full = world.controller().unwrap();
    let round = world.round();
    world.storage(full).set_capacity(Some(0));
    let ask = world.new_topic("refused", MANY, 3);
    let mut answer = world.ask(full, ask);
    world.pass(40);
    assert_eq!(answer.try_recv().unwrap(), Err(NotDone::Refused));
    let next = world.controller().expect("another controller");
    assert_ne!(next, full);
    let rounds = world.image(next).controller_round().unwrap() - round;
    assert!(rounds <= 3, "one election: members take turns in the rounds");
    world.create("t", MANY, 3);
    assert!(world.image(next).topic("t").is_some());
    world.storage(full).set_capacity(None);
    assert_eq!(world.reopen(full), Some(EndReason::DiskFull));
    world.pass(60);
    world.check_agreement();
    assert_eq!(world.controller(), Some(next), "space alone changes nothing");
}

#[test]
fn damage_that_a_leader_finds_is_repaired_by_the_others() {
    let mut world = World::running(3);
    let damaged = world.controller().unwrap();
    let behind = 1 + damaged % 3;
    world.isolate(behind);
    world.create("victim", 1, 2);
    world.create("t", 1, 2);
    let content = world.storage(damaged).content(Path::new(SEGMENT)).unwrap();
    let at = content.windows(6).position(|bytes| bytes == b"victim").unwrap();
    world.storage(damaged).flip_bit(Path::new(SEGMENT), at as u64, 1).unwrap();
    // It has to read its log for the one that is behind, and cannot.
    world.heal();
    world.pass(60);
    let next = world.controller().expect("another controller");
    assert_ne!(next, damaged);
    assert!(
        world.image(behind).topic("victim").is_some() && world.image(next).topic("t").is_some()
    );
    assert_eq!(world.reopen(damaged), Some(EndReason::Corrupt));
    world.pass(40);
    world.check_agreement();
    let repaired = world.storage(damaged).content(Path::new(SEGMENT)).unwrap();
    let used = 1 + content.iter().rposition(|byte| *byte != 0).unwrap();
    assert!(repaired[..used] == content[..used], "byte for byte");
    assert_eq!(world.reopen(damaged), None);
}
