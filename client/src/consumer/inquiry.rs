//! A fetch under way, and how long its leader has kept silent.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fetch::Asked;
use crate::cluster::Metadata;

/// What is under way to one leader.
#[derive(Debug)]
pub(super) struct Inquiry {
    asked: Vec<Asked>,
    /// When the answer should have come.
    due: Instant,
    /// The cluster is asked about the leader after this time.
    ask_at: Instant,
    given_up: CancellationToken,
}

/// What a leader that is late makes the consumer do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lateness {
    /// Nothing before this time.
    None(Instant),
    /// Ask the cluster who leads by now, and look again at this time.
    Ask(Instant),
    /// Nothing more: the wait is over, since others lead now.
    GivenUp,
}

impl Inquiry {
    /// A fetch that should be answered by `due`.
    pub(super) fn new(asked: Vec<Asked>, due: Instant) -> Self {
        Self { asked, due, ask_at: due, given_up: CancellationToken::new() }
    }

    /// Ends the wait when it is cancelled.
    pub(super) fn given_up(&self) -> CancellationToken {
        self.given_up.clone()
    }

    /// Looks whether `leader` is late and why that may be.
    pub(super) fn lateness(
        &mut self,
        metadata: &Metadata,
        leader: i32,
        pause: Duration,
        now: Instant,
    ) -> Lateness {
        if now < self.due {
            return Lateness::None(self.due);
        }
        let mut led = self.asked.iter().map(|asked| {
            let partition = &asked.partition;
            metadata.leader(&partition.topic, partition.partition)
        });
        if led.any(|now| now.is_some_and(|now| now != leader)) {
            self.given_up.cancel();
            return Lateness::GivenUp;
        }
        if now < self.ask_at {
            return Lateness::None(self.ask_at);
        }
        self.ask_at = now + pause;
        Lateness::Ask(self.ask_at)
    }
}
