//! Which partition a directory or a journal record belongs to.

use std::fmt;
use std::str::FromStr;

/// A partition's identity on disk: the topic's id, not its name, so that a topic that was deleted
/// and created again is a different one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    /// The topic's id.
    pub topic: [u8; 16],
    /// Index of the partition in its topic, from 0.
    pub partition: u32,
}

/// Shown, and named on disk, as 32 hexadecimal digits, a dash and the partition: `…4f-12`.
impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}-{}", u128::from_be_bytes(self.topic), self.partition)
    }
}

impl fmt::Debug for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not what [`PartitionKey`]'s `Display` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a partition directory")]
pub struct ParseKeyError;

impl FromStr for PartitionKey {
    type Err = ParseKeyError;

    /// Takes exactly what `Display` writes: one key has one name.
    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let (topic, partition) = text.split_once('-').ok_or(ParseKeyError)?;
        let topic = u128::from_str_radix(topic, 16).map_err(|_| ParseKeyError)?;
        let partition = partition.parse().map_err(|_| ParseKeyError)?;
        let key = Self { topic: topic.to_be_bytes(), partition };
        if key.to_string() == text { Ok(key) } else { Err(ParseKeyError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_and_its_name_map_one_to_one() {
        let mut topic = [0; 16];
        topic[0] = 0x0a;
        topic[15] = 0xff;
        let key = PartitionKey { topic, partition: 12 };
        assert_eq!(key.to_string(), "0a0000000000000000000000000000ff-12");
        assert_eq!(key.to_string().parse(), Ok(key));
        for other in [
            "",
            "-",
            "0a0000000000000000000000000000ff",
            "0a0000000000000000000000000000ff-",
            "0a0000000000000000000000000000ff-012",
            "0a0000000000000000000000000000ff-+1",
            "0A0000000000000000000000000000ff-12",
            "0a000000000000000000000000000fff-12.deleted",
            "a0000000000000000000000000000ff-12",
            "0a0000000000000000000000000000ff-4294967296",
        ] {
            assert_eq!(other.parse::<PartitionKey>(), Err(ParseKeyError), "{other}");
        }
    }
}
