//! The task that sends batches and deals with what comes back.

use std::collections::BTreeMap;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use synod_wire::messages::init_producer_id::InitProducerIdRequest;
use synod_wire::messages::produce::ProduceResponse;
use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::accumulator::{Accumulator, Key};
use super::batch::SealedBatch;
use super::failure::{give_up, handle_failed};
use super::link::{Link, Suspicion};
use super::queue::{Due, expired_error};
use super::request::{self, Flight};
use crate::backoff::Backoff;
use crate::cluster::Channel;
use crate::{Cluster, Connection, Error, Remedy};

/// The pause between two refreshes is at most this share of the time for which one has been wanted.
const REFRESH_SHARE: u32 = 8;

type Event = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Something the sender waited for.
enum Outcome {
    Produced(u64, Flight, Result<ProduceResponse, Error>),
    Connected(i32, Result<Connection, Error>),
    Refreshed,
    Identified(Result<(i64, i16), Error>),
}

/// The producer id that new partitions start with.
enum Producer {
    /// Not an idempotent producer.
    Anonymous,
    Unknown,
    Asking,
    Known(i64, i16),
}

pub(super) struct Sender {
    shared: Arc<Shared>,
    channel: Channel,
    links: BTreeMap<i32, Link>,
    events: FuturesUnordered<Event>,
    producer: Producer,
    producer_backoff: Backoff,
    producer_not_before: Option<Instant>,
    is_refreshing: bool,
    wants_refresh: bool,
    /// Since when fresh metadata was wanted without a break.
    refresh_wanted_since: Option<Instant>,
    refresh_not_before: Option<Instant>,
    /// Which partition comes first in the next request; moves on so that none starves.
    turn: usize,
}

