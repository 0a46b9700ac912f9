//! The master machine with its edges: events in, effects carried out.

use std::sync::Arc;

use messor_http_api::{Machine, MasterSite};
use messor_master_core::{Effect, Event, Level, Master, Timer, View};
use messor_net::{Net, NetEvent};
use messor_runtime::{Driver, Timers};
use messor_stdx::Time;

use crate::allocator::ToAllocator;

/// The libprocess id of every master.
pub const PROCESS: &str = "master";

pub struct MasterDriver {
    pub master: Master,
    /// The registry, in memory in this state of things. The issue "Nothing is lost" puts the replicated log here.
    pub registry: messor_registry::State,
    /// Of --weights. /weights and the registry bring them to the machine with the issue on the allocator.
    pub weights: Vec<(String, f64)>,
    pub site: Arc<MasterSite>,
    pub net: Net,
    pub allocator: ToAllocator,
    pub own: Machine<Event, View>,
    pub timers: Timers<Timer>,
    pub effects: Vec<Effect>,
    pub over: bool,
}

impl MasterDriver {
    fn carry_out(&mut self) {
        for effect in std::mem::take(&mut self.effects) {
            let Some(effect) = self.site.carry_out(effect) else { continue };
            match effect {
                Effect::Send { to, name, body } => self.net.send(PROCESS, &to, name, body),
                Effect::Link { pid } => self.net.link(PROCESS, &pid),
                Effect::Unlink { pid } => self.net.unlink(PROCESS, &pid),
                Effect::Store { ticket, operation } => {
                    let fits = self.registry.apply(&operation);
                    if let Err(refusal) = &fits {
                        tracing::warn!("the registry refuses a change: {refusal}");
                    }
                    self.own.event(Event::Stored { ticket, outcome: Ok(fits.is_ok()) });
                }
                Effect::Allocator(event) => {
                    if self.allocator.send(event).is_err() {
                        self.abort("the allocator ended");
                    }
                }
                Effect::SetTimer { timer, at } => self.timers.set(timer, at),
                Effect::CancelTimer { timer } => self.timers.cancel(&timer),
                Effect::Abort { reason } => self.abort(&reason),
                Effect::Log { level, line, at } => match level {
                    Level::Info => tracing::info!(log.file = at.file(), log.line = at.line(), "{line}"),
                    Level::Warning => tracing::warn!(log.file = at.file(), log.line = at.line(), "{line}"),
                    Level::Error => tracing::error!(log.file = at.file(), log.line = at.line(), "{line}"),
                },
                // Taken by the site above.
                Effect::StreamOpened { .. }
                | Effect::Stream { .. }
                | Effect::CloseStream { .. }
                | Effect::Reply { .. }
                | Effect::OperatorStreamOpened { .. }
                | Effect::Publish { .. } => (),
            }
        }
    }

    fn abort(&mut self, reason: &str) {
        tracing::error!("ending: {reason}");
        self.over = true;
    }
}

impl Driver for MasterDriver {
    type Event = Event;
    type View = View;

    fn handle(&mut self, now: Time, event: Event) {
        self.master.handle(now, event, &mut self.effects);
        self.carry_out();
    }

    fn network(&mut self, now: Time, event: NetEvent) {
        let event = match event {
            NetEvent::Message(packet) => {
                Event::Message { from: packet.from, name: packet.name, body: packet.body.to_vec() }
            }
            NetEvent::Exited { pid, .. } => Event::Exited { pid },
        };
        self.handle(now, event);
    }

    fn timers(&mut self, now: Time) {
        while let Some(timer) = self.timers.take_due(now) {
            self.handle(now, Event::Timer(timer));
        }
    }

    fn next_timer(&self) -> Option<Time> {
        self.timers.next()
    }

    fn view(&mut self, now: Time) -> Arc<View> {
        Arc::new(View { weights: self.weights.clone(), ..self.master.view(now) })
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
