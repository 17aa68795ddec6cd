//! Committed offsets: OffsetCommit, OffsetFetch and OffsetDelete.

use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::protocol::StrBytes;

use super::members::{group_id, show_commit};
use crate::run::{Answer, Run, error, list};
use crate::support::wire::{text, topic_name};

pub(crate) fn run(run: &mut Run) {
    let topic = run.create("committed", 3, &[]);
    let group = run.topic("simple");
    commits(run, &group, &topic);
    fetches(run, &group, &topic);
    deletes(run, &group, &topic);
}

fn commit(
    run: &Run,
    version: i16,
    group: &str,
    topic: &str,
    partitions: Vec<OffsetCommitRequestPartition>,
) -> Answer<String> {
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(partitions);
    let request = OffsetCommitRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    run.call(version, &request).map(|answer| show_commit(&answer))
}

fn at(partition: i32, offset: i64) -> OffsetCommitRequestPartition {
    OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_metadata(Some(StrBytes::from_static_str("")))
}

fn commits(run: &mut Run, group: &str, topic: &str) {
    for version in 2..=8 {
        let partition = at(0, i64::from(version));
        let epoch = if version >= 6 { 0 } else { -1 };
        let partition = partition.with_committed_leader_epoch(epoch);
        let answer = commit(run, version, group, topic, vec![partition]);
        run.note(&format!("commit v{version}"), answer);
    }
    let remark = |size| Some(StrBytes::from_string("x".repeat(size)));
    for (case, partition) in [
        ("offset -1", at(1, -1)),
        ("offset -5", at(1, -5)),
        ("the greatest offset", at(1, i64::MAX)),
        ("a remark of 4096", at(1, 10).with_committed_metadata(remark(4096))),
        ("a remark of 4097", at(1, 11).with_committed_metadata(remark(4097))),
        ("no remark", at(1, 12).with_committed_metadata(None)),
        ("leader epoch 77", at(1, 13).with_committed_leader_epoch(77)),
        ("partition 9", at(9, 14)),
        ("partition -1", at(-1, 14)),
    ] {
        run.note(&format!("commit, {case}"), commit(run, 8, group, topic, vec![partition]));
    }
    run.note("commit, unknown topic", commit(run, 8, group, "zzz", vec![at(0, 1)]));
    run.note("commit, bad topic name", commit(run, 8, group, "../x", vec![at(0, 1)]));
    run.note("commit, no partitions", commit(run, 8, group, topic, Vec::new()));
    run.note("commit, no group id", commit(run, 8, "", topic, vec![at(0, 1)]));
    let long = at(1, 11).with_committed_metadata(remark(5000));
    run.note("commit, one of two too long", commit(run, 8, group, topic, vec![long, at(2, 5)]));
    let other = run.topic("other");
    let topic = OffsetCommitRequestTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(vec![at(0, 1)]);
    for (case, generation, member) in
        [("generation 0", 0, ""), ("generation 5 of a member", 5, "m"), ("a member at -1", -1, "m")]
    {
        let request = OffsetCommitRequest::default()
            .with_group_id(group_id(&other))
            .with_generation_id_or_member_epoch(generation)
            .with_member_id(text(member))
            .with_topics(vec![topic.clone()]);
        let answer = run.call(8, &request).map(|answer| show_commit(&answer));
        run.note(&format!("commit for an unknown group, {case}"), answer);
    }
}

fn fetches(run: &mut Run, group: &str, topic: &str) {
    for version in 1..=8 {
        let answer = fetch(run, version, group, Some((topic, &[0, 1, 2, 9])));
        run.note(&format!("fetch offsets v{version}"), answer);
    }
    for version in 2..=8 {
        run.note(&format!("fetch all offsets v{version}"), fetch(run, version, group, None));
    }
    for (case, group, topic) in [
        ("unknown group", "zzz", topic),
        ("unknown topic", group, "zzz"),
        ("no group id", "", topic),
    ] {
        for version in [1, 7, 8] {
            let answer = fetch(run, version, group, Some((topic, &[0])));
            run.note(&format!("fetch offsets v{version}, {case}"), answer);
        }
    }
    run.note("fetch all offsets, unknown group", fetch(run, 8, "zzz", None));
    let groups = [group, "zzz"].map(|group| {
        let topics = OffsetFetchRequestTopics::default()
            .with_name(topic_name(topic))
            .with_partition_indexes(vec![2]);
        OffsetFetchRequestGroup::default()
            .with_group_id(group_id(group))
            .with_topics(Some(vec![topics]))
    });
    let request = OffsetFetchRequest::default().with_groups(groups.into());
    run.note("fetch offsets of two groups", show_groups(run, &request));
}

