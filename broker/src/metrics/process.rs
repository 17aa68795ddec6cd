//! What the operating system says about this process, read from `/proc` at each scrape.

use std::fs;

/// One reading; what cannot be read is `None` and simply not exposed.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Process {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) start_time_seconds: Option<f64>,
    pub(super) resident_size: Option<u64>,
    pub(super) virtual_size: Option<u64>,
    pub(super) threads: Option<u64>,
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
}

/// Clock ticks per second in `/proc/self/stat`: `USER_HZ`, 100 on every Linux we run on.
const TICKS_PER_SECOND: f64 = 100.0;

impl Process {
    /// Reads the present values.
    pub(super) fn read() -> Process {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
        let mut process = parse(&stat, &status, &limits, &boot);
        // The directory being listed is itself one descriptor.
        process.open_fds =
            fs::read_dir("/proc/self/fd").ok().map(|fds| (fds.count() as u64).saturating_sub(1));
        process
    }
}

fn parse(stat: &str, status: &str, limits: &str, boot: &str) -> Process {
    // The command name in parentheses may hold spaces: fields are counted after it.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map_or(Vec::new(), |(_, rest)| rest.split_whitespace().collect());
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    let boot_time = number_after(boot, "btime");
    Process {
        cpu_seconds: ticks(11).zip(ticks(12)).map(|(user, sys)| (user + sys) / TICKS_PER_SECOND),
        start_time_seconds: ticks(19)
            .zip(boot_time)
            .map(|(start, boot)| boot as f64 + start / TICKS_PER_SECOND),
        resident_size: number_after(status, "VmRSS:").map(|kib| kib * 1024),
        virtual_size: number_after(status, "VmSize:").map(|kib| kib * 1024),
        threads: number_after(status, "Threads:"),
        open_fds: None,
        max_fds: number_after(limits, "Max open files"),
    }
}

fn number_after(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_linux_writes() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 7 0 1000 0 0";
        let status = "Name:\tx\nVmSize:\t  2048 kB\nVmRSS:\t   512 kB\nThreads:\t7\n";
        let limits = "Limit  Soft Limit  Hard Limit  Units\n\
                      Max open files            1024                 4096                 files\n";
        let process = parse(stat, status, limits, "cpu 1 2\nbtime 1000000\n");
        let expected = Process {
            cpu_seconds: Some(3.0),
            start_time_seconds: Some(1_000_010.0),
            resident_size: Some(512 << 10),
            virtual_size: Some(2 << 20),
            threads: Some(7),
            open_fds: None,
            max_fds: Some(1024),
        };
        assert_eq!(process, expected);
    }

    #[test]
    fn what_is_missing_is_none() {
        assert_eq!(parse("", "", "", ""), Process::default());
        assert_eq!(parse("1 (x) S", "VmRSS:", "Max open files unlimited", ""), Process::default());
    }

    #[test]
    fn this_process_has_memory_and_descriptors() {
        let process = Process::read();
        assert!(process.resident_size.is_some_and(|size| size > 0));
        assert!(process.open_fds.is_some_and(|count| count >= 3));
    }
}
