use super::*;

fn counts(topics: &[(&str, i32)]) -> BTreeMap<Arc<str>, i32> {
    topics.iter().map(|(topic, count)| (Arc::from(*topic), *count)).collect()
}

fn member(id: &str, topics: &[&str]) -> Member {
    Member {
        id: id.into(),
        instance_id: None,
        topics: topics.iter().map(|topic| Arc::from(*topic)).collect(),
        owned: BTreeSet::new(),
        generation: -1,
    }
}

/// An assignment as text: `t0 t1 u0`.
fn shown(assigned: &[BTreeSet<TopicPartition>]) -> Vec<String> {
    let one = |partition: &TopicPartition| format!("{}{}", partition.topic, partition.partition);
    assigned.iter().map(|all| all.iter().map(one).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn ranges_are_consecutive_and_the_first_members_have_more() {
    let members = [member("b", &["t", "u"]), member("a", &["t", "u"])];
    let assigned = Assignor::Range.assign(&members, &counts(&[("t", 3), ("u", 3)]));
    assert_eq!(shown(&assigned), ["t2 u2", "t0 t1 u0 u1"]);
    // A topic that only one wants, and one that does not exist.
    let members = [member("a", &["t"]), member("b", &["t", "u", "nope"])];
    let assigned = Assignor::Range.assign(&members, &counts(&[("t", 1), ("u", 2)]));
    assert_eq!(shown(&assigned), ["t0", "u0 u1"]);
}

#[test]
fn static_members_come_first_by_their_static_ids() {
    let mut members = [member("a", &["t"]), member("z", &["t"]), member("y", &["t"])];
    members[1].instance_id = Some("i1".into());
    members[2].instance_id = Some("i0".into());
    let assigned = Assignor::Range.assign(&members, &counts(&[("t", 4)]));
    assert_eq!(shown(&assigned), ["t3", "t2", "t0 t1"]);
}

#[test]
fn round_robin_goes_round_and_passes_over_who_does_not_want_it() {
    let members = [member("a", &["t", "u"]), member("b", &["t", "u"])];
    let assigned = Assignor::RoundRobin.assign(&members, &counts(&[("t", 3), ("u", 3)]));
    assert_eq!(shown(&assigned), ["t0 t2 u1", "t1 u0 u2"]);
    let members = [member("a", &["t"]), member("b", &["t", "u"]), member("c", &["u"])];
    let assigned = Assignor::RoundRobin.assign(&members, &counts(&[("t", 3), ("u", 2)]));
    assert_eq!(shown(&assigned), ["t0 t2", "t1 u0", "u1"]);
}

/// Assigns, then lets every member own what it got.
fn settle(assignor: Assignor, members: &mut [Member], topics: &BTreeMap<Arc<str>, i32>) -> usize {
    let generation = members.iter().map(|member| member.generation).max().unwrap_or(0) + 1;
    let assigned = assignor.assign(members, topics);
    let mut moved = 0;
    for (member, assigned) in members.iter_mut().zip(assigned) {
        moved += assigned.difference(&member.owned).count();
        member.owned = assigned;
        member.generation = generation;
    }
    moved
}

/// Every partition has one owner who wants it, and no member has two more than another who could
/// have taken one.
fn check_whole_and_even(members: &[Member], topics: &BTreeMap<Arc<str>, i32>) {
    let mut seen = BTreeSet::new();
    for member in members {
        for partition in &member.owned {
            assert!(member.topics.contains(&partition.topic), "{members:?}");
            assert!(seen.insert(partition.clone()), "{partition} has two owners: {members:?}");
            for other in members.iter().filter(|other| other.topics.contains(&partition.topic)) {
                assert!(member.owned.len() <= other.owned.len() + 1, "{members:?}");
            }
        }
    }
    let all = wanted(members, topics);
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all, "some have no owner");
}

#[test]
fn sticky_stays_even_and_moves_as_little_as_possible() {
    let topics = counts(&[("t", 12)]);
    let mut members: Vec<_> = ["a", "b", "c"].map(|id| member(id, &["t"])).into();
    assert_eq!(settle(Assignor::Sticky, &mut members, &topics), 12);
    assert_eq!(settle(Assignor::Sticky, &mut members, &topics), 0, "nothing changed");
    members.push(member("d", &["t"]));
    assert_eq!(settle(Assignor::Sticky, &mut members, &topics), 3);
    check_whole_and_even(&members, &topics);
    members.remove(0);
    assert_eq!(settle(Assignor::Sticky, &mut members, &topics), 3);
    check_whole_and_even(&members, &topics);
}

/// A source of numbers, from one seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }
}