impl Sender {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let backoff = shared.cluster.backoff();
        let idempotent = shared.config.idempotent;
        Self {
            channel: shared.cluster.channel(),
            links: BTreeMap::new(),
            events: FuturesUnordered::new(),
            producer: if idempotent { Producer::Unknown } else { Producer::Anonymous },
            producer_backoff: backoff,
            producer_not_before: None,
            is_refreshing: false,
            wants_refresh: false,
            refresh_wanted_since: None,
            refresh_not_before: None,
            turn: 0,
            shared,
        }
    }

    /// Runs until the producer is closed and nothing is left to send.
    pub(super) async fn run(mut self) {
        loop {
            let wake_at = self.step().await;
            if self.shared.is_finished() {
                return;
            }
            let timer = async {
                match wake_at {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                Some(outcome) = self.events.next(), if !self.events.is_empty() => {
                    self.handle(outcome);
                    // Answers that came together are dealt with together.
                    while let Some(Some(outcome)) = ready_now(&mut self.events) {
                        self.handle(outcome);
                    }
                }
                () = self.shared.wake.notified() => {}
                () = timer => {}
            }
        }
    }

    /// Starts all that can start now; returns when to look again if nothing happens before.
    async fn step(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let mut wake_at = None;
        self.suspect(now, &mut wake_at);
        let due = self.survey(now, &mut wake_at);
        if !due.is_empty() && !self.identify(now, &mut wake_at) {
            return wake_at;
        }
        for (broker, keys) in due {
            self.send_to(broker, keys, now, &mut wake_at).await;
        }
        self.refresh(now, &mut wake_at);
        wake_at
    }

    /// Looks at every broker that keeps us waiting: has the cluster asked who leads now, and gives
    /// up what a broker was sent that leads no more.
    fn suspect(&mut self, now: Instant, wake_at: &mut Option<Instant>) {
        let after = self.shared.cluster.config().suspect_after;
        let metadata = self.shared.cluster.metadata();
        for (&broker, link) in &mut self.links {
            match link.suspicion(&metadata, broker, after, now) {
                Suspicion::No(at) => earliest(wake_at, at),
                Suspicion::Ask(at) => {
                    self.wants_refresh = true;
                    earliest(wake_at, Some(at));
                }
                Suspicion::Abandon => {
                    tracing::info!(broker, "silent, and superseded: going on without its answers");
                    if let Some(silent) = link.abandon() {
                        self.channel.discard(broker, &silent);
                    }
                }
            }
        }
    }

    /// Looks at every active partition: settles what is over, and groups those that want to send by
    /// leader.
    fn survey(&mut self, now: Instant, wake_at: &mut Option<Instant>) -> BTreeMap<i32, Vec<Key>> {
        let shared = self.shared.clone();
        let timeout = shared.config.delivery_timeout;
        let metadata = shared.cluster.metadata();
        let mut due: BTreeMap<i32, Vec<Key>> = BTreeMap::new();
        let mut accumulator = shared.accumulator();
        let flush = accumulator.flushes > 0 || accumulator.is_closed || shared.is_full();
        for key in accumulator.active() {
            let Some(queue) = accumulator.queue(&key) else { continue };
            let mut over = queue.expire(now, timeout);
            over.extend(queue.recover());
            let is_idle = queue.is_idle();
            let (leader, round) =
                (metadata.leader(&key.0, key.1), metadata.leader_epoch(&key.0, key.1));
            let awaits_leader = queue.handle_leader(leader, round);
            let state = queue.due(now, shared.config.linger, flush);
            earliest(wake_at, queue.expires_at(timeout));
            // Another leader may be known long before the one that failed is tried again.
            self.wants_refresh |= awaits_leader && state != Due::No;
            match state {
                Due::No => {}
                Due::At(at) => earliest(wake_at, Some(at)),
                Due::Now => match leader {
                    Some(broker) => due.entry(broker).or_default().push(key.clone()),
                    None => {
                        let pause = now + shared.cluster.config().backoff_first;
                        queue.pause_until(pause);
                        earliest(wake_at, Some(pause));
                        self.wants_refresh = true;
                    }
                },
            }
            for batch in over {
                let error = expired_error(&batch, &key.0, key.1, timeout);
                shared.settle(&mut accumulator, &batch, Err(error));
            }
            if is_idle {
                accumulator.set_idle(&key);
            }
        }
        due
    }

    /// Sees to it that there is a producer id, if one is needed. True: sending may begin.
    fn identify(&mut self, now: Instant, wake_at: &mut Option<Instant>) -> bool {
        match self.producer {
            Producer::Anonymous | Producer::Known(..) => return true,
            Producer::Asking => return false,
            Producer::Unknown => {}
        }
        if let Some(at) = self.producer_not_before.filter(|&at| at > now) {
            earliest(wake_at, Some(at));
            return false;
        }
        self.producer = Producer::Asking;
        let cluster = self.shared.cluster.clone();
        self.events.push(Box::pin(async move { Outcome::Identified(identity(&cluster).await) }));
        false
    }

    /// Sends what the partitions of one leader have, in as many requests as may be under way.
    async fn send_to(
        &mut self,
        broker: i32,
        mut keys: Vec<Key>,
        now: Instant,
        wake_at: &mut Option<Instant>,
    ) {
        let backoff = || self.shared.cluster.backoff();
        let link = self.links.entry(broker).or_insert_with(|| Link::new(backoff()));
        if link.is_connecting() {
            return;
        }
        if link.connection.as_ref().is_none_or(Connection::is_closed) {
            if let Some(at) = link.not_before.filter(|&at| at > now) {
                earliest(wake_at, Some(at));
                return;
            }
            link.handle_connecting(now);
            let channel = self.channel.clone();
            self.events.push(Box::pin(async move {
                Outcome::Connected(broker, channel.broker(broker).await)
            }));
            return;
        }
        self.turn = self.turn.wrapping_add(1);
        let first = self.turn % keys.len();
        keys.rotate_left(first);
        let producer = match self.producer {
            Producer::Known(id, epoch) => Some((id, epoch)),
            _ => None,
        };
        while let Some(connection) = link.usable(self.shared.config.max_in_flight) {
            let batches = collect(&self.shared, &keys, producer, now);
            if batches.is_empty() {
                return;
            }
            let connection = connection.clone();
            let (flight, unsendable) = Flight::new(broker, batches, self.shared.config.compression);
            for (key, batch, error) in unsendable {
                give_up(&self.shared, &key, &batch, error);
            }
            let partitions = flight.batches.iter().map(|(key, _)| key.clone()).collect();
            let (number, abandoned) = link.handle_sent(partitions);
            let answer = request::start(&connection, &flight, &self.shared).await;
            self.events.push(Box::pin(async move {
                let answered = async {
                    match answer? {
                        Some(answer) => answer.await,
                        None => Ok(ProduceResponse::default()),
                    }
                };
                let answer = tokio::select! {
                    answer = answered => answer,
                    () = abandoned.cancelled() => Err(superseded(connection.address())),
                };
                Outcome::Produced(number, flight, answer)
            }));
        }
    }

    /// Asks for fresh metadata when something said so, or when it is old.
    fn refresh(&mut self, now: Instant, wake_at: &mut Option<Instant>) {
        if self.is_refreshing {
            return;
        }
        if !(self.wants_refresh || self.shared.cluster.is_stale()) {
            self.refresh_wanted_since = None;
            return;
        }
        self.refresh_wanted_since.get_or_insert(now);
        if let Some(at) = self.refresh_not_before.filter(|&at| at > now) {
            earliest(wake_at, Some(at));
            return;
        }
        self.is_refreshing = true;
        self.wants_refresh = false;
        let cluster = self.shared.cluster.clone();
        self.events.push(Box::pin(async move {
            // If nobody answers, the next attempt finds out too.
            let _ = cluster.refresh_metadata().await;
            Outcome::Refreshed
        }));
    }

    fn handle(&mut self, outcome: Outcome) {
        let now = Instant::now();
        match outcome {
            Outcome::Produced(number, flight, answer) => {
                if let Some(link) = self.links.get_mut(&flight.broker) {
                    link.handle_answered(number);
                }
                self.handle_produced(flight, answer, now);
            }
            Outcome::Connected(broker, result) => {
                let Some(link) = self.links.get_mut(&broker) else { return };
                if let Err(error) = &result {
                    tracing::debug!(broker, %error, "cannot connect");
                    // The partitions may have a leader elsewhere by now.
                    self.wants_refresh = true;
                }
                link.handle_connected(result, now);
            }
            Outcome::Refreshed => {
                self.is_refreshing = false;
                // A leader is as a rule replaced soon. One that stays away is asked for ever less.
                let waited = self.refresh_wanted_since.map_or(Duration::ZERO, |since| now - since);
                let config = self.shared.cluster.config();
                let pause = (waited / REFRESH_SHARE).max(config.backoff_first);
                self.refresh_not_before = Some(now + pause.min(config.backoff_max));
            }
            Outcome::Identified(Ok((id, epoch))) => {
                self.producer_backoff.reset();
                self.producer = Producer::Known(id, epoch);
            }
            Outcome::Identified(Err(error)) => {
                self.producer = Producer::Unknown;
                self.producer_not_before = Some(now + self.producer_backoff.next());
                if !error.is_retriable() {
                    self.abandon(&error);
                }
            }
        }
    }

    /// No record can be sent: says so to everyone who waits.
    fn abandon(&mut self, error: &Error) {
        let mut accumulator = self.shared.accumulator();
        for key in accumulator.active() {
            let over = accumulator.queue(&key).map(|queue| queue.abandon()).unwrap_or_default();
            for batch in over {
                self.shared.settle(&mut accumulator, &batch, Err(error.clone()));
            }
        }
    }

    fn handle_produced(
        &mut self,
        flight: Flight,
        answer: Result<ProduceResponse, Error>,
        now: Instant,
    ) {
        let shared = self.shared.clone();
        let unanswered = shared.config.acks.code() == 0;
        let answer = answer.map(|response| request::answers(response, unanswered));
        for (key, mut batch) in flight.batches {
            let outcome = match &answer {
                Err(error) => Err(error.clone()),
                Ok(answers) => answers.of(&key),
            };
            let error = match outcome {
                Ok(written) => {
                    let mut accumulator = shared.accumulator();
                    if let Some(queue) = accumulator.queue(&key) {
                        queue.handle_written(&batch);
                    }
                    shared.settle(&mut accumulator, &batch, Ok(written));
                    continue;
                }
                Err(error) => error,
            };
            tracing::debug!(topic = %key.0, partition = key.1, %error, "batch failed");
            batch.last_error = Some(Arc::new(error.clone()));
            if matches!(error.remedy(), Remedy::RefreshMetadata | Remedy::Reconnect) {
                self.wants_refresh = true;
                let round = shared.cluster.metadata().leader_epoch(&key.0, key.1);
                if let Some(queue) = shared.accumulator().queue(&key) {
                    queue.handle_failed_leader(flight.broker, round);
                }
            }
            handle_failed(&shared, key, batch, error, now);
        }
    }
}

