//! Idempotent producers: ids, epochs and sequence numbers.

use std::time::Instant;

use kafka_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use kafka_protocol::messages::{ProducerId, TransactionalId};

use super::produce::produce;
use crate::run::{Answer, Run, error};
use crate::support::batch::Batch;
use crate::support::wire::{READ_TIMEOUT, text};

pub(crate) fn run(run: &mut Run) {
    sequences(run);
    epochs(run);
    strangers(run);
    identities(run);
}

fn send(run: &mut Run, topic: &str, case: &str, values: usize, producer: (i64, i16, i32)) {
    let (id, epoch, sequence) = producer;
    let batch = Batch::of(&vec!["a"; values]).with_producer(id, epoch, sequence);
    let answer = produce(run, topic, batch.encode());
    run.note(&format!("idempotent, {case}"), answer);
}

fn sequences(run: &mut Run) {
    let topic = run.create("sequences", 1, &[]);
    let mut send =
        |case: &str, values, sequence| send(run, &topic, case, values, (900, 0, sequence));
    send("first batch 0-1", 2, 0);
    send("its repeat", 2, 0);
    send("gap: 5", 1, 5);
    send("next: 2", 1, 2);
    send("overlap: 1-2", 2, 1);
    send("half a repeat: 0", 1, 0);
    for sequence in 3..8 {
        send(&format!("next: {sequence}"), 1, sequence);
    }
    send("repeat of the fifth last: 3", 1, 3);
    send("repeat of the sixth last: 2", 1, 2);
    send("repeat of the last: 7", 1, 7);
    send("back to 0", 1, 0);
}

fn epochs(run: &mut Run) {
    let topic = run.create("epochs", 1, &[]);
    let mut send = |case, epoch, sequence| send(run, &topic, case, 1, (901, epoch, sequence));
    send("epoch 0, sequence 0", 0, 0);
    send("epoch 1, sequence 1", 1, 1);
    send("epoch 1, sequence 0", 1, 0);
    send("epoch 0 after 1", 0, 1);
    send("epoch 5 after 1", 5, 0);
    send("epoch 5, repeat", 5, 0);
}

fn strangers(run: &mut Run) {
    let topic = run.create("strangers", 1, &[]);
    let mut send = |case, values, producer| send(run, &topic, case, values, producer);
    send("unknown producer, sequence 17", 1, (902, 3, 17));
    send("unknown producer, sequence 18", 1, (902, 3, 18));
    send("producer without epoch", 1, (903, -1, 0));
    send("producer without sequence", 1, (904, 0, -1));
    send("producer -1, epoch 0, sequence 0", 1, (-1, 0, 0));
    send("producer -1 again", 1, (-1, 0, 0));
    send("producer -2", 1, (-2, 0, 0));
    send("sequence wraps", 2, (905, 0, i32::MAX));
    send("sequence after the wrap", 1, (905, 0, 1));
    send("sequence ends at the largest", 2, (906, 0, i32::MAX - 1));
    send("sequence 0 after the largest", 1, (906, 0, 0));
}

fn identities(run: &mut Run) {
    for version in 0..=5 {
        let answer = init(run, version, &new_producer());
        run.note(&format!("init producer id v{version}"), answer);
    }
    let named = |name| Some(TransactionalId(text(name)));
    let cases = [
        ("timeout 0", new_producer().with_transaction_timeout_ms(0)),
        ("timeout -1", new_producer().with_transaction_timeout_ms(-1)),
        ("id 5, epoch 3", new_producer().with_producer_id(ProducerId(5)).with_producer_epoch(3)),
        ("id 5, no epoch", new_producer().with_producer_id(ProducerId(5))),
        ("no id, epoch 3", new_producer().with_producer_epoch(3)),
        ("empty transactional id", new_producer().with_transactional_id(named(""))),
    ];
    for (case, request) in cases {
        let answer = init(run, 4, &request);
        run.note(&format!("init producer id, {case}"), answer);
    }
}

/// What a producer without a transactional id asks.
fn new_producer() -> InitProducerIdRequest {
    InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_transaction_timeout_ms(60_000)
        .with_producer_id(ProducerId(-1))
        .with_producer_epoch(-1)
}

/// A broker that has yet to fetch its first block of ids may say so; clients ask again.
fn init(run: &Run, version: i16, request: &InitProducerIdRequest) -> Answer<String> {
    const COORDINATOR_LOAD_IN_PROGRESS: i16 = 14;
    let connection = &mut run.connect();
    let mut response = connection.try_call(version, request)?;
    let deadline = Instant::now() + READ_TIMEOUT;
    while response.error_code == COORDINATOR_LOAD_IN_PROGRESS {
        assert!(Instant::now() < deadline, "producer ids stay unavailable");
        response = connection.try_call(version, request)?;
    }
    let id = if response.producer_id.0 >= 0 { "an id" } else { "no id" };
    Ok(format!("{} {id} epoch {}", error(response.error_code), response.producer_epoch))
}
