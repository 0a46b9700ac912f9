//! The machine: it brings events to the replica, the recovery, the writer and the reader.

use messor_stdx::Time;

use crate::config::Config;
use crate::effect::{Effect, Failure};
use crate::event::Event;

/// One replica of the log, with its writer and its reader.
pub struct Log {
    config: Config,
}

impl Log {
    pub fn new(config: Config, _now: Time) -> Log {
        Log { config }
    }

    pub fn handle(&mut self, _now: Time, event: Event, effects: &mut Vec<Effect>) {
        if let Event::Command { ticket, .. } = event {
            let reason = format!("{} is not built yet", self.config.pid);
            effects.push(Effect::Done { ticket, outcome: Err(Failure::Storage(reason)) });
        }
    }

    /// The replica may vote: the metric log/recovered.
    pub fn recovered(&self) -> bool {
        false
    }

    /// How many replicas the network has: the metric log/ensemble_size.
    pub fn ensemble_size(&self) -> usize {
        1
    }
}
