//! What a consumer commits: when it is told to, and by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::Consumer;
use super::fetching::Outcome;
use super::group::member::{Identity, Shared};
use super::group::offsets::{self, CommittedOffset};
use crate::Error;
use crate::cluster::TopicPartition;
use crate::coordinator::Coordinator;

/// When the consumer commits by itself.
#[derive(Debug, Default)]
pub(super) struct Commits {
    next: Option<Instant>,
    /// One of the consumer's own is; nothing else is committed meanwhile.
    pub(super) is_under_way: bool,
    /// What is known to be committed.
    pub(super) done: BTreeMap<TopicPartition, i64>,
}

impl Consumer {
    /// Commits the places up to which records were handed out.
    ///
    /// ```no_run
    /// # async fn example(mut consumer: synod_client::consumer::Consumer)
    /// # -> Result<(), synod_client::Error> {
    /// for record in consumer.poll(std::time::Duration::from_secs(1)).await? {
    ///     println!("{:?}", record.value);
    /// }
    /// consumer.commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] without a group; [`Error::Broker`] with `REBALANCE_IN_PROGRESS`,
    /// `ILLEGAL_GENERATION` or `UNKNOWN_MEMBER_ID` when the group has changed; what kept the
    /// coordinator from answering.
    pub async fn commit(&mut self) -> Result<(), Error> {
        let all = self.uncommitted(None);
        self.commit_offsets(all).await
    }

    /// Commits these offsets.
    ///
    /// ```no_run
    /// use synod_client::cluster::TopicPartition;
    /// use synod_client::consumer::CommittedOffset;
    /// # async fn example(mut consumer: synod_client::consumer::Consumer)
    /// # -> Result<(), synod_client::Error> {
    /// let record = consumer.next().await?;
    /// let partition = TopicPartition::new(record.topic, record.partition);
    /// // The next one to read.
    /// let offset = CommittedOffset::new(record.offset + 1);
    /// consumer.commit_offsets([(partition, offset)].into()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Consumer::commit`].
    pub async fn commit_offsets(
        &mut self,
        offsets: BTreeMap<TopicPartition, CommittedOffset>,
    ) -> Result<(), Error> {
        let coordinator = self.coordinator()?.clone();
        if offsets.is_empty() {
            return Ok(());
        }
        self.finish_commit().await?;
        commit_all(coordinator, self.identity(), self.instance_id(), offsets.clone()).await?;
        self.commits.note(&offsets);
        Ok(())
    }

    /// What the group has committed of these partitions; those without are left out.
    ///
    /// ```no_run
    /// # async fn example(consumer: synod_client::consumer::Consumer)
    /// # -> Result<(), synod_client::Error> {
    /// let mine: Vec<_> = consumer.assignment().cloned().collect();
    /// for (partition, committed) in consumer.committed(&mine).await? {
    ///     println!("{partition}: {}", committed.offset);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] without a group; what kept the coordinator from answering.
    pub async fn committed(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>, Error> {
        offsets::fetch(self.coordinator()?, Some(partitions)).await
    }

    /// Places that were not committed yet: of these partitions, or of all.
    pub(super) fn uncommitted(
        &self,
        only: Option<&BTreeSet<TopicPartition>>,
    ) -> BTreeMap<TopicPartition, CommittedOffset> {
        let mut offsets = BTreeMap::new();
        for (partition, position) in &self.partitions {
            let is_known = !position.is_starting && position.offset >= 0;
            if !is_known || only.is_some_and(|only| !only.contains(partition)) {
                continue;
            }
            let Ok(offset) = self.position(partition) else { continue };
            if self.commits.done.get(partition) != Some(&offset) {
                offsets.insert(partition.clone(), position.to_commit(offset));
            }
        }
        offsets
    }

    /// Commits when it is time. Returns when it is next.
    pub(super) fn commit_by_time(&mut self, now: Instant) -> Option<Instant> {
        let interval = self.config.group.as_ref()?.auto_commit?;
        let next = *self.commits.next.get_or_insert(now + interval);
        if now < next {
            return Some(next);
        }
        self.commits.next = Some(now + interval);
        if !self.commits.is_under_way {
            let offsets = self.uncommitted(None);
            if !offsets.is_empty() {
                self.start_commit(offsets, false);
            }
        }
        self.commits.next
    }

    pub(super) fn start_commit(
        &mut self,
        offsets: BTreeMap<TopicPartition, CommittedOffset>,
        last: bool,
    ) {
        let Some(coordinator) = self.coordinator.clone() else { return };
        let (identity, instance_id) = (self.identity(), self.instance_id());
        self.commits.is_under_way = true;
        self.under_way.push(Box::pin(async move {
            let done = commit_all(coordinator, identity, instance_id, offsets.clone()).await;
            Outcome::Committed(offsets, last, done)
        }));
    }

    /// A commit of the consumer's own came back. What failed is tried again the next time.
    pub(super) fn handle_committed(
        &mut self,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
        last: bool,
        done: Result<(), Error>,
    ) {
        self.commits.is_under_way = false;
        match done {
            Ok(()) => self.commits.note(offsets),
            Err(error) => tracing::warn!(%error, "offsets are not committed"),
        }
        if last {
            self.handle_let_go();
        }
    }

    pub(super) fn coordinator(&self) -> Result<&Coordinator, Error> {
        self.coordinator.as_ref().ok_or_else(no_group)
    }

    fn instance_id(&self) -> Option<Arc<str>> {
        self.config.group.as_ref()?.instance_id.clone()
    }

    fn identity(&self) -> Identity {
        match &self.membership {
            Some(membership) => membership.shared.identity(),
            None => Shared::new().identity(),
        }
    }
}

impl Commits {
    fn note(&mut self, offsets: &BTreeMap<TopicPartition, CommittedOffset>) {
        let each =
            offsets.iter().map(|(partition, committed)| (partition.clone(), committed.offset));
        self.done.extend(each);
    }
}

pub(super) fn no_group() -> Error {
    Error::config("the consumer has no group: name one in its configuration")
}

async fn commit_all(
    coordinator: Coordinator,
    identity: Identity,
    instance_id: Option<Arc<str>>,
    offsets: BTreeMap<TopicPartition, CommittedOffset>,
) -> Result<(), Error> {
    let results =
        offsets::commit(&coordinator, &identity, instance_id.as_deref(), &offsets).await?;
    results.into_values().collect()
}
