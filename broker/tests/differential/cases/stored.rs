//! What is stored of a batch, and what topics that change do to requests under way.

use std::time::Instant;

use bytes::{Buf, Bytes};
use kafka_protocol::messages::delete_topics_request::DeleteTopicsRequest;
use kafka_protocol::messages::fetch_request::FetchRequest;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use super::describe::TOPIC;
use super::produce::{produce, show};
use crate::run::{Run, error};
use crate::support::batch::{Batch, HEADER_SIZE, timestamp};
use crate::support::wire::{READ_TIMEOUT, fetch_request, produce_request, text, topic_name};

pub(crate) fn run(run: &mut Run) {
    codecs(run);
    headers(run);
    size_limit(run);
    deletion(run);
}

/// Produces a batch to a new topic and tells what a consumer gets of it.
fn stored(run: &mut Run, case: &str, configs: &[(&str, &str)], batch: &Batch) {
    let topic = run.create(&format!("stored-{}", case.replace([' ', ',', '\''], "-")), 1, configs);
    let produced = produce(run, &topic, batch.encode());
    let fetched = run.call(12, &fetch_request(&topic, 0, 0, 0)).map(|response| {
        show_header(response.responses[0].partitions[0].records.clone().unwrap_or_default())
    });
    let answer = produced.and_then(|produced| Ok(format!("{produced} {}", fetched?)));
    run.note(&format!("stored, {case}"), answer);
}

/// The header of the first batch; times are relative to the test's.
fn show_header(mut bytes: Bytes) -> String {
    if bytes.len() < HEADER_SIZE {
        return format!("{} bytes", bytes.len());
    }
    let size = usize::try_from(bytes.slice(8..).get_i32()).expect("a batch length") + 12;
    let sound = bytes.slice(17..).get_u32() == crc_fast::crc32_iscsi(&bytes[21..size]);
    bytes.advance(21);
    let attributes = bytes.get_i16();
    let delta = bytes.get_i32();
    let [base, max] = [bytes.get_i64(), bytes.get_i64()].map(|time| time - timestamp());
    // The broker's clock is not the test's.
    let max = if max > 1_000_000 { "now".to_owned() } else { format!("{max:+}") };
    bytes.advance(14);
    let count = bytes.get_i32();
    format!(
        "attributes {attributes} base {base:+} max {max} delta {delta} count {count} sound {sound}"
    )
}

fn codecs(run: &mut Run) {
    let batch = Batch::of(&["a".repeat(300), "b".repeat(300)]);
    for codec in ["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"] {
        stored(run, &format!("compression.type {codec}"), &[("compression.type", codec)], &batch);
    }
}

fn headers(run: &mut Run) {
    let two = || Batch::of(&["a", "b"]).with_timestamp_deltas(&[0, 1000]);
    let append_time = [("message.timestamp.type", "LogAppendTime")];
    for (case, configs, batch) in [
        ("plain", &[][..], two()),
        ("append time", &append_time, two()),
        ("append time, client's bit", &append_time, Batch { attributes: 8, ..two() }),
        ("client's append-time bit", &[], Batch { attributes: 8, ..two() }),
        ("unused bit", &[], Batch { attributes: 0x80, ..two() }),
        ("wrong max timestamp", &[], Batch { max_timestamp: Some(timestamp() + 5), ..two() }),
        (
            "max timestamp too large",
            &[],
            Batch { max_timestamp: Some(timestamp() + 7000), ..two() },
        ),
        ("descending times", &[], Batch::of(&["a", "b"]).with_timestamp_deltas(&[0, -500])),
        ("leader epoch of the client", &[], Batch { leader_epoch: 9, ..two() }),
    ] {
        stored(run, case, configs, &batch);
    }
}

/// A change of configuration holds for the next request.
fn size_limit(run: &mut Run) {
    let topic = run.create("limit", 1, &[]);
    let large = Batch::of(&["x".repeat(1_200_000)]).encode();
    run.note("size limit, above the default", produce(run, &topic, large.clone()));
    let change = AlterableConfig::default()
        .with_name(text("max.message.bytes"))
        .with_value(Some(text("3000000")));
    let resource = AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(&topic))
        .with_configs(vec![change]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    assert_eq!(run.connect().call(1, &request).responses[0].error_code, 0);
    // A broker that learns of the change from a controller may need a moment.
    let mut answer = produce(run, &topic, large.clone());
    let deadline = Instant::now() + READ_TIMEOUT;
    while matches!(&answer, Ok(text) if text.contains("TooLarge")) && Instant::now() < deadline {
        answer = produce(run, &topic, large.clone());
    }
    run.note("size limit, raised", answer);
    let answer = run.call(12, &fetch_request(&topic, 0, 0, 0)).map(|response| {
        let records = response.responses[0].partitions[0].records.clone().unwrap_or_default();
        format!("{} bytes", records.len())
    });
    run.note("size limit, fetch with a limit below the batch", answer);
}

fn deletion(run: &mut Run) {
    let topic = run.create("deleted", 1, &[]);
    run.note("deletion, produce before", produce(run, &topic, Batch::of(&["a"]).encode()));
    let mut parked = run.connect();
    parked.send(12, &fetch_request(&topic, 0, 1, 20_000)).expect("a request can be sent");
    let request = DeleteTopicsRequest::default()
        .with_topic_names(vec![topic_name(&topic)])
        .with_timeout_ms(10_000);
    assert_eq!(run.connect().call(5, &request).responses[0].error_code, 0);
    let answer = parked
        .receive::<FetchRequest>(12)
        .map(|(_, response)| error(response.responses[0].partitions[0].error_code));
    run.note("deletion, fetch under way", answer.map_err(Into::into));
    let request = produce_request(&topic, 0, -1, Batch::of(&["b"]).encode());
    let answer = run.call(9, &request).map(|response| show(9, &response));
    run.note("deletion, produce after", answer);
    let answer = run.call(12, &fetch_request(&topic, 0, 0, 0));
    let answer = answer.map(|response| error(response.responses[0].partitions[0].error_code));
    run.note("deletion, fetch after", answer);
    run.create("deleted", 1, &[]);
    run.note("deletion, new topic of that name", produce(run, &topic, Batch::of(&["c"]).encode()));
}
