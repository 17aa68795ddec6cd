//! Who leads the metadata group, and what that one does about the others.

use super::world::World;
use crate::metadata::{Ask, BrokerId, request::ShutDown};

#[test]
fn a_lone_broker_leads_and_is_registered_without_a_tick() {
    let mut world = World::of(1);
    world.start(1);
    world.check_agreement();
    assert_eq!(world.image(1).cluster_id().unwrap().as_ref(), "a cluster");
    let round = world.round();
    world.create("t", 2, 1);
    world.kill(1);
    world.start(1);
    world.check_agreement();
    assert!(world.round() > round);
    assert_eq!(world.partition(1, 0).round, 2, "its new life leads in a new round");
}

#[test]
fn groups_elect_one_leader_and_keep_it() {
    for size in [2, 3, 4, 5, 7] {
        let mut world = World::running(size);
        let (controller, round) = (world.controller(), world.round());
        assert_eq!(world.nodes.values().filter(|node| node.group.is_leading()).count(), 1);
        world.pass(1200);
        world.check_agreement();
        assert_eq!((world.controller(), world.round()), (controller, round), "{size}");
    }
}

#[test]
fn a_minority_elects_nobody() {
    let mut world = World::of(5);
    world.start(1);
    world.start(4);
    world.pass(200);
    assert_eq!((world.controller(), world.image(1).end()), (None, 0));
    world.start(2);
    world.pass(60);
    world.check_agreement();
}

#[test]
fn a_dead_controller_is_replaced_and_its_partitions_are_led_on() {
    for size in [3, 5] {
        let mut world = World::running(size);
        world.create("t", 6, 3);
        let dead = world.controller().unwrap();
        world.kill(dead);
        // Silence, a campaign, and everything that follows from it: less than two seconds.
        world.pass(36);
        let next = world.controller().expect("another controller");
        assert_ne!(next, dead);
        let image = world.image(next);
        assert!(!image.is_live(BrokerId(dead)));
        for partition in &image.topic("t").unwrap().partitions {
            assert_ne!(partition.leader, BrokerId(dead));
            assert!(partition.round <= 2, "{partition:?}");
        }
        world.start(dead);
        world.pass(60);
        world.check_agreement();
    }
}

#[test]
fn one_after_the_other_may_die_and_come_back() {
    let mut world = World::running(3);
    world.create("t", 3, 3);
    for turn in 0..6 {
        let dead = 1 + turn % 3;
        world.kill(dead);
        world.pass(60);
        let controller = world.controller().expect("a majority is there");
        for partition in &world.image(controller).topic("t").unwrap().partitions {
            assert_ne!(partition.leader, BrokerId(dead), "{turn}");
        }
        world.start(dead);
        world.pass(60);
        world.check_agreement();
    }
    for partition in &world.image(1).topic("t").unwrap().partitions {
        assert!(partition.round <= 1 + 2 * 6, "{partition:?}");
    }
}

#[test]
fn all_may_die_at_once() {
    for size in [3, 5] {
        let mut world = World::running(size);
        world.create("t", 5, 3);
        (1..=size).for_each(|node| world.kill(node));
        (1..=size).for_each(|node| world.start(node));
        world.pass(60);
        world.check_agreement();
        for partition in &world.image(1).topic("t").unwrap().partitions {
            assert_eq!(partition.round, 2, "its leader's new life leads on");
        }
    }
}

#[test]
fn a_controller_that_is_cut_off_is_replaced_and_told_so() {
    let mut world = World::running(3);
    let old = world.controller().unwrap();
    world.isolate(old);
    world.pass(36);
    let others: Vec<u32> = (1..=3).filter(|node| *node != old).collect();
    let leading = |world: &World, node: u32| world.nodes[&node].group.is_leading();
    assert_eq!(others.iter().filter(|node| leading(&world, **node)).count(), 1);
    let next = *others.iter().find(|node| leading(&world, **node)).unwrap();
    assert!(!world.image(next).is_live(BrokerId(old)));
    world.heal();
    world.pass(60);
    world.check_agreement();
    assert_eq!(world.controller(), Some(next), "coming back changes nothing");
}

