//! The task behind a member: joins, assigns if it is the leader, and gives signs of life.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use synod_wire::messages::heartbeat::HeartbeatRequest;
use synod_wire::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use synod_wire::{ErrorCode, Str};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::config::GroupConfig;
use super::joining::Joining;
use crate::cluster::TopicPartition;
use crate::coordinator::Coordinator;
use crate::{Connection, Error};

/// Which version of LeaveGroup names several members.
const LEAVE_MANY_VERSION: i16 = 3;

/// What the consumer wants.
#[derive(Debug)]
pub(crate) enum Command {
    /// Join, or join again.
    Join(Wish),
    /// Leave, then say so.
    Leave(oneshot::Sender<()>),
}

/// With what a member joins.
#[derive(Debug)]
pub(crate) struct Wish {
    /// News that follow from it carry the same number.
    pub(crate) number: u64,
    pub(crate) topics: BTreeSet<Arc<str>>,
    /// What it holds on to meanwhile.
    pub(crate) owned: BTreeSet<TopicPartition>,
    /// What it had last, perhaps let go.
    pub(crate) previous: BTreeSet<TopicPartition>,
}

/// What the consumer must know.
#[derive(Debug)]
pub(crate) enum News {
    /// The member belongs to a new generation and has these partitions.
    Assigned { partitions: BTreeSet<TopicPartition>, partition_counts: Option<Counts> },
    /// The group changes: let go what has to be let go, and join again.
    Rebalance,
    /// The group went on without this member; what it had belongs to others.
    Lost(Error),
    /// Joining can never succeed.
    Failed(Error),
}

/// Numbers of partitions that the leader's assignment is based on.
pub(crate) type Counts = std::collections::BTreeMap<Arc<str>, i32>;

/// Who the member is, as the coordinator knows it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identity {
    pub(crate) member_id: Str,
    /// -1: in no generation.
    pub(crate) generation: i32,
}

/// What the task and the consumer share.
#[derive(Debug)]
pub(crate) struct Shared {
    identity: Mutex<Identity>,
    last_poll: Mutex<Instant>,
}

