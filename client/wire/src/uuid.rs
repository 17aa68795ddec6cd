//! Topic, cluster and directory ids.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Characters of the text form: 128 bits at 6 bits each, rounded up.
const TEXT_SIZE: usize = 22;

/// A 128-bit id; its text form is 22 characters of URL-safe base64 without padding, as Kafka
/// prints it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

/// The text is not the 22 characters of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an id is 22 characters of URL-safe base64")]
pub struct InvalidUuid;

impl Uuid {
    /// All bits zero: Kafka's "no id".
    pub const ZERO: Self = Self([0; 16]);

    /// Whether this is [`Uuid::ZERO`].
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// The sixteen bytes, most significant first.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<[u8; 16]> for Uuid {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The last character carries two bits only: the four below them are zero.
        let bits = u128::from_be_bytes(self.0);
        let mut text = String::with_capacity(TEXT_SIZE);
        for index in 0..TEXT_SIZE {
            let shift = 122 - 6 * index as i32;
            let sextet = if shift >= 0 { bits >> shift } else { bits << -shift } & 63;
            text.push(char::from(ALPHABET[sextet as usize]));
        }
        f.pad(&text)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uuid({self})")
    }
}

impl FromStr for Uuid {
    type Err = InvalidUuid;

    fn from_str(text: &str) -> Result<Self, InvalidUuid> {
        if text.len() != TEXT_SIZE {
            return Err(InvalidUuid);
        }
        let mut bits = 0u128;
        for (index, byte) in text.bytes().enumerate() {
            let sextet = ALPHABET.iter().position(|&c| c == byte).ok_or(InvalidUuid)? as u128;
            let shift = 122 - 6 * index as i32;
            if shift >= 0 {
                bits |= sextet << shift;
            } else if sextet & 0b1111 == 0 {
                bits |= sextet >> -shift;
            } else {
                return Err(InvalidUuid);
            }
        }
        Ok(Self(bits.to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_url_safe_base64() {
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(Uuid([0xff; 16]).to_string(), "_____________________w");
        let counting = Uuid([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(counting.to_string(), "AAECAwQFBgcICQoLDA0ODw");
    }

    #[test]
    fn text_round_trips() {
        let mut bytes = [0u8; 16];
        for step in 0..1000u32 {
            for (index, byte) in bytes.iter_mut().enumerate() {
                *byte = (step.wrapping_mul(2_654_435_761) >> (index % 24)) as u8;
            }
            let id = Uuid(bytes);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn refuses_other_text() {
        for text in
            ["", "AAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAB", "AAAA+AAAAAAAAAAAAAAAAA"]
        {
            assert_eq!(text.parse::<Uuid>(), Err(InvalidUuid), "{text}");
        }
    }
}
