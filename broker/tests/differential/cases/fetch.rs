//! Fetch, with and without sessions.

use kafka_protocol::messages::fetch_request::{
    FetchPartition, FetchRequest, FetchTopic, ForgottenTopic,
};
use kafka_protocol::messages::fetch_response::FetchResponse;

use crate::run::{Answer, Run, error, list};
use crate::support::batch::Batch;
use crate::support::wire::{Connection, produce_request, topic_name};

/// Waits in ms: long where something must end the wait, short where nothing will.
const LONG_WAIT: i32 = 20_000;
const SHORT_WAIT: i32 = 50;

pub(crate) fn run(run: &mut Run) {
    let topic = run.create("fetched", 3, &[]);
    // Partition 0 holds five batches of two records, 0 to 9; partition 1 nothing.
    for _ in 0..5 {
        let records = Batch::of(&["value", "value"]).encode();
        let response = run.connect().call(9, &produce_request(&topic, 0, -1, records));
        assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    }
    offsets(run, &topic);
    sizes(run, &topic);
    waits(run, &topic);
    destinations(run, &topic);
    leader_epochs(run, &topic);
    sessions(run, &topic);
    session_errors(run, &topic);
}

fn partition(index: i32, offset: i64) -> FetchPartition {
    FetchPartition::default()
        .with_partition(index)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20)
}

