//! Producers that write as fast as they can, to a schedule, or one record at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use synod_client::producer::{Producer, ProducerConfig, ProducerRecord};
use synod_client::{ClientConfig, Cluster};
use tokio::sync::mpsc;

use crate::error::BenchError;
use crate::flow::{Collected, Fate, Meter, Sent, collect};
use crate::histogram::Latencies;
use crate::payload::{Payload, Place};
use crate::tally::{Lane, MAX_FAILED, Tally};
use crate::ticker::Ticker;
use crate::topic::led_partitions;

/// Records handed over between two looks at the rest of the world.
const CHUNK: usize = 64;

/// Chunks that may wait for the collector.
const QUEUE_LENGTH: usize = 256;

/// When the next record is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// As soon as the client takes it.
    Unlimited,
    /// Open loop: so many in a second by the clock, however long earlier ones take. A record that
    /// is sent late is measured from when it was due.
    PerSecond(f64),
    /// When the one before it is acknowledged.
    OneByOne,
}

/// When it is enough.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Extent {
    /// After so many records.
    Records(u64),
    /// After this time, not counting the warm-up.
    Time(Duration),
}

/// A run of producers against one topic.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) topic: Arc<str>,
    pub(crate) partitions: u32,
    pub(crate) producers: u32,
    pub(crate) payload: Payload,
    pub(crate) pace: Pace,
    pub(crate) extent: Extent,
    pub(crate) warmup: Duration,
    /// Bytes that go to a partition before the next one has its turn.
    pub(crate) stick: usize,
}

/// What a run of producers came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    /// Latency of what was acknowledged after the warm-up.
    pub(crate) latencies: Latencies,
    /// How late records were handed over, for a run with a schedule.
    pub(crate) lateness: Latencies,
    /// From the end of the warm-up to the last acknowledgement.
    pub(crate) elapsed: Duration,
    /// Longest time between two acknowledgements, by lane.
    pub(crate) pauses: Vec<Duration>,
}

impl Plan {
    /// Runs it to its end, when every record's fate is known. `meter` counts along; its time to
    /// measure from must be [`Plan::warmup`] from now.
    ///
    /// # Errors
    /// [`BenchError::Failing`] when more records fail than a measurement may have; whatever keeps
    /// the producers from starting. A single record's failure is no error but part of the outcome.
    pub(crate) async fn run(
        &self,
        client: &ClientConfig,
        producer: &ProducerConfig,
        meter: &Arc<Meter>,
    ) -> Result<Outcome, BenchError> {
        let mut tasks = Vec::new();
        for index in 0..self.producers {
            // Connections of its own, as separate processes would have.
            let cluster = Cluster::connect(client.clone()).await?;
            led_partitions(&cluster, &self.topic).await?;
            let one = OneProducer {
                plan: self.clone(),
                index,
                producer: Producer::new(cluster, producer.clone())?,
                meter: meter.clone(),
            };
            tasks.push(tokio::spawn(one.run()));
        }
        let mut outcome = Outcome {
            tally: Tally::default(),
            latencies: Latencies::new(),
            lateness: Latencies::new(),
            elapsed: Duration::ZERO,
            pauses: Vec::new(),
        };
        let mut lanes: Vec<Lane> = Vec::new();
        let mut last_error = None;
        for task in tasks {
            let joined = task.await;
            let (collected, lateness) =
                joined.map_err(|error| BenchError::Process(format!("a producer: {error}")))??;
            let Collected { lanes: its, latencies, last_ack, pauses, last_error: its_error } =
                collected;
            lanes.extend(its);
            outcome.latencies.add(&latencies);
            outcome.lateness.add(&lateness);
            let elapsed = last_ack.map(|at| at.saturating_duration_since(meter.measure_from));
            outcome.elapsed = outcome.elapsed.max(elapsed.unwrap_or_default());
            outcome.pauses.extend(pauses);
            last_error = its_error.or(last_error);
        }
        outcome.tally = Tally::new(lanes);
        match last_error {
            Some(last) if outcome.tally.acked() == 0 || meter.is_hopeless() => {
                let count = outcome.tally.failed();
                Err(BenchError::Failing { count, last: Box::new(last) })
            }
            _ => Ok(outcome),
        }
    }
}

/// One of the producers of a run.
struct OneProducer {
    plan: Plan,
    index: u32,
    producer: Producer,
    meter: Arc<Meter>,
}

impl OneProducer {
    async fn run(self) -> Result<(Collected, Latencies), BenchError> {
        let (queue, sent) = mpsc::channel(QUEUE_LENGTH);
        let meter = self.meter.clone();
        let lane_count = self.plan.partitions as usize;
        let (collected, lateness) =
            tokio::join!(collect(sent, lane_count, &meter), self.generate(queue));
        Ok((collected, lateness?))
    }

