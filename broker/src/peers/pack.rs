//! Messages in frames: what one turn sends to one peer travels together.

use bytes::{Buf, Bytes};
use serde::{Deserialize, Serialize};
use synod_log::key::PartitionKey;
use synod_paxos::Message;

use super::form::MessageForm;
use super::frame::{EncodeError, Frame, FrameError, Kind, encode_head};
use super::message::{BrokerHeartbeat, ControlMessage, LagAsked, LagTold, PartitionMessage};

/// Tells a connection's frames from those of all others, and from each other: drawn by the side
/// that accepted the connection, so that nothing recorded earlier can pass for news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sequence {
    session: u64,
    next: u64,
}

impl Sequence {
    pub(super) fn new(session: u64) -> Sequence {
        Sequence { session, next: 0 }
    }
}

/// The header of a frame of messages.
#[derive(Serialize, Deserialize)]
struct Header {
    session: u64,
    number: u64,
    messages: Vec<Form>,
}

/// A message without its payload.
#[derive(Serialize, Deserialize)]
enum Form {
    Heartbeat(BrokerHeartbeat),
    Partition {
        topic: [u8; 16],
        partition: u32,
        #[serde(with = "MessageForm")]
        message: Message,
        payload_size: u32,
    },
    Request {
        id: u64,
        body: Bytes,
    },
    Answer {
        id: u64,
        body: Bytes,
    },
    LagQuestion(Vec<LagAsked>),
    LagAnswer(Vec<LagTold>),
}

/// A frame that is ready to be written.
#[derive(Debug)]
pub(super) struct Packed {
    /// The head, then the payload's pieces.
    pub(super) segments: Vec<Bytes>,
}

/// Puts messages into one frame, or into more where one would be too large. A message that no frame
/// can hold is left out.
pub(super) fn pack(
    sequence: &mut Sequence,
    messages: Vec<ControlMessage>,
    packed: &mut Vec<Packed>,
) {
    let size: usize = messages.iter().map(payload_size).sum();
    if messages.len() > 1 && !fits(size) {
        return pack_halves(sequence, messages, packed);
    }
    let count = messages.len();
    let mut segments = vec![Bytes::new()];
    let messages: Vec<Form> =
        messages.into_iter().map(|message| Form::take(message, &mut segments)).collect();
    let mut header = Header { session: sequence.session, number: sequence.next, messages };
    let head = encode_head(Kind::Messages, size, |head| postcard::to_extend(&header, head));
    match head {
        Ok(head) => {
            sequence.next += 1;
            segments[0] = head;
            packed.push(Packed { segments });
        }
        Err(EncodeError::TooLarge) if count > 1 => {
            let mut payload = segments.into_iter().skip(1);
            let again = header.messages.drain(..).map(|form| form.give(&mut payload)).collect();
            pack_halves(sequence, again, packed);
        }
        Err(error) => tracing::error!(%error, "a message to a peer cannot be sent"),
    }
}

fn pack_halves(
    sequence: &mut Sequence,
    mut messages: Vec<ControlMessage>,
    packed: &mut Vec<Packed>,
) {
    let rest = messages.split_off(messages.len() / 2);
    pack(sequence, messages, packed);
    pack(sequence, rest, packed);
}

fn fits(payload_size: usize) -> bool {
    payload_size <= crate::limits::PEER_PAYLOAD_SIZE
}

fn payload_size(message: &ControlMessage) -> usize {
    match message {
        ControlMessage::Partition(message) => message.payload_size(),
        _ => 0,
    }
}

/// The messages of a frame; `sequence` is that of the connection it came from.
///
/// # Errors
/// The bytes are not those of a frame of messages, or of one that was due here.
pub(super) fn unpack(
    sequence: &mut Sequence,
    frame: Frame,
) -> Result<Vec<ControlMessage>, FrameError> {
    if frame.kind != Kind::Messages {
        return Err(FrameError::Kind(frame.kind as u8));
    }
    let (header, rest): (Header, &[u8]) = postcard::take_from_bytes(&frame.header)
        .map_err(|_| FrameError::Header("it does not decode"))?;
    if !rest.is_empty() {
        return Err(FrameError::Header("bytes are left over"));
    }
    if header.session != sequence.session {
        return Err(FrameError::Session);
    }
    if header.number != sequence.next {
        return Err(FrameError::Sequence { found: header.number, expected: sequence.next });
    }
    let mut payload = frame.payload;
    let mut messages = Vec::with_capacity(header.messages.len());
    for form in header.messages {
        messages.push(form.read(&mut payload)?);
    }
    if payload.has_remaining() {
        return Err(FrameError::Header("it does not describe the whole payload"));
    }
    sequence.next += 1;
    Ok(messages)
}

impl Form {
    /// Takes a message apart; its payload goes to the end of `segments`.
    fn take(message: ControlMessage, segments: &mut Vec<Bytes>) -> Form {
        match message {
            ControlMessage::Heartbeat(heartbeat) => Form::Heartbeat(heartbeat),
            ControlMessage::Partition(message) => {
                // What is too long for the field is refused as too large with the whole frame.
                let payload_size = u32::try_from(message.payload_size()).unwrap_or(u32::MAX);
                segments.extend(message.payload);
                let PartitionKey { topic, partition } = message.key;
                Form::Partition { topic, partition, message: message.message, payload_size }
            }
            ControlMessage::Request { id, body } => Form::Request { id, body },
            ControlMessage::Answer { id, body } => Form::Answer { id, body },
            ControlMessage::LagQuestion(asked) => Form::LagQuestion(asked),
            ControlMessage::LagAnswer(told) => Form::LagAnswer(told),
        }
    }

    /// The inverse of [`Form::take`]: puts pieces together until they are the whole payload.
    fn give(self, segments: &mut impl Iterator<Item = Bytes>) -> ControlMessage {
        let Form::Partition { payload_size, .. } = &self else { return self.join(Vec::new()) };
        let (mut payload, mut size) = (Vec::new(), 0);
        while size < *payload_size as usize
            && let Some(piece) = segments.next()
        {
            size += piece.len();
            payload.push(piece);
        }
        self.join(payload)
    }

    /// Takes the message's payload off the front of the frame's.
    fn read(self, payload: &mut Bytes) -> Result<ControlMessage, FrameError> {
        let size = match &self {
            Form::Partition { payload_size, .. } => *payload_size as usize,
            _ => 0,
        };
        if size > payload.len() {
            return Err(FrameError::Header("it describes more payload than there is"));
        }
        let own = payload.split_to(size);
        Ok(self.join(if own.is_empty() { Vec::new() } else { vec![own] }))
    }

    fn join(self, payload: Vec<Bytes>) -> ControlMessage {
        match self {
            Form::Heartbeat(heartbeat) => ControlMessage::Heartbeat(heartbeat),
            Form::Partition { topic, partition, message, .. } => {
                let key = PartitionKey { topic, partition };
                ControlMessage::Partition(PartitionMessage { key, message, payload })
            }
            Form::Request { id, body } => ControlMessage::Request { id, body },
            Form::Answer { id, body } => ControlMessage::Answer { id, body },
            Form::LagQuestion(asked) => ControlMessage::LagQuestion(asked),
            Form::LagAnswer(told) => ControlMessage::LagAnswer(told),
        }
    }
}

#[cfg(test)]
mod tests;
