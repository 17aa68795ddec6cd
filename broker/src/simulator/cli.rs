//! The command line of `synod-simulator`.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;

use super::bug::Bug;
use super::options::{Options, Scale};
use super::run::{Outcome, Run};
use super::schedule::{Schedule, calm_hour};
use super::shrink::shrink;
use super::violation::Violation;

/// Runs the real broker's core, log and recovery on simulated machines, from seeds.
#[derive(Debug, Parser)]
#[command(name = "synod-simulator", version)]
#[expect(clippy::struct_excessive_bools, reason = "a command line has switches")]
pub(crate) struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    start: u64,
    /// Run this seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// Runs of a few thousand events, as the tests use.
    #[arg(long)]
    small: bool,
    /// Plant a bug; its seeds are searched until one finds it.
    #[arg(long, value_parser = parse_bug)]
    bug: Option<Bug>,
    /// Plant every bug in turn and tell which seed or directed schedule finds it.
    #[arg(long)]
    bugs: bool,
    /// The brokers' own controller appoints leaders, not a script.
    #[arg(long)]
    governed: bool,
    /// Brokers carry small appends of many partitions in one file.
    #[arg(long)]
    carries: bool,
    /// Part the network in every way of the directed schedules, for each seed; and an hour without
    /// any fault.
    #[arg(long)]
    schedules: bool,
    /// With --seed: only these faults strike, by number (`none`: none).
    #[arg(long)]
    faults: Option<String>,
    /// Print everything that happens.
    #[arg(long)]
    trace: bool,
    /// With --schedules: only the one of this number.
    #[arg(long)]
    number: Option<usize>,
    /// Do not make failing runs smaller.
    #[arg(long)]
    no_shrink: bool,
    /// Stop after this many failing seeds.
    #[arg(long, default_value_t = 10)]
    failures: usize,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
}

fn parse_bug(name: &str) -> Result<Bug, String> {
    Bug::by_name(name).ok_or_else(|| {
        let names: Vec<String> = Bug::all().into_iter().map(Bug::name).collect();
        format!("no such bug; there are {}", names.join(", "))
    })
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let scale = if arguments.small { Scale::Small } else { Scale::Large };
    let good = match run_of(&arguments) {
        _ if arguments.bugs => prove_all(scale, &arguments),
        _ if arguments.schedules => run_schedules(&arguments),
        Some(run) => run_one(&run),
        None => match arguments.bug {
            Some(bug) => prove(bug, scale, &arguments),
            None => sweep(scale, &arguments),
        },
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The run of one seed that a command line asks for, as a report prints it.
pub(crate) fn run_of(arguments: &Arguments) -> Option<Run> {
    let kept = arguments.faults.as_ref().map(|list| {
        list.split(',').filter_map(|number| number.trim().parse().ok()).collect::<Vec<usize>>()
    });
    let scale = if arguments.small { Scale::Small } else { Scale::Large };
    let Arguments { bug, governed, carries, trace: printed, .. } = *arguments;
    Some(Run { seed: arguments.seed?, scale, bug, kept, governed, carries, printed })
}

fn run_one(run: &Run) -> bool {
    let seed = run.seed;
    println!("{:#?}", Options::draw(seed, run.scale));
    for (number, planned) in run.faults().iter().enumerate() {
        println!("fault {number} at {} ms: {:?}", planned.at / 1_000, planned.fault);
    }
    let outcome = run.execute();
    println!(
        "seed {seed}: {} events, {} acked batches, {} ms simulated, trace {:016x}",
        outcome.event_count,
        outcome.acked_count,
        outcome.ended_at / 1_000,
        outcome.trace_hash
    );
    match &outcome.violation {
        None => true,
        Some(violation) => {
            println!("FAILED at {} ms: {violation}", outcome.ended_at / 1_000);
            false
        }
    }
}

/// Runs every directed schedule, and an hour without faults, for each seed.
fn run_schedules(arguments: &Arguments) -> bool {
    let mut failed = 0;
    let (first, count) = arguments.seed.map_or((arguments.start, arguments.seeds), |it| (it, 1));
    for seed in first..first + count {
        for (number, schedule) in Schedule::all().into_iter().enumerate() {
            let printed = arguments.trace && arguments.number == Some(number);
            if arguments.number.is_some_and(|only| only != number) {
                continue;
            }
            if let Err(violation) = schedule.run(seed, arguments.bug, printed) {
                failed += 1;
                println!("seed {seed} schedule {number}: {schedule}: {violation}");
            }
        }
        if arguments.number.is_none()
            && let Err(violation) = calm_hour(seed, 3)
        {
            failed += 1;
            println!("seed {seed}: an hour without faults: {violation}");
        }
    }
    println!("{failed} schedules failed");
    failed == 0
}

/// Runs many seeds, and makes the failing ones small.
fn sweep(scale: Scale, arguments: &Arguments) -> bool {
    let begun = Instant::now();
    let next = AtomicU64::new(arguments.start);
    let end = arguments.start + arguments.seeds;
    let events = AtomicU64::new(0);
    let acked = AtomicU64::new(0);
    let failed: Mutex<Vec<(Run, Outcome)>> = Mutex::default();
    let failures = || failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || failures().len() >= arguments.failures {
                        return;
                    }
                    let (governed, carries) = (arguments.governed, arguments.carries);
                    let run = Run { governed, carries, ..Run::new(seed, scale) };
                    let outcome = run.execute();
                    events.fetch_add(outcome.event_count, Ordering::Relaxed);
                    acked.fetch_add(outcome.acked_count as u64, Ordering::Relaxed);
                    if let Some(violation) = &outcome.violation {
                        println!("seed {seed} FAILED: {violation}\n  again: {run}");
                        failures().push((run, outcome));
                    }
                }
            });
        }
    });
    let took = begun.elapsed().as_secs_f64();
    let (events, acked) = (events.into_inner(), acked.into_inner());
    println!(
        "{} seeds, {events} events, {acked} acked batches in {took:.1} s: {:.0} events/s/thread",
        next.into_inner().min(end) - arguments.start,
        events as f64 / took / arguments.jobs.max(1) as f64
    );
    let failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !arguments.no_shrink {
        for (run, outcome) in &failed {
            report_small(run, outcome);
        }
    }
    failed.is_empty()
}

