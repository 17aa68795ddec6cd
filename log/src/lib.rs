//! One partition's durable log, and the broker's journal.
