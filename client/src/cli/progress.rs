//! How far a long command has come, for a person who is watching.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the line changes.
const INTERVAL: Duration = Duration::from_millis(200);

/// Cells of the bar.
const WIDTH: u64 = 30;

/// A line on standard error: a bar where the end is known, else a count.
#[derive(Debug)]
pub(super) struct Progress {
    what: &'static str,
    total: Option<u64>,
    shown: Option<Instant>,
    is_on: bool,
}

impl Progress {
    /// Shows nothing unless standard error is a terminal, and standard output is not: else the two
    /// would mix.
    pub(super) fn new(what: &'static str, total: Option<u64>) -> Self {
        Self::new_if(!io::stdout().is_terminal(), what, total)
    }

    /// Shows nothing unless standard error is a terminal, and it is wanted.
    pub(super) fn new_if(is_wanted: bool, what: &'static str, total: Option<u64>) -> Self {
        Self { what, total, shown: None, is_on: is_wanted && io::stderr().is_terminal() }
    }

    /// So many are done.
    pub(super) fn show(&mut self, count: u64) {
        let due = self.shown.is_none_or(|at| at.elapsed() >= INTERVAL);
        if self.is_on && due {
            self.shown = Some(Instant::now());
            let _ = write!(io::stderr(), "\r{}\x1b[K", line(count, self.total, self.what));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn line(count: u64, total: Option<u64>, what: &str) -> String {
    let Some(total) = total.filter(|&total| total > 0) else { return format!("{count} {what}") };
    let done = count.min(total);
    // In 128 bits: a total may be any offset.
    let part = |of: u64| (u128::from(done) * u128::from(of) / u128::from(total)) as usize;
    let (full, percent) = (part(WIDTH), part(100));
    let empty = WIDTH as usize - full;
    let bar = "#".repeat(full) + &".".repeat(empty);
    format!("[{bar}] {percent:3} %  {count}/{total} {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_up_and_never_overflows() {
        assert_eq!(line(7, None, "records"), "7 records");
        assert_eq!(line(7, Some(0), "records"), "7 records");
        let half = format!("[{}{}]  50 %  5/10 topics", "#".repeat(15), ".".repeat(15));
        assert_eq!(line(5, Some(10), "topics"), half);
        assert!(line(11, Some(10), "topics").contains("100 %"));
        assert!(line(u64::MAX, Some(u64::MAX), "records").contains("100 %"));
    }
}
