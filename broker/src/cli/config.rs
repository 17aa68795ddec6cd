//! `synod config …`

use super::output;
use super::serve::ConfigArgs;
use crate::config::{show_default, show_effective, show_json};
use clap::Subcommand;
use std::process::ExitCode;

/// What to do with configurations.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Check file, environment and flags as serve would; print the outcome and where it came from
    #[command(after_help = "Example:\n  synod config check --config synod.toml --json")]
    Check {
        #[command(flatten)]
        flags: Box<ConfigArgs>,
        /// Print JSON
        #[arg(short = 'J', long)]
        json: bool,
    },
    /// Print a commented file with every setting at its default
    #[command(after_help = "Example:\n  synod config show-default > synod.toml")]
    ShowDefault,
}

impl ConfigCommand {
    pub(super) fn run(self) -> ExitCode {
        match self {
            ConfigCommand::ShowDefault => output::print(show_default().as_bytes()),
            ConfigCommand::Check { flags, json } => match flags.load() {
                Ok(loaded) if json => {
                    output::print(format!("{:#}\n", show_json(&loaded)).as_bytes())
                }
                Ok(loaded) => output::print(show_effective(&loaded).as_bytes()),
                Err(problems) => output::refuse_all(&problems),
            },
        }
    }
}
