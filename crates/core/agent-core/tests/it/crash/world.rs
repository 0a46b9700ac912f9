//! Time, the network, the disk and the agent on it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use messor_agent_core::{
    Agent, Config, ContainerCommand, ContainerEvent, Effect, Event, ExecutorState, Outcome, Record, ReplyId,
    StreamId, Timer,
};
use messor_proto::Wire;
use messor_proto::mesos::slave::QoSCorrection;
use messor_stdx::{Duration, Time};
use messor_types::{ContainerId, Pid};

use super::host::{Process, Step};
use super::master::{Master, MasterStep};
use crate::build;
use crate::disk::Disk;

/// How long things go wrong, and how long they then have to come right.
const CHAOS: Duration = Duration::from_secs(40);
const CALM: Duration = Duration::from_secs(45 * 60);

pub struct Random(messor_stdx::Random);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0.below(limit)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

#[derive(Debug)]
pub enum Happening {
    /// Something that the agent of this life hears of.
    Agent(u64, Event),
    /// Gone with the connection if the agent crashed meanwhile.
    ToMaster {
        name: &'static str,
        body: Vec<u8>,
    },
    ToDriver {
        to: Pid,
        name: &'static str,
        body: Vec<u8>,
    },
    /// The oldest record reaches the disk.
    Write(u64),
    Timer(u64, Timer, Time),
    Process(ContainerId, Step),
    /// The containerizer looks at what runs.
    Look(u64, Vec<messor_agent_core::Run>),
    Restart,
    Master(MasterStep),
}

pub struct World {
    pub random: Random,
    pub now: Time,
    begin: Time,
    agenda: BTreeMap<(Time, u64), Happening>,
    next: u64,
    trace: bool,
    agent: Option<Agent>,
    pub life: u64,
    timers: BTreeMap<Timer, Time>,
    pub disk: Disk,
    rebooted: bool,
    asked: VecDeque<(u64, Record)>,
    pub processes: BTreeMap<ContainerId, Process>,
    /// What the containerizer of this life looks after.
    pub watched: BTreeSet<ContainerId>,
    /// Launches that did not come to a process yet; true: not wanted any more.
    pub preparing: BTreeMap<ContainerId, bool>,
    pub streams: BTreeMap<StreamId, ContainerId>,
    pub subscribing: BTreeMap<ReplyId, (ContainerId, StreamId)>,
    pub next_id: u64,
    pub begun: BTreeSet<String>,
    /// Updates that executors may forget, as the agent has them.
    pub accepted: Vec<(String, Vec<u8>)>,
    pub master: Master,
    /// One after the other on a connection.
    arrivals: BTreeMap<String, Time>,
    crashes: u64,
}

impl World {
    pub fn new(seed: u64, trace: bool) -> World {
        let now = Time::from_secs_f64(1_600_000_000.0);
        World {
            random: Random(messor_stdx::Random::new(seed)),
            now,
            begin: now,
            agenda: BTreeMap::new(),
            next: 0,
            trace,
            agent: None,
            life: 0,
            timers: BTreeMap::new(),
            disk: Disk::default(),
            rebooted: false,
            asked: VecDeque::new(),
            processes: BTreeMap::new(),
            watched: BTreeSet::new(),
            preparing: BTreeMap::new(),
            streams: BTreeMap::new(),
            subscribing: BTreeMap::new(),
            next_id: 0,
            begun: BTreeSet::new(),
            accepted: Vec::new(),
            master: Master::default(),
            arrivals: BTreeMap::new(),
            crashes: 0,
        }
    }

    pub fn run(mut self) {
        self.at(Duration::ZERO, Happening::Restart);
        self.at(Duration::from_secs(1), Happening::Master(MasterStep::Work));
        let end = self.begin + CHAOS + CALM;
        while let Some(&(at, _)) = self.agenda.keys().next() {
            let quiet = at > self.begin + CHAOS && self.is_quiet();
            // Without pings, an agent registers anew every now and then.
            if (quiet || at > end) && self.master.connected && self.is_settled(at > end) {
                break;
            }
            let Some((_, happening)) = self.agenda.pop_first() else { break };
            self.now = at;
            self.happen(happening);
        }
        self.check();
    }

