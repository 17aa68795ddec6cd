//! Consumer groups: membership, and the offsets that a group commits.

pub(crate) mod assignor;
pub(crate) mod config;
mod joining;
pub(crate) mod member;
pub(crate) mod offsets;
