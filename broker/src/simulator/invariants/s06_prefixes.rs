//! S6: decided prefixes are equal, byte for byte. Checked when all is quiet.

use bytes::Bytes;
use synod_log::batch::BatchHeader;
use synod_log::key::PartitionKey;

use super::s01_one_value::OneValue;
use crate::simulator::violation::{Checked, Violation, demand};

pub(crate) const NAME: &str = "S6 equal prefixes";

/// Splits whole batches that lie back to back.
pub(crate) fn headers(mut bytes: Bytes) -> Result<Vec<BatchHeader>, Violation> {
    let mut headers = Vec::new();
    while !bytes.is_empty() {
        let header = BatchHeader::parse(&bytes)
            .map_err(|error| Violation::new(NAME, format!("a read gave no batch: {error}")))?;
        demand(NAME, header.size() <= bytes.len(), || "a read cut a batch".into())?;
        drop(bytes.split_to(header.size()));
        headers.push(header);
    }
    Ok(headers)
}

/// The decided bytes of two replicas, from the same offset on.
pub(crate) fn compare(
    key: PartitionKey,
    one: (impl std::fmt::Display, &[u8]),
    other: (impl std::fmt::Display, &[u8]),
) -> Checked {
    demand(NAME, one.1 == other.1, || {
        let at = one.1.iter().zip(other.1).position(|(a, b)| a != b);
        format!("{} and {} differ in {key} at byte {at:?}", one.0, other.0)
    })
}

/// A replica's whole log is the decided one.
pub(crate) fn check_end(
    decided: &OneValue,
    key: PartitionKey,
    who: impl std::fmt::Display + Copy,
    bytes: &Bytes,
) -> Checked {
    for header in headers(bytes.clone())? {
        decided.compare(who, key, &header)?;
    }
    Ok(())
}
