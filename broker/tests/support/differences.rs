//! The checked-in list of what Synod does otherwise than a Kafka broker, on purpose or for now.
//!
//! A suite asks the list about each case. An entry that no case needed fails the suite: the list
//! can only shrink, and an entry goes away with the difference it excuses.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;

/// One suite's part of the list.
#[derive(Debug)]
pub(crate) struct Differences {
    entries: BTreeMap<String, Difference>,
    met: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Difference {
    /// The case, as the suite names it.
    pub(crate) case: String,
    /// What Synod answers instead.
    pub(crate) synod: String,
    /// Why that is right, or what has to happen for the entry to go.
    pub(crate) why: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    difference: Vec<Difference>,
}

impl Differences {
    pub(crate) fn load(path: &Path) -> Differences {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let file: File = toml::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let mut entries = BTreeMap::new();
        for difference in file.difference {
            assert!(!difference.why.is_empty(), "{}: an entry says why", difference.case);
            let case = difference.case.clone();
            let earlier = entries.insert(case, difference);
            assert!(earlier.is_none(), "two entries for one case: {earlier:?}");
        }
        Differences { entries, met: Vec::new() }
    }

    /// What Synod is known to answer in this case, if that differs.
    pub(crate) fn expected(&mut self, case: &str) -> Option<&Difference> {
        let entry = self.entries.get(case)?;
        self.met.push(case.to_owned());
        Some(entry)
    }

    /// Entries that no case asked about.
    pub(crate) fn unmet(&self) -> Vec<&str> {
        let cases = self.entries.keys().map(String::as_str);
        cases.filter(|case| !self.met.iter().any(|met| met == case)).collect()
    }
}
