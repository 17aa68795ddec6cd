//! What `synod topic …` does.

use std::collections::BTreeMap;

use serde::Serialize;
use synod_wire::ErrorCode;

use super::apply;
use super::each::{Outcome, for_each};
use super::output::{Failure, all_well, complain, print, print_table, shown};
use super::topic::{
    AddPartitionsArgs, AlterArgs, CreateArgs, DeleteArgs, DescribeArgs, ListArgs, TopicCommand,
    TrimArgs,
};
use crate::Error;
use crate::admin::{ConfigChange, ConfigEntry, ConfigResource, ConfigSource, NewTopic};
use crate::cluster::{
    FoundOffset, Isolation, OffsetSpec, Partition, PerPartition, Topic, TopicPartition,
};

pub(super) async fn run(command: TopicCommand) -> Result<(), Failure> {
    match command {
        TopicCommand::Create(args) => create(args).await,
        TopicCommand::List(args) => list(args).await,
        TopicCommand::Describe(args) => describe(args).await,
        TopicCommand::Alter(args) => alter(args).await,
        TopicCommand::AddPartitions(args) => add_partitions(args).await,
        TopicCommand::Delete(args) => delete(args).await,
        TopicCommand::Trim(args) => trim(args).await,
        TopicCommand::Apply(args) => apply::run(args).await,
    }
}

async fn create(args: CreateArgs) -> Result<(), Failure> {
    let admin = args.admin.admin().await?;
    for_each(args.admin.json, "topic", &args.topics, |name| {
        let mut topic = NewTopic::new(&name);
        if let Some(count) = args.partitions {
            topic = topic.partitions(count);
        }
        if let Some(count) = args.replicas {
            topic = topic.replicas(count);
        }
        for (name, value) in &args.config {
            topic = topic.config(name, value);
        }
        let admin = &admin;
        async move {
            match admin.create_topic(topic).await {
                Ok(_) => Ok(Outcome::Created),
                Err(error)
                    if args.if_not_exists
                        && error.code() == Some(ErrorCode::TOPIC_ALREADY_EXISTS) =>
                {
                    Ok(Outcome::Exists)
                }
                Err(error) => Err(error),
            }
        }
    })
    .await
}

async fn delete(args: DeleteArgs) -> Result<(), Failure> {
    let admin = args.admin.admin().await?;
    for_each(args.admin.json, "topic", &args.topics, |name| {
        let admin = &admin;
        async move {
            match admin.delete_topic(&name).await {
                Ok(()) => Ok(Outcome::Deleted),
                Err(error)
                    if args.if_exists
                        && error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) =>
                {
                    Ok(Outcome::Missing)
                }
                Err(error) => Err(error),
            }
        }
    })
    .await
}

#[derive(Serialize)]
struct ListedTopic<'a> {
    name: &'a str,
    partitions: usize,
    replicas: usize,
    internal: bool,
}

async fn list(args: ListArgs) -> Result<(), Failure> {
    let topics = args.admin.admin().await?.topics().await?;
    let listed: Vec<_> = topics
        .iter()
        .filter(|topic| args.internal || !topic.is_internal)
        .map(|topic| ListedTopic {
            name: &topic.name,
            partitions: topic.partitions.len(),
            replicas: topic.partitions.first().map_or(0, |partition| partition.replicas.len()),
            internal: topic.is_internal,
        })
        .collect();
    args.admin.show(&listed, |listed| {
        let row = |topic: &ListedTopic<'_>| {
            [topic.name.to_owned(), topic.partitions.to_string(), topic.replicas.to_string()]
        };
        let rows: Vec<_> = listed.iter().map(row).collect();
        print_table(["TOPIC", "PARTITIONS", "REPLICAS"], &rows)
    })
}

#[derive(Serialize)]
struct DescribedTopic {
    name: String,
    id: String,
    internal: bool,
    partitions: Vec<DescribedPartition>,
    configs: Vec<DescribedConfig>,
}

#[derive(Serialize)]
struct DescribedPartition {
    partition: i32,
    leader: Option<i32>,
    leader_epoch: i32,
    replicas: Vec<i32>,
    in_sync: Vec<i32>,
    offline: Vec<i32>,
    start_offset: Option<i64>,
    end_offset: Option<i64>,
    error: Option<String>,
}

#[derive(Serialize)]
struct DescribedConfig {
    name: String,
    value: Option<String>,
    default: bool,
}

