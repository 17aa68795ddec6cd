//! Micro benches and end-to-end measurements.
