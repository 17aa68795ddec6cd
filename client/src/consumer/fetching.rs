//! Fetching ahead: what is asked for, what comes back, and what goes wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt;
use synod_wire::ErrorCode;
use synod_wire::messages::fetch::FetchResponse;
use tokio::time::{Instant, sleep_until, timeout};

use super::divergence::{self, Verdicts};
use super::fetch::{self, Asked, Content};
use super::fetched::Fetched;
use super::group::offsets::CommittedOffset;
use super::grouped::Membership;
use super::inquiry::{Inquiry, Lateness};
use super::position::{self, Position};
use super::session::{self, Increment};
use super::{Consumer, ConsumerRecord, OffsetReset, Start};
use crate::cluster::{Metadata, TopicPartition};
use crate::{Error, Remedy};

/// Something the consumer waits for.
pub(super) enum Outcome {
    /// A fetch from this leader came back.
    Fetched(i32, Vec<Asked>, Result<(FetchResponse, Verdicts), Error>),
    Refreshed(Result<(), Error>),
    /// The cluster's topics, for a subscription by pattern.
    Listed(Result<Arc<Metadata>, Error>),
    /// The new place of a partition whose old one does not exist.
    Reset(Asked, Result<i64, Error>),
    /// Where partitions begin that the group has given us, as of this generation.
    Started(
        BTreeSet<TopicPartition>,
        u64,
        Result<BTreeMap<TopicPartition, CommittedOffset>, Error>,
    ),
    /// A commit of the consumer's own; true: they are let go now.
    Committed(BTreeMap<TopicPartition, CommittedOffset>, bool, Result<(), Error>),
}

