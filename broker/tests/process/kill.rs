//! `kill -9` under load: nothing acked is lost, nothing comes twice.

use std::env;

use crate::load::Load;
use crate::support::broker::Broker;
use crate::support::random::Random;
use crate::support::wire::{Connection, create_topic};

/// Kills in one run; `SYNOD_KILL_ROUNDS` asks for more.
const ROUNDS: usize = 20;

/// Largest number of acked batches between two kills.
const ACKED_MAX: u64 = 60;

#[test]
fn acked_records_survive_kill_9() {
    let rounds =
        env::var("SYNOD_KILL_ROUNDS").map_or(ROUNDS, |count| count.parse().expect("a number"));
    let mut random = Random::from_environment();
    let mut broker = Broker::start();
    let mut connection = Connection::open(broker.kafka());
    for topic in ["plain", "idempotent"] {
        create_topic(&mut connection, topic, 1, &[("segment.bytes", "1048576")]);
    }
    let mut plain = Load::plain("plain");
    let mut idempotent = Load::idempotent("idempotent", &mut connection);
    for round in 0..rounds {
        let mut first = Connection::open(broker.kafka());
        let mut second = Connection::open(broker.kafka());
        plain.run(&mut first, random.below(ACKED_MAX) as usize, &mut random);
        idempotent.run(&mut second, random.below(ACKED_MAX) as usize, &mut random);
        broker.kill();
        broker.restart();
        let connection = &mut Connection::open(broker.kafka());
        plain.check(connection);
        idempotent.check(connection);
        plain.recover(connection);
        idempotent.recover(connection);
        idempotent.check(connection);
        println!("round {round}: {} and {}", plain.acked_count(), idempotent.acked_count());
    }
}