#[test]
fn groups_that_come_and_go_are_always_whole_and_even() {
    for seed in 1..60u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut members: Vec<Member> = Vec::new();
        for turn in 0..20 {
            let topics = counts(&[("t", 3 + turn / 2), ("u", 5), ("v", 1)]);
            if members.len() < 2 || random.below(2) == 0 {
                let wanted: &[&str] = match random.below(3) {
                    0 => &["t", "u", "v"],
                    1 => &["t"],
                    _ => &["u", "v"],
                };
                members.push(member(&format!("{turn:02}"), wanted));
            } else {
                let gone = random.below(members.len() as u64) as usize;
                members.remove(gone);
            }
            for assignor in [Assignor::Range, Assignor::RoundRobin] {
                let assigned = assignor.assign(&members, &topics);
                let count: usize = assigned.iter().map(BTreeSet::len).sum();
                assert_eq!(count, wanted(&members, &topics).len(), "seed {seed}");
            }
            let before = members.clone();
            settle(Assignor::CooperativeSticky, &mut members, &topics);
            for (after, other) in members.iter().flat_map(|m| before.iter().map(move |o| (m, o))) {
                let taken = after.owned.intersection(&other.owned).count();
                assert!(after.id == other.id || taken == 0, "seed {seed}: taken from an owner");
            }
            // Who had to let go joins again at once.
            let mut rounds = 0;
            while settle(Assignor::CooperativeSticky, &mut members, &topics) > 0 {
                rounds += 1;
                assert!(rounds < 6, "seed {seed}: no end");
            }
            check_whole_and_even(&members, &topics);
        }
    }
}

#[test]
fn of_two_claims_the_newer_wins_and_of_equal_ones_none() {
    let topics = counts(&[("t", 2)]);
    let all: BTreeSet<_> = (0..2).map(|index| TopicPartition::new("t", index)).collect();
    let mut members = [member("a", &["t"]), member("b", &["t"])];
    for (member, generation) in members.iter_mut().zip([5, 7]) {
        (member.owned, member.generation) = (all.clone(), generation);
    }
    assert!(sticky::owners(&members).into_values().eq([1, 1]));
    assert_eq!(shown(&Assignor::CooperativeSticky.assign(&members, &topics)), ["", "t0"]);
    members[0].generation = 7;
    assert!(sticky::owners(&members).is_empty());
    assert_eq!(shown(&Assignor::Sticky.assign(&members, &topics)), ["t0", "t1"]);
    // Both must let go before anyone has them.
    assert_eq!(shown(&Assignor::CooperativeSticky.assign(&members, &topics)), ["", ""]);
}

#[test]
fn what_members_say_about_themselves_survives_the_wire() {
    let topics: BTreeSet<Arc<str>> = BTreeSet::from([Arc::from("t")]);
    let owned = BTreeSet::from([TopicPartition::new("t", 1), TopicPartition::new("t", 3)]);
    for assignor in [Assignor::Sticky, Assignor::CooperativeSticky] {
        let bytes = assignor.subscription(&topics, &owned, 9).encode().unwrap();
        let member = Member::decode("m".into(), None, bytes).unwrap();
        assert_eq!((&member.owned, member.generation), (&owned, 9), "{assignor:?}");
        assert_eq!(member.topics, topics);
    }
    let bytes = Assignor::Range.subscription(&topics, &owned, 9).encode().unwrap();
    assert!(Member::decode("m".into(), None, bytes).unwrap().owned.is_empty());
    assert!(Member::decode("m".into(), None, Bytes::from_static(b"\0")).is_err());
}
