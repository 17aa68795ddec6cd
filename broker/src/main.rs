//! The `synod` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    synod_broker::cli::run(std::env::args_os())
}
