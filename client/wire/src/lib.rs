//! The Kafka wire codec: bounds-checked, no IO.
//!
//! Broker and clients speak through this crate: [`messages`] has the requests and responses, one
//! module per API, [`batch`] the record batches inside them. Bytes come in as the body of one
//! frame and go out as a [`Frame`]; sockets, time and tasks are the caller's matter.
//!
//! # A request and its answer
//!
//! ```
//! use synod_wire::messages::metadata::{
//!     MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic,
//! };
//! use synod_wire::{
//!     ErrorCode, Reader, RequestHeader, decode_body, decode_response, encode_request,
//!     encode_response,
//! };
//!
//! // The client asks, in the version of its choice.
//! let request = MetadataRequest {
//!     topics: Some(vec![MetadataRequestTopic {
//!         name: Some("orders".into()),
//!         ..Default::default()
//!     }]),
//!     ..Default::default()
//! };
//! let frame = encode_request(7, Some(&"example".into()), 9, &request)?;
//!
//! // The broker has read the frame's body; the header tells what it is.
//! let mut body = Reader::new(frame.to_body());
//! let header = RequestHeader::decode(&mut body)?;
//! assert_eq!(header.key().name(), "Metadata");
//! let asked: MetadataRequest = decode_body(&mut body, header.api_version)?;
//! let topics = asked.topics.unwrap_or_default().into_iter().map(|topic| MetadataResponseTopic {
//!     error_code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
//!     name: topic.name,
//!     ..Default::default()
//! });
//! let response = MetadataResponse { topics: topics.collect(), ..Default::default() };
//! let frame = encode_response(header.correlation_id, header.api_version, &response)?;
//!
//! // And the client reads the answer.
//! let (header, answer) = decode_response::<MetadataRequest>(frame.to_body(), 9)?;
//! assert_eq!(header.correlation_id, 7);
//! assert!(answer.topics[0].error_code.is_retriable());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What may be relied on
//!
//! * **Declared once.** A message is a list of fields with the versions that have them; both
//!   directions follow from it, for all versions. `tests/` compares them with an implementation
//!   generated from Kafka's schemas.
//! * **Hostile input is an ordinary error.** Counts are checked against the bytes left before
//!   anything is reserved, all reservations count against the [`Reader`]'s budget, nothing
//!   panics, and a [`DecodeError`] names field and position.
//! * **Payload is not copied.** Decoded strings and records are slices of the frame; encoded
//!   records are segments of the [`Frame`], by reference.
//! * **Lossy only where versions are.** Encoding passes over fields that the version does not
//!   have; whoever fills a message knows the version it is for.

pub mod batch;
pub mod consumer_protocol;
pub mod field;
pub mod messages;
pub mod offsets_topic;

mod api_key;
mod error;
mod error_code;
mod frame;
mod message;
mod reader;
mod records;
mod schema;
mod str;
#[cfg(test)]
mod tests;
mod uuid;
mod writer;

pub use api_key::ApiKey;
pub use error::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind};
pub use error_code::ErrorCode;
pub use frame::{Frame, FrameSizeError, LENGTH_SIZE, body_size};
pub use message::{
    Message, Request, RequestHeader, ResponseHeader, decode_body, decode_request, decode_response,
    encode_request, encode_response,
};
pub use reader::Reader;
pub use records::Records;
pub use str::Str;
pub use uuid::{InvalidUuid, Uuid};
pub use writer::Writer;
