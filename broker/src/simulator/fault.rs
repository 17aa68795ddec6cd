//! What goes wrong, and when: drawn before the run, so that shrinking can leave some of it out.

use super::agenda::{MS, Micros, SECOND};
use super::options::Options;
use super::random::Random;

/// The kinds of faults a seed can turn on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FaultKind {
    Cut,
    Clog,
    Kill,
    PowerLoss,
    PowerOff,
    Blackout,
    Pause,
    Slow,
    SlowDisk,
    SyncError,
    WriteError,
    ReadError,
    DiskFull,
    Damage,
    EmptyDisk,
    Clock,
    Appoint,
    OldLeader,
}

impl FaultKind {
    /// Every kind.
    pub(crate) const ALL: [FaultKind; 18] = [
        FaultKind::Cut,
        FaultKind::Clog,
        FaultKind::Kill,
        FaultKind::PowerLoss,
        FaultKind::PowerOff,
        FaultKind::Blackout,
        FaultKind::Pause,
        FaultKind::Slow,
        FaultKind::SlowDisk,
        FaultKind::SyncError,
        FaultKind::WriteError,
        FaultKind::ReadError,
        FaultKind::DiskFull,
        FaultKind::Damage,
        FaultKind::EmptyDisk,
        FaultKind::Clock,
        FaultKind::Appoint,
        FaultKind::OldLeader,
    ];
}

/// One thing that goes wrong. Durations count from its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Packets on these directed links are lost.
    Cut { links: Vec<(usize, usize)>, lasts: Micros },
    /// Packets to or from a broker wait, and then all arrive at once.
    Clog { links: Vec<(usize, usize)>, lasts: Micros },
    /// The process ends; the page cache stays.
    Kill { broker: usize, down: Micros },
    /// The machine ends: what was not synced is kept, lost or torn.
    PowerLoss { broker: usize, down: Micros },
    /// As `PowerLoss`, in the middle of that many storage operations from now.
    PowerOff { broker: usize, operations: u64, down: Micros },
    /// All machines lose power at once.
    Blackout { down: Micros },
    /// The process stands still.
    Pause { broker: usize, lasts: Micros },
    /// The process takes that many times as long for everything.
    Slow { broker: usize, factor: u64, lasts: Micros },
    /// The device takes that many times as long.
    SlowDisk { broker: usize, factor: u64, lasts: Micros },
    /// The next sync, write or read fails.
    Storage { broker: usize, fault: StorageFault },
    /// No space is left.
    DiskFull { broker: usize, lasts: Micros },
    /// The machine loses power, and something below a durability mark is damaged when it returns.
    Damage { broker: usize, damage: Damage, place: u64, down: Micros },
    /// The machine starts with an empty disk, and gets the old one back later.
    EmptyDisk { broker: usize, lasts: Micros },
    /// The wall clock jumps.
    Clock { broker: usize, by_ms: i64 },
    /// The controller appoints, for no reason, or repeats an appointment, or repeats a round.
    Appoint { partition: u64, voter: u64, repeats: Repeat },
    /// A leader is cut off for long enough that another one is appointed, and comes back over links
    /// that lose much of what is sent.
    OldLeader { partition: u64, lasts: Micros },
}

/// Which operation of a device fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StorageFault {
    Sync,
    Write,
    Read,
}

/// What becomes of durable bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    BitFlip,
    Zeros,
    Stale,
    Unreadable,
}

/// What an unwanted appointment repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    Nothing,
    /// The ballot in force.
    Ballot,
    /// The round of another node that is appointed at the same time.
    Round,
}

/// A fault and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) at: Micros,
    pub(crate) fault: Fault,
}

/// Everything that goes wrong in a run, by time.
pub(crate) fn plan(seed: u64, options: &Options) -> Vec<Planned> {
    let mut random = Random::of(seed, 2);
    let mut planned = Vec::new();
    if options.faults.is_empty() {
        return planned;
    }
    let mut at = random.range(200, 800) * MS;
    while at < options.horizon {
        let kind = random.pick(&options.faults);
        planned.push(Planned { at, fault: draw(kind, options, &mut random) });
        // Now and then faults come together.
        if !random.chance(20) {
            at += random.range(options.fault_interval / 4, options.fault_interval * 2);
        }
    }
    planned
}

