//! Known ways to get this wrong, for the simulator to plant. Without the feature `planted-bugs`
//! nothing here can be switched on, and the compiler drops every branch that asks.

#![cfg_attr(not(feature = "planted-bugs"), allow(dead_code, unreachable_pub))]

/// A bug to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlantedBug {
    /// The producer states are not folded anew after a restart.
    DedupForgotten,
    /// What is damaged below the mark is cut like a torn tail.
    TornTailBelowMark,
    /// What is cut is not overwritten with zeros.
    CutNotZeroed,
    /// The name of a new segment is not made durable.
    DirectoryNotSynced,
    /// A sync that failed is tried again and believed.
    SyncRetried,
    /// What was carried of a log is not made void before the log is cut.
    VoidNotWritten,
    /// A carrier's file is used again before the logs of what it holds are settled.
    CarrierReusedEarly,
}

impl PlantedBug {
    /// Every bug there is.
    pub const ALL: [PlantedBug; 7] = [
        PlantedBug::DedupForgotten,
        PlantedBug::TornTailBelowMark,
        PlantedBug::CutNotZeroed,
        PlantedBug::DirectoryNotSynced,
        PlantedBug::SyncRetried,
        PlantedBug::VoidNotWritten,
        PlantedBug::CarrierReusedEarly,
    ];
}

#[cfg(feature = "planted-bugs")]
mod switch {
    use std::cell::Cell;

    use super::PlantedBug;

    thread_local! {
        static PLANTED: Cell<Option<PlantedBug>> = const { Cell::new(None) };
    }

    /// Plants a bug in every log that this thread works on, or takes it back.
    pub fn plant(bug: Option<PlantedBug>) {
        PLANTED.set(bug);
    }

    pub(crate) fn is_planted(bug: PlantedBug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(not(feature = "planted-bugs"))]
mod switch {
    use super::PlantedBug;

    pub(crate) fn is_planted(_bug: PlantedBug) -> bool {
        false
    }
}

pub(crate) use switch::is_planted;
#[cfg(feature = "planted-bugs")]
pub use switch::plant;