async fn describe(args: DescribeArgs) -> Result<(), Failure> {
    let admin = args.admin.admin().await?;
    let mut topics = Vec::new();
    if args.topics.is_empty() {
        topics = admin.topics().await?;
        topics.retain(|topic| !topic.is_internal);
    }
    for name in &args.topics {
        topics.push(admin.topic(name).await?);
    }
    let mut described = Vec::new();
    for topic in topics {
        let resource = ConfigResource::Topic(topic.name.to_string());
        let configs = admin.describe_config(&resource).await?;
        let partitions =
            || topic.partitions.iter().map(|p| TopicPartition::new(topic.name.clone(), p.index));
        let isolation = Isolation::ReadUncommitted;
        let cluster = admin.cluster();
        let starts = cluster.list_offsets(partitions(), OffsetSpec::Beginning, isolation).await;
        let ends = cluster.list_offsets(partitions(), OffsetSpec::End, isolation).await;
        described.push(describe_topic(&topic, configs, &starts, &ends, args.all));
    }
    args.admin.show(&described, |described| {
        described.iter().enumerate().try_for_each(|(index, topic)| {
            if index > 0 {
                print("\n")?;
            }
            print_description(topic)
        })
    })
}

fn describe_topic(
    topic: &Topic,
    configs: Vec<ConfigEntry>,
    starts: &PerPartition<Option<FoundOffset>>,
    ends: &PerPartition<Option<FoundOffset>>,
    all: bool,
) -> DescribedTopic {
    let config = |entry: ConfigEntry| DescribedConfig {
        default: entry.source != ConfigSource::Topic,
        name: entry.name,
        value: entry.value,
    };
    let mut configs: Vec<_> = configs.into_iter().map(config).collect();
    configs.retain(|config| all || !config.default);
    configs.sort_by(|a, b| a.name.cmp(&b.name));
    let partition = |partition: &Partition| {
        let key = TopicPartition::new(topic.name.clone(), partition.index);
        let error = [starts.get(&key), ends.get(&key)].into_iter().flatten();
        let error = error.filter_map(|result| result.as_ref().err()).next();
        DescribedPartition {
            partition: partition.index,
            leader: partition.leader,
            leader_epoch: partition.leader_epoch,
            replicas: partition.replicas.clone(),
            in_sync: partition.in_sync.clone(),
            offline: partition.offline.clone(),
            start_offset: offset_in(starts, &key),
            end_offset: offset_in(ends, &key),
            error: error.map(Error::to_string),
        }
    };
    DescribedTopic {
        name: topic.name.to_string(),
        id: topic.id.to_string(),
        internal: topic.is_internal,
        partitions: topic.partitions.iter().map(partition).collect(),
        configs,
    }
}

fn offset_in(
    offsets: &PerPartition<Option<FoundOffset>>,
    partition: &TopicPartition,
) -> Option<i64> {
    Some(offsets.get(partition)?.as_ref().ok()?.as_ref()?.offset)
}

fn print_description(topic: &DescribedTopic) -> Result<(), Failure> {
    let count = topic.partitions.len();
    print(&format!("topic {}  id {}  partitions {count}\n", topic.name, topic.id))?;
    let ids = |ids: &[i32]| ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
    let row = |p: &DescribedPartition| {
        [
            p.partition.to_string(),
            shown(p.leader),
            p.leader_epoch.to_string(),
            ids(&p.replicas),
            ids(&p.in_sync),
            shown(p.start_offset),
            shown(p.end_offset),
        ]
    };
    let heading = ["PARTITION", "LEADER", "LEADER-EPOCH", "REPLICAS", "IN-SYNC", "START", "END"];
    print_table(heading, &topic.partitions.iter().map(row).collect::<Vec<_>>())?;
    for partition in &topic.partitions {
        if let Some(error) = &partition.error {
            complain(error);
        }
    }
    if topic.configs.is_empty() {
        return Ok(());
    }
    let row = |config: &DescribedConfig| {
        let value = shown(config.value.as_ref());
        let origin = if config.default { "default" } else { "topic" };
        [config.name.clone(), value, origin.to_owned()]
    };
    print("\n")?;
    print_table(["CONFIG", "VALUE", "FROM"], &topic.configs.iter().map(row).collect::<Vec<_>>())
}

async fn alter(args: AlterArgs) -> Result<(), Failure> {
    let admin = args.admin.admin().await?;
    let set = args.set.into_iter().map(|(name, value)| ConfigChange::Set(name, value));
    let changes: Vec<_> = set.chain(args.unset.into_iter().map(ConfigChange::Unset)).collect();
    let topic = ConfigResource::Topic(args.topic.clone());
    admin.alter_config(&topic, &changes, args.dry_run).await?;
    let altered = Altered { topic: args.topic, settings: changes.len(), dry_run: args.dry_run };
    args.admin.show(&altered, |altered| {
        let done = if altered.dry_run { "would change" } else { "changed" };
        print(&format!("{done} {} of topic {}\n", settings(altered.settings), altered.topic))
    })
}

