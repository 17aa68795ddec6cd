//! The load: producers with retries, consumers, deletions of records, and probes after the heal.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use synod_log::batch::Batch;
use synod_log::key::PartitionKey;
use synod_wire::batch::{BatchBuilder, Compression, NewRecord, ProducerStamp};

use super::agenda::{MS, Micros, SECOND};
use super::history::FIRST_TIMESTAMP;
use super::invariants::{s05_acked, s10_fetched};
use super::options::Options;
use super::process::{Input, node};
use super::random::Random;
use super::request::{Answered, Produce, is_definite};
use super::violation::Checked;
use super::world::{Event, World, budget_share};
use crate::budget::BudgetShare;
use crate::partition::{Acks, AppendError, Appended};

/// After this long a producer takes a request for lost.
const REQUEST_TIMEOUT: Micros = 2 * SECOND;

/// Where brokers forget producers soon, a producer gives up after this long and takes another id: a
/// retry must not come after it was forgotten. Less than that by more than a time-out.
const PATIENCE: Micros = 1_500 * MS;

/// For how long a producer repeats what is out of order.
const DELIVERY_TIMEOUT: Micros = 20 * SECOND;

/// For how long a producer rests now and then where brokers forget it meanwhile.
const REST: Micros = 7 * SECOND;

/// How much a consumer fetches at once.
const FETCH_SIZE: usize = 8 << 10;

/// How a producer behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Deduplicated by the brokers: tries until it is acked.
    Idempotent,
    /// Tries until it is acked; repeats may be there twice.
    Plain,
    /// Takes an unknown outcome for one.
    Once,
}

#[derive(Debug)]
struct Producer {
    key: PartitionKey,
    manner: Manner,
    acks: Acks,
    /// Its id at the brokers.
    id: i64,
    next_sequence: i32,
    most_in_flight: usize,
    /// Batches that are neither acked nor given up, by number.
    open: BTreeMap<u64, Open>,
    /// Where it believes the leader is.
    leader: Option<usize>,
    /// Something of it was acked; before that a broker does not know it, and takes any sequence
    /// number for its first.
    is_known: bool,
    /// When its last request arrives: requests on one connection do not overtake each other.
    last_arrival: Micros,
    sent_count: usize,
    /// Its topic is gone.
    is_retired: bool,
}

#[derive(Debug)]
struct Open {
    batch: Batch,
    /// How many batches its producer sent before it.
    place: usize,
    attempt: u32,
    /// An attempt is under way.
    waits: bool,
    since: Micros,
}

#[derive(Debug)]
struct Consumer {
    partition: u32,
    position: u64,
    /// The newest leader epoch that it heard of.
    round: u32,
}

/// All clients of a run.
#[derive(Debug)]
pub(crate) struct Clients {
    producers: Vec<Producer>,
    consumers: Vec<Consumer>,
    share: Arc<BudgetShare>,
    /// Nothing new is sent.
    pub(crate) quiet: bool,
    /// The producers that probe each partition after the heal, and what they wait for.
    pub(crate) probes: BTreeMap<usize, Option<Micros>>,
}

impl Clients {
    pub(crate) fn new(options: &Options, random: &mut Random) -> Clients {
        let partition = |random: &mut Random| random.below(options.partition_count as u64) as u32;
        let producer = |random: &mut Random| {
            let manner =
                random.pick(&[Manner::Idempotent, Manner::Idempotent, Manner::Plain, Manner::Once]);
            // What a failover drops, a deduplicated producer cannot go on from.
            let all = manner == Manner::Idempotent || random.chance(60);
            Producer {
                key: key_of(partition(random)),
                manner,
                acks: if all { Acks::All } else { Acks::Leader },
                id: random.range(1_000, 1 << 40) as i64,
                next_sequence: 0,
                most_in_flight: random.pick(&[1, 5]),
                open: BTreeMap::new(),
                leader: None,
                is_known: false,
                last_arrival: 0,
                sent_count: 0,
                is_retired: false,
            }
        };
        let consumer =
            |random: &mut Random| Consumer { partition: partition(random), position: 0, round: 0 };
        Clients {
            producers: (0..options.load.producer_count).map(|_| producer(random)).collect(),
            consumers: (0..options.load.consumer_count).map(|_| consumer(random)).collect(),
            share: budget_share(),
            quiet: false,
            probes: BTreeMap::new(),
        }
    }

