//! Text as it stands on the wire.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use bytes::Bytes;

/// An immutable UTF-8 string that shares its bytes: cloning costs one reference count.
///
/// A decoded `Str` is a slice of the frame it came in and keeps that whole frame alive. What
/// outlives its request should be stored as [`Str::detached`].
#[derive(Clone, Default)]
pub struct Str(Bytes);

impl Str {
    /// The empty string; does not allocate.
    pub const EMPTY: Self = Self(Bytes::new());

    /// Wraps a string literal; does not allocate.
    pub const fn from_static(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// Checks `bytes` and wraps them without a copy.
    ///
    /// # Errors
    /// When the bytes are not UTF-8.
    pub fn from_utf8(bytes: Bytes) -> Result<Self, std::str::Utf8Error> {
        std::str::from_utf8(&bytes)?;
        Ok(Self(bytes))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Checked again, because the unchecked conversion would be this crate's only unsafe code;
        // names are short and the check runs at many bytes a cycle.
        std::str::from_utf8(&self.0).expect("every constructor has checked this")
    }

    /// The bytes of the text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The shared buffer of the text.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// A copy with a buffer of its own, which no longer keeps the frame alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

impl Deref for Str {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Str {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Str {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl From<&str> for Str {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Str {
    fn from(text: String) -> Self {
        Self(Bytes::from(text))
    }
}

impl From<Str> for String {
    fn from(text: Str) -> Self {
        text.as_str().to_owned()
    }
}

// UTF-8 compares bytewise in the order of its characters, so none of these needs the text.

impl PartialEq for Str {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Str {}

impl PartialEq<str> for Str {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Str {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialOrd for Str {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Str {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl Hash for Str {
    /// As `str` hashes, which [`Borrow<str>`] demands.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;

    #[test]
    fn is_found_by_str_in_ordered_and_hashed_sets() {
        let hashed: HashSet<Str> = ["a", "b"].map(Str::from).into();
        let ordered: BTreeSet<Str> = ["ü", "z"].map(Str::from).into();
        assert!(hashed.contains("a") && !hashed.contains("c"));
        assert!(ordered.contains("ü"));
        assert!(ordered.iter().eq(["z", "ü"].iter()), "ordered by character, as str is");
    }

    #[test]
    fn refuses_what_is_not_utf8() {
        assert!(Str::from_utf8(Bytes::from_static(&[0xc3, 0x28])).is_err());
        assert!(Str::from_utf8(Bytes::from_static("naïve".as_bytes())).is_ok());
    }

    #[test]
    fn detached_has_its_own_buffer() {
        let frame = Bytes::from(vec![b'x'; 64]);
        let slice = Str::from_utf8(frame.slice(3..9)).expect("ASCII");
        let detached = slice.detached();
        drop(slice);
        assert!(frame.is_unique(), "the detached copy holds no part of the frame");
        assert_eq!(detached, "xxxxxx");
    }
}
