//! The loop of the default executor: tells the machine what happened and carries out what it says. It must not decide
//! anything about tasks.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::UdpSocket;
use std::path::{Component, Path, PathBuf};

use messor_linux::poll::{PollFd, PollFlags, poll};
use messor_linux::signals::SignalFd;
use messor_linux::{Signal, wait};
use messor_proto::mesos::ContainerId;
use messor_stdx::Time;

use super::asks::Ask;
use super::contract::{Effect, Event, Question, Task};
use super::machine::{self, Machine};
use super::probe::{Probing, Progress, Session};
use super::say;
use crate::shared::agent::{Agent, Heard};
use crate::shared::check::{Probe, Which};
use crate::shared::clock::Clock;
use crate::shared::probe::Running;
use crate::shared::program::{ProgramError, seed};
use crate::shared::settings::{Address, Settings};
use crate::shared::status::Stamps;

/// Where tasks find the sandboxes of the containers of a group, by the ids of tasks.
const TASKS: &str = "tasks";

struct Program {
    settings: Settings,
    agent: Agent,
    asks: BTreeMap<Question, Ask>,
    probes: BTreeMap<(Task, Which), Probing>,
    /// Sessions of checks whose results are told or not wanted any more, on their way to be removed.
    cleaning: Vec<Session>,
    stamps: Stamps,
    clock: Clock,
    events: VecDeque<Event>,
    /// Set once: whether the executor ends well.
    ends: Option<bool>,
}

/// Runs until the ends of all tasks are told, or cannot be told. Answers whether all went well.
pub fn run(settings: Settings) -> Result<bool, ProgramError> {
    let signals = SignalFd::new(&[Signal::CHILD, Signal::TERM, Signal::INT]).map_err(ProgramError::SetUp)?;
    let seeds = [seed()?, seed()?];
    let mut machine = Machine::new(machine::Settings {
        framework: settings.framework.clone(),
        executor: settings.executor.clone(),
        shutdown_grace: settings.shutdown_grace,
        recovery: settings.recovery,
        ip: settings.ip.or_else(|| own_ip(&settings.address)).map(|ip| ip.to_string()),
        seed: seeds[0],
    });
    let mut program = Program {
        agent: Agent::new(&settings),
        settings,
        asks: BTreeMap::new(),
        probes: BTreeMap::new(),
        cleaning: Vec::new(),
        stamps: Stamps::new(seeds[1]),
        clock: Clock::start(),
        events: VecDeque::from([Event::Tick]),
        ends: None,
    };
    let mut effects = Vec::new();
    loop {
        while let Some(event) = program.events.pop_front() {
            machine.handle(program.clock.now(), event, &mut effects);
            for effect in effects.drain(..) {
                program.carry_out(effect);
            }
            if let Some(good) = program.ends {
                return Ok(good);
            }
        }
        program.wait(&signals, machine.deadline()).map_err(ProgramError::Wait)?;
        program.events.push_back(Event::Tick);
    }
}