    /// Whether every batch of every producer is acked or given up.
    pub(crate) fn are_done(&self) -> bool {
        self.producers.iter().all(|producer| producer.open.is_empty())
    }

    /// The batches that are neither acked nor given up, for the report of a failed run.
    pub(crate) fn open_batches(&self) -> String {
        let open = self.producers.iter().flat_map(|producer| &producer.open);
        let line = |(id, open): (&u64, &Open)| {
            format!("batch {id} attempt {} waits {}", open.attempt, open.waits)
        };
        open.map(line).collect::<Vec<_>>().join(", ")
    }

    /// Adds a producer that has one batch acked by every replica set there is.
    pub(crate) fn add_probe(&mut self, key: PartitionKey) -> usize {
        let index = self.add(key, Manner::Plain);
        self.probes.insert(index, None);
        index
    }

    /// Adds a producer for a partition that may be deleted at any time.
    pub(crate) fn add_passing(&mut self, key: PartitionKey) -> usize {
        self.add(key, Manner::Once)
    }

    /// A topic is gone: nobody waits for its partitions any more.
    pub(crate) fn forget(&mut self, topic: [u8; 16]) {
        let of_topic = |producer: &Producer| producer.key.topic == topic;
        for (index, producer) in self.producers.iter_mut().enumerate() {
            if of_topic(producer) {
                producer.open.clear();
                producer.is_retired = true;
                self.probes.remove(&index);
            }
        }
    }

    fn add(&mut self, key: PartitionKey, manner: Manner) -> usize {
        self.producers.push(Producer {
            key,
            manner,
            acks: Acks::All,
            id: 0,
            next_sequence: 0,
            most_in_flight: 1,
            open: BTreeMap::new(),
            leader: None,
            is_known: false,
            last_arrival: 0,
            sent_count: 0,
            is_retired: false,
        });
        self.producers.len() - 1
    }
}

/// A partition of the topic that is there all the time.
pub(crate) fn key_of(partition: u32) -> PartitionKey {
    PartitionKey { topic: *b"simulated topic!", partition }
}

impl World {
    // ---- producers ---------------------------------------------------------------------------

    /// A producer may send a batch, and looks again later.
    pub(crate) fn send(&mut self, index: usize) {
        let is_probe = self.clients.probes.contains_key(&index);
        if self.clients.quiet && !is_probe || self.clients.producers[index].is_retired {
            return;
        }
        let (low, high) = self.options.load.pause;
        let pause = self.random.range(low, high);
        let producer = &mut self.clients.producers[index];
        let may_rest = producer.manner == Manner::Idempotent && producer.open.is_empty();
        if self.options.forgets_producers && may_rest && self.random.chance(1) {
            // Whoever knew it has forgotten it afterwards.
            producer.is_known = false;
            self.agenda.add(self.now + REST, Event::Send(index));
            return;
        }
        let most = if producer.is_known { producer.most_in_flight } else { 1 };
        // Answers come in the order of the requests, so nothing is sent beyond the window that
        // begins with the oldest one.
        let oldest = producer.open.values().next().map_or(producer.sent_count, |o| o.place);
        if producer.sent_count - oldest < most {
            let key = producer.key;
            let count = self.random.range(1, 4);
            let at_most_once = producer.manner != Manner::Plain;
            let id = self.history.begin(key, count, at_most_once);
            let batch = self.build(index, id, count);
            if let Some(history) = self.history.batch_mut(id) {
                history.crc = batch.header().crc();
            }
            let producer = &mut self.clients.producers[index];
            let open = Open {
                batch,
                place: producer.sent_count,
                attempt: 0,
                waits: false,
                since: self.now,
            };
            producer.sent_count += 1;
            producer.open.insert(id, open);
            self.attempt(index, id);
        }
        if !is_probe {
            self.agenda.add(self.now + pause, Event::Send(index));
        }
    }

