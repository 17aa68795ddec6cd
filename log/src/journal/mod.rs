//! The broker's small file of vows and durability marks: all that must be durable and is not
//! payload.
//!
//! One journal serves all partitions of a broker, so however many of them vow at once, one sync
//! makes them all durable. [`Journal`] is the handle: [`Journal::submit`] hands records to the
//! journal's own thread, which writes whatever has gathered since its last sync as one frame, syncs
//! once, and then calls back. Nothing waits for a timer, except marks given to
//! [`Journal::submit_lazy`], which ride along with whatever comes next and go alone when nothing
//! comes.
//!
//! The file's form is in `frame.rs`, the rules of reading it back in `recover.rs`. Its promise:
//! what a callback reported as durable is there after any crash, also with one bit of the file
//! flipped; what is there was submitted; and a file that is damaged beyond that, cut, or from
//! another node is refused.

mod error;
mod frame;
mod group;
mod queue;
mod record;
mod recover;
mod state;
mod store;
#[cfg(test)]
mod tests;

pub use self::error::{JournalError, JournalOpenError};
pub use self::group::{Journal, JournalConfig, JournalDone, OpenedJournal};
pub use self::queue::{JournalQueue, Submission};
pub use self::record::{Ballot, JournalRecord, Vow};
pub(crate) use self::record::{take, take_key, take_u32, take_u64};
pub use self::state::PartitionDurable;
pub use self::store::{JournalReport, JournalStore};
