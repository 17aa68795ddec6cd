//! Other brokers' requests to the controller here: each is carried out once, however often it
//! comes.

use std::collections::BTreeMap;

use bytes::Bytes;
use synod_paxos::NodeId;

/// Requests that are known at a time; further ones are refused as busy.
const SERVED_REQUESTS: usize = 4096;

/// Larger answers are not kept for a request that comes again: its outcome is unknown then.
const KEPT_ANSWER_SIZE: usize = 64 << 10;

/// How long an answer is kept; longer than anybody repeats a request.
const KEPT_TICKS: u64 = 500;

#[derive(Debug)]
enum State {
    InProgress,
    Answered { tick: u64, body: Option<Bytes> },
}

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Carry it out.
    New,
    /// It is being carried out.
    InProgress,
    /// It was; this was the answer, if it is known still.
    Answered(Option<Bytes>),
    /// There is no room.
    Full,
}

/// What is known of requests in the round that this broker leads.
#[derive(Debug, Default)]
pub(super) struct Served {
    tick: u64,
    requests: BTreeMap<(NodeId, u64), State>,
}

impl Served {
    pub(super) fn handle_tick(&mut self) {
        self.tick += 1;
        if self.tick.is_multiple_of(KEPT_TICKS / 10) {
            let tick = self.tick;
            self.requests.retain(|_, state| match state {
                State::InProgress => true,
                State::Answered { tick: since, .. } => tick - *since < KEPT_TICKS,
            });
        }
    }

    /// A request arrives.
    pub(super) fn begin(&mut self, from: NodeId, id: u64) -> Known {
        match self.requests.get(&(from, id)) {
            Some(State::InProgress) => Known::InProgress,
            Some(State::Answered { body, .. }) => Known::Answered(body.clone()),
            None if self.requests.len() >= SERVED_REQUESTS => Known::Full,
            None => {
                self.requests.insert((from, id), State::InProgress);
                Known::New
            }
        }
    }

    /// The request was answered.
    pub(super) fn finish(&mut self, from: NodeId, id: u64, body: &Bytes) {
        if let Some(state) = self.requests.get_mut(&(from, id)) {
            let body = Some(body).filter(|body| body.len() <= KEPT_ANSWER_SIZE).cloned();
            *state = State::Answered { tick: self.tick, body };
        }
    }

    /// The request was not taken: it may come again as a new one.
    pub(super) fn forget(&mut self, from: NodeId, id: u64) {
        self.requests.remove(&(from, id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: NodeId = NodeId(2);

    #[test]
    fn a_request_is_carried_out_once() {
        let mut served = Served::default();
        let body = Bytes::from_static(b"answer");
        assert_eq!(served.begin(PEER, 1), Known::New);
        assert_eq!(served.begin(PEER, 1), Known::InProgress);
        assert_eq!(served.begin(NodeId(3), 1), Known::New, "another broker's number");
        served.finish(PEER, 1, &body);
        assert_eq!(served.begin(PEER, 1), Known::Answered(Some(body)));
        assert_eq!(served.begin(PEER, 2), Known::New);
        served.forget(PEER, 2);
        assert_eq!(served.begin(PEER, 2), Known::New);
        let large = Bytes::from(vec![0; KEPT_ANSWER_SIZE + 1]);
        served.finish(PEER, 2, &large);
        assert_eq!(served.begin(PEER, 2), Known::Answered(None));
    }

    #[test]
    fn answers_are_forgotten_in_time_and_there_is_only_so_much_room() {
        let mut served = Served::default();
        for id in 0..SERVED_REQUESTS as u64 {
            assert_eq!(served.begin(PEER, id), Known::New);
            served.finish(PEER, id, &Bytes::new());
        }
        assert_eq!(served.begin(PEER, 1 << 40), Known::Full);
        for _ in 0..2 * KEPT_TICKS {
            served.handle_tick();
        }
        assert_eq!(served.begin(PEER, 1 << 40), Known::New);
        assert_eq!(served.requests.len(), 1);
    }
}
