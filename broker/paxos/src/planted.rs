//! Known ways to get this wrong, for the simulators to plant. Without the feature `planted-bugs`
//! nothing here can be switched on, and the compiler drops every branch that asks.

#![cfg_attr(not(feature = "planted-bugs"), allow(dead_code, unreachable_pub))]

/// A bug to plant, by `ReplicaConfig::bug`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlantedBug {
    /// Accepted leaves before the append is synced.
    AckBeforeSync,
    /// Promise leaves before the vow is synced.
    VowNotSynced,
    /// What was accepted under older ballots counts towards the decided end.
    OldBallotCounted,
    /// The acceptance of an adopted log is noted before the log is written.
    AdoptNotesFirst,
    /// Adopt cuts the log at its starting point even where the entries match.
    TruncateMatching,
    /// One vote less than a majority suffices.
    MajorityMinusOne,
    /// An Accept beyond the end of the log is appended.
    AcceptOverGap,
    /// A decided end is taken from a leader that is superseded, or whose log was not adopted.
    StaleDecided,
    /// A round is promised again to another node.
    RoundPromisedTwice,
    /// A restarted replica takes up the ballot it led.
    ResumeBallot,
    /// A long adoption is noted with its first part.
    AdoptNotesEarly,
    /// What is faulty is taken for never accepted.
    FaultyDenied,
}

impl PlantedBug {
    /// Every bug there is.
    pub const ALL: [PlantedBug; 12] = [
        PlantedBug::AckBeforeSync,
        PlantedBug::VowNotSynced,
        PlantedBug::OldBallotCounted,
        PlantedBug::AdoptNotesFirst,
        PlantedBug::TruncateMatching,
        PlantedBug::MajorityMinusOne,
        PlantedBug::AcceptOverGap,
        PlantedBug::StaleDecided,
        PlantedBug::RoundPromisedTwice,
        PlantedBug::ResumeBallot,
        PlantedBug::AdoptNotesEarly,
        PlantedBug::FaultyDenied,
    ];
}