    /// Nothing is left to come but what comes again and again.
    fn is_quiet(&self) -> bool {
        self.asked.is_empty()
            && self.preparing.is_empty()
            && self.processes.values().all(|process| !process.alive)
            && self.master.tasks.values().all(|task| task.lost || task.completed)
            && self.agenda.values().all(|happening| {
                matches!(
                    happening,
                    Happening::Timer(..)
                        | Happening::Agent(_, Event::Estimated(_) | Event::Corrections(_))
                        | Happening::Process(_, Step::Connect | Step::Progress(_))
                )
            })
    }

    /// The agent is registered, and waits for no acknowledgement unless it is `late`.
    fn is_settled(&self, late: bool) -> bool {
        let Some(agent) = &self.agent else { return false };
        let view = agent.view(self.now);
        let mut executors = view.frameworks.iter().flat_map(|framework| &framework.executors);
        view.registered && (late || executors.all(|executor| executor.terminated_tasks.is_empty()))
    }

    pub fn life_is_over(&self) -> bool {
        self.agent.is_none()
    }

    pub fn chaos(&self) -> bool {
        self.now < self.begin + CHAOS
    }

    pub fn note(&self, line: impl FnOnce() -> String) {
        if self.trace {
            println!("{:9.3} {}", self.now.since(self.begin).as_secs_f64(), line());
        }
    }

    pub fn at(&mut self, after: Duration, happening: Happening) {
        self.next += 1;
        self.agenda.insert((self.now + after, self.next), happening);
    }

    /// As `at`, but never before what was sent on the same connection earlier.
    pub fn in_order(&mut self, connection: String, after: Duration, happening: Happening) {
        let at = (self.now + after).max(self.arrivals.get(&connection).copied().unwrap_or(self.now));
        self.arrivals.insert(connection, at);
        self.next += 1;
        self.agenda.insert((at, self.next), happening);
    }