#[derive(Serialize)]
struct Altered {
    topic: String,
    settings: usize,
    dry_run: bool,
}

fn settings(count: usize) -> String {
    if count == 1 { "1 setting".into() } else { format!("{count} settings") }
}

async fn add_partitions(args: AddPartitionsArgs) -> Result<(), Failure> {
    let admin = args.admin.admin().await?;
    let total = match (args.to, args.num) {
        (Some(total), _) => total,
        (None, added) => {
            let now = admin.topic(&args.topic).await?.partitions.len();
            let now = i32::try_from(now).unwrap_or(i32::MAX);
            let too_many = || Failure::usage("that is more partitions than there can be");
            now.checked_add(added.unwrap_or(0)).ok_or_else(too_many)?
        }
    };
    admin.create_partitions(&args.topic, total).await?;
    let grown = Grown { topic: args.topic, partitions: total };
    args.admin.show(&grown, |grown| {
        print(&format!("topic {} has {} partitions now\n", grown.topic, grown.partitions))
    })
}

#[derive(Serialize)]
struct Grown {
    topic: String,
    partitions: i32,
}

/// Before which place records are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TrimPoint {
    Offset(i64),
    End,
    Timestamp(i64),
}

fn trim_point(text: &str) -> Result<TrimPoint, Failure> {
    let bad = || {
        Failure::usage(format!("'{text}' is not an offset: use a number, 'end' or @MILLISECONDS"))
    };
    let number = |digits: &str| digits.parse::<i64>().ok().filter(|&n| n >= 0);
    match text.strip_prefix('@') {
        Some(time) => number(time).map(TrimPoint::Timestamp).ok_or_else(bad),
        None if text == "end" => Ok(TrimPoint::End),
        None => number(text).map(TrimPoint::Offset).ok_or_else(bad),
    }
}

async fn trim(args: TrimArgs) -> Result<(), Failure> {
    let point = trim_point(&args.offset)?;
    let admin = args.admin.admin().await?;
    let topic = admin.topic(&args.topic).await?;
    let mut partitions = args.partition;
    if partitions.is_empty() {
        partitions.extend(topic.partitions.iter().map(|partition| partition.index));
    }
    let partitions: Vec<_> =
        partitions.into_iter().map(|p| TopicPartition::new(topic.name.clone(), p)).collect();
    let mut before = BTreeMap::new();
    match point {
        TrimPoint::Offset(offset) => {
            before.extend(partitions.into_iter().map(|partition| (partition, Some(offset))));
        }
        TrimPoint::End => before.extend(partitions.into_iter().map(|partition| (partition, None))),
        TrimPoint::Timestamp(time) => {
            let spec = OffsetSpec::Timestamp(time);
            let isolation = Isolation::ReadUncommitted;
            let found = admin.cluster().list_offsets(partitions, spec, isolation).await;
            for (partition, offset) in found {
                // Without a record that late, all there is now is older.
                before.insert(partition, offset?.map(|found| found.offset));
            }
        }
    }
    let trimmed =
        admin.delete_records(before).await.into_iter().map(|(partition, result)| Trimmed {
            partition: partition.partition,
            start_offset: result.as_ref().ok().copied(),
            error: result.err().map(|error| error.to_string()),
        });
    let trimmed: Vec<_> = trimmed.collect();
    args.admin.show(&trimmed, |trimmed| {
        let done = trimmed.iter().filter(|trimmed| trimmed.error.is_none());
        let row = |t: &Trimmed| [t.partition.to_string(), shown(t.start_offset)];
        let rows: Vec<_> = done.map(row).collect();
        if rows.is_empty() { Ok(()) } else { print_table(["PARTITION", "START"], &rows) }
    })?;
    all_well(trimmed.into_iter().filter_map(|trimmed| trimmed.error))
}

#[derive(Serialize)]
struct Trimmed {
    partition: i32,
    start_offset: Option<i64>,
    error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trim_points() {
        assert_eq!(trim_point("42").unwrap(), TrimPoint::Offset(42));
        assert_eq!(trim_point("end").unwrap(), TrimPoint::End);
        assert_eq!(trim_point("@1700").unwrap(), TrimPoint::Timestamp(1700));
        for bad in ["", "-1", "@", "@-1", "@yesterday", "1.5", "beginning"] {
            assert!(matches!(trim_point(bad), Err(Failure::Usage(_))), "{bad}");
        }
    }
}
