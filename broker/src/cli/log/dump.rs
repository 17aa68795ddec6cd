//! Reads a segment file from front to back, whatever its state, and tells what it holds.

use super::show::{self, Style};
use bytes::Bytes;
use std::io::{self, Read, Write};
use synod_wire::batch::{Batch, BatchHeader, HEADER_SIZE};

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Batches whose header could be read.
    pub(super) batch_count: u64,
    /// Places that cannot be right.
    pub(super) damage_count: u64,
    /// Where the batches end, in bytes from the start of the file.
    pub(super) end_position: u64,
}

/// Prints every batch of `file`, then how it ends.
///
/// A batch with a wrong checksum is told and passed over; bytes that are no batch end the walk,
/// because nothing says where the next one would begin.
///
/// # Errors
/// Reading or writing failed.
pub(super) fn dump(mut file: impl Read, style: Style, out: &mut dyn Write) -> io::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut expected_offset = None;
    loop {
        let position = outcome.end_position;
        let head = read_up_to(&mut file, HEADER_SIZE as u64)?;
        if head.iter().all(|byte| *byte == 0) {
            return finish(file, head.len() as u64, outcome, style, out);
        }
        let header = match BatchHeader::parse(&head) {
            Ok(header) => header,
            Err(error) => {
                outcome.damage_count += 1;
                show::damage(out, style, position, &format!("no batch: {error}"))?;
                return Ok(outcome);
            }
        };
        let body_size = (header.size() - HEADER_SIZE) as u64;
        let mut bytes = head;
        bytes.append(&mut read_up_to(&mut file, body_size)?);
        if bytes.len() < header.size() {
            outcome.damage_count += 1;
            let reason =
                format!("the batch says {} bytes, the file has {}", header.size(), bytes.len());
            show::damage(out, style, position, &reason)?;
            return Ok(outcome);
        }
        outcome.batch_count += 1;
        outcome.end_position += header.size() as u64;
        outcome.damage_count += show_batch(Bytes::from(bytes), position, style, out)?;
        if expected_offset.is_some_and(|expected| expected != header.base_offset) {
            outcome.damage_count += 1;
            let reason =
                format!("base offset {} does not follow the batch before", header.base_offset);
            show::damage(out, style, position, &reason)?;
        }
        expected_offset = Some(header.end_offset());
    }
}

/// Prints one batch and returns how many damages it has: 0 or 1.
fn show_batch(bytes: Bytes, position: u64, style: Style, out: &mut dyn Write) -> io::Result<u64> {
    let mut rest = bytes;
    let batch = match Batch::split_from(&mut rest) {
        Ok(batch) => batch,
        Err(error) => {
            show::damage(out, style, position, &error.to_string())?;
            return Ok(1);
        }
    };
    let checked = batch.verify_crc();
    show::batch(out, style, position, &batch, checked.is_ok())?;
    match checked {
        Ok(()) => Ok(0),
        Err(error) => {
            show::damage(out, style, position, &error.to_string())?;
            Ok(1)
        }
    }
}

