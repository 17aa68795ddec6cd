//! Whether this replica still leads, for answers that rest on what it holds as decided.

use synod_paxos::Role;

use super::{Effects, Partition, PartitionError};
use crate::state_log::Reads;

impl Partition {
    /// Has a quorum confirm that this replica leads, for answers that wait for that.
    ///
    /// # Errors
    /// The log failed for good.
    pub(crate) fn confirm(
        &mut self,
        reads: &mut Reads,
        effects: &mut Effects,
    ) -> Result<(), PartitionError> {
        if self.is_ready()
            && reads.needs_confirmation()
            && let Ok(number) = self.replica.handle_confirm()
        {
            self.step(effects)?;
            reads.handle_asked(number);
        }
        reads.handle_confirmed(self.replica.confirmed());
        if matches!(self.role(), Role::Leader { quorum: false, .. }) {
            reads.handle_unconfirmed();
        }
        Ok(())
    }
}
