//! The network of a run: it loses, delays (so also reorders) and doubles messages, and cuts pairs of machines off from
//! each other, in one direction or in both.

use std::collections::BTreeSet;
use std::time::Duration;

use messor_proto::Wire;
use messor_proto::mesos::internal::log::LearnedMessage;
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
    /// What the first says to the second takes seconds; still, less than a round waits for its answers.
    pub slow: BTreeSet<(usize, usize)>,
    /// Nobody is told what was learned.
    pub untaught: bool,
}

impl Network {
    pub fn heal(&mut self) {
        *self = Network { lossy: self.lossy, ..Network::default() };
    }

    /// Nothing gets from these to those, nor back.
    pub fn split(&mut self, these: &[usize], those: &[usize]) {
        for this in these {
            self.cut.extend(those.iter().flat_map(|that| [(*this, *that), (*that, *this)]));
        }
    }

    /// How late each copy of a message arrives.
    pub fn delays(&self, from: usize, to: usize, name: &str, rng: &mut Rng) -> Vec<Duration> {
        if self.cut.contains(&(from, to)) || self.untaught && name == LearnedMessage::NAME {
            return Vec::new();
        }
        if self.slow.contains(&(from, to)) {
            return vec![rng.millis(5_500, 8_500)];
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
