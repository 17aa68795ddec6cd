//! The log against a naive model in memory: random steps, restarts, kills and power cuts over the
//! storage twin. `SYNOD_LOG_SEED` runs one seed, which a failure prints.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use support::{BatchSpec, Random, read_all, small_config, split};
use synod_log::batch::BatchHeader;
use synod_log::jobs::{BackgroundJob, SyncJob};
use synod_log::memory::{Fault, MemoryStorage};
use synod_log::producers::{ProducerBatch, ProducerCheck, ProducerStates};
use synod_log::storage::Storage;
use synod_log::{Log, LogConfig, LogError};

const DIR: &str = "/p";

/// What the log is expected to be.
struct Model {
    /// Every batch from the first ever one on, by base offset; the head may be trimmed.
    batches: BTreeMap<u64, Bytes>,
    start: u64,
    /// A start that was reached without a durable trace may be lost by a crash.
    durable_start: u64,
    end: u64,
    durable_end: u64,
    /// The journal's mark.
    mark: u64,
    leader_epoch: i32,
    sequences: BTreeMap<i64, (i16, i32)>,
}

struct Run {
    seed: u64,
    random: Random,
    memory: MemoryStorage,
    storage: Arc<dyn Storage>,
    config: LogConfig,
    log: Option<Log>,
    sync: Option<SyncJob>,
    background: Vec<BackgroundJob>,
    model: Model,
    steps: Vec<String>,
}

