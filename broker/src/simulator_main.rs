//! `synod-simulator`: the real broker's core, log and recovery on simulated machines.

use std::process::ExitCode;

fn main() -> ExitCode {
    synod_broker::simulator::main()
}
