//! Encoding of a segment's index file.
//!
//! # File `<base offset>.index`
//!
//! Blocks of [`BLOCK_SIZE`] bytes, then, once the segment is sealed, one footer. Little-endian.
//! An index is a hint: whatever is damaged or missing is found again by walking the batches.
//!
//! | bytes of a block | field |
//! |---|---|
//! | 0..4 | `SYIX` |
//! | 4..8 | crc32 of the whole block with this field zero |
//! | 8..16 | base offset of the segment |
//! | 16..20 | number of the block, from 0 |
//! | 20..24 | count of entries |
//! | 24..32 | zero |
//! | 32.. | entries: offset less base offset u32, position u32, greatest timestamp before i64 |
//!
//! | bytes of the footer | field |
//! |---|---|
//! | 0..4 | `SYIF` |
//! | 4..8 | crc32 of the footer with this field zero |
//! | 8..16 | base offset of the segment |
//! | 16..24 | end offset of the segment |
//! | 24..28 | size of the segment's batches, bytes |
//! | 28..32 | crc32c of the headers of these batches, back to back |
//! | 32..40 | greatest timestamp, milliseconds, -1 if none |
//! | 40..44 | count of index entries in all blocks |
//! | 44..48 | greatest leader epoch |
//! | 48..64 | zero |

/// Bytes of one block.
pub(crate) const BLOCK_SIZE: u64 = 4096;
/// Entries of a full block.
pub(crate) const BLOCK_ENTRY_COUNT: u32 = 254;
/// Bytes of the footer.
pub(crate) const FOOTER_SIZE: u64 = 64;

const BLOCK_MAGIC: &[u8; 4] = b"SYIX";
const FOOTER_MAGIC: &[u8; 4] = b"SYIF";
const HEAD_SIZE: usize = 32;
const ENTRY_SIZE: usize = 16;

const _: () = assert!(HEAD_SIZE + BLOCK_ENTRY_COUNT as usize * ENTRY_SIZE == BLOCK_SIZE as usize);

/// One point of a segment's sparse offset and time index: a batch boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct IndexEntry {
    /// Base offset of the batch there, less the segment's.
    pub(crate) offset_delta: u32,
    /// Where the batch begins.
    pub(crate) position: u32,
    /// Greatest timestamp of all batches of the segment before this one, -1 if none.
    pub(crate) max_timestamp_before: i64,
}

/// What is known of a segment that will not change again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) base: u64,
    pub(crate) end: u64,
    pub(crate) size: u32,
    pub(crate) checksum: u32,
    pub(crate) max_timestamp: i64,
    pub(crate) entry_count: u32,
    pub(crate) leader_epoch: i32,
}

/// Encodes block `number` of the segment at `base`.
pub(crate) fn encode_block(base: u64, number: u32, entries: &[IndexEntry]) -> Vec<u8> {
    assert!(entries.len() <= BLOCK_ENTRY_COUNT as usize, "a block holds no more");
    let mut out = vec![0; BLOCK_SIZE as usize];
    out[..4].copy_from_slice(BLOCK_MAGIC);
    out[8..16].copy_from_slice(&base.to_le_bytes());
    out[16..20].copy_from_slice(&number.to_le_bytes());
    out[20..24].copy_from_slice(&(entries.len() as u32).to_le_bytes());
    for (entry, raw) in entries.iter().zip(out[HEAD_SIZE..].chunks_exact_mut(ENTRY_SIZE)) {
        raw[..4].copy_from_slice(&entry.offset_delta.to_le_bytes());
        raw[4..8].copy_from_slice(&entry.position.to_le_bytes());
        raw[8..].copy_from_slice(&entry.max_timestamp_before.to_le_bytes());
    }
    seal_checksum(&mut out);
    out
}

/// Decodes block `number` of the segment at `base`; `None` if it is damaged or another block.
pub(crate) fn decode_block(bytes: &[u8], base: u64, number: u32) -> Option<Vec<IndexEntry>> {
    if bytes.len() != BLOCK_SIZE as usize
        || bytes[..4] != BLOCK_MAGIC[..]
        || u64_at(bytes, 8) != base
        || u32_at(bytes, 16) != number
        || !checksum_fits(bytes)
    {
        return None;
    }
    let count = usize::try_from(u32_at(bytes, 20)).ok()?;
    let raw = bytes.get(HEAD_SIZE..HEAD_SIZE + count.checked_mul(ENTRY_SIZE)?)?;
    let entries: Vec<_> = raw.chunks_exact(ENTRY_SIZE).map(entry_of).collect();
    let rising = entries.windows(2).all(|w| {
        w[0].offset_delta < w[1].offset_delta
            && w[0].position < w[1].position
            && w[0].max_timestamp_before <= w[1].max_timestamp_before
    });
    rising.then_some(entries)
}