impl Consumer {
    /// Records as soon as there are any; without any, an empty list at the deadline.
    pub(super) async fn poll_records(
        &mut self,
        deadline: Option<Instant>,
        tells: bool,
    ) -> Result<Vec<ConsumerRecord>, Error> {
        loop {
            let now = Instant::now();
            let look_at = self.look_for_topics(now);
            let commit_at = self.attend(now, tells)?;
            if tells && self.has_event() {
                return Ok(Vec::new());
            }
            let records = self.read_ready()?;
            let wake_at = self.start_fetches(now);
            if !records.is_empty() || deadline.is_some_and(|deadline| deadline <= now) {
                return Ok(records);
            }
            let until = [wake_at, look_at, commit_at, deadline].into_iter().flatten().min();
            let timer = async {
                match until {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some(outcome) = self.under_way.next(), if !self.under_way.is_empty() => {
                    self.handle(outcome)?;
                }
                Some((number, news)) = Membership::news(&mut self.membership) => {
                    self.handle_news(number, news);
                }
                () = timer => {}
            }
        }
    }

    /// Waits until nothing is being committed: an older commit that is sent again must not come
    /// after a newer one.
    pub(super) async fn finish_commit(&mut self) -> Result<(), Error> {
        while self.commits.is_under_way
            && let Some(outcome) = self.under_way.next().await
        {
            self.handle(outcome)?;
        }
        Ok(())
    }

    /// Reads from what was fetched.
    fn read_ready(&mut self) -> Result<Vec<ConsumerRecord>, Error> {
        let mut records = Vec::new();
        let mut paused = Vec::new();
        let mut result = Ok(());
        while let Some(mut fetched) = self.ready.pop_front() {
            let Some(position) = self.partitions.get_mut(&fetched.partition) else {
                self.buffered_size -= fetched.size;
                continue;
            };
            if position.is_held() {
                paused.push(fetched);
                continue;
            }
            let config = &self.config;
            let read = fetched.read(
                &mut position.offset,
                config.isolation,
                config.max_batch_size,
                config.max_poll_records,
                &mut records,
            );
            if fetched.read_epoch >= 0 {
                position.read_epoch = fetched.read_epoch;
            }
            match read {
                Ok(true) => self.buffered_size -= fetched.size,
                Ok(false) => {
                    self.ready.push_front(fetched);
                    break;
                }
                Err(error) => {
                    // What was read before the damage is handed out first; then it is fetched
                    // again, since it may be repaired by then.
                    self.buffered_size -= fetched.size;
                    self.refetch(&fetched.partition);
                    result = if records.is_empty() { Err(error) } else { Ok(()) };
                    break;
                }
            }
        }
        // Back to the front: what a partition fetched first must stay before what it fetched later.
        for fetched in paused.into_iter().rev() {
            self.ready.push_front(fetched);
        }
        result.map(|()| records)
    }

    /// Sends a fetch to every leader that has none under way. Returns when to look again.
    fn start_fetches(&mut self, now: Instant) -> Option<Instant> {
        let mut wake_at = self.refresh(now);
        if self.buffered_size >= self.config.max_buffered_size {
            return wake_at;
        }
        wake_at = [wake_at, self.suspect(now)].into_iter().flatten().min();
        let metadata = self.cluster.metadata();
        let mut by_leader: BTreeMap<i32, Vec<Asked>> = BTreeMap::new();
        for (partition, position) in &self.partitions {
            if position.is_held() || position.is_resetting || position.is_starting {
                continue;
            }
            if let Some(at) = position.retry_at.filter(|&at| at > now) {
                wake_at = Some(wake_at.map_or(at, |known| known.min(at)));
                continue;
            }
            let known = metadata.topic(&partition.topic);
            let known = known.and_then(|topic| topic.partition(partition.partition));
            let Some((known, leader)) = known.and_then(|known| Some((known, known.leader?))) else {
                self.wants_refresh = true;
                continue;
            };
            if !self.inquiries.contains_key(&leader) {
                by_leader.entry(leader).or_default().push(Asked {
                    partition: partition.clone(),
                    offset: position.fetch_offset,
                    leader_epoch: known.leader_epoch,
                    last_epoch: position.last_epoch,
                    shared_epoch: position.shared_epoch,
                    generation: position.generation,
                });
            }
        }
        for (leader, mut asked) in by_leader {
            self.turn = self.turn.wrapping_add(1);
            let first = self.turn % asked.len();
            asked.rotate_left(first);
            self.start_fetch(leader, asked, now);
        }
        let refresh_at = self.refresh(now);
        [wake_at, refresh_at].into_iter().flatten().min()
    }

    fn start_fetch(&mut self, leader: i32, asked: Vec<Asked>, now: Instant) {
        let increment = self.sessions.entry(leader).or_default().next(&asked);
        let request = fetch::request(&self.config, &increment);
        let client = self.cluster.config();
        // The broker may rightly take the time it is given.
        let within = client.request_timeout + self.config.max_fetch_wait;
        let due = now + self.config.max_fetch_wait + client.suspect_after;
        let inquiry = Inquiry::new(asked.clone(), due);
        let given_up = inquiry.given_up();
        self.inquiries.insert(leader, inquiry);
        let channel = self.channel.clone();
        self.under_way.push(Box::pin(async move {
            let mut connection = None;
            let answer = async {
                let open = connection.insert(channel.broker(leader).await?);
                let verdicts = divergence::verdicts(open, &asked, within).await?;
                Ok((open.start(&request, within).await?.await?, verdicts))
            };
            let answer = tokio::select! {
                answer = answer => Some(answer),
                () = given_up.cancelled() => None,
            };
            let answer = answer.unwrap_or_else(|| {
                if let Some(silent) = &connection {
                    channel.discard(leader, silent);
                }
                let code = ErrorCode::NOT_LEADER_OR_FOLLOWER;
                Err(Error::broker(code, format!("broker {leader}"), None))
            });
            Outcome::Fetched(leader, asked, answer)
        }));
    }

    /// Tells the leaders that nothing will be fetched any more. They find out by themselves too, so
    /// no answer is waited for.
    pub(super) async fn end_sessions(&self) {
        for (&leader, session) in &self.sessions {
            let Some(session_id) = session.open_id() else { continue };
            let (changed, forgotten) = (Vec::new(), Vec::new());
            let session_epoch = session::ENDING;
            let increment = Increment { session_id, session_epoch, changed, forgotten };
            let request = fetch::request(&self.config, &increment);
            let client = self.cluster.config();
            let telling = async {
                let connection = self.channel.broker(leader).await?;
                connection.start(&request, client.request_timeout).await.map(drop)
            };
            if !matches!(timeout(client.suspect_after, telling).await, Ok(Ok(()))) {
                tracing::debug!(leader, "the fetch session is left to end by itself");
            }
        }
    }

    /// Looks at every leader that is late with its answer: has the cluster asked who leads now, and
    /// gives up what was asked of one that leads no more. Returns when to look again.
    fn suspect(&mut self, now: Instant) -> Option<Instant> {
        let pause = self.cluster.config().suspect_after / 2;
        let metadata = self.cluster.metadata();
        let mut wake_at: Option<Instant> = None;
        for (&leader, inquiry) in &mut self.inquiries {
            let at = match inquiry.lateness(&metadata, leader, pause, now) {
                Lateness::None(at) => at,
                Lateness::GivenUp => continue,
                Lateness::Ask(at) => {
                    self.wants_refresh = true;
                    at
                }
            };
            wake_at = Some(wake_at.map_or(at, |known| known.min(at)));
        }
        wake_at
    }

    /// Asks for fresh metadata when something said so or when it is old. Returns when that is
    /// allowed.
    fn refresh(&mut self, now: Instant) -> Option<Instant> {
        if self.is_refreshing || !(self.wants_refresh || self.cluster.is_stale()) {
            return None;
        }
        if let Some(at) = self.refresh_not_before.filter(|&at| at > now) {
            return Some(at);
        }
        self.is_refreshing = true;
        self.wants_refresh = false;
        let cluster = self.cluster.clone();
        self.under_way.push(Box::pin(async move {
            Outcome::Refreshed(cluster.refresh_metadata().await.map(drop))
        }));
        None
    }

    fn handle(&mut self, outcome: Outcome) -> Result<(), Error> {
        let now = Instant::now();
        match outcome {
            Outcome::Refreshed(result) => {
                self.is_refreshing = false;
                if result.is_ok() {
                    self.refresh_backoff.reset();
                }
                self.refresh_not_before = Some(now + self.refresh_backoff.next());
                Ok(())
            }
            Outcome::Listed(listed) => {
                self.handle_listed(listed);
                Ok(())
            }
            Outcome::Reset(asked, offset) => self.handle_reset(&asked, offset),
            Outcome::Started(new, generation, found) => self.handle_started(new, generation, found),
            Outcome::Committed(offsets, last, done) => {
                self.handle_committed(&offsets, last, done);
                Ok(())
            }
            Outcome::Fetched(leader, asked, answer) => {
                self.inquiries.remove(&leader);
                let fetched = answer.as_ref().ok().map(|(response, _)| response);
                self.sessions.entry(leader).or_default().handle_answer(fetched);
                let answers = answer.and_then(|(response, verdicts)| {
                    self.note_shared(&asked, &verdicts);
                    fetch::answers(response, &asked, verdicts)
                });
                let answers = match answers {
                    Ok(answers) => answers,
                    Err(error) => {
                        for asked in &asked {
                            self.postpone(asked, now);
                        }
                        return self.tolerate(error);
                    }
                };
                let mut result = Ok(());
                for answer in answers {
                    let found = asked.iter().find(|asked| asked.partition == answer.partition);
                    let Some(asked) = found else { continue };
                    let handled = self.handle_answer(asked, answer.result, now);
                    result = result.and(handled);
                }
                result
            }
        }
    }

    /// These leaders have compared what was read with their logs, or say now that it differs.
    fn note_shared(&mut self, asked: &[Asked], verdicts: &Verdicts) {
        for asked in asked {
            let is_open = verdicts.get(&asked.partition).is_some_and(Result::is_err);
            if let Some(position) = self.current(asked).filter(|_| !is_open) {
                position.shared_epoch = asked.leader_epoch;
            }
        }
    }

    fn handle_answer(
        &mut self,
        asked: &Asked,
        answer: Result<Content, Error>,
        now: Instant,
    ) -> Result<(), Error> {
        let Some(position) = self.current(asked) else { return Ok(()) };
        match answer {
            Ok(Content { diverges_at: Some(end), .. }) => self.go_back(asked, end),
            Ok(content) => {
                position.handle_fetched(&content);
                if !content.batches.is_empty() {
                    let Content { batches, aborted, .. } = content;
                    let partition = asked.partition.clone();
                    let fetched = Fetched::new(partition, batches, aborted);
                    self.buffered_size += fetched.size;
                    self.ready.push_back(fetched);
                }
                Ok(())
            }
            Err(error) if fetch::is_out_of_range(&error) => self.reset(asked, error),
            Err(error) => {
                self.postpone(asked, now);
                self.tolerate(error)
            }
        }
    }

    /// The log no longer has what was read from `end` on. That happens only where unclean elections
    /// are allowed.
    fn go_back(&mut self, asked: &Asked, end: i64) -> Result<(), Error> {
        let partition = &asked.partition;
        tracing::warn!(%partition, offset = end, "records that were read have been taken back");
        self.refetch(partition);
        if let Some(position) = self.partitions.get_mut(partition)
            && position.offset > end
        {
            match self.config.offset_reset {
                OffsetReset::Beginning | OffsetReset::End => position.move_to(end),
                OffsetReset::Fail => {
                    // Until the caller moves on, it is found out and told again.
                    position.last_epoch = position.read_epoch;
                    position.shared_epoch = -1;
                    position.postpone(Instant::now());
                    let code = ErrorCode::OFFSET_OUT_OF_RANGE;
                    let reason = format!("the records from offset {end} on were taken back");
                    return Err(Error::broker(code, partition.to_string(), Some(&reason)));
                }
            }
        }
        Ok(())
    }

    /// The offset does not exist: goes where the settings say.
    fn reset(&mut self, asked: &Asked, error: Error) -> Result<(), Error> {
        let start = match self.config.offset_reset {
            OffsetReset::Beginning => Start::Beginning,
            OffsetReset::End => Start::End,
            OffsetReset::Fail => {
                self.postpone(asked, Instant::now());
                return Err(error);
            }
        };
        if self.ready.iter().any(|fetched| fetched.partition == asked.partition) {
            // What is buffered is still good: hand it out first, then ask again.
            self.postpone(asked, Instant::now());
            return Ok(());
        }
        tracing::info!(partition = %asked.partition, offset = asked.offset, "offset is gone");
        if let Some(position) = self.current(asked) {
            position.is_resetting = true;
        }
        let (cluster, isolation) = (self.cluster.clone(), self.config.isolation);
        let asked = asked.clone();
        self.under_way.push(Box::pin(async move {
            let wanted = BTreeMap::from([(asked.partition.clone(), start)]);
            let found = position::resolve(&cluster, &wanted, isolation).await;
            let offset = found.map(|offsets| offsets.into_values().next().unwrap_or(0));
            Outcome::Reset(asked, offset)
        }));
        Ok(())
    }

    fn handle_reset(&mut self, asked: &Asked, offset: Result<i64, Error>) -> Result<(), Error> {
        let Some(position) = self.current(asked) else { return Ok(()) };
        match offset {
            Ok(offset) => {
                position.move_to(offset);
                Ok(())
            }
            Err(error) => {
                // The next fetch finds the offset gone again.
                position.is_resetting = false;
                position.postpone(Instant::now());
                self.tolerate(error)
            }
        }
    }

    /// Swallows an error that passes, having seen to its remedy.
    fn tolerate(&mut self, error: Error) -> Result<(), Error> {
        match error.remedy() {
            Remedy::Retry => {}
            Remedy::RefreshMetadata | Remedy::Reconnect => self.wants_refresh = true,
            Remedy::Fix | Remedy::GiveUp => return Err(error),
        }
        tracing::debug!(%error, "fetching again");
        Ok(())
    }

    /// The partition's place, unless it was moved since the question was sent.
    fn current(&mut self, asked: &Asked) -> Option<&mut Position> {
        let position = self.partitions.get_mut(&asked.partition)?;
        // A leader that was given up may answer late, when another has answered already.
        let is_current =
            position.generation == asked.generation && position.fetch_offset == asked.offset;
        is_current.then_some(position)
    }

    fn postpone(&mut self, asked: &Asked, now: Instant) {
        if let Some(position) = self.current(asked) {
            position.postpone(now);
        }
    }

    /// Forgets what was fetched of a partition and fetches it again.
    fn refetch(&mut self, partition: &TopicPartition) {
        self.drop_fetched(partition);
        self.generation += 1;
        let generation = self.generation;
        if let Some(position) = self.partitions.get_mut(partition) {
            position.refetch(generation);
        }
    }

    pub(super) fn drop_fetched(&mut self, partition: &TopicPartition) {
        let mut freed = 0;
        self.ready.retain(|fetched| {
            let stays = fetched.partition != *partition;
            freed += if stays { 0 } else { fetched.size };
            stays
        });
        self.buffered_size -= freed;
    }
}
