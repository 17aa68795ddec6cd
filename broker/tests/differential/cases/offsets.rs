//! ListOffsets, OffsetForLeaderEpoch and DeleteRecords.

use kafka_protocol::messages::BrokerId;
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use kafka_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};

use crate::run::{Answer, Run, error, list};
use crate::support::batch::{Batch, timestamp};
use crate::support::wire::{fetch_request, produce_request, topic_name};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;

pub(crate) fn run(run: &mut Run) {
    let topic = run.create("offsets", 2, &[]);
    // Ten records, 500 ms apart, in five batches; partition 1 is empty.
    for index in 0..5 {
        let batch = Batch { base_timestamp: timestamp() + index * 1000, ..Batch::of(&["a", "b"]) };
        let records = batch.with_timestamp_deltas(&[0, 500]).encode();
        let response = run.connect().call(9, &produce_request(&topic, 0, -1, records));
        assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    }
    by_kind(run, &topic);
    by_time(run, &topic);
    destinations(run, &topic);
    epochs(run, &topic);
    delete_records(run, &topic);
}

fn ask(run: &Run, version: i16, topic: &str, partition: ListOffsetsPartition) -> Answer<String> {
    let topic =
        ListOffsetsTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    let request =
        ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    send(run, version, &request)
}

fn send(run: &Run, version: i16, request: &ListOffsetsRequest) -> Answer<String> {
    let response = run.call(version, request)?;
    Ok(list(&response.topics, |topic| {
        list(&topic.partitions, |partition| {
            let time = match partition.timestamp {
                time if time >= timestamp() => format!("+{}", time - timestamp()),
                time => time.to_string(),
            };
            let epoch = if partition.leader_epoch >= 0 { " with epoch" } else { "" };
            format!(
                "{} offset {} time {time}{epoch}",
                error(partition.error_code),
                partition.offset
            )
        })
    }))
}

fn at(index: i32, timestamp: i64) -> ListOffsetsPartition {
    ListOffsetsPartition::default().with_partition_index(index).with_timestamp(timestamp)
}

fn by_kind(run: &mut Run, topic: &str) {
    for version in 1..=7 {
        let answer = ask(run, version, topic, at(0, LATEST));
        run.note(&format!("list offsets v{version}, latest"), answer);
    }
    for (case, index, timestamp, version) in [
        ("earliest", 0, EARLIEST, 7),
        ("max timestamp", 0, MAX_TIMESTAMP, 7),
        ("max timestamp", 0, MAX_TIMESTAMP, 6),
        ("kind -4", 0, -4, 7),
        ("kind -9", 0, -9, 7),
        ("latest, empty", 1, LATEST, 7),
        ("earliest, empty", 1, EARLIEST, 7),
        ("max timestamp, empty", 1, MAX_TIMESTAMP, 7),
        ("time 0, empty", 1, 0, 7),
    ] {
        let answer = ask(run, version, topic, at(index, timestamp));
        run.note(&format!("list offsets v{version}, {case}"), answer);
    }
}

fn by_time(run: &mut Run, topic: &str) {
    for (case, timestamp) in [
        ("time 0", 0),
        ("the first record's time", timestamp()),
        ("the fourth record's time", timestamp() + 1500),
        ("a time between the fourth and fifth", timestamp() + 1501),
        ("the last record's time", timestamp() + 4500),
        ("a time after all", timestamp() + 4501),
        ("the latest time there is", i64::MAX),
    ] {
        run.note(&format!("list offsets, {case}"), ask(run, 7, topic, at(0, timestamp)));
    }
}

fn destinations(run: &mut Run, topic: &str) {
    for (case, topic, index) in [
        ("unknown partition", topic, 9),
        ("partition -1", topic, -1),
        ("unknown topic", "zzz", 0),
        ("bad topic name", "../x", 0),
    ] {
        run.note(&format!("list offsets, {case}"), ask(run, 7, topic, at(index, LATEST)));
    }
    let ahead = at(0, LATEST).with_current_leader_epoch(1_000_000);
    run.note("list offsets, current epoch far ahead", ask(run, 7, topic, ahead));
    for level in [1, 9] {
        let topic = ListOffsetsTopic::default()
            .with_name(topic_name(topic))
            .with_partitions(vec![at(0, LATEST)]);
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_isolation_level(level)
            .with_topics(vec![topic]);
        run.note(&format!("list offsets, isolation level {level}"), send(run, 7, &request));
    }
    let topic = ListOffsetsTopic::default()
        .with_name(topic_name(topic))
        .with_partitions(vec![at(0, LATEST), at(0, EARLIEST)]);
    let request =
        ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    run.note("list offsets, one partition twice", send(run, 7, &request));
}

