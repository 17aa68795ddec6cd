//! Administration: topics, settings, records, the cluster itself.
//!
//! ```no_run
//! use synod_client::{ClientConfig, Cluster};
//! use synod_client::admin::{Admin, NewTopic};
//!
//! # async fn example() -> Result<(), synod_client::Error> {
//! let admin = Admin::new(Cluster::connect(ClientConfig::new(["127.0.0.1:9092"])).await?);
//! admin.create_topic(NewTopic::new("orders").partitions(3)).await?;
//! for topic in admin.topics().await? {
//!     println!("{} has {} partitions", topic.name, topic.partitions.len());
//! }
//! # Ok(())
//! # }
//! ```

mod cluster;
mod configs;
mod groups;
mod leaders;
mod quorum;
mod records;
mod topics;

use synod_wire::Request;
use tokio::time::sleep;

use crate::{Cluster, Error};

pub use cluster::{ClusterDescription, LogDir, ReplicaSize};
pub use configs::{ConfigChange, ConfigEntry, ConfigResource, ConfigSource};
pub use groups::{GroupDescription, GroupMember, ListedGroup};
pub use quorum::{Ballot, RegisteredBroker, ReplicaRole, ReplicaStanding};
pub use topics::{CreatedTopic, NewTopic};

/// Administers a cluster. Cheap to clone.
///
/// Operations that only read are retried for the whole operation time-out. Those that change
/// something are retried only while it is certain that they did nothing: after an
/// [`Error::Timeout`] or [`Error::Disconnected`] look first what happened.
///
/// ```no_run
/// use synod_client::admin::{Admin, NewTopic};
/// # async fn example(cluster: synod_client::Cluster) -> Result<(), synod_client::Error> {
/// let admin = Admin::new(cluster);
/// admin.create_topic(NewTopic::new("orders").partitions(6)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Admin {
    cluster: Cluster,
}

impl Admin {
    /// Administers this cluster.
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }

    /// The cluster that is administered.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Milliseconds that a broker may take to carry out a change.
    fn timeout_ms(&self) -> i32 {
        let timeout = self.cluster.config().request_timeout;
        // The broker gives up a little before us, so that its answer says why.
        i32::try_from((timeout - timeout / 10).as_millis()).unwrap_or(i32::MAX)
    }

    /// Sends a change to the controller; `check` finds errors in the answer that concern the whole.
    async fn change<R: Request>(
        &self,
        request: &R,
        check: impl Fn(&R::Response) -> Result<(), Error>,
    ) -> Result<R::Response, Error> {
        let attempt = || async {
            let connection = self.cluster.controller().await?;
            let controller = self.cluster.metadata().controller();
            let answer = tokio::select! {
                answer = connection.send(request) => answer,
                () = self.lost(controller) => Err(Error::Disconnected {
                    address: connection.address().into(),
                    reason: "it keeps silent and has left the cluster".into(),
                }),
            };
            match answer {
                Ok(response) => {
                    check(&response)?;
                    Ok(Ok(response))
                }
                // It may have been carried out: not to be repeated blindly.
                Err(error) => Ok(Err(error)),
            }
        };
        self.cluster.retry(attempt).await?
    }

    /// Returns once the cluster no longer counts `controller` among its live brokers. Asks only
    /// when an answer has been long in coming. That another broker is named as controller says
    /// nothing: Apache Kafka names any.
    async fn lost(&self, controller: Option<i32>) {
        let mut pause = self.cluster.config().suspect_after;
        loop {
            sleep(pause).await;
            // If nobody answers now, the request under way is all there is.
            let known = self.cluster.refresh_metadata().await;
            if let (Ok(known), Some(id)) = (known, controller)
                && known.broker(id).is_none()
            {
                return;
            }
            pause = pause.saturating_mul(2);
        }
    }

    /// Sends a question to any broker.
    async fn ask<R: Request>(
        &self,
        request: &R,
        check: impl Fn(&R::Response) -> Result<(), Error>,
    ) -> Result<R::Response, Error> {
        let attempt = || async {
            let response = self.cluster.ask_any(request).await?;
            check(&response)?;
            Ok(response)
        };
        self.cluster.retry(attempt).await
    }
}

/// The only item of an answer about one thing.
fn only<T>(items: Vec<T>, what: &str) -> Result<T, Error> {
    items.into_iter().next().ok_or_else(|| {
        let code = synod_wire::ErrorCode::UNKNOWN_SERVER_ERROR;
        Error::broker(code, what, Some("the broker's answer is empty"))
    })
}