    /// Hands records over until it is enough; then waits until all are settled.
    async fn generate(self, queue: mpsc::Sender<Vec<Sent>>) -> Result<Latencies, BenchError> {
        let plan = &self.plan;
        let mut ticker = Ticker::new().map_err(BenchError::io("cannot make a timer"))?;
        let mut lateness = Latencies::new();
        let mut arena = BytesMut::new();
        let mut turn = Turn::new(plan, self.index);
        let mut chunk = Vec::with_capacity(CHUNK);
        let begin = Instant::now();
        for count in 0.. {
            if self.is_enough(count) || self.meter.is_hopeless() {
                break;
            }
            let due = match plan.pace {
                Pace::PerSecond(rate) => {
                    let due = begin + self.offset(count, rate);
                    if due > Instant::now() {
                        // The collector must not wait for records that are on their way.
                        pass_on(&queue, &mut chunk).await;
                        let waited = ticker.wait_until(due).await;
                        waited.map_err(BenchError::io("cannot wait for a timer"))?;
                    }
                    lateness.record(due.elapsed());
                    due
                }
                Pace::Unlimited | Pace::OneByOne => Instant::now(),
            };
            let (lane, sequence) = turn.next(plan.payload.size());
            let place = Place { lane: self.index * plan.partitions + lane as u32, sequence };
            let value = plan.payload.value(&mut arena, place);
            let record =
                ProducerRecord::new(plan.topic.clone()).partition(lane as i32).value(value);
            let fate = self.send(record).await;
            chunk.push(Sent { lane, sequence, due, fate });
            if chunk.len() >= CHUNK {
                pass_on(&queue, &mut chunk).await;
                tokio::task::yield_now().await;
            }
        }
        pass_on(&queue, &mut chunk).await;
        drop(queue);
        self.producer.close().await;
        Ok(lateness)
    }

    async fn send(&self, record: ProducerRecord) -> Fate {
        match (self.producer.send(record).await, self.plan.pace) {
            (Ok(delivery), Pace::OneByOne) => {
                let outcome = delivery.await.map(drop);
                Fate::Settled(outcome, Instant::now())
            }
            (Ok(delivery), _) => Fate::Open(delivery),
            (Err(error), _) => Fate::Settled(Err(error), Instant::now()),
        }
    }

    /// This producer's part of the schedule: the producers take turns.
    fn offset(&self, count: u64, rate: f64) -> Duration {
        let place = count as f64 * f64::from(self.plan.producers) + f64::from(self.index);
        Duration::from_secs_f64(place / rate)
    }

    fn is_enough(&self, count: u64) -> bool {
        match self.plan.extent {
            // The producers share the records as evenly as whole numbers allow.
            Extent::Records(total) => {
                let producers = u64::from(self.plan.producers);
                let extra = u64::from(u64::from(self.index) < total % producers);
                count >= total / producers + extra
            }
            // Clocks are read for each chunk only, unless records are rare.
            Extent::Time(time) => {
                let look = count.is_multiple_of(CHUNK as u64)
                    || !matches!(self.plan.pace, Pace::Unlimited);
                look && Instant::now() >= self.meter.measure_from + time
            }
        }
    }
}

/// Gives a chunk to the collector. If that has ended, nobody wants it.
async fn pass_on(queue: &mpsc::Sender<Vec<Sent>>, chunk: &mut Vec<Sent>) {
    if !chunk.is_empty() {
        let full = std::mem::replace(chunk, Vec::with_capacity(CHUNK));
        let _ = queue.send(full).await;
    }
}

/// Whose turn it is among the partitions.
#[derive(Debug)]
struct Turn {
    next_sequences: Vec<u64>,
    at: usize,
    left: usize,
    stick: usize,
}

impl Turn {
    /// Producers begin at different partitions, so that they do not all crowd one.
    fn new(plan: &Plan, index: u32) -> Self {
        let partitions = plan.partitions as usize;
        let at = index as usize * partitions / plan.producers as usize;
        Self { next_sequences: vec![0; partitions], at, left: plan.stick, stick: plan.stick }
    }

    /// Partition and sequence of the next record.
    fn next(&mut self, size: usize) -> (usize, u64) {
        if self.left < size {
            self.at = (self.at + 1) % self.next_sequences.len();
            self.left = self.stick.max(size);
        }
        self.left -= size;
        let sequence = &mut self.next_sequences[self.at];
        *sequence += 1;
        (self.at, *sequence - 1)
    }
}

// A record takes one place in the tally however it ends, so failures are bounded with it.
const _: () = assert!(MAX_FAILED >= CHUNK * QUEUE_LENGTH);

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(partitions: u32, producers: u32, stick: usize) -> Plan {
        Plan {
            topic: "t".into(),
            partitions,
            producers,
            payload: Payload::new(1, 100),
            pace: Pace::Unlimited,
            extent: Extent::Records(1),
            warmup: Duration::ZERO,
            stick,
        }
    }

    #[test]
    fn partitions_take_turns_of_the_wanted_size() {
        let mut turn = Turn::new(&plan(3, 1, 250), 0);
        let taken: Vec<_> = (0..7).map(|_| turn.next(100)).collect();
        assert_eq!(taken, [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (0, 2)]);
        let mut turn = Turn::new(&plan(2, 1, 1), 0);
        let taken: Vec<_> = (0..3).map(|_| turn.next(100)).collect();
        assert_eq!(taken, [(1, 0), (0, 0), (1, 1)], "a record larger than a turn takes one");
    }

    #[test]
    fn producers_begin_apart() {
        let starts: Vec<_> = (0..4).map(|index| Turn::new(&plan(8, 4, 100), index).at).collect();
        assert_eq!(starts, [0, 2, 4, 6]);
    }
}
