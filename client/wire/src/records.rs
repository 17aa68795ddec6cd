//! The record batches of one fetched partition.

use bytes::Bytes;

/// Record batches back to back, in as many parts as they lie in memory.
///
/// Encoding passes the parts on by reference; decoding yields one part, a slice of the frame.
/// Two `Records` are equal when their bytes are, however they are cut.
#[derive(Clone, Debug, Default)]
pub struct Records(Vec<Bytes>);

impl Records {
    /// No records.
    pub const EMPTY: Self = Self(Vec::new());

    /// Size in bytes.
    pub fn size(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Whether there is not one byte.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Bytes::is_empty)
    }

    /// The parts, in order.
    pub fn parts(&self) -> &[Bytes] {
        &self.0
    }

    /// Appends a part.
    pub fn push(&mut self, part: Bytes) {
        self.0.push(part);
    }

    /// The parts, in order.
    pub fn into_parts(self) -> Vec<Bytes> {
        self.0
    }

    /// All bytes in one buffer; copies only when there are several parts.
    pub fn into_bytes(self) -> Bytes {
        match <[Bytes; 1]>::try_from(self.0) {
            Ok([part]) => part,
            Err(parts) => parts.concat().into(),
        }
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::EMPTY } else { Self(vec![bytes]) }
    }
}

impl From<Vec<Bytes>> for Records {
    fn from(parts: Vec<Bytes>) -> Self {
        Self(parts)
    }
}

impl PartialEq for Records {
    fn eq(&self, other: &Self) -> bool {
        self.size() == other.size()
            && self.0.iter().flatten().zip(other.0.iter().flatten()).all(|(a, b)| a == b)
    }
}

impl Eq for Records {}
