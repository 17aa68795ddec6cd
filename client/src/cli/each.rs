//! Commands that do the same with several topics or groups.

use serde::Serialize;

use super::output::{Failure, all_well, print, print_json};
use super::progress::Progress;
use crate::Error;

/// What became of one topic or group.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    Created,
    /// It was there before, which is no mistake.
    Exists,
    Deleted,
    /// It was not there, which is no mistake.
    Missing,
}

#[derive(Serialize)]
struct Fate<'a> {
    name: &'a str,
    outcome: Option<Outcome>,
    error: Option<String>,
}

/// Acts on every name and reports each; fails if any did. `kind`: topic or group.
pub(super) async fn for_each<F>(
    json: bool,
    kind: &'static str,
    names: &[String],
    mut act: impl FnMut(String) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<Outcome, Error>>,
{
    let mut progress = Progress::new(kind, Some(names.len() as u64));
    let mut fates = Vec::new();
    for (count, name) in names.iter().enumerate() {
        progress.show(count as u64);
        let (outcome, error) = match act(name.clone()).await {
            Ok(outcome) => (Some(outcome), None),
            Err(error) => (None, Some(error.to_string())),
        };
        if let (Some(outcome), false) = (outcome, json) {
            print(&sentence(outcome, kind, name))?;
        }
        fates.push(Fate { name, outcome, error });
    }
    drop(progress);
    if json {
        print_json(&fates)?;
    }
    all_well(fates.into_iter().filter_map(|fate| fate.error))
}

fn sentence(outcome: Outcome, kind: &str, name: &str) -> String {
    match outcome {
        Outcome::Created => format!("created {kind} {name}\n"),
        Outcome::Exists => format!("{kind} {name} exists already\n"),
        Outcome::Deleted => format!("deleted {kind} {name}\n"),
        Outcome::Missing => format!("{kind} {name} does not exist\n"),
    }
}
