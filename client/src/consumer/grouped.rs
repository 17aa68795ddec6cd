//! The consumer as a member of a group: what it is given and what it lets go.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::commits::no_group;
use super::fetching::Outcome;
use super::group::config::GroupConfig;
use super::group::member::{Command, Counts, MemberTask, News, Shared, Wish};
use super::group::offsets::CommittedOffset;
use super::position::{self, Position};
use super::{Consumer, ConsumerRecord};
use crate::Error;
use crate::cluster::TopicPartition;

/// News that may wait; there are never more than three of one wish.
const NEWS_LENGTH: usize = 16;

/// Something that happens to a consumer, as [`Consumer::next_event`] tells it.
///
/// ```no_run
/// use synod_client::consumer::ConsumerEvent;
/// # async fn example(mut consumer: synod_client::consumer::Consumer)
/// # -> Result<(), synod_client::Error> {
/// consumer.subscribe(["orders"])?;
/// loop {
///     match consumer.next_event().await? {
///         ConsumerEvent::Records(records) => println!("{} records", records.len()),
///         ConsumerEvent::Assigned(partitions) => println!("from now on {partitions:?}"),
///         ConsumerEvent::Revoking(_) => consumer.commit().await?,
///         ConsumerEvent::Lost(partitions) => println!("undo what is half done of {partitions:?}"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsumerEvent {
    /// Records came.
    Records(Vec<ConsumerRecord>),
    /// These partitions are read from now on, besides those that already were.
    Assigned(Vec<TopicPartition>),
    /// These partitions are let go with the next call: now is the time to finish and commit them.
    Revoking(Vec<TopicPartition>),
    /// These partitions are another member's already; committing them would fail.
    Lost(Vec<TopicPartition>),
}

/// Where the membership stands.
#[derive(Debug)]
enum State {
    /// The group is changing; what is owned is read meanwhile.
    Joining,
    Member,
    /// These are let go once the caller has been told, then committed; then it joins again.
    LettingGo(BTreeSet<TopicPartition>),
    /// Waits for the commit of these.
    Committing(BTreeSet<TopicPartition>),
    Failed(Error),
}

/// A subscription and what became of it.
pub(super) struct Membership {
    config: GroupConfig,
    pub(super) shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    news: mpsc::Receiver<(u64, News)>,
    topics: BTreeSet<Arc<str>>,
    owned: BTreeSet<TopicPartition>,
    /// The last assignment, perhaps let go meanwhile.
    previous: BTreeSet<TopicPartition>,
    state: State,
    /// Number of the last wish; news of older ones are void.
    number: u64,
    /// The wish could not be handed over yet.
    wants_join: bool,
    /// What the assignment is based on, if this member made it.
    counts: Option<Counts>,
    events: VecDeque<ConsumerEvent>,
}

impl Membership {
    /// The next news, however long it takes.
    pub(super) async fn news(membership: &mut Option<Self>) -> Option<(u64, News)> {
        match membership {
            Some(membership) => membership.news.recv().await,
            None => std::future::pending().await,
        }
    }
}

impl Consumer {
    /// Reads these topics as a member of the configured group, and replaces what was subscribed or
    /// assigned before. The group decides which partitions; see [`Consumer::next_event`].
    ///
    /// ```no_run
    /// # async fn example(mut consumer: synod_client::consumer::Consumer)
    /// # -> Result<(), synod_client::Error> {
    /// consumer.subscribe(["orders", "returns"])?;
    /// let record = consumer.next().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] without a group.
    pub fn subscribe<T: Into<Arc<str>>>(
        &mut self,
        topics: impl IntoIterator<Item = T>,
    ) -> Result<(), Error> {
        self.pattern = None;
        self.subscribe_to(topics.into_iter().map(Into::into).collect())
    }

