//! This broker among its peers: what it says of itself, and what it has learnt of them by dialing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use synod_log::identity::Membership;
use synod_paxos::NodeId;
use tokio::sync::watch;

use super::complaints::Complaints;
use super::contacts::Contacts;
use super::dial::{DialError, probe};
use super::hello::{Hello, Introduction, Mismatch, Refusal};
use super::message::{Channel, Incarnation};
use crate::config::Voter;
use crate::metrics::Metrics;

/// After a dial that found nobody, the same address is not tried again for this long.
const VERIFY_PAUSE: Duration = Duration::from_millis(200);

/// What the parts of the peers' protocol share.
#[derive(Debug)]
pub(super) struct Circle {
    own: Mutex<Introduction>,
    others: Vec<Voter>,
    /// Who answered at each peer's address last.
    found: Mutex<BTreeMap<u32, Found>>,
    /// One dial per peer at a time finds out who is there.
    verifying: BTreeMap<u32, tokio::sync::Mutex<Option<Instant>>>,
    /// Peers that do not fit together with this broker.
    misfits: Mutex<BTreeMap<u32, String>>,
    trouble: watch::Sender<Option<String>>,
    pub(super) contacts: Arc<Contacts>,
    pub(super) complaints: Complaints,
    pub(super) metrics: Arc<Metrics>,
}

/// Whose process answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    directory: [u8; 16],
    incarnation: Incarnation,
}

impl Found {
    fn of(introduction: &Introduction) -> Found {
        Found { directory: introduction.directory, incarnation: introduction.incarnation }
    }
}

impl Circle {
    /// `others` are the voters of the cluster list without this broker.
    pub(super) fn new(own: Introduction, others: Vec<Voter>, metrics: Arc<Metrics>) -> Circle {
        let nodes = || others.iter().map(|voter| voter.node_id);
        Circle {
            own: Mutex::new(own),
            found: Mutex::default(),
            verifying: nodes().map(|node| (node, tokio::sync::Mutex::default())).collect(),
            misfits: Mutex::default(),
            trouble: watch::Sender::new(None),
            contacts: Arc::new(Contacts::new(nodes().map(NodeId))),
            complaints: Complaints::default(),
            metrics,
            others,
        }
    }

    pub(super) fn others(&self) -> &[Voter] {
        &self.others
    }

    /// What this broker says of itself now.
    pub(super) fn own(&self) -> Introduction {
        lock(&self.own).clone()
    }

    /// This broker's node id.
    pub(super) fn node(&self) -> u32 {
        lock(&self.own).node
    }

    /// Whether this broker belongs to a formed cluster.
    pub(super) fn is_formed(&self) -> bool {
        lock(&self.own).cluster.is_some()
    }

    /// From now on this broker introduces itself as a member.
    pub(super) fn join(&self, membership: &Membership) {
        lock(&self.own).join(membership);
    }

    /// From now on this broker tells whom it found where, itself included.
    pub(super) fn tell_found(&self, members: Vec<(u32, [u8; 16])>) {
        lock(&self.own).tell_found(members);
    }

    pub(super) fn hello(&self, to: u32, channel: Channel) -> Hello {
        Hello { from: self.own(), to, channel }
    }

    /// Notes who answered at a peer's address.
    pub(super) fn note_found(&self, from: &Introduction) {
        lock(&self.found).insert(from.node, Found::of(from));
    }

    /// Whether `from` is the process that answers at its node's address in the cluster list. Dials
    /// that address if somebody else, or nobody, was found there last.
    ///
    /// # Errors
    /// Somebody else is there, or nobody.
    pub(super) async fn verify(&self, from: &Introduction) -> Result<(), Refusal> {
        let claimed = Found::of(from);
        let is_found = || lock(&self.found).get(&from.node) == Some(&claimed);
        if is_found() {
            return Ok(());
        }
        let voter = self.others.iter().find(|voter| voter.node_id == from.node);
        let (Some(voter), Some(verifying)) = (voter, self.verifying.get(&from.node)) else {
            return Err(Refusal::Mismatch(Mismatch::Lists));
        };
        let mut failed = verifying.lock().await;
        if is_found() {
            return Ok(());
        }
        if failed.is_some_and(|at| at.elapsed() < VERIFY_PAUSE) {
            return Err(Refusal::Unverified);
        }
        let Ok(reply) = probe(&voter.address, self.own(), from.node).await else {
            *failed = Some(Instant::now());
            return Err(Refusal::Unverified);
        };
        *failed = None;
        if reply.from.node == from.node {
            self.note_found(&reply.from);
        }
        if is_found() { Ok(()) } else { Err(Refusal::Impostor) }
    }

    /// A connection to a peer was made: whatever was wrong with it is over.
    pub(super) fn reached(&self, from: &Introduction) {
        self.note_found(from);
        lock(&self.misfits).remove(&from.node);
        self.complaints.settle(&subject(from.node));
    }

    /// A peer could not be reached, or does not fit: says so, and judges whether this broker can
    /// still take part.
    pub(super) fn failed(&self, voter: &Voter, error: &DialError) {
        let text = format!("node {} at {}: {error}", voter.node_id, voter.address);
        let is_misfit = match error {
            DialError::Mismatch { mismatch: Mismatch::OwnDirectory, .. }
            | DialError::Refused(Refusal::Impostor) => return self.give_up(text),
            DialError::Mismatch { mismatch: Mismatch::OtherDirectory, .. } => false,
            DialError::Mismatch { .. } => true,
            DialError::Frame(super::frame::FrameError::Version { .. }) => true,
            _ => false,
        };
        if self.complaints.is_due(&subject(voter.node_id), &text) {
            match error {
                DialError::Mismatch { .. } | DialError::Frame(_) => tracing::warn!("{text}"),
                _ => tracing::info!("{text}"),
            }
        }
        if is_misfit {
            let mut misfits = lock(&self.misfits);
            misfits.insert(voter.node_id, text);
            let voter_count = self.others.len() + 1;
            // The others may be wrong as well as this broker: it is lost with a majority of them.
            if voter_count - misfits.len() <= voter_count / 2 {
                let texts: Vec<&str> = misfits.values().map(String::as_str).collect();
                let text = texts.join("; ");
                drop(misfits);
                self.give_up(text);
            }
        }
    }

    /// Something that only the operator can mend.
    fn give_up(&self, text: String) {
        if self.complaints.is_due("this broker", &text) {
            tracing::error!("this broker cannot take part: {text}");
        }
        self.trouble.send_replace(Some(text));
    }

    /// What keeps this broker from taking part, as soon as something does.
    pub(super) fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }
}

fn subject(node: u32) -> String {
    format!("node {node}")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
