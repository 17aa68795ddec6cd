//! `synod produce`

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Read, Stdout, Write};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use clap::Args;
use tokio::sync::mpsc;

use super::connect::Connect;
use super::format::unescape;
use super::json;
use super::output::Failure;
use super::progress::Progress;
use crate::producer::{Acks, Delivery, Producer, ProducerConfig, ProducerRecord};

/// Largest record that is read, in bytes.
const MAX_RECORD_SIZE: usize = 16 << 20;

/// Records read ahead of the producer.
const READ_AHEAD: usize = 1024;

/// Deliveries waited for at most; beyond it reading pauses.
const MAX_UNSETTLED: usize = 100_000;

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
    /// Print where each record went, one JSON object per line
    #[arg(short = 'J', long)]
    pub json: bool,
    #[allow(missing_docs)]
    #[command(flatten)]
    pub connect: Connect,
}

pub(super) async fn run(args: ProduceArgs) -> Result<(), Failure> {
    let shape = Shape::new(&args)?;
    let config = producer_config(&args)?;
    let input = open(&args)?;
    let producer = Producer::new(args.connect.cluster().await?, config)?;
    let limit = args.count.unwrap_or(u64::MAX);
    let delimiter = unescape(&args.delimiter).map_err(Failure::usage)?;
    let mut progress = progress(&args, &input);
    let mut done = 0;
    let mut records = read_records(input.reader, delimiter.clone(), limit)?;
    let mut unsettled = Unsettled::new(args.json);
    let stop = tokio::signal::ctrl_c();
    tokio::pin!(stop);
    loop {
        let line = tokio::select! {
            line = records.recv(), if unsettled.deliveries.len() < MAX_UNSETTLED => line,
            settled = unsettled.settle_one() => {
                settled?;
                continue;
            }
            // What was read so far is still delivered; a second Ctrl-C ends that too.
            _ = &mut stop => None,
        };
        let Some(line) = line else { break };
        let line = line.map_err(Failure::failed)?;
        done += if input.size.is_some() { (line.len() + delimiter.len()) as u64 } else { 1 };
        unsettled.deliveries.push_back(producer.send(shape.record(line)).await?);
        progress.show(done);
    }
    let rest = async {
        while !unsettled.deliveries.is_empty() {
            unsettled.settle_one().await?;
        }
        Ok::<_, Failure>(())
    };
    tokio::select! {
        result = rest => result?,
        _ = tokio::signal::ctrl_c() => {
            return Err(Failure::failed("interrupted: some records may not be written"));
        }
    }
    producer.close().await;
    Ok(())
}

/// Counts records, or bytes where it is known how many there are.
fn progress(args: &ProduceArgs, input: &Input) -> Progress {
    let (what, total) = match input.size {
        Some(size) => ("bytes", Some(size)),
        None => ("records", args.count),
    };
    // Nothing may stand between the lines of a person who types, or of the output.
    let is_typed = args.file.is_none() && io::stdin().is_terminal();
    let is_apart = !(args.json && io::stdout().is_terminal());
    Progress::new_if(is_apart && !is_typed, what, total)
}

/// Records on their way, in order.
struct Unsettled {
    deliveries: VecDeque<Delivery>,
    /// Where it is told what became of them, if it is.
    told: Option<BufWriter<Stdout>>,
}

impl Unsettled {
    fn new(is_told: bool) -> Self {
        let told = is_told.then(|| BufWriter::new(io::stdout()));
        Self { deliveries: VecDeque::new(), told }
    }

    /// Waits for the oldest one; for ever if there is none. Its failure ends the work.
    async fn settle_one(&mut self) -> Result<(), Failure> {
        let Some(oldest) = self.deliveries.front_mut() else {
            return std::future::pending().await;
        };
        let result = oldest.await;
        self.deliveries.pop_front();
        let Some(out) = &mut self.told else {
            result?;
            return Ok(());
        };
        if let Ok(receipt) = &result {
            json::write_receipt(out, receipt)?;
        }
        // Whoever reads along is not kept waiting, nor is what was written lost behind a failure.
        if self.deliveries.is_empty() || result.is_err() {
            out.flush()?;
        }
        result?;
        Ok(())
    }
}

fn producer_config(args: &ProduceArgs) -> Result<ProducerConfig, Failure> {
    let acks = match args.acks.as_str() {
        "1" => Acks::Leader,
        "0" => Acks::None,
        _ => Acks::All,
    };
    Ok(ProducerConfig::default()
        .acks(acks)
        .compression(args.compression.parse().map_err(Failure::usage)?)
        .max_request_size(MAX_RECORD_SIZE + 1024)
        .delivery_timeout(args.connect.timeout))
}

/// Where records come from.
struct Input {
    reader: Box<dyn Read + Send>,
    /// Bytes of it, if all of them will be read.
    size: Option<u64>,
}

fn open(args: &ProduceArgs) -> Result<Input, Failure> {
    let Some(path) = &args.file else {
        return Ok(Input { reader: Box::new(io::stdin()), size: None });
    };
    let failed = |error| Failure::Failed(format!("cannot read {}: {error}", path.display()));
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let is_whole = metadata.is_file() && args.count.is_none();
    Ok(Input { reader: Box::new(file), size: is_whole.then_some(metadata.len()) })
}

