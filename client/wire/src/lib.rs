//! The Kafka wire codec: bounds-checked, no IO.

pub mod batch;
pub mod messages;

mod api_key;
mod error;
mod error_code;
pub mod field;
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
