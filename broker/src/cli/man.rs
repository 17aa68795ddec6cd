//! `synod man`

use std::process::ExitCode;

use clap::Args;

use super::output;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  synod man > /usr/local/share/man/man1/synod.1
  synod man topic apply | man -l -")]
pub(super) struct ManArgs {
    /// The command it is about; the whole program if none is named
    #[arg(value_name = "COMMAND")]
    command: Vec<String>,
}

impl ManArgs {
    pub(super) fn run(self, mut program: clap::Command) -> ExitCode {
        // Gives subcommands their full names.
        program.build();
        let mut command = &program;
        for name in &self.command {
            command = match command.find_subcommand(name) {
                Some(found) => found,
                None => {
                    let reason = format!("{} has no command {name:?}", command.get_name());
                    return output::refuse_all(&[reason]);
                }
            };
        }
        let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
        let mut page = Vec::new();
        let version = concat!("synod ", env!("CARGO_PKG_VERSION"));
        let man = clap_mangen::Man::new(command.clone().display_name(name)).source(version);
        match man.render(&mut page) {
            Ok(()) => output::print(&page),
            Err(error) => output::fail(format_args!("cannot write the page: {error}")),
        }
    }
}
