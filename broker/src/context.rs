//! What a request handler may use.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::broker::Broker;
use crate::config::{Config, HostPort};
use crate::directory::Directory;
use crate::limits::SETTLE_TIMEOUT;
use crate::metadata::{ConfigView, ControllerHandle, MetadataImage};

/// The broker as seen from one client's connection.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    broker: Arc<Broker>,
    local: SocketAddr,
    peer: SocketAddr,
}

impl Context {
    /// `local` is the address that the client connected to, `peer` the client's own.
    pub(crate) fn new(broker: Arc<Broker>, local: SocketAddr, peer: SocketAddr) -> Context {
        Context { broker, local, peer }
    }

    /// Where the client connects from.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(crate) fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// The decided metadata as of now.
    pub(crate) fn image(&self) -> Arc<MetadataImage> {
        self.broker.image()
    }

    /// The way to the controller.
    pub(crate) fn controller(&self) -> &ControllerHandle {
        self.broker.controller()
    }

    pub(crate) fn config(&self) -> &Arc<Config> {
        self.broker.config()
    }

    /// What decides the value of settings on this broker.
    pub(crate) fn config_view<'a>(&'a self, image: &'a MetadataImage) -> ConfigView<'a> {
        ConfigView { image, statics: self.broker.statics(), broker: self.broker.id() }
    }

    /// The partitions hosted here.
    pub(crate) fn partitions(&self) -> &Directory {
        self.broker.directory()
    }

    /// Waits until all metadata published so far is carried out on this broker, so that whoever is
    /// told of a new topic can use it at once. Gives up after [`SETTLE_TIMEOUT`].
    pub(crate) async fn settled(&self) {
        if !self.broker.settled(self.image().end(), SETTLE_TIMEOUT).await {
            tracing::warn!("partitions are slow to open; a client is answered before they have");
        }
    }

    /// Where this client should connect to this broker: the address the operator set, else the one
    /// the client used.
    pub(crate) fn advertised(&self) -> HostPort {
        match &self.config().advertise {
            Some(address) => address.clone(),
            None => HostPort::from(self.local),
        }
    }
}
