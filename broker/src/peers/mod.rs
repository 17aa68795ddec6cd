//! What brokers say to each other.

mod message;

#[allow(unused_imports, reason = "its users come next")]
pub(crate) use message::PartitionMessage;
