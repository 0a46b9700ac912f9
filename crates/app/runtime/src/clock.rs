//! The time that machines are told: the wall clock at the start, and from then on a clock that never goes back.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use messor_stdx::Time;

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Time,
    instant: Instant,
}

impl Clock {
    pub fn start() -> Clock {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { start: Time::ZERO + since_epoch, instant: Instant::now() }
    }

    pub fn now(&self) -> Time {
        self.start + self.instant.elapsed()
    }
}
