//! The metadata group on this broker: its replica, the state folded from its log, the controller.
//!
//! Requests to the controller become records of the metadata log through the one runtime for
//! replicated state ([`StateLog`]); what is decided is folded into an image, published to the whole
//! broker, and only then answered.

use std::sync::Arc;

use bytes::Bytes;
use synod_log::Log;
use synod_log::batch::Batch;
use synod_log::key::PartitionKey;
use synod_paxos::{Ballot, NodeId, Replica, ReplicaSet};
use synod_wire::batch::{BatchBuilder, Batches, Compression, NewRecord, ProducerStamp};
use tokio::sync::{mpsc, oneshot};

use crate::broker::DeletedTopics;
use crate::metadata::{
    BeginControl, ControllerContext, ControllerRequest, ImagePublisher, MetadataImage,
    MetadataRecord, RegisterBroker, TopicId,
};
use crate::partition::{Effects, Marks, Partition, PartitionError, PartitionView};
use crate::shard::unix_time_ms;
use crate::state_log::{EncodedRecord, Proposal, StateError, StateLog, StateMachine};

/// Partition of the metadata group's own log.
pub(crate) const METADATA_KEY: PartitionKey =
    PartitionKey { topic: TopicId::METADATA_BYTES, partition: 0 };

/// Bytes of decided metadata that are folded at a time.
const READ_SIZE: usize = 1 << 20;

/// Largest decompressed size of a metadata batch; they are never compressed.
const BATCH_SIZE_LIMIT: usize = 64 << 20;

/// Requests that the controller takes from its inbox at a time.
const REQUEST_TURN: usize = 256;

/// What the controller is made of.
#[derive(Debug)]
pub(crate) struct ControlParts {
    pub(crate) log: Log,
    pub(crate) replica: Replica,
    pub(crate) view: Arc<PartitionView>,
    pub(crate) requests: mpsc::Receiver<ControllerRequest>,
    pub(crate) publisher: ImagePublisher,
    pub(crate) context: Arc<ControllerContext>,
    pub(crate) deleted: Arc<DeletedTopics>,
    pub(crate) registration: RegisterBroker,
    pub(crate) new_cluster_id: String,
    /// The highest round this replica promised in an earlier life.
    pub(crate) promised_round: u32,
}

/// The metadata group's replica with its state and the controller's requests.
#[derive(Debug)]
pub(crate) struct Control {
    partition: Partition,
    log: StateLog<MetadataImage>,
    inbox: mpsc::Receiver<ControllerRequest>,
    waiting: Vec<ControllerRequest>,
    publisher: ImagePublisher,
    context: Arc<ControllerContext>,
    deleted: Arc<DeletedTopics>,
    registration: RegisterBroker,
    new_cluster_id: String,
    promised_round: u32,
}

impl Control {
    pub(crate) fn new(parts: ControlParts) -> Control {
        Control {
            partition: Partition::new(
                METADATA_KEY,
                parts.log,
                parts.replica,
                parts.view,
                Marks::BeforeAnswers,
            ),
            log: StateLog::new(MetadataImage::default(), 0),
            inbox: parts.requests,
            waiting: Vec::new(),
            publisher: parts.publisher,
            context: parts.context,
            deleted: parts.deleted,
            registration: parts.registration,
            new_cluster_id: parts.new_cluster_id,
            promised_round: parts.promised_round,
        }
    }

    pub(crate) fn partition(&mut self) -> &mut Partition {
        &mut self.partition
    }

    /// The durability mark that the metadata log should have, if `key` is its key.
    pub(crate) fn mark(&self, key: PartitionKey) -> Option<u64> {
        (key == METADATA_KEY).then(|| self.partition.mark())
    }

    /// Stands for election. The only voter elects itself, in a round it has never led before.
    ///
    /// # Errors
    /// The round could not be taken, or the log failed.
    pub(crate) fn start(&mut self, effects: &mut Effects) -> Result<(), PartitionError> {
        let node = NodeId(self.registration.broker.0);
        let ballot = Ballot { round: self.promised_round + 1, node };
        self.partition.appoint(ballot, ReplicaSet::new(&[node]), effects)
    }

    /// Waits until there is a request; for ever on shards without the controller.
    pub(crate) async fn ready(control: &mut Option<Control>) {
        match control {
            Some(control) if control.log.has_room() => {
                let waiting = &mut control.waiting;
                if control.inbox.recv_many(waiting, REQUEST_TURN).await == 0 {
                    std::future::pending().await
                }
            }
            _ => std::future::pending().await,
        }
    }