/// The address that this host has towards the agent.
fn own_ip(agent: &Address) -> Option<std::net::IpAddr> {
    let Address::Ip(agent) = agent else { return None };
    let any = if agent.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    // Connecting a datagram socket sends nothing.
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(agent).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

impl Program {
    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Open => {
                if let Err(problem) = self.agent.open() {
                    self.events.push_back(Event::Heard(Heard::Lost(problem)));
                }
            }
            Effect::Send(call) => {
                if let Err(problem) = self.agent.send(&call) {
                    self.events.push_back(Event::Heard(Heard::Lost(problem)));
                }
            }
            Effect::Ask(question, call) => match Ask::start(&self.settings, &call, false) {
                Ok(ask) => drop(self.asks.insert(question, ask)),
                Err(problem) => self.events.push_back(Event::Answered(question, Err(problem))),
            },
            Effect::ForgetQuestions => self.asks.clear(),
            Effect::Show { task, container } => self.show(&task, &container),
            Effect::Probe { task, container, which, probe } => self.probe(task, *container, which, probe),
            Effect::StopProbe(task, which) => self.stop_probe(&(task, which)),
            Effect::Say(text) => say(&text),
            Effect::Exit { success } => self.ends = Some(success),
        }
    }

    /// A link to the sandbox of a task's container, by the id of the task.
    fn show(&self, task: &str, container: &str) {
        let sandbox = self.settings.sandbox.clone().unwrap_or_else(|| PathBuf::from("."));
        let is_name = |text: &str| {
            matches!(Path::new(text).components().collect::<Vec<_>>()[..], [Component::Normal(_)])
        };
        if !is_name(task) || !is_name(container) {
            return say(&format!("task {task}: its id is no name of a file"));
        }
        let made = std::fs::create_dir_all(TASKS).and_then(|()| {
            std::os::unix::fs::symlink(
                sandbox.join("containers").join(container),
                Path::new(TASKS).join(task),
            )
        });
        match made {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                say(&format!("cannot link the sandbox of task {task}: {error}"));
            }
            _ => {}
        }
    }

    fn probe(&mut self, task: Task, parent: ContainerId, which: Which, probe: Probe) {
        let key = (task.clone(), which);
        self.stop_probe(&key);
        let started = match probe {
            Probe::Command(command) => {
                let suffix = if which == Which::Health { "health-check" } else { "check" };
                let value = format!("{}-{suffix}", crate::shared::status::uuid_text(&self.stamps.uuid()));
                let container = ContainerId { value, parent: Some(Box::new(parent)) };
                match Session::start(&self.settings, container, &command) {
                    Ok(session) => Ok(Probing::Session(session)),
                    Err(problem) => {
                        say(&format!("a check of task {task} cannot begin: {problem}"));
                        Err(None)
                    }
                }
            }
            other => Running::start(&self.settings, other).map(Probing::Local).map_err(Some),
        };
        match started {
            Ok(probing) => drop(self.probes.insert(key, probing)),
            Err(outcome) => self.events.push_back(Event::Measured(task, which, outcome)),
        }
    }

    fn stop_probe(&mut self, key: &(Task, Which)) {
        match self.probes.remove(key) {
            None => {}
            Some(Probing::Session(session)) => self.cleaning.extend(session.abandon(&self.settings)),
            Some(Probing::Local(running)) => {
                // Of local checks only https has a process, which ends by itself soon; it is reaped then.
                if let Some(pid) = running.pid() {
                    let _ = rustix::process::kill_process(pid, Signal::KILL);
                }
            }
        }
    }

    /// Waits until something happens or the deadline comes, and notes what happened.
    fn wait(&mut self, signals: &SignalFd, deadline: Time) -> io::Result<()> {
        let timeout = match deadline {
            Time::NEVER => None,
            at => Some(at.since(self.clock.now().steady)),
        };
        let mut descriptors = vec![PollFd::new(signals, PollFlags::IN)];
        let agent = self.agent.interest();
        let agents = 1..1 + agent.len();
        descriptors.extend(agent);
        let asks = descriptors.len();
        descriptors.extend(self.asks.values().map(Ask::interest));
        let cleaning = descriptors.len();
        descriptors.extend(self.cleaning.iter().map(Session::interest));
        let mut probes = Vec::new();
        for (key, probing) in &self.probes {
            let interest = match probing {
                Probing::Local(running) => running.interest(),
                Probing::Session(session) => Some(session.interest()),
            };
            if let Some(descriptor) = interest {
                probes.push((key.clone(), descriptors.len()));
                descriptors.push(descriptor);
            }
        }
        poll(&mut descriptors, timeout)?;
        let ready: Vec<PollFlags> = descriptors.iter().map(PollFd::revents).collect();
        drop(descriptors);

        if !ready[0].is_empty() {
            self.signalled(signals)?;
        }
        let mut heard = Vec::new();
        self.agent.ready(&ready[agents], &mut heard);
        self.events.extend(heard.into_iter().map(Event::Heard));
        self.go_on_asking(&ready[asks..cleaning]);
        let sessions = std::mem::take(&mut self.cleaning);
        for (session, ready) in sessions.into_iter().zip(&ready[cleaning..]) {
            if ready.is_empty() {
                self.cleaning.push(session);
                continue;
            }
            if let Progress::Goes(session) = session.ready(&self.settings, *ready) {
                self.cleaning.push(session);
            }
        }
        for (key, index) in probes {
            if !ready[index].is_empty() {
                self.go_on_probing(key, ready[index]);
            }
        }
        Ok(())
    }

    fn go_on_asking(&mut self, ready: &[PollFlags]) {
        let mut answers = Vec::new();
        for ((question, ask), ready) in self.asks.iter_mut().zip(ready) {
            if ready.is_empty() {
                continue;
            }
            if let Some(answer) = ask.ready(*ready) {
                answers.push((question.clone(), answer));
            }
        }
        for (question, answer) in answers {
            self.asks.remove(&question);
            self.events.push_back(Event::Answered(question, answer));
        }
    }

    fn go_on_probing(&mut self, key: (Task, Which), ready: PollFlags) {
        match self.probes.remove(&key) {
            None => {}
            Some(Probing::Local(running)) => match running.ready(&self.settings, ready) {
                Ok(running) => drop(self.probes.insert(key, Probing::Local(running))),
                Err(outcome) => self.events.push_back(Event::Measured(key.0, key.1, Some(outcome))),
            },
            Some(Probing::Session(session)) => match session.ready(&self.settings, ready) {
                Progress::Goes(session) => drop(self.probes.insert(key, Probing::Session(session))),
                Progress::Measured(outcome, rest) => {
                    self.cleaning.extend(rest);
                    self.events.push_back(Event::Measured(key.0, key.1, outcome));
                }
                Progress::Over => self.events.push_back(Event::Measured(key.0, key.1, None)),
            },
        }
    }

    fn signalled(&mut self, signals: &SignalFd) -> io::Result<()> {
        while let Some(signal) = signals.read()? {
            if signal != Signal::CHILD {
                self.events.push_back(Event::Terminate);
            }
        }
        // One SIGCHLD may stand for many.
        while let Some(reaped) = wait::reap_any()? {
            let of_pid = |probing: &Probing| matches!(probing, Probing::Local(running) if running.pid() == Some(reaped.pid));
            let key = self.probes.iter().find(|(_, probing)| of_pid(probing)).map(|(key, _)| key.clone());
            if let Some((task, which)) = key
                && let Some(Probing::Local(running)) = self.probes.remove(&(task.clone(), which))
            {
                self.events.push_back(Event::Measured(task, which, Some(running.ended(reaped.exit))));
            }
        }
        Ok(())
    }
}
