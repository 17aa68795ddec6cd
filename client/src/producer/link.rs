//! The way to one broker: its connection, and what is under way on it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::accumulator::Key;
use crate::backoff::Backoff;
use crate::cluster::Metadata;
use crate::{Connection, Error};

/// What a silent broker makes the sender do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Suspicion {
    /// Nothing before this time, unless something happens.
    No(Option<Instant>),
    /// Ask the cluster who leads the partitions now, and look again at this time.
    Ask(Instant),
    /// What is under way will not be answered by a leader: others lead now.
    Abandon,
}

pub(super) struct Link {
    pub(super) connection: Option<Connection>,
    /// Since when a connection is being opened.
    connecting_since: Option<Instant>,
    /// The partitions of each request under way.
    flights: BTreeMap<u64, Vec<Key>>,
    next_flight: u64,
    /// Fails all that is under way when it is cancelled.
    abandoned: CancellationToken,
    /// The cluster is asked again about a silent broker after this time.
    ask_at: Option<Instant>,
    pub(super) not_before: Option<Instant>,
    backoff: Backoff,
}

impl Link {
    pub(super) fn new(backoff: Backoff) -> Self {
        Self {
            connection: None,
            connecting_since: None,
            flights: BTreeMap::new(),
            next_flight: 0,
            abandoned: CancellationToken::new(),
            ask_at: None,
            not_before: None,
            backoff,
        }
    }

    /// The connection, if it can take another request.
    pub(super) fn usable(&self, max_in_flight: usize) -> Option<&Connection> {
        let open = self.connection.as_ref().filter(|connection| !connection.is_closed())?;
        (self.flights.len() < max_in_flight).then_some(open)
    }

    pub(super) fn is_connecting(&self) -> bool {
        self.connecting_since.is_some()
    }

    pub(super) fn handle_connecting(&mut self, now: Instant) {
        self.connecting_since = Some(now);
    }

    pub(super) fn handle_connected(&mut self, result: Result<Connection, Error>, now: Instant) {
        self.connecting_since = None;
        self.ask_at = None;
        match result {
            Ok(connection) => {
                self.connection = Some(connection);
                self.not_before = None;
                self.backoff.reset();
            }
            Err(_) => self.not_before = Some(now + self.backoff.next()),
        }
    }

    /// A request with these partitions is on its way. Returns its number, and what ends the wait
    /// for its answer early.
    pub(super) fn handle_sent(&mut self, partitions: Vec<Key>) -> (u64, CancellationToken) {
        let number = self.next_flight;
        self.next_flight += 1;
        self.flights.insert(number, partitions);
        (number, self.abandoned.clone())
    }

    pub(super) fn handle_answered(&mut self, flight: u64) {
        self.flights.remove(&flight);
        self.ask_at = None;
    }

    /// Looks whether the broker keeps us waiting for longer than `after`, and why that may be.
    pub(super) fn suspicion(
        &mut self,
        metadata: &Metadata,
        broker: i32,
        after: Duration,
        now: Instant,
    ) -> Suspicion {
        let silence = match (&self.connection, self.connecting_since) {
            (_, Some(since)) => Some(now.saturating_duration_since(since)),
            (Some(connection), None) if !self.flights.is_empty() => connection.silence(),
            _ => None,
        };
        let Some(silence) = silence else { return Suspicion::No(None) };
        if silence < after {
            return Suspicion::No(Some(now + (after - silence)));
        }
        let mut led = self.flights.values().flatten().map(|key| metadata.leader(&key.0, key.1));
        if led.any(|leader| leader.is_some_and(|leader| leader != broker)) {
            return Suspicion::Abandon;
        }
        match self.ask_at {
            Some(at) if at > now => Suspicion::No(Some(at)),
            _ => {
                let at = now + after / 2;
                self.ask_at = Some(at);
                Suspicion::Ask(at)
            }
        }
    }

    /// Fails all that is under way. Returns the connection, which must not be used any more.
    pub(super) fn abandon(&mut self) -> Option<Connection> {
        std::mem::take(&mut self.abandoned).cancel();
        self.connection.take()
    }
}
