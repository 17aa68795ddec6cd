//! A loopback port that stays ours while nobody listens on it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use rustix::fd::OwnedFd;
use rustix::net::{
    AddressFamily, SocketType, bind, getsockname, socket, sockopt::set_socket_reuseaddr,
};

/// A port that a child process may listen on, again and again.
///
/// Between two lives of a broker its port must not go to anyone else. On Linux a socket that is
/// bound and does not listen holds it: others may bind it only if they ask for reuse, as listeners
/// do, and never as the free port of a connection. Elsewhere such a socket would keep the listener
/// away, and the port is only probably free.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    _held: Option<OwnedFd>,
}

impl Port {
    /// A free port.
    ///
    /// # Errors
    /// When the operating system has none.
    pub fn reserve() -> io::Result<Port> {
        let held = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        set_socket_reuseaddr(&held, true)?;
        bind(&held, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = SocketAddr::try_from(getsockname(&held)?)?;
        Ok(Port { address, _held: cfg!(target_os = "linux").then_some(held) })
    }

    /// Where a child process may listen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_held_port_can_be_listened_on_again_and_again() {
        let port = Port::reserve().expect("a free port");
        for _ in 0..3 {
            let listener = tokio::net::TcpListener::bind(port.address()).await.expect("our port");
            let _client = std::net::TcpStream::connect(port.address()).expect("a listener");
            listener.accept().await.expect("the client");
        }
        assert_ne!(Port::reserve().expect("another port").address(), port.address());
    }
}
