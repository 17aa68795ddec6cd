//! The one thing that the coordinator reads of members' metadata: which topics consumers subscribe
//! to. Everything else in there is opaque to it.

use std::collections::BTreeSet;

use bytes::Bytes;
use synod_wire::field::{Field, Version};
use synod_wire::{DecodeError, Reader, Str};

/// Type of the protocols that consumers use.
pub(super) const CONSUMER: &str = "consumer";

/// Topics in a consumer's subscription.
///
/// # Errors
/// The bytes are no subscription.
pub(super) fn subscribed_topics(metadata: &Bytes) -> Result<BTreeSet<Str>, DecodeError> {
    let version = Version { number: 0, flexible: false };
    let mut reader = Reader::new(metadata.clone());
    i16::read(&mut reader, version)?;
    let topics = Vec::<Str>::read(&mut reader, version)?;
    Ok(topics.iter().map(Str::detached).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_topics_of_any_version() {
        for version in [0u8, 3] {
            let mut bytes = vec![0, version, 0, 0, 0, 2, 0, 1, b'a', 0, 2, b'b', b'c'];
            bytes.extend(b"\xff\xff\xff\xffwhatever follows");
            let topics = subscribed_topics(&bytes.into()).unwrap();
            assert_eq!(topics, BTreeSet::from(["a".into(), "bc".into()]));
        }
    }

    #[test]
    fn what_is_no_subscription_is_an_error() {
        for bytes in [&b""[..], b"\0\0", b"\0\0\x7f\xff\xff\xff", b"\0\0\0\0\0\x01\0\x05a"] {
            assert!(subscribed_topics(&Bytes::from_static(bytes)).is_err(), "{bytes:?}");
        }
    }
}
