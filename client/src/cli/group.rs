//! The command line of `synod group …`

use clap::{Args, Subcommand};

use super::connect::AdminArgs;

/// What to do with consumer groups.
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// List all groups
    List(ListArgs),
    /// Show a group's members, and its lag in records and seconds
    Describe(DescribeArgs),
    /// Move the committed offsets of a group without members
    Reset(ResetArgs),
    /// Delete groups without members, with their committed offsets
    Delete(DeleteArgs),
    /// Delete committed offsets of topics
    OffsetDelete(OffsetDeleteArgs),
}

/// Arguments of `group list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub(super) admin: AdminArgs,
}

/// Arguments of `group describe`.
#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// The groups
    #[arg(required = true)]
    pub groups: Vec<String>,
    #[command(flatten)]
    pub(super) admin: AdminArgs,
}

/// Arguments of `group reset`.
#[derive(Debug, Args)]
pub struct ResetArgs {
    /// The group
    pub group: String,
    /// Topics to move, as TOPIC or TOPIC:0,1; all that the group has committed if not given
    #[arg(short = 't', long = "topic", value_name = "TOPIC[:N,…]")]
    pub topics: Vec<String>,
    #[command(flatten)]
    pub(super) to: ResetTo,
    /// Show what would be committed, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub(super) admin: AdminArgs,
}

/// Where to move to; exactly one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct ResetTo {
    /// To the first record there is
    #[arg(long)]
    pub to_earliest: bool,
    /// To the end
    #[arg(long)]
    pub to_latest: bool,
    /// To this offset, or the nearest one there is
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    pub to_offset: Option<i64>,
    /// To the first record of this time or later: 2026-01-31T12:00:00Z (or with +01:00), or @ and
    /// ms since 1970
    #[arg(long, value_name = "TIME", value_parser = super::time::parse)]
    pub to_datetime: Option<i64>,
    /// By this many records, backwards if negative
    #[arg(long, visible_alias = "shift-by", value_name = "N", allow_hyphen_values = true)]
    pub shift: Option<i64>,
}

/// Arguments of `group delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// The groups
    #[arg(required = true)]
    pub groups: Vec<String>,
    #[command(flatten)]
    pub(super) admin: AdminArgs,
}

/// Arguments of `group offset-delete`.
#[derive(Debug, Args)]
pub struct OffsetDeleteArgs {
    /// The group
    pub group: String,
    /// Topics whose offsets to delete, as TOPIC or TOPIC:0,1
    #[arg(short = 't', long = "topic", value_name = "TOPIC[:N,…]", required = true)]
    pub topics: Vec<String>,
    #[command(flatten)]
    pub(super) admin: AdminArgs,
}