    fn build(&mut self, index: usize, id: u64, count: u64) -> Batch {
        let producer = &mut self.clients.producers[index];
        let mut stamp = ProducerStamp::NONE;
        if producer.manner == Manner::Idempotent {
            let base_sequence = producer.next_sequence;
            stamp = ProducerStamp { producer_id: producer.id, producer_epoch: 0, base_sequence };
            producer.next_sequence += count as i32;
        }
        let (low, high) = self.options.load.record_size;
        let mut builder = BatchBuilder::new();
        for _ in 0..count {
            let size = self.random.range(low as u64, high as u64) as usize;
            let value: Vec<u8> = (0..size).map(|at| (id as usize * 31 + at) as u8).collect();
            let record = NewRecord {
                timestamp: FIRST_TIMESTAMP + id as i64,
                value: Some(&value),
                ..NewRecord::default()
            };
            let appended = builder.append(&record);
            assert!(appended.is_ok(), "a small record fits");
        }
        let bytes = builder
            .build(Compression::None, stamp)
            .unwrap_or_else(|error| unreachable!("a small batch is built: {error}"));
        let (batch, _): (Batch, Bytes) =
            Batch::parse(bytes).unwrap_or_else(|error| unreachable!("it is a batch: {error}"));
        batch
    }

    /// Sends a batch to whoever is believed to lead.
    fn attempt(&mut self, index: usize, id: u64) {
        let key = self.clients.producers[index].key;
        let Some(assignment) = self.controller.get(key) else {
            // The topic is not there yet, as far as is known.
            let at = self.now + self.random.range(2 * MS, 30 * MS);
            self.agenda.add(at, Event::Retry { producer: index, id });
            return;
        };
        let voters = &assignment.voters;
        let informed = !self.random.chance(10);
        let told = if informed { assignment.ballot.node } else { self.random.pick(voters) };
        let producer = &mut self.clients.producers[index];
        let broker = *producer.leader.get_or_insert(told.0 as usize - 1);
        let Some(open) = producer.open.get_mut(&id) else { return };
        open.attempt += 1;
        open.waits = true;
        let produce = Produce {
            producer: index,
            id,
            attempt: open.attempt,
            key,
            batch: open.batch.clone(),
            acks: producer.acks,
            share: self.clients.share.clone(),
        };
        self.history.attempted(id);
        let at = producer.last_arrival.max(self.now + self.random.range(100, MS));
        producer.last_arrival = at;
        let input = Input::Produce(produce.clone());
        self.agenda.add(at, Event::Input { broker, life: None, input });
        let timeout = Event::Answer(Answered { produce, outcome: None });
        self.agenda.add(self.now + REQUEST_TIMEOUT, timeout);
    }

    pub(crate) fn retry(&mut self, index: usize, id: u64) {
        let open = self.clients.producers[index].open.get(&id);
        if open.is_some_and(|open| !open.waits) {
            self.attempt(index, id);
        }
    }

    /// A broker answers an attempt. What it says holds from now on, whoever hears it.
    pub(crate) fn answer(&mut self, answered: Answered) -> Checked {
        let Answered { produce, outcome } = &answered;
        self.trace.note(produce.id);
        self.trace.say(
            self.now,
            format_args!("batch {} attempt {}: {outcome:?}", produce.id, produce.attempt),
        );
        if let Some(Ok(Appended { base_offset, .. })) = outcome
            && produce.acks == Acks::All
            && (!self.unseen.contains(&produce.key)
                || *base_offset < self.invariants.decided.end(produce.key))
        {
            s05_acked::acked(&self.history, &self.invariants.decided, produce.id, *base_offset)?;
        }
        self.history.answered(produce.id, produce.acks, outcome);
        let at = self.now + self.random.range(100, MS);
        self.agenda.add(at, Event::Answer(answered));
        Ok(())
    }

