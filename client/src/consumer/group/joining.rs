//! Joining a group: from JoinGroup to the assignment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use synod_wire::consumer_protocol::Assignment;
use synod_wire::messages::join_group::{
    JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse,
};
use synod_wire::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use synod_wire::{ErrorCode, Request, Str};
use tokio::time::sleep;

use super::assignor::{self, Assignor, Member};
use super::config::GroupConfig;
use super::member::{Counts, Identity, Shared, Wish};
use crate::Error;
use crate::cluster::TopicPartition;
use crate::coordinator::Coordinator;

/// The kind of group.
const PROTOCOL_TYPE: &str = "consumer";

/// An answer may come this much later than the coordinator may wait for the other members.
const GRACE: Duration = Duration::from_secs(5);

/// A member's way into a generation. Dropped at any point it has done no harm: the next one starts
/// over.
pub(super) struct Joining<'a> {
    pub(super) config: &'a GroupConfig,
    pub(super) coordinator: &'a Coordinator,
    pub(super) shared: &'a Shared,
    pub(super) wish: &'a Wish,
}

/// What joining leads to.
pub(super) struct Joined {
    pub(super) partitions: BTreeSet<TopicPartition>,
    /// What the leader's assignment is based on; `None` for other members.
    pub(super) partition_counts: Option<Counts>,
}