fn request(topic: &str, partitions: Vec<FetchPartition>, wait_ms: i32) -> FetchRequest {
    let topic = FetchTopic::default().with_topic(topic_name(topic)).with_partitions(partitions);
    FetchRequest::default()
        .with_max_wait_ms(wait_ms)
        .with_min_bytes(1)
        .with_max_bytes(50 << 20)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

fn fetch(run: &Run, version: i16, request: &FetchRequest) -> Answer<String> {
    run.call(version, request).map(|response| show(version, &response))
}

fn show(version: i16, response: &FetchResponse) -> String {
    let mut shown = String::new();
    if response.error_code != 0 {
        shown += &format!("{} ", error(response.error_code));
    }
    if response.session_id != 0 {
        shown += "in a session ";
    }
    shown
        + &list(&response.responses, |topic| {
            list(&topic.partitions, |partition| {
                let start = if version >= 5 { partition.log_start_offset } else { 0 };
                let mut shown =
                    format!("{} {}", partition.partition_index, error(partition.error_code));
                shown += &format!(" high {} start {start}", partition.high_watermark);
                shown += &format!(" stable {}", partition.last_stable_offset);
                let diverging = &partition.diverging_epoch;
                if diverging.epoch >= 0 || diverging.end_offset >= 0 {
                    shown += &format!(" diverges {} {}", diverging.epoch, diverging.end_offset);
                }
                shown += &match &partition.records {
                    None => " null records".to_owned(),
                    Some(records) => format!(" batches {}", batches(records)),
                };
                shown
            })
        })
}

/// Base offsets of the whole batches. A Kafka broker may cut the last one off; it does not count.
fn batches(records: &[u8]) -> String {
    let mut bases = Vec::new();
    let mut rest = records;
    while let Some((header, _)) = rest.split_at_checked(12) {
        let base = i64::from_be_bytes(header[..8].try_into().expect("8 bytes"));
        let length = i32::from_be_bytes(header[8..].try_into().expect("4 bytes"));
        let size = 12 + usize::try_from(length).expect("a batch length");
        let Some(next) = rest.get(size..) else { break };
        bases.push(base);
        rest = next;
    }
    format!("{bases:?}")
}

fn offsets(run: &mut Run, topic: &str) {
    for version in [4, 5, 7, 11, 12] {
        let answer = fetch(run, version, &request(topic, vec![partition(0, 0)], LONG_WAIT));
        run.note(&format!("fetch v{version}"), answer);
    }
    for (offset, wait) in [
        (3, LONG_WAIT),
        (9, LONG_WAIT),
        (10, SHORT_WAIT),
        (11, LONG_WAIT),
        (-1, LONG_WAIT),
        (i64::MAX, LONG_WAIT),
    ] {
        for version in [4, 12] {
            let answer = fetch(run, version, &request(topic, vec![partition(0, offset)], wait));
            run.note(&format!("fetch v{version}, offset {offset}"), answer);
        }
    }
}

fn sizes(run: &mut Run, topic: &str) {
    for size in [0, 1, 200, -1] {
        let limited = partition(0, 0).with_partition_max_bytes(size);
        let answer = fetch(run, 12, &request(topic, vec![limited], LONG_WAIT));
        run.note(&format!("fetch, partition max bytes {size}"), answer);
        let limited = request(topic, vec![partition(0, 0)], LONG_WAIT).with_max_bytes(size);
        run.note(&format!("fetch, max bytes {size}"), fetch(run, 12, &limited));
    }
    let limited = |index| partition(index, 0).with_partition_max_bytes(1);
    let answer = fetch(run, 12, &request(topic, vec![limited(1), limited(0)], LONG_WAIT));
    run.note("fetch, an empty partition first, max bytes 1", answer);
    let all = vec![partition(2, 0), partition(0, 0), partition(1, 0)];
    run.note("fetch, order of partitions", fetch(run, 12, &request(topic, all, LONG_WAIT)));
}

fn waits(run: &mut Run, topic: &str) {
    let at_end = |wait| request(topic, vec![partition(0, 10)], wait);
    let cases = [
        ("at the end, min bytes 0", at_end(LONG_WAIT).with_min_bytes(0)),
        ("at the end, min bytes -1", at_end(LONG_WAIT).with_min_bytes(-1)),
        ("at the end, wait 0", at_end(0)),
        ("at the end, wait -1", at_end(-1)),
        (
            "min bytes out of reach",
            request(topic, vec![partition(0, 0)], SHORT_WAIT).with_min_bytes(1 << 20),
        ),
        (
            "at the end and out of range",
            request(topic, vec![partition(0, 10), partition(1, 5)], LONG_WAIT),
        ),
    ];
    for (case, request) in cases {
        run.note(&format!("fetch, {case}"), fetch(run, 12, &request));
    }
    let answer = woken(run, topic);
    run.note("fetch, woken by a produce from another connection", answer);
}

fn woken(run: &Run, topic: &str) -> Answer<String> {
    let waiting = &mut run.connect();
    waiting.send(12, &request(topic, vec![partition(2, 0)], LONG_WAIT))?;
    let records = Batch::of(&["late"]).encode();
    run.connect().call(9, &produce_request(topic, 2, -1, records));
    let (_, response) = waiting.receive::<FetchRequest>(12)?;
    Ok(show(12, &response))
}

fn destinations(run: &mut Run, topic: &str) {
    for (case, topic, index) in [
        ("unknown partition", topic, 9),
        ("partition -1", topic, -1),
        ("unknown topic", "zzz", 0),
        ("bad topic name", "../x", 0),
        ("empty topic name", "", 0),
    ] {
        let answer = fetch(run, 12, &request(topic, vec![partition(index, 0)], SHORT_WAIT));
        run.note(&format!("fetch, {case}"), answer);
    }
    let mut none = request(topic, Vec::new(), SHORT_WAIT);
    none.topics.clear();
    run.note("fetch, no topics", fetch(run, 12, &none));
    for level in [1, 7] {
        let request = request(topic, vec![partition(0, 0)], SHORT_WAIT).with_isolation_level(level);
        run.note(&format!("fetch, isolation level {level}"), fetch(run, 12, &request));
    }
}

fn leader_epochs(run: &mut Run, topic: &str) {
    for (case, current, offset, last) in [
        ("current epoch far ahead", 1_000_000, 0, -1),
        ("current epoch -2", -2, 0, -1),
        ("offset beyond the end, last epoch far ahead", -1, 3, 1_000_000),
    ] {
        let partition =
            partition(0, offset).with_current_leader_epoch(current).with_last_fetched_epoch(last);
        let answer = fetch(run, 12, &request(topic, vec![partition], SHORT_WAIT));
        run.note(&format!("fetch, {case}"), answer);
    }
}

fn sessions(run: &mut Run, topic: &str) {
    let connection = &mut run.connect();
    let all = vec![partition(0, 0), partition(1, 0)];
    let full = request(topic, all, LONG_WAIT).with_session_epoch(0);
    let response = connection.call(12, &full);
    let session = response.session_id;
    run.note("fetch session, first", Ok(show(12, &response)));
    let next = |epoch: i32, partitions: Vec<FetchPartition>| {
        let mut request = request(topic, partitions, SHORT_WAIT);
        request.topics.retain(|topic| !topic.partitions.is_empty());
        request.with_session_id(session).with_session_epoch(epoch)
    };
    let ask = |run: &mut Run, connection: &mut Connection, case: &str, request: &FetchRequest| {
        let answer = connection.try_call(12, request).map(|response| show(12, &response));
        run.note(&format!("fetch session, {case}"), answer.map_err(Into::into));
    };
    ask(run, connection, "same offset again", &next(1, Vec::new()));
    ask(run, connection, "moved to the end", &next(2, vec![partition(0, 10)]));
    ask(run, connection, "nothing new", &next(3, Vec::new()));
    let records = Batch::of(&["new"]).encode();
    run.connect().call(9, &produce_request(topic, 1, -1, records));
    ask(run, connection, "after a produce", &next(4, Vec::new()));
    ask(run, connection, "with an unknown partition", &next(5, vec![partition(9, 0)]));
    ask(run, connection, "the error again", &next(6, Vec::new()));
    let forgotten =
        ForgottenTopic::default().with_topic(topic_name(topic)).with_partitions(vec![1, 9]);
    let forget = next(7, Vec::new()).with_forgotten_topics_data(vec![forgotten]);
    ask(run, connection, "with partitions forgotten", &forget);
    ask(run, &mut run.connect(), "on another connection", &next(8, Vec::new()));
    ask(run, connection, "epoch used before", &next(8, Vec::new()));
    ask(run, connection, "epoch after that", &next(9, Vec::new()));
    ask(run, connection, "closed", &next(-1, vec![partition(0, 10)]));
    ask(run, connection, "after its end", &next(10, Vec::new()));
}

fn session_errors(run: &mut Run, topic: &str) {
    for (id, epoch) in [(12345, 1), (12345, 0), (12345, -1), (0, 1), (0, -1), (-1, 1), (0, -2)] {
        let request = request(topic, vec![partition(0, 0)], SHORT_WAIT)
            .with_session_id(id)
            .with_session_epoch(epoch);
        run.note(&format!("fetch session {id}, epoch {epoch}"), fetch(run, 12, &request));
    }
}
