//! What one setting with a Kafka name is: its type, its allowed values, and what it does here.

use super::error::{AdminError, AdminErrorKind};

/// One row of a table of settings.
#[derive(Debug)]
pub struct ConfigKey {
    /// Kafka's name.
    pub name: &'static str,
    /// The type that tools are told.
    pub kind: ConfigType,
    /// The built-in value, in canonical form.
    pub default: &'static str,
    /// What is allowed beyond the type.
    pub rule: Rule,
    /// Whether and how this broker acts on it.
    pub effect: Effect,
    /// What it means, for users.
    pub doc: &'static str,
    /// Broker-level settings it follows when a topic has no value of its own, nearest first.
    pub follows: &'static [Synonym],
}

/// A broker-level setting that gives a topic-level one its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// The broker-level name.
    pub name: &'static str,
    /// How many of the topic-level unit one of its units is: 3,600,000 for hours to milliseconds.
    pub factor: i64,
}

/// Types of settings, as Kafka's tools show them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigType {
    /// `true` or `false`.
    Boolean,
    /// A signed 32-bit number.
    Int,
    /// A signed 16-bit number.
    Short,
    /// A signed 64-bit number.
    Long,
    /// A floating-point number.
    Double,
    /// Any text.
    String,
    /// Texts separated by commas.
    List,
}

/// Restrictions beyond the type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// None.
    Any,
    /// A number in this inclusive range.
    Range(i64, i64),
    /// A fraction from 0 to 1.
    Fraction,
    /// One of these words; for a list, each item is.
    OneOf(&'static [&'static str]),
    /// Only this value, for the reason given.
    Only(&'static str, &'static str),
    /// `*` or a list of `partition:broker` pairs.
    ReplicaList,
}

/// What this broker does about a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It acts on it.
    Acts,
    /// It keeps and shows the value and does nothing else; the row's documentation says why.
    Kept,
}

/// No lower or no upper bound of a [`Rule::Range`].
pub const MAX: i64 = i64::MAX;

impl ConfigKey {
    /// Checks a value and brings it to its canonical form (spaces trimmed, booleans in lower case).
    ///
    /// # Errors
    /// `InvalidConfig` that names the setting, the value and what is expected.
    pub fn canonical(&self, value: &str) -> Result<String, AdminError> {
        self.canonical_as(self.name, value)
    }

    /// As [`ConfigKey::canonical`], for a value that was given under another name.
    ///
    /// # Errors
    /// `InvalidConfig` that names `name`, the value and what is expected.
    pub fn canonical_as(&self, name: &str, value: &str) -> Result<String, AdminError> {
        self.parse(value.trim()).map_err(|expected| {
            let shown: String = value.chars().take(128).collect();
            let message = format!("Invalid value {shown} for configuration {name}: {expected}");
            AdminError::new(AdminErrorKind::InvalidConfig, message)
        })
    }

    fn parse(&self, value: &str) -> Result<String, String> {
        let canonical = match self.kind {
            ConfigType::Boolean => match value.to_ascii_lowercase().as_str() {
                word @ ("true" | "false") => word.to_owned(),
                _ => return Err("Expected value to be either true or false".into()),
            },
            ConfigType::Short => self.parse_number(value, i16::MIN.into(), i16::MAX.into())?,
            ConfigType::Int => self.parse_number(value, i32::MIN.into(), i32::MAX.into())?,
            ConfigType::Long => self.parse_number(value, i64::MIN, i64::MAX)?,
            ConfigType::Double => self.parse_fraction(value)?,
            ConfigType::String => value.to_owned(),
            ConfigType::List => list_items(value).collect::<Vec<_>>().join(","),
        };
        self.check_words(&canonical)?;
        Ok(canonical)
    }

    fn parse_number(&self, value: &str, min: i64, max: i64) -> Result<String, String> {
        let kind = self.kind.name();
        let number: i128 = value.parse().map_err(|_| format!("Not a number of type {kind}"))?;
        if number < i128::from(min) || number > i128::from(max) {
            return Err(format!("Not a number of type {kind}"));
        }
        if let Rule::Range(low, high) = self.rule {
            if number < i128::from(low) {
                return Err(format!("Value must be at least {low}"));
            }
            if number > i128::from(high) {
                return Err(format!("Value must be no more than {high}"));
            }
        }
        Ok(number.to_string())
    }

    fn parse_fraction(&self, value: &str) -> Result<String, String> {
        let number: f64 = value.parse().map_err(|_| "Not a number of type DOUBLE".to_owned())?;
        if !number.is_finite() {
            return Err("Not a number of type DOUBLE".into());
        }
        match self.rule {
            Rule::Fraction if number < 0.0 => Err("Value must be at least 0".into()),
            Rule::Fraction if number > 1.0 => Err("Value must be no more than 1".into()),
            _ => Ok(format!("{number:?}")),
        }
    }

    fn check_words(&self, value: &str) -> Result<(), String> {
        let is_list = self.kind == ConfigType::List;
        match self.rule {
            Rule::OneOf(words) => {
                let known = |word: &str| words.contains(&word);
                let all_known = if is_list { list_items(value).all(known) } else { known(value) };
                if !all_known {
                    return Err(format!("String must be one of: {}", words.join(", ")));
                }
            }
            Rule::Only(only, reason) if value != only => return Err(reason.to_owned()),
            Rule::ReplicaList if value != "*" && !list_items(value).all(is_replica) => {
                return Err("Must be the literal '*' or a list of \
                            partition:broker pairs separated by commas"
                    .into());
            }
            _ => {}
        }
        Ok(())
    }
}

