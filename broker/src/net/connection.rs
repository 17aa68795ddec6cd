//! One client's connection: requests in, answers out in the order of the requests.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{FutureExt, LocalBoxFuture};
use futures_util::stream::{FuturesOrdered, StreamExt};
use synod_wire::LENGTH_SIZE;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::watch;

use super::Segments;
use super::frame::{FrameError, FrameReader};
use super::listener::Accepted;
use crate::api::{self, Answer, ApiError};
use crate::broker::Broker;
use crate::context::Context;
use crate::limits::{PIPELINE_DEPTH, WRITE_BATCH_SIZE};

/// Answers that are not ready yet, in the order in which they must leave.
type Pipeline = FuturesOrdered<LocalBoxFuture<'static, Result<Answer, ApiError>>>;

/// Why a connection ended before its client closed it.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Api(#[from] ApiError),
    #[error("cannot answer: {0}")]
    Write(io::Error),
}

/// Serves one connection until the client closes it, breaks the protocol, or the broker stops.
pub(crate) async fn serve(accepted: Accepted, broker: Arc<Broker>) {
    let Accepted { socket, peer, slot: _slot } = accepted;
    let _counted = broker.metrics().connection_opened();
    match open(socket, &broker) {
        Ok(connection) => match connection.run(broker.stopping()).await {
            Ok(()) => tracing::debug!(%peer, "connection closed"),
            Err(ConnectionError::Frame(FrameError::Io(error))) => {
                tracing::debug!(%peer, %error, "connection lost");
            }
            Err(ConnectionError::Write(error)) => {
                tracing::debug!(%peer, %error, "connection lost");
            }
            Err(ConnectionError::Frame(error @ FrameError::Idle(_))) => {
                broker.metrics().connections.idle_closed.add(1);
                tracing::debug!(%peer, %error, "connection closed");
            }
            Err(error) => {
                broker.metrics().connections.invalid_closed.add(1);
                tracing::warn!(%peer, %error, "connection closed");
            }
        },
        Err(error) => tracing::debug!(%peer, %error, "connection lost before its first request"),
    }
}

struct Connection {
    context: Rc<Context>,
    reader: FrameReader,
    writer: OwnedWriteHalf,
    pipeline: Pipeline,
}

fn open(socket: std::net::TcpStream, broker: &Arc<Broker>) -> io::Result<Connection> {
    let socket = TcpStream::from_std(socket)?;
    let context = Rc::new(Context::new(broker.clone(), socket.local_addr()?, socket.peer_addr()?));
    let (read, writer) = socket.into_split();
    let limits = &broker.config().limits;
    let reader = FrameReader::new(
        read,
        limits.frame_size.bytes(),
        limits.idle_timeout,
        broker.budget().clone(),
    );
    Ok(Connection { context, reader, writer, pipeline: Pipeline::new() })
}

impl Connection {
    async fn run(mut self, mut stopping: watch::Receiver<bool>) -> Result<(), ConnectionError> {
        let mut reading = true;
        while reading || !self.pipeline.is_empty() {
            let room = self.pipeline.len() < PIPELINE_DEPTH;
            tokio::select! {
                biased;
                Some(answer) = self.pipeline.next(), if !self.pipeline.is_empty() => {
                    self.answer(answer?).await?;
                }
                frame = self.reader.next(), if reading && room => {
                    // Without its client nobody waits for the answers that are still due.
                    let Some(frame) = frame? else { return Ok(()) };
                    let metrics = &self.context.broker().metrics().connections;
                    metrics.received_size.add((LENGTH_SIZE + frame.body.len()) as u64);
                    let started = api::start(&self.context, frame).await?;
                    self.pipeline.push_back(started);
                }
                _ = stopping.wait_for(|stopping| *stopping), if reading => reading = false,
            }
        }
        Ok(())
    }

    /// Writes an answer, together with those behind it that are ready too.
    async fn answer(&mut self, first: Answer) -> Result<(), ConnectionError> {
        let mut segments: Vec<Bytes> = Vec::new();
        let mut size = 0;
        let mut next = Some(Ok(first));
        let mut failed = None;
        while let Some(answer) = next.take() {
            match answer {
                Ok(Answer::Frame(frame)) => {
                    size += frame.size();
                    segments.extend(frame.into_segments());
                }
                Ok(Answer::Nothing) => {}
                Err(error) => failed = Some(error),
            }
            if size < WRITE_BATCH_SIZE && failed.is_none() && !self.pipeline.is_empty() {
                next = self.pipeline.next().now_or_never().flatten();
            }
        }
        self.context.broker().metrics().connections.sent_size.add(size as u64);
        Segments::new(&segments)
            .write(&mut self.writer, None)
            .await
            .map_err(ConnectionError::Write)?;
        failed.map_or(Ok(()), |error| Err(error.into()))
    }
}
