//! S16: a definite error is definite. A batch all of whose attempts were refused is nowhere.

use crate::simulator::history::History;
use crate::simulator::violation::{Checked, demand};

pub(crate) const NAME: &str = "S16 definite errors";

/// At the end, when every attempt was answered or never will be.
pub(crate) fn check_end(history: &History) -> Checked {
    for (id, batch) in history.batches() {
        let Some(offset) = batch.decided_at else { continue };
        demand(NAME, batch.denied < batch.attempts, || {
            format!("batch {id} of {} was refused and is decided at {offset}", batch.key)
        })?;
    }
    Ok(())
}
