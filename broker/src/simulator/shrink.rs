//! Making a failing run smaller: leaves out faults for as long as it still fails in the same way.

use super::run::{Outcome, Run};

/// Runs that shrinking may take.
const MOST_RUNS: usize = 200;

/// The smallest failing run that was found, and how it failed.
pub(crate) fn shrink(run: &Run, outcome: &Outcome) -> (Run, Outcome) {
    let Some(violation) = &outcome.violation else { return (run.clone(), outcome.clone()) };
    let invariant = violation.invariant;
    let mut best = (run.clone(), outcome.clone());
    let count = Run { kept: None, ..run.clone() }.faults().len();
    let mut kept: Vec<usize> = run.kept.clone().unwrap_or_else(|| (0..count).collect());
    let mut runs = 0;
    let mut size = kept.len().div_ceil(2).max(1);
    while runs < MOST_RUNS {
        let mut smaller = false;
        let mut from = 0;
        while from < kept.len() && runs < MOST_RUNS {
            let mut fewer = kept.clone();
            fewer.drain(from..(from + size).min(kept.len()));
            let candidate = Run { kept: Some(fewer.clone()), printed: false, ..run.clone() };
            runs += 1;
            let outcome = candidate.execute();
            if outcome.violation.as_ref().is_some_and(|v| v.invariant == invariant) {
                kept = fewer;
                best = (candidate, outcome);
                smaller = true;
            } else {
                from += size;
            }
        }
        if size == 1 && !smaller {
            break;
        }
        size = (size / 2).max(1);
    }
    best
}
