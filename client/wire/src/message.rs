//! Requests, responses, and their headers.

use std::fmt::Debug;
use std::ops::RangeInclusive;

use bytes::Bytes;

use crate::error::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind};
use crate::field::{Field, Version};
use crate::frame::Frame;
use crate::reader::Reader;
use crate::writer::Writer;
use crate::{ApiKey, Str};

/// The body of a request or response: the union of its fields in all supported versions.
pub trait Message: Field + Default + Clone + Debug + PartialEq {
    /// The struct's name, as in Kafka's schema.
    const NAME: &'static str;
    /// The API it belongs to.
    const KEY: ApiKey;
    /// The versions this crate reads and writes.
    const VERSIONS: RangeInclusive<i16>;
    /// The first flexible version, if there will ever be one.
    const FLEXIBLE: Option<i16>;

    /// Whether `version` is a flexible one.
    fn is_flexible(version: i16) -> bool {
        Self::FLEXIBLE.is_some_and(|first| version >= first)
    }

    /// Reads a body. What follows it in `r` is left for the caller to judge.
    ///
    /// # Errors
    /// When the version is not supported or the bytes are not such a body.
    fn decode(r: &mut Reader, version: i16) -> Result<Self, DecodeError> {
        if !Self::VERSIONS.contains(&version) {
            r.set_context(Self::NAME);
            return Err(r.error(DecodeErrorKind::UnsupportedVersion(version)));
        }
        Self::read(r, Version { number: version, flexible: Self::is_flexible(version) })
    }

    /// Writes a body. Fields that `version` does not have are passed over.
    ///
    /// # Errors
    /// When the version is not supported, or a value has no form in it.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        if !Self::VERSIONS.contains(&version) {
            w.set_context(Self::NAME);
            return Err(w.error(EncodeErrorKind::UnsupportedVersion(version)));
        }
        self.write(w, Version { number: version, flexible: Self::is_flexible(version) })
    }
}

/// The body of a request.
pub trait Request: Message {
    /// The body of its response, in the same version.
    type Response: Message;
}

/// What stands before a request's body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHeader {
    /// The API's number; not necessarily one that this crate knows.
    pub api_key: i16,
    /// The version of request and response; not necessarily a supported one.
    pub api_version: i16,
    /// Chosen by the client, repeated in the response.
    pub correlation_id: i32,
    /// The client's name for itself.
    pub client_id: Option<Str>,
}

/// The form of the client id, classic in every header version.
const CLASSIC: Version = Version { number: 0, flexible: false };

impl RequestHeader {
    /// The key as a type.
    pub fn key(&self) -> ApiKey {
        ApiKey(self.api_key)
    }

    /// Reads a header. Works for unknown keys and versions too, so that these can be answered:
    /// then the header may have a section of tagged fields, which is left unread.
    ///
    /// # Errors
    /// When the bytes are not a request header.
    pub fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        r.set_context("RequestHeader.api_key");
        let api_key = i16::read(r, CLASSIC)?;
        r.set_context("RequestHeader.api_version");
        let api_version = i16::read(r, CLASSIC)?;
        r.set_context("RequestHeader.correlation_id");
        let correlation_id = i32::read(r, CLASSIC)?;
        r.set_context("RequestHeader.client_id");
        let client_id = Option::read(r, CLASSIC)?;
        if ApiKey(api_key).is_flexible(api_version) {
            r.set_context("RequestHeader tagged fields");
            r.skip_tags()?;
        }
        Ok(Self { api_key, api_version, correlation_id, client_id })
    }

    /// Writes the header in the form that its key and version have.
    ///
    /// # Errors
    /// When the client id is longer than 32,767 bytes.
    pub fn encode(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.set_context("RequestHeader.client_id");
        w.put(&self.api_key.to_be_bytes());
        w.put(&self.api_version.to_be_bytes());
        w.put(&self.correlation_id.to_be_bytes());
        self.client_id.write(w, CLASSIC)?;
        if ApiKey(self.api_key).is_flexible(self.api_version) {
            w.put_unsigned_varint(0);
        }
        Ok(())
    }
}

