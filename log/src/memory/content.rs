//! A file's bytes, kept sparse: a page of zeros costs nothing, so space prepared ahead is free.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;

const PAGE_SIZE: u64 = 4096;

type Page = [u8; PAGE_SIZE as usize];

/// Bytes of one file. Clones share pages until one of them writes.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pages: BTreeMap<u64, Arc<Page>>,
    size: u64,
}

impl Content {
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn write(&mut self, position: u64, mut bytes: &[u8]) {
        self.size = self.size.max(position + bytes.len() as u64);
        let mut position = position;
        while !bytes.is_empty() {
            let (page, within) = (position / PAGE_SIZE, (position % PAGE_SIZE) as usize);
            let size = bytes.len().min(PAGE_SIZE as usize - within);
            let page = self.pages.entry(page).or_insert_with(|| Arc::new([0; PAGE_SIZE as usize]));
            Arc::make_mut(page)[within..within + size].copy_from_slice(&bytes[..size]);
            bytes = &bytes[size..];
            position += size as u64;
        }
    }

    pub(super) fn zero(&mut self, range: Range<u64>) {
        self.size = self.size.max(range.end);
        let pages = range.start / PAGE_SIZE..range.end.div_ceil(PAGE_SIZE);
        let touched: Vec<u64> = self.pages.range(pages).map(|(number, _)| *number).collect();
        for number in touched {
            let start = number * PAGE_SIZE;
            let from = range.start.max(start) - start;
            let to = range.end.min(start + PAGE_SIZE) - start;
            if to - from == PAGE_SIZE {
                self.pages.remove(&number);
            } else if let Some(page) = self.pages.get_mut(&number) {
                Arc::make_mut(page)[from as usize..to as usize].fill(0);
            }
        }
    }

    /// Fills `buffer`; what lies beyond the end reads as zeros, so callers check the range.
    pub(super) fn read(&self, position: u64, buffer: &mut [u8]) {
        let mut done = 0;
        while done < buffer.len() {
            let at = position + done as u64;
            let (page, within) = (at / PAGE_SIZE, (at % PAGE_SIZE) as usize);
            let size = (buffer.len() - done).min(PAGE_SIZE as usize - within);
            let target = &mut buffer[done..done + size];
            match self.pages.get(&page) {
                Some(page) => target.copy_from_slice(&page[within..within + size]),
                None => target.fill(0),
            }
            done += size;
        }
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.size as usize];
        self.read(0, &mut bytes);
        bytes
    }

    pub(super) fn flip_bit(&mut self, position: u64, bit: u8) {
        let mut byte = [0];
        self.read(position, &mut byte);
        self.write(position, &[byte[0] ^ (1 << (bit % 8))]);
    }
}

/// Pages that hold only zeros do not count: they are the same content as no page.
impl Hash for Content {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.size.hash(state);
        for (number, page) in &self.pages {
            if page.iter().any(|byte| *byte != 0) {
                number.hash(state);
                page.hash(state);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::Random;
    use super::*;

    #[test]
    fn sparse_content_behaves_like_a_plain_vector() {
        for seed in 0..50 {
            let mut random = Random::new(seed);
            let mut model: Vec<u8> = Vec::new();
            let mut content = Content::default();
            for _ in 0..40 {
                let start = random.below(20_000);
                let end = start + random.below(9_000);
                let fill = random.below(3).wrapping_mul(random.next()) as u8;
                if model.len() < end as usize {
                    model.resize(end as usize, 0);
                }
                model[start as usize..end as usize].fill(fill);
                if fill == 0 {
                    content.zero(start..end);
                } else {
                    content.write(start, &vec![fill; (end - start) as usize]);
                }
                assert_eq!(content.size(), model.len() as u64, "seed {seed}");
            }
            assert_eq!(content.to_vec(), model, "seed {seed}");
        }
    }
}
