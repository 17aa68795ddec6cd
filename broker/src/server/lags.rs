//! Lag of groups in partitions without a replica here: the coordinator's broker asks their leaders
//! now and then. Only what is shown depends on it.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use synod_log::key::PartitionKey;
use synod_paxos::NodeId;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::observe_groups::first_time_ms;
use crate::broker::Broker;
use crate::limits::{LAG_INTERVAL, LAG_MAX_AGE, LAG_PLACES};
use crate::metadata::TopicId;
use crate::peers::{ControlLinks, ControlMessage, LagAsked, LagTold, Received};

/// What the leaders of partitions elsewhere have told. Holds no more than was asked about last.
#[derive(Debug, Default)]
pub(super) struct Lags(Mutex<BTreeMap<PartitionKey, Entry>>);

#[derive(Debug)]
struct Entry {
    /// Who was asked; nobody else is believed.
    leader: NodeId,
    known: Option<Known>,
}

/// A partition as its leader told it.
#[derive(Clone, Debug)]
pub(super) struct Known {
    told_at: Instant,
    pub(super) log_start: u64,
    pub(super) high_watermark: u64,
    /// Times of the first records at or behind the places asked about, in ms since 1970.
    times: BTreeMap<u64, i64>,
}

impl Known {
    /// The time of the first record at or behind a place; of an earlier one if the group has moved
    /// on since it was asked about.
    pub(super) fn first_time_ms(&self, offset: u64) -> Option<i64> {
        self.times.range(..=offset).next_back().map(|(_, time_ms)| *time_ms)
    }
}

impl Lags {
    /// What is known of a partition, if it was told lately.
    pub(super) fn known(&self, key: PartitionKey) -> Option<Known> {
        let known = self.entries().get(&key)?.known.clone()?;
        (known.told_at.elapsed() <= LAG_MAX_AGE).then_some(known)
    }

    /// These are asked about from now on.
    fn expect(&self, questions: &Questions) {
        let mut entries = self.entries();
        let mut before = std::mem::take(&mut *entries);
        for (leader, asked) in questions {
            for asked in asked {
                let known = before.remove(&asked.key()).filter(|entry| entry.leader == *leader);
                let known = known.and_then(|entry| entry.known);
                entries.entry(asked.key()).or_insert(Entry { leader: *leader, known });
            }
        }
    }

