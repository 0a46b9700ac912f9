//! The machine: it brings events to the replica, the recovery, the writer and the reader.

use std::collections::VecDeque;

use messor_proto::mesos::internal::log::metadata::Status;
use messor_stdx::{Random, Time};
use messor_types::Pid;

use crate::config::{Config, MAX_ENTRY_BYTES, MAX_WAITING};
use crate::core::Core;
use crate::disk::Disk;
use crate::effect::{Effect, Failure};
use crate::event::{Command, Event, Timer, User};
use crate::message::Message;
use crate::network::Network;
use crate::reader::Reader;
use crate::recovery::Recovery;
use crate::replica::{Origin, Replica};
use crate::restored::Restored;
use crate::tally::Outcome;
use crate::turn::Turn;
use crate::writer::{Task, Writer};

/// One replica of the log, with its writer and its reader.
pub struct Log {
    core: Core,
    recovery: Recovery,
    writer: Writer,
    reader: Reader,
    /// Commands that came before the replica could vote.
    waiting: VecDeque<(u64, Command)>,
    restored: bool,
    failed: Option<String>,
}

impl Log {
    pub fn new(config: Config, now: Time) -> Log {
        let mut random = Random::new(config.seed ^ now.as_nanos());
        let network = Network::new(&config, &mut random);
        let replica = Replica::new(&config.pid.id, &Restored::default());
        Log {
            core: Core { config, replica, network, disk: Disk::default(), random },
            recovery: Recovery::new(),
            writer: Writer::new(),
            reader: Reader::new(),
            waiting: VecDeque::new(),
            restored: false,
            failed: None,
        }
    }

    /// The replica may vote: the metric log/recovered.
    pub fn recovered(&self) -> bool {
        self.recovery.is_done()
    }

    /// How many replicas the network has: the metric log/ensemble_size.
    pub fn ensemble_size(&self) -> usize {
        self.core.network.size()
    }

    /// This replica is the writer, as far as it knows.
    pub fn is_elected(&self) -> bool {
        self.writer.is_elected()
    }

    pub fn status(&self) -> Status {
        self.core.replica.status()
    }

    /// The highest proposal promised for all positions.
    pub fn promised(&self) -> u64 {
        self.core.replica.promised()
    }

    /// The first position that is not truncated, and the last that was written.
    pub fn ends(&self) -> (u64, u64) {
        (self.core.replica.begin(), self.core.replica.end())
    }

    pub fn handle(&mut self, now: Time, event: Event, effects: &mut Vec<Effect>) {
        let turn = &mut Turn::new(now, effects);
        if let Some(reason) = &self.failed {
            if let Event::Command { ticket, .. } = event {
                turn.done(ticket, Err(Failure::Storage(reason.clone())));
            }
            return;
        }
        match event {
            Event::Restored(restored) => self.restored(&restored, turn),
            Event::Message { from, to, name, body } => self.message(from, &to, &name, &body, turn),
            Event::Members(members) => {
                for (user, outcome) in self.core.network.set_members(members, turn) {
                    self.outcome(user, outcome, turn);
                }
            }
            Event::Persisted { ticket, outcome: Ok(()) } => self.core.disk.persisted(ticket),
            Event::Persisted { outcome: Err(reason), .. } => return self.fail(reason, turn),
            // Damaged, or the disk does not read any more: to go on would be to answer some and not others, for ever.
            Event::Read { outcome: Err(reason), .. } => return self.fail(reason, turn),
            Event::Read { ticket, outcome: Ok(actions) } => {
                if !self.core.replica.read(ticket, &actions, &mut self.core.disk, turn) {
                    self.reader.found(ticket, actions, turn);
                }
            }
            Event::Command { ticket, command } => self.command(ticket, command, turn),
            Event::Timer(Timer::Round(user)) => {
                if let Some(outcome) = self.core.network.timed_out(user, turn) {
                    self.outcome(user, outcome, turn);
                }
            }
            Event::Timer(Timer::Retry(User::Recovery)) => self.recovery.retry(&mut self.core, turn),
            Event::Timer(Timer::Retry(User::Writer)) => self.writer.retry(&mut self.core, turn),
            Event::Timer(Timer::Retry(User::Reader)) => self.reader.retry(&mut self.core, turn),
        }
        self.go_on(turn);
    }

    fn restored(&mut self, restored: &Restored, turn: &mut Turn<'_>) {
        if self.restored {
            turn.error("The log was restored a second time; that changes nothing".to_string());
            return;
        }
        self.restored = true;
        self.core.replica = Replica::new(&self.core.config.pid.id, restored);
        self.recovery.start(&mut self.core, turn);
    }

