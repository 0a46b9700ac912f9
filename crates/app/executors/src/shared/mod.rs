//! What the executors have alike. `settings` reads what they are told; `conversation` is what their machines
//! have alike, of `link`, `check`, `status` and `updates`, without I/O; `program` how they begin and end; `agent`, `probe`, `socket` and `start` reach one outside thing each.

pub mod agent;
pub mod check;
pub mod clock;
pub mod conversation;
pub mod link;
pub mod probe;
pub mod program;
pub mod settings;
pub mod socket;
pub mod start;
pub mod status;
pub mod updates;

use messor_stdx::Time;

/// A point in time on two clocks: timers go by the steady one, what is told by the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub steady: Time,
    pub wall: Time,
}

/// An error with what it came of.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
