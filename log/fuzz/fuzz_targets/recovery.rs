#![no_main]
#[path = "../../tests/support/arbitrary.rs"]
#[allow(dead_code)]
mod arbitrary;

libfuzzer_sys::fuzz_target!(|content: &[u8]| arbitrary::recover(content));
