//! Incremental fetch sessions (KIP-227): the broker remembers what a client wants, so that neither
//! side repeats the list of partitions that did not change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use synod_wire::Str;

/// A session that was not used for this long may make room for a new one (Kafka's default).
const EVICTION_AGE: Duration = Duration::from_secs(120);

/// Session epoch of a request that ends its session, or wants none.
const FINAL_EPOCH: i32 = -1;
/// Session epoch of a request that opens a session.
const INITIAL_EPOCH: i32 = 0;

/// What a client wants from one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) topic: Str,
    pub(crate) partition: i32,
    pub(crate) fetch_offset: i64,
    pub(crate) max_size: i32,
    pub(crate) current_leader_epoch: i32,
    pub(crate) last_fetched_epoch: i32,
}

/// The views of a partition that an incremental response repeats only when they moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) high_watermark: i64,
    pub(crate) log_start_offset: i64,
}

/// One fetch request's part of a session: what to read, and how to answer.
#[derive(Debug)]
pub(crate) struct Turn {
    session: Option<Arc<Mutex<Session>>>,
    /// Session id for the response; 0 is "no session".
    pub(crate) session_id: i32,
    /// Whether partitions without news are left out of the response.
    pub(crate) incremental: bool,
    /// Partitions to read, in the order in which they are answered.
    pub(crate) wanted: Vec<Wanted>,
}

/// Why a request does not fit its session; both make the client start over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionError {
    NotFound,
    InvalidEpoch,
}

/// All fetch sessions of a broker.
#[derive(Debug)]
pub(crate) struct Sessions {
    capacity: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<i32, Arc<Mutex<Session>>>,
    next_id: i32,
}

