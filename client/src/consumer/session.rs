//! Fetch sessions (KIP-227): a leader remembers what it was asked for, so that a consumer of many
//! partitions names only those whose place has changed, and hears only of those that have news.

use std::collections::BTreeMap;

use synod_wire::ErrorCode;
use synod_wire::messages::fetch::FetchResponse;

use super::fetch::Asked;
use crate::cluster::TopicPartition;

/// Number of a request that names everything and opens a session.
const OPENING: i32 = 0;

/// Number of a request that ends its session.
pub(super) const ENDING: i32 = -1;

/// What one leader remembers of this consumer, as far as the consumer knows. There is never more
/// than one request under way, so both count alike.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// 0: none.
    id: i32,
    /// Number of the next request.
    next: i32,
    told: BTreeMap<TopicPartition, Place>,
}

/// Where the leader was told to read a partition: offset, leader epoch, epoch of the last batch.
type Place = (i64, i32, i32);

/// What a request has to say about its session.
#[derive(Debug)]
pub(super) struct Increment {
    pub(super) session_id: i32,
    pub(super) session_epoch: i32,
    pub(super) changed: Vec<Asked>,
    pub(super) forgotten: Vec<TopicPartition>,
}

impl Session {
    /// What the next request says, so that the leader reads just the partitions in `asked`.
    pub(super) fn next(&mut self, asked: &[Asked]) -> Increment {
        let place = |asked: &Asked| (asked.offset, asked.leader_epoch, asked.last_epoch);
        let wanted: BTreeMap<_, _> =
            asked.iter().map(|asked| (asked.partition.clone(), place(asked))).collect();
        let told = std::mem::take(&mut self.told);
        let is_opening = self.next == OPENING;
        let is_news =
            |asked: &&Asked| is_opening || told.get(&asked.partition) != Some(&place(asked));
        let changed = asked.iter().filter(is_news).cloned().collect();
        let gone = told.into_keys().filter(|partition| !wanted.contains_key(partition));
        let forgotten = if is_opening { Vec::new() } else { gone.collect() };
        self.told = wanted;
        let (session_id, session_epoch) = (self.id, self.next);
        Increment { session_id, session_epoch, changed, forgotten }
    }

    /// Takes note of an answer to the last request; `None`: there was none, and what the leader
    /// remembers is anybody's guess.
    pub(super) fn handle_answer(&mut self, answer: Option<&FetchResponse>) {
        match answer.map(|answer| (answer.error_code, answer.session_id)) {
            Some((ErrorCode::NONE, id)) if id != 0 && (self.next == OPENING || id == self.id) => {
                self.id = id;
                self.next = self.next.checked_add(1).unwrap_or(OPENING + 1);
            }
            // The leader has no room for a session, has dropped it, or mixes things up.
            Some((ErrorCode::NONE | ErrorCode::FETCH_SESSION_ID_NOT_FOUND, _)) => {
                *self = Self::default();
            }
            // Opening a new one under the old id also ends the old one.
            Some(_) | None => self.next = OPENING,
        }
    }

    /// The id to end the session with, if there is one.
    pub(super) fn open_id(&self) -> Option<i32> {
        (self.id != 0).then_some(self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(places: &[(i32, i64)]) -> Vec<Asked> {
        let asked = |&(partition, offset): &(i32, i64)| Asked {
            partition: TopicPartition::new("t", partition),
            offset,
            leader_epoch: 0,
            last_epoch: -1,
            shared_epoch: -1,
            generation: 0,
        };
        places.iter().map(asked).collect()
    }

    fn answer(error_code: ErrorCode, session_id: i32) -> FetchResponse {
        FetchResponse { error_code, session_id, ..FetchResponse::default() }
    }

    /// Session id and epoch, the partitions named, and those forgotten.
    fn told(session: &mut Session, places: &[(i32, i64)]) -> (i32, i32, Vec<i32>, Vec<i32>) {
        let next = session.next(&asked(places));
        let changed = next.changed.iter().map(|asked| asked.partition.partition).collect();
        let forgotten = next.forgotten.iter().map(|partition| partition.partition).collect();
        (next.session_id, next.session_epoch, changed, forgotten)
    }

    fn open() -> Session {
        let mut session = Session::default();
        assert_eq!(told(&mut session, &[(0, 5), (1, 5), (2, 5)]), (0, 0, vec![0, 1, 2], vec![]));
        session.handle_answer(Some(&answer(ErrorCode::NONE, 9)));
        session
    }

    #[test]
    fn only_what_changes_is_told() {
        let mut session = open();
        assert_eq!(told(&mut session, &[(0, 5), (1, 6), (2, 5)]), (9, 1, vec![1], vec![]));
        session.handle_answer(Some(&answer(ErrorCode::NONE, 9)));
        assert_eq!(told(&mut session, &[(1, 6), (3, 0)]), (9, 2, vec![3], vec![0, 2]));
        session.handle_answer(Some(&answer(ErrorCode::NONE, 9)));
        assert_eq!(told(&mut session, &[(0, 5), (1, 6), (3, 0)]), (9, 3, vec![0], vec![]));
    }

    #[test]
    fn whatever_goes_wrong_everything_is_told_again() {
        let all = [(0, 5), (1, 5), (2, 5)];
        let lost = ErrorCode::FETCH_SESSION_ID_NOT_FOUND;
        for (reply, id) in [
            (Some(answer(lost, 0)), 0),
            (Some(answer(ErrorCode::NONE, 0)), 0),
            (Some(answer(ErrorCode::NONE, 10)), 0),
            (Some(answer(ErrorCode::INVALID_FETCH_SESSION_EPOCH, 0)), 9),
            (Some(answer(ErrorCode::UNKNOWN_SERVER_ERROR, 9)), 9),
            (None, 9),
        ] {
            let mut session = open();
            session.next(&asked(&all));
            session.handle_answer(reply.as_ref());
            assert_eq!(told(&mut session, &all), (id, 0, vec![0, 1, 2], vec![]), "{reply:?}");
        }
    }

    #[test]
    fn a_leader_without_sessions_is_told_everything_each_time() {
        let mut session = Session::default();
        for _ in 0..3 {
            assert_eq!(told(&mut session, &[(0, 5)]), (0, 0, vec![0], vec![]));
            session.handle_answer(Some(&answer(ErrorCode::NONE, 0)));
        }
    }

    #[test]
    fn numbers_wrap_to_one() {
        let mut session = open();
        session.next = i32::MAX;
        session.handle_answer(Some(&answer(ErrorCode::NONE, 9)));
        assert_eq!(session.next, 1);
    }
}
