//! The records that every client writes and reads, chosen for their edges.

use serde::{Deserialize, Serialize};

use crate::support::batch::timestamp;

/// A record as the drivers exchange it; bytes are base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    #[serde(default)]
    pub(crate) topic: String,
    pub(crate) partition: i32,
    #[serde(default)]
    pub(crate) offset: i64,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) headers: Vec<(String, Option<String>)>,
    pub(crate) timestamp: i64,
}

pub(crate) const PARTITIONS: i32 = 2;

/// Records for one topic, with the offsets they must get there.
pub(crate) fn records(topic: &str, null_headers: bool) -> Vec<Record> {
    let every_byte: Vec<u8> = (0..=255).collect();
    let long = "synod ".repeat(4000);
    let mut next = [0; PARTITIONS as usize];
    (0..60u16)
        .map(|index| {
            let partition = i32::from(index) % PARTITIONS;
            let key = match index % 5 {
                0 => None,
                1 => Some(Vec::new()),
                2 => Some(every_byte.clone()),
                _ => Some(format!("key-{index}").into_bytes()),
            };
            let value = match index % 7 {
                // A record without a value has a key: some clients insist.
                3 if key.is_some() => None,
                4 => Some(Vec::new()),
                5 => Some(every_byte.clone()),
                6 => Some(long.clone().into_bytes()),
                _ => Some(format!("välue {index} ✓").into_bytes()),
            };
            let headers = match index % 4 {
                1 => vec![("name".to_owned(), Some(base64(b"Andr\xc3\xa9")))],
                2 => vec![
                    ("a".to_owned(), Some(base64(b"1"))),
                    ("empty".to_owned(), Some(base64(b""))),
                ],
                3 if null_headers => vec![("null".to_owned(), None)],
                _ => Vec::new(),
            };
            let slot = &mut next[usize::from(index) % PARTITIONS as usize];
            *slot += 1;
            Record {
                topic: topic.to_owned(),
                partition,
                offset: *slot - 1,
                key: key.as_deref().map(base64),
                value: value.as_deref().map(base64),
                headers,
                timestamp: timestamp() + i64::from(index) * 7,
            }
        })
        .collect()
}

/// Standard base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte));
        let group = group << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = group >> (18 - 6 * place) & 63;
            text.push(if place <= chunk.len() { char::from(DIGITS[digit as usize]) } else { '=' });
        }
    }
    text
}
