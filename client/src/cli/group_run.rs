//! What `synod group …` does.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::each::{Outcome, for_each};
use super::group::{
    DeleteArgs, DescribeArgs, GroupCommand, ListArgs, OffsetDeleteArgs, ResetArgs, ResetTo,
};
use super::group_lag::{Lag, lags};
use super::output::{Failure, all_well, print, print_table, shown};
use crate::Error;
use crate::admin::{Admin, GroupDescription, GroupMember};
use crate::cluster::{Isolation, OffsetSpec, PerPartition, TopicPartition};
use crate::consumer::CommittedOffset;

pub(super) async fn run(command: GroupCommand) -> Result<(), Failure> {
    match command {
        GroupCommand::List(args) => list(args).await,
        GroupCommand::Describe(args) => describe(args).await,
        GroupCommand::Reset(args) => reset(args).await,
        GroupCommand::Delete(args) => delete(args).await,
        GroupCommand::OffsetDelete(args) => delete_offsets(args).await,
    }
}

#[derive(Serialize)]
struct Listed {
    group: String,
    state: String,
    protocol_type: String,
    coordinator: i32,
}

async fn list(args: ListArgs) -> Result<(), Failure> {
    let admin = args.admin.admin().await?;
    let groups = admin.groups().await?.into_iter().map(|group| Listed {
        group: group.id,
        state: group.state,
        protocol_type: group.protocol_type,
        coordinator: group.coordinator,
    });
    let groups: Vec<_> = groups.collect();
    args.admin.show(&groups, |groups| {
        let row = |group: &Listed| {
            let coordinator = group.coordinator.to_string();
            [group.group.clone(), group.state.clone(), group.protocol_type.clone(), coordinator]
        };
        let rows: Vec<_> = groups.iter().map(row).collect();
        print_table(["GROUP", "STATE", "TYPE", "COORDINATOR"], &rows)
    })
}

#[derive(Serialize)]
struct Described {
    group: String,
    state: String,
    protocol: String,
    coordinator: i32,
    members: Vec<Member>,
    partitions: Vec<Place>,
}

#[derive(Serialize)]
struct Member {
    id: String,
    instance_id: Option<String>,
    client_id: String,
    host: String,
    partitions: usize,
}

/// Where the group stands in one partition.
#[derive(Serialize)]
struct Place {
    topic: String,
    partition: i32,
    committed_offset: Option<i64>,
    end_offset: Option<i64>,
    lag: Option<i64>,
    lag_seconds: Option<f64>,
    member: Option<String>,
    error: Option<String>,
}

async fn describe(args: DescribeArgs) -> Result<(), Failure> {
    let admin = args.admin.admin().await?;
    let mut described = Vec::new();
    for group in &args.groups {
        let description = existing(&admin, group).await?;
        let offsets = admin.group_offsets(group).await?;
        let assigned = description.members.iter().flat_map(|member| &member.assignment);
        let all: BTreeSet<_> = offsets.keys().chain(assigned).cloned().collect();
        let lags = lags(admin.cluster(), &all, &offsets).await?;
        described.push(combine(description, &offsets, lags));
    }
    args.admin.show(&described, |described| described.iter().try_for_each(print_described))
}

/// A group that exists, or the failure to say so.
async fn existing(admin: &Admin, group: &str) -> Result<GroupDescription, Failure> {
    let description = admin.group(group).await?;
    match description.state.as_str() {
        "Dead" => Err(Failure::failed(format!("group {group}: there is no such group"))),
        _ => Ok(description),
    }
}

fn combine(
    group: GroupDescription,
    offsets: &BTreeMap<TopicPartition, CommittedOffset>,
    lags: BTreeMap<TopicPartition, Lag>,
) -> Described {
    let owner = |partition: &TopicPartition| {
        group.members.iter().find(|member| member.assignment.contains(partition))
    };
    let place = |(partition, lag): (TopicPartition, Lag)| Place {
        committed_offset: offsets.get(&partition).map(|committed| committed.offset),
        member: owner(&partition).map(|member| member.id.clone()),
        topic: partition.topic.to_string(),
        partition: partition.partition,
        end_offset: lag.end,
        lag: lag.records,
        lag_seconds: lag.seconds,
        error: lag.error,
    };
    let partitions = lags.into_iter().map(place).collect();
    let member = |member: &GroupMember| Member {
        id: member.id.clone(),
        instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        host: member.host.clone(),
        partitions: member.assignment.len(),
    };
    Described {
        members: group.members.iter().map(member).collect(),
        partitions,
        group: group.id,
        state: group.state,
        protocol: group.protocol,
        coordinator: group.coordinator,
    }
}

