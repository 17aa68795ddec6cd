//! `synod log …`: looks at the files of a broker that is not running.

mod check;
mod dump;
mod show;

use super::output;
use clap::{Args, Subcommand};
use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// What to do with log files.
#[derive(Debug, Subcommand)]
pub(super) enum LogCommand {
    /// Print the record batches of a segment file
    #[command(after_help = DUMP_EXAMPLES)]
    Dump(DumpArgs),
    /// Check every byte of a data directory's logs, or of one partition's; changes nothing
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
}

const CHECK_EXAMPLES: &str = "\
Example:
  synod log check ./synod-data

Exit code 1 when a record is lost, wrong or unreadable. Damage at the very end of a log is told but
does not count: only the journal knows whether it was acknowledged, and the broker asks it when it
starts. While a broker runs, the end may simply be caught in the middle of an append.";

const DUMP_EXAMPLES: &str = "\
Examples:
  synod log dump 00000000000000000000.log
  synod log dump --records --json 00000000000000000000.log | jq .records[].value";

/// Arguments of `log dump`.
#[derive(Debug, Args)]
pub(super) struct DumpArgs {
    /// A segment file: OFFSET.log in a partition's directory
    file: PathBuf,
    /// Also print each record, decompressed
    #[arg(short, long)]
    records: bool,
    /// Print one JSON object per batch
    #[arg(short = 'J', long)]
    json: bool,
}

/// Arguments of `log check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// A data directory, or one partition's directory in it
    directory: PathBuf,
    /// Print JSON
    #[arg(short = 'J', long)]
    json: bool,
}

impl LogCommand {
    pub(super) fn run(self) -> ExitCode {
        match self {
            LogCommand::Dump(args) => args.run(),
            LogCommand::Check(args) => args.run(),
        }
    }
}

impl DumpArgs {
    fn run(self) -> ExitCode {
        let name = self.file.display();
        let file = match File::open(&self.file) {
            Ok(file) => file,
            Err(error) => return output::fail(format_args!("cannot open {name}: {error}")),
        };
        if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return output::fail(format_args!(
                "{name} is a directory; give one segment file, such as {name}/{:020}.log",
                0
            ));
        }
        let mut out = BufWriter::new(std::io::stdout().lock());
        let style = show::Style { records: self.records, json: self.json };
        let dumped = dump::dump(BufReader::with_capacity(1 << 20, file), style, &mut out);
        let outcome = dumped.and_then(|outcome| out.flush().map(|()| outcome));
        match outcome {
            Ok(dump::Outcome { damage_count: 0, .. }) => ExitCode::SUCCESS,
            Ok(dump::Outcome { damage_count, .. }) => {
                output::fail(format_args!("{name}: {damage_count} damaged places, told above"))
            }
            Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(error) => output::fail(format_args!("{name}: {error}")),
        }
    }
}

impl CheckArgs {
    fn run(self) -> ExitCode {
        let checked = match check::check(&self.directory) {
            Ok(checked) => checked,
            Err(error) => return output::fail(format_args!("{error}")),
        };
        let text = if self.json { format!("{:#}\n", checked.to_json()) } else { checked.to_text() };
        let printed = output::print(text.as_bytes());
        match checked.damaged_count() {
            0 => printed,
            damaged => {
                let count = checked.partition_count();
                output::fail(format_args!("{damaged} of {count} partitions are damaged"))
            }
        }
    }
}
