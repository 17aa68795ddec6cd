//! The figures of `synod-ceiling --json`: what the machine allows without any protocol.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::BenchError;

/// What one set of processes reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reached {
    /// Processes that each wrote everything: 1, or 3 with a majority rule.
    pub processes: u32,
    /// Bytes in one batch.
    pub batch_size: u64,
    /// 10^6 bytes a second, many batches under way.
    pub megabytes_per_second: f64,
    /// One batch at a time, in microseconds.
    pub commit_p50_us: f64,
    /// One batch at a time, in microseconds.
    pub commit_p99_us: f64,
}

/// How long commits took that were begun by the clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Paced {
    /// As in [`Reached`].
    pub processes: u32,
    /// Bytes in one batch.
    pub batch_size: u64,
    /// Batches begun in a second.
    pub rate: u32,
    /// From when a batch was sent until it was safe, in microseconds.
    pub commit_p50_us: f64,
    /// From when a batch was sent until it was safe, in microseconds.
    pub commit_p99_us: f64,
}

/// All figures of one run of the ceiling program.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ceiling {
    /// One loopback TCP stream without disk, in 10^6 bytes a second.
    pub loopback_megabytes_per_second: f64,
    /// Durable writes.
    pub reached: Vec<Reached>,
    /// Durable writes by the clock.
    #[serde(default)]
    pub paced: Vec<Paced>,
}

impl Ceiling {
    /// The figures in this file, if there is one.
    pub(crate) fn read(path: Option<&Path>) -> Result<Option<Self>, BenchError> {
        let Some(path) = path else { return Ok(None) };
        let name = path.display();
        let text = std::fs::read(path).map_err(BenchError::io(format!("cannot read {name}")))?;
        let ceiling = serde_json::from_slice(&text)
            .map_err(|error| BenchError::usage(format!("{name}: {error}")))?;
        Ok(Some(ceiling))
    }

    /// The figures of as many processes as a topic has replicas.
    pub(crate) fn of_processes(mut self, replica_count: u32) -> Self {
        self.reached.retain(|reached| reached.processes == replica_count);
        self
    }

    /// What share of the greatest speed this is.
    pub(crate) fn share(&self, megabytes_per_second: f64) -> Option<f64> {
        let speeds = self.reached.iter().map(|reached| reached.megabytes_per_second);
        let greatest = speeds.fold(0.0, f64::max);
        (greatest > 0.0).then(|| megabytes_per_second / greatest)
    }

    /// How this median compares with that of the smallest batch.
    pub(crate) fn latency_ratio(&self, p50_us: f64) -> Option<f64> {
        let smallest = self.reached.iter().min_by_key(|reached| reached.batch_size)?;
        (smallest.commit_p50_us > 0.0).then(|| p50_us / smallest.commit_p50_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_best_of_as_many_processes() {
        let reached = |processes, batch_size, megabytes_per_second, commit_p50_us| Reached {
            processes,
            batch_size,
            megabytes_per_second,
            commit_p50_us,
            commit_p99_us: 0.0,
        };
        let ceiling = Ceiling {
            paced: Vec::new(),
            loopback_megabytes_per_second: 0.0,
            reached: vec![
                reached(3, 1 << 20, 800.0, 900.0),
                reached(3, 1024, 10.0, 200.0),
                reached(1, 1024, 1600.0, 100.0),
            ],
        };
        assert_eq!(ceiling.clone().of_processes(5).share(400.0), None);
        assert_eq!(ceiling.clone().of_processes(1).share(400.0), Some(0.25));
        let ceiling = ceiling.of_processes(3);
        assert_eq!(ceiling.share(400.0), Some(0.5));
        assert_eq!(ceiling.latency_ratio(300.0), Some(1.5));
        assert_eq!(Ceiling::default().share(1.0), None);
        assert_eq!(Ceiling::default().latency_ratio(1.0), None);
    }
}
