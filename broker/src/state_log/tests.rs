//! Transcripts and properties of the runtime, over a tiny key-value state machine.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use proptest::prelude::*;

use super::*;

/// Keys to numbers; a record sets one. A number over 1,000 cannot be applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Map {
    values: BTreeMap<String, u64>,
    applied: u64,
}

type Entry = (String, u64);

impl StateMachine for Map {
    type Record = Entry;

    fn apply(&mut self, offset: u64, (key, value): &Entry) -> Result<(), StateError> {
        if offset != self.applied {
            return Err("offsets must be contiguous".into());
        }
        if *value > 1000 {
            return Err("too big".into());
        }
        self.values.insert(key.clone(), *value);
        self.applied += 1;
        Ok(())
    }

    fn encode((key, value): &Entry) -> EncodedRecord {
        let value = Bytes::from(value.to_string());
        EncodedRecord { key: Some(Bytes::from(key.clone())), value: Some(value) }
    }

    fn decode(record: &EncodedRecord) -> Result<Entry, StateError> {
        let text = |part: &Option<Bytes>| -> Result<String, StateError> {
            Ok(String::from_utf8(part.as_ref().ok_or("missing")?.to_vec())?)
        };
        Ok((text(&record.key)?, text(&record.value)?.parse()?))
    }
}

/// A log and what it answered so far.
struct Subject {
    log: StateLog<Map>,
    answers: Arc<Mutex<Vec<String>>>,
}

impl Subject {
    fn leading() -> Self {
        let mut log = StateLog::new(Map::default(), 0);
        log.handle_leading();
        Self { log, answers: Arc::default() }
    }

    /// Adds `by` to a key and answers the sum.
    fn add(&mut self, key: &'static str, by: u64) {
        let handler = move |map: &Map| {
            let sum = map.values.get(key).copied().unwrap_or(0) + by;
            (vec![(key.to_owned(), sum)], sum)
        };
        self.submit(key, handler);
    }

    fn read(&mut self, key: &'static str) {
        let handler = move |map: &Map| (Vec::new(), map.values.get(key).copied().unwrap_or(0));
        self.submit(key, handler);
    }

    fn submit(
        &mut self,
        key: &'static str,
        handler: impl FnOnce(&Map) -> (Vec<Entry>, u64) + Send + 'static,
    ) {
        let answers = Arc::clone(&self.answers);
        self.log.submit(handler, move |outcome| {
            let text = match outcome {
                Ok(sum) => format!("{key}={sum}"),
                Err(reason) => format!("{key}:{reason:?}"),
            };
            answers.lock().unwrap().push(text);
        });
    }

    fn decide(&mut self, proposal: &Proposal) {
        let decided = self.log.handle_decided(proposal.base_offset, &proposal.records);
        decided.unwrap().send();
    }

    /// What was answered since the last call.
    fn answers(&self) -> Vec<String> {
        std::mem::take(&mut self.answers.lock().unwrap())
    }
}

#[test]
fn responses_are_parked_until_their_records_are_decided() {
    let mut subject = Subject::leading();
    subject.add("a", 1);
    let proposal = subject.log.poll_proposal().unwrap();
    assert_eq!(subject.answers(), [""; 0]);
    assert_eq!(subject.log.state(), &Map::default(), "nothing is decided yet");

    let responses = subject.log.handle_decided(0, &proposal.records).unwrap();
    assert_eq!(subject.log.state().values["a"], 1);
    assert_eq!(subject.answers(), [""; 0], "the owner publishes the state first");
    responses.send();
    assert_eq!(subject.answers(), ["a=1"]);
}

#[test]
fn waiting_requests_are_gathered_and_see_each_other() {
    let mut subject = Subject::leading();
    subject.add("a", 1);
    let first = subject.log.poll_proposal().unwrap();
    for by in 1..=3 {
        subject.add("a", by);
    }
    subject.read("a");
    assert_eq!(subject.log.poll_proposal(), None, "one proposal is in flight at a time");
    subject.decide(&first);
    let second = subject.log.poll_proposal().unwrap();
    assert_eq!((second.base_offset, second.records.len()), (1, 3));
    assert_eq!(subject.answers(), ["a=1"], "the read saw what is not decided: it waits too");
    subject.decide(&second);
    assert_eq!(subject.answers(), ["a=2", "a=4", "a=7", "a=7"]);
    assert_eq!(subject.log.end(), 4);
}

