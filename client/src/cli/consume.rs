//! `synod consume`

use clap::{Args, ValueEnum};

use super::connect::Connect;

/// Arguments of `consume`.
#[derive(Debug, Args)]
pub struct ConsumeArgs {
    /// The topic
    #[arg(required_unless_present = "topic_option")]
    pub topic: Option<String>,
    /// The topic, as kcat takes it
    #[arg(
        short = 't',
        long = "topic",
        value_name = "TOPIC",
        hide = true,
        conflicts_with = "topic"
    )]
    pub topic_option: Option<String>,
    /// Only these partitions; may be given several times
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: Vec<i32>,
    /// Where to begin: beginning, end, an offset, -N for the last N of each partition, or @ and a
    /// time in ms since 1970
    #[arg(
        short,
        long,
        value_name = "OFFSET",
        default_value = "beginning",
        allow_hyphen_values = true
    )]
    pub offset: String,
    /// Stop at the end of every partition instead of waiting for more
    #[arg(short = 'e', long)]
    pub exit: bool,
    /// Stop after this many records
    #[arg(short = 'c', long, value_name = "N")]
    pub count: Option<u64>,
    /// How to print a record: %t topic, %p partition, %o offset, %T timestamp, %k key, %K its size,
    /// %s value, %S its size, %h headers, %% a percent sign, \n \r \t \xNN
    #[arg(short, long, value_name = "FORMAT", conflicts_with_all = ["json", "key_delimiter", "delimiter"])]
    pub format: Option<String>,
    /// Print one JSON object per record
    #[arg(short = 'J', long)]
    pub json: bool,
    /// Print the key and this in front of the value
    #[arg(short = 'K', long, value_name = "DELIMITER")]
    pub key_delimiter: Option<String>,
    /// What to print after each record; \n if not given
    #[arg(short = 'D', long, value_name = "DELIMITER")]
    pub delimiter: Option<String>,
    /// Print null keys and values as NULL
    #[arg(short = 'Z', long)]
    pub null: bool,
    /// Whether records of unfinished and aborted transactions are read
    #[arg(long, value_enum, default_value = "read-committed")]
    pub isolation: Isolation,
    #[allow(missing_docs)]
    #[command(flatten)]
    pub connect: Connect,
}

/// Which transactional records to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Isolation {
    /// Only those of committed transactions
    #[value(alias = "read_committed")]
    ReadCommitted,
    /// All
    #[value(alias = "read_uncommitted")]
    ReadUncommitted,
}
