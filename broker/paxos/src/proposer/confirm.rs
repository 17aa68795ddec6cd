//! Whether a leader still leads, for answers that rest on what it holds as decided.

use super::phase2::Phase2;
use crate::core::Core;
use crate::{Confirm, Confirmed, Message, NodeId, ProposeError};

impl Phase2 {
    /// Asks all voters; the answers come with [`Phase2::confirmed`].
    pub(crate) fn confirm(&mut self, core: &mut Core) -> Result<u64, ProposeError> {
        if !self.is_ready() {
            return Err(ProposeError::NotReady);
        }
        self.asked += 1;
        self.ask_unconfirmed(core);
        Ok(self.asked)
    }

    /// The latest question that a quorum has confirmed, this leader included.
    pub(crate) fn confirmed(&self, core: &Core) -> u64 {
        let node = core.node();
        let of = |voter| match voter == node {
            true => Some(self.asked),
            false => self.followers.get(&voter).map(|progress| progress.confirmed),
        };
        self.set().quorum_end(of).unwrap_or(0)
    }

    pub(crate) fn handle_confirmed(&mut self, core: &Core, from: NodeId, message: &Confirmed) {
        let Some(progress) = self.followers.get_mut(&from) else { return };
        progress.heard_tick = core.tick;
        // Nobody can confirm what was never asked.
        progress.confirmed = progress.confirmed.max(message.number.min(self.asked));
    }

    /// Asks those again whose answer did not come.
    pub(super) fn ask_unconfirmed(&self, core: &mut Core) {
        if self.confirmed(core) == self.asked {
            return;
        }
        for (node, progress) in &self.followers {
            if progress.confirmed < self.asked && self.set().is_voter(*node) {
                let confirm = Confirm { ballot: self.ballot, number: self.asked };
                core.send(*node, Message::Confirm(confirm));
            }
        }
    }
}
