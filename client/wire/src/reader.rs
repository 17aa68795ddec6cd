//! Bounds-checked reading of one frame.

use bytes::Bytes;

use crate::error::{DecodeError, DecodeErrorKind};

/// What a message may use beyond a multiple of its frame, so that small frames need no thought.
const BUDGET_BASE: usize = 64 << 10;

/// Memory per byte of frame. The densest honest input, an array of short strings, needs about 16.
const BUDGET_PER_BYTE: usize = 16;

/// The default budget never exceeds this, however large the frame: payload is sliced, not copied,
/// and 64 MiB is more than half a million array elements.
const BUDGET_MAX: usize = 64 << 20;

/// A cursor over the body of one frame.
///
/// Reading never panics and never allocates on the word of the input alone: a count is compared
/// with the bytes left before anything is reserved, and the sum of all reservations is bounded by
/// the reader's *budget*. Strings and byte strings are slices of the frame.
#[derive(Clone, Debug)]
pub struct Reader {
    frame: Bytes,
    position: usize,
    /// Where reading must stop: the end of the frame, or of the tagged field being read.
    end: usize,
    /// Bytes of memory that may still be reserved.
    budget: usize,
    context: &'static str,
}

impl Reader {
    /// Reads `frame` with a memory budget in proportion to its size: 64 KiB and sixteen bytes per
    /// byte of frame, at most 64 MiB.
    pub fn new(frame: Bytes) -> Self {
        let budget = frame.len().saturating_mul(BUDGET_PER_BYTE).saturating_add(BUDGET_BASE);
        Self::with_budget(frame, budget.min(BUDGET_MAX))
    }

    /// Reads `frame`; the decoded structs may use `budget` bytes, not counting the frame itself.
    pub fn with_budget(frame: Bytes, budget: usize) -> Self {
        let end = frame.len();
        Self { frame, position: 0, end, budget, context: "frame" }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Bytes not yet read.
    pub fn remaining(&self) -> usize {
        self.end - self.position
    }

    /// Names the field that is read next, for errors.
    #[inline]
    pub(crate) fn set_context(&mut self, context: &'static str) {
        self.context = context;
    }

    /// An error at the current position.
    #[cold]
    pub(crate) fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError { kind, context: self.context, position: self.position }
    }