#[test]
fn a_request_without_records_waits_for_a_quorum_alone_when_all_it_saw_is_decided() {
    let mut subject = Subject::leading();
    subject.read("a");
    assert_eq!(subject.log.poll_proposal(), None);
    assert_eq!(subject.answers(), [""; 0], "somebody else may lead by now");
    subject.log.reads_mut().confirm_now();
    assert_eq!(subject.answers(), ["a=0"]);
    // In front of others it need not wait for them either.
    subject.read("b");
    subject.add("b", 5);
    let proposal = subject.log.poll_proposal().unwrap();
    subject.log.reads_mut().confirm_now();
    assert_eq!(subject.answers(), ["b=0"]);
    subject.decide(&proposal);
    assert_eq!(subject.answers(), ["b=5"]);
}

#[test]
fn a_quorum_confirms_only_what_was_made_before_it_was_asked() {
    let mut subject = Subject::leading();
    let read = |subject: &mut Subject, name: &'static str| {
        let answers = Arc::clone(&subject.answers);
        subject.log.read(move |outcome| {
            answers.lock().unwrap().push(format!("{name}:{}", outcome.is_ok()));
        });
    };
    assert!(!subject.log.reads_mut().needs_confirmation());
    read(&mut subject, "a");
    read(&mut subject, "b");
    assert!(subject.log.reads_mut().needs_confirmation());
    subject.log.reads_mut().handle_asked(7);
    read(&mut subject, "c");
    assert!(!subject.log.reads_mut().needs_confirmation(), "one question at a time");
    subject.log.reads_mut().handle_confirmed(6);
    assert_eq!(subject.answers(), [""; 0]);
    subject.log.reads_mut().handle_confirmed(7);
    assert_eq!(subject.answers(), ["a:true", "b:true"]);
    assert!(subject.log.reads_mut().needs_confirmation());
    subject.log.reads_mut().handle_unconfirmed();
    assert_eq!(subject.answers(), ["c:false"]);
    subject.log.reads_mut().handle_confirmed(8);
    assert_eq!(subject.answers(), [""; 0]);

    read(&mut subject, "d");
    subject.log.reads_mut().handle_asked(9);
    read(&mut subject, "e");
    subject.log.handle_lost_leadership();
    assert_eq!(subject.answers(), ["d:false", "e:false"]);
    read(&mut subject, "f");
    assert_eq!(subject.answers(), ["f:false"]);
}

#[test]
fn losing_leadership_leaves_the_proposed_unknown_and_the_rest_undone() {
    let mut subject = Subject::leading();
    subject.add("a", 1);
    let proposal = subject.log.poll_proposal().unwrap();
    subject.add("b", 1);
    subject.log.handle_lost_leadership();
    assert_eq!(subject.answers(), ["a:Unknown", "b:NotLeading"]);
    subject.add("c", 1);
    assert_eq!(subject.answers(), ["c:NotLeading"]);
    // It was decided all the same, and is applied like anyone's.
    subject.decide(&proposal);
    assert_eq!(subject.log.state().values["a"], 1);
    assert_eq!(subject.answers(), [""; 0], "nobody is answered twice");

    subject.log.handle_leading();
    subject.add("a", 1);
    let proposal = subject.log.poll_proposal().unwrap();
    assert_eq!(proposal.base_offset, 1);
    subject.decide(&proposal);
    assert_eq!(subject.answers(), ["a=2"]);
}

#[test]
fn a_refused_proposal_definitely_did_not_happen() {
    let mut subject = Subject::leading();
    subject.add("a", 1);
    assert!(subject.log.poll_proposal().is_some());
    subject.log.handle_refused();
    assert_eq!(subject.answers(), ["a:Refused"]);
    subject.add("a", 1);
    assert_eq!(subject.log.poll_proposal().unwrap().base_offset, 0);
}

#[test]
fn beyond_the_bound_requests_are_refused_as_busy() {
    let mut subject = Subject::leading();
    for _ in 0..WAITING_REQUESTS {
        subject.read("a");
    }
    assert!(!subject.log.has_room());
    subject.read("b");
    assert_eq!(subject.answers(), ["b:Busy"]);
    assert_eq!(subject.log.poll_proposal(), None);
    assert!(!subject.log.has_room(), "they wait for a quorum");
    subject.log.reads_mut().confirm_now();
    assert_eq!(subject.answers().len(), WAITING_REQUESTS);
    assert!(subject.log.has_room());
}

#[test]
fn a_proposal_stops_gathering_at_its_bounds() {
    let mut subject = Subject::leading();
    let many = |map: &Map| {
        let first = map.applied;
        ((0..3000).map(|i| (format!("k{}", first + i), 1)).collect(), first)
    };
    for _ in 0..3 {
        subject.submit("many", many);
    }
    let first = subject.log.poll_proposal().unwrap();
    assert_eq!(first.records.len(), 6000, "it stops after the request that crosses the bound");
    subject.decide(&first);
    let second = subject.log.poll_proposal().unwrap();
    assert_eq!((second.base_offset, second.records.len()), (6000, 3000));
    subject.decide(&second);
    assert_eq!(subject.answers(), ["many=0", "many=3000", "many=6000"]);
}

