//! What one seed's run is like: its size, its load, its weather, and which faults it knows.

use super::agenda::{MS, Micros, SECOND};
use super::fault::FaultKind;
use super::network::Weather;
use super::random::Random;

/// How much work one seed is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// A few thousand events: many seeds in little time.
    Small,
    /// Some ten thousand events, with more faults per run.
    Large,
}

/// All that is drawn before a run begins. Each seed turns on a random part of what there is.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) broker_count: usize,
    pub(crate) partition_count: usize,
    pub(crate) replica_count: usize,
    /// How long faults strike, before everything heals.
    pub(crate) horizon: Micros,
    pub(crate) weather: Weather,
    pub(crate) load: Load,
    pub(crate) device: Device,
    pub(crate) tuning: Tuning,
    /// The kinds of faults that strike, and the mean time between two.
    pub(crate) faults: Vec<FaultKind>,
    pub(crate) fault_interval: Micros,
    /// Leaders are appointed by a script and not by the brokers' own controller.
    pub(crate) scripted: bool,
    /// Brokers carry small appends.
    pub(crate) carries: bool,
    /// The script appoints at random, too.
    pub(crate) errs: bool,
    /// Topics are created and deleted beside the one that is there all the time.
    pub(crate) passing_topics: bool,
    /// Clients delete records now and then.
    pub(crate) trims: bool,
    /// Brokers forget producers that rest for a few seconds, and some rest for longer.
    pub(crate) forgets_producers: bool,
}

/// What clients do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) producer_count: usize,
    pub(crate) consumer_count: usize,
    /// Least and greatest pause between two batches of a producer.
    pub(crate) pause: (Micros, Micros),
    pub(crate) record_size: (usize, usize),
}

/// What a device takes when nothing is wrong with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Device {
    pub(crate) sync: (Micros, Micros),
    pub(crate) background: (Micros, Micros),
}

/// Limits of replicas and logs, made small so that runs reach them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuning {
    pub(crate) segment_size: u32,
    pub(crate) index_interval_size: u32,
    pub(crate) min_in_sync: u32,
    /// Small windows, messages and caches.
    pub(crate) tight: bool,
}

impl Options {
    /// A run in which nothing goes wrong and clients only look on.
    pub(crate) fn calm(broker_count: usize, replica_count: usize) -> Options {
        Options {
            broker_count,
            // Each broker is to lead something.
            partition_count: 2 * broker_count,
            replica_count,
            horizon: Micros::MAX,
            weather: Weather::FAIR,
            load: Load {
                producer_count: 0,
                consumer_count: 0,
                pause: (MS, MS),
                record_size: (10, 10),
            },
            device: Device { sync: (80, 300), background: (500, 20 * MS) },
            tuning: Tuning {
                segment_size: 1 << 30,
                index_interval_size: 4_096,
                min_in_sync: 1,
                tight: false,
            },
            faults: Vec::new(),
            fault_interval: SECOND,
            scripted: false,
            carries: false,
            errs: false,
            forgets_producers: false,
            passing_topics: false,
            trims: false,
        }
    }

    pub(crate) fn draw(seed: u64, scale: Scale) -> Options {
        let mut random = Random::of(seed, 1);
        let large = if seed.is_multiple_of(2) { 6 } else { 7 };
        let broker_count = random.pick(&[1, 2, 3, 3, 3, 4, 5, 5, 5, large]);
        let most = broker_count as u64;
        let replica_count = if random.chance(70) { most } else { random.range(1, most) } as usize;
        let horizon = match scale {
            Scale::Small => random.range(3, 6) * SECOND,
            Scale::Large => random.range(8, 25) * SECOND,
        };
        let mut faults: Vec<FaultKind> =
            FaultKind::ALL.iter().copied().filter(|_| random.chance(40)).collect();
        if random.chance(5) {
            faults.clear();
        }
        Options {
            broker_count,
            partition_count: random.pick(&[1, 1, 2, 3]),
            replica_count,
            horizon,
            weather: weather(&mut random),
            load: load(&mut random),
            device: device(&mut random),
            tuning: tuning(&mut random, replica_count),
            faults,
            fault_interval: random.pick(&[150, 300, 600, 1200]) * MS,
            scripted: true,
            carries: false,
            errs: random.chance(30),
            trims: random.chance(30),
            forgets_producers: random.chance(25),
            passing_topics: random.chance(40),
        }
    }
}

fn weather(random: &mut Random) -> Weather {
    let least = random.pick(&[50, 100, 500, 2_000]);
    let greatest = least * random.pick(&[2, 5, 20]);
    Weather {
        delay: (least, greatest),
        loss_percent: random.pick(&[0, 0, 0, 1, 5, 15, 30]),
        replay_percent: random.pick(&[0, 0, 0, 5, 20, 50]),
        replay_delay: random.pick(&[5, 100, 3_000]) * MS,
        reorders: random.chance(50),
    }
}

fn load(random: &mut Random) -> Load {
    let pause = random.pick(&[3, 10, 30]) * MS;
    let record_size = random.pick(&[(10, 40), (10, 900), (100, 3_000)]);
    Load {
        producer_count: random.range(1, 4) as usize,
        consumer_count: random.range(1, 2) as usize,
        pause: (pause / 3, pause * 2),
        record_size,
    }
}

fn device(random: &mut Random) -> Device {
    let sync = random.pick(&[80, 300, 2_000]);
    Device { sync: (sync / 2, sync * random.pick(&[2, 10])), background: (500, 20 * MS) }
}

fn tuning(random: &mut Random, replica_count: usize) -> Tuning {
    let min_in_sync = if random.chance(20) { random.range(1, replica_count as u64) } else { 1 };
    Tuning {
        segment_size: random.pick(&[2_000, 10_000, 60_000, 1 << 30]),
        index_interval_size: random.pick(&[200, 4_096]),
        min_in_sync: min_in_sync as u32,
        tight: random.chance(40),
    }
}
