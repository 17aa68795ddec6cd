//! Three brokers as processes, nothing between them.

use std::time::Duration;

use synod_broker::demo::brokers::{Brokers, Setup};
use tempfile::TempDir;

/// Three brokers that take clients, and the directory of their data; `args` go to each.
pub(crate) fn start_three(args: &[&str], patience: Duration) -> (Brokers, TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let setup = Setup {
        binary: env!("CARGO_BIN_EXE_synod").into(),
        directory: directory.path().into(),
        broker_count: 3,
        args: args.iter().map(Into::into).collect(),
    };
    let mut brokers = Brokers::prepare(setup).expect("free ports");
    brokers.start_all(patience).unwrap_or_else(|error| panic!("{error}"));
    (brokers, directory)
}
