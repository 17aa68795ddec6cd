//! The rules. Each is one function over the sightings: who saw which value at which offset.

use super::anomaly::{AnomalyKind, Report};
use super::{Guarantee, History, Outcome, Send, Step, Value};

/// A value at an offset, as an acknowledgement or a read told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Sighting {
    offset: i64,
    value: Option<Value>,
}

/// What is known of one partition.
#[derive(Debug, Default)]
struct Log {
    /// Sorted and without repetitions.
    sightings: Vec<Sighting>,
    /// The greatest offset that anyone read.
    last_read: Option<i64>,
}

/// What is known of one value besides its send.
#[derive(Debug, Clone, Copy, Default)]
struct Fate {
    /// The smallest offset at which it was seen.
    offset: Option<i64>,
    is_read: bool,
}

struct Check<'a> {
    history: &'a History,
    logs: Vec<Log>,
    /// By sender and number.
    fates: Vec<Vec<Fate>>,
    report: Report,
}

pub(super) fn check(history: &History) -> Report {
    let fates = history.senders.iter().map(|s| vec![Fate::default(); s.sends.len()]).collect();
    let logs = history.partitions.iter().map(|_| Log::default()).collect();
    let mut check = Check { history, logs, fates, report: Report::default() };
    check.gather_acknowledgements();
    check.gather_reads();
    check.inconsistent_offsets();
    check.places();
    check.outcomes();
    check.order_of_sends();
    check.order_of_reads();
    check.report
}