    pub(super) fn subscribe_to(&mut self, topics: BTreeSet<Arc<str>>) -> Result<(), Error> {
        let coordinator = self.coordinator()?.clone();
        let Some(config) = self.config.group.clone() else { return Err(no_group()) };
        self.cluster.want_topics(&topics);
        if let Some(membership) = &mut self.membership {
            membership.topics = topics;
            let owned = membership.owned.clone();
            let is_gone =
                |partition: &TopicPartition| !membership.topics.contains(&partition.topic);
            let gone = match config.is_cooperative() {
                true => owned.into_iter().filter(is_gone).collect(),
                false => owned,
            };
            self.let_go(gone);
            return Ok(());
        }
        self.clear_assignment();
        let (commands, received) = mpsc::channel(NEWS_LENGTH);
        let (told, news) = mpsc::channel(NEWS_LENGTH);
        let shared = Arc::new(Shared::new());
        let task = MemberTask {
            config: config.clone(),
            coordinator,
            shared: shared.clone(),
            commands: received,
            news: told,
            number: 0,
        };
        tokio::spawn(task.run());
        self.membership = Some(Membership {
            config,
            shared,
            commands,
            news,
            topics,
            owned: BTreeSet::new(),
            previous: BTreeSet::new(),
            state: State::Joining,
            number: 0,
            wants_join: true,
            counts: None,
            events: VecDeque::new(),
        });
        Ok(())
    }

    /// Whether it is subscribed as a member of a group.
    pub fn is_member(&self) -> bool {
        self.membership.is_some()
    }

