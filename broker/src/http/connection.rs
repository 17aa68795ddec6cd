//! Accepts HTTP connections and bounds what each may cost.

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Connections at once, because each may hold the text of a scrape; more wait in the listen queue.
const CONNECTIONS: usize = 32;

/// How long a request's head may take, the wait for it on an open connection included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of a request's head.
const HEAD_SIZE: usize = 16 << 10;

/// Headers of one request.
const HEADERS: usize = 64;

/// A connection is asked to end after this time, so that none holds its place for ever.
const CONNECTION_AGE: Duration = Duration::from_secs(120);

/// How long a connection that was asked to end may still take.
const END_TIMEOUT: Duration = Duration::from_secs(1);

/// Pause after a failed accept, which means the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stopped` becomes true or its sender is gone.
pub(super) async fn serve(
    listener: std::net::TcpListener,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the HTTP port cannot be served");
            return;
        }
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let (router, stopped) = (router.clone(), stopped.clone());
                connections.spawn(async move {
                    serve_connection(stream, router, stopped).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTP connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    // Each connection sees the stop itself and ends within END_TIMEOUT.
    while connections.join_next().await.is_some() {}
}

async fn serve_connection(stream: TcpStream, router: Router, mut stopped: watch::Receiver<bool>) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_SIZE)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return log_end(ended),
        _ = sleep(CONNECTION_AGE) => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
    connection.as_mut().graceful_shutdown();
    if let Ok(ended) = timeout(END_TIMEOUT, connection).await {
        log_end(ended);
    }
}

fn log_end(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended badly");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Health, routes};
    use crate::metrics::Metrics;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A server on the test's own runtime, so that its clock can be paused: time then passes in
    /// leaps to the next timer whenever nothing else is left to do.
    fn start() -> (SocketAddr, watch::Sender<bool>) {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.set_nonblocking(true).expect("set");
        let address = listener.local_addr().expect("bound");
        let (stop, stopped) = watch::channel(false);
        let router = routes::router(Arc::new(Metrics::new()), Health::new());
        tokio::spawn(serve(listener, router, stopped));
        (address, stop)
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_end_is_cut_off() {
        let (address, _stop) = start();
        let mut slow = TcpStream::connect(address).await.expect("connect");
        let begun = tokio::time::Instant::now();
        slow.write_all(b"GET /metrics HTTP/1.1\r\nHost:").await.expect("send");
        let mut answer = Vec::new();
        slow.read_to_end(&mut answer).await.expect("closed in order");
        assert!(begun.elapsed() < CONNECTION_AGE, "cut off by its head, not by its age");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn connections_beyond_the_bound_wait_for_a_place() {
        let (address, _stop) = start();
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS {
            silent.push(TcpStream::connect(address).await.expect("connect"));
        }
        // Answered only because the silent ones lose their places when their time is up.
        let mut late = TcpStream::connect(address).await.expect("queued");
        let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        late.write_all(request).await.expect("send");
        let mut answer = String::new();
        late.read_to_string(&mut answer).await.expect("answered");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}
