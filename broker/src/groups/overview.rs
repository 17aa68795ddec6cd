//! What a coordinator lets the rest of the broker see of its groups.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use synod_wire::Str;

use super::coordinator::Coordinator;
use super::group::Phase;
use super::state::GroupsState;

/// The groups of one coordinator at some moment.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    state: GroupsState,
    live: BTreeMap<Str, (&'static str, usize)>,
}

impl Overview {
    /// What was decided.
    #[must_use]
    pub fn state(&self) -> &GroupsState {
        &self.state
    }

    /// All groups, each with its state and its number of members.
    pub fn groups(&self) -> impl Iterator<Item = (&Str, &'static str, usize)> {
        let live = self.live.iter().map(|(group, (state, members))| (group, *state, *members));
        let at_rest = self.state.groups().map(|(group, _)| group);
        let at_rest = at_rest.filter(|group| !self.live.contains_key(*group));
        live.chain(at_rest.map(|group| (group, Phase::Empty.name(), 0)))
    }
}

impl Coordinator {
    /// The groups as they are now.
    #[must_use]
    pub fn overview(&self) -> Overview {
        let live = self
            .groups
            .iter()
            .map(|(id, group)| (id.clone(), (group.phase.name(), group.members.len())));
        Overview { state: self.state().clone(), live: live.collect() }
    }
}

/// The overviews of all coordinators of a broker, by partition.
#[derive(Debug, Default)]
pub struct Overviews(Mutex<BTreeMap<u32, Arc<Overview>>>);

impl Overviews {
    /// Takes over a newer overview, or that there is none any more.
    pub fn set(&self, partition: u32, overview: Option<Overview>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match overview {
            Some(overview) => all.insert(partition, Arc::new(overview)),
            None => all.remove(&partition),
        };
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Overview>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().cloned().collect()
    }
}
