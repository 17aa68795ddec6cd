//! Subscribing to topics by the shape of their names.

use std::collections::BTreeSet;
use std::sync::Arc;

use regex_lite::Regex;
use tokio::time::Instant;

use super::Consumer;
use super::fetching::Outcome;
use crate::cluster::Metadata;
use crate::{Cluster, Error};

/// A subscription to all topics whose names match.
pub(super) struct Pattern {
    regex: Regex,
    matched: BTreeSet<Arc<str>>,
    /// When the cluster is next asked for its topics; `None` while it is being asked.
    look_at: Option<Instant>,
}

impl Pattern {
    /// The topics of the cluster that match; not those that belong to the cluster itself.
    fn matching(&self, metadata: &Metadata) -> BTreeSet<Arc<str>> {
        let wanted = metadata.topics().filter(|topic| !topic.is_internal);
        let wanted = wanted.filter(|topic| self.regex.is_match(&topic.name));
        wanted.map(|topic| topic.name.clone()).collect()
    }
}

impl Consumer {
    /// As [`Consumer::subscribe`], to all topics whose whole names match a regular expression.
    /// Topics that come or go later are noticed within the metadata's greatest age.
    ///
    /// ```no_run
    /// # async fn example(mut consumer: synod_client::consumer::Consumer)
    /// # -> Result<(), synod_client::Error> {
    /// consumer.subscribe_pattern("orders-[a-z]{2}").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] without a group or for a malformed expression; what kept the cluster from
    /// telling its topics. The subscription is then as before.
    pub async fn subscribe_pattern(&mut self, pattern: &str) -> Result<(), Error> {
        let regex = Regex::new(&format!("^(?:{pattern})$"));
        let regex = regex.map_err(|error| Error::config(format!("'{pattern}': {error}")))?;
        let metadata = self.cluster.all_topics().await?;
        let mut pattern = Pattern { regex, matched: BTreeSet::new(), look_at: None };
        pattern.matched = pattern.matching(&metadata);
        pattern.look_at = Some(next_look(&self.cluster));
        self.subscribe_to(pattern.matched.clone())?;
        self.pattern = Some(pattern);
        Ok(())
    }

    /// Asks for the cluster's topics when it is time. Returns when it is next.
    pub(super) fn look_for_topics(&mut self, now: Instant) -> Option<Instant> {
        let pattern = self.pattern.as_mut()?;
        let at = pattern.look_at?;
        if now < at {
            return Some(at);
        }
        pattern.look_at = None;
        let cluster = self.cluster.clone();
        self.under_way.push(Box::pin(async move { Outcome::Listed(cluster.all_topics().await) }));
        None
    }

    /// The cluster's topics are known anew, or not.
    pub(super) fn handle_listed(&mut self, listed: Result<Arc<Metadata>, Error>) {
        let Some(pattern) = &mut self.pattern else { return };
        pattern.look_at = Some(next_look(&self.cluster));
        let matched = match listed {
            Ok(metadata) => pattern.matching(&metadata),
            Err(error) => return tracing::debug!(%error, "the topics are not known anew"),
        };
        if matched != pattern.matched {
            pattern.matched.clone_from(&matched);
            if let Err(error) = self.subscribe_to(matched) {
                // It was subscribed before, so there is a group.
                tracing::error!(%error, "cannot subscribe anew");
            }
        }
    }
}

fn next_look(cluster: &Cluster) -> Instant {
    Instant::now() + cluster.config().metadata_max_age
}
