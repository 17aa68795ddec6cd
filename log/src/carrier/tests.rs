//! Frames and files: what comes back of them, torn, rotten, used again.

use bytes::Bytes;

use super::error::CarrierError;
use super::frame::{
    FRAMES_START, Frame, Header, Kind, Line, Link, SECTOR_SIZE, Seal, encode_frame,
};
use super::recover::{Content, Pieces, recover};
use crate::key::PartitionKey;

fn key(partition: u32) -> PartitionKey {
    PartitionKey { topic: [7; 16], partition }
}

/// Writes frames as a carrier does.
struct Writer {
    bytes: Vec<u8>,
    seal: Seal,
    link: Link,
}

impl Writer {
    fn new(seal: Seal, sequence: u64, previous: u32) -> Self {
        let bytes = Header { seal, sequence, previous }.encode();
        Self { bytes, seal, link: Link { previous, sequence, copies: 1 } }
    }

    /// A frame of one batch of `size` bytes per partition.
    fn write(&mut self, copies: usize, entries: &[(u32, u64, usize)]) {
        let lines: Vec<Line> = entries
            .iter()
            .map(|&(partition, base, size)| {
                let kind = Kind::Batches { base, end: base + 1, size: size as u32 };
                Line { key: key(partition), kind }
            })
            .collect();
        self.write_lines(copies, &lines, |out| {
            for &(partition, base, size) in entries {
                out.extend((0..size).map(|i| (i as u64 + base) as u8 ^ partition as u8));
            }
        });
    }

    fn void(&mut self, partition: u32) {
        self.write_lines(2, &[Line { key: key(partition), kind: Kind::Void }], |_| {});
    }

    fn write_lines(&mut self, copies: usize, lines: &[Line], batches: impl FnOnce(&mut Vec<u8>)) {
        let (at, link) = (self.bytes.len() as u64, Link { copies, ..self.link });
        let crc = encode_frame(&mut self.bytes, at, self.seal, link, lines, batches);
        self.link = Link { previous: crc, sequence: self.link.sequence + 1, copies: 1 };
    }

    /// The whole file, whose rest is zeros.
    fn file(&self) -> Vec<u8> {
        let mut file = self.bytes.clone();
        file.resize(file.len() + 3000, 0);
        file
    }
}

const SEAL: Seal = Seal { salt: 0x1234_5678_9abc_def0, generation: 1 };

fn read(files: &[&[u8]]) -> Result<Pieces, CarrierError> {
    let content = |(i, bytes): (usize, &&[u8])| Content {
        path: format!("/carrier/0-{i}").into(),
        bytes: Bytes::copy_from_slice(bytes),
    };
    Ok(recover(files.iter().enumerate().map(content).collect())?.0)
}

/// Some frames; the last one stands there `copies` times.
fn sample(copies: usize) -> Writer {
    let mut writer = Writer::new(SEAL, 1, 0);
    writer.write(1, &[(0, 0, 100), (1, 0, 700)]);
    writer.write(2, &[(2, 0, 300)]);
    writer.write(1, &[(0, 1, 10), (1, 1, 20), (3, 0, 900)]);
    writer.void(3);
    writer.write(1, &[(0, 2, 40), (3, 1, 50)]);
    writer.write(copies, &[(2, 1, 200), (0, 3, 30)]);
    writer
}

fn ends(pieces: &Pieces, partition: u32) -> Vec<u64> {
    pieces.get(&key(partition)).into_iter().flatten().map(|piece| piece.end).collect()
}

/// Whether every piece is named that should be; `true` if also its bytes are there.
fn check(found: &Pieces, expected: &Pieces, what: &str) -> bool {
    let keys = |pieces: &Pieces| pieces.keys().copied().collect::<Vec<_>>();
    assert_eq!(keys(found), keys(expected), "{what}");
    let mut whole = true;
    for (key, expected) in expected {
        let found = &found[key];
        assert_eq!(found.len(), expected.len(), "{what}: {key}");
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!((found.base, found.end), (expected.base, expected.end), "{what}: {key}");
            whole &= found.batches.is_some();
            assert!(found.batches.is_none() || found.batches == expected.batches, "{what}: {key}");
        }
    }
    whole
}

#[test]
fn what_was_written_is_read() {
    let pieces = read(&[&sample(1).file()]).expect("sound");
    assert_eq!(ends(&pieces, 0), [1, 2, 3, 4]);
    assert_eq!(ends(&pieces, 1), [1, 2]);
    assert_eq!(ends(&pieces, 2), [1, 2]);
    assert_eq!(ends(&pieces, 3), [2], "what was before the void is gone");
    let batches = pieces[&key(2)][1].batches.clone().expect("there");
    assert_eq!(batches, (0..200).map(|i| (i + 1) as u8 ^ 2).collect::<Vec<_>>());
    assert!(read(&[]).expect("nothing").is_empty());
    assert!(read(&[&[0; 4096], &[]]).expect("unused").is_empty());
}