#[derive(Debug)]
struct Session {
    /// The epoch that the next request must carry.
    next_epoch: i32,
    used: Instant,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    wanted: Wanted,
    told: Option<Told>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sessions {
    /// An empty table for at most `capacity` sessions.
    pub(crate) fn new(capacity: usize) -> Sessions {
        Sessions { capacity, table: Mutex::default() }
    }

    /// Takes one request into its session.
    ///
    /// # Errors
    /// [`SessionError`] for an unknown session or an epoch that is not the next one.
    pub(crate) fn begin(
        &self,
        session_id: i32,
        session_epoch: i32,
        wanted: Vec<Wanted>,
        forgotten: &[(Str, i32)],
        now: Instant,
    ) -> Result<Turn, SessionError> {
        if session_epoch == FINAL_EPOCH || session_epoch == INITIAL_EPOCH {
            if session_id != 0 {
                lock(&self.table).by_id.remove(&session_id);
            }
            let opened =
                if session_epoch == INITIAL_EPOCH { self.open(&wanted, now) } else { None };
            let (session_id, session) = match opened {
                Some((id, session)) => (id, Some(session)),
                None => (0, None),
            };
            return Ok(Turn { session, session_id, incremental: false, wanted });
        }
        let session =
            lock(&self.table).by_id.get(&session_id).cloned().ok_or(SessionError::NotFound)?;
        let wanted = {
            let mut session = lock(&session);
            if session.next_epoch != session_epoch {
                return Err(SessionError::InvalidEpoch);
            }
            session.next_epoch = session.next_epoch.checked_add(1).unwrap_or(1);
            session.used = now;
            session.update(wanted, forgotten);
            session.entries.iter().map(|entry| entry.wanted.clone()).collect()
        };
        Ok(Turn { session: Some(session), session_id, incremental: true, wanted })
    }

    fn open(&self, wanted: &[Wanted], now: Instant) -> Option<(i32, Arc<Mutex<Session>>)> {
        if wanted.is_empty() || self.capacity == 0 {
            return None;
        }
        let mut table = lock(&self.table);
        if table.by_id.len() >= self.capacity {
            let oldest = table.by_id.iter().map(|(&id, session)| (lock(session).used, id)).min();
            match oldest {
                Some((used, id)) if now.duration_since(used) >= EVICTION_AGE => {
                    table.by_id.remove(&id);
                }
                _ => return None,
            }
        }
        let id = table.free_id();
        let entries =
            wanted.iter().map(|wanted| Entry { wanted: wanted.clone(), told: None }).collect();
        let session = Arc::new(Mutex::new(Session { next_epoch: 1, used: now, entries }));
        table.by_id.insert(id, session.clone());
        Some((id, session))
    }
}

impl Table {
    fn free_id(&mut self) -> i32 {
        loop {
            self.next_id = self.next_id.checked_add(1).unwrap_or(1);
            if !self.by_id.contains_key(&self.next_id) {
                return self.next_id;
            }
        }
    }
}

impl Session {
    fn update(&mut self, wanted: Vec<Wanted>, forgotten: &[(Str, i32)]) {
        if !forgotten.is_empty() {
            self.entries.retain(|entry| {
                !forgotten.iter().any(|(topic, partition)| {
                    *partition == entry.wanted.partition && *topic == entry.wanted.topic
                })
            });
        }
        if wanted.is_empty() {
            return;
        }
        let mut places: HashMap<(Str, i32), usize> = self
            .entries
            .iter()
            .enumerate()
            .map(|(place, entry)| ((entry.wanted.topic.clone(), entry.wanted.partition), place))
            .collect();
        for wanted in wanted {
            let key = (wanted.topic.clone(), wanted.partition);
            match places.get(&key) {
                Some(&place) => self.entries[place].wanted = wanted,
                None => {
                    places.insert(key, self.entries.len());
                    self.entries.push(Entry { wanted, told: None });
                }
            }
        }
    }
}

impl Turn {
    /// Notes what the response tells of each partition, in the order of [`Turn::wanted`], and says
    /// which of them it has to contain. `news` is true where there are records or an error.
    ///
    /// Partitions with news go to the end of the session's list, so that one busy partition cannot
    /// starve those behind it.
    pub(crate) fn finish(&self, answers: &[(Told, bool)]) -> Vec<bool> {
        let Some(session) = &self.session else { return vec![true; answers.len()] };
        let mut session = lock(session);
        // A request that changed the session meanwhile has the later word on its partitions.
        let unchanged = session.entries.len() == answers.len();
        let mut included = Vec::with_capacity(answers.len());
        for (place, &(told, news)) in answers.iter().enumerate() {
            let entry = session.entries.get_mut(place).filter(|_| unchanged);
            let moved = entry.as_ref().is_none_or(|entry| entry.told != Some(told));
            included.push(!self.incremental || news || moved);
            if let Some(entry) = entry {
                entry.told = Some(told);
            }
        }
        if unchanged && answers.iter().any(|&(_, news)| news) {
            let mut news = answers.iter().map(|&(_, news)| news);
            let (busy, quiet): (Vec<Entry>, Vec<Entry>) = std::mem::take(&mut session.entries)
                .into_iter()
                .partition(|_| news.next().unwrap_or(false));
            session.entries = quiet;
            session.entries.extend(busy);
        }
        included
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(topic: &'static str, partition: i32, fetch_offset: i64) -> Wanted {
        Wanted {
            topic: Str::from(topic),
            partition,
            fetch_offset,
            max_size: 1000,
            current_leader_epoch: -1,
            last_fetched_epoch: -1,
        }
    }

    fn told(high_watermark: i64) -> Told {
        Told { high_watermark, log_start_offset: 0 }
    }

    fn places(turn: &Turn) -> Vec<(String, i32)> {
        turn.wanted.iter().map(|w| (w.topic.to_string(), w.partition)).collect()
    }

    #[test]
    fn a_session_repeats_only_what_moved_and_rotates_busy_partitions() {
        let (sessions, now) = (Sessions::new(10), Instant::now());
        let all = vec![wanted("a", 0, 0), wanted("a", 1, 0), wanted("b", 0, 0)];
        let first = sessions.begin(0, INITIAL_EPOCH, all, &[], now).expect("opens");
        assert!(first.session_id != 0 && !first.incremental);
        let included = first.finish(&[(told(1), true), (told(0), false), (told(0), false)]);
        assert_eq!(included, [true; 3]);

        let id = first.session_id;
        let second = sessions.begin(id, 1, vec![wanted("a", 0, 1)], &[], now).expect("goes on");
        assert_eq!(places(&second), [("a".into(), 1), ("b".into(), 0), ("a".into(), 0)]);
        assert_eq!(second.wanted[2].fetch_offset, 1);
        let included = second.finish(&[(told(0), false), (told(5), false), (told(1), false)]);
        assert_eq!(included, [false, true, false], "only the moved high watermark");

        let gone = [(Str::from("a"), 1)];
        let third = sessions.begin(id, 2, vec![wanted("c", 7, 0)], &gone, now).expect("goes on");
        assert_eq!(places(&third), [("b".into(), 0), ("a".into(), 0), ("c".into(), 7)]);
    }

    #[test]
    fn wrong_ids_and_epochs_are_refused_and_a_final_epoch_closes() {
        let (sessions, now) = (Sessions::new(10), Instant::now());
        let begin = |id, epoch| sessions.begin(id, epoch, vec![wanted("a", 0, 0)], &[], now);
        assert_eq!(begin(77, 1).expect_err("unknown"), SessionError::NotFound);
        let id = begin(0, INITIAL_EPOCH).expect("opens").session_id;
        assert_eq!(begin(id, 2).expect_err("skips one"), SessionError::InvalidEpoch);
        assert!(begin(id, 1).is_ok());
        assert_eq!(begin(id, 1).expect_err("repeats"), SessionError::InvalidEpoch);
        let closing = begin(id, FINAL_EPOCH).expect("closes");
        assert_eq!((closing.session_id, closing.incremental), (0, false));
        assert_eq!(begin(id, 2).expect_err("closed"), SessionError::NotFound);
    }

    #[test]
    fn a_full_table_gives_no_session_until_one_is_old() {
        let (sessions, now) = (Sessions::new(1), Instant::now());
        let open = |at| {
            let wanted = vec![wanted("a", 0, 0)];
            sessions.begin(0, INITIAL_EPOCH, wanted, &[], at).expect("answers").session_id
        };
        let first = open(now);
        assert_ne!(first, 0);
        assert_eq!(open(now), 0);
        let second = open(now + EVICTION_AGE);
        assert!(second != 0 && second != first);
    }
}
