//! A lone replica.

use synod_log::carrier::{Carried, Carrier};

use super::*;

const NODE: NodeId = NodeId(1);

struct Harness {
    storage: Arc<MemoryStorage>,
    partition: Partition,
    effects: Effects,
    /// What the journal was given and has synced.
    journaled: Vec<JournalRecord>,
}

impl Harness {
    /// A new replica that leads round 1, its vow durable.
    fn new() -> Harness {
        let storage = Arc::new(MemoryStorage::new(1));
        storage.create_dir(Path::new("/p")).expect("twin");
        let device: Arc<dyn Storage> = storage.clone();
        let config = LogConfig { carry_max_size: 1_000, ..LogConfig::default() };
        let log = Log::create(device, Path::new("/p"), config).expect("twin");
        Harness::with_log(storage, log, Durable::default(), 1)
    }

    fn with_log(storage: Arc<MemoryStorage>, log: Log, durable: Durable, round: u32) -> Harness {
        let config = Arc::new(topic_config());
        let view = Arc::new(PartitionView::new(KEY, 0, log.view(), config, Arc::default()));
        let replica = Replica::new(ReplicaConfig::new(NODE), durable);
        let partition = Partition::new(KEY, log, replica, view, Marks::BeforeAnswers);
        let mut harness =
            Harness { storage, partition, effects: Effects::default(), journaled: Vec::new() };
        let ballot = Ballot { round, node: NODE };
        let set = ReplicaSet::new(&[NODE]);
        harness.partition.appoint(ballot, set, &mut harness.effects).expect("appointed");
        harness
    }

    fn ready() -> Harness {
        let mut harness = Harness::new();
        harness.settle();
        assert!(harness.partition.is_ready());
        harness
    }

    fn append(&mut self, batch: Batch, acks: Acks) -> oneshot::Receiver<Vec<AppendOutcome>> {
        let share = Budget::new(1).take(1).now_or_never().expect("free");
        let (reply, answer) = oneshot::channel();
        let slot = PendingAppend::slots(1, Some(reply), Arc::new(share)).next().expect("one");
        let item = AppendItem { key: KEY, batch, log_append_time: false };
        let run = [Produced { item, acks, slot }];
        self.partition.append(run, 5, &mut self.effects).expect("log");
        answer
    }

    /// Runs the syncs that are due; their marks go to the journal's queue.
    fn sync(&mut self) {
        for (_, job) in std::mem::take(&mut self.effects.syncs) {
            self.partition.handle_synced(job.run(), &mut self.effects).expect("synced");
        }
    }

    /// Makes everything in the journal's queue durable.
    fn journal(&mut self) {
        for record in std::mem::take(&mut self.effects.journal) {
            self.journaled.push(record);
            self.partition.handle_journaled(&record, &mut self.effects).expect("journaled");
        }
    }

    fn settle(&mut self) {
        while !self.effects.syncs.is_empty() || !self.effects.journal.is_empty() {
            self.sync();
            self.journal();
        }
        self.effects.background.clear();
    }
}

#[test]
fn nothing_is_answered_or_shown_before_sync_and_mark_are_durable() {
    let mut harness = Harness::ready();
    let mut first = harness.append(plain(&["a", "b"]), Acks::All);
    let mut second = harness.append(plain(&["c"]), Acks::Leader);
    assert_eq!((base_of(&mut first), base_of(&mut second)), (None, None));
    harness.sync();
    assert_eq!((base_of(&mut first), base_of(&mut second)), (None, None), "no mark yet");
    assert_eq!(harness.partition.view().high_watermark(), 0);
    harness.settle();
    assert_eq!((base_of(&mut first), base_of(&mut second)), (Some(0), Some(2)));
    assert_eq!(harness.partition.view().high_watermark(), 3);
    let mark = JournalRecord::Mark { key: KEY, durable_end: 3 };
    assert_eq!(harness.journaled.last(), Some(&mark));
}

