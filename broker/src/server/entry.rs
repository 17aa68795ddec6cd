//! The first part of a start: a directory, sockets, and the cluster that this broker is part of.
//!
//! Nothing here reads or writes what the broker has promised. That begins once it is durable of
//! which cluster the directory is.

use std::sync::Arc;

use synod_log::data_dir::{ClaimedDir, DataDir};
use synod_log::identity::{DirectoryId, Membership};
use synod_log::os::OsStorage;

use super::ServeError;
use super::listeners::Listeners;
use crate::config::{Cluster, Config};
use crate::http::{Health, HttpServer, Readiness};
use crate::metadata::TopicId;
use crate::metadata::ids::random_id;
use crate::metrics::Metrics;
use crate::peers::{Incarnation, Own, Peers};

/// A broker that holds its directory and its sockets, and answers other brokers and supervisors.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) config: Arc<Config>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Health,
    pub(super) listeners: Listeners,
    pub(super) http: HttpServer,
    pub(super) peers: Peers,
    pub(super) incarnation: Incarnation,
    pub(super) claimed: ClaimedDir,
}

impl Entry {
    /// Takes the directory, then the sockets: a second broker on a directory should hear of that,
    /// not of ports.
    ///
    /// # Errors
    /// The directory is not this broker's, or a socket is taken.
    pub(super) fn open(config: Config) -> Result<Entry, ServeError> {
        let config = Arc::new(config);
        let metrics = Arc::new(Metrics::new());
        let health = Health::new();
        let directory = DirectoryId(random_id()?);
        let claimed =
            DataDir::claim(Arc::new(OsStorage), &config.data_dir, config.node_id, directory)?;
        let cluster = config.cluster.clone().filter(|cluster| cluster.voters().len() > 1);
        check_membership(&claimed, cluster.as_ref())?;
        let listeners = Listeners::bind(&config)?;
        let http = HttpServer::start(&config.http_listen, metrics.clone(), health.clone())
            .map_err(|source| ServeError::Listen {
                address: config.http_listen.to_string(),
                setting: "http_listen",
                source,
            })?;
        let random = TopicId::random()?.bytes();
        let incarnation = Incarnation { start: claimed.start(), random };
        let own = Own {
            node: config.node_id,
            directory: claimed.directory(),
            incarnation,
            cluster,
            membership: claimed.membership().cloned(),
        };
        let peers = Peers::new(own, metrics.clone());
        let socket = listeners.peer.try_clone()?;
        peers.listen(tokio::net::TcpListener::from_std(socket)?);
        Ok(Entry { config, metrics, health, listeners, http, peers, incarnation, claimed })
    }

    /// Makes this broker durably a part of its cluster; waits for all voters if that is still to
    /// form. May be cancelled.
    ///
    /// # Errors
    /// The other brokers and this one do not fit together.
    pub(super) async fn join_cluster(&mut self) -> Result<(), ServeError> {
        if self.config.voter_count() == 1 || self.claimed.membership().is_some() {
            return Ok(());
        }
        let report = |text| self.health.set(Readiness::Starting(text));
        let formed = self.peers.form(&report).await;
        let membership = formed.map_err(|error| ServeError::Cluster(error.to_string()))?;
        tracing::info!("the cluster is {}", describe(&membership));
        self.claimed.join(membership.clone())?;
        self.peers.join(&membership);
        Ok(())
    }
}

/// A directory is of one cluster for ever, and a cluster has the voters that formed it.
fn check_membership(claimed: &ClaimedDir, cluster: Option<&Cluster>) -> Result<(), ServeError> {
    let reason = match (cluster, claimed.membership()) {
        (None, None) => return Ok(()),
        (None, Some(membership)) => format!(
            "it belongs to a cluster of several brokers ({}); start it with its cluster list, or \
             with another directory",
            describe(membership)
        ),
        (Some(_), None) if claimed.is_alone() => {
            "it holds the data of a broker that is its own cluster and cannot become part of \
             another; start it without a cluster list, or with an empty directory"
                .to_owned()
        }
        (Some(_), None) => return Ok(()),
        (Some(cluster), Some(membership)) => {
            let nodes = membership.members.iter().map(|member| member.node_id);
            if nodes.eq(cluster.voters().iter().map(|voter| voter.node_id)) {
                return Ok(());
            }
            format!(
                "it belongs to a cluster of other nodes ({}) than the cluster list names \
                 ({cluster}); correct the list",
                describe(membership)
            )
        }
    };
    Err(ServeError::Membership { path: claimed.path().to_owned(), reason })
}

fn describe(membership: &Membership) -> String {
    let nodes: Vec<String> =
        membership.members.iter().map(|member| member.node_id.to_string()).collect();
    format!("id {}, nodes {}", membership.cluster_id, nodes.join(", "))
}
