//! Why a measurement fails.

use std::io;

use crate::tally::Findings;

/// Why a measurement gives no figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The cluster refused or cannot be reached.
    #[error(transparent)]
    Client(#[from] synod_client::Error),
    /// What was acknowledged is not there as it was written.
    #[error(
        "the check failed: of {} acknowledged records {} are lost, {} repeated, {} reordered, \
         {} damaged", .0.acked, .0.lost, .0.repeated, .0.reordered, .0.damaged
    )]
    Unsound(Findings),
    /// Too many records failed for a measurement.
    #[error("{count} records failed, the last one thus: {last}")]
    Failing { count: u64, last: Box<synod_client::Error> },
    /// A broker process that was started here did something unexpected.
    #[error("{0}")]
    Process(String),
    #[error("{context}: {source}")]
    Io { context: String, source: io::Error },
    /// Whoever read our output has gone.
    #[error("the output was closed")]
    OutputClosed,
}

impl BenchError {
    pub(crate) fn usage(reason: impl Into<String>) -> Self {
        Self::Usage(reason.into())
    }

    pub(crate) fn io(context: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let context = context.into();
        move |source| Self::Io { context, source }
    }

    /// For writing results to standard output.
    pub(crate) fn output(source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Io { context: "cannot write the output".into(), source },
        }
    }
}
