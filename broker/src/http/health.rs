//! Whether the broker is ready, said by the broker and asked by supervisors.

use std::sync::{Arc, RwLock};

/// What `/readyz` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet: what the broker is doing.
    Starting(String),
    /// Clients are served.
    Ready,
    /// Running, but not able to serve: why.
    Impaired(String),
    /// On its way out.
    Stopping,
}

/// The shared readiness; clones speak of the same broker.
#[derive(Clone, Debug)]
pub struct Health(Arc<RwLock<Readiness>>);

impl Health {
    /// A broker that is starting.
    pub fn new() -> Health {
        Health(Arc::new(RwLock::new(Readiness::Starting("opening the data directory".into()))))
    }

    /// Replaces the readiness. After [`Readiness::Stopping`] nothing changes any more.
    pub fn set(&self, readiness: Readiness) {
        let mut present = self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if *present != Readiness::Stopping {
            *present = readiness;
        }
    }

    /// The present readiness.
    pub fn readiness(&self) -> Readiness {
        self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

impl Default for Health {
    fn default() -> Health {
        Health::new()
    }
}
