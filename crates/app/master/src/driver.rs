//! The master machine and its registrar with their edges: inputs in, effects carried out.

use std::sync::{Arc, OnceLock};

use messor_http_api::{Machine, MasterSite};
use messor_master_core::{Effect, Event, Master, Message, Timer, View};
use messor_net::{Net, NetEvent, Packet};
use messor_proto::mesos::MasterInfo;
use messor_registry::{Registrar, RegistrarEffect, RegistrarEvent, RegistrarTimer};
use messor_runtime::{Driver, Load, Timers, at_length};
use messor_stdx::Time;
use messor_types::Pid;
use messor_zk::Lease;

use crate::allocator::ToAllocator;
use crate::input::Input;
use crate::registry::RegistryLog;

/// The libprocess id of every master.
pub const PROCESS: &str = "master";

/// Deadlines of the master machine and of its registrar.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deadline {
    Master(Timer),
    Registrar(RegistrarTimer),
}

pub struct MasterDriver {
    pub master: Master,
    pub registrar: Registrar,
    pub log: RegistryLog,
    pub info: MasterInfo,
    /// Of the election, where there is one: what only a leader may do is done only while it holds.
    pub lease: Option<Lease>,
    /// This master was elected.
    pub leads: bool,
    pub site: Arc<MasterSite>,
    pub net: Net,
    pub allocator: ToAllocator,
    pub own: Machine<Input, View>,
    /// Readers that got the view that was taken for another one.
    pub shared_views: u64,
    pub timers: Timers<Deadline>,
    /// Why it ended, if not because it was told to.
    pub failure: Arc<OnceLock<String>>,
    pub over: bool,
}

/// How many times the bytes of a message it may take when it is read: fields of few bytes become whole structures.
pub const READ_GROWTH: usize = 4;

/// A message for the master machine.
pub struct Heard {
    pub from: Pid,
    pub message: Message,
}

impl Heard {
    pub fn read(packet: Packet) -> Heard {
        Heard { message: Message::read(&packet.name, &packet.body), from: packet.from }
    }
}

impl MasterDriver {
    fn master(&mut self, now: Time, event: Event) {
        let mut effects = Vec::new();
        self.master.handle(now, event, &mut effects);
        for effect in effects {
            self.carry_out(now, effect);
        }
    }

    fn registrar(&mut self, now: Time, event: RegistrarEvent) {
        let mut effects = Vec::new();
        self.registrar.handle(now, event, &mut effects);
        for effect in effects {
            self.carry_out_for_registrar(now, effect);
        }
    }

    fn carry_out(&mut self, now: Time, effect: Effect) {
        let Some(effect) = self.site.carry_out(effect) else { return };
        match effect {
            Effect::Send { to, name, body } => self.net.send(PROCESS, &to, name, body),
            Effect::Link { pid } => self.net.link(PROCESS, &pid),
            Effect::Unlink { pid } => self.net.unlink(PROCESS, &pid),
            Effect::Store { ticket, operation } => {
                self.registrar(now, RegistrarEvent::Apply { ticket, operation });
            }
            Effect::Allocator(event) => {
                if !self.allocator.send(event) {
                    self.abort("the allocator ended");
                }
            }
            Effect::SetTimer { timer, at } => self.timers.set(Deadline::Master(timer), at),
            Effect::CancelTimer { timer } => self.timers.cancel(&Deadline::Master(timer)),
            Effect::Abort { reason } => self.abort(&reason),
            Effect::Log { level, line, at } => messor_log::say(level, &line, at),
            // Taken by the site above.
            Effect::StreamOpened { .. }
            | Effect::Stream { .. }
            | Effect::CloseStream { .. }
            | Effect::Reply { .. }
            | Effect::OperatorStreamOpened { .. }
            | Effect::Publish { .. } => (),
        }
    }

