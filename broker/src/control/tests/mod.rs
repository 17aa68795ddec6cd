//! Groups of one, three and five brokers: elections, failover, requests from anywhere.

mod elections;
mod requests;
mod world;
