//! The bugs that can be planted, wherever they live, under one kind of name.

use crate::planted;

/// A bug to plant in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// In the consensus core.
    Core(synod_paxos::PlantedBug),
    /// In the durable log.
    Log(synod_log::planted::PlantedBug),
    /// In the broker.
    Broker(planted::PlantedBug),
}

impl Bug {
    /// Every bug there is.
    pub(crate) fn all() -> Vec<Bug> {
        use planted::PlantedBug as InBroker;
        let broker = [
            InBroker::WatermarkLowered,
            InBroker::MessagesNotHeld,
            InBroker::MarkNotLowered,
            InBroker::OrphanDirectoryDeleted,
            InBroker::UnknownIncarnationVotes,
            InBroker::ConnectivityIgnored,
            InBroker::RoundAppointedTwice,
        ];
        let core = synod_paxos::PlantedBug::ALL.map(Bug::Core);
        let log = synod_log::planted::PlantedBug::ALL.map(Bug::Log);
        core.into_iter().chain(log).chain(broker.map(Bug::Broker)).collect()
    }

    /// The name for command lines: `ack-before-sync`.
    pub(crate) fn name(self) -> String {
        let camel = match self {
            Bug::Core(bug) => format!("{bug:?}"),
            Bug::Log(bug) => format!("{bug:?}"),
            Bug::Broker(bug) => format!("{bug:?}"),
        };
        let mut name = String::new();
        for letter in camel.chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    pub(crate) fn by_name(name: &str) -> Option<Bug> {
        Bug::all().into_iter().find(|bug| bug.name() == name)
    }

    /// Whether it shows only where the brokers' own controller appoints leaders.
    pub(crate) fn is_of_controller(self) -> bool {
        use planted::PlantedBug as InBroker;
        matches!(
            self,
            Bug::Broker(
                InBroker::OrphanDirectoryDeleted
                    | InBroker::UnknownIncarnationVotes
                    | InBroker::ConnectivityIgnored
                    | InBroker::RoundAppointedTwice
            )
        )
    }

    /// Whether it shows only where small appends are carried.
    pub(crate) fn is_of_carrier(self) -> bool {
        use synod_log::planted::PlantedBug as InLog;
        matches!(self, Bug::Log(InLog::VoidNotWritten | InLog::CarrierReusedEarly))
    }

    /// What the core is told.
    pub(crate) fn in_core(self) -> Option<synod_paxos::PlantedBug> {
        match self {
            Bug::Core(bug) => Some(bug),
            Bug::Log(_) | Bug::Broker(_) => None,
        }
    }
}

/// Plants a bug in all that this thread runs, as long as it is held.
#[derive(Debug)]
pub(crate) struct Plant;

impl Plant {
    pub(crate) fn new(bug: Option<Bug>) -> Plant {
        synod_log::planted::plant(match bug {
            Some(Bug::Log(bug)) => Some(bug),
            _ => None,
        });
        planted::plant(match bug {
            Some(Bug::Broker(bug)) => Some(bug),
            _ => None,
        });
        Plant
    }
}

impl Drop for Plant {
    fn drop(&mut self) {
        synod_log::planted::plant(None);
        planted::plant(None);
    }
}
