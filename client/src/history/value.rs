//! Unique values, and their form as a record's value.

use std::fmt;

/// A value that one sender sent once. Its text form, `3.17`, is what a record carries.
///
/// ```
/// use synod_client::history::{Guarantee, History, Value};
/// let mut history = History::new(["orders-0"]);
/// let value = history.sender(Guarantee::Exact).invoke(0);
/// let bytes = value.to_bytes(100);
/// assert_eq!((bytes.len(), Value::from_bytes(&bytes)), (100, Some(value)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    sender: u32,
    number: u32,
}

/// What fills a record up to its size.
const PADDING: u8 = b'.';

impl Value {
    pub(super) fn new(sender: u32, number: u32) -> Self {
        Self { sender, number }
    }

    pub(super) fn sender(self) -> u32 {
        self.sender
    }

    pub(super) fn number(self) -> u32 {
        self.number
    }

    /// The bytes of a record with this value, padded to `size` where the value is shorter.
    pub fn to_bytes(self, size: usize) -> Vec<u8> {
        let mut bytes = format!("{self} ").into_bytes();
        let padded = bytes.len().max(size);
        bytes.resize(padded, PADDING);
        bytes
    }

    /// Reads what [`Value::to_bytes`] wrote; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b' ')?;
        let (text, padding) = (bytes.get(..end)?, bytes.get(end + 1..)?);
        if padding.iter().any(|byte| *byte != PADDING) {
            return None;
        }
        let (sender, number) = std::str::from_utf8(text).ok()?.split_once('.')?;
        let value = Self { sender: sender.parse().ok()?, number: number.parse().ok()? };
        // Only one text is the value's: "+3.17" and "03.17" are somebody else's.
        (value.to_string().as_bytes() == text).then_some(value)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.sender, self.number)
    }
}
