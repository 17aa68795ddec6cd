//! What must hold, whatever happens: one file for each invariant, numbered as in the fault model.
//!
//! | invariant | checked |
//! |---|---|
//! | S1 one value per offset | whenever a replica learns that something is decided |
//! | S2 one leader per round | after each turn of a broker |
//! | S3 said is durable | for each message, and at each restart |
//! | S4 decided is durable on a majority | whenever a leader's decided end moves |
//! | S5 acked is kept | at each ack, and at the end on every replica |
//! | S6 equal prefixes | at the end, every byte |
//! | S7 order of a producer, S8 no duplicate | whenever something is decided |
//! | S9 high watermark, S10 fetched is decided | for each fetch |
//! | S15 state is the fold of its log | the metadata image after each turn, producers at the end |
//! | S16 definite errors | at the end |
//! | S17 faulty never denies | at each restart, and by S1 and S10 |
//! | S18 quorums intersect | for each ballot that a replica leads or stands in |
//! | S19 deletion by decision | after each turn, and at each restart |
//! | S20 no unknown incarnation votes | for each promise and acceptance |
//! | S21 bounded queues | after each turn |
//!
//! S14 (a superseded leader acks nothing) is S5 at the time of the ack: what it acks would not be
//! decided.

pub(super) mod s01_one_value;
pub(super) mod s02_one_leader;
pub(super) mod s03_vows;
pub(super) mod s04_decided_end;
pub(super) mod s05_acked;
pub(super) mod s06_prefixes;
pub(super) mod s07_order;
pub(super) mod s08_no_duplicate;
pub(super) mod s09_high_watermark;
pub(super) mod s10_fetched;
pub(super) mod s15_fold;
pub(super) mod s15_producers;
pub(super) mod s16_definite;
pub(super) mod s17_corruption;
pub(super) mod s18_quorums;
pub(super) mod s19_deletion;
pub(super) mod s20_strangers;
pub(super) mod s21_bounds;

use bytes::Bytes;
use synod_log::batch::BatchHeader;
use synod_log::key::PartitionKey;

use self::s01_one_value::OneValue;
use self::s02_one_leader::OneLeader;
use self::s03_vows::Vows;
use self::s07_order::Order;
use self::s09_high_watermark::HighWatermark;
use self::s15_fold::Fold;
use self::s15_producers::Producers;
use self::s17_corruption::Corruption;
use self::s18_quorums::Quorums;
use self::s19_deletion::Deletion;
use self::s20_strangers::Strangers;
use super::history::{FIRST_TIMESTAMP, History};
use super::violation::Checked;
use crate::control::METADATA_KEY;

/// What the invariants remember of a run.
#[derive(Debug, Default)]
pub(crate) struct Invariants {
    pub(crate) decided: OneValue,
    pub(crate) leaders: OneLeader,
    pub(crate) vows: Vows,
    pub(crate) order: Order,
    pub(crate) watermark: HighWatermark,
    pub(crate) corruption: Corruption,
    pub(crate) deletion: Deletion,
    pub(crate) fold: Fold,
    pub(crate) producers: Producers,
    pub(crate) quorums: Quorums,
    pub(crate) strangers: Strangers,
}

impl Invariants {
    /// Batches of the metadata log are decided.
    pub(crate) fn metadata_decided(&mut self, batches: &Bytes) -> Checked {
        for (key, assigned) in self.fold.decided(batches)? {
            self.leaders.appointed(key, assigned)?;
        }
        for topic in self.fold.take_deleted() {
            self.deletion.decided(topic);
        }
        Ok(())
    }

    /// A replica reports a batch as decided.
    pub(crate) fn decided(
        &mut self,
        who: impl std::fmt::Display,
        key: PartitionKey,
        header: &BatchHeader,
        history: &mut History,
    ) -> Checked {
        if !self.decided.observe(who, key, header)? {
            return Ok(());
        }
        if let Some(expected) = self.order.observe(key, header) {
            Order::check(key, header, expected)?;
            s08_no_duplicate::check(key, header, expected)?;
        }
        if key == METADATA_KEY {
            // Not a client's.
            return Ok(());
        }
        self.producers.decided(key, header);
        let id = header.base_timestamp() - FIRST_TIMESTAMP;
        if let Some(batch) = u64::try_from(id).ok().and_then(|id| history.batch_mut(id)) {
            let offset = header.base_offset();
            s08_no_duplicate::check_once(batch, offset)?;
            batch.decided_at.get_or_insert(offset);
        }
        Ok(())
    }
}
