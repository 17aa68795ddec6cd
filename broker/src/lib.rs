//! The Synod message-queue broker.
