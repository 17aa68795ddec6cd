//! Numbers from a seed, for tests that vary.

use std::env;

/// xorshift64*: small and good enough to pick cases.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Seeds from `SYNOD_TEST_SEED`, else with a fixed seed. The seed is printed, so that a failure
    /// can be run again.
    pub(crate) fn from_environment() -> Random {
        let seed = env::var("SYNOD_TEST_SEED").map_or(1, |seed| seed.parse().expect("a seed"));
        println!("SYNOD_TEST_SEED={seed}");
        Random::from_seed(seed)
    }

    pub(crate) fn from_seed(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number from 0 to `end`, exclusive.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % end
    }
}