/// The first entry of a block, unchecked: a cheap guide for a binary search over blocks.
pub(crate) fn first_entry(block: &[u8]) -> Option<IndexEntry> {
    block.get(HEAD_SIZE..HEAD_SIZE + ENTRY_SIZE).map(entry_of)
}

impl Footer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; FOOTER_SIZE as usize];
        out[..4].copy_from_slice(FOOTER_MAGIC);
        out[8..16].copy_from_slice(&self.base.to_le_bytes());
        out[16..24].copy_from_slice(&self.end.to_le_bytes());
        out[24..28].copy_from_slice(&self.size.to_le_bytes());
        out[28..32].copy_from_slice(&self.checksum.to_le_bytes());
        out[32..40].copy_from_slice(&self.max_timestamp.to_le_bytes());
        out[40..44].copy_from_slice(&self.entry_count.to_le_bytes());
        out[44..48].copy_from_slice(&self.leader_epoch.to_le_bytes());
        seal_checksum(&mut out);
        out
    }

    /// Decodes the footer of the segment at `base`; `None` if it is damaged or another's.
    pub(crate) fn decode(bytes: &[u8], base: u64) -> Option<Self> {
        let sound = bytes.len() == FOOTER_SIZE as usize
            && bytes[..4] == FOOTER_MAGIC[..]
            && checksum_fits(bytes);
        let footer = sound.then(|| Self {
            base: u64_at(bytes, 8),
            end: u64_at(bytes, 16),
            size: u32_at(bytes, 24),
            checksum: u32_at(bytes, 28),
            max_timestamp: u64_at(bytes, 32).cast_signed(),
            entry_count: u32_at(bytes, 40),
            leader_epoch: u32_at(bytes, 44).cast_signed(),
        })?;
        (footer.base == base && footer.end > base).then_some(footer)
    }
}

fn entry_of(raw: &[u8]) -> IndexEntry {
    IndexEntry {
        offset_delta: u32_at(raw, 0),
        position: u32_at(raw, 4),
        max_timestamp_before: u64_at(raw, 8).cast_signed(),
    }
}

fn seal_checksum(out: &mut [u8]) {
    let checksum = crc32fast::hash(out);
    out[4..8].copy_from_slice(&checksum.to_le_bytes());
}

fn checksum_fits(bytes: &[u8]) -> bool {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..4]);
    hasher.update(&[0; 4]);
    hasher.update(&bytes[8..]);
    hasher.finalize() == u32_at(bytes, 4)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut raw = [0; 4];
    raw.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(raw)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: u32) -> Vec<IndexEntry> {
        (1..=count)
            .map(|i| IndexEntry {
                offset_delta: i * 3,
                position: i * 4096,
                max_timestamp_before: i64::from(i / 2) - 1,
            })
            .collect()
    }

    #[test]
    fn blocks_round_trip() {
        for count in [0, 1, 253, BLOCK_ENTRY_COUNT] {
            let block = encode_block(77, 5, &entries(count));
            assert_eq!(block.len() as u64, BLOCK_SIZE);
            assert_eq!(decode_block(&block, 77, 5), Some(entries(count)));
            assert_eq!(decode_block(&block, 78, 5), None, "another segment's block");
            assert_eq!(decode_block(&block, 77, 4), None, "another block");
        }
        assert_eq!(first_entry(&encode_block(0, 0, &entries(9))), Some(entries(1)[0]));
    }

    #[test]
    fn every_flipped_byte_of_a_block_is_noticed() {
        let mut block = encode_block(77, 5, &entries(200));
        for at in 0..block.len() {
            block[at] ^= 0x80;
            assert_eq!(decode_block(&block, 77, 5), None, "byte {at}");
            block[at] ^= 0x80;
        }
    }

    #[test]
    fn entries_that_do_not_rise_are_refused() {
        let mut wrong = entries(3);
        wrong.swap(1, 2);
        assert_eq!(decode_block(&encode_block(0, 0, &wrong), 0, 0), None);
    }

    #[test]
    fn footers_round_trip_and_notice_damage() {
        let footer = Footer {
            base: 7,
            end: 900,
            size: 123_456,
            checksum: 0xdead_beef,
            max_timestamp: -1,
            entry_count: 30,
            leader_epoch: 4,
        };
        let mut image = footer.encode();
        assert_eq!(Footer::decode(&image, 7), Some(footer));
        assert_eq!(Footer::decode(&image, 8), None);
        for at in 0..image.len() {
            image[at] ^= 1;
            assert_eq!(Footer::decode(&image, 7), None, "byte {at}");
            image[at] ^= 1;
        }
    }
}
