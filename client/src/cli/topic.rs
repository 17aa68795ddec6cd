//! `synod topic …`

use clap::{Args, Subcommand};

use super::connect::AdminArgs;

/// What to do with topics.
#[derive(Debug, Subcommand)]
pub enum TopicCommand {
    /// Create topics
    Create(CreateArgs),
    /// List topics
    List(ListArgs),
    /// Show partitions, leaders, offsets and settings of topics
    Describe(DescribeArgs),
    /// Change settings of a topic
    Alter(AlterArgs),
    /// Give a topic more partitions
    AddPartitions(AddPartitionsArgs),
    /// Delete topics and all their records
    Delete(DeleteArgs),
    /// Delete the records before an offset
    Trim(TrimArgs),
    /// Make topics what a file says: shows what it would change, then asks
    Apply(ApplyArgs),
}

/// Arguments of `topic create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Names of the new topics
    #[arg(required = true, value_name = "TOPIC")]
    pub topics: Vec<String>,
    /// Number of partitions; the broker's default if not given
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub partitions: Option<i32>,
    /// Number of replicas of each partition; the broker's default if not given
    #[arg(
        short,
        long,
        visible_alias = "replication-factor",
        value_name = "N",
        value_parser = clap::value_parser!(i16).range(1..)
    )]
    pub replicas: Option<i16>,
    /// A setting, such as retention.ms=86400000; may be given several times
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = parse_setting)]
    pub config: Vec<(String, String)>,
    /// A topic that exists already is no mistake
    #[arg(long, visible_alias = "if-not-exist")]
    pub if_not_exists: bool,
    #[command(flatten)]
    pub(super) admin: AdminArgs,
}

/// Arguments of `topic list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Also list topics that belong to the cluster itself
    #[arg(short, long)]
    pub internal: bool,
    #[command(flatten)]
    pub(super) admin: AdminArgs,
}

/// Arguments of `topic describe`.
#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// Topics to describe; all if none is named
    #[arg(value_name = "TOPIC")]
    pub topics: Vec<String>,
    /// Also show settings that have their default value
    #[arg(short, long)]
    pub all: bool,
    #[command(flatten)]
    pub(super) admin: AdminArgs,
}

/// Arguments of `topic alter`.
#[derive(Debug, Args)]
#[group(id = "change", required = true, multiple = true, args = ["set", "unset"])]
pub struct AlterArgs {
    /// The topic
    pub topic: String,
    /// A setting and its new value; may be given several times
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = parse_setting)]
    pub set: Vec<(String, String)>,
    /// A setting to put back to its default; may be given several times
    #[arg(short, long, value_name = "NAME")]
    pub unset: Vec<String>,
    /// Check only, change nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub(super) admin: AdminArgs,
}

/// Arguments of `topic add-partitions`.
#[derive(Debug, Args)]
#[group(id = "count", required = true, multiple = false, args = ["num", "to"])]
pub struct AddPartitionsArgs {
    /// The topic
    pub topic: String,
    /// How many partitions to add
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub num: Option<i32>,
    /// How many partitions the topic shall have in the end
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub to: Option<i32>,
    #[command(flatten)]
    pub(super) admin: AdminArgs,
}

/// Arguments of `topic delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Topics to delete
    #[arg(required = true, value_name = "TOPIC")]
    pub topics: Vec<String>,
    /// A topic that does not exist is no mistake
    #[arg(long)]
    pub if_exists: bool,
    #[command(flatten)]
    pub(super) admin: AdminArgs,
}

/// Arguments of `topic trim`.
#[derive(Debug, Args)]
pub struct TrimArgs {
    /// The topic
    pub topic: String,
    /// Delete the records before this place: an offset, `end`, or `@` and a time in ms since 1970
    #[arg(short, long, value_name = "OFFSET")]
    pub offset: String,
    /// Only these partitions; may be given several times
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: Vec<i32>,
    #[command(flatten)]
    pub(super) admin: AdminArgs,
}

/// Arguments of `topic apply`.
#[derive(Debug, Args)]
#[command(after_help = APPLY_HELP)]
pub struct ApplyArgs {
    /// The file; - for standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: String,
    /// Show what would change, let the cluster check it, and change nothing
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    #[command(flatten)]
    pub(super) admin: AdminArgs,
}

const APPLY_HELP: &str = "\
A file:
  [defaults]                # for topics that do not say otherwise
  replicas = 3
  [topic.orders]
  partitions = 12
  config.retention.ms = 86400000

Topics that the file does not name stay as they are, and none is deleted. Of those that it names,
settings that it leaves out go back to their defaults. Nothing is changed unless all can be.";

/// `NAME=VALUE`, the value may be empty.
fn parse_setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("give NAME=VALUE".into()),
    }
}
