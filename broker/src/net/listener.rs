//! Accepting connections and handing them to shards.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::metrics::Metrics;

/// A client's socket on its way to the shard that will serve it.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) socket: std::net::TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) slot: ConnectionSlot,
}

/// Counts connections, in all and by address, and bounds both.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionSlots {
    total_limit: usize,
    address_limit: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection's place in [`ConnectionSlots`], given back on drop.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    address: IpAddr,
    taken: Arc<Mutex<Taken>>,
}

impl ConnectionSlots {
    pub(crate) fn new(total_limit: usize, address_limit: usize) -> ConnectionSlots {
        ConnectionSlots { total_limit, address_limit, taken: Arc::default() }
    }

    /// A place for one more connection from `address`, unless a bound is reached.
    fn take(&self, address: IpAddr) -> Option<ConnectionSlot> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let from_address = taken.by_address.get(&address).copied().unwrap_or(0);
        if taken.total >= self.total_limit || from_address >= self.address_limit {
            return None;
        }
        taken.total += 1;
        taken.by_address.insert(address, from_address + 1);
        Some(ConnectionSlot { address, taken: self.taken.clone() })
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total -= 1;
        if let Some(count) = taken.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

/// Accepts until `stopping`, spreading connections evenly over the shards.
pub(crate) async fn accept_loop(
    listener: TcpListener,
    slots: ConnectionSlots,
    shards: Vec<mpsc::Sender<Accepted>>,
    metrics: Arc<Metrics>,
    mut stopping: watch::Receiver<bool>,
) {
    for turn in 0usize.. {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                let Some(slot) = slots.take(peer.ip()) else {
                    metrics.connections.refused.add(1);
                    tracing::warn!(%peer, "too many connections: closed at once");
                    continue;
                };
                let Ok(socket) = prepare(socket) else { continue };
                let shard = &shards[turn % shards.len()];
                if shard.send(Accepted { socket, peer, slot }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // Out of descriptors, most likely: trying again at once would only spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Detaches a socket from this runtime, so that another one can take it over.
fn prepare(socket: tokio::net::TcpStream) -> io::Result<std::net::TcpStream> {
    socket.set_nodelay(true)?;
    socket.into_std()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_bound_all_connections_and_those_of_one_address() {
        let slots = ConnectionSlots::new(3, 2);
        let (a, b) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let first = slots.take(a).expect("free");
        let _second = slots.take(a).expect("free");
        assert!(slots.take(a).is_none(), "two of one address");
        let _third = slots.take(b).expect("free");
        assert!(slots.take(b).is_none(), "three in all");
        drop(first);
        assert!(slots.take(b).is_some());
    }
}
