//! Answers that the metadata log's runtime has released, on their way to whoever asked.

use std::sync::{Arc, Mutex, PoisonError};

use synod_paxos::NodeId;

use crate::metadata::Answer;
use crate::metadata::ask::Reply;
use crate::state_log::NotDone;

/// Whose request it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// This broker's, by its number among the broker's own.
    Own(u64),
    /// Another broker's, by that broker's number.
    Peer(NodeId, u64),
}

/// An answer and whom it is for.
pub(super) type ReleasedAnswer = (Origin, Result<Answer, NotDone>);

/// Gathers answers; the lock is only ever taken by the one thread that runs the group.
#[derive(Clone, Debug, Default)]
pub(super) struct Released(Arc<Mutex<Vec<ReleasedAnswer>>>);

impl Released {
    /// Where the answer to a request of `origin` goes.
    pub(super) fn reply(&self, origin: Origin) -> Reply {
        let released = self.clone();
        Box::new(move |outcome| released.push(origin, outcome))
    }

    pub(super) fn push(&self, origin: Origin, outcome: Result<Answer, NotDone>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((origin, outcome));
    }

    pub(super) fn take(&self) -> Vec<ReleasedAnswer> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
