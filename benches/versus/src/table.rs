//! Medians, and how ours compares.

use std::collections::BTreeMap;
use std::fmt;

use crate::{Client, Cost, Task};

/// What a run achieved.
#[derive(Debug, Clone, Copy)]
struct Rate {
    records_per_second: f64,
    cpu_seconds_per_gb: f64,
}

/// All runs so far, by kind and size.
#[derive(Debug, Default)]
pub(crate) struct Table {
    runs: BTreeMap<(usize, &'static str), BTreeMap<Client, Vec<Rate>>>,
}

impl Table {
    pub(crate) fn add(
        &mut self,
        kind: &'static str,
        size: usize,
        client: Client,
        task: &Task,
        cost: Cost,
    ) {
        let gigabytes = (task.count * size) as f64 / 1e9;
        let rate = Rate {
            records_per_second: task.count as f64 / cost.seconds,
            cpu_seconds_per_gb: cost.cpu_seconds / gigabytes,
        };
        let (fast, cpu) = (rate.records_per_second, rate.cpu_seconds_per_gb);
        eprintln!("{kind} {size} B {client:?}: {fast:.0} records/s, {cpu:.2} CPU-s/GB");
        let of_client = self.runs.entry((size, kind)).or_default();
        of_client.entry(client).or_default().push(rate);
    }
}

fn median(rates: &[Rate], of: impl Fn(&Rate) -> f64) -> f64 {
    let mut values: Vec<_> = rates.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| bytes | run | client | records/s | CPU-s/GB | ours is faster by | ours saves CPU by |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|")?;
        for ((size, kind), clients) in &self.runs {
            let summary = |rates: &[Rate]| {
                let fast = median(rates, |rate| rate.records_per_second);
                (fast, median(rates, |rate| rate.cpu_seconds_per_gb))
            };
            let ours = clients.get(&Client::Ours).map(|rates| summary(rates));
            for (client, rates) in clients {
                let (fast, cpu) = summary(rates);
                let ratios = match ours {
                    Some((our_fast, our_cpu)) if *client != Client::Ours => {
                        format!("{:.2}× | {:.2}×", our_fast / fast, cpu / our_cpu)
                    }
                    _ => "|".into(),
                };
                writeln!(f, "| {size} | {kind} | {client:?} | {fast:.0} | {cpu:.2} | {ratios} |")?;
            }
        }
        Ok(())
    }
}
