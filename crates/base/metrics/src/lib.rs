//! Counters, gauges and timers, their snapshot as libprocess metrics show it, and the same for Prometheus.
//!
//! Nothing here reads a clock, starts a thread or writes JSON: who measures hands the duration in, and http-api prints
//! the snapshot.

pub mod catalogue;
pub mod exposition;
mod families;
mod pattern;
mod snapshot;
mod timer;

pub use pattern::Pattern;
pub use snapshot::Snapshot;
pub use timer::Timer;

/// A number of things that happened; it only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter(u64);

impl Counter {
    pub fn increment(&mut self) {
        self.add(1);
    }

    pub fn add(&mut self, count: u64) {
        self.0 = self.0.saturating_add(count);
    }

    pub fn get(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_grows_and_saturates() {
        let mut counter = Counter::default();
        counter.increment();
        counter.add(4);
        assert_eq!(counter.get(), 5);
        counter.add(u64::MAX);
        assert_eq!(counter.get(), u64::MAX);
    }
}
