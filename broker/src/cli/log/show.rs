//! How a batch, a record and a damage look, as text and as JSON.

use super::dump::Outcome;
use bytes::Bytes;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, Write};
use synod_wire::Str;
use synod_wire::batch::{Batch, BatchHeader, Record};

/// Most bytes that one batch may decompress to here.
const DECOMPRESSED_SIZE: usize = 1 << 30;

/// What is printed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// Records too, not batches only.
    pub(super) records: bool,
    /// JSON lines instead of text.
    pub(super) json: bool,
}

/// Prints a batch, with its records if the style says so and its checksum holds.
pub(super) fn batch(
    out: &mut dyn Write,
    style: Style,
    position: u64,
    batch: &Batch,
    is_intact: bool,
) -> io::Result<()> {
    let (records, problem) =
        if style.records && is_intact { decode(batch) } else { (Vec::new(), None) };
    if style.json {
        let mut object = json_batch(position, batch, is_intact);
        if style.records {
            object["records"] = records.iter().map(json_record).collect();
        }
        writeln!(out, "{object}")?;
    } else {
        writeln!(out, "{}", text_batch(position, batch, is_intact))?;
        for record in &records {
            writeln!(out, "{}", text_record(record))?;
        }
    }
    match problem {
        Some(problem) => damage(out, style, position, &problem),
        None => Ok(()),
    }
}

/// Prints a place that cannot be right.
pub(super) fn damage(
    out: &mut dyn Write,
    style: Style,
    position: u64,
    reason: &str,
) -> io::Result<()> {
    if style.json {
        writeln!(out, "{}", json!({ "position": position, "damage": reason }))
    } else {
        writeln!(out, "position={position} damage: {reason}")
    }
}

/// Prints how the file ends.
pub(super) fn end(
    out: &mut dyn Write,
    style: Style,
    outcome: &Outcome,
    prepared_size: u64,
) -> io::Result<()> {
    let position = outcome.end_position;
    if style.json {
        let end = json!({
            "end_position": position,
            "prepared_size": prepared_size,
            "batch_count": outcome.batch_count,
        });
        writeln!(out, "{end}")
    } else {
        writeln!(out, "end position={position} prepared={prepared_size}")
    }
}

/// Bytes in JSON: a string when they are UTF-8, else `{"hex": "…"}`; null stays null.
pub(super) fn json_bytes(bytes: Option<&Bytes>) -> Value {
    let Some(bytes) = bytes else { return Value::Null };
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => {
            let mut hex = String::with_capacity(bytes.len() * 2);
            for byte in bytes {
                let _ = write!(hex, "{byte:02x}");
            }
            json!({ "hex": hex })
        }
    }
}

fn codec_name(header: &BatchHeader) -> String {
    match header.compression() {
        Ok(codec) => codec.to_string(),
        Err(error) => error.to_string(),
    }
}

fn json_batch(position: u64, batch: &Batch, is_intact: bool) -> Value {
    let header = batch.header();
    json!({
        "position": position,
        "size": batch.size(),
        "base_offset": header.base_offset,
        "end_offset": header.end_offset(),
        "record_count": header.record_count,
        "leader_epoch": header.partition_leader_epoch,
        "codec": codec_name(header),
        "max_timestamp": header.max_timestamp,
        "transactional": header.is_transactional(),
        "control": header.is_control(),
        "producer_id": header.producer_id,
        "producer_epoch": header.producer_epoch,
        "base_sequence": header.base_sequence,
        "crc": format!("{:08x}", header.crc),
        "crc_ok": is_intact,
    })
}

fn text_batch(position: u64, batch: &Batch, is_intact: bool) -> String {
    let header = batch.header();
    let mut text = format!(
        "position={position} offsets={}..{} records={} size={} leader_epoch={} codec={} \
         max_timestamp={}",
        header.base_offset,
        header.end_offset(),
        header.record_count,
        batch.size(),
        header.partition_leader_epoch,
        codec_name(header),
        header.max_timestamp,
    );
    if header.is_idempotent() {
        let (id, epoch) = (header.producer_id, header.producer_epoch);
        let _ = write!(text, " producer={id}:{epoch} sequence={}", header.base_sequence);
    }
    for (is_set, word) in
        [(header.is_transactional(), " transactional"), (header.is_control(), " control")]
    {
        if is_set {
            text.push_str(word);
        }
    }
    text.push_str(if is_intact { " crc=ok" } else { " crc=wrong" });
    text
}

/// The records that can be read, and why the others cannot.
fn decode(batch: &Batch) -> (Vec<Record>, Option<String>) {
    let mut records = Vec::new();
    let iter = match batch.records(DECOMPRESSED_SIZE) {
        Ok(iter) => iter,
        Err(error) => return (records, Some(error.to_string())),
    };
    for record in iter {
        match record {
            Ok(record) => records.push(record),
            Err(error) => return (records, Some(error.to_string())),
        }
    }
    (records, None)
}

fn json_record(record: &Record) -> Value {
    let header = |header: &(Str, Option<Bytes>)| {
        let (name, value) = header;
        json!([&**name, json_bytes(value.as_ref())])
    };
    json!({
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": json_bytes(record.key.as_ref()),
        "value": json_bytes(record.value.as_ref()),
        "headers": record.headers.iter().map(header).collect::<Vec<_>>(),
    })
}

fn text_record(record: &Record) -> String {
    let mut text = format!(
        "  offset={} timestamp={} key={} value={}",
        record.offset,
        record.timestamp,
        text_bytes(record.key.as_ref()),
        text_bytes(record.value.as_ref()),
    );
    for (name, value) in &record.headers {
        let _ = write!(text, " {:?}={}", &**name, text_bytes(value.as_ref()));
    }
    text
}

fn text_bytes(bytes: Option<&Bytes>) -> String {
    let Some(bytes) = bytes else { return "null".into() };
    match std::str::from_utf8(bytes) {
        Ok(text) => format!("{text:?}"),
        Err(_) => format!("b\"{}\"", bytes.escape_ascii()),
    }
}