/// Of the leader's links, only one direction is cut: it hears all, and nobody hears it, or the
/// other way round.
#[test]
fn a_controller_cut_off_in_one_direction_is_replaced() {
    for outgoing in [true, false] {
        let mut world = World::running(3);
        let old = world.controller().unwrap();
        for other in (1..=3).filter(|node| *node != old) {
            world.cut.insert(if outgoing { (old, other) } else { (other, old) });
        }
        world.pass(40);
        let next = world
            .nodes
            .keys()
            .copied()
            .find(|node| *node != old && world.nodes[node].group.is_leading());
        let next = next.expect("another controller");
        let round = world.round();
        world.pass(1200);
        assert_eq!(world.round(), round, "and then it is quiet");
        assert!(!world.image(next).is_live(BrokerId(old)));
        world.heal();
        world.pass(60);
        world.check_agreement();
    }
}

#[test]
fn partial_partitions_end_in_one_stable_controller() {
    let chain: &[(u32, u32)] = &[(1, 3), (1, 4), (1, 5), (2, 4), (2, 5), (3, 5)];
    let star = |middle: u32| -> Vec<(u32, u32)> {
        let all = (1..=5).flat_map(|a| (a + 1..=5).map(move |b| (a, b)));
        all.filter(|(a, b)| *a != middle && *b != middle).collect()
    };
    let bridge: &[(u32, u32)] = &[(1, 4), (1, 5), (2, 4), (2, 5)];
    let cases = [chain.to_vec(), star(1), star(3), star(5), bridge.to_vec()];
    for cuts in cases {
        let mut world = World::running(5);
        world.create("t", 5, 3);
        let before = world.round();
        for (a, b) in &cuts {
            world.cut(*a, *b);
        }
        world.pass(60);
        let (round, end) = (world.round(), newest_end(&world));
        let linked = |node: u32| {
            let cut = |other: u32| cuts.contains(&(node, other)) || cuts.contains(&(other, node));
            (1..=5).filter(|other| !cut(*other)).count()
        };
        let controller = world.image(newest(&world)).controller_id().unwrap().0;
        assert!(linked(controller) >= 3, "{controller} {cuts:?}");
        world.pass(1200);
        assert_eq!((world.round(), newest_end(&world)), (round, end), "quiet {cuts:?}");
        assert!(round <= before + 3 * 5, "{before} {round}: three campaigns of five");
        world.heal();
        world.pass(100);
        world.check_agreement();
    }
}

fn newest(world: &World) -> u32 {
    *world.nodes.keys().max_by_key(|node| world.image(**node).end()).unwrap()
}

fn newest_end(world: &World) -> u64 {
    world.image(newest(world)).end()
}

#[test]
fn links_that_flap_make_few_rounds() {
    let mut world = World::running(3);
    world.create("t", 6, 3);
    let controller = world.controller().unwrap();
    let flapping = 1 + controller % 3;
    for _ in 0..60 {
        world.isolate(flapping);
        world.pass(10);
        world.heal();
        world.pass(10);
    }
    let rounds: u32 = {
        let image = world.image(controller);
        image.topic("t").unwrap().partitions.iter().map(|it| it.round - 1).sum()
    };
    assert!(rounds <= 3 * 6, "{rounds} rounds of six partitions in a minute");
    world.pass(800);
    world.check_agreement();
}

#[test]
fn a_broker_that_leaves_has_the_controller_elected_at_once() {
    let mut world = World::running(3);
    let old = world.controller().unwrap();
    let incarnation = world.image(old).broker(BrokerId(old)).unwrap().incarnation;
    world.ask(old, Ask::ShutDown(ShutDown { broker: BrokerId(old), incarnation }));
    world.pass(16);
    world.kill(old);
    world.pass(1);
    assert!(world.controller().is_some());
}
