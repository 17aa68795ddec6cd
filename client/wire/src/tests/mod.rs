//! Tests over every message and version.

mod hostile;
mod names;
mod oracle;
pub(crate) mod sample;
mod traps;

use bytes::Bytes;
use sample::Sample;

use crate::field::Version;
use crate::{DecodeError, EncodeError, Frame, Message, Reader, decode_body};

/// Random messages per message type and version.
const SAMPLES: u64 = 24;

pub(crate) fn version_of<M: Message>(number: i16) -> Version {
    Version { number, flexible: M::is_flexible(number) }
}

pub(crate) fn sample_of<M: Message + Sample>(seed: u64, version: i16) -> M {
    M::sample(&mut sample::Rng::new(seed), version_of::<M>(version))
}

/// Encodes without the check of supported versions, so that declarations reach beyond them.
pub(crate) fn encode_any<M: Message>(message: &M, version: i16) -> Result<Bytes, EncodeError> {
    Frame::encode(|w| message.write(w, version_of::<M>(version))).map(|frame| frame.to_body())
}

/// Decodes without the check of supported versions.
pub(crate) fn decode_any<M: Message>(body: Bytes, version: i16) -> Result<M, DecodeError> {
    if M::VERSIONS.contains(&version) {
        return decode_body(&mut Reader::new(body), version);
    }
    let mut r = Reader::new(body);
    let message = M::read(&mut r, version_of::<M>(version))?;
    r.finish()?;
    Ok(message)
}
