//! Retention: dropping old segments by age and by size.

use std::sync::Arc;

use crate::log::Log;
use crate::log_error::{LogError, LogResult};
use crate::segment::Segment;

impl Log {
    /// Drops the oldest segments that `retention_ms` or `retention_size` no longer asks for, and
    /// returns the new start if it moved. Only what lies below `upto`, the decided end, and is
    /// settled is dropped. `now_ms` is wall time.
    ///
    /// A segment's age is that of its greatest timestamp. The active segment is rolled first if all
    /// of it is too old. Files are removed in the background.
    ///
    /// # Errors
    /// [`LogError::Io`] poisons the log. A full disk is no error.
    pub fn retain(&mut self, now_ms: i64, upto: u64) -> LogResult<Option<u64>> {
        self.refuse_if_poisoned()?;
        let limit = upto.min(self.settled_end);
        let segments = self.shared.segments();
        let expired = segments
            .iter()
            .take_while(|s| self.is_expired(s, now_ms) && s.size() > 0 && s.end() <= limit)
            .count();
        let mut total: u64 = segments.iter().map(|s| s.size()).sum();
        let surplus = segments[..segments.len() - 1]
            .iter()
            .take_while(|s| {
                total -= s.size();
                s.end() <= limit && self.config.retention_size.is_some_and(|size| total >= size)
            })
            .count();
        let count = expired.max(surplus);
        if count == 0 {
            return Ok(None);
        }
        if count == segments.len()
            && let Err(error) = self.roll()
        {
            return match error {
                LogError::DiskFull { .. } => Ok(None),
                other => Err(other),
            };
        }
        let new_start = segments[count - 1].end().max(self.start());
        self.drop_segments_before(new_start);
        self.check();
        Ok(Some(new_start))
    }

    fn is_expired(&self, segment: &Segment, now_ms: i64) -> bool {
        let newest = segment.max_timestamp();
        let age = u64::try_from(now_ms.saturating_sub(newest)).unwrap_or(0);
        newest >= 0 && self.config.retention_ms.is_some_and(|ms| age > ms)
    }

    /// Begins a new, empty active segment. The old one is wholly durable.
    fn roll(&mut self) -> LogResult<()> {
        assert!(self.active.size() > 0, "an empty segment is not rolled");
        assert!(self.settled_end == self.end(), "what is rolled here is durable");
        let interval = self.config.index_interval_size.get();
        let created = Segment::create(&self.storage, &self.dir, self.end(), interval);
        let segment = match created {
            Ok(segment) => Arc::new(segment),
            Err(error) => {
                let dir = self.dir.clone();
                return Err(self.refused(error, &dir));
            }
        };
        if let Err(error) = self.storage.sync_dir(&self.dir) {
            let dir = self.dir.clone();
            return Err(self.poison(error, &dir));
        }
        self.active.set_sealed(true);
        self.active = segment.clone();
        self.shared.push_segment(segment);
        self.upkeep.want_snapshot();
        Ok(())
    }
}
