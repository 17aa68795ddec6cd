//! Standard output, failures and exit codes.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::Error;

/// Why a command ends early.
#[derive(Debug)]
pub(super) enum Failure {
    /// The operation failed: exit code 1.
    Failed(String),
    /// The command line makes no sense: exit code 2.
    Usage(String),
    /// Whoever read our output has gone: end quietly, as every filter does.
    OutputClosed,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Config(reason) => Self::Usage(reason.into()),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Failed(format!("cannot write the output: {error}")),
        }
    }
}

impl Failure {
    pub(super) fn usage(reason: impl Display) -> Self {
        Self::Usage(reason.to_string())
    }

    pub(super) fn failed(reason: impl Display) -> Self {
        Self::Failed(reason.to_string())
    }
}

/// Reports a failure on one line and gives the exit code.
pub(super) fn conclude(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(Failure::Failed(reason)) => {
            complain(&reason);
            ExitCode::from(1)
        }
        Err(Failure::Usage(reason)) => {
            complain(&reason);
            ExitCode::from(2)
        }
    }
}

/// Fails with the last of these reasons, having complained about the others; none is success.
pub(super) fn all_well<T: Display>(reasons: impl IntoIterator<Item = T>) -> Result<(), Failure> {
    let mut reasons: Vec<_> = reasons.into_iter().map(|reason| reason.to_string()).collect();
    let Some(last) = reasons.pop() else { return Ok(()) };
    reasons.iter().for_each(|reason| complain(reason));
    Err(Failure::Failed(last))
}

/// A value in a table, or the sign for none.
pub(super) fn shown<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

/// One line on standard error. If that is closed too, there is nobody to tell.
pub(super) fn complain(reason: &str) {
    let _ = writeln!(io::stderr(), "synod: {}", reason.replace(['\n', '\r'], " "));
}

/// Prints a value as JSON, readable for people.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value).map_err(io::Error::from)?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}

/// Prints rows in aligned columns under a heading.
pub(super) fn print_table<const N: usize>(
    heading: [&str; N],
    rows: &[[String; N]],
) -> Result<(), Failure> {
    let mut widths = heading.map(|title| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&heading.map(str::to_owned)).chain(rows) {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    print(&text)
}

/// Prints text as it is.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}
