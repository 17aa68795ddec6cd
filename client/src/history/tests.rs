//! A clean history, and one made-up history for each anomaly: each must be found, and nothing else.

use super::*;

/// A history of two partitions whose clients do as they are told.
struct Script {
    history: History,
    sender: Sender,
    reader: Reader,
}

impl Script {
    fn of(guarantee: Guarantee) -> Script {
        let mut history = History::new(["t-0", "t-1"]);
        let (sender, mut reader) = (history.sender(guarantee), history.reader());
        reader.starts_at(0, 0);
        reader.starts_at(1, 0);
        Script { history, sender, reader }
    }

    fn exact() -> Script {
        Script::of(Guarantee::Exact)
    }

    fn send(&mut self, outcome: Outcome) -> Value {
        let value = self.sender.invoke(0);
        self.sender.settle(value, outcome);
        value
    }

    fn written(&mut self, offset: i64) -> Value {
        self.send(Outcome::Written { offset: Some(offset) })
    }

    fn read(&mut self, offset: i64, value: Value) {
        self.reader.read(0, offset, Some(value));
    }

    fn check(mut self) -> Report {
        self.history.add_sender(self.sender);
        self.history.add_reader(self.reader);
        self.history.check()
    }

    /// Checks that these kinds were found, so many of each, and no others.
    #[track_caller]
    fn finds(self, expected: &[(AnomalyKind, u64)]) -> Report {
        let report = self.check();
        let found: Vec<(AnomalyKind, u64)> = AnomalyKind::ALL
            .into_iter()
            .map(|kind| (kind, report.count(kind)))
            .filter(|(_, count)| *count > 0)
            .collect();
        assert_eq!(found, expected, "{report}");
        assert_eq!(report.is_clean(), expected.is_empty());
        report
    }
}

const KNOWN: Outcome = Outcome::Written { offset: None };

#[test]
fn a_clean_history_is_clean() {
    let mut script = Script::exact();
    let first = script.written(0);
    let seen = script.send(Outcome::Unknown);
    let _unseen = script.send(Outcome::Unknown);
    let _refused = script.send(Outcome::Refused);
    let repeated = script.send(KNOWN);
    let _in_flight = script.sender.invoke(0);
    let elsewhere = script.sender.invoke(1);
    script.sender.settle(elsewhere, Outcome::Written { offset: Some(0) });
    for (offset, value) in [(0, first), (1, seen), (2, repeated)] {
        script.read(offset, value);
    }
    script.reader.read(1, 0, Some(elsewhere));
    assert_eq!((script.sender.invoked_count(), script.sender.written_count()), (7, 3));
    assert_eq!(script.reader.read_count(), 4);
    let report = script.finds(&[]);
    assert_eq!((report.invoked, report.written, report.refused), (7, 3, 1));
    assert_eq!((report.unknown, report.unknown_read, report.read), (3, 1, 4));
    assert!(report.to_string().ends_with("no anomaly"), "{report}");
}

#[test]
fn an_offset_with_two_values_is_inconsistent() {
    let mut script = Script::exact();
    let first = script.written(0);
    let second = script.send(Outcome::Unknown);
    script.read(0, first);
    let mut other = script.history.reader();
    other.starts_at(0, 0);
    other.read(0, 0, Some(second));
    script.history.add_reader(other);
    // The two cannot both stand behind one another, either.
    let report = script.finds(&[(AnomalyKind::InconsistentOffset, 1), (AnomalyKind::Reordered, 1)]);
    assert_eq!(report.anomalies()[0].evidence, "t-0 offset 0: 0.0 and 0.1");
}

#[test]
fn an_acknowledgement_counts_as_a_sighting() {
    let mut script = Script::exact();
    let (told, there) = (script.written(0), script.send(Outcome::Unknown));
    script.read(0, there);
    script.read(1, told);
    script.finds(&[
        (AnomalyKind::InconsistentOffset, 1),
        (AnomalyKind::Duplicate, 1),
        (AnomalyKind::Reordered, 1),
    ]);
}

