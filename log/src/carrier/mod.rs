//! Small appends of many logs in one file, so that one sync makes all of them durable.
//!
//! A device syncs one file about as fast as another, and a thousand files a thousand times as
//! slowly. So where many partitions get a little each, their batches are written twice: to their
//! segments as ever, where readers find them and nobody syncs them yet, and together as one frame
//! to the carrier of their shard, which is synced. By that they are durable; the segments follow
//! with the next sync that goes to them, or in the background.
//!
//! A carrier has two files of a fixed size and fills them in turn. A file is used again when
//! everything in it is *settled*: the segments are synced, and the journal's marks say so. Until
//! then a start [replays] what the segments may lack. The durability mark of a log follows its
//! settled end, since what is missing below the mark is corruption of segments.
//!
//! Truncation and carriers do not know each other: what was carried of a log before it was cut
//! would come back with the next start. So before a log is cut, a *void* makes all of that count
//! for nothing, durably.
//!
//! Like the journal's store, this is without a thread and without a clock: [`Carrier`] decides,
//! what it hands out blocks. The form of the files is in `frame.rs`, the rules of reading them back
//! in `recover.rs`. Its promise: what a round made durable is there after any crash, or the log is
//! reported as faulty, or the start refused; and what was made void does not come back.
//!
//! [replays]: replay

mod error;
mod frame;
mod recover;
mod replay;
mod round;
mod settling;
mod store;
#[cfg(test)]
mod tests;

pub use self::error::CarrierError;
pub use self::replay::{MAX_FILE_SIZE, ReplayReport, replay};
pub use self::round::{CarrierDone, CarrierPreparation, CarrierPrepared, CarrierRound};
pub use self::store::{Carried, Carrier, MIN_FILE_SIZE};
