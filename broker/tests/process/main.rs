//! The broker as a process: killed, stopped, restarted, and started where it must refuse.

#[path = "../support/mod.rs"]
mod support;

mod kill;
mod load;
mod refusals;
mod restart;
mod stop;
