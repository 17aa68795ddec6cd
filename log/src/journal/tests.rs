//! The journal against a naive model, over a disk that crashes, tears and lies.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::frame::{FRAME_PREFIX_SIZE, FRAMES_START, HEADER_SIZE, Header, Link, seal_frame};
use super::state::State;
use super::store::Sizes;
use super::*;
use crate::identity::{ClusterId, Identity};
use crate::key::PartitionKey;
use crate::memory::{Fault, FaultRates, MemoryStorage};
use crate::storage::Storage as _;

const OWNER: Identity = Identity { cluster_id: ClusterId(*b"a cluster's name"), node_id: 7 };
const SIZES: Sizes = Sizes { reserve_step: 2048, rewrite_min_size: 6000 };

fn path() -> &'static Path {
    Path::new("/journal")
}

fn key(partition: u32) -> PartitionKey {
    PartitionKey { topic: *b"0123456789abcdef", partition }
}

fn vow(partition: u32, promised: u32, accepted: u32) -> JournalRecord {
    let promised = Ballot { round: promised, node: 1 };
    let accepted = Ballot { round: accepted, node: 1 };
    JournalRecord::Vow { key: key(partition), vow: Vow { promised, accepted } }
}

fn mark(partition: u32, durable_end: u64) -> JournalRecord {
    JournalRecord::Mark { key: key(partition), durable_end }
}

fn disk(seed: u64) -> MemoryStorage {
    let disk = MemoryStorage::new(seed);
    JournalStore::create_with(&disk, path(), OWNER, SIZES).expect("a healthy disk");
    disk
}

fn open(disk: &MemoryStorage) -> Result<(JournalStore, JournalReport), JournalOpenError> {
    JournalStore::open_with(Arc::new(disk.clone()), path(), OWNER, SIZES)
}

/// A generator of its own, so that the test's choices and the disk's do not depend on each other.
struct Choices(u64);

impl Choices {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    /// A group that the model takes.
    fn group(&mut self, model: &State) -> Vec<JournalRecord> {
        let mut after = model.clone();
        let mut group = Vec::new();
        for _ in 0..self.below(8) {
            let partition = self.below(5) as u32;
            let known = after.partitions.get(&key(partition)).copied().unwrap_or_default();
            let known = known.vow.unwrap_or_default();
            let record = match self.below(10) {
                0..5 => {
                    let promised = known.promised.round + self.below(3) as u32;
                    let accepted = known
                        .accepted
                        .round
                        .max(promised - self.below(2).min(promised.into()) as u32);
                    vow(partition, promised, accepted)
                }
                5..8 => mark(partition, self.below(1000)),
                8 => JournalRecord::Start { key: key(partition), offset: self.below(1000) },
                _ => JournalRecord::Forget { key: key(partition) },
            };
            after.apply(&[record]).expect("made to go forward");
            group.push(record);
        }
        group
    }
}

/// What may be there after a crash: everything acknowledged, and the one group under way or not.
struct Model {
    acked: State,
    under_way: Option<State>,
}

impl Model {
    fn check(&mut self, found: &BTreeMap<PartitionKey, PartitionDurable>, seed: u64) {
        let with = self.under_way.take().filter(|state| state.partitions == *found);
        match with {
            Some(state) => self.acked = state,
            None => assert_eq!(*found, self.acked.partitions, "seed {seed}"),
        }
    }

    /// Writes a group and notes how it went; `false` when the journal is done for.
    fn write(&mut self, store: &mut JournalStore, group: &[JournalRecord]) -> bool {
        let mut after = self.acked.clone();
        after.apply(group).expect("made to go forward");
        match store.write(group) {
            Ok(()) => self.acked = after,
            Err(JournalError::DiskFull) => {}
            Err(JournalError::Failed(_)) => {
                self.under_way = Some(after);
                return false;
            }
            Err(error) => panic!("{error}"),
        }
        true
    }
}

