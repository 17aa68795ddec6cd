//! A cluster of several scripted brokers: partitions with leaders and epochs that move, brokers
//! that stop and go on, are killed and come back.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use synod_client::wire::batch::{BatchHeader, HEADER_SIZE};
use synod_client::wire::messages::fetch::{
    EpochEndOffset, FetchPartition, FetchRequest, FetchResponse, FetchableTopicResponse,
    PartitionData,
};
use synod_client::wire::messages::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use synod_client::wire::messages::metadata::{MetadataRequest, MetadataResponsePartition};
use synod_client::wire::messages::offset_for_leader_epoch::{
    self, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};
use synod_client::wire::{ApiKey, ErrorCode, Records};
use synod_client::{ClientConfig, Cluster};
use tokio::sync::watch;

use crate::fake::{Call, Fake, Reply, basics, metadata, versions};
use crate::model::{Partition, Random};
use crate::producer;

/// One partition of topic `t`.
#[derive(Debug, Default)]
pub(crate) struct Led {
    pub(crate) leader: i32,
    pub(crate) epoch: i32,
    pub(crate) log: Partition,
    /// Epoch of each batch in the log.
    epochs: Vec<i32>,
}

impl Led {
    /// Appends a batch under the leader's epoch.
    pub(crate) fn append(&mut self, bytes: Bytes) -> Result<i64, ErrorCode> {
        let offset = self.log.append(bytes)?;
        self.epochs.resize(self.log.batches.len(), self.epoch);
        Ok(offset)
    }

    /// The latest epoch in the log up to `epoch`, and its end; as for epochs nobody knows if there
    /// is none.
    fn epoch_end(&self, epoch: i32) -> (i32, i64) {
        let next = self.epochs.partition_point(|known| *known <= epoch);
        let Some(last) = next.checked_sub(1) else { return (-1, -1) };
        let end = self.log.batches.get(next).map(|(base_offset, _)| *base_offset);
        (self.epochs[last], end.unwrap_or(self.log.values.len() as i64))
    }
}

/// What all brokers know.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) partitions: Vec<Led>,
    pub(crate) controller: i32,
    /// Live brokers that are told of; ids from 1.
    pub(crate) lost: Vec<i32>,
    addresses: Vec<SocketAddr>,
    /// They are of the years when Fetch could not compare epochs.
    pub(crate) older: bool,
    /// Requests of each kind that were looked at, by broker.
    pub(crate) calls: Vec<(i32, ApiKey)>,
    pub(crate) random: Random,
}

impl State {
    /// Another live broker leads a partition from now on.
    pub(crate) fn move_leader(&mut self, partition: usize) {
        let live: Vec<i32> = self.live();
        let others: Vec<_> =
            live.into_iter().filter(|id| *id != self.partitions[partition].leader).collect();
        let at = self.random.below(others.len() as u64) as usize;
        let led = &mut self.partitions[partition];
        led.leader = others[at];
        led.epoch += 1;
    }

    /// The cluster notices that a broker is gone: others lead what it led.
    pub(crate) fn lose(&mut self, broker: i32) {
        self.lost.push(broker);
        for partition in 0..self.partitions.len() {
            if self.partitions[partition].leader == broker {
                self.move_leader(partition);
            }
        }
        if self.controller == broker {
            self.controller = self.live()[0];
        }
    }

    /// An unclean election: the next leader has nothing from `end` on, where a batch begins.
    pub(crate) fn take_back(&mut self, partition: usize, end: usize) {
        self.move_leader(partition);
        let led = &mut self.partitions[partition];
        led.log.truncate(end);
        led.epochs.truncate(led.log.batches.len());
    }

    fn live(&self) -> Vec<i32> {
        let all = 1..=self.addresses.len() as i32;
        all.filter(|id| !self.lost.contains(id)).collect()
    }
}

/// A running cluster.
pub(crate) struct World {
    pub(crate) state: Arc<Mutex<State>>,
    brokers: Vec<Option<Fake>>,
    runs: Vec<watch::Sender<bool>>,
}

