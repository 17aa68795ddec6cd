//! Batches with wrong bytes under a right checksum: what the broker takes, every consumer can read.

use bytes::Bytes;
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, Record,
    RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use crate::Watched;
use crate::mutations::BYTES;
use crate::support::batch::{Batch, HEADER_SIZE, timestamp};
use crate::support::wire::{Connection, fetch_request, produce_request};

/// Where the checksum lies, and where what it covers begins.
const CRC: std::ops::Range<usize> = 17..21;

#[test]
fn whatever_is_taken_can_be_read() {
    let mut watched = Watched::start();
    watched.create("poisoned");
    let mut taken = 0;
    let mut refused = 0;
    for (name, batch) in batches() {
        for position in CRC.end..batch.len() {
            for byte in BYTES {
                let mut bytes = batch.to_vec();
                bytes[position] = byte;
                let crc = crc_fast::crc32_iscsi(&bytes[CRC.end..]);
                bytes[CRC].copy_from_slice(&crc.to_be_bytes());
                let connection = &mut watched.connect();
                match produce(connection, Bytes::from(bytes)) {
                    None => refused += 1,
                    Some(offset) => {
                        taken += 1;
                        let what = format!("{name} with {byte:#04x} at {position}");
                        read(connection, offset, &what);
                    }
                }
            }
        }
    }
    println!("{taken} taken, {refused} refused");
    assert!(taken > 0 && refused > 0);
    watched.check_memory();
}

/// A small batch in each codec.
fn batches() -> Vec<(&'static str, Bytes)> {
    let plain = Batch::of(&["value", "another value"]).with_keys(&[Some("key"), None]).encode();
    let mut batches = vec![("plain", plain)];
    for (name, codec) in [
        ("gzip", Compression::Gzip),
        ("snappy", Compression::Snappy),
        ("lz4", Compression::Lz4),
        ("zstd", Compression::Zstd),
    ] {
        let mut bytes = bytes::BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: codec };
        let records = [record(0), record(1)];
        RecordBatchEncoder::encode(&mut bytes, &records, &options).expect("an encodable batch");
        batches.push((name, bytes.freeze()));
    }
    batches
}

fn record(offset: i64) -> Record {
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset,
        sequence: NO_SEQUENCE,
        timestamp: timestamp() + offset,
        key: Some(Bytes::from_static(b"key")),
        value: Some(Bytes::from_static(b"value value value")),
        headers: Default::default(),
    }
}

/// The offset of the batch, if it is taken.
fn produce(connection: &mut Connection, batch: Bytes) -> Option<i64> {
    let response = connection.call(9, &produce_request("poisoned", 0, -1, batch));
    let answer = &response.responses[0].partition_responses[0];
    (answer.error_code == 0).then_some(answer.base_offset)
}

/// Reads the batch at the end of the partition, record by record.
fn read(connection: &mut Connection, offset: i64, what: &str) {
    let response = connection.call(11, &fetch_request("poisoned", 0, offset, 0));
    let answer = &response.responses[0].partitions[0];
    let mut bytes = answer.records.clone().unwrap_or_default();
    assert!(bytes.len() > HEADER_SIZE, "{what}: nothing to read");
    let sets = RecordBatchDecoder::decode_all(&mut bytes)
        .unwrap_or_else(|error| panic!("{what}: taken at {offset}, but not readable: {error}"));
    let records: Vec<_> = sets.into_iter().flat_map(|set| set.records).collect();
    let offsets: Vec<i64> = records.iter().map(|record| record.offset).collect();
    let expected: Vec<i64> = (offset..answer.high_watermark).collect();
    assert_eq!(offsets, expected, "{what}: offsets read");
}
