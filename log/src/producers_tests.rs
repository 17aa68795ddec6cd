//! Unit tests of producer states: the idempotence rules to the letter.

use super::*;

fn batch(id: i64, epoch: i16, sequence: i32, count: u32, base_offset: u64) -> ProducerBatch {
    ProducerBatch {
        producer_id: id,
        producer_epoch: epoch,
        base_sequence: sequence,
        last_offset_delta: count - 1,
        base_offset,
        max_timestamp: 1000 + base_offset as i64,
        is_control: false,
    }
}

/// Appends the batches after checking that each is accepted.
fn states(batches: &[ProducerBatch]) -> ProducerStates {
    let mut states = ProducerStates::new();
    for b in batches {
        assert_eq!(states.check(b), ProducerCheck::Append, "{b:?}");
        states.note(b);
    }
    states
}

#[test]
fn no_producer_id_means_no_check() {
    let mut s = ProducerStates::new();
    for _ in 0..3 {
        let b = batch(-1, 0, 0, 1, 0);
        assert_eq!(s.check(&b), ProducerCheck::Append);
        s.note(&b);
    }
    assert!(s.is_empty());
}

#[test]
fn an_unknown_producer_may_begin_anywhere() {
    let s = states(&[batch(7, 3, 1234, 2, 0)]);
    assert_eq!(s.check(&batch(7, 3, 1236, 1, 0)), ProducerCheck::Append);
}

#[test]
fn each_of_the_last_five_is_a_duplicate_with_its_original_offset() {
    let all: Vec<_> = (0..7).map(|i| batch(1, 0, i * 3, 3, 10 + i as u64 * 3)).collect();
    let s = states(&all);
    for b in &all[..2] {
        assert_eq!(s.check(b), ProducerCheck::OldDuplicate);
    }
    for b in &all[2..] {
        let ProducerCheck::Duplicate(original) = s.check(b) else {
            panic!("not a duplicate: {b:?}")
        };
        assert_eq!(original.base_offset, b.base_offset);
        assert_eq!(original.last_offset_delta, 2);
        assert_eq!(original.timestamp, b.max_timestamp);
    }
}

#[test]
fn a_gap_is_out_of_order() {
    let s = states(&[batch(1, 0, 0, 3, 0)]);
    assert_eq!(s.check(&batch(1, 0, 4, 1, 0)), ProducerCheck::OutOfOrder { expected_sequence: 3 });
    assert_eq!(s.check(&batch(1, 0, 3, 1, 0)), ProducerCheck::Append);
}

#[test]
fn a_batch_that_straddles_the_end_is_out_of_order() {
    let s = states(&[batch(1, 0, 0, 3, 0)]);
    assert_eq!(s.check(&batch(1, 0, 2, 3, 0)), ProducerCheck::OutOfOrder { expected_sequence: 3 });
}

#[test]
fn a_new_epoch_begins_at_zero_and_forgets_the_old_one() {
    let mut s = states(&[batch(1, 0, 0, 3, 0)]);
    assert_eq!(s.check(&batch(1, 1, 3, 1, 0)), ProducerCheck::OutOfOrder { expected_sequence: 0 });
    let fresh = batch(1, 1, 0, 3, 3);
    assert_eq!(s.check(&fresh), ProducerCheck::Append, "not a duplicate of the old epoch's batch");
    s.note(&fresh);
    assert_eq!(s.check(&batch(1, 0, 3, 1, 0)), ProducerCheck::OldEpoch { current_epoch: 1 });
    assert_eq!(s.check(&batch(1, 0, 0, 3, 0)), ProducerCheck::OldEpoch { current_epoch: 1 });
}

#[test]
fn sequences_wrap_to_zero() {
    let s = states(&[batch(1, 0, i32::MAX - 1, 2, 0), batch(1, 0, 0, 1, 2)]);
    assert!(matches!(s.check(&batch(1, 0, i32::MAX - 1, 2, 0)), ProducerCheck::Duplicate(_)));
    let across = states(&[batch(1, 0, i32::MAX - 1, 5, 0)]);
    assert_eq!(across.state(1).and_then(ProducerState::last_sequence), Some(2));
    assert_eq!(across.check(&batch(1, 0, 3, 1, 5)), ProducerCheck::Append);
    assert_eq!(across.check(&batch(1, 0, i32::MAX - 5, 2, 5)), ProducerCheck::OldDuplicate);
}

#[test]
fn a_marker_raises_the_epoch_without_a_sequence() {
    let mut s = states(&[batch(1, 0, 0, 3, 0)]);
    let marker = ProducerBatch { is_control: true, base_sequence: -1, ..batch(1, 2, 0, 1, 3) };
    assert_eq!(s.check(&marker), ProducerCheck::Append);
    s.note(&marker);
    assert_eq!(s.check(&batch(1, 1, 0, 1, 4)), ProducerCheck::OldEpoch { current_epoch: 2 });
    assert_eq!(s.check(&batch(1, 2, 0, 1, 4)), ProducerCheck::Append);
}

#[test]
fn expiry_goes_by_the_process_s_own_time() {
    let mut s = states(&[batch(1, 0, 0, 1, 0), batch(2, 0, 0, 1, 500)]);
    s.expire(1 << 40, 600);
    assert_eq!(s.len(), 2, "time begins with the first look");
    s.expire((1 << 40) + 300, 600);
    // Its own timestamp is years off.
    s.note(&ProducerBatch { max_timestamp: i64::MIN, ..batch(2, 0, 1, 1, 501) });
    s.expire((1 << 40) + 599, 600);
    assert_eq!(s.len(), 2);
    s.expire((1 << 40) + 600, 600);
    assert!(s.state(1).is_none() && s.state(2).is_some());
    s.expire((1 << 40) + 899, 600);
    assert_eq!(s.len(), 1);
    s.expire((1 << 40) + 900, 600);
    assert_eq!(s.len(), 0);
}

#[test]
fn a_snapshot_restores_the_states() {
    let mut all: Vec<_> = (0..7).map(|i| batch(1, 0, i, 1, i as u64)).collect();
    all.push(batch(900, 5, 77, 3, 7));
    let s = states(&all);
    let image = s.encode(10, Some(4));
    let decoded = ProducerStates::decode(&image).expect("sound");
    assert_eq!(decoded, ProducerSnapshot { offset: 10, leader_epoch: Some(4), states: s });
    assert_eq!(decoded.states.encode(10, Some(4)), image, "encoding is deterministic");
    let empty = ProducerStates::new().encode(0, None);
    assert_eq!(ProducerStates::decode(&empty).map(|d| d.leader_epoch), Some(None));
}

#[test]
fn a_damaged_snapshot_is_refused() {
    let image = states(&[batch(1, 0, 0, 1, 0), batch(2, 0, 0, 1, 1)]).encode(2, None);
    for at in 0..image.len() {
        let mut flipped = image.clone();
        flipped[at] ^= 4;
        assert_eq!(ProducerStates::decode(&flipped), None, "byte {at}");
        assert_eq!(ProducerStates::decode(&image[..at]), None, "cut at {at}");
    }
}

#[test]
fn a_snapshot_with_a_right_checksum_and_wrong_counts_is_refused() {
    let mut image = ProducerStates::new().encode(2, None);
    image.truncate(image.len() - 4);
    image[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
    let checksum = crc32fast::hash(&image);
    image.extend_from_slice(&checksum.to_le_bytes());
    assert_eq!(ProducerStates::decode(&image), None);
}