/// What stands before a response's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseHeader {
    /// The request's.
    pub correlation_id: i32,
}

impl ResponseHeader {
    /// Whether the header ends with tagged fields. Never for ApiVersions: its client may not yet
    /// know what the broker understands.
    fn has_tags(key: ApiKey, version: i16) -> bool {
        key != ApiKey::API_VERSIONS && key.is_flexible(version)
    }

    /// Reads the header of a response to a request of this key and version.
    ///
    /// # Errors
    /// When the bytes are not a response header.
    pub fn decode(r: &mut Reader, key: ApiKey, version: i16) -> Result<Self, DecodeError> {
        r.set_context("ResponseHeader.correlation_id");
        let correlation_id = i32::read(r, CLASSIC)?;
        if Self::has_tags(key, version) {
            r.set_context("ResponseHeader tagged fields");
            r.skip_tags()?;
        }
        Ok(Self { correlation_id })
    }

    /// Writes the header of a response to a request of this key and version.
    pub fn encode(&self, w: &mut Writer, key: ApiKey, version: i16) {
        w.put(&self.correlation_id.to_be_bytes());
        if Self::has_tags(key, version) {
            w.put_unsigned_varint(0);
        }
    }
}

/// Encodes a request with its header into a frame.
///
/// # Errors
/// When the version is not supported, or a value has no form in it.
pub fn encode_request<R: Request>(
    correlation_id: i32,
    client_id: Option<&Str>,
    version: i16,
    request: &R,
) -> Result<Frame, EncodeError> {
    let header = RequestHeader {
        api_key: R::KEY.0,
        api_version: version,
        correlation_id,
        client_id: client_id.cloned(),
    };
    Frame::encode(|w| {
        header.encode(w)?;
        request.encode(w, version)
    })
}

/// Encodes a response with its header into a frame.
///
/// # Errors
/// When the version is not supported, or a value has no form in it.
pub fn encode_response<M: Message>(
    correlation_id: i32,
    version: i16,
    response: &M,
) -> Result<Frame, EncodeError> {
    Frame::encode(|w| {
        ResponseHeader { correlation_id }.encode(w, M::KEY, version);
        response.encode(w, version)
    })
}

/// Decodes a whole request frame body: header and request, and nothing after them.
///
/// The header must announce this API; a broker that does not yet know which API it has before it
/// decodes the header by itself and then calls [`decode_body`].
///
/// # Errors
/// When the bytes are not such a request.
pub fn decode_request<R: Request>(body: Bytes) -> Result<(RequestHeader, R), DecodeError> {
    let mut r = Reader::new(body);
    let header = RequestHeader::decode(&mut r)?;
    if header.key() != R::KEY {
        r.set_context(R::NAME);
        return Err(r.error(DecodeErrorKind::OtherApi(header.api_key)));
    }
    let request = decode_body(&mut r, header.api_version)?;
    Ok((header, request))
}

/// Decodes a whole response frame body: header and response, and nothing after them.
///
/// # Errors
/// When the bytes are not such a response.
pub fn decode_response<R: Request>(
    body: Bytes,
    version: i16,
) -> Result<(ResponseHeader, R::Response), DecodeError> {
    let mut r = Reader::new(body);
    let header = ResponseHeader::decode(&mut r, R::KEY, version)?;
    let response = decode_body(&mut r, version)?;
    Ok((header, response))
}

/// Decodes a message that ends where the input ends.
///
/// # Errors
/// When the bytes are not such a message, or go on after it.
pub fn decode_body<M: Message>(r: &mut Reader, version: i16) -> Result<M, DecodeError> {
    let message = M::decode(r, version)?;
    r.set_context(M::NAME);
    r.finish()?;
    Ok(message)
}
