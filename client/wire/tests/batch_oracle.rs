//! Record batches against other implementations: round trips with the `kafka-protocol` crate, and
//! batches written by Apache Kafka itself (`fixtures/WriteBatches.java`).

// A helper that fails fails its test.
#![allow(clippy::unwrap_used)]

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as oracle;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use synod_wire::Str;
use synod_wire::batch::{
    Batch, BatchBuilder, BatchError, Batches, Compression, HEADER_SIZE, NewRecord, ProducerStamp,
    Record, TimestampType,
};

const MAX_SIZE: usize = 1 << 20;
const STAMP: ProducerStamp =
    ProducerStamp { producer_id: 77, producer_epoch: 5, base_sequence: 1000 };

fn bytes() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        9 => vec(any::<u8>(), 0..200).prop_map(Bytes::from),
        1 => (any::<u8>(), 0..40_000usize).prop_map(|(byte, size)| vec![byte; size].into()),
    ]
}

fn headers() -> impl Strategy<Value = Vec<(Str, Option<Bytes>)>> {
    // The oracle keeps headers in a map, so keys are made unique by their place.
    vec((".{0,12}", option::of(bytes())), 0..4).prop_map(|headers| {
        let named = headers.into_iter().enumerate();
        named.map(|(i, (key, value))| (Str::from(format!("{i}{key}")), value)).collect()
    })
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let record = (0..i64::MAX / 2, option::of(bytes()), option::of(bytes()), headers());
    vec(record, 1..30).prop_map(|records| {
        let numbered = records.into_iter().zip(0..);
        let record = |((timestamp, key, value, headers), offset)| Record {
            offset,
            timestamp,
            key,
            value,
            headers,
        };
        numbered.map(record).collect()
    })
}

fn codec() -> impl Strategy<Value = Compression> {
    proptest::sample::select(&Compression::ALL[..])
}

fn build(records: &[Record], codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::new();
    for record in records {
        let record = NewRecord {
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &record.headers,
        };
        let before = builder.size();
        builder.append(&record).unwrap();
        assert!(builder.size() - before <= record.max_size());
    }
    builder.build(codec, STAMP).unwrap()
}

/// The only batch in `bytes`, checksum verified.
fn parse(bytes: Bytes) -> Batch {
    let mut batches = Batches::new(bytes);
    let batch = batches.next().unwrap().unwrap();
    assert!(batches.next().is_none());
    batch.verify_crc().unwrap();
    batch
}

fn read(batch: &Batch) -> Vec<Record> {
    batch.records(MAX_SIZE * 16).unwrap().collect::<Result<_, _>>().unwrap()
}

fn oracle_codec(codec: Compression) -> oracle::Compression {
    match codec {
        Compression::None => oracle::Compression::None,
        Compression::Gzip => oracle::Compression::Gzip,
        Compression::Snappy => oracle::Compression::Snappy,
        Compression::Lz4 => oracle::Compression::Lz4,
        Compression::Zstd => oracle::Compression::Zstd,
    }
}

