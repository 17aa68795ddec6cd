//! Many partitions at once.

use super::world::World;
use crate::metadata::{BrokerId, controller::APPOINTMENTS_PER_BATCH};

/// Ten thousand partitions lose a third of their leaders: one batch, all led again, evenly.
#[test]
fn a_large_failover_is_decided_in_one_batch() {
    let mut world = World::running(3);
    world.create("t", 10_000, 3);
    let controller = world.controller().unwrap();
    let dead = 1 + controller % 3;
    let led = |world: &World, broker: u32| {
        let image = world.image(controller);
        let partitions = &image.topic("t").unwrap().partitions;
        partitions.iter().filter(|it| it.leader == BrokerId(broker)).count()
    };
    let count = led(&world, dead);
    assert!((2500..APPOINTMENTS_PER_BATCH).contains(&count), "{count}");
    world.kill(dead);
    world.pass(9);
    let end = world.image(controller).end();
    let mut ends = Vec::new();
    for _ in 0..20 {
        world.pass(1);
        ends.push(world.image(controller).end() - end);
    }
    ends.dedup();
    let last = 1 + count as u64;
    assert!(ends == [0, last] || ends == [last], "the loss and each appointment once: {ends:?}");
    assert_eq!(led(&world, dead), 0);
    for broker in (1..=3).filter(|id| *id != dead) {
        let leads = led(&world, broker);
        assert!((4900..=5100).contains(&leads), "{leads}");
    }
}
