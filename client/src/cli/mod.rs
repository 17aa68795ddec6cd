//! The commands of the `synod` binary that talk to a cluster, for any Kafka-compatible one.
//!
//! The binary flattens [`ClientCommand`] into its own command line and runs it on its runtime. Exit
//! codes: 0 done, 1 the operation failed, 2 the command line is wrong.

mod cluster;
mod connect;
mod consume;
mod produce;
mod topic;

use std::process::ExitCode;

use clap::Subcommand;

pub use cluster::ClusterCommand;
pub use connect::Connect;
pub use consume::ConsumeArgs;
pub use produce::ProduceArgs;
pub use topic::TopicCommand;

/// A command that talks to a cluster.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Create, inspect, change and delete topics
    #[command(subcommand)]
    Topic(TopicCommand),
    /// Write records: one per line of standard input or of a file
    Produce(ProduceArgs),
    /// Read records and print them
    Consume(ConsumeArgs),
    /// Look at the cluster
    #[command(subcommand)]
    Cluster(ClusterCommand),
}

impl ClientCommand {
    /// Runs the command to its end and says how the process should exit. Results go to standard
    /// output; mistakes go to standard error, one line each.
    pub async fn run(self) -> ExitCode {
        // The commands join the client as it grows.
        eprintln!("synod: this command is not available yet");
        ExitCode::FAILURE
    }
}
