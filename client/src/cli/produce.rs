//! `synod produce`

use std::path::PathBuf;

use clap::Args;

use super::connect::Connect;

/// Arguments of `produce`.
#[derive(Debug, Args)]
pub struct ProduceArgs {
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
    /// Read this file instead of standard input
    #[arg(short = 'l', long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The key of every record
    #[arg(short, long, value_name = "KEY", conflicts_with = "key_delimiter")]
    pub key: Option<String>,
    /// Each line holds key and value with this between them; \t and \xNN are understood
    #[arg(short = 'K', long, value_name = "DELIMITER")]
    pub key_delimiter: Option<String>,
    /// What ends a record; \n if not given
    #[arg(
        short = 'D',
        long,
        value_name = "DELIMITER",
        default_value = "\\n",
        hide_default_value = true
    )]
    pub delimiter: String,
    /// A header of every record; may be given several times
    #[arg(short = 'H', long, value_name = "NAME=VALUE")]
    pub header: Vec<String>,
    /// The partition; chosen by key if not given
    #[arg(
        short,
        long,
        value_name = "N",
        allow_negative_numbers = true,
        value_parser = clap::value_parser!(i32).range(-1..)
    )]
    pub partition: Option<i32>,
    /// Compression: none, gzip, snappy, lz4 or zstd
    #[arg(short = 'z', long, value_name = "CODEC", default_value = "none")]
    pub compression: String,
    /// Who must have the record before it counts as written: all, 1 or 0
    #[arg(long, value_name = "ACKS", default_value = "all", allow_negative_numbers = true,
        value_parser = ["all", "-1", "1", "0"])]
    pub acks: String,
    /// Send an empty value as null, and with -K an empty key too
    #[arg(short = 'Z', long)]
    pub null: bool,
    /// Stop after this many records
    #[arg(short = 'c', long, value_name = "N")]
    pub count: Option<u64>,
    #[allow(missing_docs)]
    #[command(flatten)]
    pub connect: Connect,
}
