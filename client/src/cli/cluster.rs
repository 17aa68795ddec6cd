//! `synod cluster …`

use clap::{Args, Subcommand};

use super::connect::Connect;

/// What to ask the cluster.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show the cluster's id, controller, brokers and disk use
    Info(InfoArgs),
}

/// Arguments of `cluster info`.
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// Print JSON
    #[arg(short = 'J', long)]
    pub json: bool,
    #[allow(missing_docs)]
    #[command(flatten)]
    pub connect: Connect,
}