#[test]
fn a_handler_with_a_bug_fails_alone() {
    let mut subject = Subject::leading();
    subject.add("a", 1);
    subject.submit("bug", |_| (vec![("x".into(), 1), ("x".into(), 1001)], 0));
    subject.add("a", 1);
    let proposal = subject.log.poll_proposal().unwrap();
    assert_eq!(proposal.records.len(), 2);
    assert_eq!(subject.answers(), ["bug:Refused"]);
    subject.decide(&proposal);
    assert_eq!(subject.answers(), ["a=1", "a=2"]);
    assert!(!subject.log.state().values.contains_key("x"));
}

#[test]
fn decided_batches_that_cannot_be_are_errors_and_change_nothing() {
    let record = |text: &str, number: u64| Map::encode(&(text.to_owned(), number));
    let garbage = EncodedRecord { key: None, value: Some(Bytes::from_static(b"?")) };
    let mut log = StateLog::new(Map::default(), 0);
    for (base, records) in [
        (1, vec![record("a", 1)]),
        (0, vec![record("a", 1), garbage]),
        (0, vec![record("a", 1), record("a", 1001)]),
    ] {
        assert!(log.handle_decided(base, &records).is_err());
        assert_eq!((log.state(), log.end()), (&Map::default(), 0));
    }
    // While a proposal is in flight, nothing else can be decided in its place.
    log.handle_leading();
    log.submit(|_| (vec![("a".into(), 1)], ()), |_| {});
    assert!(log.poll_proposal().is_some());
    assert!(log.handle_decided(0, &[record("b", 1), record("b", 2)]).is_err());
}

#[derive(Clone, Debug)]
enum Step {
    Add(&'static str, u64),
    Read(&'static str),
    Poll,
    Decide,
    Refuse,
    Confirm,
    /// Lose leadership; what is in flight is decided by the next leader or never.
    Lose {
        survives: bool,
    },
    Lead,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = prop::sample::select(vec!["a", "b", "c"]);
    let step = prop_oneof![
        4 => (key.clone(), 0..300u64).prop_map(|(key, by)| Step::Add(key, by)),
        1 => key.prop_map(Step::Read),
        4 => Just(Step::Poll),
        4 => Just(Step::Decide),
        1 => Just(Step::Refuse),
        2 => Just(Step::Confirm),
        1 => any::<bool>().prop_map(|survives| Step::Lose { survives }),
        2 => Just(Step::Lead),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    #[test]
    fn live_state_equals_replay_and_each_request_is_answered_once(steps in steps()) {
        let mut subject = Subject::leading();
        let mut decided: Vec<EncodedRecord> = Vec::new();
        let mut proposed: Option<Proposal> = None;
        let (mut submitted, mut answered) = (0, 0);
        for step in steps {
            match step {
                Step::Add(key, by) => { subject.add(key, by); submitted += 1; }
                Step::Read(key) => { subject.read(key); submitted += 1; }
                Step::Poll => {
                    if let Some(proposal) = subject.log.poll_proposal() {
                        prop_assert!(proposed.is_none());
                        prop_assert!(!proposal.records.is_empty());
                        prop_assert_eq!(proposal.base_offset, decided.len() as u64);
                        proposed = Some(proposal);
                    }
                }
                Step::Decide => if let Some(proposal) = proposed.take() {
                    subject.decide(&proposal);
                    decided.extend(proposal.records);
                },
                Step::Refuse => { subject.log.handle_refused(); proposed = None; }
                Step::Lose { survives } => {
                    subject.log.handle_lost_leadership();
                    if let Some(proposal) = proposed.take().filter(|_| survives) {
                        subject.decide(&proposal);
                        decided.extend(proposal.records);
                    }
                }
                Step::Confirm => subject.log.reads_mut().confirm_now(),
                Step::Lead => if proposed.is_none() { subject.log.handle_leading(); },
            }
            answered += subject.answers().len();
            let mut replay = StateLog::new(Map::default(), 0);
            replay.handle_decided(0, &decided).unwrap().send();
            prop_assert_eq!(replay.state(), subject.log.state());
            prop_assert_eq!(subject.log.end(), decided.len() as u64);
        }
        subject.log.handle_lost_leadership();
        answered += subject.answers().len();
        prop_assert_eq!(answered, submitted);
    }
}
