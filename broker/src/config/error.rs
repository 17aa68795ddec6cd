//! What can be wrong with a configuration, each told in one line that says what to do.

use super::layers::Source;
use std::fmt;

/// Every problem found in one pass over all layers; at least one.
#[derive(Debug)]
pub struct ConfigError {
    /// The problems, in the order of the layers.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The file or a variable cannot be read.
    Unreadable {
        /// What cannot be read.
        what: String,
        /// The system's words.
        reason: String,
    },
    /// The file is not TOML.
    Syntax {
        /// Where.
        at: Source,
        /// What the parser says.
        reason: String,
    },
    /// No setting has this key.
    UnknownKey {
        /// Where it stands.
        at: Source,
        /// The key as written.
        key: String,
        /// The nearest known key, when one is near.
        nearest: Option<String>,
    },
    /// A value that its setting cannot take.
    BadValue {
        /// Where it stands.
        at: Source,
        /// The setting's key.
        key: String,
        /// The value as written, escaped and cut.
        value: String,
        /// What would do.
        expected: String,
    },
    /// A value under `[topic_defaults]` that the topic setting cannot take.
    BadTopicDefault {
        /// Where it stands.
        at: Source,
        /// The words that a Kafka tool would get; they name setting, value and what is expected.
        reason: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Unreadable { what, reason } => write!(f, "cannot read {what}: {reason}"),
            Problem::Syntax { at, reason } => write!(f, "{at}: not valid TOML: {reason}"),
            Problem::UnknownKey { at, key, nearest: Some(nearest) } => {
                write!(f, "{at}: unknown key {key:?}; did you mean {nearest:?}?")
            }
            Problem::UnknownKey { at, key, nearest: None } => write!(
                f,
                "{at}: unknown key {key:?}; `synod config show-default` lists the known ones"
            ),
            Problem::BadValue { at, key, value, expected } => {
                write!(f, "{at}: {key} = {value:?}: expected {expected}")
            }
            Problem::BadTopicDefault { at, reason } => write!(f, "{at}: topic_defaults: {reason}"),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let line = if index == 0 { "" } else { "\n" };
            write!(f, "{line}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// The known key nearest to `wrong`, if one is near enough to be what was meant.
pub(super) fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_ascii_lowercase().replace('-', "_");
    let wrong_leaf = leaf(&wrong);
    let scored = known.map(|key| {
        // The right name in the wrong section, or in none, is one step away.
        let whole = edit_distance(&wrong, key);
        let no_section = edit_distance(&wrong, leaf(key)) + 1;
        let other_section = edit_distance(wrong_leaf, leaf(key)) + 1;
        (whole.min(no_section).min(other_section), key)
    });
    let (distance, key) = scored.min()?;
    let tolerance = (wrong_leaf.chars().count() / 3).max(2);
    (distance <= tolerance).then_some(key)
}

fn leaf(key: &str) -> &str {
    // Kafka's own names contain dots, so only the first part can be a section.
    key.split_once('.').map_or(key, |(_, leaf)| leaf)
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_the_four_edits() {
        for (a, b, distance) in [
            ("listen", "listen", 0),
            ("lsiten", "listen", 1),
            ("isten", "listen", 1),
            ("listten", "listen", 1),
            ("lixten", "listen", 1),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(edit_distance(a, b), distance, "{a} {b}");
        }
    }

    #[test]
    fn nearest_key_is_near_or_none() {
        let known = ["listen", "peer_listen", "limits.frame_size", "topic_defaults.retention.ms"];
        let find = |wrong| nearest(wrong, known.into_iter());
        assert_eq!(find("lisen"), Some("listen"));
        assert_eq!(find("peer-listen"), Some("peer_listen"));
        assert_eq!(find("frame_size"), Some("limits.frame_size"));
        assert_eq!(find("limit.frame_sise"), Some("limits.frame_size"));
        assert_eq!(find("retention.ms"), Some("topic_defaults.retention.ms"));
        assert_eq!(find("zookeeper_connect"), None);
    }
}