/// One life after another: some writes, then the power fails somewhere, also while opening.
fn crash_and_reopen(seed: u64) -> u64 {
    let mut choices = Choices(seed);
    let disk = disk(seed);
    let mut model = Model { acked: State::default(), under_way: None };
    let mut incarnation = 0;
    for _ in 0..12 {
        if choices.below(4) > 0 {
            disk.schedule(disk.operation_count() + choices.below(60), Fault::PowerOff);
        }
        if choices.below(8) == 0 {
            disk.schedule(disk.operation_count() + choices.below(60), Fault::SyncError);
        }
        match open(&disk) {
            Ok((mut store, report)) => {
                assert!(report.incarnation > incarnation, "seed {seed}");
                incarnation = report.incarnation;
                model.check(store.partitions(), seed);
                for _ in 0..choices.below(25) {
                    let group = choices.group(&model.acked);
                    if !model.write(&mut store, &group) {
                        break;
                    }
                    if choices.below(3) == 0 && store.maintain().is_err() {
                        break;
                    }
                }
            }
            Err(JournalOpenError::Io(_) | JournalOpenError::Write(JournalError::Failed(_))) => {}
            Err(error) => panic!("seed {seed}: {error}"),
        }
        if choices.below(3) == 0 { disk.kill() } else { disk.crash() }
    }
    // A planned fault may still wait; the last opening is on a healthy machine.
    let healed = disk.fork(seed);
    let (store, _) = open(&healed).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    model.check(store.partitions(), seed);
    drop(store);
    disk.state_hash()
}

#[test]
fn nothing_acked_is_lost_and_nothing_invented_over_crashes() {
    for seed in 0..2000 {
        crash_and_reopen(seed);
    }
}

#[test]
fn the_same_seed_leaves_the_same_disk() {
    for seed in 0..20 {
        assert_eq!(crash_and_reopen(seed), crash_and_reopen(seed), "seed {seed}");
    }
    assert_ne!(crash_and_reopen(1), crash_and_reopen(2));
}

/// A journal of a few groups; the last one is what nothing behind it vouches for.
fn sample() -> (Vec<u8>, State, Vec<State>) {
    let disk = disk(1);
    let (mut store, _) = open(&disk).expect("healthy");
    let mut state = State::default();
    let mut prefixes = vec![state.clone()];
    let mut choices = Choices(5);
    for _ in 0..12 {
        let mut group = choices.group(&state);
        group.push(mark(9, prefixes.len() as u64));
        store.write(&group).expect("healthy");
        state.apply(&group).expect("made to go forward");
        prefixes.push(state.clone());
    }
    (disk.content(path()).expect("there"), state, prefixes)
}

fn open_content(content: &[u8]) -> Result<(JournalStore, JournalReport), JournalOpenError> {
    let disk = MemoryStorage::new(0);
    disk.install(path(), content).expect("the root is there");
    open(&disk)
}

#[test]
fn a_journal_cut_anywhere_is_refused_or_complete() {
    let (content, state, _) = sample();
    let mut complete = 0;
    for size in 0..content.len() {
        if let Ok((store, _)) = open_content(&content[..size]) {
            assert_eq!(store.partitions(), &state.partitions, "cut to {size}");
            complete += 1;
        }
    }
    // Only zeros that no frame used were cut then.
    let used = content.iter().rposition(|byte| *byte != 0).expect("frames") + 1;
    assert!(complete > 0 && complete < content.len() - used);
}

#[test]
fn any_flipped_bit_costs_nothing() {
    let (content, state, _) = sample();
    let end = content.iter().rposition(|byte| *byte != 0).expect("frames");
    for position in 0..content.len() {
        // Everything in and around the last group, one bit per byte elsewhere.
        let thorough = (end - 500..end + 50).contains(&position);
        for bit in (0..8).filter(|bit| thorough || position % 8 == *bit) {
            let mut damaged = content.clone();
            damaged[position] ^= 1 << bit;
            let disk = MemoryStorage::new(0);
            disk.install(path(), &damaged).expect("the root is there");
            let (store, _) =
                open(&disk).unwrap_or_else(|error| panic!("bit {bit} of byte {position}: {error}"));
            assert_eq!(store.partitions(), &state.partitions, "bit {bit} of byte {position}");
            if position % 8 == bit {
                drop(store);
                let (_, report) = open(&disk).expect("mended");
                assert_eq!((report.mended_count, report.torn_size), (0, 0), "byte {position}");
            }
        }
    }
}