    fn carry_out_for_registrar(&mut self, now: Time, effect: RegistrarEffect) {
        match effect {
            // Each agent of it is read.
            RegistrarEffect::Recovered(registry) => {
                at_length(|| self.master(now, Event::Elected { registry }));
            }
            // Not at once: the master machine may be in the midst of its own effects.
            RegistrarEffect::Applied { ticket, outcome } => {
                self.own.event(Input::Master(Event::Stored { ticket, outcome }));
            }
            RegistrarEffect::Log { ticket, command } => self.log.command(ticket, command, &self.own),
            RegistrarEffect::SetTimer { timer, at } => self.timers.set(Deadline::Registrar(timer), at),
            RegistrarEffect::CancelTimer { timer } => self.timers.cancel(&Deadline::Registrar(timer)),
            RegistrarEffect::Failed { reason } => self.abort(&reason),
            RegistrarEffect::Say { level, line, at } => messor_log::say(level, &line, at),
        }
    }

    fn abort(&mut self, reason: &str) {
        if !self.over {
            // The program says it once more at its very end; this is the moment at which it was so.
            tracing::error!("ending: {reason}");
            let _ = self.failure.set(reason.to_string());
        }
        self.over = true;
    }

    /// A leader whose lease ran out may have a successor already: nothing more is said or done.
    fn may_act(&mut self, now: Time) -> bool {
        if self.leads && self.lease.as_ref().is_some_and(|lease| !lease.holds(now)) {
            self.abort("the leadership is lost: ZooKeeper did not answer in time");
        }
        !self.over
    }
}

impl Driver for MasterDriver {
    type Event = Input;
    type View = View;
    type Message = Heard;

    fn handle(&mut self, now: Time, input: Input) {
        if !self.may_act(now) {
            return;
        }
        match input {
            Input::Master(event) => self.master(now, event),
            Input::Log { ticket, outcome } => self.registrar(now, RegistrarEvent::Log { ticket, outcome }),
            Input::Elected => {
                self.leads = true;
                let info = Box::new(self.info.clone());
                self.master(now, Event::LeaderDetected { leader: Some(info.clone()) });
                self.registrar(now, RegistrarEvent::Start { info });
            }
            Input::LeadershipLost { reason } => {
                tracing::error!("the leadership is lost: {reason}");
                self.master(now, Event::LeadershipLost);
            }
            Input::Leader(leader) => self.master(now, Event::LeaderDetected { leader }),
            Input::Stop => {
                self.over = true;
                self.site.end();
            }
            Input::Over { reason } => self.abort(&reason),
        }
    }

    fn network(&mut self, now: Time, event: NetEvent<Heard>) {
        let event = match event {
            NetEvent::Message(Heard { from, message }) => Event::Message { from, message },
            NetEvent::Exited { pid, .. } => Event::Exited { pid },
        };
        if self.may_act(now) {
            self.master(now, event);
        }
    }

    fn timers(&mut self, now: Time) {
        while let Some(deadline) = self.timers.take_due(now) {
            if !self.may_act(now) {
                return;
            }
            match deadline {
                Deadline::Master(timer) => self.master(now, Event::Timer(timer)),
                Deadline::Registrar(timer) => self.registrar(now, RegistrarEvent::Timer(timer)),
            }
        }
    }

    fn next_timer(&self) -> Option<Time> {
        self.timers.next()
    }

    fn view(&mut self, now: Time, load: Load) -> Arc<View> {
        // All readers but one got something for nothing.
        self.shared_views += load.readers.saturating_sub(1) as u64;
        let mut view = self.master.view(now);
        for (name, value) in [
            ("event_queue_dispatches", load.events as f64),
            ("event_queue_http_requests", load.requests as f64),
            ("event_queue_messages", load.messages as f64),
            ("http_cache_hits", (self.shared_views + self.site.shared_answers()) as f64),
        ] {
            view.metrics.push((format!("master/{name}"), value));
        }
        view.registry = self.registrar.state().cloned();
        view.metrics.extend(self.registrar.metrics().into_values());
        view.metrics.extend(self.log.metrics());
        Arc::new(view)
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
