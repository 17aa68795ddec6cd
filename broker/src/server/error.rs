//! Why a broker does not start.

use std::path::PathBuf;

use synod_log::carrier::CarrierError;
use synod_log::data_dir::DataDirError;
use synod_log::journal::JournalOpenError;

use crate::limits::START_TIMEOUT;
use crate::metadata::AdminError;

/// Why a broker did not start, or did not stop in order.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A listener could not be bound.
    #[error("cannot listen on {address} ({setting}): {source}")]
    Listen {
        /// The address.
        address: String,
        /// The setting it comes from.
        setting: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// The data directory cannot be used.
    #[error("data directory {0}")]
    DataDir(#[from] DataDirError),
    /// The data directory is of a broker that is its own cluster, or the reverse.
    #[error("data directory {}: {reason}", .path.display())]
    Membership {
        /// The data directory.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The journal in the data directory cannot be used.
    #[error("data directory {}: {source}", .path.display())]
    Journal {
        /// The data directory.
        path: PathBuf,
        /// What is wrong.
        source: JournalOpenError,
    },
    /// What small appends were carried in cannot be used.
    #[error("data directory {}: {source}", .path.display())]
    Carrier {
        /// The data directory.
        path: PathBuf,
        /// What is wrong.
        source: CarrierError,
    },
    /// The metadata group's log cannot be used.
    #[error("data directory {}: the metadata log cannot be used: {reason}", .path.display())]
    MetadataLog {
        /// The data directory.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A default of topic settings in the configuration is not valid.
    #[error("configuration: {0}")]
    TopicDefaults(#[from] AdminError),
    /// The other brokers and this one do not fit together.
    #[error("this broker cannot take part in its cluster: {0}")]
    Cluster(String),
    /// The system refused a thread, a socket or randomness.
    #[error("{0}")]
    System(#[from] std::io::Error),
    /// The broker could not lead its metadata group or open its partitions in time.
    #[error("not ready within {} s; the log above says why", START_TIMEOUT.as_secs())]
    NotReady,
}
