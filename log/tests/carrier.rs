//! Logs, a journal and a carrier on one disk, against a naive model: random appends, rounds,
//! settling, cuts and reuse, and the power goes at any operation. Nothing acknowledged is lost, and
//! nothing that was cut comes back. `SYNOD_LOG_SEED` runs one seed, which a failure prints.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use support::{BatchSpec, Random, read_all, small_config};
use synod_log::carrier::{Carried, Carrier, CarrierError, MIN_FILE_SIZE, replay};
use synod_log::data_dir::{ClusterClaim, DataDir};
use synod_log::jobs::SyncJob;
use synod_log::journal::{JournalError, JournalRecord, JournalStore};
use synod_log::memory::{Fault, MemoryStorage};
use synod_log::storage::Storage;
use synod_log::{ClusterId, Log, LogConfig, LogError, PartitionKey};

const KEY_COUNT: u32 = 4;

fn key(partition: u32) -> PartitionKey {
    PartitionKey { topic: *b"sixteen bytes id", partition }
}

/// What one log is expected to be.
#[derive(Default)]
struct Model {
    batches: BTreeMap<u64, Bytes>,
    end: u64,
    /// Up to here somebody was told that it is durable.
    told_end: u64,
    /// The mark that the journal holds.
    mark: u64,
    leader_epoch: i32,
    /// A cut to here is under way.
    cut: Option<u64>,
    /// Nobody else has a copy: it is told of only with its mark, or if it is carried.
    is_sole: bool,
}

/// What goes when the process ends.
struct Process {
    _data_dir: DataDir,
    journal: JournalStore,
    carrier: Carrier,
    logs: BTreeMap<PartitionKey, Log>,
    jobs: Vec<(PartitionKey, SyncJob)>,
}

struct Run {
    random: Random,
    disk: MemoryStorage,
    models: BTreeMap<PartitionKey, Model>,
    process: Option<Process>,
    life: u64,
    /// Counts what the test is about.
    seen: Seen,
}

#[derive(Debug, Default)]
struct Seen {
    carried: u64,
    voided: u64,
    replayed: u64,
    settled: u64,
}

/// The process has to end.
struct Dead;

impl From<LogError> for Dead {
    fn from(_: LogError) -> Dead {
        Dead
    }
}

impl From<JournalError> for Dead {
    fn from(_: JournalError) -> Dead {
        Dead
    }
}

