//! Record batches made by hand, so that each field of the header can be wrong on its own.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{BufMut, Bytes};

/// Size of a batch's header in bytes.
pub(crate) const HEADER_SIZE: usize = 61;

/// A batch of Kafka's format 2. What is `None` is worked out from the records.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) base_offset: i64,
    pub(crate) length: Option<i32>,
    pub(crate) leader_epoch: i32,
    pub(crate) magic: i8,
    pub(crate) crc: Option<u32>,
    pub(crate) attributes: i16,
    pub(crate) last_offset_delta: Option<i32>,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: Option<i64>,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) record_count: Option<i32>,
    /// Bytes in place of the encoded records.
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) records: Vec<TestRecord>,
}

/// One record; its timestamp is the batch's base timestamp plus the delta.
#[derive(Debug, Clone, Default)]
pub(crate) struct TestRecord {
    pub(crate) timestamp_delta: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
}

/// A time for records in tests, in ms: an hour before the first use, the same for the whole run. It
/// is not fixed because retention is by a record's time.
pub(crate) fn timestamp() -> i64 {
    static TIMESTAMP: LazyLock<i64> = LazyLock::new(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
        i64::try_from(now.as_millis()).expect("a clock before the year 292 million") - 3_600_000
    });
    *TIMESTAMP
}

impl Batch {
    /// A valid batch of these values, without keys, from no producer in particular.
    pub(crate) fn of<V: AsRef<[u8]>>(values: &[V]) -> Batch {
        let records = values.iter().map(|value| TestRecord {
            value: Some(value.as_ref().to_vec()),
            ..TestRecord::default()
        });
        Batch {
            base_offset: 0,
            length: None,
            leader_epoch: -1,
            magic: 2,
            crc: None,
            attributes: 0,
            last_offset_delta: None,
            base_timestamp: timestamp(),
            max_timestamp: None,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: None,
            body: None,
            records: records.collect(),
        }
    }

    /// The same batch as an idempotent producer sends it.
    pub(crate) fn with_producer(mut self, id: i64, epoch: i16, sequence: i32) -> Batch {
        self.producer_id = id;
        self.producer_epoch = epoch;
        self.base_sequence = sequence;
        self
    }

    /// Gives each record a key.
    pub(crate) fn with_keys<K: AsRef<[u8]>>(mut self, keys: &[Option<K>]) -> Batch {
        for (record, key) in self.records.iter_mut().zip(keys) {
            record.key = key.as_ref().map(|key| key.as_ref().to_vec());
        }
        self
    }

    /// Gives each record a time, in ms after the batch's.
    pub(crate) fn with_timestamp_deltas(mut self, deltas: &[i64]) -> Batch {
        for (record, delta) in self.records.iter_mut().zip(deltas) {
            record.timestamp_delta = *delta;
        }
        self
    }

    pub(crate) fn encode(&self) -> Bytes {
        let count = i32::try_from(self.records.len()).expect("a small batch");
        let latest = self.records.iter().map(|record| record.timestamp_delta).max().unwrap_or(0);
        let mut checked = Vec::new();
        checked.put_i16(self.attributes);
        checked.put_i32(self.last_offset_delta.unwrap_or(count - 1));
        checked.put_i64(self.base_timestamp);
        checked.put_i64(self.max_timestamp.unwrap_or(self.base_timestamp + latest));
        checked.put_i64(self.producer_id);
        checked.put_i16(self.producer_epoch);
        checked.put_i32(self.base_sequence);
        checked.put_i32(self.record_count.unwrap_or(count));
        match &self.body {
            Some(body) => checked.extend_from_slice(body),
            None => checked.extend_from_slice(&self.encode_records()),
        }
        let length = i32::try_from(checked.len() + 9).expect("a small batch");
        let mut bytes = Vec::with_capacity(checked.len() + 21);
        bytes.put_i64(self.base_offset);
        bytes.put_i32(self.length.unwrap_or(length));
        bytes.put_i32(self.leader_epoch);
        bytes.put_i8(self.magic);
        bytes.put_u32(self.crc.unwrap_or_else(|| crc_fast::crc32_iscsi(&checked)));
        bytes.extend_from_slice(&checked);
        Bytes::from(bytes)
    }

    fn encode_records(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (delta, record) in (0i64..).zip(&self.records) {
            let mut encoded = vec![0];
            put_varint(&mut encoded, record.timestamp_delta);
            put_varint(&mut encoded, delta);
            put_field(&mut encoded, record.key.as_deref());
            put_field(&mut encoded, record.value.as_deref());
            put_varint(&mut encoded, 0);
            put_varint(&mut bytes, i64::try_from(encoded.len()).expect("a small record"));
            bytes.extend_from_slice(&encoded);
        }
        bytes
    }
}

fn put_field(bytes: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        None => put_varint(bytes, -1),
        Some(field) => {
            put_varint(bytes, i64::try_from(field.len()).expect("a small field"));
            bytes.extend_from_slice(field);
        }
    }
}

/// Zigzag and base-128, least significant group first.
fn put_varint(bytes: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}
