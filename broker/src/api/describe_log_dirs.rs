//! DescribeLogDirs: how much room partitions take in the data directory, and how much there is; for
//! Synod's own tools also where each replica stands.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use synod_log::key::PartitionKey;
use synod_wire::messages::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsPartition, DescribeLogDirsRequest,
    DescribeLogDirsResponse, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use synod_wire::{RequestHeader, Str};
use tokio::sync::oneshot;

use crate::context::Context;
use crate::control::METADATA_KEY;
use crate::metadata::TopicImage;
use crate::shard::ShardRequest;

/// No number is known.
const UNKNOWN_SIZE: i64 = -1;

pub(crate) async fn handle(
    context: &Context,
    _header: &RequestHeader,
    request: DescribeLogDirsRequest,
) -> DescribeLogDirsResponse {
    let wanted = Wanted::of(request.topics);
    let mut standing = if request.synod { standing(context).await } else { HashMap::new() };
    let image = context.image();
    let mut topics = BTreeMap::<Str, Vec<DescribeLogDirsPartition>>::new();
    for (id, hosted) in context.partitions().all().iter() {
        // A partition without a topic is being deleted.
        let Some(topic) = image.topic_by_id(*id) else { continue };
        for (index, view) in hosted.iter() {
            let synod = standing.remove(&view.key()).unwrap_or_default();
            let index = i32::try_from(*index).unwrap_or(i32::MAX);
            if wanted.contains(&topic.name, index) {
                let partition = DescribeLogDirsPartition {
                    partition_index: index,
                    partition_size: i64::try_from(view.log().size()).unwrap_or(i64::MAX),
                    synod,
                    ..DescribeLogDirsPartition::default()
                };
                topics.entry(Str::from(&*topic.name)).or_default().push(partition);
            }
        }
    }
    if let Some(synod) = standing.remove(&METADATA_KEY) {
        let name = Str::from(&*TopicImage::metadata_log().name);
        let partition = DescribeLogDirsPartition { synod, ..DescribeLogDirsPartition::default() };
        topics.insert(name, vec![partition]);
    }
    let topics = topics.into_iter().map(|(name, mut partitions)| {
        partitions.sort_by_key(|partition| partition.partition_index);
        DescribeLogDirsTopic { name, partitions }
    });
    let data_dir = &context.config().data_dir;
    let (total_bytes, usable_bytes) = space(data_dir);
    let shown = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.clone());
    let result = DescribeLogDirsResult {
        log_dir: shown.display().to_string().into(),
        topics: topics.collect(),
        total_bytes,
        usable_bytes,
        ..DescribeLogDirsResult::default()
    };
    DescribeLogDirsResponse { results: vec![result], ..DescribeLogDirsResponse::default() }
}

/// Where all replicas of this broker stand, as JSON.
async fn standing(context: &Context) -> HashMap<PartitionKey, Str> {
    let mut answers = Vec::new();
    for shard in context.broker().shards() {
        let (reply, answer) = oneshot::channel();
        if shard.send(ShardRequest::Describe { reply }).await {
            answers.push(answer);
        }
    }
    let mut standing = HashMap::new();
    for answer in answers {
        // A shard that stops answers no more.
        for (key, status) in answer.await.unwrap_or_default() {
            standing.insert(key, serde_json::to_string(&status).unwrap_or_default().into());
        }
    }
    standing
}

/// Which partitions a client wants to hear of.
enum Wanted {
    All,
    These(BTreeMap<Str, BTreeSet<i32>>),
}

impl Wanted {
    fn of(topics: Option<Vec<DescribableLogDirTopic>>) -> Self {
        let Some(topics) = topics else { return Self::All };
        let mut wanted = BTreeMap::<Str, BTreeSet<i32>>::new();
        for topic in topics {
            wanted.entry(topic.topic).or_default().extend(topic.partitions);
        }
        Self::These(wanted)
    }

    fn contains(&self, topic: &str, partition: i32) -> bool {
        match self {
            Self::All => true,
            Self::These(topics) => topics.get(topic).is_some_and(|set| set.contains(&partition)),
        }
    }
}

/// Bytes of the file system that holds the data directory: all, and those still to be had.
fn space(data_dir: &Path) -> (i64, i64) {
    let Ok(stat) = rustix::fs::statvfs(data_dir) else { return (UNKNOWN_SIZE, UNKNOWN_SIZE) };
    let bytes =
        |blocks: u64| i64::try_from(blocks.saturating_mul(stat.f_frsize)).unwrap_or(i64::MAX);
    (bytes(stat.f_blocks), bytes(stat.f_bavail))
}
