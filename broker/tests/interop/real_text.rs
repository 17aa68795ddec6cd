//! Text that people wrote: every line in with one client, out with another, compared by checksum.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::client::Client;
use crate::corpus::{Record, base64};
use crate::support::batch::timestamp;
use crate::support::broker::Broker;
use crate::support::wire::{self, Connection};
use crate::{fresh, kcat};

/// Folders whose files are read if they are there. A Debian machine has the first.
const SOURCES: [&str; 2] = ["/usr/share/common-licenses", "/usr/share/dict"];

/// Lines handed to one produce job.
const JOB_LINES: usize = 50_000;

#[test]
fn licences_and_dictionaries_come_back_unchanged() {
    let lines = lines();
    assert!(lines.len() > 1000, "only {} lines under {SOURCES:?}", lines.len());
    let broker = Broker::external_or_start();
    let topic = fresh("real-text");
    wire::create_topic(&mut Connection::open(broker.kafka()), &topic, 1, &[]);
    let jobs: Vec<_> = lines
        .chunks(JOB_LINES)
        .map(|lines| {
            let records: Vec<_> = lines
                .iter()
                .map(|line| {
                    json!({
                        "partition": 0, "key": null, "value": base64(line), "headers": [],
                        "timestamp": timestamp(),
                    })
                })
                .collect();
            json!({
                "do": "produce", "topic": topic, "codec": "zstd", "idempotent": true,
                "records": records,
            })
        })
        .collect();
    Client::Confluent.run(broker.kafka(), &jobs);

    let expected = checksum(lines.iter().map(|line| base64(line)));
    let job = json!({ "do": "consume", "topics": [topic], "partitions": 1 });
    for client in [Client::FranzGo, Client::Java] {
        let results = client.run(broker.kafka(), std::slice::from_ref(&job));
        let read: Vec<Record> = serde_json::from_value(results[0].clone()).expect("records");
        check(client.name(), &lines, expected, read);
    }
    check("kcat", &lines, expected, kcat::read(broker.kafka(), &[&topic], 1));
}

fn check(reader: &str, lines: &[Vec<u8>], expected: u32, read: Vec<Record>) {
    assert_eq!(read.len(), lines.len(), "lines read by {reader}");
    assert!(read.iter().zip(0..).all(|(record, offset)| record.offset == offset), "{reader}");
    let got = checksum(read.into_iter().map(|record| record.value.unwrap_or_default()));
    assert_eq!(got, expected, "checksum of the lines read by {reader}");
}

/// Checksum of all lines in order, each with an end mark.
fn checksum(lines: impl Iterator<Item = String>) -> u32 {
    lines.fold(0, |sum, line| {
        crc32c::crc32c_append(crc32c::crc32c_append(sum, line.as_bytes()), b"\n")
    })
}

/// Every line of every file, in a fixed order.
fn lines() -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for source in SOURCES.map(Path::new) {
        let Ok(entries) = fs::read_dir(source) else { continue };
        let mut files: Vec<_> =
            entries.map(|entry| entry.expect("a readable folder").path()).collect();
        files.sort();
        for file in files.iter().filter(|file| file.is_file()) {
            let text = fs::read(file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
            lines.extend(text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec));
        }
    }
    lines
}