impl Shared {
    pub(crate) fn new() -> Self {
        let identity = Identity { member_id: Str::EMPTY, generation: -1 };
        Self { identity: Mutex::new(identity), last_poll: Mutex::new(Instant::now()) }
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_identity(&self, identity: Identity) {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = identity;
    }

    /// The consumer is alive and polls.
    pub(crate) fn polled(&self) {
        *self.last_poll.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last_poll(&self) -> Instant {
        *self.last_poll.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct MemberTask {
    pub(crate) config: GroupConfig,
    pub(crate) coordinator: Coordinator,
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) news: mpsc::Sender<(u64, News)>,
    /// Number of the wish that news follow from.
    pub(crate) number: u64,
}

impl MemberTask {
    /// Runs until it has left, or until the consumer is gone.
    pub(crate) async fn run(mut self) {
        let mut next = self.commands.recv().await;
        loop {
            next = match next {
                None => return self.leave("the consumer was dropped").await,
                Some(Command::Leave(done)) => {
                    self.leave("the consumer was closed").await;
                    // Whoever waited may have given up.
                    let _ = done.send(());
                    return;
                }
                Some(Command::Join(wish)) => self.join(wish).await,
            };
        }
    }

    async fn tell(&self, news: News) {
        // A consumer that is gone needs no news.
        let _ = self.news.send((self.number, news)).await;
    }

    /// Joins and stays a member; returns the command that ends that.
    async fn join(&mut self, wish: Wish) -> Option<Command> {
        self.number = wish.number;
        let joining = Joining {
            config: &self.config,
            coordinator: &self.coordinator,
            shared: &self.shared,
            wish: &wish,
        };
        let joined = tokio::select! {
            joined = joining.run() => joined,
            command = self.commands.recv() => return command,
        };
        match joined {
            Ok(joined) => {
                let (partitions, partition_counts) = (joined.partitions, joined.partition_counts);
                self.tell(News::Assigned { partitions, partition_counts }).await;
                self.stay().await
            }
            Err(error) => {
                self.tell(News::Failed(error)).await;
                self.commands.recv().await
            }
        }
    }

    /// Gives signs of life until a command comes.
    async fn stay(&mut self) -> Option<Command> {
        let mut has_told = false;
        let mut heard = Instant::now();
        let mut next = heard + self.config.heartbeat_interval;
        loop {
            tokio::select! {
                command = self.commands.recv() => return command,
                () = sleep_until(next) => {}
            }
            if self.shared.last_poll().elapsed() > self.config.max_poll_interval {
                self.leave("it polls too rarely").await;
                let millis = self.config.max_poll_interval.as_millis();
                self.tell(News::Lost(Error::config(format!(
                    "no poll for more than max_poll_interval ({millis} ms): left the group"
                ))))
                .await;
                return self.commands.recv().await;
            }
            let now = Instant::now();
            next = now + self.config.heartbeat_interval;
            // Short enough to be waited for: it gives up on a silent coordinator.
            let beat = self.beat().await;
            match beat {
                Ok(()) => heard = Instant::now(),
                Err(error) => match error.code() {
                    Some(ErrorCode::REBALANCE_IN_PROGRESS) => {
                        heard = Instant::now();
                        if !has_told {
                            has_told = true;
                            self.tell(News::Rebalance).await;
                        }
                    }
                    Some(
                        ErrorCode::UNKNOWN_MEMBER_ID
                        | ErrorCode::ILLEGAL_GENERATION
                        | ErrorCode::FENCED_INSTANCE_ID,
                    ) => return self.lose(error).await,
                    _ if !error.is_retriable() => return self.lose(error).await,
                    _ if heard.elapsed() > self.config.session_timeout => {
                        return self.lose(error).await;
                    }
                    // It may have moved: look for it at once, then with pauses.
                    _ => next = now + self.config.heartbeat_interval / 10,
                },
            }
        }
    }

    /// The group has forgotten this member.
    async fn lose(&mut self, error: Error) -> Option<Command> {
        let mut identity = self.shared.identity();
        if error.code() != Some(ErrorCode::ILLEGAL_GENERATION) {
            identity.member_id = Str::EMPTY;
        }
        identity.generation = -1;
        self.shared.set_identity(identity);
        let news = match error.code() {
            Some(ErrorCode::FENCED_INSTANCE_ID) => News::Failed(error),
            _ => News::Lost(error),
        };
        self.tell(news).await;
        self.commands.recv().await
    }

    async fn beat(&self) -> Result<(), Error> {
        let identity = self.shared.identity();
        let request = HeartbeatRequest {
            group_id: Str::from(&*self.config.id),
            generation_id: identity.generation,
            member_id: identity.member_id,
            group_instance_id: self.config.instance_id.as_deref().map(Str::from),
            ..HeartbeatRequest::default()
        };
        let context = || format!("group {}", self.config.id);
        let patience = self.patience();
        let beat = self.coordinator.attempt(
            &request,
            |response| Error::check(response.error_code, context, None),
            patience,
        );
        let result = beat.await.map(drop);
        if let Err(error) = &result {
            self.coordinator.learn(error);
        }
        result
    }

    fn patience(&self) -> Duration {
        let suspect_after = self.coordinator.cluster().config().suspect_after;
        suspect_after.saturating_mul(4).min(self.config.session_timeout / 3)
    }

    /// Says goodbye, once: the session time-out does the same later. A static member only goes.
    async fn leave(&self, reason: &str) {
        let identity = self.shared.identity();
        self.shared.set_identity(Identity { member_id: Str::EMPTY, generation: -1 });
        if identity.member_id.is_empty() || self.config.instance_id.is_some() {
            return;
        }
        let leave = async {
            let (_, connection) = self.coordinator.connect().await?;
            let request = leave_request(&self.config, &identity, &connection, reason)?;
            connection.send(&request).await
        };
        if tokio::time::timeout(self.patience(), leave).await.is_err() {
            tracing::debug!(group = %self.config.id, "left without an answer");
        }
    }
}

fn leave_request(
    config: &GroupConfig,
    identity: &Identity,
    connection: &Connection,
    reason: &str,
) -> Result<LeaveGroupRequest, Error> {
    let group_id = Str::from(&*config.id);
    let member_id = identity.member_id.clone();
    if connection.version::<LeaveGroupRequest>()? < LEAVE_MANY_VERSION {
        return Ok(LeaveGroupRequest { group_id, member_id, ..LeaveGroupRequest::default() });
    }
    let member =
        MemberIdentity { member_id, reason: Some(reason.into()), ..MemberIdentity::default() };
    Ok(LeaveGroupRequest { group_id, members: vec![member], ..LeaveGroupRequest::default() })
}