impl ConfigType {
    /// Kafka's word for the type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "BOOLEAN",
            Self::Int => "INT",
            Self::Short => "SHORT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::String => "STRING",
            Self::List => "LIST",
        }
    }
}

/// The items of a list value: trimmed, without empty ones.
pub fn list_items(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn is_replica(pair: &str) -> bool {
    pair.split_once(':').is_some_and(|(partition, broker)| {
        [partition, broker].iter().all(|n| n.parse::<u32>().is_ok())
    })
}

/// The known name that is nearest to a mistyped one, if any is near enough to suggest.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // A client's text: beyond this length no setting can be near, and the cost is quadratic.
    if name.len() > 128 {
        return None;
    }
    let limit = 1 + name.chars().count() / 4;
    let distances = known.map(|candidate| (edit_distance(name, candidate), candidate));
    distances.filter(|(distance, _)| *distance <= limit).min().map(|(_, candidate)| candidate)
}

/// Insertions, deletions and replacements of characters that turn one text into the other.
fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::topic_config_table::topic_key;

    #[test]
    fn values_are_brought_to_one_form() {
        for (name, value, canonical) in [
            ("retention.ms", " 7 ", "7"),
            ("retention.ms", "+7", "7"),
            ("retention.ms", "-1", "-1"),
            ("retention.bytes", "-5", "-5"),
            ("preallocate", "TRUE", "true"),
            ("cleanup.policy", " compact , delete,", "compact,delete"),
            ("cleanup.policy", "", ""),
            ("min.cleanable.dirty.ratio", "1", "1.0"),
            ("min.cleanable.dirty.ratio", ".5", "0.5"),
            ("leader.replication.throttled.replicas", "*", "*"),
            ("leader.replication.throttled.replicas", "0:1, 1:2", "0:1,1:2"),
            ("unclean.leader.election.enable", "False", "false"),
            ("compression.type", "lz4", "lz4"),
        ] {
            assert_eq!(topic_key(name).unwrap().canonical(value).unwrap(), canonical, "{name}");
        }
    }

    /// What Apache Kafka 4.3 answers, where this broker has the same rule.
    #[test]
    fn refusals_say_what_is_expected() {
        for (name, value, expected) in [
            ("retention.ms", "abc", "Not a number of type LONG"),
            ("retention.ms", "", "Not a number of type LONG"),
            ("retention.ms", "1.5", "Not a number of type LONG"),
            ("retention.ms", "9223372036854775808", "Not a number of type LONG"),
            ("retention.ms", "-2", "Value must be at least -1"),
            ("segment.bytes", "1", "Value must be at least 1048576"),
            ("segment.bytes", "99999999999", "Not a number of type INT"),
            ("segment.ms", "0", "Value must be at least 1"),
            ("max.message.bytes", "-1", "Value must be at least 0"),
            ("min.insync.replicas", "0", "Value must be at least 1"),
            ("flush.messages", "0", "Value must be at least 1"),
            ("compression.gzip.level", "10", "Value must be no more than 9"),
            ("preallocate", "maybe", "Expected value to be either true or false"),
            ("cleanup.policy", "foo", "String must be one of: compact, delete"),
            ("cleanup.policy", "delete,foo", "String must be one of: compact, delete"),
            (
                "compression.type",
                "brotli",
                "String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer",
            ),
            ("message.timestamp.type", "x", "String must be one of: CreateTime, LogAppendTime"),
            ("min.cleanable.dirty.ratio", "1.5", "Value must be no more than 1"),
            ("min.cleanable.dirty.ratio", "-0.1", "Value must be at least 0"),
            ("min.cleanable.dirty.ratio", "NaN", "Not a number of type DOUBLE"),
        ] {
            let error = topic_key(name).unwrap().canonical(value).unwrap_err();
            assert_eq!(error.kind, AdminErrorKind::InvalidConfig);
            let wanted = format!("Invalid value {value} for configuration {name}: {expected}");
            assert_eq!(error.message, wanted);
        }
        let throttle = topic_key("leader.replication.throttled.replicas").unwrap();
        for value in ["x", "1", "1:", "1:x", "1:2,x"] {
            assert!(throttle.canonical(value).is_err(), "{value}");
        }
        let long = "9".repeat(100_000);
        let error = topic_key("retention.ms").unwrap().canonical(&long).unwrap_err();
        assert!(error.message.len() < 300, "a client's text is cut");
    }

    #[test]
    fn the_nearest_name_is_suggested_only_if_it_is_near() {
        let known = ["retention.ms", "retention.bytes", "segment.ms", "flush.ms"];
        for (name, expected) in [
            ("retention_ms", Some("retention.ms")),
            ("retentionms", Some("retention.ms")),
            ("retention.byte", Some("retention.bytes")),
            ("segmentms", Some("segment.ms")),
            ("x", None),
            ("", None),
            ("replication.factor", None),
        ] {
            assert_eq!(nearest(name, known.into_iter()), expected, "{name}");
        }
        assert_eq!(nearest(&"retention.ms".repeat(20), known.into_iter()), None);
    }
}
