//! What can go wrong with the twin, and when.

use std::collections::BTreeMap;

use super::disk::{Fate, NodeId};
use super::random::Random;

/// One thing that goes wrong, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A sync fails. What it should have covered is kept, lost or torn by chance and never written
    /// again, and the next sync says `Ok`: a retry loses data, as with a real kernel.
    SyncError,
    /// A write fails with an input/output error, after some of it was done.
    WriteError,
    /// A write, a zeroing or a creation finds the disk full.
    DiskFull,
    /// A read fails with an input/output error.
    ReadError,
    /// A write is visible to reads but never reaches the device, although a sync says so.
    LostWrite,
    /// As `LostWrite`, and the bytes land some sectors away in the same file.
    MisdirectedWrite,
    /// The power goes: this and every later operation fails until
    /// [`crash`](super::MemoryStorage::crash).
    PowerOff,
}

/// How often each fault strikes by chance, per million operations that it can strike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultRates {
    /// See [`Fault::SyncError`].
    pub sync_error: u32,
    /// See [`Fault::WriteError`].
    pub write_error: u32,
    /// See [`Fault::DiskFull`].
    pub disk_full: u32,
    /// See [`Fault::ReadError`].
    pub read_error: u32,
    /// See [`Fault::LostWrite`].
    pub lost_write: u32,
    /// See [`Fault::MisdirectedWrite`].
    pub misdirected_write: u32,
}

/// What kind of operation is about to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Read,
    Write,
    Sync,
    /// Looks at names.
    Names,
    /// Creates, renames or removes names.
    Change,
}

impl Fault {
    fn strikes(self, operation: Operation) -> bool {
        match self {
            Self::PowerOff => true,
            Self::SyncError => operation == Operation::Sync,
            Self::ReadError => operation == Operation::Read,
            Self::WriteError | Self::LostWrite | Self::MisdirectedWrite => {
                operation == Operation::Write
            }
            Self::DiskFull => matches!(operation, Operation::Write | Operation::Change),
        }
    }
}

/// Faults that wait for their operation.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) rates: FaultRates,
    /// By number of the operation at or after which the fault strikes.
    scheduled: BTreeMap<u64, Fault>,
    /// By file: strikes the next operation on it that it can.
    aimed: Vec<(NodeId, Fault)>,
}

impl Plan {
    pub(super) fn schedule(&mut self, operation: u64, fault: Fault) {
        self.scheduled.insert(operation, fault);
    }

    pub(super) fn aim(&mut self, node: NodeId, fault: Fault) {
        self.aimed.push((node, fault));
    }

    /// The fault that strikes this operation, if one does.
    pub(super) fn strike(
        &mut self,
        number: u64,
        operation: Operation,
        node: Option<NodeId>,
        random: &mut Random,
    ) -> Option<Fault> {
        let due = self
            .scheduled
            .range(..=number)
            .find(|(_, fault)| fault.strikes(operation))
            .map(|(at, _)| *at);
        if let Some(at) = due {
            return self.scheduled.remove(&at);
        }
        let aimed =
            |(target, fault): &(NodeId, Fault)| Some(*target) == node && fault.strikes(operation);
        if let Some(index) = self.aimed.iter().position(aimed) {
            return Some(self.aimed.remove(index).1);
        }
        let FaultRates {
            sync_error,
            write_error,
            disk_full,
            read_error,
            lost_write,
            misdirected_write,
        } = self.rates;
        [
            (Fault::SyncError, sync_error),
            (Fault::WriteError, write_error),
            (Fault::DiskFull, disk_full),
            (Fault::ReadError, read_error),
            (Fault::LostWrite, lost_write),
            (Fault::MisdirectedWrite, misdirected_write),
        ]
        .into_iter()
        .find(|(fault, rate)| fault.strikes(operation) && random.chance(*rate))
        .map(|(fault, _)| fault)
    }
}

/// What a write's fault makes of it below the page cache.
pub(super) fn fate(fault: Option<Fault>, random: &mut Random) -> Fate {
    match fault {
        Some(Fault::LostWrite) => Fate::Lost,
        Some(Fault::MisdirectedWrite) => {
            let distance = 1 + random.below(16) as i64;
            Fate::Misdirected(if random.below(2) == 0 { distance } else { -distance })
        }
        _ => Fate::Normal,
    }
}