fn report_small(run: &Run, outcome: &Outcome) {
    let (small, outcome) = shrink(run, outcome);
    if let Some(violation) = &outcome.violation {
        println!("smallest of seed {}: {violation}", run.seed);
        for planned in small.faults() {
            println!("  at {} ms: {:?}", planned.at / 1_000, planned.fault);
        }
        println!("  again: {small}");
    }
}

fn prove_all(scale: Scale, arguments: &Arguments) -> bool {
    let mut all = true;
    for bug in Bug::all() {
        all &= prove(bug, scale, arguments);
    }
    all
}

/// Whether a planted bug is found.
fn prove(bug: Bug, scale: Scale, arguments: &Arguments) -> bool {
    let by_seed = find(bug, scale, arguments.start..arguments.start + arguments.seeds);
    let found = by_seed
        .and_then(|(seed, outcome)| Some((format!("seed {seed:4}"), outcome.violation?)))
        .or_else(|| find_by_schedule(bug));
    match found {
        Some((run, violation)) => {
            let what = violation.to_string();
            let first_line = what.lines().next().unwrap_or_default();
            println!("{:24} {run}  {first_line:.110}", bug.name());
            true
        }
        None => {
            println!("{:24} NOT FOUND within {} seeds", bug.name(), arguments.seeds);
            false
        }
    }
}

/// The first seed that finds a planted bug: one that breaks an invariant only because of it.
pub(crate) fn find(bug: Bug, scale: Scale, seeds: std::ops::Range<u64>) -> Option<(u64, Outcome)> {
    seeds.into_iter().find_map(|seed| {
        let (governed, carries) = (bug.is_of_controller(), bug.is_of_carrier());
        let clean = Run { governed, carries, ..Run::new(seed, scale) };
        let outcome = Run { bug: Some(bug), ..clean.clone() }.execute();
        let found = outcome.violation.is_some() && clean.execute().violation.is_none();
        found.then_some((seed, outcome))
    })
}

/// The first directed schedule that finds a planted bug of the controller.
fn find_by_schedule(bug: Bug) -> Option<(String, Violation)> {
    let lasting = (0..).zip(Schedule::all()).filter(|(_, schedule)| !schedule.flaps);
    lasting.take_while(|_| bug.is_of_controller()).find_map(|(number, schedule): (u32, _)| {
        let violation = schedule.run(1, Some(bug), false).err()?;
        schedule.run(1, None, false).is_ok().then(|| (format!("schedule {number}"), violation))
    })
}
