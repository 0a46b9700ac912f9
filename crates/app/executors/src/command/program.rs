//! The loop of the executor: tells the machine what happened and carries out what it says. It must not decide
//! anything about the task.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use messor_linux::killtree::{self, Kernel, Tree};
use messor_linux::poll::{PollFd, PollFlags, poll};
use messor_linux::signals::SignalFd;
use messor_linux::{Pid, Signal, procfs, wait};
use messor_stdx::Time;

use super::contract::{Effect, Event};
use super::machine::{self, Machine};
use super::say;
use crate::shared::agent::{Agent, Heard};
use crate::shared::check::Which;
use crate::shared::clock::Clock;
use crate::shared::probe::Running;
use crate::shared::program::{ProgramError, seed};
use crate::shared::settings::Settings;
use crate::shared::start;

struct Program {
    settings: Settings,
    agent: Agent,
    task: Option<Pid>,
    probes: Vec<(Which, Running)>,
    /// Processes of checks that were stopped and are not reaped yet.
    stopped: Vec<Pid>,
    clock: Clock,
    events: VecDeque<Event>,
    /// Set once: whether the executor ends well.
    ends: Option<bool>,
}

/// Runs until the task's end is told, or cannot be told. Answers whether all went well.
pub fn run(settings: Settings) -> Result<bool, ProgramError> {
    let signals = SignalFd::new(&[Signal::CHILD, Signal::TERM, Signal::INT]).map_err(ProgramError::SetUp)?;
    // Whatever the task starts and forgets stays below this process, where it can be found and killed.
    wait::become_subreaper().map_err(ProgramError::SetUp)?;
    let mut machine = Machine::new(machine::Settings {
        framework: settings.framework.clone(),
        executor: settings.executor.clone(),
        shutdown_grace: settings.shutdown_grace,
        recovery: settings.recovery,
        seed: seed()?,
    });
    let mut program = Program {
        agent: Agent::new(&settings),
        settings,
        task: None,
        probes: Vec::new(),
        stopped: Vec::new(),
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
                program.signal(Signal::KILL);
                return Ok(good);
            }
        }
        program.wait(&signals, machine.deadline()).map_err(ProgramError::Wait)?;
        program.events.push_back(Event::Tick);
    }
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
            Effect::Start(info) => {
                let launch = start::task(&self.settings, &info).map_err(|error| error.to_string());
                // First in the queue: nothing may come between the launch and its answer.
                self.events.push_front(
                    match launch.and_then(|launch| launch.start().map_err(|e| e.to_string())) {
                        Ok(pid) => {
                            self.task = Some(pid);
                            Event::Started(pid.as_raw_nonzero().get())
                        }
                        Err(problem) => Event::NotStarted(problem),
                    },
                );
            }
            Effect::Terminate => self.signal(Signal::TERM),
            Effect::Kill => self.signal(Signal::KILL),
            Effect::Probe(which, probe) => {
                self.stop_probe(which);
                match Running::start(&self.settings, probe) {
                    Ok(running) => self.probes.push((which, running)),
                    Err(outcome) => self.events.push_back(Event::Measured(which, outcome)),
                }
            }
            Effect::StopProbe(which) => self.stop_probe(which),
            Effect::Say(text) => say(&text),
            Effect::Exit { success } => self.ends = Some(success),
        }
    }

    /// Signals the task and whatever came of it: every process below this one but those of checks.
    fn signal(&self, signal: Signal) {
        let me = rustix::process::getpid().as_raw_nonzero().get();
        let raw = |pid: Pid| pid.as_raw_nonzero().get();
        let mut spared: Vec<i32> = self.stopped.iter().copied().map(raw).collect();
        spared.extend(self.probes.iter().filter_map(|(_, running)| running.pid()).map(raw));
        spared.push(me);
        let children = match procfs::children(me) {
            Ok(children) => children.into_iter().map(|process| process.pid),
            Err(error) => {
                say(&format!("cannot list the processes of the task: {error}"));
                return self.signal_first(signal);
            }
        };
        let tree = Tree { roots: children.filter(|pid| !spared.contains(pid)).collect(), spared };
        if tree.roots.is_empty() {
            // A task of root may unmount /proc, in which nothing is seen then.
            if self.task.is_some() && !Path::new("/proc/self").exists() {
                say(
                    "cannot list the processes of the task: /proc is not mounted; its first one is signalled alone",
                );
                self.signal_first(signal);
            }
            return;
        }
        match killtree::kill_tree(&mut Kernel, &tree, signal) {
            Ok(members) if members.is_empty() => {}
            Ok(members) => {
                let name = if signal == Signal::KILL { "SIGKILL" } else { "SIGTERM" };
                say(&format!("sent {name} to {}", killtree::describe(&members)));
            }
            Err(error) => {
                say(&format!("cannot signal all processes of the task: {error}"));
                self.signal_first(signal);
            }
        }
    }

    /// The first process of the task at least.
    fn signal_first(&self, signal: Signal) {
        if let Some(Err(error)) = self.task.map(|pid| messor_linux::signals::send(pid, signal)) {
            say(&format!("cannot signal the task: {error}"));
        }
    }

    fn stop_probe(&mut self, which: Which) {
        let Some(index) = self.probes.iter().position(|(one, _)| *one == which) else { return };
        let (_, running) = self.probes.remove(index);
        let Some(pid) = running.pid() else { return };
        let me = rustix::process::getpid().as_raw_nonzero().get();
        let tree = Tree { roots: vec![pid.as_raw_nonzero().get()], spared: vec![me] };
        if let Err(error) = killtree::kill_tree(&mut Kernel, &tree, Signal::KILL) {
            say(&format!("cannot kill the command of a check: {error}"));
        }
        self.stopped.push(pid);
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
        let mut probes = Vec::new();
        for (which, running) in &self.probes {
            if let Some(descriptor) = running.interest() {
                probes.push((*which, descriptors.len()));
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
        for (which, index) in probes {
            if ready[index].is_empty() {
                continue;
            }
            // A check may have ended with the signals above.
            let Some(place) = self.probes.iter().position(|(one, _)| *one == which) else { continue };
            let (_, running) = self.probes.remove(place);
            match running.ready(&self.settings, ready[index]) {
                Ok(running) => self.probes.push((which, running)),
                Err(outcome) => self.events.push_back(Event::Measured(which, outcome)),
            }
        }
        Ok(())
    }

    fn signalled(&mut self, signals: &SignalFd) -> io::Result<()> {
        while let Some(signal) = signals.read()? {
            if signal != Signal::CHILD {
                self.events.push_back(Event::Terminate);
            }
        }
        // One SIGCHLD may stand for many.
        while let Some(reaped) = wait::reap_any()? {
            self.stopped.retain(|pid| *pid != reaped.pid);
            if self.task == Some(reaped.pid) {
                self.task = None;
                self.events.push_back(Event::Ended(reaped.exit));
            } else if let Some(index) = self.probes.iter().position(|(_, one)| one.pid() == Some(reaped.pid))
            {
                let (which, running) = self.probes.remove(index);
                self.events.push_back(Event::Measured(which, running.ended(reaped.exit)));
            }
        }
        Ok(())
    }
}