/// Looks at what follows the last batch: prepared space is all zeros.
fn finish(
    mut file: impl Read,
    zeros_so_far: u64,
    mut outcome: Outcome,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<Outcome> {
    let mut zero_size = zeros_so_far;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let size = match file.read(&mut buffer) {
            Ok(size) => size,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if size == 0 {
            break;
        }
        if let Some(index) = buffer[..size].iter().position(|byte| *byte != 0) {
            outcome.damage_count += 1;
            let position = outcome.end_position + zero_size + index as u64;
            show::damage(out, style, position, "bytes that are not zero behind the last batch")?;
            return Ok(outcome);
        }
        zero_size += size as u64;
    }
    show::end(out, style, &outcome, zero_size)?;
    Ok(outcome)
}

/// Reads `size` bytes, fewer at the end of the file. Memory grows with what is really there.
fn read_up_to(file: &mut impl Read, size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(size).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use synod_wire::batch::{BatchBuilder, Compression, NewRecord, ProducerStamp};

    /// A batch at `offset` with one record per value.
    fn batch(offset: i64, codec: Compression, values: &[&str]) -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        for value in values {
            let record = NewRecord {
                timestamp: 1_700_000_000_000,
                key: Some(b"k"),
                value: Some(value.as_bytes()),
                ..NewRecord::default()
            };
            builder.append(&record).expect("room");
        }
        let mut bytes = builder.build(codec, ProducerStamp::NONE).expect("built").to_vec();
        bytes[..8].copy_from_slice(&offset.to_be_bytes());
        bytes[12..16].copy_from_slice(&3_i32.to_be_bytes());
        bytes
    }

    fn segment() -> Vec<u8> {
        [batch(42, Compression::None, &["one", "two\n"]), batch(44, Compression::Zstd, &["three"])]
            .concat()
    }

    fn run(bytes: &[u8], style: Style) -> (Outcome, String) {
        let mut out = Vec::new();
        let outcome = dump(bytes, style, &mut out).expect("memory does not fail");
        (outcome, String::from_utf8(out).expect("text"))
    }

    const PLAIN: Style = Style { records: false, json: false };

    #[test]
    fn batches_and_prepared_space_are_told() {
        let mut bytes = segment();
        let end_position = bytes.len() as u64;
        bytes.resize(bytes.len() + 100_000, 0);
        let (outcome, text) = run(&bytes, Style { records: true, json: false });
        assert_eq!(outcome, Outcome { batch_count: 2, damage_count: 0, end_position });
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("position=0 offsets=42..44 records=2 "), "{text}");
        assert!(lines[0].contains(" leader_epoch=3 ") && lines[0].contains("codec=none"), "{text}");
        assert!(lines[0].ends_with("crc=ok"), "{text}");
        assert!(lines[2].ends_with(r#"offset=43 timestamp=1700000000000 key="k" value="two\n""#));
        assert!(lines[3].contains("codec=zstd"), "{text}");
        assert!(lines[4].contains(r#"value="three""#), "{text}");
        assert_eq!(lines[5], format!("end position={end_position} prepared=100000"));
    }

    #[test]
    fn json_is_one_object_per_line_with_binary_as_hex() {
        let bytes = batch(0, Compression::Gzip, &["x"]);
        let (_, text) = run(&bytes, Style { records: true, json: true });
        let first: serde_json::Value =
            serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
        assert_eq!(first["base_offset"], 0);
        assert_eq!(first["codec"], "gzip");
        assert_eq!(first["crc_ok"], true);
        assert_eq!(first["records"][0]["value"], "x");
        let binary = show::json_bytes(Some(&Bytes::from_static(b"\xff\x00")));
        assert_eq!(binary, serde_json::json!({ "hex": "ff00" }));
        assert_eq!(show::json_bytes(None), serde_json::Value::Null);
    }

    /// Each byte of a segment flipped: never a panic, always told. The bytes outside the checksum
    /// are those that the leader stamps.
    #[test]
    fn every_flipped_byte_is_told_or_outside_the_checksum() {
        let bytes = segment();
        let (_, intact) = run(&bytes, PLAIN);
        for index in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[index] ^= 0x41;
            let (outcome, text) = run(&flipped, Style { records: true, json: false });
            assert!(outcome.damage_count > 0 || text != intact, "byte {index}");
        }
    }

    #[test]
    fn every_cut_is_told() {
        let bytes = segment();
        let second = batch(42, Compression::None, &["one", "two\n"]).len();
        for size in 0..bytes.len() {
            let (outcome, text) = run(&bytes[..size], PLAIN);
            // Zeros look like prepared space, whoever wrote them.
            let boundary = if size < second { 0 } else { second };
            let is_whole = bytes[boundary..size].iter().all(|byte| *byte == 0);
            assert_eq!(outcome.damage_count == 0, is_whole, "{size}: {text}");
        }
    }

    #[test]
    fn gaps_and_stale_bytes_are_damage() {
        let gap =
            [batch(0, Compression::None, &["a"]), batch(5, Compression::None, &["b"])].concat();
        let (outcome, text) = run(&gap, PLAIN);
        assert_eq!((outcome.batch_count, outcome.damage_count), (2, 1), "{text}");
        let mut stale = segment();
        stale.resize(stale.len() + 70_000, 0);
        stale.push(7);
        let (outcome, text) = run(&stale, PLAIN);
        assert_eq!(outcome.damage_count, 1);
        assert!(text.contains("not zero behind the last batch"), "{text}");
    }
}
