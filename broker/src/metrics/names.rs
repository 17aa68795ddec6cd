//! Kafka's names of API keys and error codes, as label values.
//!
//! A number without a name keeps its number, so that no two of them share a label.

use synod_wire::{ApiKey, ErrorCode};

/// The label value of an API key.
pub(super) fn api_name(api_key: usize) -> String {
    match i16::try_from(api_key).map(|key| ApiKey(key).name()) {
        Ok(name) if name != "Unknown" => name.to_owned(),
        _ => format!("Unknown_{api_key}"),
    }
}

/// The label value of an error code.
pub(super) fn error_name(error_code: i16) -> String {
    match ErrorCode::from_code(error_code).name() {
        "UNKNOWN" => format!("UNKNOWN_{error_code}"),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_kafkas_and_never_shared() {
        assert_eq!(api_name(0), "Produce");
        assert_eq!(api_name(127), "Unknown_127");
        assert_eq!(error_name(3), "UNKNOWN_TOPIC_OR_PARTITION");
        assert_eq!(error_name(190), "UNKNOWN_190");
        assert_eq!((0..128).map(api_name).collect::<BTreeSet<_>>().len(), 128);
        assert_eq!((-1..191).map(error_name).collect::<BTreeSet<_>>().len(), 192);
    }
}
