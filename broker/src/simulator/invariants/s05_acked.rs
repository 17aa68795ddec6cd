//! S5: no acked record is lost. Checked when a broker acks, and at the end on every replica.

use synod_log::key::PartitionKey;

use super::s01_one_value::OneValue;
use crate::simulator::history::History;
use crate::simulator::violation::{Checked, demand};

pub(crate) const NAME: &str = "S5 acked is kept";

/// A broker answers that batch `id` stands at `offset` for ever.
pub(crate) fn acked(history: &History, decided: &OneValue, id: u64, offset: u64) -> Checked {
    let Some(batch) = history.batch(id) else { return Ok(()) };
    let header = decided.partition(batch.key).and_then(|decided| decided.at(offset));
    let same = header
        .is_some_and(|header| header.crc() == batch.crc && header.offset_count() == batch.count);
    demand(NAME, same, || {
        let end = decided.end(batch.key);
        format!(
            "batch {id} of {} is acked at {offset}; decided there is {header:?} (end {end})",
            batch.key
        )
    })?;
    let before = batch.acked_at;
    demand(NAME, before.is_none_or(|before| before == offset || !batch.at_most_once), || {
        format!("batch {id} of {} is acked at {offset}, before at {before:?}", batch.key)
    })
}

/// At the end a replica's decided log holds every acked batch that was not deleted.
pub(crate) fn check_end(
    history: &History,
    key: PartitionKey,
    who: impl std::fmt::Display,
    start: u64,
    holds: impl Fn(u64) -> bool,
) -> Checked {
    for (id, batch) in history.batches().filter(|(_, batch)| batch.key == key) {
        let Some(offset) = batch.acked_at.filter(|offset| *offset >= start) else { continue };
        demand(NAME, holds(offset), || format!("{who} lost batch {id} of {key} at {offset}"))?;
    }
    Ok(())
}
