//! The `synod` command line: which commands there are, and how their mistakes are told.
//!
//! Results go to stdout, everything else to stderr. A mistake is one line that begins with
//! `synod:`. Exit codes: 0 done, 1 the operation failed, 2 the command line or the configuration
//! is wrong.

mod config;
mod demo;
mod log;
mod man;
mod output;
mod serve;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use std::ffi::OsString;
use std::process::ExitCode;
use synod_benches::cli::BenchCommand;
use synod_client::cli::ClientCommand;

/// Exit code of a wrong command line or configuration.
const EXIT_USAGE: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  synod serve                                    a broker with its data in ./synod-data
  synod serve --data-dir /var/lib/synod --listen 0.0.0.0:9092 --advertise mq1.lan:9092
  echo hello | synod produce greetings
  synod consume greetings -o beginning -e
  synod topic create orders --partitions 6 --config retention.ms=86400000
  synod config check --config synod.toml";

/// A message-queue broker that speaks the Kafka protocol, and its tools.
#[derive(Debug, Parser)]
#[command(name = "synod", version, propagate_version = true, after_help = EXAMPLES)]
#[command(arg_required_else_help = true, infer_long_args = false, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a broker until SIGTERM or SIGINT
    Serve(serve::ServeArgs),
    /// Show a cluster that survives: three brokers, a killed leader, a cut link
    Demo(demo::DemoArgs),
    /// Check a configuration, or print one to start from
    #[command(subcommand)]
    Config(config::ConfigCommand),
    #[command(flatten)]
    Client(Box<ClientCommand>),
    /// Measure a cluster
    #[command(subcommand)]
    Bench(Box<BenchCommand>),
    /// Look at log files of a broker that is not running
    #[command(subcommand)]
    Log(log::LogCommand),
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  synod completions bash > /etc/bash_completion.d/synod")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print a manual page
    Man(man::ManArgs),
    /// Print the version
    Version,
}

/// Runs the command line `args`, the program's name first, and says how the process should exit.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    match Cli::try_parse_from(&args) {
        Ok(cli) => cli.command.run(),
        Err(error) => refuse(&error, &args),
    }
}

impl Command {
    fn run(self) -> ExitCode {
        match self {
            Command::Serve(args) => args.run(),
            Command::Demo(args) => args.run(),
            Command::Config(command) => command.run(),
            Command::Client(command) => run_client(command.run()),
            Command::Bench(command) => run_client(command.run()),
            Command::Log(command) => command.run(),
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "synod", &mut script);
                output::print(&script)
            }
            Command::Man(args) => args.run(Cli::command()),
            Command::Version => {
                output::print(format!("synod {}\n", env!("CARGO_PKG_VERSION")).as_bytes())
            }
        }
    }
}

/// The client commands wait for sockets only, so one thread is enough.
fn run_client(command: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(command),
        Err(error) => output::fail(format_args!("cannot start: {error}")),
    }
}

/// Help and version go to stdout; a mistake becomes one line.
fn refuse(error: &clap::Error, args: &[OsString]) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let styled = error.render();
            if output::has_colours() {
                output::print(styled.ansi().to_string().as_bytes())
            } else {
                output::print(styled.to_string().as_bytes())
            }
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            eprint!("{}", error.render());
            ExitCode::from(EXIT_USAGE)
        }
        _ => {
            eprintln!("synod: {}", one_line(&error.render().to_string(), &named(args)));
            ExitCode::from(EXIT_USAGE)
        }
    }
}

/// Clap's message without its usage lines: `unexpected argument '--x' found (a similar argument
/// exists: '--y'); see synod serve --help`.
fn one_line(rendered: &str, command: &str) -> String {
    let mut message = String::new();
    let mut in_usage = false;
    for line in rendered.lines().map(str::trim) {
        if line.starts_with("Usage: ") {
            in_usage = true;
        } else if line.is_empty() || in_usage || line.starts_with("For more information") {
            in_usage &= !line.is_empty();
        } else if let Some(tip) = line.strip_prefix("tip: ") {
            message.push_str(&format!(" ({tip})"));
        } else {
            let line = line.strip_prefix("error: ").unwrap_or(line);
            if !message.is_empty() {
                message.push(' ');
            }
            message.push_str(line);
        }
    }
    format!("{message}; see {command} --help")
}

/// The command that these arguments begin with, such as `synod group reset`.
fn named(args: &[OsString]) -> String {
    let mut command = &Cli::command();
    let mut name = command.get_name().to_owned();
    for arg in &args[args.len().min(1)..] {
        let Some(found) = command.find_subcommand(arg) else { break };
        command = found;
        name = format!("{name} {}", command.get_name());
    }
    name
}

#[cfg(test)]
mod tests;
