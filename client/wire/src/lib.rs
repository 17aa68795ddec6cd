//! The Kafka wire codec: bounds-checked, no IO.