fn fetch(run: &Run, version: i16, group: &str, of: Option<(&str, &[i32])>) -> Answer<String> {
    if version >= 8 {
        let topics = of.map(|(topic, partitions)| {
            vec![
                OffsetFetchRequestTopics::default()
                    .with_name(topic_name(topic))
                    .with_partition_indexes(partitions.to_vec()),
            ]
        });
        let group = OffsetFetchRequestGroup::default().with_group_id(group_id(group));
        let groups = vec![group.with_topics(topics)];
        return show_groups(run, &OffsetFetchRequest::default().with_groups(groups));
    }
    let topics = of.map(|(topic, partitions)| {
        vec![
            OffsetFetchRequestTopic::default()
                .with_name(topic_name(topic))
                .with_partition_indexes(partitions.to_vec()),
        ]
    });
    let request = OffsetFetchRequest::default().with_group_id(group_id(group)).with_topics(topics);
    let answer = run.call(version, &request)?;
    let topics = list(&answer.topics, |topic| {
        let mut partitions = topic.partitions.clone();
        partitions.sort_by_key(|one| one.partition_index);
        list(&partitions, |one| {
            let remark = one.metadata.as_ref().map(|remark| remark.len());
            let (at, epoch) = (one.committed_offset, one.committed_leader_epoch);
            format!("{} {at} {epoch} {remark:?} {}", one.partition_index, error(one.error_code))
        })
    });
    Ok(format!("{} {topics}", error(answer.error_code)))
}

fn show_groups(run: &Run, request: &OffsetFetchRequest) -> Answer<String> {
    let answer = run.call(8, request)?;
    Ok(list(&answer.groups, |group| {
        let topics = list(&group.topics, |topic| {
            let mut partitions = topic.partitions.clone();
            partitions.sort_by_key(|one| one.partition_index);
            list(&partitions, |one| {
                let remark = one.metadata.as_ref().map(|remark| remark.len());
                let (at, epoch) = (one.committed_offset, one.committed_leader_epoch);
                format!("{} {at} {epoch} {remark:?} {}", one.partition_index, error(one.error_code))
            })
        });
        format!("{} {topics}", error(group.error_code))
    }))
}

fn forget(run: &Run, group: &str, topic: &str, partitions: &[i32]) -> Answer<String> {
    let partitions = partitions
        .iter()
        .map(|index| OffsetDeleteRequestPartition::default().with_partition_index(*index));
    let topic = OffsetDeleteRequestTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(partitions.collect());
    let request =
        OffsetDeleteRequest::default().with_group_id(group_id(group)).with_topics(vec![topic]);
    let answer = run.call(0, &request)?;
    let topics = list(&answer.topics, |topic| {
        let mut partitions = topic.partitions.clone();
        partitions.sort_by_key(|one| one.partition_index);
        list(&partitions, |one| format!("{} {}", one.partition_index, error(one.error_code)))
    });
    Ok(format!("{} {topics}", error(answer.error_code)))
}

fn deletes(run: &mut Run, group: &str, topic: &str) {
    run.note("delete offsets", forget(run, group, topic, &[0, 9]));
    run.note("delete offsets again", forget(run, group, topic, &[0]));
    run.note("fetch a deleted offset", fetch(run, 8, group, Some((topic, &[0, 2]))));
    run.note("delete offsets, unknown group", forget(run, "zzz", topic, &[0]));
    run.note("delete offsets, no group id", forget(run, "", topic, &[0]));
    run.note("delete offsets, unknown topic", forget(run, group, "zzz", &[0]));
}

/// A group that does not consume has no subscriptions to go by.
pub(super) fn delete_offsets_of_workers(run: &mut Run, group: &str) {
    let topic = run.create("workers-topic", 1, &[]);
    run.note("workers: delete offsets", forget(run, group, &topic, &[0]));
}
