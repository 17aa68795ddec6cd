//! Damaged batches: whatever the bytes, reading ends in records or a typed error, within the size
//! cap.

// A helper that fails fails its test.
#![allow(clippy::unwrap_used)]

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use synod_wire::batch::{
    BatchBuilder, BatchError, Batches, CRC_START, Compression, HEADER_SIZE, NewRecord,
    ProducerStamp,
};

const MAX_SIZE: usize = 64 * 1024;

fn sample(codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::new();
    let headers = [("name".into(), Some(Bytes::from_static(b"value"))), ("null".into(), None)];
    for i in 0..8u8 {
        let value = [i; 40];
        let record = NewRecord {
            timestamp: 1_000 + i64::from(i),
            key: (i % 2 == 0).then_some(b"key"),
            value: (i % 3 != 0).then_some(&value),
            headers: &headers,
        };
        builder.append(&record).unwrap();
    }
    builder.build(codec, ProducerStamp::NONE).unwrap()
}

/// Reads everything there is; returns the number of records, and the first error.
fn read_all(bytes: Bytes) -> (usize, Option<BatchError>) {
    let input = bytes.len();
    let mut count = 0;
    for batch in Batches::new(bytes) {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => return (count, Some(error)),
        };
        let records = match batch.records(MAX_SIZE) {
            Ok(records) => records,
            Err(error) => return (count, Some(error)),
        };
        for record in records {
            match record {
                Ok(record) => {
                    let size = record.key.map_or(0, |key| key.len())
                        + record.value.map_or(0, |value| value.len());
                    assert!(size <= MAX_SIZE.max(input));
                    count += 1;
                }
                Err(error) => return (count, Some(error)),
            }
        }
    }
    (count, None)
}

/// Gives the batch a right checksum again, so that damage reaches the parser.
fn reseal(batch: &mut BytesMut) {
    let crc = crc_fast::crc32_iscsi(&batch[CRC_START..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}

#[test]
fn every_cut_is_noticed() {
    for codec in Compression::ALL {
        let whole = sample(codec);
        for size in 1..whole.len() {
            let (count, error) = read_all(whole.slice(..size));
            assert_eq!(count, 0);
            assert!(
                matches!(error, Some(BatchError::Truncated { .. })),
                "{codec} {size} {error:?}"
            );
        }
        assert_eq!(read_all(whole), (8, None));
    }
}

#[test]
fn every_flipped_bit_under_the_checksum_is_noticed() {
    for codec in Compression::ALL {
        let whole = sample(codec);
        for position in CRC_START * 8..whole.len() * 8 {
            let mut damaged = BytesMut::from(&whole[..]);
            damaged[position / 8] ^= 1 << (position % 8);
            let batch = Batches::new(damaged.freeze()).next().unwrap().unwrap();
            assert!(matches!(batch.verify_crc(), Err(BatchError::Checksum { .. })));
        }
    }
}

#[test]
fn every_flipped_bit_with_a_right_checksum_is_survived() {
    for codec in Compression::ALL {
        let whole = sample(codec);
        for position in 0..whole.len() * 8 {
            let mut damaged = BytesMut::from(&whole[..]);
            damaged[position / 8] ^= 1 << (position % 8);
            reseal(&mut damaged);
            let (count, _) = read_all(damaged.freeze());
            assert!(count <= 8, "{codec}: records out of nothing at bit {position}");
        }
    }
}

/// One field of the sample replaced, checksum renewed.
fn with_field(at: usize, value: &[u8]) -> Option<BatchError> {
    let mut batch = BytesMut::from(&sample(Compression::None)[..]);
    batch[at..at + value.len()].copy_from_slice(value);
    reseal(&mut batch);
    read_all(batch.freeze()).1
}

#[test]
fn each_bad_field_has_its_error() {
    for magic in [0u8, 1, 3, 0xff] {
        assert_eq!(with_field(16, &[magic]), Some(BatchError::Magic { magic: magic as i8 }));
    }
    for length in [-1, 0, 48, i32::MIN] {
        assert_eq!(with_field(8, &length.to_be_bytes()), Some(BatchError::Length { length }));
    }
    assert!(matches!(with_field(8, &i32::MAX.to_be_bytes()), Some(BatchError::Truncated { .. })));
    for count in [-1, i32::MIN, i32::MAX, 1_000_000] {
        let error = with_field(57, &count.to_be_bytes());
        assert!(matches!(error, Some(BatchError::Count { count: found, .. }) if found == count));
    }
    assert!(matches!(with_field(57, &7i32.to_be_bytes()), Some(BatchError::Trailing { .. })));
    let error = with_field(57, &9i32.to_be_bytes());
    assert!(matches!(error, Some(BatchError::Record { index: 8, .. })), "{error:?}");
    for id in [5u8, 6, 7] {
        assert_eq!(with_field(22, &[id]), Some(BatchError::Codec { id }));
    }
    // The last offset delta bounds the records' own.
    let error = with_field(23, &3i32.to_be_bytes());
    assert!(matches!(error, Some(BatchError::Record { index: 4, .. })), "{error:?}");
    let error = with_field(0, &i64::MAX.to_be_bytes());
    assert!(matches!(error, Some(BatchError::Record { index: 1, .. })), "{error:?}");
}

#[test]
fn a_compressed_bomb_is_refused_at_the_cap() {
    let value = vec![0; 8 << 20];
    for codec in Compression::ALL.into_iter().filter(|codec| *codec != Compression::None) {
        let mut builder = BatchBuilder::new();
        builder.append(&NewRecord { value: Some(&value), ..NewRecord::default() }).unwrap();
        let bomb = builder.build(codec, ProducerStamp::NONE).unwrap();
        let (count, error) = read_all(bomb);
        assert_eq!((count, error), (0, Some(BatchError::TooLarge { limit: MAX_SIZE })), "{codec}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn garbage_records_are_survived(
        body in proptest::collection::vec(any::<u8>(), 0..300),
        count in 0..40i32,
        codec in 0..5u8,
    ) {
        let mut batch = BytesMut::from(&sample(Compression::None)[..HEADER_SIZE]);
        batch.extend_from_slice(&body);
        let length = (batch.len() - 12) as i32;
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        batch[22] = codec;
        batch[57..61].copy_from_slice(&count.to_be_bytes());
        reseal(&mut batch);
        read_all(batch.freeze());
    }

    #[test]
    fn mutated_batches_are_survived(
        codec in 0..5u8,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let codec = Compression::from_id(codec).unwrap();
        let mut batch = BytesMut::from(&sample(codec)[..]);
        for (index, byte) in edits {
            let at = index.index(batch.len());
            batch[at] = byte;
        }
        reseal(&mut batch);
        read_all(batch.freeze());
    }
}
