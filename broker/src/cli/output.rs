//! How commands print.

use std::fmt;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// Writes a command's whole result to stdout.
///
/// A reader that has seen enough (`| head`) is no failure; anything else that stops the text is.
pub(super) fn print(text: &[u8]) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => fail(format_args!("cannot write to stdout: {error}")),
    }
}

/// Tells why the operation failed.
pub(super) fn fail(reason: fmt::Arguments<'_>) -> ExitCode {
    eprintln!("synod: {reason}");
    ExitCode::FAILURE
}

/// Tells each thing that is wrong with what the user wrote, one line each.
pub(super) fn refuse_all<T: fmt::Display>(problems: &[T]) -> ExitCode {
    for problem in problems {
        eprintln!("synod: {problem}");
    }
    ExitCode::from(super::EXIT_USAGE)
}
