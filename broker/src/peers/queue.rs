//! What waits to be sent over one link: bounded in count and bytes, and never waited for.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::message::{BrokerHeartbeat, ControlMessage};
use crate::limits::{LINK_QUEUE_COUNT, LINK_QUEUE_SIZE};

/// Messages on their way to one peer. Messages may be lost anywhere between two brokers, so what
/// does not fit, or finds no connection, is simply dropped: it would be stale when it arrives.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    connected: bool,
    messages: VecDeque<ControlMessage>,
    size: usize,
    /// The latest sign of life alone is worth sending, and it passes all else.
    heartbeat: Option<BrokerHeartbeat>,
}

impl Queue {
    /// Queues a message; false if it is dropped.
    pub(super) fn push(&self, message: ControlMessage) -> bool {
        let mut state = self.state();
        if !state.connected {
            return false;
        }
        match message {
            ControlMessage::Heartbeat(heartbeat) => state.heartbeat = Some(heartbeat),
            message => {
                let cost = message.cost();
                // A message that is alone may be of any size: it could never be sent otherwise.
                let fits = state.size == 0 || state.size + cost <= LINK_QUEUE_SIZE;
                if !fits || state.messages.len() >= LINK_QUEUE_COUNT {
                    return false;
                }
                state.size += cost;
                state.messages.push_back(message);
            }
        }
        drop(state);
        self.filled.notify_one();
        true
    }

    /// Waits until there is something to send. May be cancelled.
    pub(super) async fn filled(&self) {
        while self.state().is_empty() {
            self.filled.notified().await;
        }
    }

    /// Moves messages to the end of `taken`, in order, until they cost more than `size` in all.
    pub(super) fn take(&self, taken: &mut Vec<ControlMessage>, size: usize) {
        let mut state = self.state();
        taken.extend(state.heartbeat.take().map(ControlMessage::Heartbeat));
        let mut total = 0;
        while total <= size
            && let Some(message) = state.messages.pop_front()
        {
            let cost = message.cost();
            total += cost;
            state.size -= cost;
            taken.push(message);
        }
        assert!(!state.messages.is_empty() || state.size == 0, "sizes add up");
    }

    /// From now on messages are queued.
    pub(super) fn connected(&self) {
        self.state().connected = true;
    }

    /// The connection is gone, and with it everything that waited for it; says how many messages.
    pub(super) fn disconnected(&self) -> usize {
        let messages = {
            let mut state = self.state();
            state.connected = false;
            state.size = 0;
            state.heartbeat = None;
            std::mem::take(&mut state.messages)
        };
        messages.len()
    }

    /// Bytes that wait, about.
    pub(super) fn size(&self) -> usize {
        self.state().size
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.heartbeat.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn request(id: u64, size: usize) -> ControlMessage {
        ControlMessage::Request { id, body: Bytes::from(vec![0; size]) }
    }

    fn heartbeat(metadata_end: u64) -> ControlMessage {
        ControlMessage::Heartbeat(BrokerHeartbeat {
            election: synod_paxos::Heartbeat {
                round: 1,
                quorum: false,
                leads: None,
                follows: None,
            },
            hears: Vec::new(),
            linked: Vec::new(),
            incarnation: super::super::Incarnation::default(),
            metadata_end,
        })
    }

    fn take_all(queue: &Queue) -> Vec<ControlMessage> {
        let mut taken = Vec::new();
        queue.take(&mut taken, usize::MAX - 1);
        taken
    }

    #[test]
    fn nothing_waits_for_a_connection_that_is_not_there() {
        let queue = Queue::default();
        assert!(!queue.push(request(1, 10)));
        queue.connected();
        assert!(queue.push(request(2, 10)) && queue.push(heartbeat(1)));
        assert_eq!(queue.disconnected(), 1);
        assert_eq!(queue.size(), 0);
        queue.connected();
        assert_eq!(take_all(&queue), []);
    }

    #[test]
    fn count_and_bytes_are_bounded_and_the_newest_is_dropped() {
        let queue = Queue::default();
        queue.connected();
        assert!(queue.push(request(0, 2 * LINK_QUEUE_SIZE)), "alone it may be large");
        assert!(!queue.push(request(1, 1)));
        assert!(queue.push(heartbeat(1)), "a sign of life always fits");
        assert_eq!(take_all(&queue).len(), 2);
        let accepted = (0..2 * LINK_QUEUE_COUNT as u64).filter(|id| queue.push(request(*id, 0)));
        assert_eq!(accepted.count(), LINK_QUEUE_COUNT);
        assert!(queue.size() <= LINK_QUEUE_SIZE);
        assert_eq!(take_all(&queue)[0], request(0, 0), "the oldest stays");
    }

    #[test]
    fn order_is_kept_and_the_latest_heartbeat_passes_all() {
        let queue = Queue::default();
        queue.connected();
        for message in [request(1, 5), heartbeat(1), request(2, 5), heartbeat(2), request(3, 5)] {
            assert!(queue.push(message));
        }
        let mut taken = Vec::new();
        queue.take(&mut taken, request(1, 5).cost());
        assert_eq!(taken, [heartbeat(2), request(1, 5), request(2, 5)]);
        assert_eq!(take_all(&queue), [request(3, 5)]);
    }

    #[tokio::test]
    async fn a_waiter_is_woken_by_what_is_queued() {
        let queue = std::sync::Arc::new(Queue::default());
        queue.connected();
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { queue.filled().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        assert!(queue.push(request(1, 1)));
        waiting.await.expect("woken");
    }
}
