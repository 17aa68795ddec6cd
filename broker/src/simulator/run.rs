//! Running one seed, and reporting what came of it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use super::agenda::{Micros, SECOND};
use super::bug::{Bug, Plant};
use super::fault::{Planned, plan};
use super::options::{Options, Scale};
use super::violation::Violation;
use super::world::World;

/// Simulated time after which a run counts as endless.
const LONGEST: Micros = 600 * SECOND;

/// Events after which a run counts as endless.
const MOST_EVENTS: u64 = 20_000_000;

/// How a run is set up.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) seed: u64,
    pub(crate) scale: Scale,
    pub(crate) bug: Option<Bug>,
    /// Which of the seed's faults strike, by their number; `None`: all.
    pub(crate) kept: Option<Vec<usize>>,
    /// The brokers' own controller appoints leaders, not a script.
    pub(crate) governed: bool,
    /// Small appends are carried.
    pub(crate) carries: bool,
    pub(crate) printed: bool,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) event_count: u64,
    pub(crate) trace_hash: u64,
    pub(crate) acked_count: usize,
    /// Simulated time at the end.
    pub(crate) ended_at: Micros,
    pub(crate) violation: Option<Violation>,
}

impl Run {
    pub(crate) fn new(seed: u64, scale: Scale) -> Run {
        Run { seed, scale, bug: None, kept: None, governed: false, carries: false, printed: false }
    }

    /// Everything that goes wrong in this run.
    pub(crate) fn faults(&self) -> Vec<Planned> {
        let all = plan(self.seed, &Options::draw(self.seed, self.scale));
        match &self.kept {
            None => all,
            Some(kept) => kept.iter().filter_map(|index| all.get(*index).cloned()).collect(),
        }
    }

    /// Runs it. Nothing leaves this thread, and nothing outlasts the call.
    pub(crate) fn execute(&self) -> Outcome {
        quiet_panics();
        let _plant = Plant::new(self.bug);
        let mut outcome =
            Outcome { event_count: 0, trace_hash: 0, acked_count: 0, ended_at: 0, violation: None };
        CATCHING.set(true);
        let ran = catch_unwind(AssertUnwindSafe(|| {
            let mut world = World::new(self);
            let result = self.run_all(&mut world, &mut outcome);
            outcome.trace_hash = world.trace_hash();
            outcome.acked_count = world.history.acked_count();
            result
        }));
        CATCHING.set(false);
        outcome.violation = match ran {
            Ok(Ok(())) => None,
            Ok(Err(violation)) => Some(violation),
            Err(_) => Some(Violation::new("assertion", PANIC.take())),
        };
        outcome
    }

    fn run_all(&self, world: &mut World, outcome: &mut Outcome) -> Result<(), Violation> {
        while !world.is_over {
            world.step()?;
            outcome.event_count = world.event_count;
            outcome.ended_at = world.now;
            if world.now > LONGEST || world.event_count > MOST_EVENTS {
                return Err(Violation::new("simulator", "the run does not end"));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Run {
    /// The command that runs it again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "cargo run --release -p synod-broker --features simulator --bin synod-simulator --",
        )?;
        write!(f, " --seed {}", self.seed)?;
        if self.scale == Scale::Small {
            f.write_str(" --small")?;
        }
        if self.carries {
            f.write_str(" --carries")?;
        }
        if self.governed {
            f.write_str(" --governed")?;
        }
        if let Some(bug) = self.bug {
            write!(f, " --bug {}", bug.name())?;
        }
        if let Some(kept) = &self.kept {
            let kept: Vec<String> = kept.iter().map(ToString::to_string).collect();
            write!(
                f,
                " --faults {}",
                if kept.is_empty() { "none".into() } else { kept.join(",") }
            )?;
        }
        Ok(())
    }
}

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A failed assertion inside a run is a finding to be told like any other, not a message on stderr.
fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if CATCHING.get() {
                PANIC.replace(info.to_string());
            } else {
                usual(info);
            }
        }));
    });
}
