//! `synod consume`

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::connect::Connect;
use super::format::Format;
use super::json;
use super::output::Failure;
use super::progress::Progress;
use crate::cluster::{self, OffsetSpec, TopicPartition};
use crate::consumer::{Consumer, ConsumerConfig, ConsumerRecord, GroupConfig, OffsetReset, Start};
use crate::{Cluster, Error};

/// How long one poll waits; only a bound on how late an end is noticed.
const POLL_WAIT: Duration = Duration::from_millis(500);

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
    /// Read as a member of this group, from where it left off; -o tells where a new group begins
    #[arg(short = 'g', long, value_name = "GROUP", conflicts_with = "partition")]
    pub group: Option<String>,
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

pub(super) async fn run(args: ConsumeArgs) -> Result<(), Failure> {
    let printer = Printer::new(&args)?;
    let start = parse_offset(&args.offset)?;
    let isolation = match args.isolation {
        Isolation::ReadCommitted => cluster::Isolation::ReadCommitted,
        Isolation::ReadUncommitted => cluster::Isolation::ReadUncommitted,
    };
    let topic = args.topic.as_deref().or(args.topic_option.as_deref()).unwrap_or_default();
    let cluster = args.connect.cluster().await?;
    let partitions = partitions(&cluster, topic, &args.partition).await?;
    let until = Until {
        ends: match args.exit {
            true => Some(ends(&cluster, &partitions, isolation).await?),
            false => None,
        },
        count: args.count.unwrap_or(u64::MAX),
    };
    // An offset that was asked for and does not exist is a mistake, not something to skip over.
    let config = ConsumerConfig::default().isolation(isolation).offset_reset(OffsetReset::Fail);
    let mut consumer = match &args.group {
        None => {
            let mut consumer = Consumer::new(cluster, config)?;
            consumer.assign(partitions.into_iter().map(|partition| (partition, start))).await?;
            consumer
        }
        Some(group) => {
            let config = as_member(config, group, start, args.count)?;
            let mut consumer = Consumer::new(cluster, config)?;
            consumer.subscribe([topic])?;
            consumer
        }
    };
    let result = tokio::select! {
        result = consume(&mut consumer, &printer, &until) => result,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    // A member leaves in good order, so that others take over at once.
    consumer.close().await;
    result
}

/// Settings of a reader that shares the topic with the other members of a group.
fn as_member(
    config: ConsumerConfig,
    group: &str,
    start: Start,
    count: Option<u64>,
) -> Result<ConsumerConfig, Failure> {
    let reset = match start {
        Start::Beginning => OffsetReset::Beginning,
        Start::End => OffsetReset::End,
        _ => return Err(Failure::usage("a group begins at the beginning or the end")),
    };
    let config = config.offset_reset(reset).group(GroupConfig::new(group));
    // What is not printed must not be committed.
    Ok(if count.is_some() { config.max_poll_records(1) } else { config })
}

/// When to stop.
struct Until {
    /// At the end of every partition as it was when the command began.
    ends: Option<BTreeMap<TopicPartition, i64>>,
    /// After so many records.
    count: u64,
}

impl Until {
    /// How many records will come at most, if that is known.
    fn total(&self, consumer: &Consumer) -> Option<u64> {
        let left = |(partition, end): (&TopicPartition, &i64)| {
            let position = consumer.position(partition).unwrap_or(*end);
            u64::try_from(end.saturating_sub(position)).unwrap_or(0)
        };
        match &self.ends {
            Some(ends) if !consumer.is_member() => {
                let all = ends.iter().map(left).fold(0, u64::saturating_add);
                Some(all.min(self.count))
            }
            _ => Some(self.count).filter(|&count| count < u64::MAX),
        }
    }

    fn is_reached(&self, consumer: &Consumer, count: u64) -> bool {
        count >= self.count || self.ends.as_ref().is_some_and(|ends| is_at_end(consumer, ends))
    }

    /// Whether a record came after the end.
    fn is_past(&self, record: &ConsumerRecord) -> bool {
        let partition = TopicPartition::new(record.topic.clone(), record.partition);
        let end = self.ends.as_ref().and_then(|ends| ends.get(&partition));
        end.is_some_and(|&end| record.offset >= end)
    }
}

async fn consume(consumer: &mut Consumer, printer: &Printer, until: &Until) -> Result<(), Failure> {
    let mut out = BufWriter::with_capacity(256 << 10, io::stdout().lock());
    let mut progress = Progress::new("records", until.total(consumer));
    let mut count = 0;
    while !until.is_reached(consumer, count) {
        for record in consumer.poll(POLL_WAIT).await? {
            // A member prints it all the same: it is about to be committed.
            if !consumer.is_member() && until.is_past(&record) {
                continue;
            }
            printer.write(&mut out, &record)?;
            count += 1;
            if count >= until.count {
                break;
            }
        }
        out.flush()?;
        progress.show(count);
    }
    Ok(())
}

fn is_at_end(consumer: &Consumer, ends: &BTreeMap<TopicPartition, i64>) -> bool {
    let is_read = |(partition, &end): (&TopicPartition, &i64)| {
        consumer.position(partition).is_ok_and(|position| position >= end)
    };
    if consumer.is_member() {
        // Other members have the rest.
        let mut mine = ends.iter().filter(|(partition, _)| consumer.is_assigned(partition));
        return consumer.assignment().next().is_some() && mine.all(is_read);
    }
    ends.iter().all(is_read)
}

/// The partitions to read: all, or those that were named and exist.
async fn partitions(
    cluster: &Cluster,
    topic: &str,
    named: &[i32],
) -> Result<Vec<TopicPartition>, Failure> {
    let topic = cluster.topic(topic, false).await?;
    for &partition in named {
        if topic.partition(partition).is_none() {
            let count = topic.partitions.len();
            let reason = format!(
                "topic {} has no partition {partition}, only 0 to {}",
                topic.name,
                count.saturating_sub(1)
            );
            return Err(Failure::failed(reason));
        }
    }
    let all = topic.partitions.iter().map(|partition| partition.index);
    let wanted = all.filter(|index| named.is_empty() || named.contains(index));
    Ok(wanted.map(|index| TopicPartition::new(topic.name.clone(), index)).collect())
}

/// Where each partition ends now.
async fn ends(
    cluster: &Cluster,
    partitions: &[TopicPartition],
    isolation: cluster::Isolation,
) -> Result<BTreeMap<TopicPartition, i64>, Error> {
    let found = cluster.list_offsets(partitions.iter().cloned(), OffsetSpec::End, isolation).await;
    let mut ends = BTreeMap::new();
    for (partition, result) in found {
        ends.insert(partition, result?.map_or(0, |found| found.offset));
    }
    Ok(ends)
}

fn parse_offset(text: &str) -> Result<Start, Failure> {
    let bad = || {
        Failure::usage(format!(
            "'{text}' is no place to begin: use beginning, end, N, -N or @MILLISECONDS"
        ))
    };
    match text {
        "beginning" | "earliest" | "start" => return Ok(Start::Beginning),
        "end" | "latest" => return Ok(Start::End),
        _ => {}
    }
    let number = |digits: &str| {
        // A sign inside ("--5", "@+5") is a mistake that parsing would let through.
        let plain = digits.bytes().all(|digit| digit.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|_| plain).ok_or_else(bad)
    };
    if let Some(digits) = text.strip_prefix('@') {
        let time = i64::try_from(number(digits)?).map_err(|_| bad())?;
        return Ok(Start::Timestamp(time));
    }
    match text.strip_prefix('-') {
        Some(digits) => Ok(Start::Last(number(digits)?)),
        None => Ok(Start::Offset(number(text)?)),
    }
}

/// How records are printed.
enum Printer {
    Format(Format),
    Json,
}

impl Printer {
    fn new(args: &ConsumeArgs) -> Result<Self, Failure> {
        if args.json {
            return Ok(Self::Json);
        }
        let format = match &args.format {
            Some(format) => Format::parse(format, args.null),
            None => {
                let delimiter = args.delimiter.as_deref().unwrap_or("\\n");
                Format::plain(args.key_delimiter.as_deref(), delimiter, args.null)
            }
        };
        format.map(Self::Format).map_err(Failure::usage)
    }

    fn write(&self, out: &mut impl Write, record: &ConsumerRecord) -> io::Result<()> {
        match self {
            Self::Format(format) => format.write(out, record),
            Self::Json => json::write_record(out, record),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_as_kcat_takes_them() {
        assert_eq!(parse_offset("beginning").unwrap(), Start::Beginning);
        assert_eq!(parse_offset("end").unwrap(), Start::End);
        assert_eq!(parse_offset("0").unwrap(), Start::Offset(0));
        assert_eq!(parse_offset("-10").unwrap(), Start::Last(10));
        assert_eq!(parse_offset("@1700000000000").unwrap(), Start::Timestamp(1_700_000_000_000));
        for bad in
            ["", "-", "@", "@-1", "--5", "-+5", "+5", "1.5", "middle", "@99999999999999999999"]
        {
            assert!(matches!(parse_offset(bad), Err(Failure::Usage(_))), "{bad}");
        }
    }
}
