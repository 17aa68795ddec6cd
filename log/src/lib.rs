//! One partition's durable log, and the broker's journal.

pub mod batch;
pub mod error;
pub mod identity;
pub mod journal;
pub mod key;
pub mod memory;
mod mmap;
pub mod os;
pub mod storage;