impl Drop for Run {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with SYNOD_LOG_SEED={}; last steps:", self.seed);
            for step in self.steps.iter().rev().take(25).rev() {
                eprintln!("  {step}");
            }
        }
    }
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let memory = MemoryStorage::new(seed);
        memory.create_dir(DIR.as_ref()).expect("created");
        memory.sync_dir("/".as_ref()).expect("synced");
        let storage: Arc<dyn Storage> = Arc::new(memory.clone());
        let segment_size = 2000 + random.below(60_000) as u32;
        let config = LogConfig {
            segment_size: segment_size.try_into().expect("not zero"),
            index_interval_size: (64 + random.below(1000) as u32).try_into().expect("not zero"),
            prepare_max_size: 4096 << random.below(5),
            retention_size: Some(100_000),
            ..small_config()
        };
        let log = Log::create(storage.clone(), DIR.as_ref(), config.clone()).expect("created");
        let model = Model {
            batches: BTreeMap::new(),
            start: 0,
            durable_start: 0,
            end: 0,
            durable_end: 0,
            mark: 0,
            leader_epoch: 1,
            sequences: BTreeMap::new(),
        };
        Self {
            seed,
            random,
            memory,
            storage,
            config,
            log: Some(log),
            sync: None,
            background: Vec::new(),
            model,
            steps: Vec::new(),
        }
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().expect("open")
    }

    fn note(&mut self, step: String) {
        self.steps.push(step);
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..40 => self.append(),
            40..55 => self.start_sync(),
            55..66 => self.finish_sync(),
            66..74 => self.read(),
            74..84 => self.background(),
            84..87 => self.truncate(),
            87..89 => self.trim(),
            89..91 => self.retain(),
            91 => self.restart(),
            92..94 => self.mark(),
            94..96 => self.reopen(),
            96..98 => self.kill(),
            _ => self.crash(),
        }
        let (start, durable_end, end) = {
            let log = self.log();
            (log.start(), log.durable_end(), log.end())
        };
        assert_eq!((start, end), (self.model.start, self.model.end));
        assert!(durable_end <= end && start <= durable_end);
        self.model.durable_end = durable_end;
    }

    fn append(&mut self) {
        if self.random.chance(3) {
            self.model.leader_epoch += 1 + self.random.below(3) as i32;
        }
        if self.random.chance(3) {
            let at = self.memory.operation_count() + self.random.below(4);
            self.memory.schedule(at, Fault::DiskFull);
        }
        let mut batches = Vec::new();
        let mut end = self.model.end;
        let mut sequences = self.model.sequences.clone();
        for _ in 0..1 + self.random.below(4) {
            let count = 1 + self.random.below(9) as u32;
            let size = match self.random.below(20) {
                0 => self.random.below(9000),
                1 => 0,
                _ => self.random.below(900),
            };
            let fill = self.random.next() as u8;
            let mut spec = BatchSpec::new(end, count)
                .leader_epoch(self.model.leader_epoch)
                .body((0..size).map(|i| fill ^ i as u8).collect())
                .timestamp(1_000_000 + end as i64 + self.random.below(50) as i64);
            if self.random.chance(50) {
                let id = self.random.below(4) as i64;
                let (epoch, sequence) = sequences.get(&id).copied().unwrap_or((0, 0));
                spec = spec.producer(id, epoch, sequence);
                sequences.insert(id, (epoch, sequence + count as i32));
            }
            end += u64::from(count);
            batches.push(spec.batch());
        }
        self.note(format!("append {} batches to {end}", batches.len()));
        let latest = self.log().epochs().latest();
        match self.log().append(&batches) {
            Ok(()) => {
                for batch in &batches {
                    self.model.batches.insert(batch.base_offset(), batch.to_bytes());
                }
                self.model.end = end;
                self.model.sequences = sequences;
            }
            Err(LogError::DiskFull { .. }) => {
                self.note("disk full".to_owned());
                assert_eq!(self.log().epochs().latest(), latest);
                self.log().tick(0);
            }
            Err(error) => panic!("append: {error}"),
        }
        // A scheduled fault that found nothing to strike must not strike a later step.
        self.settle_faults();
    }

    /// Lets a full disk strike something harmless, if it still waits.
    fn settle_faults(&mut self) {
        for _ in 0..4 {
            if let Ok(file) = self.storage.create_file("/scratch".as_ref()) {
                drop(file);
                self.storage.remove_file("/scratch".as_ref()).ok();
            }
            self.storage.remove_file("/scratch".as_ref()).ok();
        }
    }

    fn start_sync(&mut self) {
        if let Some(job) = self.log().poll_sync() {
            assert!(self.sync.is_none(), "one sync at a time");
            self.note(format!("sync to {}", job.end()));
            self.sync = Some(job);
        }
    }

    fn finish_sync(&mut self) {
        if let Some(job) = self.sync.take() {
            let done = job.run();
            let end = self.log().handle_synced(done).expect("synced");
            self.note(format!("synced to {end}"));
            if self.random.chance(70) {
                self.model.mark = end.max(self.model.mark);
            }
        }
    }

    fn mark(&mut self) {
        self.model.mark = self.log().durable_end();
    }

    fn read(&mut self) {
        let (start, end) = (self.model.start, self.model.end);
        let from = start + self.random.below(end - start + 1);
        let until = from + self.random.below(end - from + 1);
        let max_size = self.random.below(5000) as usize;
        let view = self.log().view();
        let slice = view.read(from, max_size, true, until).expect("read");
        let expected = self.model.batches.range(..=from).next_back();
        let mut next = match expected {
            Some((base, bytes)) if from < until && end_of(bytes) <= until => {
                assert_eq!(slice.first_offset, *base);
                *base
            }
            _ => {
                assert!(slice.is_empty());
                return;
            }
        };
        for (i, batch) in split(&slice.batches).iter().enumerate() {
            assert_eq!(batch, &self.model.batches[&next]);
            assert!(i == 0 || slice.size() <= max_size);
            next = end_of(batch);
        }
        assert!(next <= until && next == slice.next_offset);
        self.check_timestamp();
    }

    fn check_timestamp(&mut self) {
        let (start, end) = (self.model.start, self.model.end);
        let wanted = 1_000_000 + (start + self.random.below(end - start + 40)) as i64;
        let until = start + self.random.below(end - start + 1);
        let found = self.log().view().batch_for_timestamp(wanted, until).expect("searched");
        let expected = self.model.batches.values().find(|b| {
            let header = BatchHeader::parse(b).expect("a batch");
            header.end_offset() > start
                && header.end_offset() <= until
                && header.max_timestamp() >= wanted
        });
        assert_eq!(found.as_ref(), expected, "timestamp {wanted} below {until}");
    }

    fn background(&mut self) {
        if self.random.chance(50) || self.background.is_empty() {
            while let Some(job) = self.log().poll_background() {
                self.background.push(job);
            }
        } else {
            let at = self.random.below(self.background.len() as u64) as usize;
            let job = self.background.swap_remove(at);
            self.note(format!("run {job:.40?}"));
            self.log().handle_background(job.run()).expect("upkeep");
        }
    }

    fn truncate(&mut self) {
        let (start, end) = (self.model.start, self.model.end);
        let wanted = start + self.random.below(end - start + 1);
        let boundary = self.model.batches.range(wanted..).next().map_or(end, |(base, _)| *base);
        // The rule: the lower mark is durable first.
        self.model.mark = self.model.mark.min(boundary);
        self.note(format!("truncate to {boundary}"));
        self.log().truncate(boundary).expect("truncated");
        if boundary < end {
            self.model.leader_epoch += 1;
        }
        self.cut_model(boundary);
        assert_eq!(
            self.log().durable_end(),
            if boundary < end { boundary } else { self.log().durable_end() }
        );
    }

    fn cut_model(&mut self, end: u64) {
        self.model.batches.retain(|base, _| *base < end);
        self.model.end = end;
        self.model.sequences = self
            .states()
            .iter()
            .map(|(id, s)| {
                let last = s.last_sequence().map_or(0, |l| l + 1);
                (id, (s.producer_epoch, last))
            })
            .collect();
    }

    fn trim(&mut self) {
        let durable_end = self.log().durable_end();
        let start = self.model.start + self.random.below(durable_end - self.model.start + 1) / 3;
        self.note(format!("trim to {start}"));
        self.log().trim(start).expect("trimmed");
        self.model.start = start;
        self.model.durable_start = start;
    }

    fn retain(&mut self) {
        let upto = self.log().durable_end();
        if let Some(start) = self.log().retain(0, upto).expect("retained") {
            self.note(format!("retained from {start}"));
            self.model.start = start;
        }
    }

    fn restart(&mut self) {
        if !self.random.chance(20) {
            return;
        }
        let at = self.model.end + self.random.below(50);
        self.note(format!("restart at {at}"));
        self.log().restart_at(at).expect("restarted");
        self.model.batches.clear();
        (self.model.start, self.model.durable_start) = (at, at);
        (self.model.end, self.model.durable_end) = (at, at);
        self.model.sequences.clear();
    }

    fn reopen(&mut self) {
        self.note("close and open".to_owned());
        self.drop_jobs();
        let log = self.log.take().expect("open");
        self.model.mark = log.close().expect("closed");
        self.open(true);
    }

    fn kill(&mut self) {
        self.note("kill".to_owned());
        if let Some(job) = self.sync.take_if(|_| self.random.chance(50)) {
            drop(job.run());
        }
        self.drop_jobs();
        self.log = None;
        self.memory.kill();
        self.open(false);
    }

    fn crash(&mut self) {
        self.note("power cut".to_owned());
        if self.random.chance(50) {
            // In the middle of one of the next operations.
            let at = self.memory.operation_count() + self.random.below(12);
            self.memory.schedule(at, Fault::PowerOff);
            let mut log = self.log.take().expect("open");
            let cut = self.model.batches.keys().nth_back(1).copied().unwrap_or(self.model.start);
            match self.random.below(4) {
                0 => drop(self.sync.take().map(SyncJob::run)),
                1 if cut >= self.model.start => {
                    self.model.mark = self.model.mark.min(cut);
                    drop(log.truncate(cut));
                }
                2 => drop(log.trim(log.durable_end())),
                _ => drop(self.background.pop().map(BackgroundJob::run)),
            }
            self.log = Some(log);
            // If nothing was struck, the power goes now.
            while self.storage.list(DIR.as_ref()).is_ok() {}
        }
        self.drop_jobs();
        self.log = None;
        self.memory.crash();
        self.open(false);
    }

    fn drop_jobs(&mut self) {
        self.sync = None;
        self.background.clear();
    }

    fn open(&mut self, clean: bool) {
        let mark = self.model.mark;
        let (log, report) =
            Log::open(self.storage.clone(), Path::new(DIR), self.config.clone(), mark)
                .expect("opened");
        self.note(format!("opened with mark {mark}: {report:?}"));
        assert!(report.faulty.is_empty(), "{report:?}");
        assert!(!clean || report.is_clean(), "{report:?}");
        let (start, end) = (log.start(), log.end());
        assert!(end >= mark, "acknowledged records are lost");
        assert!(end <= self.model.end, "records are invented");
        assert!(!clean || end == self.model.end);
        assert!(start >= self.model.durable_start);
        self.model.start = start;
        self.model.durable_start = start;
        let view = log.view();
        for batch in read_all(&view, start, end) {
            let header = BatchHeader::parse(&batch).expect("a batch");
            assert_eq!(self.model.batches.get(&header.base_offset()), Some(&batch));
        }
        self.log = Some(log);
        let lost = end < self.model.end;
        self.cut_model(end);
        if lost {
            self.model.leader_epoch += 1;
        }
        self.check_epochs();
        self.check_producers();
    }

    /// Folds all batches of the model.
    fn states(&self) -> ProducerStates {
        let mut states = ProducerStates::new();
        for batch in self.model.batches.values() {
            states.note(&ProducerBatch::from(&BatchHeader::parse(batch).expect("a batch")));
        }
        states
    }

    fn check_epochs(&mut self) {
        let (start, end) = (self.model.start, self.model.end);
        let history = self.log().epochs().clone();
        for (base, batch) in self.model.batches.range(start..end) {
            let header = BatchHeader::parse(batch).expect("a batch");
            assert_eq!(history.epoch_at(*base), Some(header.leader_epoch()), "at {base}");
        }
    }

    /// A producer whose remembered batches are all held is remembered exactly.
    fn check_producers(&mut self) {
        let start = self.model.start;
        let expected = self.states();
        let log = self.log.as_ref().expect("open");
        for (id, state) in expected.iter() {
            let held: Vec<_> = state.batches().filter(|b| b.base_offset >= start).collect();
            let Some(last) = held.last() else { continue };
            let found = log.producers().state(id).expect("remembered");
            assert_eq!(found.last_sequence(), Some(last.last_sequence));
            for batch in held {
                assert!(found.batches().any(|b| b == batch), "producer {id}: {batch:?}");
            }
        }
        for batch in self.model.batches.range(start..).map(|(_, b)| b) {
            let header = BatchHeader::parse(batch).expect("a batch");
            if header.producer_id().is_some() {
                let check = log.producers().check(&(&header).into());
                let known =
                    matches!(check, ProducerCheck::Duplicate(_) | ProducerCheck::OldDuplicate);
                assert!(known, "a repeat would be appended: {header:?}: {check:?}");
            }
        }
    }
}

fn end_of(batch: &Bytes) -> u64 {
    BatchHeader::parse(batch).expect("a batch").end_offset()
}

fn run(seed: u64, step_count: usize) {
    let mut run = Run::new(seed);
    for _ in 0..step_count {
        run.step();
    }
}

fn only_seed() -> Option<u64> {
    std::env::var("SYNOD_LOG_SEED").ok()?.parse().ok()
}

#[test]
fn the_log_behaves_like_its_model() {
    if let Some(seed) = only_seed() {
        return run(seed, 2000);
    }
    let seed_count: u64 =
        std::env::var("SYNOD_LOG_SEED_COUNT").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    for seed in 0..seed_count {
        run(seed, 400);
    }
}
