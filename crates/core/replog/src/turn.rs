//! One event's turn: the time it has, and the list its effects go to.

use std::panic::Location;

use messor_stdx::Time;

use crate::effect::{Answer, Effect, Failure, Level};
use crate::event::Timer;

pub(crate) struct Turn<'a> {
    pub now: Time,
    effects: &'a mut Vec<Effect>,
}

impl<'a> Turn<'a> {
    pub fn new(now: Time, effects: &'a mut Vec<Effect>) -> Turn<'a> {
        Turn { now, effects }
    }

    pub fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub fn done(&mut self, ticket: u64, outcome: Result<Answer, Failure>) {
        self.effect(Effect::Done { ticket, outcome });
    }

    pub fn set_timer(&mut self, timer: Timer, at: Time) {
        self.effect(Effect::SetTimer { timer, at });
    }

    pub fn cancel_timer(&mut self, timer: Timer) {
        self.effect(Effect::CancelTimer { timer });
    }

    #[track_caller]
    pub fn info(&mut self, line: String) {
        self.effect(Effect::Log { level: Level::Info, line, at: Location::caller() });
    }

    #[track_caller]
    pub fn warning(&mut self, line: String) {
        self.effect(Effect::Log { level: Level::Warning, line, at: Location::caller() });
    }

    #[track_caller]
    pub fn error(&mut self, line: String) {
        self.effect(Effect::Log { level: Level::Error, line, at: Location::caller() });
    }
}
