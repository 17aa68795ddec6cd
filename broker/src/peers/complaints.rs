//! Saying in the log what is wrong with a peer, without flooding it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::limits::COMPLAINT_INTERVAL;

/// Most subjects that are remembered; with more of them the log may say a thing once too often.
const SUBJECTS: usize = 256;

/// What was said about whom, and when. The same complaint is repeated seldom; a new one is told at
/// once.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<BTreeMap<String, (Instant, String)>>);

impl Complaints {
    /// Whether `text` about `subject` is worth a line now.
    pub(super) fn is_due(&self, subject: &str, text: &str) -> bool {
        let now = Instant::now();
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, last)) = said.get(subject)
            && last == text
            && now.duration_since(*at) < COMPLAINT_INTERVAL
        {
            return false;
        }
        if said.len() >= SUBJECTS && !said.contains_key(subject) {
            said.clear();
        }
        said.insert(subject.to_owned(), (now, text.to_owned()));
        true
    }

    /// All is well with `subject` now: the next complaint is news.
    pub(super) fn settle(&self, subject: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(subject);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_and_news_at_once() {
        let complaints = Complaints::default();
        assert!(complaints.is_due("node 2", "refused"));
        assert!(!complaints.is_due("node 2", "refused"));
        assert!(complaints.is_due("node 3", "refused"));
        assert!(complaints.is_due("node 2", "another thing"));
        complaints.settle("node 2");
        assert!(complaints.is_due("node 2", "another thing"));
        for stranger in 0..10 * SUBJECTS {
            complaints.is_due(&stranger.to_string(), "garbage");
        }
        assert!(complaints.0.lock().expect("sound").len() <= SUBJECTS);
    }
}