    /// The store is broken: nothing is said any more.
    fn fail(&mut self, reason: String, turn: &mut Turn<'_>) {
        turn.error(format!("The log's storage failed, its replica stops: {reason}"));
        let mut tickets: Vec<u64> = self.waiting.drain(..).map(|(ticket, _)| ticket).collect();
        tickets.extend(self.writer.abandon());
        tickets.extend(self.reader.abandon());
        for ticket in tickets {
            turn.done(ticket, Err(Failure::Storage(reason.clone())));
        }
        for user in [User::Recovery, User::Writer, User::Reader] {
            self.core.network.stop(user, turn);
            turn.cancel_timer(Timer::Retry(user));
        }
        turn.effect(Effect::Failed { reason: reason.clone() });
        self.failed = Some(reason);
    }

    fn message(&mut self, from: Pid, to: &str, name: &str, body: &[u8], turn: &mut Turn<'_>) {
        if !self.restored {
            return;
        }
        match Message::decode(name, body) {
            Err(error) => turn.warning(format!("Dropping a message of {from} to the log: {error}")),
            Ok(Message::Request(request)) => {
                if to == &*self.core.config.pid.id {
                    self.core.replica.receive(Origin::Remote(from), request, turn);
                }
            }
            Ok(Message::Response(response)) => {
                if let Some((user, outcome)) = self.core.network.answer_to(to, response, turn) {
                    self.outcome(user, outcome, turn);
                }
            }
        }
    }

    fn command(&mut self, ticket: u64, command: Command, turn: &mut Turn<'_>) {
        if let Command::Append(bytes) = &command
            && bytes.len() > MAX_ENTRY_BYTES
        {
            let failure = Failure::TooLarge { bytes: bytes.len(), limit: MAX_ENTRY_BYTES };
            turn.done(ticket, Err(failure));
        } else if self.recovery.is_done() && self.waiting.is_empty() {
            self.carry_out(ticket, command, turn);
        } else if self.waiting.len() >= MAX_WAITING {
            turn.done(ticket, Err(Failure::Busy(MAX_WAITING)));
        } else if matches!(command, Command::Append(_) | Command::Truncate { .. }) {
            turn.done(ticket, Err(Failure::NotLeading));
        } else {
            self.waiting.push_back((ticket, command));
        }
    }

    fn carry_out(&mut self, ticket: u64, command: Command, turn: &mut Turn<'_>) {
        let core = &mut self.core;
        match command {
            Command::Elect => self.writer.command(ticket, Task::Elect, core, turn),
            Command::Append(bytes) => self.writer.command(ticket, Task::Append(bytes), core, turn),
            Command::Truncate { to } => self.writer.command(ticket, Task::Truncate { to }, core, turn),
            Command::Demote => self.writer.demote(ticket, core, turn),
            Command::Read { from, to } => self.reader.read(ticket, from, to, core, turn),
            Command::Ends => self.reader.ends(ticket, core, turn),
            Command::CatchUp => self.reader.catch_up(ticket, core, turn),
        }
    }

    fn outcome(&mut self, user: User, outcome: Outcome, turn: &mut Turn<'_>) {
        match user {
            User::Recovery => self.recovery.outcome(outcome, &mut self.core, turn),
            User::Writer => self.writer.outcome(outcome, &mut self.core, turn),
            User::Reader => self.reader.outcome(outcome, &mut self.core, turn),
        }
    }

    /// Until nothing more follows: what this program says to its own replica, and what that answers, stays in here.
    fn go_on(&mut self, turn: &mut Turn<'_>) {
        if !self.restored {
            return;
        }
        loop {
            let core = &mut self.core;
            for number in std::mem::take(&mut core.network.closed) {
                core.replica.forget(number);
            }
            while let Some((origin, request)) = core.network.local.pop_front() {
                core.replica.receive(origin, request, turn);
            }
            core.replica.run(&mut core.disk, turn);
            let answers = core.replica.release(&core.disk, turn);
            let mut moved = !answers.is_empty();
            for (number, response) in answers {
                if let Some((user, outcome)) = self.core.network.answer(number, response, turn) {
                    self.outcome(user, outcome, turn);
                }
            }
            moved |= self.recovery.advance(&mut self.core, turn);
            if self.recovery.is_done() {
                for (ticket, command) in std::mem::take(&mut self.waiting) {
                    self.carry_out(ticket, command, turn);
                }
            }
            moved |= self.writer.advance(&mut self.core, turn);
            moved |= self.reader.advance(&mut self.core, turn);
            if !moved && self.core.network.local.is_empty() {
                return;
            }
        }
    }
}