/// One batch of each partition that has one due, as many as a request may carry.
fn collect(
    shared: &Shared,
    keys: &[Key],
    producer: Option<(i64, i16)>,
    now: Instant,
) -> Vec<(Key, SealedBatch)> {
    let mut accumulator: std::sync::MutexGuard<'_, Accumulator> = shared.accumulator();
    let flush = accumulator.flushes > 0 || accumulator.is_closed || shared.is_full();
    let mut room = shared.config.max_request_size;
    let mut batches = Vec::new();
    for key in keys {
        let Some(queue) = accumulator.queue(key) else { continue };
        if queue.due(now, shared.config.linger, flush) != Due::Now {
            continue;
        }
        // A batch that alone is larger than a request goes alone.
        let limit = if batches.is_empty() { usize::MAX } else { room };
        if let Some(batch) = queue.take(producer, limit) {
            room = room.saturating_sub(batch.size());
            batches.push((key.clone(), batch));
        }
    }
    batches
}

/// The error for a request whose answer no longer counts.
fn superseded(address: &str) -> Error {
    let reason = "it keeps silent and another broker leads now";
    Error::Disconnected { address: address.into(), reason: reason.into() }
}

/// A new producer id from any broker.
async fn identity(cluster: &Cluster) -> Result<(i64, i16), Error> {
    let request = InitProducerIdRequest {
        transactional_id: None,
        // Without transactions there is nothing to time out.
        transaction_timeout_ms: i32::MAX,
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdRequest::default()
    };
    let response = cluster.ask_any(&request).await?;
    Error::check(response.error_code, || "producer id".into(), None)?;
    Ok((response.producer_id, response.producer_epoch))
}

/// The next outcome, if it is there already.
fn ready_now(events: &mut FuturesUnordered<Event>) -> Option<Option<Outcome>> {
    use futures_util::FutureExt;
    events.next().now_or_never()
}

fn earliest(wake_at: &mut Option<Instant>, at: Option<Instant>) {
    *wake_at = match (*wake_at, at) {
        (Some(known), Some(at)) => Some(known.min(at)),
        (known, at) => known.or(at),
    };
}
