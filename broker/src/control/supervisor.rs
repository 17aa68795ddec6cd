//! The controller's watch over brokers and leaders, while this broker leads the metadata group.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::metadata::connectivity::Connectivity;
use crate::metadata::controller::{Resignations, failover, should_yield};
use crate::metadata::pacing::Pacing;
use crate::metadata::request::{Resign, ResignReason, Resigned};
use crate::metadata::{Ask, MetadataImage, MetadataRecord};
use crate::state_log::StateLog;

/// A resignation holds for this long unless it is said again.
const RESIGNATION_TICKS: u64 = 40;

/// What the controller remembers of what it did and heard. Drive it with ticks and decided records.
#[derive(Debug, Default)]
pub(super) struct Supervisor {
    tick: u64,
    pacing: Pacing,
    resignations: Resignations,
    /// Something may have changed since the last look.
    due: bool,
    /// Records of a failover are on their way.
    under_way: Arc<AtomicBool>,
    /// Another broker would be the better controller.
    yielding: bool,
}

impl Supervisor {
    pub(super) fn handle_tick(&mut self) {
        self.tick += 1;
        self.pacing.handle_tick();
        self.due = true;
    }

    /// A record was decided while this broker leads.
    pub(super) fn handle_decided(&mut self, record: &MetadataRecord) {
        match record {
            MetadataRecord::Appointed { topic, partition, .. } => {
                self.pacing.note_appointed((*topic, *partition));
                // One batch may not have been all.
                self.due = true;
            }
            MetadataRecord::BrokerLost { broker, .. } => self.pacing.note_lost(*broker),
            _ => {}
        }
    }

    pub(super) fn handle_lost_leadership(&mut self) {
        self.resignations.clear();
        self.under_way = Arc::default();
        self.yielding = false;
    }

    /// Whether others should stand for election, although this broker reaches a majority.
    pub(super) fn is_yielding(&self) -> bool {
        self.yielding
    }

    /// Looks at a request before it is carried out: some are for the supervisor.
    pub(super) fn prepare(&mut self, ask: &mut Ask, image: &MetadataImage) {
        match ask {
            Ask::Resign(resign) => self.note_resignations(resign, image),
            // What moved lately is left where it is.
            Ask::ReturnLeadership(nominated) => {
                nominated.partitions.retain(|it| self.pacing.is_quiet((it.topic, it.partition)))
            }
            Ask::ShutDown(it) => self.pacing.note_leaving(it.broker, it.incarnation),
            _ => {}
        }
    }

    fn note_resignations(&mut self, resign: &Resign, image: &MetadataImage) {
        let until_tick = self.tick + RESIGNATION_TICKS;
        for (topic, partition, round, reason) in &resign.partitions {
            let (broker, round, reason) = (resign.broker, *round, *reason);
            let resigned = Resigned { broker, round, reason, until_tick };
            if image.partition(*topic, *partition).is_some_and(|known| resigned.is_of(known)) {
                if matches!(reason, ResignReason::Faulty | ResignReason::PromisesMissing) {
                    self.pacing.note_unfit((*topic, *partition), broker);
                }
                self.resignations.insert((*topic, *partition), resigned);
                self.due = true;
            }
        }
    }

    /// Proposes what the state of the cluster asks for, if anything.
    pub(super) fn supervise(
        &mut self,
        log: &mut StateLog<MetadataImage>,
        connectivity: &Connectivity,
    ) {
        if !self.due || self.under_way.load(Relaxed) {
            return;
        }
        self.due = false;
        let image = log.state();
        let tick = self.tick;
        let yielding = should_yield(image, connectivity);
        if yielding && !self.yielding {
            tracing::info!("a partition needs a leader that this controller does not reach");
        }
        self.yielding = yielding;
        self.resignations.retain(|(topic, partition), resigned| {
            let known = image.partition(*topic, *partition);
            resigned.until_tick > tick && known.is_some_and(|known| resigned.is_of(known))
        });
        let records = failover(image, connectivity, &self.pacing, &self.resignations);
        if records.is_empty() {
            return;
        }
        report(&records);
        self.under_way.store(true, Relaxed);
        let under_way = Arc::clone(&self.under_way);
        log.submit(
            // Requests before this one may have changed what was planned for.
            move |image: &MetadataImage| {
                let mut ahead = image.clone();
                let mut records = records;
                records.retain(|record| ahead.apply(ahead.end(), record).is_ok());
                (records, ())
            },
            move |outcome| {
                if let Err(reason) = outcome {
                    tracing::warn!(%reason, "a failover was not decided");
                }
                under_way.store(false, Relaxed);
            },
        );
    }
}

/// Tells the operator.
fn report(records: &[MetadataRecord]) {
    let mut appointments = 0;
    for record in records {
        match record {
            MetadataRecord::BrokerLost { broker, .. } => {
                tracing::warn!(%broker, "the broker is not heard from any more");
            }
            MetadataRecord::BrokerReturned { broker, .. } => {
                tracing::info!(%broker, "the broker is heard from again");
            }
            MetadataRecord::Appointed { .. } => appointments += 1,
            _ => {}
        }
    }
    if appointments > 0 {
        tracing::info!(appointments, "new leaders are appointed");
    }
}
