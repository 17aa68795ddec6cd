//! Seeded random messages for tests.

use bytes::Bytes;

use crate::field::Version;
use crate::schema::Versions;
use crate::{ErrorCode, Records, Str, Uuid};

/// A small seeded generator (xorshift64*).
#[derive(Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end
    }

    fn bytes(&mut self, size: usize) -> Vec<u8> {
        (0..size).map(|_| self.next() as u8).collect()
    }
}

/// A type of which random values can be made.
pub(crate) trait Sample: Sized {
    fn sample(rng: &mut Rng, version: Version) -> Self;
}

macro_rules! integer {
    ($($int:ty),*) => {$(
        impl Sample for $int {
            fn sample(rng: &mut Rng, _: Version) -> Self {
                match rng.below(8) {
                    0 => -1,
                    1 => 0,
                    2 => <$int>::MIN,
                    3 => <$int>::MAX,
                    _ => rng.next() as $int,
                }
            }
        }
    )*};
}

integer!(i8, i16, i32, i64);

impl Sample for bool {
    fn sample(rng: &mut Rng, _: Version) -> Self {
        rng.below(2) == 1
    }
}

impl Sample for ErrorCode {
    fn sample(rng: &mut Rng, version: Version) -> Self {
        Self::from_code(i16::sample(rng, version))
    }
}

impl Sample for Uuid {
    fn sample(rng: &mut Rng, _: Version) -> Self {
        let mut bytes = [0; 16];
        if rng.below(4) > 0 {
            bytes.copy_from_slice(&rng.bytes(16));
        }
        Self(bytes)
    }
}

impl Sample for Str {
    fn sample(rng: &mut Rng, _: Version) -> Self {
        const ALPHABET: [char; 8] = ['a', 'Z', '0', '.', '_', 'ß', '語', '🦀'];
        // 127 and 128 bytes straddle a change in the width of compact lengths.
        let count = [0, 1, 5, 20, 126, 127, 128, 300][rng.below(8)];
        Self::from((0..count).map(|_| ALPHABET[rng.below(8)]).collect::<String>())
    }
}

impl Sample for Bytes {
    fn sample(rng: &mut Rng, _: Version) -> Self {
        let size = [0, 1, 30, 127, 128, 1023, 1024, 5000][rng.below(8)];
        rng.bytes(size).into()
    }
}

impl Sample for Records {
    fn sample(rng: &mut Rng, version: Version) -> Self {
        let mut records = Self::EMPTY;
        for _ in 0..rng.below(4) {
            records.push(Bytes::sample(rng, version));
        }
        records
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(rng: &mut Rng, version: Version) -> Self {
        let count = match rng.below(16) {
            0 => 130,
            other => other % 4,
        };
        // Nested long arrays would grow out of hand.
        let count = if size_of::<T>() > 64 { count.min(5) } else { count };
        (0..count).map(|_| T::sample(rng, version)).collect()
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(rng: &mut Rng, version: Version) -> Self {
        (rng.below(3) > 0).then(|| T::sample(rng, version))
    }
}

/// Replaces a null that the version does not have.
pub(crate) fn fill_null<T: Sample>(
    value: &mut Option<T>,
    nullable: impl Versions,
    rng: &mut Rng,
    version: Version,
) {
    if value.is_none() && !nullable.has(version) {
        *value = Some(T::sample(rng, version));
    }
}
