//! `synod demo`

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::output;
use crate::demo::{self, Summary};

const ABOUT: &str = "\
It starts three brokers of its own on free ports and a temporary directory, kills the leader of a \
partition with SIGKILL, cuts a link, brings both back, and checks that every acknowledged record is \
there once and in order. It takes some 20 seconds and removes everything. A cluster that runs \
already is not touched.

Exit code 1 when a record is lost, repeated or out of order.";

/// The demonstration ends after this time, whatever happens.
const LIMIT: Duration = Duration::from_secs(30);

/// Arguments of `demo`.
#[derive(Debug, Args)]
#[command(after_help = ABOUT)]
pub(super) struct DemoArgs {}

/// Exit code of a program that ends by SIGINT, as shells have it.
const EXIT_INTERRUPTED: u8 = 130;

impl DemoArgs {
    pub(super) fn run(self) -> ExitCode {
        let binary = match std::env::current_exe() {
            Ok(binary) => binary,
            Err(error) => return output::fail(format_args!("cannot find its own binary: {error}")),
        };
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return output::fail(format_args!("cannot start: {error}")),
        };
        // Whichever ends first drops the other, and with it the brokers and their directory.
        let shown = runtime.block_on(async {
            tokio::select! {
                shown = demo::run(binary, LIMIT) => Some(shown),
                () = interrupted() => None,
            }
        });
        match shown {
            Some(Ok(summary)) => tell(&summary),
            Some(Err(error)) => output::fail(format_args!("{error}")),
            None => ExitCode::from(EXIT_INTERRUPTED),
        }
    }
}

/// Ends when somebody wants the program to end.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers the signals still end the process, if less tidily.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

fn tell(summary: &Summary) -> ExitCode {
    let ms = |duration: Duration| duration.as_millis();
    let report = &summary.report;
    let text = format!(
        "\nfailover after kill -9   {:>6} ms without an acknowledgement\n\
         link cut                 {:>6} ms\n\
         clients                  {report}\n\
         took                     {:.1} s\n",
        ms(summary.failover),
        ms(summary.cut),
        summary.took.as_secs_f64(),
    );
    let printed = output::print(text.as_bytes());
    match &summary.evidence {
        None => printed,
        Some(path) => {
            output::fail(format_args!("the cluster broke a promise; its data: {}", path.display()))
        }
    }
}
