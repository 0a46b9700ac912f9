//! One turn of the machine: the time it happens at and the effects it has. It knows no state of the master.

use std::panic::Location;

use messor_proto::Wire;
use messor_stdx::Time;
use messor_types::Pid;

use crate::effect::{Effect, Level, Outcome};
use crate::event::{ReplyId, Timer};

pub(crate) struct Turn<'a> {
    pub now: Time,
    pub effects: &'a mut Vec<Effect>,
}

impl Turn<'_> {
    pub fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub fn send<M: Wire>(&mut self, to: &Pid, message: &M) {
        self.push(Effect::Send { to: to.clone(), name: M::NAME, body: message.encode_bytes() });
    }

    pub fn allocator(&mut self, event: messor_allocator::Event) {
        self.push(Effect::Allocator(event));
    }

    pub fn reply(&mut self, reply: ReplyId, outcome: Outcome) {
        self.push(Effect::Reply { reply, outcome });
    }

    pub fn set_timer(&mut self, timer: Timer, after: std::time::Duration) {
        let at = self.now + after;
        self.push(Effect::SetTimer { timer, at });
    }

    #[track_caller]
    pub fn info(&mut self, line: String) {
        self.push(Effect::Log { level: Level::Info, line, at: Location::caller() });
    }

    #[track_caller]
    pub fn warning(&mut self, line: String) {
        self.push(Effect::Log { level: Level::Warning, line, at: Location::caller() });
    }

    #[track_caller]
    pub fn error(&mut self, line: String) {
        self.push(Effect::Log { level: Level::Error, line, at: Location::caller() });
    }
}
