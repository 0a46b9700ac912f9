//! One log, with everything around it played by the test: what it sends is looked at, what it gets is made up.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use messor_proto::Wire;
use messor_proto::mesos::internal::log::metadata::Status;
use messor_proto::mesos::internal::log::{Action, Metadata, action};
use messor_replog::{Answer, Command, Config, Effect, Event, Failure, Level, Log, Timer, Write};
use messor_stdx::Time;
use messor_types::Pid;

use crate::disk::{Disk, Job};
use crate::rng::Rng;

/// A message that the log sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub from: String,
    pub to: Pid,
    pub name: &'static str,
    pub body: Vec<u8>,
}

impl Sent {
    pub fn is<M: Wire>(&self) -> bool {
        self.name == M::NAME
    }

    pub fn get<M: Wire>(&self) -> M {
        assert_eq!(self.name, M::NAME);
        M::decode_checked(&self.body).unwrap()
    }
}

pub struct Solo {
    pub log: Log,
    pub now: Time,
    pub disk: Disk,
    pub written: Vec<Write>,
    pub sent: Vec<Sent>,
    pub closed: Vec<String>,
    pub done: Vec<(u64, Result<Answer, Failure>)>,
    pub timers: Vec<(Timer, Time)>,
    pub lines: Vec<(Level, String)>,
    pub failed: Option<String>,
    /// The disk does nothing until it is told to.
    pub disk_waits: bool,
    rng: Rng,
}

/// The pid of the replica with this number; the own one is number 1.
pub fn replica(number: u8) -> Pid {
    Pid::new("log-replica(1)", SocketAddr::from(([10, 0, 0, number], 5050)))
}

pub fn append(position: u64, promised: u64, bytes: &[u8]) -> Action {
    Action {
        position,
        promised,
        performed: Some(promised),
        r#type: Some(action::Type::Append.into()),
        append: Some(action::Append { bytes: bytes.to_vec(), cksum: None }),
        ..Action::default()
    }
}

pub fn nop(position: u64, promised: u64) -> Action {
    Action {
        position,
        promised,
        performed: Some(promised),
        r#type: Some(action::Type::Nop.into()),
        nop: Some(action::Nop::default()),
        ..Action::default()
    }
}

pub fn truncate(position: u64, promised: u64, to: u64) -> Action {
    Action {
        position,
        promised,
        performed: Some(promised),
        r#type: Some(action::Type::Truncate.into()),
        truncate: Some(action::Truncate { to }),
        ..Action::default()
    }
}

pub fn learned(action: Action) -> Action {
    Action { learned: Some(true), ..action }
}

impl Solo {
    /// A log whose disk has this.
    pub fn new(quorum: usize, status: Status, promised: u64, actions: &[Action]) -> Solo {
        Solo::with(quorum, true, status, promised, actions)
    }

    pub fn with(
        quorum: usize,
        auto_initialize: bool,
        status: Status,
        promised: u64,
        actions: &[Action],
    ) -> Solo {
        let now = Time::from_nanos(1_800_000_000_000_000_000);
        let mut disk = Disk::default();
        if status != Status::Empty {
            disk.metadata = Some(Metadata { status: status.into(), promised });
        }
        disk.actions = actions.iter().map(|action| (action.position, action.clone())).collect();
        let config = Config { pid: replica(1), quorum, auto_initialize, seed: 7 };
        let mut solo = Solo {
            log: Log::new(config, now),
            now,
            disk,
            written: Vec::new(),
            sent: Vec::new(),
            closed: Vec::new(),
            done: Vec::new(),
            timers: Vec::new(),
            lines: Vec::new(),
            failed: None,
            disk_waits: false,
            rng: Rng::new(1),
        };
        let restored = Box::new(solo.disk.restore());
        solo.event(Event::Restored(restored));
        solo
    }

    /// A voting replica that is one of three.
    pub fn voting(promised: u64, actions: &[Action]) -> Solo {
        let mut solo = Solo::new(2, Status::Voting, promised, actions);
        solo.members(&[1, 2, 3]);
        solo
    }

    pub fn members(&mut self, numbers: &[u8]) {
        let members: BTreeSet<Pid> = numbers.iter().map(|number| replica(*number)).collect();
        self.event(Event::Members(members));
    }

    pub fn event(&mut self, event: Event) {
        self.handle(event);
        if !self.disk_waits {
            self.work();
        }
    }

    pub fn handle(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.log.handle(self.now, event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Send { from, to, name, body } => self.sent.push(Sent { from, to, name, body }),
                Effect::Close { from } => self.closed.push(from),
                Effect::Persist { ticket, write } => {
                    self.written.push(write.clone());
                    self.disk.give(Job::Persist { ticket, write });
                }
                Effect::Read { ticket, from, to } => self.disk.give(Job::Read { ticket, from, to }),
                Effect::Done { ticket, outcome } => self.done.push((ticket, outcome)),
                Effect::SetTimer { timer, at } => {
                    self.timers.retain(|(other, _)| *other != timer);
                    self.timers.push((timer, at));
                }
                Effect::CancelTimer { timer } => self.timers.retain(|(other, _)| *other != timer),
                Effect::Failed { reason } => self.failed = Some(reason),
                Effect::Log { level, line, .. } => self.lines.push((level, line)),
            }
        }
    }

    /// The disk does all it was given.
    pub fn work(&mut self) {
        while !self.disk.is_idle() {
            for event in self.disk.work(&mut self.rng).0 {
                self.handle(event);
            }
        }
    }

    /// Fires the timer, when it is due; gives how long that took.
    pub fn fire(&mut self, timer: Timer) -> Duration {
        let found = self.timers.iter().position(|(set, _)| *set == timer);
        let (_, at) = self.timers.remove(found.unwrap_or_else(|| panic!("{timer:?} is not set")));
        let waited = at.since(self.now);
        self.now = self.now.max(at);
        self.event(Event::Timer(timer));
        waited
    }

    pub fn take_sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    /// The one message that was sent.
    pub fn only_sent(&mut self) -> Sent {
        let mut sent = self.take_sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0)
    }

    /// Another replica's program asks the replica something; gives the one answer.
    pub fn ask<M: Wire, A: Wire>(&mut self, request: &M) -> A {
        self.tell(request);
        let answer = self.only_sent();
        assert_eq!((answer.from.as_str(), &*answer.to.id), ("log-replica(1)", "__req_res__(4)"));
        answer.get()
    }

    /// Another replica's program asks or tells the replica something.
    pub fn tell<M: Wire>(&mut self, message: &M) {
        let from = Pid::new("__req_res__(4)", replica(2).address);
        let (to, name, body) = ("log-replica(1)".into(), M::NAME.into(), message.encode_bytes());
        self.event(Event::Message { from, to, name, body });
    }

    /// The answer to something that was sent.
    pub fn answer<M: Wire>(&mut self, to: &Sent, message: &M) {
        let (from, name, body) = (to.to.clone(), M::NAME.into(), message.encode_bytes());
        self.event(Event::Message { from, to: to.from.clone(), name, body });
    }

    /// A command, by a ticket that is given back.
    pub fn command(&mut self, command: Command) -> u64 {
        let ticket = 1000 + self.done.len() as u64 + self.rng.below(1 << 40);
        self.event(Event::Command { ticket, command });
        ticket
    }

    /// The outcome of a command that is done.
    pub fn outcome(&self, ticket: u64) -> Option<Result<Answer, Failure>> {
        self.done.iter().find(|(done, _)| *done == ticket).map(|(_, outcome)| outcome.clone())
    }
}