#[test]
fn what_is_carried_is_answered_without_a_mark_and_marked_once_it_is_settled() {
    let mut harness = Harness::ready();
    // The first sync also makes names durable.
    let mut first = harness.append(plain(&["a"]), Acks::All);
    harness.settle();
    assert_eq!(base_of(&mut first), Some(0));
    let mut carrier = Carrier::new(harness.storage.clone(), Path::new("/carrier"), 0, 1, 1 << 20);
    let mut second = harness.append(plain(&["b", "c"]), Acks::All);
    let (key, job) = harness.effects.syncs.pop().expect("one");
    assert!(job.is_carriable() && job.is_sole_copy());
    carrier.add(key, job);
    assert!(carrier.poll_round().is_none(), "there is no room as yet");
    let (key, job) = carrier.take_refused().pop().expect("one");
    let preparation = carrier.poll_preparation().expect("wanted");
    carrier.handle_prepared(preparation.run()).expect("twin");
    carrier.add(key, job);
    let round = carrier.poll_round().expect("room");
    for carried in carrier.handle_done(round.run()).expect("twin") {
        let Carried::Synced(_, done) = carried else { panic!("{carried:?}") };
        harness.partition.handle_synced(done, &mut harness.effects).expect("log");
    }
    assert_eq!(base_of(&mut second), Some(1), "it is carried");
    assert_eq!(harness.effects.journal, [], "its segment is not synced");
    assert_eq!(harness.partition.mark(), 1);

    harness.effects.background.clear();
    assert!(!harness.partition.settle_log(3, &mut harness.effects));
    for (_, job) in std::mem::take(&mut harness.effects.background) {
        harness.partition.handle_background(job.run(), &mut harness.effects).expect("log");
    }
    let mark = JournalRecord::Mark { key: KEY, durable_end: 3 };
    assert_eq!(harness.effects.journal, [mark]);
    assert!(harness.partition.settle_log(3, &mut harness.effects), "it is done");
}

#[test]
fn a_replica_whose_vow_is_not_durable_takes_nothing() {
    let mut harness = Harness::new();
    assert!(!harness.partition.is_ready());
    let mut early = harness.append(plain(&["a"]), Acks::All);
    assert_eq!(early.try_recv().expect("refused"), [Err(AppendError::NotLeader)]);
    harness.settle();
    assert!(matches!(harness.journaled[0], JournalRecord::Vow { .. }));
    let mut late = harness.append(plain(&["a"]), Acks::All);
    harness.settle();
    assert_eq!(base_of(&mut late), Some(0));
}

#[test]
fn a_repeated_batch_is_answered_with_its_first_offset_once_that_is_decided() {
    let mut harness = Harness::ready();
    let mut first = harness.append(sequenced(0, &["a", "b"]), Acks::All);
    let mut repeat = harness.append(sequenced(0, &["a", "b"]), Acks::All);
    assert!(repeat.try_recv().is_err(), "the original is not decided");
    harness.settle();
    assert_eq!((base_of(&mut first), base_of(&mut repeat)), (Some(0), Some(0)));
    let mut late = harness.append(sequenced(0, &["a", "b"]), Acks::All);
    assert_eq!(base_of(&mut late), Some(0), "decided long ago");
    let mut gap = harness.append(sequenced(5, &["x"]), Acks::All);
    assert_eq!(gap.try_recv().expect("refused"), [Err(AppendError::OutOfOrderSequence)]);
    let mut next = harness.append(sequenced(2, &["c"]), Acks::All);
    harness.settle();
    assert_eq!(base_of(&mut next), Some(2));
    assert_eq!(harness.partition.view().high_watermark(), 3);
}

#[test]
fn a_full_disk_refuses_and_passes() {
    let mut harness = Harness::ready();
    harness.storage.set_capacity(Some(0));
    let large = "x".repeat(1 << 20);
    let mut refused = harness.append(plain(&[&large]), Acks::All);
    assert_eq!(refused.try_recv().expect("refused"), [Err(AppendError::DiskFull)]);
    harness.storage.set_capacity(None);
    let mut taken = harness.append(plain(&[&large]), Acks::All);
    harness.settle();
    assert_eq!(base_of(&mut taken), Some(0));
}