#[test]
fn a_file_cut_anywhere_is_refused_or_has_a_torn_end() {
    let whole = sample(1);
    let mut before = Writer::new(SEAL, 1, 0);
    before.write(1, &[(0, 0, 100), (1, 0, 700)]);
    let last = whole.bytes.len();
    for size in FRAMES_START as usize..last {
        let mut torn = whole.bytes[..size].to_vec();
        torn.resize(last + 1000, 0);
        let pieces = read(&[&torn]).unwrap_or_else(|error| panic!("torn at {size}: {error}"));
        if size < before.bytes.len() {
            assert!(pieces.is_empty(), "torn at {size}");
        }
        let ends = ends(&pieces, 0);
        assert_eq!(ends, (1..=ends.len() as u64).collect::<Vec<_>>(), "torn at {size}");
    }
}

#[test]
fn any_flipped_bit_is_named_or_refused() {
    for copies in [1, 2] {
        let file = sample(copies).file();
        let expected = read(&[&file]).expect("sound");
        let mut without_last = expected.clone();
        for partition in [0, 2] {
            without_last.get_mut(&key(partition)).expect("there").pop();
        }
        let last = file.iter().rposition(|byte| *byte != 0).expect("frames");
        let (mut lost, mut refused, mut dropped) = (0, 0, 0);
        for position in 0..file.len() {
            let mut damaged = file.clone();
            damaged[position] ^= 1 << (position % 8);
            let what = format!("byte {position} of {last}, {copies} copies");
            match read(&[&damaged]) {
                Ok(found) if copies == 1 && ends(&found, 0).len() == 3 => {
                    check(&found, &without_last, &what);
                    assert!(position + 500 > last, "{what} is vouched for");
                    dropped += 1;
                }
                Ok(found) => lost += u32::from(!check(&found, &expected, &what)),
                Err(CarrierError::Damaged { .. }) => refused += 1,
                Err(error) => panic!("{what}: {error}"),
            }
        }
        assert!(lost > 1000, "{lost} of single frames");
        assert_eq!(refused, 0, "a summary is left");
        assert_eq!(dropped > 0, copies == 1);
    }
}

#[test]
fn a_lost_sector_is_named_or_refused() {
    let file = sample(2).file();
    let expected = read(&[&file]).expect("sound");
    let (mut lost, mut refused, mut whole) = (0, 0, 0);
    for start in (0..file.len()).step_by(SECTOR_SIZE) {
        for from in (0..file.len() - SECTOR_SIZE).step_by(SECTOR_SIZE) {
            let mut damaged = file.clone();
            damaged.copy_within(from..from + SECTOR_SIZE.min(file.len() - start), start);
            match read(&[&damaged]) {
                Ok(found) => match check(&found, &expected, &format!("{start} from {from}")) {
                    true => whole += 1,
                    false => lost += 1,
                },
                Err(CarrierError::Damaged { .. }) => refused += 1,
                Err(error) => panic!("{start} from {from}: {error}"),
            }
        }
    }
    assert!(lost > 0 && refused > 0 && whole > 0, "{lost} {refused} {whole}");
}

/// A pair whose second file is the later one.
fn pair() -> (Writer, Writer) {
    let first = sample(1);
    let seal = Seal { generation: 2, ..SEAL };
    let mut second = Writer::new(seal, first.link.sequence, first.link.previous);
    second.write(1, &[(0, 4, 60)]);
    (first, second)
}

#[test]
fn the_next_file_vouches_for_the_last_frame() {
    let (first, second) = pair();
    let (mut file, second) = (first.file(), second.file());
    let expected = read(&[&file, &second]).expect("sound");
    assert_eq!(ends(&expected, 0), [1, 2, 3, 4, 5]);
    assert_eq!(read(&[&second, &file]).expect("in any order"), expected);
    let last = first.bytes.len() - 100;
    file[last] ^= 1;
    let found = read(&[&file, &second]).expect("named");
    assert!(!check(&found, &expected, "the last frame is damaged"));
    file[last - 500..last + 100].fill(0);
    assert!(matches!(read(&[&file, &second]), Err(CarrierError::Damaged { .. })));
    // Half a use is as good as none.
    assert_eq!(ends(&read(&[&second]).expect("the older one was removed"), 0), [5]);
}

