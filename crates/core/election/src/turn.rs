//! One event's time and the effects that it has.

use std::panic::Location;
use std::time::Duration;

use messor_stdx::Time;

use crate::client::{Effect, Level, Timer};

pub(crate) struct Turn<'a, O> {
    pub(crate) now: Time,
    effects: &'a mut Vec<Effect<O>>,
}

impl<'a, O> Turn<'a, O> {
    pub(crate) fn new(now: Time, effects: &'a mut Vec<Effect<O>>) -> Turn<'a, O> {
        Turn { now, effects }
    }

    pub(crate) fn effect(&mut self, effect: Effect<O>) {
        self.effects.push(effect);
    }

    pub(crate) fn say(&mut self, outcome: O) {
        self.effect(Effect::Outcome(outcome));
    }

    pub(crate) fn timer_in(&mut self, timer: Timer, pause: Duration) {
        let at = self.now + pause;
        self.effect(Effect::SetTimer { timer, at });
    }

    pub(crate) fn cancel(&mut self, timer: Timer) {
        self.effect(Effect::CancelTimer { timer });
    }

    #[track_caller]
    pub(crate) fn info(&mut self, line: String) {
        self.effect(Effect::Log { level: Level::Info, line, at: Location::caller() });
    }

    #[track_caller]
    pub(crate) fn warning(&mut self, line: String) {
        self.effect(Effect::Log { level: Level::Warning, line, at: Location::caller() });
    }

    #[track_caller]
    pub(crate) fn error(&mut self, line: String) {
        self.effect(Effect::Log { level: Level::Error, line, at: Location::caller() });
    }
}