#[test]
fn bytes_that_are_no_value_in_place_of_one() {
    let mut script = Script::exact();
    let value = script.written(0);
    script.read(0, value);
    let mut other = script.history.reader();
    other.starts_at(0, 0);
    other.read(0, 0, None);
    script.history.add_reader(other);
    script.finds(&[(AnomalyKind::InconsistentOffset, 1), (AnomalyKind::Foreign, 1)]);
}

#[test]
fn an_acknowledged_value_that_was_passed_over_is_lost() {
    let mut script = Script::exact();
    let (_lost, last) = (script.written(0), script.written(1));
    script.reader.starts_at(0, 1);
    script.read(1, last);
    let report = script.finds(&[(AnomalyKind::Lost, 1)]);
    assert_eq!(report.anomalies()[0].evidence, "t-0 offset 0: 0.0");
}

#[test]
fn a_lost_value_of_unknown_offset_is_lost_if_a_later_one_was_read() {
    let mut script = Script::exact();
    let (_lost, last) = (script.send(KNOWN), script.written(0));
    script.read(0, last);
    script.finds(&[(AnomalyKind::Lost, 1)]);
}

#[test]
fn an_acknowledged_value_at_the_end_that_nobody_reads_is_unseen() {
    let mut script = Script::exact();
    let first = script.written(0);
    script.written(1);
    script.send(KNOWN);
    script.read(0, first);
    script.finds(&[(AnomalyKind::Unseen, 2)]);
}

#[test]
fn a_value_at_two_offsets_is_a_duplicate_unless_repetition_was_allowed() {
    for (guarantee, expected) in
        [(Guarantee::Exact, &[(AnomalyKind::Duplicate, 1)][..]), (Guarantee::AtLeastOnce, &[])]
    {
        let mut script = Script::of(guarantee);
        let (first, second) = (script.send(Outcome::Unknown), script.written(1));
        for (offset, value) in [(0, first), (1, second), (2, first)] {
            script.read(offset, value);
        }
        let report = script.finds(expected);
        assert_eq!(report.repeated, u64::from(expected.is_empty()));
    }
}

#[test]
fn a_refused_value_must_not_be_read() {
    let mut script = Script::exact();
    let value = script.send(Outcome::Refused);
    script.read(0, value);
    script.finds(&[(AnomalyKind::RefusedRead, 1)]);
}

#[test]
fn values_that_nobody_sent_there_are_foreign() {
    let mut script = Script::exact();
    let elsewhere = script.sender.invoke(1);
    script.sender.settle(elsewhere, Outcome::Written { offset: Some(0) });
    script.read(0, elsewhere);
    script.read(1, Value::new(0, 99));
    script.read(2, Value::new(7, 0));
    script.reader.read(0, 3, None);
    // Read where it should not be, the value is still missing where it should be.
    script.finds(&[(AnomalyKind::Unseen, 1), (AnomalyKind::Foreign, 4)]);
}

#[test]
fn a_reader_must_not_skip_records_that_exist() {
    let mut script = Script::exact();
    let values = [script.written(0), script.written(1), script.written(5)];
    script.read(0, values[0]);
    // Nobody knows anything of offsets 2 to 4, but of 1.
    script.read(5, values[2]);
    let mut other = script.history.reader();
    other.starts_at(0, 1);
    other.read(0, 1, Some(values[1]));
    other.read(0, 5, Some(values[2]));
    script.history.add_reader(other);
    let report = script.finds(&[(AnomalyKind::Skip, 1)]);
    let evidence = &report.anomalies()[0].evidence;
    assert_eq!(evidence, "t-0: reader 0 at offset 1 was handed 5, not 1");
}

#[test]
fn a_reader_must_not_skip_at_its_start() {
    let mut script = Script::exact();
    let values = [script.written(0), script.written(1)];
    script.read(1, values[1]);
    let mut other = script.history.reader();
    other.starts_at(0, 0);
    other.read(0, 0, Some(values[0]));
    script.history.add_reader(other);
    script.finds(&[(AnomalyKind::Skip, 1)]);
}

