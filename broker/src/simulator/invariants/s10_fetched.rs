//! S10: only decided bytes are fetched, their checksums right, in order and without a gap.

use synod_log::batch::{Batch, BatchHeader};
use synod_log::key::PartitionKey;

use super::s01_one_value::OneValue;
use crate::simulator::violation::{Checked, Violation, demand};

pub(crate) const NAME: &str = "S10 fetched is decided";

/// A consumer at `position` got `bytes`. Returns where it goes on.
pub(crate) fn check(
    decided: &OneValue,
    key: PartitionKey,
    position: u64,
    bytes: bytes::Bytes,
) -> Result<u64, Violation> {
    let mut rest = bytes;
    let mut position = position;
    while !rest.is_empty() {
        let (batch, after) = Batch::parse(rest)
            .map_err(|error| Violation::new(NAME, format!("fetched no batch: {error}")))?;
        check_batch(decided, key, position, &batch)?;
        position = batch.end_offset();
        rest = after;
    }
    Ok(position)
}

fn check_batch(decided: &OneValue, key: PartitionKey, position: u64, batch: &Batch) -> Checked {
    let header: &BatchHeader = batch.header();
    let (base, end) = (header.base_offset(), header.end_offset());
    demand(NAME, base <= position && position < end, || {
        format!("a consumer of {key} at {position} got {base}..{end}")
    })?;
    let sum = batch.verify_crc();
    demand(NAME, sum.is_ok(), || format!("fetched {header:?} of {key}: {sum:?}"))?;
    decided.compare("a consumer", key, header)
}