impl Joining<'_> {
    /// Joins, however long it takes.
    ///
    /// # Errors
    /// What no repetition can change.
    pub(super) async fn run(&self) -> Result<Joined, Error> {
        let mut backoff = self.coordinator.cluster().backoff();
        // What it was assigned is owned in the generation in which that happened.
        let owned_since = self.shared.identity().generation;
        loop {
            let error = match self.attempt(owned_since).await {
                Ok(joined) => return Ok(joined),
                Err(error) => error,
            };
            tracing::debug!(group = %self.config.id, %error, "joining again");
            let mut identity = self.shared.identity();
            match error.code() {
                // At once, under the id that came with it or in the generation that forms.
                Some(ErrorCode::MEMBER_ID_REQUIRED | ErrorCode::REBALANCE_IN_PROGRESS) => continue,
                Some(ErrorCode::UNKNOWN_MEMBER_ID) => {
                    identity = Identity { member_id: Str::EMPTY, generation: -1 };
                }
                Some(ErrorCode::ILLEGAL_GENERATION) => identity.generation = -1,
                _ if error.is_retriable() => self.coordinator.learn(&error),
                _ => return Err(error),
            }
            self.shared.set_identity(identity);
            sleep(backoff.next()).await;
        }
    }

    async fn attempt(&self, owned_since: i32) -> Result<Joined, Error> {
        let joined = self.join(owned_since).await?;
        let context = || format!("group {}", self.config.id);
        let protocol = joined.protocol_name.clone().unwrap_or(Str::EMPTY);
        let assignor = Assignor::from_name(&protocol).ok_or_else(|| {
            let code = ErrorCode::INCONSISTENT_GROUP_PROTOCOL;
            Error::broker(code, context(), Some("the group chose a protocol that was not offered"))
        })?;
        let is_leader = joined.leader == joined.member_id && !joined.skip_assignment;
        let (assignments, partition_counts) = match is_leader {
            true => self.assign(assignor, &joined).await?,
            false => (Vec::new(), None),
        };
        let request = SyncGroupRequest {
            group_id: Str::from(&*self.config.id),
            generation_id: joined.generation_id,
            member_id: joined.member_id,
            group_instance_id: self.config.instance_id.as_deref().map(Str::from),
            protocol_type: Some(PROTOCOL_TYPE.into()),
            protocol_name: Some(protocol),
            assignments,
            ..SyncGroupRequest::default()
        };
        let synced = self.patiently(&request).await?;
        Error::check(synced.error_code, context, None)?;
        let mut partitions = BTreeSet::new();
        // Some leaders have nothing to say to a member that gets nothing.
        if !synced.assignment.is_empty() {
            let assignment = Assignment::decode(synced.assignment).map_err(|error| {
                Error::config(format!("{}: the leader's assignment: {error}", context()))
            })?;
            partitions = assignor::partitions(&assignment.assigned_partitions);
        }
        Ok(Joined { partitions, partition_counts })
    }

    async fn join(&self, owned_since: i32) -> Result<JoinGroupResponse, Error> {
        let mut protocols = Vec::new();
        for assignor in &self.config.assignors {
            let wish = self.wish;
            let had = if assignor.is_cooperative() { &wish.owned } else { &wish.previous };
            let subscription = assignor.subscription(&wish.topics, had, owned_since);
            let metadata =
                subscription.encode().map_err(|error| Error::config(error.to_string()))?;
            let name = assignor.name().into();
            protocols.push(JoinGroupRequestProtocol {
                name,
                metadata,
                ..JoinGroupRequestProtocol::default()
            });
        }
        let request = JoinGroupRequest {
            group_id: Str::from(&*self.config.id),
            session_timeout_ms: millis(self.config.session_timeout),
            rebalance_timeout_ms: millis(self.config.max_poll_interval),
            member_id: self.shared.identity().member_id,
            group_instance_id: self.config.instance_id.as_deref().map(Str::from),
            protocol_type: PROTOCOL_TYPE.into(),
            protocols,
            ..JoinGroupRequest::default()
        };
        let joined = self.patiently(&request).await?;
        if !joined.member_id.is_empty() {
            let generation = match joined.error_code {
                ErrorCode::NONE => joined.generation_id,
                _ => -1,
            };
            self.shared.set_identity(Identity { member_id: joined.member_id.clone(), generation });
        }
        Error::check(joined.error_code, || format!("group {}", self.config.id), None)?;
        Ok(joined)
    }

    /// Sends a request that the coordinator may keep until the other members have come. While it
    /// waits, looks now and then whether that broker still is the coordinator.
    async fn patiently<R: Request>(&self, request: &R) -> Result<R::Response, Error> {
        let (id, connection) = self.coordinator.connect().await?;
        let client = self.coordinator.cluster().config();
        let within = self.config.max_poll_interval.max(client.request_timeout) + GRACE;
        let answer = connection.start(request, within).await?;
        let moved = async {
            let mut pause = client.suspect_after.saturating_mul(4);
            loop {
                sleep(pause).await;
                if self.coordinator.find().await.is_ok_and(|now| now != id) {
                    return;
                }
                pause = pause.saturating_mul(2).min(GRACE);
            }
        };
        tokio::select! {
            answer = answer => answer,
            () = moved => Err(Error::broker(
                ErrorCode::NOT_COORDINATOR,
                format!("group {}", self.config.id),
                None,
            )),
        }
    }

    /// Spreads the partitions over all members, as their leader.
    async fn assign(
        &self,
        assignor: Assignor,
        joined: &JoinGroupResponse,
    ) -> Result<(Vec<SyncGroupRequestAssignment>, Option<Counts>), Error> {
        let mut members = Vec::new();
        for listed in &joined.members {
            let (id, instance_id) = (listed.member_id.clone(), listed.group_instance_id.clone());
            match Member::decode(id, instance_id, listed.metadata.clone()) {
                Ok(member) => members.push(member),
                Err(error) => {
                    // It gets nothing, and the others are not held up.
                    let member = &listed.member_id;
                    tracing::warn!(group = %self.config.id, %member, %error, "bad subscription");
                }
            }
        }
        let topics: BTreeSet<_> = members.iter().flat_map(|member| &member.topics).collect();
        let topics: Vec<_> = topics.into_iter().cloned().collect();
        let known = self.coordinator.cluster().partition_counts(&topics).await?;
        let counts: BTreeMap<_, _> = known.into_iter().collect();
        let assigned = assignor.assign(&members, &counts);
        let mut assignments = Vec::new();
        for (member, partitions) in members.iter().zip(&assigned) {
            let assignment = Assignment {
                assigned_partitions: assignor::by_topic(partitions),
                user_data: None,
                ..Assignment::default()
            };
            let assignment: Bytes =
                assignment.encode().map_err(|error| Error::config(error.to_string()))?;
            assignments.push(SyncGroupRequestAssignment {
                member_id: member.id.clone(),
                assignment,
                ..SyncGroupRequestAssignment::default()
            });
        }
        Ok((assignments, Some(counts)))
    }
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
