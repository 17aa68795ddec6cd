//! What the records contain: bytes that follow from a record's place in the run.

use bytes::{BufMut, Bytes, BytesMut};

/// Size of what names a record at the front of its value: run, lane, sequence.
pub(crate) const NAME_SIZE: usize = 16;

/// Size of the noise that values are cut from.
const NOISE_SIZE: usize = 1 << 20;

/// Memory is taken for this many bytes of values at once.
const ARENA_SIZE: usize = 1 << 20;

/// A record's place in a run. A lane is what one producer writes to one partition; sequences count
/// from 0 in each lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) lane: u32,
    pub(crate) sequence: u64,
}

/// What a value read back turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// The record of this place, byte for byte.
    Record(Place),
    /// It has the run's name, and other bytes than were written.
    Damaged,
    /// Not written by this run.
    Foreign,
}

/// Makes and recognises the values of one run. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Payload {
    run: u32,
    size: usize,
    /// As long as [`NOISE_SIZE`] and one value, so that every cut is whole.
    noise: Bytes,
}

impl Payload {
    /// Values of `size` bytes for the run with this number.
    pub(crate) fn new(run: u32, size: usize) -> Self {
        assert!(size >= NAME_SIZE, "the options ask for at least {NAME_SIZE} bytes");
        let mut noise = Vec::with_capacity(NOISE_SIZE + size + 8);
        let mut state = u64::from(run) | 1 << 32;
        while noise.len() < NOISE_SIZE + size {
            state = scramble(state);
            noise.extend_from_slice(&state.to_le_bytes());
        }
        Self { run, size, noise: noise.into() }
    }

    /// Bytes of one value.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// The value for a place, cut from `arena`, which grows as needed.
    pub(crate) fn value(&self, arena: &mut BytesMut, place: Place) -> Bytes {
        if arena.capacity() < self.size {
            *arena = BytesMut::with_capacity(self.size.max(ARENA_SIZE));
        }
        arena.put_u32(self.run);
        arena.put_u32(place.lane);
        arena.put_u64(place.sequence);
        arena.put_slice(self.rest(place));
        arena.split().freeze()
    }

    /// Tells what a value is.
    pub(crate) fn recognise(&self, value: &[u8]) -> Content {
        let Some((name, rest)) = value.split_first_chunk::<NAME_SIZE>() else {
            return Content::Foreign;
        };
        let name = u128::from_be_bytes(*name);
        if (name >> 96) as u32 != self.run {
            return Content::Foreign;
        }
        let place = Place { lane: (name >> 64) as u32, sequence: name as u64 };
        match rest == self.rest(place) {
            true => Content::Record(place),
            false => Content::Damaged,
        }
    }

    /// What follows the name: another cut for every place.
    fn rest(&self, place: Place) -> &[u8] {
        let mixed = scramble(place.sequence ^ u64::from(place.lane) << 40 ^ 1 << 63);
        let at = (mixed % NOISE_SIZE as u64) as usize;
        &self.noise[at..at + self.size - NAME_SIZE]
    }
}

/// One step of xorshift64*: good enough that values do not compress.
fn scramble(mut state: u64) -> u64 {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_recognised_and_damage_is_seen() {
        for size in [NAME_SIZE, 17, 100, 1024, 3 << 20] {
            let payload = Payload::new(7, size);
            let mut arena = BytesMut::new();
            for sequence in [0, 1, u64::MAX] {
                let place = Place { lane: 3, sequence };
                let value = payload.value(&mut arena, place);
                assert_eq!(value.len(), size);
                assert_eq!(payload.recognise(&value), Content::Record(place));
                let mut damaged = value.to_vec();
                damaged.push(0);
                assert_eq!(payload.recognise(&damaged), Content::Damaged);
                if let Some(last) = damaged.get_mut(NAME_SIZE) {
                    *last ^= 1;
                    assert_eq!(
                        payload.recognise(&damaged[..size]),
                        match size {
                            NAME_SIZE => Content::Record(place),
                            _ => Content::Damaged,
                        }
                    );
                }
            }
        }
    }

    #[test]
    fn values_of_others_are_foreign() {
        let (ours, theirs) = (Payload::new(1, 64), Payload::new(2, 64));
        let place = Place { lane: 0, sequence: 0 };
        let value = theirs.value(&mut BytesMut::new(), place);
        assert_eq!(ours.recognise(&value), Content::Foreign);
        assert_eq!(ours.recognise(b"short"), Content::Foreign);
    }

    #[test]
    fn neighbours_differ() {
        let payload = Payload::new(9, 64);
        let mut arena = BytesMut::new();
        let mut value = |sequence| payload.value(&mut arena, Place { lane: 0, sequence });
        assert_ne!(value(0)[NAME_SIZE..], value(1)[NAME_SIZE..]);
    }
}