fn config() -> LogConfig {
    LogConfig {
        segment_size: 30_000.try_into().expect("not zero"),
        carry_max_size: 2_000,
        ..small_config()
    }
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut random = Random::new(seed);
        let model = |partition| {
            let is_sole = random.chance(50);
            (key(partition), Model { leader_epoch: 1, is_sole, ..Model::default() })
        };
        let models = (0..KEY_COUNT).map(model).collect();
        let disk = MemoryStorage::new(seed);
        Run { random, disk, models, process: None, life: 0, seen: Seen::default() }
    }

    /// Starts a process as a broker does.
    fn start(&mut self) -> Result<(), CarrierError> {
        self.life += 1;
        let storage: Arc<dyn Storage> = Arc::new(self.disk.clone());
        let claim = ClusterClaim::AnyOrNew(ClusterId([1; 16]));
        let fail = |_| CarrierError::Log(LogError::Poisoned);
        let data_dir =
            DataDir::open(storage.clone(), Path::new("/data"), claim, 1).map_err(|_| fail(()))?;
        let opened =
            JournalStore::open(storage.clone(), &data_dir.journal_path(), data_dir.identity());
        let mut journal = opened.map_err(|_| fail(()))?.0;
        let mut known = journal.partitions().clone();
        let report =
            replay(&data_dir, &mut known, |_| config(), |records| journal.write(&records))?;
        self.seen.replayed += report.replayed_count as u64;
        assert_eq!(&known, journal.partitions());
        let mut logs = BTreeMap::new();
        for key in self.models.keys() {
            let path = data_dir.partition_path(*key);
            let mark = known.get(key).map_or(0, |durable| durable.mark);
            let io = |source| CarrierError::Io { path: path.clone(), source };
            let is_there = storage.exists(&path).map_err(io)?
                && storage.list(&path).map_err(io)?.iter().any(|it| it.name.ends_with(".log"));
            let log = match is_there {
                true => Log::open(storage.clone(), &path, config(), mark)?.0,
                false => {
                    let path = data_dir.create_partition(*key).map_err(io)?;
                    Log::create(storage.clone(), &path, config())?
                }
            };
            logs.insert(*key, log);
        }
        let size = MIN_FILE_SIZE << self.random.below(3);
        let carrier = Carrier::new(storage, &data_dir.carrier_path(), 0, self.life, size);
        self.process =
            Some(Process { _data_dir: data_dir, journal, carrier, logs, jobs: Vec::new() });
        Ok(())
    }

    /// Compares every log with what it has to be, and takes it for that from now on.
    fn check_start(&mut self) -> Result<(), Dead> {
        let Some(process) = &mut self.process else { return Err(Dead) };
        let mut marks = Vec::new();
        for (key, log) in &mut process.logs {
            let model = self.models.get_mut(key).expect("known");
            assert_eq!(log.faulty(), None, "{key}: told up to {}", model.told_end);
            let told = model.cut.take().map_or(model.told_end, |end| end.min(model.told_end));
            assert!(log.end() >= told, "{key} ends at {}, told {told}", log.end());
            let held = read_all(&log.view(), 0, log.end());
            let expected = model.batches.range(..log.end()).map(|(_, batch)| batch.clone());
            assert!(held.into_iter().eq(expected), "{key} holds what was cut");
            model.batches.split_off(&log.end());
            model.end = log.end();
            // What a start finds is durable before anybody hears of it.
            log.settle()?;
            marks.push(JournalRecord::Mark { key: *key, durable_end: log.end() });
            model.told_end = told;
        }
        process.journal.write(&marks)?;
        for (key, log) in &process.logs {
            let model = self.models.get_mut(key).expect("known");
            (model.told_end, model.mark) = (log.end(), log.end());
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Dead> {
        match self.random.below(100) {
            0..35 => self.append(),
            35..60 => self.sync(),
            60..68 => self.run_direct(),
            68..85 => self.round(),
            85..88 => self.background(),
            88..93 => self.settle(),
            93..96 => self.mark(),
            _ => self.cut(),
        }
    }

    fn any_key(&mut self) -> PartitionKey {
        key(self.random.below(u64::from(KEY_COUNT)) as u32)
    }

    fn append(&mut self) -> Result<(), Dead> {
        let key = self.any_key();
        let Some(process) = &mut self.process else { return Err(Dead) };
        let model = self.models.get_mut(&key).expect("known");
        let mut batches = Vec::new();
        let mut end = model.end;
        for _ in 0..1 + self.random.below(2) {
            let count = 1 + self.random.below(3) as u32;
            let size = if self.random.chance(5) { 3_000 } else { self.random.below(600) };
            let body = vec![self.random.next() as u8; size as usize];
            let spec = BatchSpec::new(end, count).leader_epoch(model.leader_epoch).body(body);
            batches.push(spec.batch());
            end += u64::from(count);
        }
        // They may be there after a crash, also if this fails.
        model.batches.extend(batches.iter().map(|it| (it.base_offset(), it.to_bytes())));
        process.logs.get_mut(&key).expect("open").append(&batches)?;
        model.end = end;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Dead> {
        let key = self.any_key();
        let Some(process) = &mut self.process else { return Err(Dead) };
        let log = process.logs.get_mut(&key).expect("open");
        let Some(job) = log.poll_sync() else { return Ok(()) };
        if job.is_carriable() && self.random.chance(80) {
            let is_sole = self.models[&key].is_sole;
            process.carrier.add(key, if is_sole { job.as_sole_copy() } else { job });
        } else {
            process.jobs.push((key, job));
        }
        Ok(())
    }

    fn run_direct(&mut self) -> Result<(), Dead> {
        let Some(process) = &mut self.process else { return Err(Dead) };
        process.jobs.append(&mut process.carrier.take_refused());
        if process.jobs.is_empty() {
            return Ok(());
        }
        let at = self.random.below(process.jobs.len() as u64) as usize;
        let (key, job) = process.jobs.swap_remove(at);
        process.logs.get_mut(&key).expect("open").handle_synced(job.run())?;
        self.tell(key);
        Ok(())
    }

    /// What is durable is told to somebody.
    fn tell(&mut self, key: PartitionKey) {
        let Some(process) = &self.process else { return };
        let (log, model) = (&process.logs[&key], self.models.get_mut(&key).expect("known"));
        let end = match model.is_sole {
            true => log.durable_end().min(model.mark).max(log.carried_end()),
            false => log.durable_end(),
        };
        model.told_end = model.told_end.max(end);
    }

    /// Returns whether a round was run.
    fn round(&mut self) -> Result<(), Dead> {
        let Some(process) = &mut self.process else { return Err(Dead) };
        if let Some(preparation) = process.carrier.poll_preparation() {
            process.carrier.handle_prepared(preparation.run())?;
        }
        let Some(round) = process.carrier.poll_round() else { return Ok(()) };
        for carried in process.carrier.handle_done(round.run())? {
            match carried {
                Carried::Synced(key, done) => {
                    self.seen.carried += 1;
                    process.logs.get_mut(&key).expect("open").handle_synced(done)?;
                }
                Carried::Voided(_) => self.seen.voided += 1,
            }
        }
        (0..KEY_COUNT).for_each(|partition| self.tell(key(partition)));
        Ok(())
    }

    fn background(&mut self) -> Result<(), Dead> {
        let Some(process) = &mut self.process else { return Err(Dead) };
        for (key, log) in &mut process.logs {
            while let Some(job) = log.poll_background() {
                let done = job.run();
                let is_settle = done.is_settle();
                log.handle_background(done)?;
                if is_settle {
                    process.carrier.handle_settled(*key);
                    self.seen.settled += 1;
                }
            }
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<(), Dead> {
        if let Some(process) = &mut self.process {
            if self.random.chance(20) {
                process.carrier.tick();
            }
            while let Some((key, end)) = process.carrier.poll_settle() {
                let log = process.logs.get_mut(&key).expect("open");
                if log.settled_end() >= end || log.settled_end() == log.durable_end() {
                    process.carrier.handle_settled(key);
                } else {
                    log.want_settled();
                }
            }
        }
        self.background()?;
        let Some(process) = &mut self.process else { return Err(Dead) };
        for key in process.carrier.poll_marks() {
            self.journal_mark(key)?;
        }
        Ok(())
    }

    fn mark(&mut self) -> Result<(), Dead> {
        let key = self.any_key();
        self.journal_mark(key)?;
        self.tell(key);
        Ok(())
    }

    fn journal_mark(&mut self, key: PartitionKey) -> Result<(), Dead> {
        let Some(process) = &mut self.process else { return Err(Dead) };
        // A mark that was lowered for a cut is not raised before it.
        let most = self.models[&key].cut.unwrap_or(u64::MAX);
        let durable_end = process.logs[&key].settled_end().min(most);
        process.journal.write(&[JournalRecord::Mark { key, durable_end }])?;
        process.carrier.note_mark(key, durable_end);
        self.models.get_mut(&key).expect("known").mark = durable_end;
        Ok(())
    }

    /// Cuts a log as the rules say.
    fn cut(&mut self) -> Result<(), Dead> {
        let key = self.any_key();
        let model = self.models.get_mut(&key).expect("known");
        let bases: Vec<u64> = model.batches.keys().copied().collect();
        if bases.is_empty() {
            return Ok(());
        }
        let end = bases[bases.len() - 1 - self.random.below(bases.len().min(6) as u64) as usize];
        model.cut = Some(end);
        let Some(process) = &mut self.process else { return Err(Dead) };
        process.logs.get_mut(&key).expect("open").settle()?;
        self.journal_mark(key)?;
        let Some(process) = &mut self.process else { return Err(Dead) };
        if process.carrier.void(key) {
            let before = self.seen.voided;
            for tries in 0.. {
                assert!(tries < 50, "a void finds room");
                self.round()?;
                self.settle()?;
                if self.seen.voided > before {
                    break;
                }
            }
        }
        let Some(process) = &mut self.process else { return Err(Dead) };
        process.logs.get_mut(&key).expect("open").truncate(end)?;
        let model = self.models.get_mut(&key).expect("known");
        model.batches.split_off(&end);
        (model.end, model.cut) = (end, None);
        model.told_end = model.told_end.min(end);
        model.leader_epoch += 1;
        Ok(())
    }

    /// One process from its start to its end.
    fn live(&mut self) {
        self.plan_faults(300);
        let started = self.start();
        // What the test itself reads is not disturbed.
        self.disk.clear_faults();
        match started {
            Ok(()) => {}
            Err(CarrierError::Log(_) | CarrierError::Io { .. } | CarrierError::Journal(_)) => {
                return self.die();
            }
            Err(error) => panic!("{error}"),
        }
        if self.disk.list("/data".as_ref()).is_ok() && self.check_start().is_ok() {
            self.plan_faults(1_500);
            for _ in 0..40 + self.random.below(600) {
                if self.step().is_err() {
                    break;
                }
            }
        }
        self.die();
    }

    fn plan_faults(&mut self, operations: u64) {
        for (percent, fault) in [(70, Fault::PowerOff), (10, Fault::SyncError)] {
            if self.random.chance(percent) {
                let at = self.disk.operation_count() + self.random.below(operations);
                self.disk.schedule(at, fault);
            }
        }
    }

    fn die(&mut self) {
        self.process = None;
        self.disk.clear_faults();
        if self.random.chance(30) { self.disk.kill() } else { self.disk.crash() }
    }
}

fn run(seed: u64) -> Seen {
    struct Name(u64);
    impl Drop for Name {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("failed with SYNOD_LOG_SEED={}", self.0);
            }
        }
    }
    let _name = Name(seed);
    let mut run = Run::new(seed);
    for _ in 0..8 {
        run.live();
    }
    run.start().expect("a healthy disk");
    assert!(run.check_start().is_ok());
    run.seen
}

#[test]
fn nothing_told_is_lost_and_nothing_cut_comes_back() {
    if let Ok(seed) = std::env::var("SYNOD_LOG_SEED") {
        println!("{:?}", run(seed.parse().expect("a number")));
        return;
    }
    let mut all = Seen::default();
    for seed in 0..100 {
        let seen = run(seed);
        all.carried += seen.carried;
        all.voided += seen.voided;
        all.replayed += seen.replayed;
        all.settled += seen.settled;
    }
    println!("{all:?}");
    assert!(
        all.carried > 1000 && all.voided > 100 && all.replayed > 100 && all.settled > 100,
        "{all:?}"
    );
}
