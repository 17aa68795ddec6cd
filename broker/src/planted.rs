//! Known ways to get the broker wrong, for the simulator to plant. In a build without the simulator
//! nothing here can be switched on, and the compiler drops every branch that asks.

#![cfg_attr(not(any(test, feature = "simulator")), allow(dead_code))]

/// A bug to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum PlantedBug {
    /// A new leader serves its high watermark before it knows what is decided.
    WatermarkLowered,
    /// Messages leave before the writes that they tell of are durable.
    MessagesNotHeld,
    /// A log is cut while its durability mark still lies beyond the cut.
    MarkNotLowered,
    /// A directory that no decided record speaks of is removed.
    OrphanDirectoryDeleted,
    /// A broker that comes with another data directory is taken for the member that it says it is.
    UnknownIncarnationVotes,
    /// The controller appoints whoever is there, whether or not it reaches a majority.
    ConnectivityIgnored,
    /// The controller appoints in the round that is in force.
    RoundAppointedTwice,
}

#[cfg(any(test, feature = "simulator"))]
mod switch {
    use std::cell::Cell;

    use super::PlantedBug;

    thread_local! {
        static PLANTED: Cell<Option<PlantedBug>> = const { Cell::new(None) };
    }

    /// Plants a bug in all that this thread runs, or takes it back.
    pub(crate) fn plant(bug: Option<PlantedBug>) {
        PLANTED.set(bug);
    }

    pub(crate) fn is_planted(bug: PlantedBug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(not(any(test, feature = "simulator")))]
mod switch {
    use super::PlantedBug;

    pub(crate) fn is_planted(_bug: PlantedBug) -> bool {
        false
    }
}

pub(crate) use switch::is_planted;
#[cfg(any(test, feature = "simulator"))]
pub(crate) use switch::plant;
