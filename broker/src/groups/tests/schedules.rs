//! Random schedules, and many members at once.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A consumer that does what a client library does.
#[derive(Default)]
struct Consumer {
    id: Str,
    generation: i32,
    state: ConsumerState,
    /// It neither asks nor answers any more.
    dead: bool,
}

#[derive(Default)]
enum ConsumerState {
    #[default]
    Out,
    Joining(Waiting<JoinAnswer>),
    Syncing(Waiting<Result<Synced, GroupError>>),
    /// Owns what it was assigned.
    Owning(Bytes),
}

impl Consumer {
    /// Who does not join again within four seconds is left behind.
    fn join(&self) -> Join {
        Join { rebalance_timeout_ms: 4_000, ..join(&self.id) }
    }

    /// One round: look at the answer that came, ask the next thing.
    fn act(&mut self, lab: &mut Lab) {
        if self.dead {
            return;
        }
        match std::mem::take(&mut self.state) {
            ConsumerState::Out => self.state = ConsumerState::Joining(lab.send_join(self.join())),
            ConsumerState::Joining(mut waiting) => match waiting.poll() {
                None => self.state = ConsumerState::Joining(waiting),
                Some(answer) => self.handle_joined(&answer, lab),
            },
            ConsumerState::Syncing(mut waiting) => match waiting.poll() {
                None => self.state = ConsumerState::Syncing(waiting),
                Some(Ok(synced)) => self.state = ConsumerState::Owning(synced.assignment),
                Some(Err(error)) => self.handle_error(error),
            },
            ConsumerState::Owning(owned) => {
                match lab.heartbeat(&claim(&self.id, self.generation)) {
                    Ok(()) => self.state = ConsumerState::Owning(owned),
                    Err(error) => self.handle_error(error),
                }
            }
        }
    }

    fn handle_joined(&mut self, answer: &JoinAnswer, lab: &mut Lab) {
        match answer.error {
            Some(GroupError::MemberIdRequired) => self.id = answer.member.clone(),
            Some(error) => self.handle_error(error),
            None => {
                let told = joined(answer);
                self.generation = told.generation;
                let claim = claim(&self.id, self.generation);
                // As many partitions as letters: each goes to one member.
                let mut shares = BTreeMap::<Str, Vec<u8>>::new();
                for (letter, member) in (b'a'..=b'z').zip(told.members.iter().cycle()) {
                    shares.entry(member.id.clone()).or_default().push(letter);
                }
                let assignments = shares.into_iter().map(|(id, s)| (id, Bytes::from(s))).collect();
                let sync = Sync { claim, assignments, ..Sync::default() };
                let waiting = lab.ask(|reply| GroupRequest::Sync(Box::new(sync), reply));
                self.state = ConsumerState::Syncing(waiting);
            }
        }
    }

    fn handle_error(&mut self, error: GroupError) {
        if matches!(error, GroupError::UnknownMember) {
            self.id = Str::EMPTY;
        }
    }

    fn owned(&self) -> &[u8] {
        match &self.state {
            ConsumerState::Owning(owned) if !self.dead => owned,
            _ => &[],
        }
    }
}

/// No partition has two owners in one generation.
fn check_owners(consumers: &[Consumer]) {
    let mut owners = BTreeMap::new();
    for consumer in consumers {
        for letter in consumer.owned() {
            let before = owners.insert((consumer.generation, *letter), &consumer.id);
            assert!(before.is_none_or(|id| *id == consumer.id), "a partition with two owners");
        }
    }
}