fn draw(kind: FaultKind, options: &Options, random: &mut Random) -> Fault {
    let count = options.broker_count;
    let broker = random.index(count);
    // Some outlast every time-out, most do not.
    let lasts = random.pick(&[50, 300, 300, 1_000, 1_000, 2_500]) * MS + random.below(50 * MS);
    let down = random.pick(&[20, 200, 200, 1_000, 3_000]) * MS + random.below(50 * MS);
    match kind {
        FaultKind::Cut => Fault::Cut { links: cut(count, random), lasts },
        FaultKind::Clog => Fault::Clog { links: around(count, broker), lasts },
        FaultKind::Kill => Fault::Kill { broker, down },
        FaultKind::PowerLoss => Fault::PowerLoss { broker, down },
        FaultKind::PowerOff => Fault::PowerOff { broker, operations: random.below(40), down },
        FaultKind::Blackout => Fault::Blackout { down },
        FaultKind::Pause => Fault::Pause { broker, lasts },
        FaultKind::Slow => Fault::Slow { broker, factor: random.pick(&[10, 100]), lasts },
        FaultKind::SlowDisk => Fault::SlowDisk { broker, factor: random.pick(&[10, 100]), lasts },
        FaultKind::SyncError => Fault::Storage { broker, fault: StorageFault::Sync },
        FaultKind::WriteError => Fault::Storage { broker, fault: StorageFault::Write },
        FaultKind::ReadError => Fault::Storage { broker, fault: StorageFault::Read },
        FaultKind::DiskFull => Fault::DiskFull { broker, lasts },
        FaultKind::Damage => {
            let all = [Damage::BitFlip, Damage::Zeros, Damage::Stale, Damage::Unreadable];
            Fault::Damage { broker, damage: random.pick(&all), place: random.next(), down }
        }
        FaultKind::EmptyDisk => Fault::EmptyDisk { broker, lasts: lasts + SECOND },
        FaultKind::Clock => {
            let year_ms = 365 * 24 * 3_600_000;
            let by_ms = random.range(0, 20 * year_ms) as i64 - 10 * year_ms as i64;
            Fault::Clock { broker, by_ms }
        }
        FaultKind::Appoint => Fault::Appoint {
            partition: random.next(),
            voter: random.next(),
            repeats: random.pick(&[Repeat::Nothing, Repeat::Ballot, Repeat::Round]),
        },
        FaultKind::OldLeader => {
            Fault::OldLeader { partition: random.next(), lasts: random.range(700 * MS, 2 * SECOND) }
        }
    }
}

/// The links that a partition of the network cuts: isolated, split, star, chain, bridge, one way.
fn cut(count: usize, random: &mut Random) -> Vec<(usize, usize)> {
    let one = random.index(count);
    let side = random.index(count.max(2) - 1) + 1;
    let kind = random.below(7);
    let other = random.index(count);
    let mut links = Vec::new();
    for from in 0..count {
        for to in 0..count {
            let cut = match kind {
                0 => (from == one) != (to == one),
                1 => (from < side) != (to < side),
                // All talk to one only.
                2 => from != one && to != one,
                3 => from.abs_diff(to) > 1,
                // Two halves and one that talks to both.
                4 => from != one && to != one && (from < side) != (to < side),
                5 => from == one,
                _ => (from, to) == (one, other),
            };
            if cut && from != to {
                links.push((from, to));
            }
        }
    }
    links
}

/// All links of a broker.
pub(crate) fn around(count: usize, broker: usize) -> Vec<(usize, usize)> {
    let others = (0..count).filter(|other| *other != broker);
    others.flat_map(|other| [(broker, other), (other, broker)]).collect()
}