impl World {
    /// Brokers with ids from 1, over which the partitions are spread.
    pub(crate) async fn start(brokers: usize, partitions: usize, seed: u64) -> Self {
        let mut listeners = Vec::new();
        for _ in 0..brokers {
            listeners.push(Fake::bind().await);
        }
        let led = |partition| Led {
            leader: (partition % brokers) as i32 + 1,
            epoch: 3,
            ..Led::default()
        };
        let state = State {
            partitions: (0..partitions).map(led).collect(),
            controller: 1,
            older: false,
            lost: Vec::new(),
            addresses: listeners.iter().map(|(_, address)| *address).collect(),
            calls: Vec::new(),
            random: Random((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        };
        let mut world =
            Self { state: Arc::new(Mutex::new(state)), brokers: Vec::new(), runs: Vec::new() };
        for (id, (listener, _)) in (1..).zip(listeners) {
            let (runs, may_run) = watch::channel(true);
            let state = world.state.clone();
            let script = move |call: &Call| answer(&mut state.lock().unwrap(), id, call);
            world.brokers.push(Some(Fake::run_while(listener, may_run, script)));
            world.runs.push(runs);
        }
        world
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The broker stands still, as after SIGSTOP.
    pub(crate) fn stop(&self, broker: i32) {
        self.runs[broker as usize - 1].send_replace(false);
    }

    /// The broker goes on, as after SIGCONT.
    pub(crate) fn resume(&self, broker: i32) {
        self.runs[broker as usize - 1].send_replace(true);
    }

    /// The broker is gone, as after SIGKILL: connections break, new ones are refused.
    pub(crate) fn kill(&mut self, broker: i32) {
        self.brokers[broker as usize - 1] = None;
    }

    /// Settings that know all brokers, with pauses and suspicion of a few milliseconds and
    /// time-outs that nothing here may need.
    pub(crate) fn config(&self) -> ClientConfig {
        ClientConfig::new(self.state().addresses.iter().map(SocketAddr::to_string))
            .connect_timeout(Duration::from_secs(60))
            .request_timeout(Duration::from_secs(60))
            .operation_timeout(Duration::from_secs(60))
            .suspect_after(Duration::from_millis(20))
            .backoff(Duration::from_millis(1), Duration::from_millis(5))
    }

    pub(crate) async fn cluster(&self) -> Cluster {
        Cluster::connect(self.config()).await.unwrap()
    }
}

fn answer(state: &mut State, id: i32, call: &Call) -> Reply {
    state.calls.push((id, call.key));
    match call.key {
        ApiKey::METADATA => answer_metadata(state, call),
        ApiKey::PRODUCE => {
            let response = producer::answer(call, |index, bytes| {
                let led = &mut state.partitions[index as usize];
                if led.leader != id {
                    return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
                }
                led.append(bytes)
            });
            call.answer(&response)
        }
        ApiKey::FETCH => answer_fetch(state, id, call),
        ApiKey::LIST_OFFSETS => answer_list_offsets(state, id, call),
        ApiKey::OFFSET_FOR_LEADER_EPOCH => answer_epoch_ends(state, id, call),
        ApiKey::API_VERSIONS if state.older => call.answer(&versions(&[(ApiKey::FETCH, 11)])),
        _ => basics(call, &[], &[]).expect("a request that is known here"),
    }
}

fn answer_metadata(state: &State, call: &Call) -> Reply {
    let request: MetadataRequest = call.request();
    let mut response = metadata(&request, &state.addresses, &[]);
    response.brokers.retain(|broker| !state.lost.contains(&broker.node_id));
    response.controller_id = state.controller;
    for topic in &mut response.topics {
        let led = (0..).zip(&state.partitions).map(|(index, led)| MetadataResponsePartition {
            partition_index: index,
            leader_id: led.leader,
            leader_epoch: led.epoch,
            ..MetadataResponsePartition::default()
        });
        if topic.error_code == ErrorCode::NONE {
            topic.partitions = led.collect();
        }
    }
    call.answer(&response)
}

fn check_leader(led: &Led, id: i32, epoch: i32) -> Result<(), ErrorCode> {
    if led.leader != id {
        return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
    }
    match epoch {
        -1 => Ok(()),
        epoch if epoch < led.epoch => Err(ErrorCode::FENCED_LEADER_EPOCH),
        epoch if epoch > led.epoch => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
        _ => Ok(()),
    }
}

/// Where the leader's log and the reader's part, if they do. Requests of old versions do not ask.
fn diverging(
    led: &Led,
    id: i32,
    asked: &FetchPartition,
) -> Result<Option<EpochEndOffset>, ErrorCode> {
    check_leader(led, id, asked.current_leader_epoch)?;
    if asked.last_fetched_epoch < 0 {
        return Ok(None);
    }
    match led.epoch_end(asked.last_fetched_epoch) {
        (-1, _) => Err(ErrorCode::OFFSET_OUT_OF_RANGE),
        (epoch, end_offset) if end_offset < asked.fetch_offset => {
            Ok(Some(EpochEndOffset { epoch, end_offset, ..EpochEndOffset::default() }))
        }
        _ => Ok(None),
    }
}

fn read(led: &Led, id: i32, asked: &FetchPartition) -> Result<Bytes, ErrorCode> {
    check_leader(led, id, asked.current_leader_epoch)?;
    let end = led.log.values.len() as i64;
    if asked.fetch_offset > end {
        return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
    }
    let batches = &led.log.batches;
    let next = batches.partition_point(|(base, _)| *base <= asked.fetch_offset);
    if asked.fetch_offset == end {
        return Ok(Bytes::new());
    }
    let (base_offset, bytes) = &batches[next - 1];
    let mut bytes = BytesMut::from(&bytes[..]);
    let header = BatchHeader {
        base_offset: *base_offset,
        partition_leader_epoch: led.epochs[next - 1],
        ..BatchHeader::parse(&bytes).unwrap()
    };
    bytes[..HEADER_SIZE].copy_from_slice(&header.to_bytes());
    Ok(bytes.freeze())
}

fn answer_fetch(state: &State, id: i32, call: &Call) -> Reply {
    let request: FetchRequest = call.request();
    let responses = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let led = &state.partitions[asked.partition as usize];
            let (served, diverging_epoch) = match diverging(led, id, asked) {
                Ok(None) => (read(led, id, asked), EpochEndOffset::default()),
                Ok(Some(diverging)) => (Ok(Bytes::new()), diverging),
                Err(code) => (Err(code), EpochEndOffset::default()),
            };
            PartitionData {
                diverging_epoch,
                partition_index: asked.partition,
                error_code: served.as_ref().err().copied().unwrap_or(ErrorCode::NONE),
                high_watermark: led.log.values.len() as i64,
                records: Records::from(served.unwrap_or_default()),
                ..PartitionData::default()
            }
        });
        FetchableTopicResponse {
            partitions: partitions.collect(),
            topic: topic.topic,
            ..FetchableTopicResponse::default()
        }
    });
    call.answer(&FetchResponse { responses: responses.collect(), ..FetchResponse::default() })
}

