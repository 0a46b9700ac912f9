//! Randomness that repeats: from a seed, always the same numbers. Good for ids and backoff, and for no secret.

use crate::Duration;

#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    pub fn new(seed: u64) -> Random {
        Random { state: seed }
    }

    /// splitmix64: every state comes once before any comes again.
    #[expect(clippy::should_implement_trait, reason = "it never ends, and nobody wants to iterate over it")]
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// At least `least`, and less than `most`.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = u64::try_from(most.saturating_sub(least).as_nanos()).unwrap_or(u64::MAX);
        least + Duration::from_nanos(self.below(span))
    }

    /// The bytes of a UUID of version 4.
    pub fn uuid(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.next().to_be_bytes());
        bytes[8..].copy_from_slice(&self.next().to_be_bytes());
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        bytes
    }

    pub fn uuid_text(&mut self) -> String {
        format_uuid(&self.uuid())
    }

    /// Some time from nothing up to `longest`.
    pub fn up_to(&mut self, longest: Duration) -> Duration {
        let part = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        longest.mul_f64(part)
    }
}

/// `8-4-4-4-12` hexadecimal digits; what is no UUID prints as plain hexadecimal.
pub fn format_uuid(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if bytes.len() == 16 && matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_ids() {
        let (mut one, mut two) = (Random::new(7), Random::new(7));
        let first = one.uuid_text();
        assert_eq!(first, two.uuid_text());
        assert_ne!(first, one.uuid_text());
        assert_ne!(first, Random::new(8).uuid_text());
    }

    #[test]
    fn uuids_look_like_uuids() {
        let text = Random::new(1).uuid_text();
        let parts: Vec<usize> = text.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(&text[14..15], "4");
        assert_eq!(format_uuid(&[1, 0xff]), "01ff");
    }

    #[test]
    fn a_random_pause_is_within_its_bound() {
        let mut random = Random::new(3);
        for _ in 0..1000 {
            assert!(random.up_to(Duration::from_secs(1)) <= Duration::from_secs(1));
            let (least, most) = (Duration::from_millis(5), Duration::from_millis(7));
            let between = random.between(least, most);
            assert!(least <= between && between < most && random.below(3) < 3);
        }
        assert_eq!((random.below(0), random.one_in(1)), (0, true));
        let second = Duration::from_secs(1);
        assert_eq!(random.between(second, second), second);
    }
}
