//! Counters of the connections to other brokers.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::encode::{Encoder, Kind, label};
use super::{Counter, Gauge, Metrics};

/// Counters of one connection to a peer, over all its lives.
#[derive(Debug, Default)]
pub struct LinkMetrics {
    /// 1 while the connection stands.
    pub connected: Gauge,
    /// How often the connection was made.
    pub connections: Counter,
    /// Frames that were sent.
    pub frames: Counter,
    /// Bytes that wait to be sent.
    pub queued_size: Gauge,
    /// Messages dropped for want of a connection or of room.
    pub dropped: Counter,
}

/// The links by peer and channel.
pub(super) type Links = RwLock<BTreeMap<(u32, String), Arc<LinkMetrics>>>;

impl Metrics {
    /// The counters of the link to a peer on a channel, made at the first call.
    pub fn link(&self, peer: u32, channel: &str) -> Arc<LinkMetrics> {
        let mut links = self.links.write().unwrap_or_else(PoisonError::into_inner);
        links.entry((peer, channel.to_owned())).or_default().clone()
    }

    pub(super) fn links(&self, out: &mut Encoder) {
        let links = self.links.read().unwrap_or_else(PoisonError::into_inner);
        if links.is_empty() {
            return;
        }
        let links: Vec<(String, &LinkMetrics)> = links
            .iter()
            .map(|((peer, channel), link)| {
                let labels = [label("peer", &peer.to_string()), label("channel", channel)];
                (labels.join(","), &**link)
            })
            .collect();
        type Pick = fn(&LinkMetrics) -> i64;
        let families: [(&str, Kind, &str, Pick); 5] = [
            (
                "synod_peer_connected",
                Kind::Gauge,
                "Whether the connection to a peer stands.",
                |link| link.connected.value(),
            ),
            (
                "synod_peer_connections_total",
                Kind::Counter,
                "How often the connection to a peer was made.",
                |link| link.connections.value() as i64,
            ),
            (
                "synod_peer_sent_frames_total",
                Kind::Counter,
                "Frames sent to a peer; each holds the messages of one turn.",
                |link| link.frames.value() as i64,
            ),
            (
                "synod_peer_queued_bytes",
                Kind::Gauge,
                "Bytes that wait to be sent to a peer.",
                |link| link.queued_size.value(),
            ),
            (
                "synod_peer_dropped_messages_total",
                Kind::Counter,
                "Messages to a peer dropped for want of a connection or of room.",
                |link| link.dropped.value() as i64,
            ),
        ];
        for (name, kind, help, pick) in families {
            out.family(name, kind, help);
            for (labels, link) in &links {
                out.sample(labels, pick(link));
            }
        }
        out.single(
            "synod_peer_frames_refused_total",
            Kind::Counter,
            "Frames on the peer port that made no sense; each closed its connection.",
            self.peer_frames_refused.value(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_told_apart_and_absent_without_peers() {
        let metrics = Metrics::new();
        assert!(!metrics.exposition().contains("synod_peer"));
        metrics.link(2, "control").connected.set(1);
        metrics.link(2, "control").connections.add(3);
        metrics.link(3, "shard 0").dropped.add(7);
        let text = metrics.exposition();
        for line in [
            r#"synod_peer_connected{peer="2",channel="control"} 1"#,
            r#"synod_peer_connected{peer="3",channel="shard 0"} 0"#,
            r#"synod_peer_connections_total{peer="2",channel="control"} 3"#,
            r#"synod_peer_dropped_messages_total{peer="3",channel="shard 0"} 7"#,
            "synod_peer_frames_refused_total 0",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
    }
}
