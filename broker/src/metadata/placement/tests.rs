//! Balance, spread and stability of placement.

use proptest::prelude::*;

use super::*;

fn candidate(broker: u32, rack: Option<String>) -> Candidate {
    Candidate { broker: BrokerId(broker), rack, replica_count: 0, leader_count: 0, lost: false }
}

fn brokers(count: u32) -> Placement {
    Placement::new((1..=count).map(|broker| candidate(broker, None)))
}

fn topic(number: u64) -> TopicId {
    let mut bytes = [9; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    TopicId::from_bytes(bytes)
}

fn place_all(placement: &mut Placement, partitions: u32, replicas: usize) -> Vec<Vec<BrokerId>> {
    (0..partitions).map(|p| placement.place(topic(1), p, replicas).unwrap()).collect()
}

#[test]
fn too_few_brokers_or_no_replicas_is_none() {
    assert_eq!(brokers(0).place(topic(1), 0, 1), None);
    assert_eq!(brokers(2).place(topic(1), 0, 3), None);
    assert_eq!(brokers(2).place(topic(1), 0, 0), None);
    assert_eq!(brokers(1).place(topic(1), 0, 1), Some(vec![BrokerId(1)]));
}

#[test]
fn existing_load_counts() {
    let mut busy = candidate(1, None);
    (busy.replica_count, busy.leader_count) = (100, 100);
    let mut placement = Placement::new([busy, candidate(2, None)]);
    let sets = place_all(&mut placement, 20, 1);
    assert!(sets.iter().all(|set| set == &[BrokerId(2)]), "{sets:?}");
}

/// A broker that joins takes its share and little else moves.
#[test]
fn adding_a_broker_moves_its_share_and_little_more() {
    let partitions = 3000;
    for count in [3, 5, 9] {
        for replicas in [1, 3] {
            let before = place_all(&mut brokers(count), partitions, replicas);
            let after = place_all(&mut brokers(count + 1), partitions, replicas);
            let moved: usize = before
                .iter()
                .zip(&after)
                .map(|(old, new)| new.iter().filter(|broker| !old.contains(broker)).count())
                .sum();
            let share = moved as f64 / (partitions as usize * replicas) as f64;
            let fair = 1.0 / f64::from(count + 1);
            assert!(share <= fair + 0.10, "{count} brokers, {replicas} replicas: {share:.3}");
            let to_new: usize =
                after.iter().filter(|set| set.contains(&BrokerId(count + 1))).count();
            assert!(to_new as f64 >= 0.6 * fair * (partitions as usize * replicas) as f64);
        }
    }
}

proptest! {
    #[test]
    fn replicas_are_distinct_and_nobody_is_overloaded(
        count in 1..12u32, replicas in 1..5usize, partitions in 1..400u32,
    ) {
        let replicas = replicas.min(count as usize);
        let mut placement = brokers(count);
        let sets = place_all(&mut placement, partitions, replicas);
        let mut load = BTreeMap::<BrokerId, (u64, u64)>::new();
        for set in &sets {
            prop_assert_eq!(set.iter().collect::<BTreeSet<_>>().len(), replicas);
            for (index, broker) in set.iter().enumerate() {
                let load = load.entry(*broker).or_default();
                load.0 += 1;
                load.1 += u64::from(index == 0);
            }
        }
        let bound = |total: u64| (total * LOAD_BOUND).div_ceil(100 * u64::from(count));
        let total = u64::from(partitions);
        for (broker, (all, leading)) in load {
            // One more where a leader had to be taken from among full brokers.
            let most = bound(total * replicas as u64) + 1;
            prop_assert!(all <= most, "broker {} has {} replicas of at most {}", broker, all, most);
            prop_assert!(leading <= bound(total), "broker {} leads {}", broker, leading);
        }
    }

    #[test]
    fn replicas_stand_in_as_many_racks_as_there_are(
        racks in 1..5u32, per_rack in 1..4u32, replicas in 1..5usize, partitions in 1..100u32,
    ) {
        let count = racks * per_rack;
        let replicas = replicas.min(count as usize);
        let rack = |broker: u32| format!("rack{}", broker % racks);
        let mut placement =
            Placement::new((0..count).map(|broker| candidate(broker, Some(rack(broker)))));
        for set in place_all(&mut placement, partitions, replicas) {
            let used: BTreeSet<_> = set.iter().map(|broker| rack(broker.0)).collect();
            prop_assert_eq!(used.len(), replicas.min(racks as usize), "{:?}", set);
        }
    }

    #[test]
    fn the_same_brokers_and_partitions_give_the_same_places(count in 1..9u32, seed: u64) {
        let place = || {
            let mut placement = brokers(count);
            (0..50).map(|p| placement.place(topic(seed), p, 1)).collect::<Vec<_>>()
        };
        prop_assert_eq!(place(), place());
    }
}

#[test]
fn lost_brokers_fill_up_what_the_others_cannot_and_never_lead() {
    let lost = |id: u32| Candidate { lost: id > 3, ..candidate(id, None) };
    let mut placement = Placement::new((1..=5).map(lost));
    for partition in 0..50 {
        let replicas = placement.place(topic(1), partition, 3).unwrap();
        assert!(replicas.iter().all(|broker| broker.0 <= 3), "{replicas:?}");
    }
    for partition in 0..50 {
        let replicas = placement.place(topic(2), partition, 5).unwrap();
        assert!(replicas[..3].iter().all(|broker| broker.0 <= 3), "{replicas:?}");
    }
    let mut placement = Placement::new((1..=5).map(|id| Candidate { lost: id > 2, ..lost(id) }));
    assert_eq!(placement.place(topic(1), 0, 5), None, "two of five lead nothing");
    assert_eq!(placement.place(topic(1), 0, 4), None);
    assert_eq!(placement.place(topic(1), 0, 3).map(|it| it.len()), Some(3));
    let mut placement = Placement::new((1..=3).map(|id| Candidate { lost: true, ..lost(id) }));
    assert_eq!(placement.place(topic(1), 0, 1), None);
}