/// A whole sector gone can take both copies of the last group, which then looks like a torn write;
/// it must never make anything up, nor drop a group that a later one vouches for.
#[test]
fn lost_sectors_are_refused_or_leave_a_prefix() {
    let (content, state, prefixes) = sample();
    let mut refused = 0;
    for start in (0..content.len()).step_by(512) {
        for from in (0..content.len()).step_by(512) {
            let mut damaged = content.clone();
            damaged.copy_within(from..(from + 512).min(content.len()), start);
            match open_content(&damaged) {
                Ok((store, _)) if store.partitions() == &state.partitions => {}
                Ok((store, _)) => {
                    let known = |prefix: &State| prefix.partitions == *store.partitions();
                    assert!(prefixes.iter().any(known), "sector {start} from {from}");
                    let last = content.iter().rposition(|byte| *byte != 0).expect("frames");
                    assert!(start + 1024 > last, "sector {start} from {from} is vouched for");
                }
                Err(JournalOpenError::Damaged { .. } | JournalOpenError::BadHeader) => refused += 1,
                Err(error) => panic!("sector {start} from {from}: {error}"),
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn a_lying_disk_is_found_out_or_leaves_a_prefix() {
    let (mut refused, mut whole) = (0, 0);
    for seed in 0..500 {
        let disk = disk(seed);
        let (mut store, _) = open(&disk).expect("healthy");
        let rates =
            FaultRates { lost_write: 50_000, misdirected_write: 50_000, ..Default::default() };
        disk.set_rates(rates);
        let mut state = State::default();
        let mut prefixes = vec![state.clone()];
        let mut choices = Choices(seed);
        for _ in 0..20 {
            let group = choices.group(&state);
            store.write(&group).expect("the disk says yes");
            state.apply(&group).expect("made to go forward");
            prefixes.push(state.clone());
        }
        disk.crash();
        let disk = disk.fork(seed);
        match open(&disk) {
            Ok((store, _)) => {
                let known = |prefix: &State| prefix.partitions == *store.partitions();
                assert!(prefixes.iter().any(known), "seed {seed}: something made up");
                whole += u32::from(store.partitions() == &state.partitions);
            }
            Err(JournalOpenError::Damaged { .. } | JournalOpenError::BadHeader) => refused += 1,
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    assert!(refused > 50 && whole > 20, "{refused} refused, {whole} whole: the test is blunt");
}

#[test]
fn a_failed_sync_is_final() {
    let disk = disk(3);
    let (mut store, _) = open(&disk).expect("healthy");
    store.write(&[vow(0, 1, 0)]).expect("healthy");
    disk.aim(path(), Fault::SyncError).expect("there");
    assert!(matches!(store.write(&[vow(0, 2, 0)]), Err(JournalError::Failed(_))));
    assert!(matches!(store.write(&[vow(0, 3, 0)]), Err(JournalError::Failed(_))));
    assert!(matches!(store.maintain(), Err(JournalError::Failed(_))));
}

#[test]
fn a_full_disk_refuses_growth_only() {
    let disk = disk(3);
    let (mut store, _) = open(&disk).expect("healthy");
    let size = disk.content(path()).expect("there").len() as u64;
    disk.set_capacity(Some(size));
    let mut round = 0;
    let error = loop {
        match store.write(&[vow(0, round + 1, 0)]) {
            Ok(()) => round += 1,
            Err(error) => break error,
        }
        store.maintain().expect("a full disk is no failure");
    };
    assert!(matches!(error, JournalError::DiskFull));
    assert!(round > 3, "the space prepared before was used");
    disk.kill();
    disk.set_capacity(None);
    let (mut store, _) = open(&disk).expect("healthy");
    let known = store.partitions()[&key(0)].vow.expect("vowed");
    assert_eq!(known.promised.round, round);
    store.write(&[vow(0, round + 1, 0)]).expect("space again");
}

#[test]
fn a_journal_stays_short() {
    let disk = disk(3);
    let (mut store, _) = open(&disk).expect("healthy");
    for round in 1..2000 {
        store.write(&[vow(round % 3, round, 0)]).expect("healthy");
        store.maintain().expect("healthy");
        assert!(store.size() < 8000, "{} bytes after {round} vows", store.size());
    }
    let partitions = store.partitions().clone();
    drop(store);
    disk.crash();
    assert_eq!(open(&disk).expect("healthy").0.partitions(), &partitions);
}

#[test]
fn a_vow_that_goes_back_is_refused_and_harms_nothing() {
    let disk = disk(3);
    let (mut store, _) = open(&disk).expect("healthy");
    store.write(&[vow(0, 5, 4)]).expect("forward");
    let back = store.write(&[mark(1, 3), vow(0, 4, 4)]);
    assert!(matches!(back, Err(JournalError::Regression { key: Some(at) }) if at == key(0)));
    store.write(&[vow(0, 6, 4)]).expect("forward");
    drop(store);
    disk.crash();
    let (store, _) = open(&disk).expect("healthy");
    assert_eq!(store.partitions().len(), 1);
}

#[test]
fn foreign_newer_and_headless_files_are_told_apart() {
    let (content, ..) = sample();
    let disk = MemoryStorage::new(0);
    disk.install(path(), &content).expect("the root is there");
    for other in
        [Identity { node_id: 8, ..OWNER }, Identity { cluster_id: ClusterId([1; 16]), ..OWNER }]
    {
        let result = JournalStore::open(Arc::new(disk.clone()), path(), other);
        let Err(JournalOpenError::Foreign { found, expected }) = result else {
            panic!("{result:?}");
        };
        assert_eq!((found, expected), (OWNER, other));
    }
    let mut newer = content.clone();
    for copy in [0, HEADER_SIZE] {
        newer[copy + 8] = 2;
    }
    assert!(matches!(
        open_content(&newer),
        Err(JournalOpenError::NewerFormat { found: 2, supported: 1 })
    ));
    for size in [0, 1, HEADER_SIZE - 1] {
        assert!(matches!(open_content(&content[..size]), Err(JournalOpenError::BadHeader)));
    }
    let cut = &content[..FRAMES_START as usize];
    assert!(matches!(open_content(cut), Err(JournalOpenError::Damaged { .. })));
    let missing = MemoryStorage::new(0);
    assert!(matches!(open(&missing), Err(JournalOpenError::Io(_))));
}

#[test]
fn an_orderly_end_shows() {
    let disk = disk(3);
    let (store, report) = open(&disk).expect("healthy");
    assert!(report.clean, "the first opening has nothing to be unclean about");
    store.close().expect("healthy");
    let (mut store, report) = open(&disk).expect("healthy");
    assert!(report.clean);
    store.write(&[mark(0, 1)]).expect("healthy");
    drop(store);
    assert!(!open(&disk).expect("healthy").1.clean);
    assert!(!disk.exists(Path::new("/journal.tmp")).expect("healthy"));
}

/// Checksums keep random bytes out; here they are right, and the payload is still anything.
#[test]
fn intact_frames_of_any_payload_are_taken_or_refused() {
    let header = Header { identity: OWNER, generation: 5 };
    let (mut opened, mut refused) = (0, 0);
    for seed in 0..3000 {
        let mut choices = Choices(seed);
        let mut content = header.encode();
        let mut link = Link { generation: 5, previous: header.chain(), sequence: 1 };
        for _ in 0..1 + choices.below(3) {
            let mut frame = vec![0; FRAME_PREFIX_SIZE];
            for _ in 0..choices.below(3) {
                let kind = choices.below(8) as u8;
                let size = [3, 36, 28, 28, 20, 8, 0, 5][usize::from(kind)];
                frame.push(kind);
                frame.extend((0..size).map(|_| choices.below(3) as u8));
            }
            link.previous = seal_frame(link, &mut frame);
            link.sequence += 1;
            content.extend_from_slice(&frame);
            content.extend_from_slice(&frame);
        }
        content.resize(content.len() + 100, 0);
        match open_content(&content) {
            Ok(_) => opened += 1,
            Err(JournalOpenError::Damaged { .. }) => refused += 1,
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    assert!(opened > 100 && refused > 100, "{opened} opened, {refused} refused");
}
