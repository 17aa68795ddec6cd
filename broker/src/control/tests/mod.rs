//! Groups of one, three and five brokers: elections, failover, requests from anywhere.

mod elections;
mod large;
mod reopening;
mod requests;
mod world;
