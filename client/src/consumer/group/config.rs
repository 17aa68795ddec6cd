//! How a member of a group behaves.

use std::sync::Arc;
use std::time::Duration;

use super::assignor::Assignor;
use crate::Error;

/// Settings of a consumer's membership in a group.
///
/// ```
/// use synod_client::consumer::{Assignor, ConsumerConfig, GroupConfig};
/// let group = GroupConfig::new("billing").assignors([Assignor::CooperativeSticky]);
/// let config = ConsumerConfig::default().group(group);
/// ```
#[derive(Debug, Clone)]
pub struct GroupConfig {
    pub(crate) id: Arc<str>,
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) assignors: Vec<Assignor>,
    pub(crate) session_timeout: Duration,
    pub(crate) heartbeat_interval: Duration,
    pub(crate) max_poll_interval: Duration,
    pub(crate) auto_commit: Option<Duration>,
}

impl GroupConfig {
    /// A member of the group with this id.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self {
            id: id.into(),
            instance_id: None,
            assignors: vec![Assignor::Range, Assignor::CooperativeSticky],
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            auto_commit: Some(Duration::from_secs(5)),
        }
    }

    /// A static id: a member that comes back under it within the session time-out gets what it had,
    /// and nobody else is disturbed. Default none.
    pub fn instance_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.instance_id = Some(id.into());
        self
    }

    /// How partitions may be spread, best first. The group takes one that all its members know;
    /// partitions are kept through a rebalance only if all of these are cooperative. Default range,
    /// then cooperative-sticky, as in the Java client.
    pub fn assignors(mut self, assignors: impl IntoIterator<Item = Assignor>) -> Self {
        self.assignors = assignors.into_iter().collect();
        self
    }

    /// How long the group waits for a sign of life. Default 45 s.
    pub fn session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// Time between two signs of life. Default 3 s.
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.heartbeat_interval = interval;
        self
    }

    /// Longest time between two polls; a consumer that is later leaves the group, so that others
    /// read its partitions. Also how long the group waits for it when it changes. Default 5 min.
    pub fn max_poll_interval(mut self, interval: Duration) -> Self {
        self.max_poll_interval = interval;
        self
    }

    /// How often the places of what was handed out are committed while polling; `None` leaves that
    /// to the caller. Default 5 s.
    pub fn auto_commit(mut self, interval: Option<Duration>) -> Self {
        self.auto_commit = interval;
        self
    }

    /// Whether partitions are kept while the group changes.
    pub(crate) fn is_cooperative(&self) -> bool {
        self.assignors.iter().all(|assignor| assignor.is_cooperative())
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        if self.id.is_empty() || self.assignors.is_empty() {
            return Err(Error::config("a group needs an id and at least one assignor"));
        }
        if self.heartbeat_interval.is_zero() || self.heartbeat_interval >= self.session_timeout {
            return Err(Error::config("heartbeat_interval must be shorter than session_timeout"));
        }
        if self.max_poll_interval.is_zero() {
            return Err(Error::config("max_poll_interval must not be 0"));
        }
        Ok(())
    }
}
