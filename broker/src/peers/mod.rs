//! What brokers say to each other.
#![allow(dead_code, unused_imports, reason = "its users come next")]

mod contacts;
mod form;
mod frame;
mod link;
mod links;
mod message;
mod pack;
mod queue;
mod share;

pub(crate) use crate::limits::CONTROL_BODY_SIZE;
pub(crate) use contacts::Contacts;
pub(crate) use links::{ControlLinks, Links};
pub(crate) use message::{BrokerHeartbeat, Channel, ControlMessage, Incarnation, PartitionMessage};
pub(crate) use share::InboundShare;
