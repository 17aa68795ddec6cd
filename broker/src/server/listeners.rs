//! The sockets that a broker listens on, and what others are told of them.

use std::net::{SocketAddr, TcpListener};

use super::ServeError;
use crate::config::{Config, HostPort};
use crate::metadata::record::{Endpoint, Listener};

/// The sockets for clients and for other brokers.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) kafka: TcpListener,
    pub(super) kafka_address: SocketAddr,
    pub(super) peer: TcpListener,
    pub(super) peer_address: SocketAddr,
}

impl Listeners {
    pub(super) fn bind(config: &Config) -> Result<Listeners, ServeError> {
        let (kafka, kafka_address) = bind(&config.listen, "listen")?;
        let (peer, peer_address) = bind(&config.peer_listen, "peer_listen")?;
        Ok(Listeners { kafka, kafka_address, peer, peer_address })
    }
}

fn bind(
    address: &HostPort,
    setting: &'static str,
) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen { address: address.to_string(), setting, source };
    let listener = TcpListener::bind((address.host(), address.port())).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Where the broker says that it can be reached.
pub(super) fn endpoints(config: &Config, listeners: &Listeners, http: SocketAddr) -> Vec<Endpoint> {
    let kafka = Endpoint {
        listener: Listener::Kafka,
        host: kafka_host(config, listeners.kafka_address),
        port: config.advertise.as_ref().map_or(listeners.kafka_address.port(), HostPort::port),
    };
    let of = |listener, address: SocketAddr| Endpoint {
        listener,
        host: Some(address.ip().to_string()),
        port: address.port(),
    };
    vec![kafka, of(Listener::Peer, listeners.peer_address), of(Listener::Http, http)]
}

/// The host that clients are told; `None`: the one that each connected to. In a cluster clients
/// connect to one broker and are led to others, so there is always one; a broker that listens
/// everywhere is reached where the other brokers reach it.
fn kafka_host(config: &Config, bound: SocketAddr) -> Option<String> {
    if let Some(address) = &config.advertise {
        return Some(address.host().to_owned());
    }
    let own = config.own_voter().filter(|_| config.voter_count() > 1)?;
    Some(if bound.ip().is_unspecified() {
        own.address.host().to_owned()
    } else {
        bound.ip().to_string()
    })
}
