//! The broker that coordinates one group.

use std::sync::{Arc, Mutex, PoisonError};

use synod_wire::messages::find_coordinator::FindCoordinatorRequest;
use synod_wire::{ErrorCode, Request, Str};
use tokio::time::{Instant, sleep, timeout};

use crate::cluster::Channel;
use crate::{Cluster, Connection, Error};

/// The way to a group's coordinator. Cheap to clone; clones share what they learn.
#[derive(Debug, Clone)]
pub(crate) struct Coordinator {
    cluster: Cluster,
    channel: Channel,
    group: Arc<str>,
    /// The broker it was last, until something says otherwise.
    known: Arc<Mutex<Option<i32>>>,
}

impl Coordinator {
    pub(crate) fn new(cluster: Cluster, group: Arc<str>) -> Self {
        Self { channel: cluster.channel(), cluster, group, known: Arc::default() }
    }

    pub(crate) fn group(&self) -> &Arc<str> {
        &self.group
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// A connection to the coordinator, with its broker's id.
    pub(crate) async fn connect(&self) -> Result<(i32, Connection), Error> {
        let known = *self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let id = match known {
            Some(id) => id,
            None => self.find().await?,
        };
        match self.channel.broker(id).await {
            Ok(connection) => Ok((id, connection)),
            Err(error) => {
                self.forget();
                Err(error)
            }
        }
    }

    /// Asks the cluster who the coordinator is.
    pub(crate) async fn find(&self) -> Result<i32, Error> {
        let key = Str::from(&*self.group);
        let request = FindCoordinatorRequest {
            key: key.clone(),
            coordinator_keys: vec![key],
            ..FindCoordinatorRequest::default()
        };
        let response = self.cluster.ask_any(&request).await?;
        let (code, message, id) = match response.coordinators.first() {
            Some(found) => (found.error_code, found.error_message.clone(), found.node_id),
            None => (response.error_code, response.error_message, response.node_id),
        };
        Error::check(code, || format!("group {}", self.group), message.as_deref())?;
        if self.cluster.metadata().broker(id).is_none() {
            self.cluster.refresh_metadata().await?;
        }
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(id);
        Ok(id)
    }

    /// It is elsewhere, or cannot be reached: the next request looks for it.
    pub(crate) fn forget(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Drops a connection that kept silent.
    pub(crate) fn discard(&self, id: i32, silent: &Connection) {
        self.forget();
        self.channel.discard(id, silent);
    }

    /// Looks after an error whether the coordinator must be found anew.
    pub(crate) fn learn(&self, error: &Error) {
        let is_here = matches!(error.code(), Some(code) if code != ErrorCode::NOT_COORDINATOR
            && code != ErrorCode::COORDINATOR_NOT_AVAILABLE);
        if !is_here {
            self.forget();
        }
    }

    /// Sends a request that is answered at once, and checks the answer. A coordinator that moved or
    /// hangs is looked for anew, until the operation time-out.
    ///
    /// # Errors
    /// What `check` finds and no repetition can change; else the error of the last attempt.
    pub(crate) async fn ask<R: Request>(
        &self,
        request: &R,
        check: impl Fn(&R::Response) -> Result<(), Error>,
    ) -> Result<R::Response, Error> {
        let config = self.cluster.config();
        let deadline = Instant::now() + config.operation_timeout;
        let mut backoff = self.cluster.backoff();
        let mut patience = config.suspect_after.saturating_mul(4);
        loop {
            patience = patience.min(config.request_timeout);
            let error = match self.attempt(request, &check, patience).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            patience = patience.saturating_mul(2);
            self.learn(&error);
            let pause = backoff.next();
            if !error.is_retriable() || Instant::now() + pause >= deadline {
                return Err(error);
            }
            tracing::debug!(group = %self.group, %error, "asking the coordinator again");
            sleep(pause).await;
        }
    }

    /// One attempt at [`Coordinator::ask`].
    pub(crate) async fn attempt<R: Request>(
        &self,
        request: &R,
        check: impl Fn(&R::Response) -> Result<(), Error>,
        patience: std::time::Duration,
    ) -> Result<R::Response, Error> {
        let (id, connection) = self.connect().await?;
        match timeout(patience, connection.send(request)).await {
            Ok(answer) => {
                let response = answer?;
                check(&response)?;
                Ok(response)
            }
            Err(_) => {
                self.discard(id, &connection);
                Err(Error::Timeout { address: connection.address().into(), after: patience })
            }
        }
    }
}
