//! One event's turn: the time it has, and the list its effects go to.

use std::panic::Location;

use messor_proto::Wire;
use messor_stdx::Time;
use messor_types::Pid;

use crate::effect::{Effect, Level, Outcome};
use crate::event::{ReplyId, Timer};

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

    pub fn send<M: Wire>(&mut self, to: &Pid, message: &M) {
        self.effect(Effect::Send { to: to.clone(), name: M::NAME, body: message.encode_bytes() });
    }

    pub fn reply(&mut self, reply: ReplyId, outcome: Outcome) {
        self.effect(Effect::Reply { reply, outcome });
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
