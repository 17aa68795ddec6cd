//! Requests to the controller and its answers as they travel between brokers.
//!
//! JSON, like the metadata log: brokers of different versions understand what they have in common.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::metadata::{Answer, Ask};
use crate::state_log::NotDone;

/// A request on its way to the controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RequestForm {
    /// The round that the receiver leads, as the sender believes. Only in that round does it know
    /// which requests it has had before.
    pub(super) round: u32,
    pub(super) ask: Ask,
}

/// An answer on its way back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AnswerForm {
    /// The metadata log up to here holds what the answer tells of.
    pub(super) end: u64,
    pub(super) outcome: Result<Answer, NotDone>,
}

pub(super) fn encode<T: Serialize>(form: &T) -> Bytes {
    // Serialization of these plain types into memory has no way to fail.
    Bytes::from(serde_json::to_vec(form).unwrap_or_default())
}

pub(super) fn decode<T: for<'a> Deserialize<'a>>(body: &Bytes) -> Result<T, serde_json::Error> {
    serde_json::from_slice(body)
}
