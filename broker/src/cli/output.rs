//! How commands print.

use std::fmt;
use std::io::{ErrorKind, IsTerminal, Write};
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

/// Whether stdout shows colours and nobody has turned them off (<https://no-color.org>).
pub(super) fn has_colours() -> bool {
    let is_off = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !is_off
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