    /// Leaves the group, having committed if that is automatic.
    ///
    /// ```no_run
    /// # async fn example(mut consumer: synod_client::consumer::Consumer)
    /// # -> Result<(), synod_client::Error> {
    /// consumer.unsubscribe().await;
    /// assert!(!consumer.is_member());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn unsubscribe(&mut self) {
        if self.config.group.as_ref().is_some_and(|group| group.auto_commit.is_some())
            && let Err(error) = self.commit().await
        {
            tracing::warn!(%error, "the last offsets are not committed");
        }
        self.pattern = None;
        let Some(membership) = self.membership.take() else { return };
        self.clear_assignment();
        let (done, left) = oneshot::channel();
        if membership.commands.send(Command::Leave(done)).await.is_ok() {
            let patience = self.cluster.config().request_timeout;
            // Without an answer the group finds out by the session time-out.
            let _ = timeout(patience, left).await;
        }
    }

    /// Leaves the group in good order: others take over at once.
    ///
    /// ```no_run
    /// # async fn example(consumer: synod_client::consumer::Consumer)
    /// # -> Result<(), synod_client::Error> {
    /// consumer.close().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn close(mut self) {
        self.unsubscribe().await;
        self.end_sessions().await;
    }

    /// The next thing that happens, however long it takes: records, or a change of what is read.
    ///
    /// ```no_run
    /// use synod_client::consumer::ConsumerEvent;
    /// # async fn example(mut consumer: synod_client::consumer::Consumer)
    /// # -> Result<(), synod_client::Error> {
    /// match consumer.next_event().await? {
    ///     ConsumerEvent::Records(records) => println!("{} records", records.len()),
    ///     ConsumerEvent::Revoking(partitions) => println!("finish {partitions:?}"),
    ///     other => println!("{other:?}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Consumer::poll`].
    pub async fn next_event(&mut self) -> Result<ConsumerEvent, Error> {
        loop {
            if let Some(event) = self.membership.as_mut().and_then(|m| m.events.pop_front()) {
                return Ok(event);
            }
            if !self.pending.is_empty() {
                return Ok(ConsumerEvent::Records(std::mem::take(&mut self.pending).into()));
            }
            let records = self.poll_records(None, true).await?;
            if !records.is_empty() {
                return Ok(ConsumerEvent::Records(records));
            }
        }
    }

    /// Whether there is something to tell before anything else happens.
    pub(super) fn has_event(&self) -> bool {
        self.membership.as_ref().is_some_and(|membership| !membership.events.is_empty())
    }

    /// Sees to the membership: takes news, lets go, joins, commits. `tells`: the caller looks at
    /// events, so that partitions stay until theirs was seen. Returns when to look again.
    pub(super) fn attend(&mut self, now: Instant, tells: bool) -> Result<Option<Instant>, Error> {
        while let Some((number, news)) =
            self.membership.as_mut().and_then(|membership| membership.news.try_recv().ok())
        {
            self.handle_news(number, news);
        }
        self.look_for_partitions();
        let Some(membership) = &mut self.membership else { return Ok(None) };
        membership.shared.polled();
        if !tells {
            membership.events.clear();
        }
        if let State::Failed(error) = &membership.state {
            return Err(error.clone());
        }
        if let State::LettingGo(gone) = &membership.state
            && membership.events.is_empty()
            && !self.commits.is_under_way
        {
            let gone = gone.clone();
            membership.state = State::Committing(gone.clone());
            let due = self.config.group.as_ref().is_some_and(|group| group.auto_commit.is_some());
            let offsets = if due { self.uncommitted(Some(&gone)) } else { BTreeMap::new() };
            match offsets.is_empty() {
                true => self.handle_let_go(),
                false => self.start_commit(offsets, true),
            }
        }
        self.join_if_wanted();
        Ok(self.commit_by_time(now))
    }

    /// Takes news from the membership's task.
    pub(super) fn handle_news(&mut self, number: u64, news: News) {
        let Some(membership) = &mut self.membership else { return };
        if number != membership.number {
            return;
        }
        match news {
            News::Assigned { partitions, partition_counts } => {
                membership.counts = partition_counts;
                membership.state = State::Member;
                membership.previous.clone_from(&partitions);
                let new: BTreeSet<_> = partitions.difference(&membership.owned).cloned().collect();
                let gone: BTreeSet<_> = membership.owned.difference(&partitions).cloned().collect();
                membership.owned.extend(new.iter().cloned());
                if !new.is_empty() {
                    let list = new.iter().cloned().collect();
                    membership.events.push_back(ConsumerEvent::Assigned(list));
                    self.start_reading(new);
                }
                if !gone.is_empty() {
                    self.let_go(gone);
                }
            }
            News::Rebalance => {
                let gone = match membership.config.is_cooperative() {
                    true => BTreeSet::new(),
                    false => membership.owned.clone(),
                };
                // Where something is being let go, joining follows anyway.
                if matches!(membership.state, State::Joining | State::Member) {
                    self.let_go(gone);
                }
            }
            News::Lost(error) => {
                tracing::warn!(group = %membership.config.id, %error, "lost the membership");
                self.lose_all();
                self.let_go(BTreeSet::new());
            }
            News::Failed(error) => {
                membership.state = State::Failed(error);
                self.lose_all();
            }
        }
    }

    fn lose_all(&mut self) {
        let Some(membership) = &mut self.membership else { return };
        let lost = std::mem::take(&mut membership.owned);
        if !matches!(membership.state, State::Failed(_)) {
            membership.state = State::Joining;
        }
        if !lost.is_empty() {
            let list = lost.iter().cloned().collect();
            membership.events.push_back(ConsumerEvent::Lost(list));
        }
        self.stop_reading(&lost);
    }

    /// Stops handing out records of these; once the caller knows and they are committed, they are
    /// let go, and then the consumer joins again.
    fn let_go(&mut self, mut gone: BTreeSet<TopicPartition>) {
        let before = self.membership.as_ref().map(|membership| &membership.state);
        if let Some(State::LettingGo(open) | State::Committing(open)) = before {
            gone.extend(open.iter().cloned());
        }
        for partition in &gone {
            if let Some(position) = self.partitions.get_mut(partition) {
                position.is_leaving = true;
            }
        }
        let Some(membership) = &mut self.membership else { return };
        if gone.is_empty() {
            membership.wants_join = true;
            membership.state = State::Joining;
        } else {
            let list = gone.iter().cloned().collect();
            membership.events.push_back(ConsumerEvent::Revoking(list));
            membership.state = State::LettingGo(gone);
        }
    }

    /// What was to be committed before is committed, or cannot be.
    pub(super) fn handle_let_go(&mut self) {
        let Some(membership) = &mut self.membership else { return };
        let State::Committing(gone) = &membership.state else { return };
        let gone = gone.clone();
        membership.owned.retain(|partition| !gone.contains(partition));
        membership.state = State::Joining;
        membership.wants_join = true;
        self.stop_reading(&gone);
    }

    fn join_if_wanted(&mut self) {
        let Some(membership) = &mut self.membership else { return };
        if !membership.wants_join {
            return;
        }
        let wish = Wish {
            number: membership.number + 1,
            topics: membership.topics.clone(),
            owned: membership.owned.clone(),
            previous: membership.previous.clone(),
        };
        // A full queue means that the task has not come to the last wish yet: try again later.
        if membership.commands.try_send(Command::Join(wish)).is_ok() {
            membership.number += 1;
            membership.wants_join = false;
            membership.state = State::Joining;
        }
    }

    /// A leader sees to it that new partitions find a reader.
    fn look_for_partitions(&mut self) {
        let Some(membership) = &mut self.membership else { return };
        let (State::Member, Some(counts)) = (&membership.state, &membership.counts) else { return };
        let metadata = self.cluster.metadata();
        let has_more = membership.topics.iter().any(|topic| {
            let known = metadata.topic(topic).map_or(0, |topic| topic.partitions.len());
            known > counts.get(topic).map_or(0, |&count| usize::try_from(count).unwrap_or(0))
        });
        if has_more {
            membership.counts = None;
            self.handle_news(self.membership.as_ref().map_or(0, |m| m.number), News::Rebalance);
        }
    }

    /// Takes up partitions where the group left them.
    fn start_reading(&mut self, new: BTreeSet<TopicPartition>) {
        self.generation += 1;
        for partition in &new {
            let mut position = Position::new(-1, self.generation, self.cluster.backoff());
            position.is_starting = true;
            self.partitions.insert(partition.clone(), position);
            self.commits.done.remove(partition);
        }
        self.ask_for_starts(new, self.generation, Duration::ZERO);
    }

    fn ask_for_starts(&mut self, new: BTreeSet<TopicPartition>, generation: u64, pause: Duration) {
        let Some(coordinator) = self.coordinator.clone() else { return };
        let (cluster, isolation) = (self.cluster.clone(), self.config.isolation);
        let reset = self.config.offset_reset;
        self.under_way.push(Box::pin(async move {
            tokio::time::sleep(pause).await;
            let found = position::committed(&coordinator, &cluster, &new, reset, isolation).await;
            Outcome::Started(new, generation, found)
        }));
    }

    /// The places are known, or not.
    pub(super) fn handle_started(
        &mut self,
        new: BTreeSet<TopicPartition>,
        generation: u64,
        found: Result<BTreeMap<TopicPartition, CommittedOffset>, Error>,
    ) -> Result<(), Error> {
        let is_open = |this: &Self, partition: &TopicPartition| {
            let position = this.partitions.get(partition);
            position.is_some_and(|p| p.generation == generation && p.is_starting)
        };
        match found {
            Ok(offsets) => {
                for (partition, committed) in offsets {
                    if is_open(self, &partition)
                        && let Some(position) = self.partitions.get_mut(&partition)
                    {
                        position.begin(&committed);
                    }
                }
                Ok(())
            }
            Err(error) => {
                let open: BTreeSet<_> =
                    new.into_iter().filter(|partition| is_open(self, partition)).collect();
                if !open.is_empty() {
                    let pause = self.cluster.config().backoff_max;
                    self.ask_for_starts(open, generation, pause);
                }
                if error.is_retriable() { Ok(()) } else { Err(error) }
            }
        }
    }

    fn stop_reading(&mut self, gone: &BTreeSet<TopicPartition>) {
        for partition in gone {
            self.partitions.remove(partition);
            self.commits.done.remove(partition);
            self.drop_fetched(partition);
            self.pending.retain(|record| {
                record.partition != partition.partition || record.topic != partition.topic
            });
        }
    }
}
