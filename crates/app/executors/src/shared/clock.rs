//! Both clocks of an executor.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use messor_stdx::Time;

use super::Now;

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Instant,
    since_epoch: Duration,
}

impl Clock {
    pub fn start() -> Clock {
        Clock { started: Instant::now(), since_epoch: since_epoch() }
    }

    pub fn now(&self) -> Now {
        let steady = Time::ZERO + (self.since_epoch + self.started.elapsed());
        Now { steady, wall: Time::ZERO + since_epoch() }
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