#[test]
fn a_restart_goes_on_in_a_new_round_and_refuses_the_old_one() {
    let mut harness = Harness::ready();
    let mut answer = harness.append(plain(&["a", "b"]), Acks::All);
    harness.settle();
    assert_eq!(base_of(&mut answer), Some(0));
    drop(harness.partition.close());
    harness.storage.crash();

    let device: Arc<dyn Storage> = harness.storage.clone();
    let (log, report) = Log::open(device, Path::new("/p"), LogConfig::default(), 2).expect("opens");
    assert!(report.faulty.is_empty());
    let ballot = Ballot { round: 1, node: NODE };
    let durable = Durable {
        promised: ballot,
        accepted_ballot: ballot,
        log_end: log.end(),
        rounds: vec![RoundStart { round: 1, base: 0 }],
        ..Durable::default()
    };
    let mut again = Harness::with_log(harness.storage, log, durable, 2);
    again.settle();
    assert_eq!(again.partition.view().leading_round(), Some(2));
    assert_eq!(again.partition.view().high_watermark(), 2);
    again.partition.appoint(ballot, ReplicaSet::new(&[NODE]), &mut again.effects).expect("log");
    let reason = ResignReason::Stale { promised_round: 2 };
    assert_eq!(again.effects.resignations, [Resignation { key: KEY, round: 1, reason }]);
    let mut next = again.append(plain(&["c"]), Acks::All);
    again.settle();
    assert_eq!(base_of(&mut next), Some(2));
}

#[test]
fn trimming_moves_the_start_up_to_the_high_watermark_and_no_further() {
    let mut harness = Harness::ready();
    let mut answer = harness.append(plain(&["a", "b", "c"]), Acks::All);
    let trim = |harness: &mut Harness, before| {
        harness.partition.trim(before, &mut harness.effects).expect("log")
    };
    assert_eq!(trim(&mut harness, Some(1)), Err(TrimError::OutOfRange), "nothing is decided");
    harness.settle();
    assert_eq!(base_of(&mut answer), Some(0));
    assert_eq!(trim(&mut harness, Some(2)), Ok(2));
    assert_eq!(first_batch_base(&harness.partition.log), 0, "a batch stays whole");
    assert_eq!(trim(&mut harness, Some(1)), Ok(2), "never goes back");
    assert_eq!(trim(&mut harness, Some(4)), Err(TrimError::OutOfRange));
    assert_eq!(trim(&mut harness, None), Ok(3));
    assert_eq!(harness.partition.view().log().start(), 3);
    assert_eq!(first_batch_base(&harness.partition.log), 3);
}

#[test]
fn closing_tells_the_waiting_that_the_outcome_is_unknown() {
    let mut harness = Harness::ready();
    let mut answer = harness.append(plain(&["a"]), Acks::All);
    drop(harness.partition.close());
    assert_eq!(answer.try_recv().expect("told"), [Err(AppendError::Unknown)]);
}

#[test]
fn a_clock_that_jumps_by_years_makes_nobody_forget_a_producer() {
    let mut harness = Harness::ready();
    let mut first = harness.append(sequenced(0, &["a"]), Acks::All);
    harness.settle();
    assert_eq!(base_of(&mut first), Some(0));
    for now_ms in [i64::MAX, 0, i64::MIN, 1 << 60] {
        harness.partition.tick(&|_| true, &mut harness.effects).expect("log");
        harness.partition.upkeep(now_ms, false, &mut harness.effects).expect("log");
        let mut repeat = harness.append(sequenced(0, &["a"]), Acks::All);
        assert_eq!(base_of(&mut repeat), Some(0), "known at {now_ms}");
    }
}
