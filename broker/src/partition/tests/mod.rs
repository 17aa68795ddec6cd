//! Partitions over the storage twin: syncs, journal and network do what the test says.

mod cluster;
mod lone;
mod replication;
mod schedules;

use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt;
use synod_log::batch::Batch;
use synod_log::{JournalRecord, Log, LogConfig, MemoryStorage, Storage};
use synod_paxos::{Ballot, Durable, NodeId, ReplicaConfig, ReplicaSet, RoundStart};
use synod_wire::batch::{BatchBuilder, Compression, NewRecord, ProducerStamp};
use tokio::sync::oneshot;

use super::*;
use crate::budget::Budget;
use crate::config::Config;
use crate::metadata::request::ResignReason;
use crate::metadata::{
    BrokerId, ConfigView, MetadataImage, StaticConfigs, TopicConfig, TopicImage,
};
use crate::shard::TrimError;

const KEY: PartitionKey = PartitionKey { topic: *b"0123456789abcdef", partition: 3 };

fn topic_config() -> TopicConfig {
    let topic = TopicImage::metadata_log();
    let statics = StaticConfigs::new(&Config::default()).expect("defaults");
    let image = MetadataImage::default();
    TopicConfig::new(&topic, &ConfigView { image: &image, statics: &statics, broker: BrokerId(1) })
}

fn batch(records: &[&str], stamp: ProducerStamp) -> Batch {
    let mut builder = BatchBuilder::new();
    for record in records {
        let value = Some(record.as_bytes());
        builder.append(&NewRecord { timestamp: 1, value, ..NewRecord::default() }).expect("fits");
    }
    Batch::parse(builder.build(Compression::None, stamp).expect("builds")).expect("whole").0
}

fn plain(records: &[&str]) -> Batch {
    batch(records, ProducerStamp::NONE)
}

fn sequenced(base_sequence: i32, records: &[&str]) -> Batch {
    batch(records, ProducerStamp { producer_id: 9, producer_epoch: 0, base_sequence })
}

fn base_of(answer: &mut oneshot::Receiver<Vec<AppendOutcome>>) -> Option<u64> {
    let outcomes = answer.try_recv().ok()?;
    Some(outcomes[0].expect("appended").base_offset)
}
