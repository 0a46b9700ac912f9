//! What is to happen, and when. Things of one time happen in the order in which they were put in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use messor_stdx::Time;

struct Entry<H>(Time, u64, H);

impl<H> PartialEq for Entry<H> {
    fn eq(&self, other: &Entry<H>) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl<H> Eq for Entry<H> {}
impl<H> PartialOrd for Entry<H> {
    fn partial_cmp(&self, other: &Entry<H>) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<H> Ord for Entry<H> {
    fn cmp(&self, other: &Entry<H>) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

pub struct Agenda<H> {
    queue: BinaryHeap<Reverse<Entry<H>>>,
    sequence: u64,
    pub start: Time,
    pub now: Time,
}

impl<H> Agenda<H> {
    pub fn new(start: Time) -> Agenda<H> {
        Agenda { queue: BinaryHeap::new(), sequence: 0, start, now: start }
    }

    pub fn after(&mut self, delay: Duration, what: H) {
        self.at(self.now + delay, what);
    }

    pub fn at(&mut self, when: Time, what: H) {
        self.sequence += 1;
        self.queue.push(Reverse(Entry(when.max(self.now), self.sequence, what)));
    }

    /// The next thing; the time moves on to it.
    pub fn next(&mut self) -> Option<H> {
        let Reverse(Entry(when, _, what)) = self.queue.pop()?;
        self.now = when;
        Some(what)
    }

    pub fn elapsed(&self) -> Duration {
        self.now.since(self.start)
    }
}

/// The clock of one machine, which runs a little too fast or too slow.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Time,
    /// In millionths.
    drift: i64,
}

impl Clock {
    pub fn new(start: Time, drift: i64) -> Clock {
        Clock { start, drift }
    }

    fn scaled(&self, time: Time, numerator: i64, denominator: i64) -> Time {
        let elapsed = i128::try_from(time.since(self.start).as_nanos()).unwrap_or(0);
        let elapsed = elapsed * i128::from(numerator) / i128::from(denominator);
        self.start + Duration::from_nanos(u64::try_from(elapsed).unwrap_or(0))
    }

    /// What the clock shows.
    pub fn local(&self, real: Time) -> Time {
        self.scaled(real, 1_000_000 + self.drift, 1_000_000)
    }

    /// When the clock shows this, and never earlier.
    pub fn real(&self, local: Time) -> Time {
        self.scaled(local, 1_000_000, 1_000_000 + self.drift) + Duration::from_nanos(1000)
    }
}