fn answer_epoch_ends(state: &State, id: i32, call: &Call) -> Reply {
    let request: OffsetForLeaderEpochRequest = call.request();
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let led = &state.partitions[asked.partition as usize];
            let checked = check_leader(led, id, asked.current_leader_epoch);
            let (leader_epoch, end_offset) = led.epoch_end(asked.leader_epoch);
            offset_for_leader_epoch::EpochEndOffset {
                partition: asked.partition,
                error_code: checked.err().unwrap_or(ErrorCode::NONE),
                leader_epoch,
                end_offset,
                ..Default::default()
            }
        });
        OffsetForLeaderTopicResult {
            partitions: partitions.collect(),
            topic: topic.topic,
            ..OffsetForLeaderTopicResult::default()
        }
    });
    call.answer(&OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() })
}

fn answer_list_offsets(state: &State, id: i32, call: &Call) -> Reply {
    let request: ListOffsetsRequest = call.request();
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let led = &state.partitions[asked.partition_index as usize];
            let checked = check_leader(led, id, asked.current_leader_epoch);
            ListOffsetsPartitionResponse {
                partition_index: asked.partition_index,
                error_code: checked.err().unwrap_or(ErrorCode::NONE),
                offset: if asked.timestamp == -2 { 0 } else { led.log.values.len() as i64 },
                ..ListOffsetsPartitionResponse::default()
            }
        });
        ListOffsetsTopicResponse {
            partitions: partitions.collect(),
            name: topic.name,
            ..ListOffsetsTopicResponse::default()
        }
    });
    call.answer(&ListOffsetsResponse { topics: topics.collect(), ..Default::default() })
}
