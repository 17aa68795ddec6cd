use std::time::Duration;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const PRODUCER: Option<(i64, i16)> = Some((7, 0));

fn queue() -> PartitionQueue {
    PartitionQueue::new(Backoff::new(Duration::from_millis(10), SECOND))
}

fn append(queue: &mut PartitionQueue, batch_size: usize, now: Instant) -> bool {
    let record = NewRecord { value: Some(b"0123456789"), ..NewRecord::default() };
    let make = || Completion::new("t".into(), 0);
    queue.append(&record, 1, batch_size, now, make).expect("a small record").1
}

/// A queue of sealed batches with one record each.
fn queue_of(count: usize, now: Instant) -> PartitionQueue {
    let mut queue = queue();
    for _ in 0..count {
        append(&mut queue, 1, now);
    }
    queue
}

fn take(queue: &mut PartitionQueue) -> SealedBatch {
    queue.take(PRODUCER, usize::MAX).expect("a batch")
}

fn sequence(batch: &SealedBatch) -> (i16, i32) {
    let stamp = batch.stamp.expect("it is stamped");
    (stamp.producer_epoch, stamp.base_sequence)
}

fn fail(queue: &mut PartitionQueue, batch: SealedBatch, failure: Failure, now: Instant) {
    queue.handle_failed(batch.position(), [batch], failure, now);
}

#[test]
fn a_batch_is_sent_when_it_is_full_or_has_waited() {
    let now = Instant::now();
    let mut queue = queue();
    assert_eq!(queue.due(now, SECOND, true), Due::No);
    assert!(append(&mut queue, 1000, now), "the first record is news");
    assert!(!append(&mut queue, 1000, now), "its company is not");
    assert_eq!(queue.due(now, SECOND, false), Due::At(now + SECOND));
    assert_eq!(queue.due(now + SECOND, SECOND, false), Due::Now);
    assert_eq!(queue.due(now, SECOND, true), Due::Now, "a flush does not wait");
    assert_eq!(queue.due(now, Duration::ZERO, false), Due::Now);
    assert!(append(&mut queue, 100, now), "a full batch is news");
    assert_eq!(queue.due(now, SECOND, false), Due::Now);
    let full = take(&mut queue);
    assert_eq!(full.count, 2);
    queue.handle_written(&full);
    assert_eq!(queue.due(now, SECOND, false), Due::At(now + SECOND), "the next one waits again");
    assert!(queue.take(PRODUCER, 10).is_none(), "larger than the request has room for");
    assert_eq!(take(&mut queue).count, 1);
    assert!(!queue.is_idle());
}

#[test]
fn sequences_run_on_and_a_repetition_keeps_its_own_and_goes_alone() {
    let now = Instant::now();
    let mut queue = queue_of(4, now);
    let batches = [take(&mut queue), take(&mut queue), take(&mut queue)];
    assert_eq!(batches.each_ref().map(sequence), [(0, 0), (0, 1), (0, 2)]);
    let [first, second, third] = batches;
    assert!(queue.is_first(&first) && !queue.is_first(&second));
    fail(&mut queue, first, Failure::Unknown, now);
    assert!(!queue.is_first(&second), "its complaint is an echo of the first one's failure");
    assert_eq!(queue.due(now + SECOND, SECOND, true), Due::No, "waits for the others to be back");
    fail(&mut queue, second, Failure::NotWritten, now);
    queue.handle_written(&third);
    assert!(queue.recover().is_empty());
    let later = now + 2 * SECOND;
    for expected in [(0, 0), (0, 1)] {
        assert_eq!(queue.due(later, SECOND, true), Due::Now);
        let again = take(&mut queue);
        assert_eq!(sequence(&again), expected);
        assert_eq!(queue.due(later, SECOND, true), Due::No, "alone");
        queue.handle_written(&again);
    }
    let fourth = take(&mut queue);
    assert_eq!(sequence(&fourth), (0, 3));
    queue.handle_written(&fourth);
    assert!(queue.is_idle());
}

#[test]
fn a_pause_ends_when_another_leader_is_known() {
    let now = Instant::now();
    let mut queue = queue_of(2, now);
    assert!(!queue.handle_leader(None, 7), "nothing failed");
    let batch = take(&mut queue);
    queue.handle_failed_leader(1, 7);
    fail(&mut queue, batch, Failure::Unknown, now);
    queue.recover();
    for (leader, round) in [(Some(1), 7), (None, 8), (Some(1), 6)] {
        assert!(queue.handle_leader(leader, round));
        assert!(matches!(queue.due(now, SECOND, true), Due::At(_)));
    }
    assert!(!queue.handle_leader(Some(1), 8), "the same broker in a new round");
    assert_eq!(queue.due(now, SECOND, true), Due::Now);
    let batch = take(&mut queue);
    queue.handle_failed_leader(1, 8);
    fail(&mut queue, batch, Failure::Unknown, now);
    queue.recover();
    assert!(queue.handle_leader(Some(1), 8), "each leader is spared after its own failure");
    assert!(!queue.handle_leader(Some(2), 9));
    assert_eq!(queue.due(now, SECOND, true), Due::Now);
}

