//! The load generator behind `synod bench`: measures any Kafka-compatible cluster from outside.
//!
//! Every record's content follows from its place in the run ([`payload`]), so that each run can end
//! by reading back what was acknowledged ([`check`]) without remembering records. The commands are
//! in [`cli`]; `benches/README.md` tells how to use them and what they found.

mod broker;
pub mod ceiling;
mod check;
mod commands;
mod error;
mod flow;
mod histogram;
mod load;
mod options;
mod payload;
mod process;
mod progress;
mod report;
mod sparse;
mod tally;
mod ticker;
mod topic;

pub mod cli;