    fn note(&self, from: NodeId, told: Vec<LagTold>) {
        let mut entries = self.entries();
        let mut fresh = BTreeSet::new();
        for LagTold { asked, log_start, high_watermark, time_ms } in told {
            let entry = entries.get_mut(&asked.key()).filter(|entry| entry.leader == from);
            let Some(entry) = entry else { continue };
            if fresh.insert(asked.key()) {
                let times = BTreeMap::new();
                let told_at = Instant::now();
                entry.known = Some(Known { told_at, log_start, high_watermark, times });
            }
            if let (Some(known), Some(time_ms)) = (&mut entry.known, time_ms) {
                known.times.insert(asked.offset, time_ms);
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<PartitionKey, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Places to ask about, by the broker that leads their partitions.
type Questions = BTreeMap<NodeId, BTreeSet<LagAsked>>;

/// Asks and answers.
#[derive(Debug)]
pub(super) struct LagDesk {
    broker: Arc<Broker>,
    lags: Arc<Lags>,
    links: ControlLinks,
    incoming: mpsc::Receiver<Received>,
}

impl LagDesk {
    /// Works on this runtime until the broker stops. Returns what it learns.
    pub(super) fn start(
        broker: Arc<Broker>,
        links: ControlLinks,
        incoming: mpsc::Receiver<Received>,
    ) -> Arc<Lags> {
        let lags = Arc::new(Lags::default());
        let desk = LagDesk { broker, lags: lags.clone(), links, incoming };
        tokio::spawn(desk.run());
        lags
    }

    /// What may read from a disk, or look at many groups, is done on other threads.
    async fn run(mut self) {
        let mut stopping = self.broker.stopping();
        let mut stopped = pin!(async move {
            let _ = stopping.wait_for(|stopping| *stopping).await;
        });
        let mut timer = interval(LAG_INTERVAL);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = timer.tick() => self.ask().await,
                Some((from, message, share)) = self.incoming.recv() => {
                    self.handle(from, message).await;
                    drop(share);
                }
                () = &mut stopped => return,
            }
        }
    }

    async fn ask(&self) {
        let broker = self.broker.clone();
        // It fails only if it panics, which then has been told.
        let Ok(questions) = spawn_blocking(move || questions(&broker)).await else { return };
        self.lags.expect(&questions);
        for (leader, asked) in questions {
            self.links.send(leader, ControlMessage::LagQuestion(asked.into_iter().collect()));
        }
    }

    async fn handle(&self, from: NodeId, message: ControlMessage) {
        match message {
            ControlMessage::LagQuestion(asked) => {
                let broker = self.broker.clone();
                if let Ok(told) = spawn_blocking(move || answers(&broker, &asked)).await {
                    self.links.send(from, ControlMessage::LagAnswer(told));
                }
            }
            ControlMessage::LagAnswer(told) => self.lags.note(from, told),
            _ => tracing::debug!(%from, "a message that is not about lag is dropped"),
        }
    }
}

/// Where the groups that are coordinated here stand in partitions that have no replica here.
fn questions(broker: &Broker) -> Questions {
    let image = broker.image();
    let mut questions = Questions::new();
    let mut count = 0;
    for overview in broker.group_overviews().all() {
        let facts = overview.groups().filter_map(|(group, ..)| overview.state().group(group));
        for (at, committed) in facts.flat_map(|facts| facts.offsets.iter()) {
            let topic = image.topic_id(&at.topic);
            let places = (topic, u32::try_from(at.partition), u64::try_from(committed.offset));
            let (Some(topic), Ok(partition), Ok(offset)) = places else { continue };
            let Some(found) = image.partition(topic, partition) else { continue };
            if found.replicas.contains(&broker.id()) {
                continue;
            }
            if count == LAG_PLACES {
                return questions;
            }
            let asked = LagAsked { topic: topic.bytes(), partition, offset };
            let leader = NodeId(found.leader.0);
            count += usize::from(questions.entry(leader).or_default().insert(asked));
        }
    }
    questions
}

/// What is known here of partitions that are led here.
fn answers(broker: &Broker, asked: &[LagAsked]) -> Vec<LagTold> {
    let answer = |asked: &LagAsked| {
        let topic = TopicId::from_bytes(asked.topic);
        let view = broker.directory().partition(topic, asked.partition)?;
        view.leading_round()?;
        let (log_start, high_watermark) = (view.log().start(), view.high_watermark());
        let is_behind = asked.offset.max(log_start) < high_watermark;
        let time_ms = is_behind.then(|| first_time_ms(&view, asked.offset)).flatten();
        Some(LagTold { asked: *asked, log_start, high_watermark, time_ms })
    };
    asked.iter().take(LAG_PLACES).filter_map(answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(partition: u32, offset: u64) -> LagAsked {
        LagAsked { topic: [1; 16], partition, offset }
    }

    fn told(partition: u32, offset: u64, high_watermark: u64, time_ms: Option<i64>) -> LagTold {
        LagTold { asked: asked(partition, offset), log_start: 2, high_watermark, time_ms }
    }

    #[test]
    fn only_who_was_asked_is_believed_and_only_about_that() {
        let lags = Lags::default();
        let (leader, other) = (NodeId(2), NodeId(3));
        let questions = |places: &[LagAsked]| [(leader, places.iter().copied().collect())].into();
        lags.expect(&questions(&[asked(0, 5), asked(0, 8), asked(1, 0)]));
        let key = asked(0, 0).key();
        assert!(lags.known(key).is_none());
        lags.note(other, vec![told(0, 5, 99, None)]);
        lags.note(leader, vec![told(7, 5, 99, None)]);
        assert!(lags.known(key).is_none() && lags.known(asked(7, 0).key()).is_none());
        lags.note(leader, vec![told(0, 5, 10, Some(500)), told(0, 8, 10, Some(800))]);
        let known = lags.known(key).expect("told");
        assert_eq!((known.log_start, known.high_watermark), (2, 10));
        let times = [4, 5, 7, 8, 9].map(|offset| known.first_time_ms(offset));
        assert_eq!(times, [None, Some(500), Some(500), Some(800), Some(800)]);
        assert!(lags.known(asked(1, 0).key()).is_none(), "left out of the answer");

        // The next question keeps what was told until the answer comes, of the same leader alone.
        lags.expect(&questions(&[asked(0, 9)]));
        assert!(lags.known(key).is_some());
        lags.note(leader, vec![told(0, 9, 9, None)]);
        assert_eq!(lags.known(key).expect("told").first_time_ms(9), None);
        lags.expect(&[(other, [asked(0, 9)].into())].into());
        assert!(lags.known(key).is_none());
    }
}
