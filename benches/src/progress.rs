//! A line on standard error that moves while a measurement runs, if a person is watching.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the line changes.
const INTERVAL: Duration = Duration::from_millis(250);

/// Width of the bar.
const BAR_WIDTH: usize = 24;

/// Shows how far a measurement has come.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    total: Option<u64>,
    begin: Instant,
    shown_at: Option<Instant>,
    /// Records and bytes when it was last shown, for the present speed.
    shown: (u64, u64),
    is_on: bool,
}

impl Progress {
    /// Of `total` records, if their number is known.
    pub(crate) fn new(what: &'static str, total: Option<u64>) -> Self {
        let is_on = io::stderr().is_terminal();
        Self { what, total, begin: Instant::now(), shown_at: None, shown: (0, 0), is_on }
    }

    /// Whether anyone is watching.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Shows so many records and bytes, if it is time.
    pub(crate) fn show(&mut self, records: u64, bytes: u64) {
        let due = self.shown_at.is_none_or(|at| at.elapsed() >= INTERVAL);
        if self.is_on && due {
            let line = self.line(records, bytes);
            let _ = write!(io::stderr(), "\r\x1b[K{line}");
            self.shown_at = Some(Instant::now());
            self.shown = (records, bytes);
        }
    }

    fn line(&self, records: u64, bytes: u64) -> String {
        let since = self.shown_at.unwrap_or(self.begin).elapsed().as_secs_f64().max(1e-9);
        let record_rate = records.saturating_sub(self.shown.0) as f64 / since;
        let byte_rate = bytes.saturating_sub(self.shown.1) as f64 / since / 1e6;
        let bar = self.total.map(|total| bar(records, total)).unwrap_or_default();
        let elapsed = self.begin.elapsed().as_secs_f64();
        let what = self.what;
        format!(
            "{what} {bar}{elapsed:6.1} s {records:>12} records {record_rate:>10.0}/s \
             {byte_rate:>8.1} MB/s"
        )
    }
}

fn bar(done: u64, total: u64) -> String {
    let share = (done as f64 / total.max(1) as f64).min(1.0);
    let full = (share * BAR_WIDTH as f64) as usize;
    format!("[{}{}] ", "#".repeat(full), " ".repeat(BAR_WIDTH - full))
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown_at.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_never_leaves_its_place() {
        for (done, total) in [(0, 10), (5, 10), (10, 10), (11, 10), (0, 0), (u64::MAX, 1)] {
            assert_eq!(bar(done, total).len(), BAR_WIDTH + 3, "{done} of {total}");
        }
        assert!(bar(5, 10).contains(&"#".repeat(BAR_WIDTH / 2)));
    }
}
