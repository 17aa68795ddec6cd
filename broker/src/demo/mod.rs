//! `synod demo`: a cluster of child processes on one machine, started, harmed, healed and judged.
//!
//! Its parts serve the tests of real processes, too: [`brokers`] starts, kills and pauses
//! `synod serve` processes, [`links`] is the network between them, [`workload`] runs clients that
//! record what they see.

pub mod brokers;
pub mod clients;
pub mod links;
pub mod port;
mod scratch;
mod screen;
mod script;
pub mod workload;

pub use script::{DemoError, Summary, run};