    /// A producer hears an answer, or that there will be none.
    pub(crate) fn hear(&mut self, answered: &Answered) {
        let Answered { produce, outcome } = answered;
        let producer = &mut self.clients.producers[produce.producer];
        let Some(open) = producer.open.get_mut(&produce.id) else { return };
        if !open.waits || open.attempt != produce.attempt {
            return;
        }
        open.waits = false;
        // What was deleted is not remembered by every replica: then a repeat is out of order for
        // ever, and a client gives up at its delivery time-out.
        let patience = match outcome {
            _ if self.options.forgets_producers => PATIENCE,
            Some(Err(AppendError::OutOfOrderSequence)) => DELIVERY_TIMEOUT,
            _ => Micros::MAX,
        };
        let is_late = self.now - open.since > patience && !matches!(outcome, Some(Ok(_)));
        if is_late && producer.manner == Manner::Idempotent {
            producer.open.clear();
            producer.is_known = false;
            producer.next_sequence = 0;
            producer.id += 1;
            return;
        }
        let again = match outcome {
            Some(Ok(_)) => false,
            Some(Err(error)) if is_definite(*error) => true,
            Some(Err(_)) | None => producer.manner != Manner::Once,
        };
        if !again {
            producer.open.remove(&produce.id);
            producer.is_known |= outcome.as_ref().is_some_and(Result::is_ok);
            if outcome.as_ref().is_some_and(Result::is_ok)
                && let Some(acked_at) = self.clients.probes.get_mut(&produce.producer)
            {
                acked_at.get_or_insert(self.now);
            }
            return;
        }
        if !matches!(outcome, Some(Err(AppendError::OutOfOrderSequence | AppendError::Busy))) {
            producer.leader = None;
        }
        let at = self.now + self.random.range(2 * MS, 30 * MS);
        self.agenda.add(at, Event::Retry { producer: produce.producer, id: produce.id });
    }

    /// What a process left unanswered when it ended.
    pub(crate) fn break_connections(&mut self, unanswered: Vec<Produce>) {
        for produce in unanswered {
            // Some clients notice at once, others by their time-out.
            if self.random.chance(50) {
                let at = self.now + self.random.range(100, 5 * MS);
                self.agenda.add(at, Event::Answer(Answered { produce, outcome: None }));
            }
        }
    }

    // ---- consumers ---------------------------------------------------------------------------

    /// A consumer reads from a leader that its leader epoch allows, as the fetch handler does.
    pub(crate) fn fetch(&mut self, index: usize) -> Checked {
        if !self.is_over {
            let pause = self.random.range(5 * MS, 50 * MS);
            self.agenda.add(self.now + pause, Event::Fetch(index));
        }
        let partition = self.clients.consumers[index].partition;
        let key = key_of(partition);
        let Some(assignment) = self.controller.get(key) else { return Ok(()) };
        let broker = self.random.pick(&assignment.voters).0 as usize - 1;
        if self.machines[broker].paused_until > self.now {
            return Ok(());
        }
        let Some(process) = &self.machines[broker].process else { return Ok(()) };
        let Some(partition) = process.partitions.get(&key) else { return Ok(()) };
        let view = partition.view().clone();
        let consumer = &mut self.clients.consumers[index];
        let Some(round) = view.leading_round().filter(|round| *round >= consumer.round) else {
            return Ok(());
        };
        consumer.round = round;
        let shown = view.high_watermark();
        self.invariants.watermark.observe(index, key, shown)?;
        let start = view.log().start();
        let position = consumer.position.max(start);
        if position >= shown {
            return Ok(());
        }
        let Ok(slice) = view.log().read(position, FETCH_SIZE, true, shown) else { return Ok(()) };
        let mut position = position;
        let decided_end = self.invariants.decided.end(key);
        if slice.next_offset > decided_end && self.unseen.contains(&key) {
            return Ok(());
        }
        for bytes in slice.batches {
            position = s10_fetched::check(&self.invariants.decided, key, position, bytes)?;
        }
        self.clients.consumers[index].position = position;
        self.trace.note(position);
        Ok(())
    }

    /// A client deletes records before some decided offset.
    pub(crate) fn trim(&mut self) {
        if self.clients.quiet {
            return;
        }
        self.agenda.add(self.now + self.random.range(200 * MS, 2 * SECOND), Event::Trim);
        let partition = self.random.below(self.options.partition_count as u64) as u32;
        let key = key_of(partition);
        let end = self.invariants.decided.end(key);
        let Some(assignment) = self.controller.get(key) else { return };
        if end == 0 {
            return;
        }
        let broker = assignment.ballot.node.0 as usize - 1;
        let before = self.random.below(end);
        self.invariants.deletion.allow(key, before);
        self.trace.say(
            self.now,
            format_args!("delete records of {key} before {before} on {}", node(broker)),
        );
        self.agenda.add(
            self.now + self.random.range(100, MS),
            Event::Input { broker, life: None, input: Input::Trim(key, Some(before)) },
        );
    }
}
