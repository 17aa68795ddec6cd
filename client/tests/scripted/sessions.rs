//! The consumer in fetch sessions: with a broker that remembers, forgets and refuses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use synod_client::Compression;
use synod_client::cluster::TopicPartition;
use synod_client::consumer::{Consumer, ConsumerConfig, Start};
use synod_client::wire::messages::fetch::{
    FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData,
};
use synod_client::wire::{ApiKey, ErrorCode, Records};

use crate::consumer::{BATCH, batch, list_offsets};
use crate::fake::{Call, Fake, Reply, basics, cluster};
use crate::model::Random;

const PARTITIONS: i32 = 6;
const END: i64 = 200;

/// A broker's side of the sessions, by the letter of KIP-227.
#[derive(Debug, Default)]
struct Broker {
    /// Next epoch, and where each partition is to be read, by session id.
    sessions: BTreeMap<i32, (i32, BTreeMap<i32, i64>)>,
    last_id: i32,
    /// Partitions named in requests of running sessions, and those requests.
    named: usize,
    increments: usize,
    /// Sessions that the client ended.
    ended: usize,
}

impl Broker {
    /// Takes a request into its session: what to read, and the session's id in the answer.
    fn turn(&mut self, request: &FetchRequest) -> Result<(BTreeMap<i32, i64>, i32), ErrorCode> {
        let named = request.topics.iter().flat_map(|topic| &topic.partitions);
        let named: BTreeMap<_, _> =
            named.map(|asked| (asked.partition, asked.fetch_offset)).collect();
        match request.session_epoch {
            -1 => {
                self.ended += usize::from(self.sessions.remove(&request.session_id).is_some());
                Ok((named, 0))
            }
            0 => {
                self.sessions.remove(&request.session_id);
                self.last_id += 1;
                self.sessions.insert(self.last_id, (1, named.clone()));
                Ok((named, self.last_id))
            }
            epoch => {
                let id = request.session_id;
                let session = self.sessions.get_mut(&id);
                let (next, places) = session.ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
                if *next != epoch {
                    return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
                }
                *next += 1;
                self.named += named.len();
                self.increments += 1;
                let gone = request.forgotten_topics_data.iter().flat_map(|gone| &gone.partitions);
                gone.for_each(|partition| assert!(places.remove(partition).is_some()));
                places.extend(named);
                Ok((places.clone(), id))
            }
        }
    }
}

fn respond(call: &Call, served: Vec<(i32, Bytes)>, session_id: i32) -> Reply {
    let partition = |(partition_index, records): (i32, Bytes)| PartitionData {
        partition_index,
        high_watermark: END,
        records: Records::from(records),
        ..PartitionData::default()
    };
    let topic = FetchableTopicResponse {
        topic: "t".into(),
        partitions: served.into_iter().map(partition).collect(),
        ..FetchableTopicResponse::default()
    };
    call.answer(&FetchResponse { responses: vec![topic], session_id, ..FetchResponse::default() })
}

/// A broker that serves few partitions at a time, and every so often forgets its sessions, loses
/// count, closes the connection, or answers under an id of its own.
async fn broker(state: Arc<Mutex<Broker>>, seed: u64, faults: u64) -> Fake {
    let (listener, address) = Fake::bind().await;
    let mut random = Random(seed);
    Fake::run(listener, move |call| {
        if let Some(reply) = basics(call, &[address], &[1; PARTITIONS as usize]) {
            return reply;
        }
        if call.key == ApiKey::LIST_OFFSETS {
            return list_offsets(call, 0, END);
        }
        let mut state = state.lock().unwrap();
        let fault = if random.below(100) < faults { random.below(5) } else { 5 };
        match fault {
            0 => state.sessions.clear(),
            1 => state.sessions.values_mut().for_each(|(next, _)| *next += 1),
            2 => return Reply::Close,
            _ => {}
        }
        let (places, id) = match state.turn(&call.request()) {
            Ok(turn) => turn,
            Err(error_code) => {
                return call.answer(&FetchResponse { error_code, ..FetchResponse::default() });
            }
        };
        let id = if fault == 3 { id + 1000 } else { id };
        let mut served = Vec::new();
        for (partition, offset) in places {
            // Only what there is to say comes back, and not always all of it.
            if offset < END && random.below(3) > 0 {
                served.push((partition, batch(offset - offset % BATCH, Compression::None)));
            }
        }
        respond(call, served, id)
    })
}

async fn read_all(consumer: &mut Consumer, seed: u64) {
    let mut next: BTreeMap<i32, i64> = (0..PARTITIONS).map(|partition| (partition, 0)).collect();
    while next.values().any(|&next| next < END) {
        let record = consumer.next().await.unwrap();
        let expected = next.get_mut(&record.partition).unwrap();
        assert_eq!(record.offset, *expected, "seed {seed}");
        *expected += 1;
    }
}

#[tokio::test]
async fn sessions_that_break_lose_and_repeat_nothing() {
    for seed in 1..20 {
        let state = Arc::default();
        let fake = broker(state, seed, 25).await;
        let cluster = cluster(fake.address).await;
        let mut consumer = Consumer::new(cluster, ConsumerConfig::default()).unwrap();
        consumer.assign_topic("t", Start::Beginning).await.unwrap();
        // What is paused leaves the session, and comes back to it.
        let paused = TopicPartition::new("t", (seed % 6) as i32);
        consumer.pause(&paused).unwrap();
        for _ in 0..50 {
            assert_ne!(consumer.next().await.unwrap().partition, paused.partition);
        }
        consumer.resume(&paused).unwrap();
        let all = (0..PARTITIONS).map(|p| (TopicPartition::new("t", p), Start::Beginning));
        consumer.assign(all).await.unwrap();
        read_all(&mut consumer, seed).await;
    }
}

#[tokio::test]
async fn a_running_session_names_only_what_moved_and_is_ended_in_the_end() {
    let state: Arc<Mutex<Broker>> = Arc::default();
    let fake = broker(state.clone(), 7, 0).await;
    let cluster = cluster(fake.address).await;
    let mut consumer = Consumer::new(cluster, ConsumerConfig::default()).unwrap();
    consumer.assign_topic("t", Start::Beginning).await.unwrap();
    read_all(&mut consumer, 7).await;
    {
        let state = state.lock().unwrap();
        assert!(state.increments > 30, "{state:?}");
        let all = state.increments * PARTITIONS as usize;
        assert!(state.named < all, "{} partitions named of {all}", state.named);
        assert_eq!(state.sessions.len(), 1, "one session serves them all");
    }
    consumer.close().await;
    // The request is on its way; another one behind it on the same connection finds it done.
    let ended = async {
        while state.lock().unwrap().ended == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), ended).await.expect("it is told");
}
