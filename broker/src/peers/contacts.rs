//! When each peer was heard last.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use synod_paxos::NodeId;

/// When a heartbeat of each peer arrived last, by the monotonic clock. Written where heartbeats
/// arrive, read by all shards without a lock. Nothing here is needed for safety.
#[derive(Debug)]
pub(crate) struct Contacts {
    origin: Instant,
    /// Microseconds after `origin`, plus one; 0 = never.
    heard: Box<[(NodeId, AtomicU64)]>,
}

impl Contacts {
    /// Nobody of `peers` has been heard yet.
    pub(crate) fn new(peers: impl IntoIterator<Item = NodeId>) -> Contacts {
        let heard = peers.into_iter().map(|node| (node, AtomicU64::new(0))).collect();
        Contacts { origin: Instant::now(), heard }
    }

    /// Notes that a heartbeat of `node` arrived now. Strangers are not noted.
    pub(crate) fn note(&self, node: NodeId) {
        if let Some(heard) = self.of(node) {
            heard.fetch_max(self.stamp(Instant::now()), Relaxed);
        }
    }

    /// Whether a heartbeat of `node` arrived at or after `instant`.
    pub(crate) fn heard_since(&self, node: NodeId, instant: Instant) -> bool {
        self.of(node).is_some_and(|heard| heard.load(Relaxed) >= self.stamp(instant))
    }

    fn of(&self, node: NodeId) -> Option<&AtomicU64> {
        self.heard.iter().find(|(peer, _)| *peer == node).map(|(_, heard)| heard)
    }

    fn stamp(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.origin).as_micros();
        u64::try_from(since).unwrap_or(u64::MAX - 1) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_peer_is_heard_from_the_note_on() {
        let (a, b, stranger) = (NodeId(2), NodeId(3), NodeId(4));
        let contacts = Contacts::new([a, b]);
        let before = Instant::now();
        assert!(!contacts.heard_since(a, before));
        contacts.note(a);
        contacts.note(stranger);
        assert!(contacts.heard_since(a, before));
        let later = Instant::now() + Duration::from_millis(1);
        assert!(!contacts.heard_since(a, later));
        assert!(!contacts.heard_since(b, before), "another one's note");
        assert!(!contacts.heard_since(stranger, before), "not a peer");
    }
}
