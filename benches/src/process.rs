//! What other processes use, from `/proc`.

use std::fs;

use serde::Serialize;

use crate::error::BenchError;

/// What some processes have used so far, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Usage {
    /// Processor time, in user and kernel mode.
    pub(crate) cpu_seconds: f64,
    /// Resident now, mapped files included: page cache that the kernel can take back.
    pub(crate) resident_size: u64,
    /// Resident now without mapped files.
    pub(crate) own_size: u64,
    /// The most that was ever resident.
    pub(crate) peak_resident_size: u64,
}

impl Usage {
    /// Of all these processes.
    ///
    /// # Errors
    /// [`BenchError::Process`] when one of them does not exist or is another user's.
    pub(crate) fn of(pids: &[u32]) -> Result<Self, BenchError> {
        let mut sum = Self::default();
        for &pid in pids {
            let one = Self::of_one(pid)
                .ok_or_else(|| BenchError::Process(format!("cannot read process {pid}")))?;
            sum.cpu_seconds += one.cpu_seconds;
            sum.resident_size += one.resident_size;
            sum.own_size += one.own_size;
            sum.peak_resident_size += one.peak_resident_size;
        }
        Ok(sum)
    }

    fn of_one(pid: u32) -> Option<Self> {
        let file = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
        let status = file("status")?;
        let kib = |name| Some(field(&status, name)? * 1024);
        Some(Self {
            cpu_seconds: cpu_ticks(&file("stat")?)? as f64
                / rustix::param::clock_ticks_per_second() as f64,
            resident_size: kib("VmRSS:")?,
            own_size: kib("RssAnon:")? + kib("RssShmem:")?,
            peak_resident_size: kib("VmHWM:")?,
        })
    }
}

/// The number behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// User and system time from `/proc/PID/stat`. The second field, the program's name in parentheses,
/// may contain anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_spaces_and_parentheses_are_no_trap() {
        let stat = "7 (a) b) c) S 1 2 3 4 5 6 7 8 9 10 40 2 0 0 20";
        assert_eq!(cpu_ticks(stat), Some(42));
        assert_eq!(cpu_ticks(""), None);
        assert_eq!(field("VmRSS:\t  12 kB\n", "VmRSS:"), Some(12));
        assert_eq!(field("", "VmRSS:"), None);
    }

    #[test]
    fn this_process_is_somewhere() {
        let usage = Usage::of(&[std::process::id()]).unwrap();
        assert!(usage.own_size > 0 && usage.resident_size > usage.own_size);
        assert!(usage.peak_resident_size >= usage.resident_size);
        assert!(Usage::of(&[u32::MAX]).is_err());
    }
}