    /// Checks that everything has been read.
    ///
    /// # Errors
    /// [`DecodeErrorKind::TrailingBytes`] otherwise.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(self.error(DecodeErrorKind::TrailingBytes(count))),
        }
    }

    #[inline]
    fn advance(&mut self, size: usize) -> Result<usize, DecodeError> {
        let remaining = self.remaining();
        if size > remaining {
            return Err(self.error(DecodeErrorKind::Truncated { needed: size, remaining }));
        }
        let start = self.position;
        self.position += size;
        Ok(start)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// When fewer are left.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let start = self.advance(N)?;
        let mut array = [0; N];
        array.copy_from_slice(&self.frame[start..start + N]);
        Ok(array)
    }

    /// The next `size` bytes, shared with the frame.
    ///
    /// # Errors
    /// When fewer are left.
    #[inline]
    pub fn bytes(&mut self, size: usize) -> Result<Bytes, DecodeError> {
        let start = self.advance(size)?;
        Ok(self.frame.slice(start..start + size))
    }

    /// Passes over `size` bytes.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn skip(&mut self, size: usize) -> Result<(), DecodeError> {
        self.advance(size).map(|_| ())
    }

    /// An unsigned integer of 7 bits per byte, least significant first, at most 32 bits.
    ///
    /// # Errors
    /// When the input ends inside it, or it goes beyond 32 bits.
    #[inline]
    pub fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            if shift == 28 && byte > 0x0f {
                break;
            }
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.error(DecodeErrorKind::VarintOverflow))
    }

    /// A length with null as -1: an `i16` of a classic string, an `i32` of classic bytes.
    #[inline]
    pub(crate) fn classic_length(&mut self, value: i32) -> Result<Option<usize>, DecodeError> {
        match usize::try_from(value) {
            Ok(length) => Ok(Some(length)),
            Err(_) if value == -1 => Ok(None),
            Err(_) => Err(self.error(DecodeErrorKind::NegativeLength(value))),
        }
    }

    /// A length in the compact form: null as 0, else the length plus one.
    #[inline]
    pub(crate) fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok((self.unsigned_varint()? as usize).checked_sub(1))
    }

    /// Reserves memory for `count` elements that take at least `wire_size` bytes each on the wire.
    #[inline]
    pub(crate) fn reserve<T>(
        &mut self,
        count: usize,
        wire_size: usize,
    ) -> Result<Vec<T>, DecodeError> {
        let remaining = self.remaining();
        if count > remaining / wire_size.max(1) {
            return Err(self.error(DecodeErrorKind::CountTooLarge { count, remaining }));
        }
        let memory = count.saturating_mul(size_of::<T>());
        match self.budget.checked_sub(memory) {
            Some(rest) => self.budget = rest,
            None => return Err(self.error(DecodeErrorKind::BudgetExceeded)),
        }
        Ok(Vec::with_capacity(count))
    }

    /// Confines reading to the next `size` bytes, until [`Reader::leave`] is given the result.
    pub(crate) fn enter(&mut self, size: usize) -> Result<Confined, DecodeError> {
        let remaining = self.remaining();
        if size > remaining {
            return Err(self.error(DecodeErrorKind::Truncated { needed: size, remaining }));
        }
        let outer_end = self.end;
        self.end = self.position + size;
        Ok(Confined { outer_end })
    }

    /// Ends what [`Reader::enter`] began; the confined bytes must all have been read.
    pub(crate) fn leave(&mut self, confined: Confined, tag: u32) -> Result<(), DecodeError> {
        if self.remaining() != 0 {
            return Err(self.error(DecodeErrorKind::TagSizeMismatch { tag }));
        }
        self.end = confined.outer_end;
        Ok(())
    }

    /// Passes over a section of tagged fields none of which is known.
    pub(crate) fn skip_tags(&mut self) -> Result<(), DecodeError> {
        for _ in 0..self.unsigned_varint()? {
            self.unsigned_varint()?;
            let size = self.unsigned_varint()?;
            self.skip(size as usize)?;
        }
        Ok(())
    }
}

/// The end that held before [`Reader::enter`].
#[derive(Debug)]
#[must_use]
pub(crate) struct Confined {
    outer_end: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint(bytes: &'static [u8]) -> Result<u32, DecodeErrorKind> {
        Reader::new(Bytes::from_static(bytes)).unsigned_varint().map_err(|error| error.kind)
    }

    #[test]
    fn varints_end_within_32_bits() {
        assert_eq!(varint(&[0]), Ok(0));
        assert_eq!(varint(&[0x7f]), Ok(127));
        assert_eq!(varint(&[0x80, 0x01]), Ok(128));
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(u32::MAX));
        let overflow = Err(DecodeErrorKind::VarintOverflow);
        assert_eq!(varint(&[0xff, 0xff, 0xff, 0xff, 0x10]), overflow);
        assert_eq!(varint(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), overflow);
        assert!(matches!(varint(&[0x80]), Err(DecodeErrorKind::Truncated { .. })));
    }

    #[test]
    fn counts_are_checked_against_what_is_left_and_the_budget() {
        let frame = Bytes::from_static(&[0; 100]);
        let mut reader = Reader::with_budget(frame, 64);
        let too_many = reader.reserve::<u64>(26, 4).map_err(|error| error.kind);
        assert_eq!(too_many, Err(DecodeErrorKind::CountTooLarge { count: 26, remaining: 100 }));
        assert!(reader.reserve::<u64>(8, 4).is_ok());
        let spent = reader.reserve::<u64>(1, 4).map_err(|error| error.kind);
        assert_eq!(spent, Err(DecodeErrorKind::BudgetExceeded));
    }
}