    /// Folds what was decided, publishes it, answers, and proposes what was asked since.
    ///
    /// # Errors
    /// The log failed, or holds what cannot be folded.
    pub(crate) fn step(&mut self, effects: &mut Effects) -> Result<(), PartitionError> {
        self.fold_decided()?;
        if self.partition.is_ready() && !self.log.is_leading() {
            self.begin();
        } else if !self.partition.is_ready() && self.log.is_leading() {
            self.log.handle_lost_leadership();
        }
        for request in self.waiting.drain(..) {
            request.submit(&mut self.log, &self.context);
        }
        while let Some(proposal) = self.log.poll_proposal() {
            let proposed = match encode(&proposal) {
                Ok(batch) => self.partition.propose(batch, effects)?.map_err(|e| e.to_string()),
                Err(error) => Err(error.to_string()),
            };
            match proposed {
                Ok((base, _)) => assert_eq!(base, proposal.base_offset, "one writer"),
                Err(error) => {
                    tracing::warn!(error, "the metadata log takes no records");
                    self.log.handle_refused();
                }
            }
        }
        Ok(())
    }

    fn fold_decided(&mut self) -> Result<(), PartitionError> {
        let decided_end = self.partition.decided_end();
        if self.log.end() >= decided_end {
            return Ok(());
        }
        let mut released = Vec::new();
        while self.log.end() < decided_end {
            let view = self.partition.view().log();
            let slice = view.read(self.log.end(), READ_SIZE, true, decided_end)?;
            for bytes in slice.batches {
                for batch in Batches::new(bytes) {
                    let (base, records) = batch
                        .map_err(StateError::from)
                        .and_then(|batch| decode(&batch))
                        .map_err(PartitionError::State)?;
                    self.note_deletions(&records)?;
                    let responses = self.log.handle_decided(base, &records);
                    released.push(responses.map_err(PartitionError::State)?);
                }
            }
        }
        self.publisher.publish(self.log.state().clone());
        for responses in released {
            responses.send();
        }
        Ok(())
    }

    /// Remembers which topics were deleted by decided records, whose files may be removed.
    fn note_deletions(&self, records: &[EncodedRecord]) -> Result<(), PartitionError> {
        for record in records {
            let record = MetadataImage::decode(record).map_err(PartitionError::State)?;
            if let MetadataRecord::TopicDeleted { topic } = record {
                self.deleted.note(topic);
            }
        }
        Ok(())
    }

    /// Takes control: forms the cluster where there is none, and registers this broker's new life.
    fn begin(&mut self) {
        self.log.handle_leading();
        let broker = self.registration.broker;
        let round = self.partition.view().leading_round().unwrap_or_default();
        let request = BeginControl { broker, round, new_cluster_id: self.new_cluster_id.clone() };
        let (reply, begun) = oneshot::channel();
        ControllerRequest::BeginControl(request, reply).submit(&mut self.log, &self.context);
        let (reply, registered) = oneshot::channel();
        ControllerRequest::RegisterBroker(self.registration.clone(), reply)
            .submit(&mut self.log, &self.context);
        tokio::task::spawn_local(async move {
            for (what, outcome) in [("control", begun.await), ("registration", registered.await)] {
                match outcome {
                    Ok(Ok(Ok(()))) => {}
                    outcome => tracing::error!(what, ?outcome, "this broker could not take part"),
                }
            }
        });
    }

    /// Closes the metadata log.
    pub(crate) fn close(self) {
        if let Err(error) = self.partition.close().close() {
            tracing::warn!(%error, "the metadata log was not closed cleanly");
        }
    }
}

/// One batch of records, as the log stores it.
fn encode(proposal: &Proposal) -> Result<Batch, StateError> {
    let timestamp = unix_time_ms();
    let mut builder = BatchBuilder::new();
    for record in &proposal.records {
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder.append(&NewRecord { timestamp, key, value, ..NewRecord::default() })?;
    }
    let bytes = builder.build(Compression::None, ProducerStamp::NONE)?;
    let (batch, rest): (Batch, Bytes) = Batch::parse(bytes)?;
    assert!(rest.is_empty(), "one batch was built");
    Ok(batch)
}

/// A batch's base offset and records.
fn decode(batch: &synod_wire::batch::Batch) -> Result<(u64, Vec<EncodedRecord>), StateError> {
    let base = u64::try_from(batch.header().base_offset)?;
    let mut records = Vec::new();
    for record in batch.records(BATCH_SIZE_LIMIT)? {
        let record = record?;
        records.push(EncodedRecord { key: record.key, value: record.value });
    }
    Ok((base, records))
}
