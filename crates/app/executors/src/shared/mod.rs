//! What the executors have alike. `settings` reads what they are told; `conversation` is what their machines
//! have alike, of `link`, `check`, `status` and `updates`, without I/O; `agent`, `probe`, `socket` and `start` reach one outside thing each.

pub mod agent;
pub mod check;
pub mod clock;
pub mod conversation;
pub mod link;
pub mod probe;
pub mod settings;
pub mod socket;
pub mod start;
pub mod status;
pub mod updates;

use std::ffi::OsString;

use messor_stdx::Time;

/// A point in time on two clocks: timers go by the steady one, what is told by the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub steady: Time,
    pub wall: Time,
}

/// The environment and the files that flags come from.
pub struct Surroundings;

impl messor_flags::Source for Surroundings {
    fn variables(&self) -> Vec<(String, String)> {
        let text = |word: OsString| word.into_string().ok();
        std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect()
    }

    fn read_file(&self, path: &str) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|error| error.to_string())
    }
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
