//! Who dials? For those between two brokers, who pass connections on.

use bytes::BytesMut;
use tokio_util::codec::Decoder;

use super::frame::FrameDecoder;
use super::hello::Hello;

/// What the first bytes of a connection tell about who dialed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialer {
    /// Not enough of them yet.
    NeedMore,
    /// This broker, as it says.
    Node(u32),
    /// No broker, or none of this version.
    NotOurs,
}

/// Reads the introduction with which every connection begins.
pub(crate) fn dialer_of(first: &[u8]) -> Dialer {
    match FrameDecoder::for_hello().decode(&mut BytesMut::from(first)) {
        Ok(None) => Dialer::NeedMore,
        Ok(Some(frame)) => match Hello::decode(&frame) {
            Ok(hello) => Dialer::Node(hello.from.node),
            Err(_) => Dialer::NotOurs,
        },
        Err(_) => Dialer::NotOurs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::hello::Introduction;
    use crate::peers::{Channel, Incarnation};

    #[test]
    fn a_broker_is_known_by_its_introduction_and_nobody_else_is() {
        let from = Introduction {
            node: 300,
            directory: [1; 16],
            incarnation: Incarnation { start: 1, random: [2; 16] },
            voters: "1@a:1".into(),
            cluster: None,
            members: vec![(300, [1; 16])],
        };
        let hello = Hello { from, to: 2, channel: Channel::Control };
        let mut bytes = hello.encode().expect("it is small").to_vec();
        for end in 0..bytes.len() {
            assert_eq!(dialer_of(&bytes[..end]), Dialer::NeedMore, "{end} bytes");
        }
        assert_eq!(dialer_of(&bytes), Dialer::Node(300));
        bytes.extend_from_slice(b"what comes next");
        assert_eq!(dialer_of(&bytes), Dialer::Node(300));
        assert_eq!(dialer_of(b"GET / HTTP/1.1\r\n\r\n"), Dialer::NotOurs);
        bytes[20] ^= 1;
        assert_eq!(dialer_of(&bytes), Dialer::NotOurs);
    }
}