    /// A message to the agent of this life.
    pub fn tell_agent<M: Wire>(&mut self, from: &Pid, message: M) {
        let event =
            Event::Message { from: from.clone(), name: M::NAME.to_string(), body: message.encode_bytes() };
        let after = self.random.millis(1, 30);
        self.in_order(format!("{from} {}", self.life), after, Happening::Agent(self.life, event));
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Agent(life, event) if life == self.life => self.agent(event),
            Happening::Agent(..) => {}
            Happening::ToMaster { name, body } => self.master_hears(name, &body),
            Happening::ToDriver { to, name, body } => self.driver_hears(&to, name, &body),
            Happening::Write(life) if life == self.life => {
                if let Some((ticket, record)) = self.asked.pop_front() {
                    self.write(record);
                    self.agent(Event::Persisted { ticket, outcome: Ok(()) });
                }
            }
            Happening::Write(_) => {}
            Happening::Timer(life, timer, at) => {
                if life == self.life && self.timers.get(&timer) == Some(&at) {
                    self.timers.remove(&timer);
                    self.agent(Event::Timer(timer));
                }
            }
            Happening::Process(container, step) => self.step(&container, step),
            Happening::Look(life, runs) if life == self.life => self.look(&runs),
            Happening::Look(..) => {}
            Happening::Restart => self.restart(),
            Happening::Master(step) => self.master_step(step),
        }
    }

    fn write(&mut self, record: Record) {
        self.note(|| format!("disk: {}", format!("{record:?}").chars().take(150).collect::<String>()));
        self.rebooted &= !matches!(record, Record::Boot);
        self.disk.write(record);
    }

    pub fn agent(&mut self, event: Event) {
        let Some(agent) = &mut self.agent else { return };
        let mut effects = Vec::new();
        if self.trace && !matches!(event, Event::Persisted { .. }) {
            let text = match &event {
                Event::Message { from, name, .. } => format!("{name} from {from}"),
                other => format!("{other:?}").chars().take(150).collect(),
            };
            println!("{:9.3} -> {text}", self.now.since(self.begin).as_secs_f64());
        }
        agent.handle(self.now, event, &mut effects);
        let crash = self.chaos() && self.random.below(1_000) < 25;
        let until = if crash { self.random.below(effects.len() as u64 + 1) as usize } else { effects.len() };
        for effect in effects.into_iter().take(until) {
            self.carry_out(effect);
        }
        if crash {
            self.crash();
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Send { to, name, body } if to == build::master() => {
                let after = self.random.millis(1, 30);
                self.in_order("master".to_string(), after, Happening::ToMaster { name, body });
            }
            Effect::Send { to, name, body } => {
                let after = self.random.millis(1, 30);
                self.in_order(to.to_string(), after, Happening::ToDriver { to, name, body });
            }
            Effect::StreamOpened { stream, reply } => self.stream_opened(stream, reply),
            Effect::Stream { stream, event } => self.stream_event(stream, &event),
            Effect::CloseStream { stream } => self.stream_closed(stream),
            Effect::Reply { reply, outcome } => {
                if let Some((container, _)) = self.subscribing.remove(&reply) {
                    assert!(matches!(outcome, Outcome::Unavailable(_) | Outcome::Invalid(_)), "{outcome:?}");
                    let after = self.random.millis(50, 300);
                    self.at(after, Happening::Process(container, Step::Connect));
                }
            }
            Effect::Container(ContainerCommand::Launch(launch)) => {
                self.preparing.insert(launch.container.clone(), false);
                let after = self.random.millis(1, 100);
                let container = launch.container.clone();
                self.at(after, Happening::Process(container, Step::Fork(self.life, launch)));
            }
            Effect::Container(ContainerCommand::Destroy { container }) => self.destroy(&container),
            Effect::Container(ContainerCommand::Recover { runs }) => {
                let after = self.random.millis(1, 100);
                self.at(after, Happening::Look(self.life, runs));
            }
            Effect::Container(ContainerCommand::Update { .. } | ContainerCommand::Check { .. }) => {}
            Effect::Persist { ticket, record } => {
                self.asked.push_back((ticket, record));
                let after = self.random.millis(1, 40);
                self.in_order(format!("disk {}", self.life), after, Happening::Write(self.life));
            }
            Effect::SetTimer { timer, at } => {
                self.timers.insert(timer.clone(), at);
                self.next += 1;
                self.agenda.insert((at, self.next), Happening::Timer(self.life, timer, at));
            }
            Effect::CancelTimer { timer } => drop(self.timers.remove(&timer)),
            Effect::Abort { reason } => panic!("the agent ends: {reason}"),
            Effect::Log { line, .. } => self.note(|| format!("   {line}")),
            Effect::Estimate => {
                let estimate = vec![build::revocable("cpus", self.random.below(3) as f64)];
                let estimate = if self.random.chance(10) { Err("none".to_string()) } else { Ok(estimate) };
                let after = self.random.millis(1, 100);
                self.at(after, Happening::Agent(self.life, Event::Estimated(estimate)));
            }
            Effect::Correct => {
                let corrections = self.corrections();
                let after = self.random.millis(1, 100);
                self.at(after, Happening::Agent(self.life, Event::Corrections(Ok(corrections))));
            }
            Effect::Link { .. }
            | Effect::Unlink { .. }
            | Effect::ScheduleGc { .. }
            | Effect::ScheduleGcOfOld { .. }
            | Effect::UnscheduleGc { .. } => {}
        }
    }

    /// Now and then one executor has to go.
    fn corrections(&mut self) -> Vec<QoSCorrection> {
        let processes = self.processes.values().filter(|process| process.alive);
        let kills: Vec<QoSCorrection> = processes.map(Process::correction).collect();
        match self.chaos() && self.random.chance(10) && !kills.is_empty() {
            true => vec![kills[self.random.below(kills.len() as u64) as usize].clone()],
            false => Vec::new(),
        }
    }

    fn crash(&mut self) {
        self.crashes += 1;
        // Some of what was asked for was written, without a word.
        let written = self.random.below(self.asked.len() as u64 + 1);
        for _ in 0..written {
            if let Some((_, record)) = self.asked.pop_front() {
                self.write(record);
            }
        }
        let reboot = self.random.chance(5);
        self.note(|| format!("CRASH{}", if reboot { " of the host" } else { "" }));
        self.asked.clear();
        self.agent = None;
        self.life += 1;
        self.timers.clear();
        self.watched.clear();
        self.preparing.clear();
        self.streams.clear();
        self.subscribing.clear();
        self.master.connected = false;
        self.agent_is_gone(reboot);
        self.rebooted |= reboot;
        let after = self.random.millis(100, 3_000);
        self.at(after, Happening::Restart);
    }

    fn restart(&mut self) {
        self.note(|| "the agent starts".to_string());
        if self.rebooted {
            self.disk.forget_pids();
        }
        let mut past = self.disk.recovered();
        past.rebooted = self.rebooted;
        let seed = self.random.0.next();
        let config = Config {
            seed,
            oversubscribed_resources_interval: Some(Duration::from_secs(15)),
            qos_correction_interval: Some(Duration::from_secs(2)),
            ..build::config()
        };
        self.agent = Some(Agent::new(config, self.now));
        self.agent(Event::Recovered(Box::new(past)));
        let leader = Some(Box::new(build::master_info()));
        self.at(Duration::from_millis(5), Happening::Agent(self.life, Event::Detected { leader }));
    }

    /// What the containerizer finds: the runs that were asked for, and others, which it ends.
    fn look(&mut self, runs: &[messor_agent_core::Run]) {
        let mut running = BTreeMap::new();
        let mut exited = Vec::new();
        for run in runs {
            let found = self.processes.get(&run.container);
            let Some(pid) = run.forked_pid else { continue };
            if found.is_some_and(|process| process.alive && process.pid == pid) {
                running.insert(run.container.clone(), pid);
            } else if self.random.chance(50) {
                running.insert(run.container.clone(), pid);
                exited.push(run.container.clone());
            }
        }
        let orphans: Vec<ContainerId> = self
            .processes
            .iter()
            .filter(|(container, process)| process.alive && !running.contains_key(*container))
            .map(|(container, _)| container.clone())
            .collect();
        for orphan in &orphans {
            self.note(|| format!("orphan {orphan} is destroyed"));
            self.die(orphan);
        }
        self.watched = running.keys().cloned().collect();
        let destroyed = orphans.len();
        self.agent(Event::Container(ContainerEvent::Recovered { running, destroyed }));
        for container in exited {
            self.ended(&container);
        }
    }

    /// The containerizer tells of the end of one that it looks after.
    pub fn ended(&mut self, container: &ContainerId) {
        if self.watched.remove(container) {
            let event =
                ContainerEvent::Exited { container: container.clone(), status: Some(0), limitation: None };
            let after = self.random.millis(1, 30);
            self.at(after, Happening::Agent(self.life, Event::Container(event)));
        }
    }

    fn check(&mut self) {
        let agent = self.agent.as_ref().expect("the agent runs in the end");
        let view = agent.view(self.now);
        for (id, task) in &self.master.tasks {
            assert!(task.lost || task.terminal, "task {id} is lost: {task:?}");
        }
        for (id, uuid) in &self.accepted {
            let task = &self.master.tasks[id];
            assert!(
                task.lost || !task.checkpoint || task.delivered.contains(uuid),
                "update {uuid:?} of task {id} is lost: {task:?}"
            );
        }
        let executors = || view.frameworks.iter().flat_map(|framework| &framework.executors);
        let known: BTreeSet<ContainerId> = executors()
            .filter(|executor| executor.state != ExecutorState::Terminated)
            .map(|executor| executor.container.clone())
            .collect();
        let alive = self.processes.iter().filter(|(_, process)| process.alive);
        let alive: BTreeSet<ContainerId> = alive.map(|(container, _)| container.clone()).collect();
        assert_eq!(known, alive, "every container is known, and nothing else is");
        for executor in executors() {
            assert!(
                executor.queued_tasks.is_empty() && executor.terminated_tasks.is_empty(),
                "nothing waits any more in executor {}",
                executor.id
            );
        }
        assert!(self.asked.is_empty());
        let idle = view.frameworks.is_empty();
        assert!(!idle || view.drain_config.is_none(), "the drain is over");
        assert_eq!(view.drain_config, self.disk.drain());
    }
}