#[test]
fn the_first_batch_under_an_id_or_epoch_goes_alone() {
    let now = Instant::now();
    let mut queue = queue_of(5, now);
    let first = take(&mut queue);
    assert_eq!(queue.due(now, SECOND, true), Due::No, "the broker does not know the producer yet");
    queue.handle_written(&first);
    let second = take(&mut queue);
    assert_eq!(queue.due(now, SECOND, true), Due::Now, "now it does");
    fail(&mut queue, second, Failure::SequenceLost, now);
    assert!(queue.recover().is_empty());
    let again = take(&mut queue);
    assert_eq!(sequence(&again), (1, 0));
    queue.handle_written(&again);
    assert_eq!(queue.due(now + SECOND, SECOND, true), Due::Now);
    let mut anonymous = queue_of(2, now);
    anonymous.take(None, usize::MAX).expect("a batch");
    assert_eq!(
        anonymous.due(now, SECOND, true),
        Due::Now,
        "without an id there is no order to keep"
    );
}

#[test]
fn after_a_failure_comes_a_pause_that_success_forgets() {
    let now = Instant::now();
    let mut queue = queue_of(2, now);
    let batch = take(&mut queue);
    fail(&mut queue, batch, Failure::Unknown, now);
    assert!(queue.recover().is_empty());
    assert!(matches!(queue.due(now, SECOND, true), Due::At(at) if at > now));
    let again = take(&mut queue);
    queue.handle_written(&again);
    assert_eq!(queue.due(now, SECOND, true), Due::Now);
}

#[test]
fn a_batch_that_is_given_up_leaves_no_hole() {
    let now = Instant::now();
    let mut queue = queue_of(4, now);
    let [refused, unknown, echo] = [take(&mut queue), take(&mut queue), take(&mut queue)];
    queue.handle_given_up(&refused, true);
    fail(&mut queue, unknown, Failure::Unknown, now);
    assert!(queue.recover().is_empty(), "one is still under way");
    fail(&mut queue, echo, Failure::NotWritten, now);
    let given_up = queue.recover();
    assert_eq!(given_up.len(), 1, "under a new epoch it might be written twice");
    assert!(given_up[0].maybe_written);
    let again = take(&mut queue);
    assert_eq!(sequence(&again), (1, 0), "the rest starts over");
    queue.handle_written(&again);
    assert_eq!(sequence(&take(&mut queue)), (1, 1));
}

#[test]
fn a_producer_without_identity_is_not_stamped_and_needs_no_epochs() {
    let now = Instant::now();
    let mut queue = queue_of(2, now);
    let batch = queue.take(None, usize::MAX).expect("a batch");
    assert_eq!(batch.stamp, None);
    queue.handle_given_up(&batch, false);
    assert_eq!(queue.due(now, SECOND, true), Due::Now);
}

#[test]
fn what_is_late_expires_and_a_hole_in_the_sequence_is_closed() {
    let now = Instant::now();
    let mut queue = queue_of(2, now);
    let tried = take(&mut queue);
    fail(&mut queue, tried, Failure::Unknown, now);
    append(&mut queue, 1, now + SECOND);
    assert_eq!(queue.expires_at(3 * SECOND), Some(now + 3 * SECOND));
    assert!(queue.expire(now + 2 * SECOND, 3 * SECOND).is_empty());
    let expired = queue.expire(now + 3 * SECOND, 3 * SECOND);
    let fates: Vec<_> = expired.iter().map(|batch| batch.maybe_written).collect();
    assert_eq!(fates, [true, false], "the first was sent, the second never");
    assert!(queue.recover().is_empty());
    assert_eq!(sequence(&take(&mut queue)), (1, 0));
}

#[test]
fn the_last_epoch_is_followed_by_a_new_producer_id() {
    let now = Instant::now();
    let mut queue = queue_of(2, now);
    let batch = queue.take(Some((7, i16::MAX)), usize::MAX).expect("a batch");
    fail(&mut queue, batch, Failure::SequenceLost, now);
    queue.recover();
    let again = queue.take(Some((8, 0)), usize::MAX).expect("a batch");
    assert_eq!(again.stamp.expect("stamped").producer_id, 8);
}

#[test]
fn halves_of_a_batch_keep_its_place_and_its_sequences() {
    let now = Instant::now();
    let mut queue = queue();
    for _ in 0..5 {
        append(&mut queue, 1000, now);
    }
    let mut whole = take(&mut queue);
    append(&mut queue, 1, now);
    let later = take(&mut queue);
    whole.encode(synod_wire::batch::Compression::Gzip).expect("encoded");
    let halves = whole.split(synod_wire::batch::Compression::Gzip).expect("sound").expect("two");
    queue.handle_failed(whole.position(), halves, Failure::NotWritten, now);
    fail(&mut queue, later, Failure::NotWritten, now);
    queue.recover();
    for (count, expected) in [(2, (0, 0)), (3, (0, 2)), (1, (0, 5))] {
        let part = take(&mut queue);
        assert_eq!((part.count, sequence(&part)), (count, expected));
        queue.handle_written(&part);
    }
}

#[test]
fn sequences_wrap_to_zero() {
    assert_eq!(sequence_after(0, 5), 5);
    assert_eq!(sequence_after(i32::MAX, 1), 0);
    assert_eq!(sequence_after(i32::MAX - 1, 4), 2);
}
