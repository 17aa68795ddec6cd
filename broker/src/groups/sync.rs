//! Fetching assignments; the leader brings all of them.

use super::coordinator::Coordinator;
use super::error::GroupError;
use super::group::{Group, Phase};
use super::request::{Reply, Sync, Synced};

impl Coordinator {
    pub(super) fn sync(&mut self, sync: Sync, reply: Reply<Result<Synced, GroupError>>) {
        let Sync { claim, assignments, .. } = &sync;
        let group = match self.groups.get_mut(&claim.group) {
            _ if claim.group.is_empty() => Err(GroupError::InvalidGroup),
            Some(group) if group.phase != Phase::Empty => group.check_sync(&sync).map(|()| group),
            _ => Err(GroupError::UnknownMember),
        };
        let group = match group {
            Ok(group) => group,
            Err(error) => {
                let _ = reply.send(Err(error));
                return;
            }
        };
        let id = &claim.member;
        group.unsynced.remove(id);
        if group.phase == Phase::Stable {
            let _ = reply.send(Ok(group.synced(id)));
            return;
        }
        group.await_sync(id, reply);
        if group.is_leader(id) {
            let given = assignments.iter().cloned().collect();
            group.assign(given, &mut self.desk);
        }
    }
}

impl Group {
    fn check_sync(&self, sync: &Sync) -> Result<(), GroupError> {
        self.check_member(&sync.claim.member, sync.claim.instance.as_ref())?;
        if sync.claim.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        let differs =
            |told: &Option<_>, own: &Option<_>| told.is_some() && own.is_some() && told != own;
        if differs(&sync.protocol_type, &self.protocol_type)
            || differs(&sync.protocol, &self.protocol)
        {
            return Err(GroupError::InconsistentProtocol);
        }
        if self.phase == Phase::Preparing { Err(GroupError::RebalanceInProgress) } else { Ok(()) }
    }
}
