//! Records, and where they went, as JSON: one object per line.

use std::io::{self, Write};

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::consumer::ConsumerRecord;
use crate::producer::Receipt;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[derive(Serialize)]
struct Line<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: i64,
    headers: Vec<Header<'a>>,
    key: Option<Content<'a>>,
    value: Option<Content<'a>>,
}

#[derive(Serialize)]
struct Header<'a> {
    name: &'a str,
    value: Option<Content<'a>>,
}

/// Bytes: a string where they are text, else `{"base64": "…"}`, so that nothing is lost.
struct Content<'a>(&'a [u8]);

impl Serialize for Content<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("base64", &base64(self.0))?;
                map.end()
            }
        }
    }
}

#[derive(Serialize)]
struct Place<'a> {
    topic: &'a str,
    partition: i32,
    offset: Option<i64>,
    timestamp: i64,
}

/// Prints where a record went, and a line end.
pub(super) fn write_receipt(out: &mut impl Write, receipt: &Receipt) -> io::Result<()> {
    let Receipt { topic, partition, offset, timestamp } = receipt;
    let (partition, offset, timestamp) = (*partition, *offset, *timestamp);
    serde_json::to_writer(&mut *out, &Place { topic, partition, offset, timestamp })?;
    out.write_all(b"\n")
}

/// Prints a record and a line end.
pub(super) fn write_record(out: &mut impl Write, record: &ConsumerRecord) -> io::Result<()> {
    let line = Line {
        topic: &record.topic,
        partition: record.partition,
        offset: record.offset,
        timestamp: record.timestamp,
        headers: record
            .headers
            .iter()
            .map(|(name, value)| Header { name, value: value.as_deref().map(Content) })
            .collect(),
        key: record.key.as_deref().map(Content),
        value: record.value.as_deref().map(Content),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut bits = [0u8; 4];
        bits[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(bits);
        for place in 0..4 {
            let sextet = (bits >> (18 - 6 * place)) & 0x3f;
            let is_padding = place > group.len();
            text.push(if is_padding { '=' } else { BASE64[sextet as usize].into() });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::tests::record;

    #[test]
    fn base64_is_rfc_4648() {
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, encoded) in cases {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
    }

    #[test]
    fn text_is_text_and_the_rest_is_not_lost() {
        let mut record = record("t", 1, 2, None, Some("a \"quoted\"\nline"));
        record.headers = vec![("h".into(), Some(vec![0xff].into())), ("n".into(), None)];
        let mut out = Vec::new();
        write_record(&mut out, &record).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert_eq!(
            line,
            concat!(
                r#"{"topic":"t","partition":1,"offset":2,"timestamp":0,"#,
                r#""headers":[{"name":"h","value":{"base64":"/w=="}},{"name":"n","value":null}],"#,
                r#""key":null,"value":"a \"quoted\"\nline"}"#,
                "\n"
            )
        );
    }
}