/// Whether each partition has an owner in the newest generation.
fn all_owned(consumers: &[Consumer]) -> bool {
    let newest = consumers.iter().filter(|c| !c.owned().is_empty()).map(|c| c.generation).max();
    let owned = consumers.iter().filter(|consumer| Some(consumer.generation) == newest);
    let mut letters: Vec<u8> = owned.flat_map(|consumer| consumer.owned().to_vec()).collect();
    letters.sort_unstable();
    letters.dedup();
    letters.len() == 26
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens in whatever order, the live state is a replay's, nobody shares a
    /// partition, and once it is quiet the group finds its feet.
    #[test]
    fn any_schedule(steps in prop::collection::vec((0u8..14, 0usize..5, 0u64..4_000), 1..120)) {
        let mut lab = Lab::new();
        let mut consumers: Vec<Consumer> = (0..5).map(|_| Consumer::default()).collect();
        let mut committed = None;
        for (kind, index, ms) in steps {
            let consumer = &mut consumers[index];
            match kind {
                0..=5 => consumer.act(&mut lab),
                6 | 7 => lab.pass(ms),
                8 => consumer.dead = true,
                9 => *consumer = Consumer::default(),
                10 => {
                    if !consumer.id.is_empty() {
                        let id = consumer.id.clone();
                        lab.send_leave(&id);
                        *consumer = Consumer::default();
                    }
                }
                11 => lab.deciding = !lab.deciding,
                12 => lab.take_over(),
                _ => {
                    let claim = claim(&consumer.id, consumer.generation);
                    let offset = i64::try_from(lab.log.len()).unwrap();
                    if lab.send_commit(&claim, offset).poll() == Some(Ok(vec![Ok(())])) {
                        committed = Some(offset);
                    }
                }
            }
            check_owners(&consumers);
            prop_assert!(lab.committed("g") >= committed, "an answered commit is kept");
        }
        lab.deciding = true;
        lab.step();
        for consumer in &mut consumers {
            *consumer = Consumer::default();
        }
        for _ in 0..120 {
            lab.pass(500);
            consumers.iter_mut().for_each(|consumer| consumer.act(&mut lab));
            check_owners(&consumers);
        }
        prop_assert!(all_owned(&consumers), "not settled: {}", lab.phase());
    }
}

/// Fifty members join, leave and die for two simulated minutes; no partition is without an owner
/// for longer than the session time-out and three seconds.
#[test]
fn fifty_members_come_and_go() {
    const SESSION_MS: u64 = 10_000;
    let mut lab = Lab::new();
    let mut consumers: Vec<Consumer> = (0..50).map(|_| Consumer::default()).collect();
    let mut random = 7u64;
    let mut next = |end: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % end
    };
    let (mut ownerless_ms, mut longest_ms) = (0, 0);
    for round in 0..1_200u32 {
        lab.pass(100);
        let index = usize::try_from(next(50)).unwrap();
        // Who dies or is killed is missed only after its session; one each fifteen seconds or so.
        match next(600) {
            0 | 1 => consumers[index].dead = true,
            2..=12 if !consumers[index].id.is_empty() => {
                let id = consumers[index].id.clone();
                lab.send_leave(&id);
                consumers[index] = Consumer::default();
            }
            13 | 14 => consumers[index] = Consumer::default(),
            _ => {}
        }
        for consumer in &mut consumers {
            // A heartbeat each second, everything else at once.
            let beats = !matches!(consumer.state, ConsumerState::Owning(_)) || round % 10 == 0;
            if beats {
                consumer.act(&mut lab);
            }
        }
        check_owners(&consumers);
        ownerless_ms = if all_owned(&consumers) { 0 } else { ownerless_ms + 100 };
        longest_ms = ownerless_ms.max(longest_ms);
    }
    assert!(longest_ms <= SESSION_MS + 3_000, "{longest_ms} ms without an owner");
}

/// Ten thousand members ask to join within ten seconds, to as many groups as there are members of
/// one group, and nothing is lost.
#[test]
fn a_thousand_joins_each_second() {
    let mut lab = Lab::new();
    let started = std::time::Instant::now();
    let mut waiting = Vec::new();
    for second in 0..10 {
        for index in 0..1_000u32 {
            let group: Str = format!("g{}", index % 100).into();
            let first = Join { group: group.clone(), ..join("") };
            lab.ids += 1;
            let new_member = format!("m-{:05}-{second}", lab.ids).into();
            let (reply, answer) = oneshot::channel();
            let request = Join { new_member, can_come_back: false, ..first };
            lab.coordinator.handle(GroupRequest::Join(Box::new(request), reply), lab.now);
            waiting.push(Waiting(answer));
        }
        lab.pass(1_000);
    }
    lab.pass(60_000);
    let mut generations = BTreeMap::<i32, usize>::new();
    for answer in waiting {
        *generations.entry(joined(&answer.now()).generation).or_default() += 1;
    }
    assert_eq!(generations.values().sum::<usize>(), 10_000);
    assert!(started.elapsed().as_secs() < 60, "slow: {:?}", started.elapsed());
}