fn to_oracle(record: &Record) -> oracle::Record {
    let headers: IndexMap<_, _> = record
        .headers
        .iter()
        .map(|(key, value)| (StrBytes::from_string(key.to_string()), value.clone()))
        .collect();
    oracle::Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 9,
        producer_id: STAMP.producer_id,
        producer_epoch: STAMP.producer_epoch,
        timestamp_type: oracle::TimestampType::Creation,
        offset: record.offset,
        sequence: STAMP.base_sequence + record.offset as i32,
        timestamp: record.timestamp,
        key: record.key.clone(),
        value: record.value.clone(),
        headers,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_we_build_we_read(records in records(), codec in codec()) {
        let batch = parse(build(&records, codec));
        let header = batch.header();
        prop_assert!(header.is_dense());
        prop_assert_eq!(header.compression().unwrap(), codec);
        prop_assert_eq!(header.record_count as usize, records.len());
        prop_assert_eq!(Some(header.max_timestamp), records.iter().map(|r| r.timestamp).max());
        prop_assert_eq!(read(&batch), records);
    }

    #[test]
    fn the_oracle_reads_what_we_build(records in records(), codec in codec()) {
        let mut bytes = build(&records, codec);
        let sets = oracle::RecordBatchDecoder::decode_all(&mut bytes).unwrap();
        prop_assert_eq!(sets.len(), 1);
        prop_assert_eq!(sets[0].compression, oracle_codec(codec));
        let ours: Vec<_> = records
            .iter()
            .map(|record| oracle::Record { partition_leader_epoch: -1, ..to_oracle(record) })
            .collect();
        prop_assert_eq!(&sets[0].records, &ours);
    }

    #[test]
    fn we_read_what_the_oracle_builds(records in records(), codec in codec()) {
        let theirs: Vec<_> = records.iter().map(to_oracle).collect();
        let options =
            oracle::RecordEncodeOptions { version: 2, compression: oracle_codec(codec) };
        let mut out = BytesMut::new();
        oracle::RecordBatchEncoder::encode(&mut out, &theirs, &options).unwrap();
        let mut found = Vec::new();
        for batch in Batches::new(out.freeze()) {
            let batch = batch.unwrap();
            batch.verify_crc().unwrap();
            prop_assert_eq!(batch.header().partition_leader_epoch, 9);
            prop_assert_eq!(batch.header().producer_id, STAMP.producer_id);
            found.extend(read(&batch));
        }
        prop_assert_eq!(found, records);
    }

    #[test]
    fn a_new_producer_stamp_changes_nothing_else(records in records(), codec in codec()) {
        let batch = parse(build(&records, codec));
        let stamp = ProducerStamp { producer_id: 1, producer_epoch: 0, base_sequence: 0 };
        let again = parse(batch.with_producer(stamp));
        prop_assert_eq!(again.header().producer_id, 1);
        prop_assert_eq!(again.header().base_sequence, 0);
        prop_assert_eq!(again.body(), batch.body());
        prop_assert_eq!(again.header().max_timestamp, batch.header().max_timestamp);
    }

    #[test]
    fn a_header_survives_its_bytes(fixed in any::<[u8; HEADER_SIZE]>()) {
        let mut fixed = fixed;
        fixed[16] = 2;
        fixed[8] &= 0x7f;
        fixed[9] |= 1;
        let header = synod_wire::batch::BatchHeader::parse(&fixed).unwrap();
        prop_assert_eq!(header.to_bytes(), fixed);
    }
}

#[test]
fn batches_lie_back_to_back_and_the_last_may_be_cut() {
    let record = NewRecord { value: Some(b"x"), ..NewRecord::default() };
    let mut builder = BatchBuilder::new();
    builder.append(&record).unwrap();
    let one = builder.build(Compression::None, ProducerStamp::NONE).unwrap();
    let mut all = BytesMut::new();
    all.extend_from_slice(&one);
    all.extend_from_slice(&one);
    all.extend_from_slice(&one[..one.len() - 1]);
    let mut batches = Batches::new(all.freeze());
    assert_eq!(batches.next().unwrap().unwrap().bytes(), &one);
    assert_eq!(batches.next().unwrap().unwrap().bytes(), &one);
    let cut = BatchError::Truncated { needed: one.len(), available: one.len() - 1 };
    assert_eq!(batches.next(), Some(Err(cut)));
    assert_eq!(batches.next(), None);
}

#[test]
fn kafkas_own_batches_are_read_with_every_codec() {
    let large = "synod ".repeat(12_000);
    let fixtures: [(Compression, &'static [u8]); 5] = [
        (Compression::None, include_bytes!("fixtures/none.batch")),
        (Compression::Gzip, include_bytes!("fixtures/gzip.batch")),
        (Compression::Snappy, include_bytes!("fixtures/snappy.batch")),
        (Compression::Lz4, include_bytes!("fixtures/lz4.batch")),
        (Compression::Zstd, include_bytes!("fixtures/zstd.batch")),
    ];
    for (codec, bytes) in fixtures {
        let batch = parse(Bytes::from_static(bytes));
        let header = batch.header();
        assert_eq!(header.compression(), Ok(codec));
        assert_eq!((header.base_offset, header.last_offset()), (42, 44));
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (7, 3, 11));
        assert_eq!(header.partition_leader_epoch, 5);
        assert_eq!(header.timestamp_type(), TimestampType::CreateTime);
        assert_eq!(header.max_timestamp, 1_700_000_060_000);
        let expected = [
            Record {
                offset: 42,
                timestamp: 1_700_000_000_000,
                key: Some("key".into()),
                value: Some("value".into()),
                headers: vec![("trace".into(), Some("abc".into())), ("trace".into(), None)],
            },
            Record {
                offset: 43,
                timestamp: 1_699_999_999_000,
                key: None,
                value: Some(large.clone().into()),
                headers: Vec::new(),
            },
            Record {
                offset: 44,
                timestamp: 1_700_000_060_000,
                key: Some("gone".into()),
                value: None,
                headers: Vec::new(),
            },
        ];
        assert_eq!(read(&batch), expected, "{codec}");
    }
}
