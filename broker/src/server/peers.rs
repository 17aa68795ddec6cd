//! The port for other brokers.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

/// Closes every connection at once: a broker that is its own cluster has no peers. A misdirected
/// client so gets a quick end instead of a wait, and the log says why.
pub(super) async fn refuse_all(listener: TcpListener, mut stopping: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                tracing::warn!(%peer, "connection to the peer port: this broker has no peers");
                drop(socket);
            }
            // Out of descriptors, most likely: trying again at once would only spin.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
