//! The HTTP port: `/metrics` for Prometheus, `/healthz` and `/readyz` for supervisors.
//!
//! It has a thread and a runtime of its own, so a scrape never stands in the way of a shard, and a
//! broker whose shards are stuck can still say so.

mod connection;
mod health;
mod routes;

pub use health::{Health, Readiness};

use crate::config::HostPort;
use crate::metrics::Metrics;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::watch;

/// The running HTTP server. Dropping it stops it.
#[derive(Debug)]
pub struct HttpServer {
    local_addr: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Binds `address` and serves from a new thread.
    ///
    /// Start it early: until [`Health::set`] says otherwise, `/readyz` answers 503.
    ///
    /// # Errors
    /// The address cannot be resolved or bound, or the system refuses a thread.
    pub fn start(
        address: &HostPort,
        metrics: Arc<Metrics>,
        health: Health,
    ) -> io::Result<HttpServer> {
        let listener = TcpListener::bind((address.host(), address.port()))?;
        listener.set_nonblocking(true)?;
        let local_addr = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = watch::channel(false);
        let router = routes::router(metrics, health);
        let thread = std::thread::Builder::new().name("http".into()).spawn(move || {
            runtime.block_on(connection::serve(listener, router, stopped));
        })?;
        Ok(HttpServer { local_addr, stop, thread: Some(thread) })
    }

    /// The bound address, with the port that 0 turned into.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops accepting, lets answers that are under way go out for a moment, and ends the thread.
    ///
    /// Stop it last: while the broker stops, `/readyz` should still answer.
    pub fn stop(mut self) {
        self.join();
    }

    fn join(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the HTTP thread had panicked");
        }
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.join();
    }
}

#[cfg(test)]
mod tests;
