//! Randomness that repeats: from a seed, always the same numbers. Good for pauses, and for no secret.

use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// splitmix64: every state comes once before any comes again.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `pause` up to, and without, twice that.
    pub fn pause(&mut self, pause: Duration) -> Duration {
        let part = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        pause + pause.mul_f64(part)
    }
}