#[test]
fn headers_are_told_apart() {
    let (first, second) = pair();
    let (first, second) = (first.file(), second.file());
    let with = |at: usize, bytes: &[u8]| {
        let mut file = second.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        file
    };
    let one_copy = with(0, &[0; SECTOR_SIZE]);
    assert_eq!(ends(&read(&[&first, &one_copy]).expect("one copy is left"), 0).len(), 5);
    let none = with(0, &[0; 2 * SECTOR_SIZE]);
    let refused = |files: &[&[u8]]| matches!(read(files), Err(CarrierError::Damaged { .. }));
    assert!(refused(&[&second, &[0; 4096]]), "its header is gone");
    assert!(!refused(&[&first, &none]), "never used");
    assert!(refused(&[&first, &with(0, &[1; 2 * SECTOR_SIZE])]));
    assert!(refused(&[&first, &first]), "two of one generation");
    let mut newer = second.clone();
    for copy in [0, SECTOR_SIZE] {
        newer[copy + 8] = 9;
    }
    let result = read(&[&first, &newer]);
    assert!(matches!(result, Err(CarrierError::NewerFormat { found: 9, .. })), "{result:?}");
}

#[test]
fn what_an_earlier_use_left_does_not_count() {
    let (first, second) = pair();
    let seal = Seal { generation: 3, ..SEAL };
    let mut third = Writer::new(seal, second.link.sequence, second.link.previous);
    let mut old = first.file();
    for entries in 0..6u64 {
        old[..third.bytes.len()].copy_from_slice(&third.bytes);
        let pieces = read(&[&old, &second.file()]).expect("sound");
        let expected: Vec<u64> = (0..=entries).map(|i| 5 + i).collect();
        assert_eq!(ends(&pieces, 0), expected);
        assert!(ends(&pieces, 1).is_empty());
        third.write(1, &[(0, 5 + entries, 40)]);
    }
}

#[test]
fn what_a_client_wrote_is_not_taken_for_a_frame() {
    let mut forged = Writer::new(Seal { salt: 5, ..SEAL }, 2, 0);
    forged.write(1, &[(9, 0, 50)]);
    let forged = forged.bytes[FRAMES_START as usize..].to_vec();
    let mut writer = Writer::new(SEAL, 1, 0);
    let kind = Kind::Batches { base: 0, end: 1, size: forged.len() as u32 };
    writer.write_lines(1, &[Line { key: key(0), kind }], |out| out.extend_from_slice(&forged));
    let mut file = writer.file();
    file[FRAMES_START as usize + 4] ^= 1;
    assert!(read(&[&file]).expect("torn").is_empty());
}

/// The corpus of the fuzz target is two files of a carrier, one after the other.
#[test]
fn the_corpus_is_what_is_written_today() {
    let (mut first, batch) = (Writer::new(SEAL, 1, 0), corpus_batch());
    let write = |writer: &mut Writer, copies: usize, base: u64| {
        let kind = |end| Kind::Batches { base, end, size: batch.len() as u32 };
        let lines = [Line { key: key(0), kind: kind(base + 1) }];
        writer.write_lines(copies, &lines, |out| {
            out.extend_from_slice(&base.to_be_bytes());
            out.extend_from_slice(&batch[8..]);
        });
    };
    first.void(0);
    (0..4).for_each(|base| write(&mut first, 1 + base as usize % 2, base));
    let seal = Seal { generation: 2, ..SEAL };
    let mut second = Writer::new(seal, first.link.sequence, first.link.previous);
    (4..7).for_each(|base| write(&mut second, 1, base));
    let (mut files, mut second) = (first.file(), second.file());
    let size = files.len().max(second.len());
    files.resize(size, 0);
    second.resize(size, 0);
    files.append(&mut second);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/carrier/golden");
    if std::env::var_os("SYNOD_LOG_REWRITE_FIXTURES").is_some() {
        std::fs::write(path, &files).expect("written");
    }
    assert!(std::fs::read(path).expect("checked in") == files, "the format changed");
}

/// A batch of one record at offset 0; its checksum does not cover the offset.
fn corpus_batch() -> Vec<u8> {
    let mut batch = vec![0; 100];
    batch[8..12].copy_from_slice(&88i32.to_be_bytes());
    batch[16] = 2;
    batch[43..57].fill(0xff);
    batch[57..61].copy_from_slice(&1i32.to_be_bytes());
    let checksum = crc_fast::crc32_iscsi(&batch[21..]);
    batch[17..21].copy_from_slice(&checksum.to_be_bytes());
    batch
}

#[test]
fn copies_share_no_sector() {
    for size in [0, 1, 300, 511, 512, 513, 5000] {
        let mut writer = Writer::new(SEAL, 1, 0);
        writer.write(2, &[(0, 0, size)]);
        let from = FRAMES_START as usize;
        let frame = Frame::parse(&writer.bytes, from, SEAL).expect("intact");
        let second = writer.bytes.len() - frame.size();
        assert_eq!(frame.summary.end(from), writer.bytes.len());
        assert!((from + frame.size() - 1) / SECTOR_SIZE < second / SECTOR_SIZE);
        assert!(Frame::parse(&writer.bytes, second, SEAL).is_some());
    }
}
