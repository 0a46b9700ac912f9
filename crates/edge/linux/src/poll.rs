//! Waiting for descriptors, for programs of one thread. It must not know what the descriptors are.

use std::io;
use std::time::Duration;

pub use rustix::event::{PollFd, PollFlags};

/// Waits until one of the descriptors is ready or the time is over; no time is for ever. A signal ends the wait as if
/// nothing was ready.
pub fn poll(descriptors: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<usize> {
    let timeout = timeout.map(|timeout| rustix::event::Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(timeout.subsec_nanos()),
    });
    match rustix::event::poll(descriptors, timeout.as_ref()) {
        Ok(ready) => Ok(ready),
        Err(rustix::io::Errno::INTR) => Ok(0),
        Err(error) => Err(error.into()),
    }
}