fn print_described(group: &Described) -> Result<(), Failure> {
    let lag: i64 = group.partitions.iter().filter_map(|place| place.lag).sum();
    print(&format!(
        "group {}  state {}  assignor {}  coordinator {}  members {}  lag {lag}\n",
        group.group,
        group.state,
        Some(&group.protocol).filter(|name| !name.is_empty()).map_or("-", |name| name),
        group.coordinator,
        group.members.len(),
    ))?;
    let row = |place: &Place| {
        [
            place.topic.clone(),
            place.partition.to_string(),
            shown(place.committed_offset),
            shown(place.end_offset),
            shown(place.lag),
            shown(place.lag_seconds.map(|seconds| format!("{seconds:.1}"))),
            shown(place.error.as_ref().or(place.member.as_ref())),
        ]
    };
    let heading = ["TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "LAG-SECONDS", "MEMBER"];
    print_table(heading, &group.partitions.iter().map(row).collect::<Vec<_>>())?;
    if group.members.is_empty() {
        return Ok(());
    }
    let row = |member: &Member| {
        [
            member.id.clone(),
            shown(member.instance_id.as_ref()),
            member.client_id.clone(),
            member.host.clone(),
            member.partitions.to_string(),
        ]
    };
    let heading = ["MEMBER", "INSTANCE", "CLIENT", "HOST", "PARTITIONS"];
    print_table(heading, &group.members.iter().map(row).collect::<Vec<_>>())
}

#[derive(Serialize)]
struct Moved {
    topic: String,
    partition: i32,
    before: Option<i64>,
    after: i64,
}

async fn reset(args: ResetArgs) -> Result<(), Failure> {
    let admin = args.admin.admin().await?;
    let group = &args.group;
    let offsets = admin.group_offsets(group).await?;
    let partitions = match args.topics.is_empty() {
        false => named(&admin, &args.topics).await?,
        true if offsets.is_empty() => {
            let reason = format!("group {group} has committed nothing: name topics with --topic");
            return Err(Failure::failed(reason));
        }
        true => offsets.keys().cloned().collect(),
    };
    if !admin.group(group).await?.members.is_empty() {
        let reason =
            format!("group {group} has members: stop them first, they would go on where they are");
        return Err(Failure::failed(reason));
    }
    let targets = targets(&admin, &args.to, &partitions, &offsets).await?;
    if !args.dry_run {
        let wanted = targets.iter().map(|(p, &offset)| (p.clone(), CommittedOffset::new(offset)));
        all_well(failures(admin.alter_group_offsets(group, &wanted.collect()).await?))?;
    }
    let moved = targets.iter().map(|(partition, &after)| Moved {
        topic: partition.topic.to_string(),
        partition: partition.partition,
        before: offsets.get(partition).map(|committed| committed.offset),
        after,
    });
    let moved: Vec<_> = moved.collect();
    args.admin.show(&moved, |moved| {
        let row = |moved: &Moved| {
            let (partition, after) = (moved.partition.to_string(), moved.after.to_string());
            [moved.topic.clone(), partition, shown(moved.before), after]
        };
        let after = if args.dry_run { "WOULD BE" } else { "IS" };
        let rows: Vec<_> = moved.iter().map(row).collect();
        print_table(["TOPIC", "PARTITION", "WAS", after], &rows)
    })
}

/// Where each partition shall stand; never before its first record or behind its end.
async fn targets(
    admin: &Admin,
    to: &ResetTo,
    partitions: &BTreeSet<TopicPartition>,
    offsets: &BTreeMap<TopicPartition, CommittedOffset>,
) -> Result<BTreeMap<TopicPartition, i64>, Failure> {
    let find = async |spec| {
        let all = partitions.iter().cloned();
        let found = admin.cluster().list_offsets(all, spec, Isolation::ReadUncommitted).await;
        let each = found.into_iter().map(|(p, result)| Ok((p, result?.map(|found| found.offset))));
        each.collect::<Result<BTreeMap<_, _>, Failure>>()
    };
    let (firsts, ends) = (find(OffsetSpec::Beginning).await?, find(OffsetSpec::End).await?);
    let times = match to.to_datetime {
        Some(time) => find(OffsetSpec::Timestamp(time)).await?,
        None => BTreeMap::new(),
    };
    let mut targets = BTreeMap::new();
    for partition in partitions {
        let first = firsts.get(partition).copied().flatten().unwrap_or(0);
        let end = ends.get(partition).copied().flatten().unwrap_or(first);
        let wanted = match to {
            ResetTo { to_earliest: true, .. } => first,
            ResetTo { to_offset: Some(offset), .. } => *offset,
            ResetTo { to_datetime: Some(_), .. } => {
                times.get(partition).copied().flatten().unwrap_or(end)
            }
            ResetTo { shift: Some(shift), .. } => match offsets.get(partition) {
                Some(committed) => committed.offset.saturating_add(*shift),
                None => {
                    let reason = format!("{partition}: nothing is committed that could be shifted");
                    return Err(Failure::failed(reason));
                }
            },
            ResetTo { .. } => end,
        };
        targets.insert(partition.clone(), wanted.clamp(first, end.max(first)));
    }
    Ok(targets)
}

async fn delete(args: DeleteArgs) -> Result<(), Failure> {
    let admin = args.admin.admin().await?;
    for_each(args.admin.json, "group", &args.groups, |group| {
        let admin = &admin;
        async move { admin.delete_group(&group).await.map(|()| Outcome::Deleted) }
    })
    .await
}

#[derive(Serialize)]
struct OffsetDeleted {
    topic: String,
    partition: i32,
    error: Option<String>,
}

async fn delete_offsets(args: OffsetDeleteArgs) -> Result<(), Failure> {
    let admin = args.admin.admin().await?;
    let partitions: Vec<_> = named(&admin, &args.topics).await?.into_iter().collect();
    let results = admin.delete_group_offsets(&args.group, &partitions).await?;
    let deleted = results.into_iter().map(|(partition, result)| OffsetDeleted {
        topic: partition.topic.to_string(),
        partition: partition.partition,
        error: result.err().map(|error| error.to_string()),
    });
    let deleted: Vec<_> = deleted.collect();
    args.admin.show(&deleted, |deleted| {
        let count = deleted.iter().filter(|deleted| deleted.error.is_none()).count();
        match count {
            0 => Ok(()),
            _ => {
                let group = &args.group;
                print(&format!("deleted the offsets of {count} partitions of group {group}\n"))
            }
        }
    })?;
    all_well(deleted.into_iter().filter_map(|deleted| deleted.error))
}

fn failures(results: PerPartition<()>) -> impl Iterator<Item = Error> {
    results.into_values().filter_map(Result::err)
}

/// The partitions that `TOPIC` or `TOPIC:0,1` name.
async fn named(admin: &Admin, topics: &[String]) -> Result<BTreeSet<TopicPartition>, Failure> {
    let mut partitions = BTreeSet::new();
    for text in topics {
        let (name, numbers) = match text.rsplit_once(':') {
            None => (text.as_str(), None),
            Some((name, list)) => {
                let numbers: Result<Vec<i32>, _> = list.split(',').map(str::parse).collect();
                let bad = |_| Failure::usage(format!("'{text}' is not TOPIC or TOPIC:0,1"));
                (name, Some(numbers.map_err(bad)?))
            }
        };
        let topic = admin.topic(name).await?;
        let all = topic.partitions.iter().map(|partition| partition.index);
        for number in numbers.unwrap_or_else(|| all.collect()) {
            if topic.partition(number).is_none() {
                return Err(Failure::failed(format!("topic {name} has no partition {number}")));
            }
            partitions.insert(TopicPartition::new(name, number));
        }
    }
    Ok(partitions)
}