#[test]
fn a_reader_must_not_step_back_unless_it_seeks() {
    let mut script = Script::exact();
    let values = [script.written(0), script.written(1)];
    for (offset, value) in [(0, values[0]), (1, values[1]), (1, values[1])] {
        script.read(offset, value);
    }
    script.reader.starts_at(0, 0);
    script.read(0, values[0]);
    script.read(1, values[1]);
    script.finds(&[(AnomalyKind::StepBack, 1)]);
}

#[test]
fn an_exact_senders_values_keep_their_order() {
    for (guarantee, expected) in
        [(Guarantee::Exact, &[(AnomalyKind::Reordered, 1)][..]), (Guarantee::AtLeastOnce, &[])]
    {
        let mut script = Script::of(guarantee);
        let (second, first) = (script.written(1), script.send(Outcome::Unknown));
        script.read(0, first);
        script.read(1, second);
        script.finds(expected);
    }
}

#[test]
fn long_lists_are_counted_and_cut() {
    let mut script = Script::exact();
    for offset in 0..100 {
        script.written(offset);
    }
    let report = script.finds(&[(AnomalyKind::Unseen, 100)]);
    assert_eq!(report.anomalies().len(), 10);
    assert!(report.to_string().contains("100 unseen writes:"), "{report}");
}

#[test]
#[should_panic(expected = "every sender's notes")]
fn forgotten_notes_are_a_mistake() {
    let mut history = History::new(["t-0"]);
    let _ = history.sender(Guarantee::Exact);
    history.check();
}

#[test]
fn deliveries_tell_outcomes() {
    let expired = |sent| Error::Expired {
        topic: "t".into(),
        partition: 0,
        after: std::time::Duration::from_secs(1),
        sent,
        last: None,
    };
    let of = |error| Outcome::of_delivery(&Err(error));
    assert_eq!(of(expired(false)), Outcome::Refused);
    assert_eq!(of(expired(true)), Outcome::Unknown);
    assert_eq!(of(Error::Closed), Outcome::Unknown);
    assert_eq!(of(Error::RecordTooLarge { size: 2, limit: 1 }), Outcome::Refused);
}

#[test]
fn values_keep_their_text() {
    for value in [Value::new(0, 0), Value::new(3, 17), Value::new(u32::MAX, u32::MAX)] {
        for size in [0, 30, 1000] {
            let bytes = value.to_bytes(size);
            assert!(bytes.len() >= size);
            assert_eq!(Value::from_bytes(&bytes), Some(value));
        }
    }
    let bad = ["", " ", "3.17", "3 ", "03.17 ", "+3.17 ", "3.17 x", "3.17 ..x", "a.b ", "3.17.1 "];
    for text in bad {
        assert_eq!(Value::from_bytes(text.as_bytes()), None, "{text:?}");
    }
    assert_eq!(Value::from_bytes(&[0xff, b' ']), None);
}

/// `cargo test --release -p synod-client --lib -- --ignored --nocapture a_million`
#[test]
#[ignore = "a measurement"]
fn a_million_operations() {
    let mut history = History::new((0..16).map(|partition| format!("t-{partition}")));
    let mut senders: Vec<Sender> = (0..8).map(|_| history.sender(Guarantee::Exact)).collect();
    let mut readers = [history.reader(), history.reader()];
    let mut ends = [0; 16];
    for turn in 0..333_333u32 {
        let sender = &mut senders[(turn % 8) as usize];
        let partition = turn.wrapping_mul(2_654_435_761) % 16;
        let value = sender.invoke(partition);
        let end = &mut ends[partition as usize];
        sender.settle(value, Outcome::Written { offset: Some(*end) });
        for reader in &mut readers {
            reader.read(partition, *end, Some(value));
        }
        *end += 1;
    }
    senders.into_iter().for_each(|sender| history.add_sender(sender));
    readers.into_iter().for_each(|reader| history.add_reader(reader));
    let started = std::time::Instant::now();
    let report = history.check();
    println!("checked in {:?}: {report}", started.elapsed());
    assert!(report.is_clean(), "{report}");
}
