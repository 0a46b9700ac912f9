//! The network of a run: it loses, delays (so also reorders) and doubles messages, and cuts pairs of machines off from
//! each other, in one direction or in both.

use std::collections::BTreeSet;
use std::time::Duration;

use messor_types::Pid;

use crate::rng::Rng;

#[derive(Clone, Debug)]
pub struct Packet {
    pub from: Pid,
    pub to: Pid,
    pub name: String,
    pub body: Vec<u8>,
}

#[derive(Default)]
pub struct Network {
    /// Nothing gets from the first to the second.
    pub cut: BTreeSet<(usize, usize)>,
    /// One in so many messages is lost, and is doubled; none if zero.
    pub lossy: u64,
}

impl Network {
    /// How late each copy of a message arrives.
    pub fn delays(&self, from: usize, to: usize, rng: &mut Rng) -> Vec<Duration> {
        if self.cut.contains(&(from, to)) {
            return Vec::new();
        }
        let copies = match self.lossy {
            0 => 1,
            lossy if rng.one_in(lossy) => 0,
            lossy if rng.one_in(lossy) => 2,
            _ => 1,
        };
        (0..copies).map(|_| self.delay(rng)).collect()
    }

    fn delay(&self, rng: &mut Rng) -> Duration {
        match rng.below(100) {
            0 if self.lossy > 0 => rng.millis(1_000, 20_000),
            1..10 => rng.millis(20, 500),
            _ => rng.between(Duration::from_micros(50), Duration::from_millis(5)),
        }
    }
}
