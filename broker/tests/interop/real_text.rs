//! Text that people wrote: every line in with one client, out with another, compared by checksum.

use std::fs;
use std::path::Path;
use std::process::Command;

use crc_fast::{CrcAlgorithm, Digest};
use serde_json::json;

use crate::client::{Client, run};
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
    assert!(own_consume(broker.kafka(), &topic) == joined(&lines), "lines read by synod consume");

    // The other way round: in with our own tool, out with another's.
    let topic = fresh("real-text-own");
    wire::create_topic(&mut Connection::open(broker.kafka()), &topic, 1, &[]);
    let produce = ["produce", "-b", broker.kafka(), "-z", "lz4", &topic];
    own(&produce, &joined(&lines));
    check("kcat", &lines, expected, kcat::read(broker.kafka(), &[&topic], 1));
    assert!(own_consume(broker.kafka(), &topic) == joined(&lines), "lines read by synod consume");
}

/// Every line with its end.
fn joined(lines: &[Vec<u8>]) -> Vec<u8> {
    lines.iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect()
}

/// Runs Synod's own command line; it must work. Returns its standard output.
fn own(args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
    command.args(args);
    let output = run(command, input);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "synod {args:?}: {}\n{errors}", output.status);
    output.stdout
}

fn own_consume(bootstrap: &str, topic: &str) -> Vec<u8> {
    own(&["consume", "-b", bootstrap, "-o", "beginning", "-e", "-f", "%s\\n", topic], b"")
}

fn check(reader: &str, lines: &[Vec<u8>], expected: u32, read: Vec<Record>) {
    assert_eq!(read.len(), lines.len(), "lines read by {reader}");
    assert!(read.iter().zip(0..).all(|(record, offset)| record.offset == offset), "{reader}");
    let got = checksum(read.into_iter().map(|record| record.value.unwrap_or_default()));
    assert_eq!(got, expected, "checksum of the lines read by {reader}");
}

/// Checksum of all lines in order, each with an end mark.
fn checksum(lines: impl Iterator<Item = String>) -> u32 {
    let mut sum = Digest::new(CrcAlgorithm::Crc32Iscsi);
    for line in lines {
        sum.update(line.as_bytes());
        sum.update(b"\n");
    }
    sum.finalize() as u32
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
