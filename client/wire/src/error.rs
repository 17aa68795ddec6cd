//! What can go wrong between bytes and messages.

use thiserror::Error;

/// Bytes that are not the message they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{context}, position {position}: {kind}")]
pub struct DecodeError {
    /// What is wrong.
    pub kind: DecodeErrorKind,
    /// The field being read, as `Struct.field`.
    pub context: &'static str,
    /// Bytes from the start of the frame body (the request or response header) to the fault.
    pub position: usize,
}

/// The ways in which bytes can fail to be a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The input ends inside the field.
    #[error("{needed} more bytes needed, {remaining} there")]
    Truncated {
        /// Bytes the field still needs.
        needed: usize,
        /// Bytes that are left.
        remaining: usize,
    },
    /// A length or count below -1.
    #[error("negative length {0}")]
    NegativeLength(i32),
    /// Null where this version has no null.
    #[error("null is not allowed here")]
    UnexpectedNull,
    /// More elements than the rest of the input could hold.
    #[error("{count} elements cannot be in the {remaining} bytes left")]
    CountTooLarge {
        /// Elements announced.
        count: usize,
        /// Bytes that are left.
        remaining: usize,
    },
    /// The decoded message would use more memory than the reader's budget allows.
    #[error("the decoded message would exceed its memory budget")]
    BudgetExceeded,
    /// A string that is not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// A string longer than the 32,767 bytes that Kafka allows.
    #[error("string of {0} bytes is too long")]
    StringTooLong(usize),
    /// A variable-length integer that does not end after five bytes, or exceeds 32 bits.
    #[error("variable-length integer overflows 32 bits")]
    VarintOverflow,
    /// A tagged field whose content is shorter or longer than its announced size.
    #[error("tagged field {tag} does not fill its size")]
    TagSizeMismatch {
        /// The field's tag.
        tag: u32,
    },
    /// Input goes on after the message's last field.
    #[error("{0} bytes after the end of the message")]
    TrailingBytes(usize),
    /// This crate does not know that version of the message.
    #[error("version {0} is not supported")]
    UnsupportedVersion(i16),
    /// The header announces another API than the one expected.
    #[error("the request is for API {0}")]
    OtherApi(i16),
}

/// A message that has no form in the version asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{context}: {kind}")]
pub struct EncodeError {
    /// What is wrong.
    pub kind: EncodeErrorKind,
    /// The field being written, as `Struct.field`.
    pub context: &'static str,
}

/// The ways in which a message can fail to have a wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeErrorKind {
    /// Null where this version has no null.
    #[error("null is not allowed in version {0}")]
    UnexpectedNull(i16),
    /// A string, byte string, array or frame whose length does not fit its length field.
    #[error("{0} is too long for its length field")]
    TooLong(usize),
    /// This crate does not know that version of the message.
    #[error("version {0} is not supported")]
    UnsupportedVersion(i16),
}