fn epochs(run: &mut Run, topic: &str) {
    for (case, topic, index, epoch, current) in [
        ("epoch far ahead", topic, 0, 1_000_000, -1),
        ("epoch -1", topic, 0, -1, -1),
        ("current epoch far ahead", topic, 0, 0, 1_000_000),
        ("unknown partition", topic, 9, 0, -1),
        ("unknown topic", "zzz", 0, 0, -1),
    ] {
        let partition = OffsetForLeaderPartition::default()
            .with_partition(index)
            .with_leader_epoch(epoch)
            .with_current_leader_epoch(current);
        let topic = OffsetForLeaderTopic::default()
            .with_topic(topic_name(topic))
            .with_partitions(vec![partition]);
        let request = OffsetForLeaderEpochRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_topics(vec![topic]);
        for version in [2, 4] {
            let answer = run.call(version, &request).map(|response| {
                list(&response.topics, |topic| {
                    list(&topic.partitions, |partition| {
                        let end = partition.end_offset;
                        format!(
                            "{} epoch {} end {end}",
                            error(partition.error_code),
                            partition.leader_epoch
                        )
                    })
                })
            });
            run.note(&format!("offset for leader epoch v{version}, {case}"), answer);
        }
    }
}

fn delete_records(run: &mut Run, topic: &str) {
    for (case, name, index, offset) in [
        ("to the middle of a batch", topic, 0, 3),
        ("to before the start", topic, 0, 2),
        ("to beyond the end", topic, 0, 11),
        ("to -2", topic, 0, -2),
        ("of an unknown partition", topic, 9, 1),
        ("of an unknown topic", "zzz", 0, 1),
        ("of a bad topic name", "../x", 0, 1),
    ] {
        let answer = delete(run, name, index, offset);
        run.note(&format!("delete records, {case}"), answer);
    }
    after_delete(run, topic, "up to 3");
    run.note("delete records, to the end", delete(run, topic, 0, -1));
    after_delete(run, topic, "to the end");
    let compacted = run.create("compacted-records", 1, &[("cleanup.policy", "compact")]);
    run.note("delete records, compacted topic", delete(run, &compacted, 0, 0));
}

fn delete(run: &Run, topic: &str, index: i32, offset: i64) -> Answer<String> {
    let partition =
        DeleteRecordsPartition::default().with_partition_index(index).with_offset(offset);
    let topic =
        DeleteRecordsTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(10_000);
    let response = run.call(2, &request)?;
    Ok(list(&response.topics, |topic| {
        list(&topic.partitions, |partition| {
            format!("{} low {}", error(partition.error_code), partition.low_watermark)
        })
    }))
}

fn after_delete(run: &mut Run, topic: &str, case: &str) {
    for (kind, timestamp) in [("earliest", EARLIEST), ("latest", LATEST), ("time 0", 0)] {
        let answer = ask(run, 7, topic, at(0, timestamp));
        run.note(&format!("after deleting {case}, {kind}"), answer);
    }
    for offset in [0, 3, 10] {
        let answer = run.call(12, &fetch_request(topic, 0, offset, 50)).map(|response| {
            let partition = &response.responses[0].partitions[0];
            let records = partition.records.clone().unwrap_or_default();
            let first = records
                .get(..8)
                .map(|bytes| i64::from_be_bytes(bytes.try_into().expect("8 bytes")));
            format!(
                "{} start {} high {} first batch {first:?}",
                error(partition.error_code),
                partition.log_start_offset,
                partition.high_watermark
            )
        });
        run.note(&format!("after deleting {case}, fetch {offset}"), answer);
    }
}
