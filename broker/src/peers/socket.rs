//! Options of a connection between brokers.

use std::io;

use rustix::net::sockopt;
use tokio::net::TcpStream;

use crate::limits::{PEER_KEEPALIVE, PEER_KEEPALIVE_PROBES, PEER_STALL_TIMEOUT};

/// Makes a connection quick, and has the kernel notice when the other side is cut off: by probes
/// while nothing is sent, by missing acknowledgements otherwise.
pub(super) fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, PEER_KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(socket, PEER_KEEPALIVE)?;
    sockopt::set_tcp_keepcnt(socket, PEER_KEEPALIVE_PROBES)?;
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(socket, PEER_STALL_TIMEOUT.as_millis() as u32)?;
    Ok(())
}
