//! The task that owns a connection's socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use synod_wire::Frame;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::codec::{FramedRead, LengthDelimitedCodec, LengthDelimitedCodecError};

use super::pulse::Pulse;
use crate::Error;

/// Requests under way on one connection; more wait in the queue.
const MAX_IN_FLIGHT: usize = 64;

/// Segments handed to the kernel in one write.
const MAX_SLICES: usize = 64;

/// A sleep that is not needed now is set this far ahead.
const FAR: Duration = Duration::from_secs(24 * 3600);

/// A request on its way to the socket.
pub(super) struct Outgoing {
    pub(super) frame: Frame,
    /// `None` for a request that gets no answer.
    pub(super) expected: Option<Expected>,
}

/// An answer that has to come.
pub(super) struct Expected {
    pub(super) correlation_id: i32,
    pub(super) deadline: Instant,
    /// The time-out behind the deadline, for the error.
    pub(super) within: Duration,
    pub(super) reply: oneshot::Sender<Result<Bytes, Error>>,
}

/// Writes requests, reads answers, matches them in order, and watches the deadlines. Ends when no
/// handle is left and every answer has come, or at the first error, which then goes to everyone who
/// waits.
pub(super) struct Driver {
    reader: FramedRead<OwnedReadHalf, LengthDelimitedCodec>,
    writer: OwnedWriteHalf,
    queue: mpsc::Receiver<Outgoing>,
    /// What the socket has not taken yet.
    unwritten: VecDeque<Bytes>,
    in_flight: VecDeque<Expected>,
    address: Arc<str>,
    max_response_size: usize,
    pulse: Arc<Pulse>,
}

impl Driver {
    pub(super) fn new(
        stream: TcpStream,
        queue: mpsc::Receiver<Outgoing>,
        address: Arc<str>,
        max_response_size: usize,
        pulse: Arc<Pulse>,
    ) -> Self {
        let (reader, writer) = stream.into_split();
        let codec = LengthDelimitedCodec::builder()
            .length_field_type::<u32>()
            .max_frame_length(max_response_size)
            .new_codec();
        Self {
            reader: FramedRead::new(reader, codec),
            writer,
            queue,
            unwritten: VecDeque::new(),
            in_flight: VecDeque::new(),
            address,
            max_response_size,
            pulse,
        }
    }

    pub(super) async fn run(mut self) {
        if let Err(error) = self.drive().await {
            tracing::debug!(broker = %self.address, %error, "connection ended");
            self.queue.close();
            for expected in self.in_flight.drain(..) {
                // Whoever gave up waiting does not need the error either.
                let _ = expected.reply.send(Err(error.clone()));
            }
            while let Ok(outgoing) = self.queue.try_recv() {
                if let Some(expected) = outgoing.expected {
                    let _ = expected.reply.send(Err(error.clone()));
                }
            }
        }
    }

    async fn drive(&mut self) -> Result<(), Error> {
        let mut handles_left = true;
        let sleep = sleep_until(Instant::now() + FAR);
        tokio::pin!(sleep);
        loop {
            if !handles_left && self.in_flight.is_empty() && self.unwritten.is_empty() {
                return Ok(());
            }
            if let Some(deadline) = self.next_deadline()
                && deadline < sleep.deadline()
            {
                sleep.as_mut().reset(deadline);
            }
            let accepts = handles_left && self.in_flight.len() < MAX_IN_FLIGHT;
            tokio::select! {
                frame = self.reader.next() => self.handle_frame(frame)?,
                written = write(&mut self.writer, &self.unwritten), if !self.unwritten.is_empty() => {
                    self.advance(written.map_err(|error| self.broken(&error))?);
                }
                outgoing = self.queue.recv(), if accepts => match outgoing {
                    Some(outgoing) => self.handle_outgoing(outgoing),
                    None => handles_left = false,
                },
                () = &mut sleep => {
                    self.check_deadlines()?;
                    // Deadlines that passed out of view were met; look again at the next one.
                    sleep.as_mut().reset(Instant::now() + FAR);
                }
            }
        }
    }

    fn handle_outgoing(&mut self, outgoing: Outgoing) {
        self.unwritten.extend(outgoing.frame.into_segments());
        if outgoing.expected.is_some() && self.in_flight.is_empty() {
            self.pulse.set_waiting(true);
        }
        self.in_flight.extend(outgoing.expected);
    }

    fn handle_frame(&mut self, frame: Option<Result<BytesMut, io::Error>>) -> Result<(), Error> {
        let frame = match frame {
            None => return Err(self.disconnected("the broker closed it")),
            Some(Err(error)) => return Err(self.broken(&error)),
            Some(Ok(frame)) => frame.freeze(),
        };
        let Some(correlation_id) = frame.first_chunk::<4>() else {
            return Err(self.protocol(format!("an answer of {} bytes", frame.len())));
        };
        let correlation_id = i32::from_be_bytes(*correlation_id);
        let Some(expected) = self.in_flight.pop_front() else {
            return Err(self.protocol("an answer that nobody asked for".into()));
        };
        if expected.correlation_id != correlation_id {
            let wanted = expected.correlation_id;
            // It still waits for its answer: put it back to be told of the failure.
            self.in_flight.push_front(expected);
            return Err(self.protocol(format!("answer {correlation_id} instead of {wanted}")));
        }
        self.pulse.set_waiting(!self.in_flight.is_empty());
        let _ = expected.reply.send(Ok(frame));
        Ok(())
    }

    /// Forgets what the socket has taken.
    fn advance(&mut self, mut written: usize) {
        while let Some(first) = self.unwritten.front_mut() {
            if written < first.len() {
                first.advance(written);
                return;
            }
            written -= first.len();
            self.unwritten.pop_front();
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.in_flight.iter().map(|expected| expected.deadline).min()
    }

    /// One late answer ends the connection: those behind it cannot overtake it.
    fn check_deadlines(&self) -> Result<(), Error> {
        let now = Instant::now();
        match self.in_flight.iter().find(|expected| expected.deadline <= now) {
            None => Ok(()),
            Some(late) => {
                Err(Error::Timeout { address: (*self.address).into(), after: late.within })
            }
        }
    }

    fn broken(&self, error: &io::Error) -> Error {
        let codec_error =
            error.get_ref().and_then(|e| e.downcast_ref::<LengthDelimitedCodecError>());
        if codec_error.is_some() {
            let limit = self.max_response_size;
            return self.protocol(format!("an answer of more than {limit} bytes"));
        }
        if error.kind() == io::ErrorKind::Other {
            // The codec's word for bytes left over at the end of the stream.
            return self.disconnected("the broker closed it in the middle of an answer");
        }
        self.disconnected(error.to_string())
    }

    fn disconnected(&self, reason: impl Into<Box<str>>) -> Error {
        Error::Disconnected { address: (*self.address).into(), reason: reason.into() }
    }

    fn protocol(&self, reason: String) -> Error {
        Error::Protocol { address: (*self.address).into(), reason: reason.into() }
    }
}

/// Writes as much as the socket takes at once. Cancelled before it is done, it has written nothing.
async fn write(writer: &mut OwnedWriteHalf, segments: &VecDeque<Bytes>) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let mut count = 0;
    for (slice, segment) in slices.iter_mut().zip(segments) {
        *slice = IoSlice::new(segment);
        count += 1;
    }
    match writer.write_vectored(&slices[..count]).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        written => Ok(written),
    }
}