/// Reads records on a thread of its own: reading standard input blocks.
fn read_records(
    input: Box<dyn Read + Send>,
    delimiter: Vec<u8>,
    limit: u64,
) -> Result<mpsc::Receiver<Result<Bytes, String>>, Failure> {
    if delimiter.is_empty() {
        return Err(Failure::usage("the delimiter must not be empty"));
    }
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let work = move || {
        let mut reader = BufReader::new(input);
        for _ in 0..limit {
            let record = match read_record(&mut reader, &delimiter, MAX_RECORD_SIZE) {
                Ok(None) => return,
                Ok(Some(record)) => Ok(Bytes::from(record)),
                Err(error) => Err(format!("cannot read the input: {error}")),
            };
            let failed = record.is_err();
            // The other end is gone when the command ends early.
            if sender.blocking_send(record).is_err() || failed {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("input".into())
        .spawn(work)
        .map_err(|error| Failure::failed(format!("cannot start a thread: {error}")))?;
    Ok(receiver)
}

/// The bytes up to the next delimiter, without it; `None` at the end. A last record needs none.
fn read_record(
    reader: &mut impl BufRead,
    delimiter: &[u8],
    max_size: usize,
) -> io::Result<Option<Vec<u8>>> {
    let mut record = Vec::new();
    let last = delimiter[delimiter.len() - 1];
    loop {
        let room = (max_size + delimiter.len()).saturating_sub(record.len());
        let read = reader.by_ref().take(room as u64).read_until(last, &mut record)?;
        if record.ends_with(delimiter) {
            record.truncate(record.len() - delimiter.len());
            return Ok(Some(record));
        }
        if read == 0 && room > 0 {
            return Ok((!record.is_empty()).then_some(record));
        }
        if record.len() >= max_size + delimiter.len() {
            let reason = format!("a record is larger than {max_size} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
    }
}

/// How a line becomes a record.
struct Shape {
    topic: Arc<str>,
    partition: Option<i32>,
    key: Option<Bytes>,
    key_delimiter: Option<Vec<u8>>,
    headers: Vec<(String, Option<Bytes>)>,
    empty_is_null: bool,
}

impl Shape {
    fn new(args: &ProduceArgs) -> Result<Self, Failure> {
        let topic = args.topic.as_deref().or(args.topic_option.as_deref());
        let key_delimiter = args.key_delimiter.as_deref().map(unescape).transpose();
        let key_delimiter = key_delimiter.map_err(Failure::usage)?;
        if key_delimiter.as_ref().is_some_and(Vec::is_empty) {
            return Err(Failure::usage("the key delimiter must not be empty"));
        }
        let header = |text: &String| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(Bytes::from(value.to_owned()))),
            None => (text.clone(), None),
        };
        Ok(Self {
            topic: topic.unwrap_or_default().into(),
            // kcat's word for "any".
            partition: args.partition.filter(|&partition| partition >= 0),
            key: args.key.clone().map(Bytes::from),
            key_delimiter,
            headers: args.header.iter().map(header).collect(),
            empty_is_null: args.null,
        })
    }

    fn record(&self, line: Bytes) -> ProducerRecord {
        let (key, value) = match self.key_delimiter.as_deref().and_then(|d| split(&line, d)) {
            Some((key, value)) => (Some(key), value),
            None => (self.key.clone(), line),
        };
        let given = |bytes: &Bytes| !(self.empty_is_null && bytes.is_empty());
        let mut record = ProducerRecord::new(self.topic.clone());
        if let Some(key) = key.filter(given) {
            record = record.key(key);
        }
        if let Some(value) = Some(value).filter(given) {
            record = record.value(value);
        }
        if let Some(partition) = self.partition {
            record = record.partition(partition);
        }
        for (name, value) in &self.headers {
            record = record.header(name, value.clone());
        }
        record
    }
}

/// What lies before and after the first `delimiter`.
fn split(line: &Bytes, delimiter: &[u8]) -> Option<(Bytes, Bytes)> {
    let at = line.windows(delimiter.len()).position(|window| window == delimiter)?;
    Some((line.slice(..at), line.slice(at + delimiter.len()..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(input: &str, delimiter: &str) -> Vec<String> {
        let mut reader = BufReader::with_capacity(2, input.as_bytes());
        let mut records = Vec::new();
        while let Some(record) = read_record(&mut reader, delimiter.as_bytes(), 10).unwrap() {
            records.push(String::from_utf8(record).unwrap());
        }
        records
    }

    #[test]
    fn records_end_at_the_delimiter_or_the_end_of_input() {
        assert_eq!(records("a\n\nb\n", "\n"), ["a", "", "b"]);
        assert_eq!(records("a\nb", "\n"), ["a", "b"]);
        assert_eq!(records("", "\n"), Vec::<String>::new());
        assert_eq!(records("\n", "\n"), [""]);
        assert_eq!(records("a;b;;c;;", ";;"), ["a;b", "c"]);
        assert_eq!(records("0123456789\nx", "\n"), ["0123456789", "x"]);
    }

    #[test]
    fn a_record_that_is_too_large_is_refused_in_bounded_memory() {
        let mut endless = BufReader::new(io::repeat(b'x'));
        let error = read_record(&mut endless, b"\n", 1 << 20).unwrap_err();
        assert!(error.to_string().contains("larger than 1048576 bytes"), "{error}");
    }

    #[test]
    fn a_line_splits_at_the_first_key_delimiter() {
        let line = Bytes::from_static(b"k::v::w");
        let (key, value) = split(&line, b"::").unwrap();
        assert_eq!((&key[..], &value[..]), (&b"k"[..], &b"v::w"[..]));
        assert!(split(&line, b"=").is_none());
        assert!(split(&Bytes::new(), b"=").is_none());
    }
}
