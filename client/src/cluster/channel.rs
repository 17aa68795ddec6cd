//! Connections by broker and purpose.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use synod_wire::ErrorCode;

use super::Cluster;
use crate::{Connection, Error};

/// The channel of single questions and changes, shared by all.
pub(super) const SHARED: u64 = 0;

/// Place of a connection, with the address it leads to.
pub(super) type Slot = Arc<tokio::sync::Mutex<Option<(String, Connection)>>>;

/// Connections, one to each broker, that one part of the client has to itself.
///
/// Answers come in the order of the requests. So what may take long, such as a fetch that waits for
/// records, must not stand in front of what is wanted at once.
///
/// Clones share them; they end with the last clone.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    own: Arc<Own>,
}

#[derive(Debug)]
struct Own {
    cluster: Cluster,
    number: u64,
}

impl Channel {
    /// A connection to the broker with this id, opened if there is none.
    pub(crate) async fn broker(&self, id: i32) -> Result<Connection, Error> {
        self.own.cluster.broker_on(self.own.number, id).await
    }

    /// Makes the next request to the broker open a new connection; this one has kept silent.
    pub(crate) fn discard(&self, id: i32, silent: &Connection) {
        self.own.cluster.discard(self.own.number, id, silent);
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.cluster.state().slots.retain(|(_, channel), _| *channel != self.number);
    }
}

impl Cluster {
    /// New connections for one part of the client.
    pub(crate) fn channel(&self) -> Channel {
        let number = self.inner.next_channel.fetch_add(1, Ordering::Relaxed);
        Channel { own: Arc::new(Own { cluster: self.clone(), number }) }
    }

    /// A connection to the broker with this id, opened if there is none. It is shared by all that
    /// ask for it.
    ///
    /// ```no_run
    /// use synod_client::wire::messages::list_groups::ListGroupsRequest;
    /// # async fn example(cluster: synod_client::Cluster) -> Result<(), synod_client::Error> {
    /// let answer = cluster.broker(1).await?.send(&ListGroupsRequest::default()).await?;
    /// println!("broker 1 coordinates {} groups", answer.groups.len());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Connection::open`]; [`Error::Broker`] when the cluster has no such broker.
    pub async fn broker(&self, id: i32) -> Result<Connection, Error> {
        self.broker_on(SHARED, id).await
    }

    async fn broker_on(&self, channel: u64, id: i32) -> Result<Connection, Error> {
        let (slot, address) = {
            let mut state = self.state();
            let Some(broker) = state.metadata.broker(id) else {
                let code = ErrorCode::BROKER_NOT_AVAILABLE;
                return Err(Error::broker(code, format!("broker {id}"), None));
            };
            let address = broker.address();
            (state.slots.entry((id, channel)).or_default().clone(), address)
        };
        let mut slot = slot.lock().await;
        match &*slot {
            Some((to, connection)) if *to == address && !connection.is_closed() => {
                Ok(connection.clone())
            }
            _ => {
                *slot = None;
                let connection = Connection::open(&address, &self.inner.config).await?;
                *slot = Some((address, connection.clone()));
                Ok(connection)
            }
        }
    }

    fn discard(&self, channel: u64, id: i32, silent: &Connection) {
        let mut state = self.state();
        let is_it = state.slots.get(&(id, channel)).is_some_and(|slot| {
            let open = slot.try_lock();
            open.is_ok_and(|open| open.as_ref().is_some_and(|(_, known)| known.is_same(silent)))
        });
        if is_it {
            state.slots.remove(&(id, channel));
        }
    }

    /// The shared connections that are open, and the one over which the cluster was found.
    pub(super) fn open_connections(&self) -> Vec<(Option<i32>, Connection)> {
        let state = self.state();
        let shared = state.slots.iter().filter(|((_, channel), _)| *channel == SHARED);
        let open = shared.filter_map(|((id, _), slot)| {
            // Taken: someone is connecting, so there is none yet.
            let open = slot.try_lock().ok()?;
            Some((Some(*id), open.as_ref()?.1.clone()))
        });
        let seed = state.seed.iter().map(|seed| (None, seed.clone()));
        open.chain(seed).filter(|(_, connection)| !connection.is_closed()).collect()
    }
}