impl<'a> Check<'a> {
    fn name(&self, partition: u32) -> &'a str {
        &self.history.partitions[partition as usize]
    }

    /// What is known of the send of a value, if there was one.
    fn send_of(&self, value: Value) -> Option<&'a Send> {
        let sender = self.history.senders.get(value.sender() as usize)?;
        sender.sends.get(value.number() as usize)
    }

    fn fate(&mut self, value: Value) -> &mut Fate {
        &mut self.fates[value.sender() as usize][value.number() as usize]
    }

    fn gather_acknowledgements(&mut self) {
        for sender in &self.history.senders {
            self.report.invoked += sender.sends.len() as u64;
            for (index, send) in sender.sends.iter().enumerate() {
                let value = Some(sender.value(index));
                match send.outcome {
                    Outcome::Written { offset } => {
                        self.report.written += 1;
                        if let Some(offset) = offset {
                            let log = &mut self.logs[send.partition as usize];
                            log.sightings.push(Sighting { offset, value });
                        }
                    }
                    Outcome::Refused => self.report.refused += 1,
                    Outcome::Unknown => self.report.unknown += 1,
                }
            }
        }
    }

    /// A value read in a partition it was not sent to was not read as far as its fate goes.
    fn gather_reads(&mut self) {
        for reader in &self.history.readers {
            for step in &reader.steps {
                let Step::Read { partition, offset, value } = *step else { continue };
                self.report.read += 1;
                let log = &mut self.logs[partition as usize];
                log.last_read = log.last_read.max(Some(offset));
                log.sightings.push(Sighting { offset, value });
            }
        }
        for log in &mut self.logs {
            log.sightings.sort_unstable();
            log.sightings.dedup();
        }
        for reader in &self.history.readers {
            for step in &reader.steps {
                if let Step::Read { partition, value: Some(value), .. } = *step
                    && self.send_of(value).is_some_and(|send| send.partition == partition)
                {
                    self.fate(value).is_read = true;
                }
            }
        }
    }

    fn inconsistent_offsets(&mut self) {
        for (log, partition) in self.logs.iter().zip(0..) {
            let name = &self.history.partitions[partition as usize];
            for pair in log.sightings.windows(2).filter(|pair| pair[0].offset == pair[1].offset) {
                self.report.add(AnomalyKind::InconsistentOffset, || {
                    let first = Report::place(name, pair[0].offset, pair[0].value);
                    match pair[1].value {
                        Some(value) => format!("{first} and {value}"),
                        None => format!("{first}, and bytes that are no value"),
                    }
                });
            }
        }
    }

    /// Each value stands at one offset of the partition it was sent to.
    fn places(&mut self) {
        let logs = std::mem::take(&mut self.logs);
        for (log, partition) in logs.iter().zip(0..) {
            for sighting in &log.sightings {
                self.place(partition, *sighting);
            }
        }
        self.logs = logs;
    }

    fn place(&mut self, partition: u32, sighting: Sighting) {
        let name = self.name(partition);
        let Sighting { offset, value } = sighting;
        let sent = value.and_then(|value| Some((value, self.send_of(value)?)));
        let Some((value, send)) = sent.filter(|(_, send)| send.partition == partition) else {
            self.report.add(AnomalyKind::Foreign, || Report::place(name, offset, value));
            return;
        };
        if send.outcome == Outcome::Refused {
            self.report.add(AnomalyKind::RefusedRead, || Report::place(name, offset, Some(value)));
        }
        let Some(first) = self.fate(value).offset else {
            self.fate(value).offset = Some(offset);
            return;
        };
        match self.history.senders[value.sender() as usize].guarantee {
            Guarantee::AtLeastOnce => self.report.repeated += 1,
            Guarantee::Exact => self.report.add(AnomalyKind::Duplicate, || {
                format!("{name}: {value} at offsets {first} and {offset}")
            }),
        }
    }

    /// What was acknowledged was read, in the end at the latest.
    fn outcomes(&mut self) {
        for sender in &self.history.senders {
            // Partitions of which a later value of this sender was read.
            let mut read_later = vec![false; self.history.partitions.len()];
            for (index, send) in sender.sends.iter().enumerate().rev() {
                let value = sender.value(index);
                let at = send.partition as usize;
                let is_read = self.fate(value).is_read;
                match send.outcome {
                    Outcome::Written { offset } if !is_read => {
                        let is_passed = match offset {
                            Some(offset) => self.logs[at].last_read > Some(offset),
                            None => read_later[at],
                        };
                        let kind = if is_passed { AnomalyKind::Lost } else { AnomalyKind::Unseen };
                        let name = &self.history.partitions[at];
                        self.report.add(kind, || match offset {
                            Some(offset) => Report::place(name, offset, Some(value)),
                            None => format!("{name}: {value}"),
                        });
                    }
                    Outcome::Unknown if is_read => self.report.unknown_read += 1,
                    _ => {}
                }
                read_later[at] |= is_read;
            }
        }
    }

    /// Values of one exact sender stand in the order sent, acknowledged or not.
    fn order_of_sends(&mut self) {
        let exact = |sender: &&super::Sender| sender.guarantee == Guarantee::Exact;
        for sender in self.history.senders.iter().filter(exact) {
            // The last value found and its offset, per partition.
            let mut last: Vec<Option<(Value, i64)>> = vec![None; self.history.partitions.len()];
            for (index, send) in sender.sends.iter().enumerate() {
                let value = sender.value(index);
                let at = send.partition as usize;
                let Some(offset) = self.fate(value).offset else { continue };
                if let Some((before, there)) = last[at]
                    && there >= offset
                {
                    let name = &self.history.partitions[at];
                    self.report.add(AnomalyKind::Reordered, || {
                        format!("{name}: {before} at offset {there}, then {value} at {offset}")
                    });
                }
                last[at] = Some((value, offset));
            }
        }
    }

    /// Each reader is handed every record, one after the other.
    fn order_of_reads(&mut self) {
        for reader in &self.history.readers {
            // The first offset not read yet, per partition.
            let mut next: Vec<Option<i64>> = vec![None; self.history.partitions.len()];
            for step in &reader.steps {
                let (partition, offset) = match *step {
                    Step::Start { partition, offset } => {
                        next[partition as usize] = Some(offset);
                        continue;
                    }
                    Step::Read { partition, offset, .. } => (partition, offset),
                };
                let at = partition as usize;
                let (name, id) = (&self.history.partitions[at], reader.id);
                match next[at] {
                    Some(due) if offset < due => self.report.add(AnomalyKind::StepBack, || {
                        format!("{name}: reader {id} at offset {due} was handed {offset}")
                    }),
                    Some(due) if offset > due => {
                        // Offsets that hold no record for anyone are no skip.
                        let known = &self.logs[at].sightings;
                        let passed = known.partition_point(|sighting| sighting.offset < due);
                        if known[passed].offset < offset {
                            let missed = known[passed].offset;
                            self.report.add(AnomalyKind::Skip, || {
                                let handed = format!("was handed {offset}, not {missed}");
                                format!("{name}: reader {id} at offset {due} {handed}")
                            });
                        }
                    }
                    _ => {}
                }
                next[at] = Some(offset + 1);
            }
        }
    }
}
