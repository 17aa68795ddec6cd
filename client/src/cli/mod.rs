//! The commands of the `synod` binary that talk to a cluster, for any Kafka-compatible one.
//!
//! The binary flattens [`ClientCommand`] into its own command line and runs it on its runtime. Exit
//! codes: 0 done, 1 the operation failed, 2 the command line is wrong.

mod apply;
mod cluster;
mod cluster_quorum;
mod connect;
mod consume;
mod doctor;
mod each;
mod format;
mod group;
mod group_lag;
mod group_run;
mod health;
mod json;
mod output;
mod produce;
mod progress;
mod time;
mod toml_text;
mod topic;
mod topic_run;

use std::process::ExitCode;

use clap::Subcommand;

pub use cluster::ClusterCommand;
pub use connect::{AdminArgs, Connect};
pub use consume::ConsumeArgs;
pub use doctor::DoctorArgs;
pub use group::GroupCommand;
pub use produce::ProduceArgs;
pub use toml_text::text_of_toml;
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
    /// List, inspect, move and delete consumer groups
    #[command(subcommand)]
    Group(GroupCommand),
    /// Look at the cluster
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Look for what is wrong: dials every advertised address, compares clocks, disks and versions
    Doctor(DoctorArgs),
}

impl ClientCommand {
    /// Runs the command to its end and says how the process should exit. Results go to standard
    /// output; mistakes go to standard error, one line each.
    pub async fn run(self) -> ExitCode {
        let result = match self {
            Self::Topic(command) => topic_run::run(command).await,
            Self::Produce(args) => produce::run(args).await,
            Self::Consume(args) => consume::run(args).await,
            Self::Group(command) => group_run::run(command).await,
            Self::Cluster(command) => cluster::run(command).await,
            Self::Doctor(args) => doctor::run(args).await,
        };
        output::conclude(result)
    }
}
