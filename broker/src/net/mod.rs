//! Sockets of Kafka clients: accepting, framing, and the request pipeline of a connection.

mod connection;
mod frame;
mod listener;
mod segments;

pub(crate) use connection::serve;
pub(crate) use frame::InboundFrame;
pub(crate) use listener::{Accepted, ConnectionSlots, accept_loop};
pub(crate) use segments::Segments;
