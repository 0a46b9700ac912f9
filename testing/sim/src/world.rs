//! A whole cluster on one thread: a master with its allocator, agents with their executors, a scheduler, and the
//! network between them. One seed decides everything that happens.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use messor_agent_core::{
    Agent, ContainerCommand, Effect as AgentEffect, Event as AgentEvent, Timer as AgentTimer,
};
use messor_allocator::Allocator;
use messor_master_core::{Effect as MasterEffect, Event as MasterEvent, Master, Timer as MasterTimer};
use messor_proto::Wire;
use messor_proto::mesos::internal::StatusUpdateAcknowledgementMessage;
use messor_proto::mesos::{AgentInfo, MasterInfo};
use messor_stdx::Time;
use messor_types::Pid;

use crate::executors::{Executors, Step};
use crate::invariants;
use crate::network::{Network, Packet};
use crate::rng::Rng;
use crate::scheduler::{Action, Scheduler, scalar};

/// What is to happen, and when. Those of one time happen in the order in which they were made.
enum Happening {
    Deliver(Packet),
    Exited { at: Pid, of: Pid },
    MasterTimer(MasterTimer, Time),
    MasterEvent(MasterEvent),
    AllocatorTick,
    AllocatorWake,
    AgentTimer(usize, u64, AgentTimer, Time),
    AgentEvent(usize, u64, AgentEvent),
    ExecutorStep(usize, u64, Step),
    SchedulerTimer,
    Fault,
    Restart(usize),
}

struct Entry(Time, u64, Happening);

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// An agent's machine. What ran before a crash must not act after it: each life has its number.
struct Node {
    pid: Pid,
    agent: Option<Agent>,
    life: u64,
    timers: BTreeMap<AgentTimer, Time>,
    executors: Executors,
}

pub struct Options {
    pub seed: u64,
    pub agents: usize,
    pub tasks: u32,
    /// Faults happen until then; afterwards the cluster gets time to finish.
    pub faults_until: Duration,
    pub trace: bool,
}

impl Options {
    pub fn of_seed(seed: u64) -> Options {
        Options { seed, agents: 2, tasks: 12, faults_until: Duration::from_secs(240), trace: false }
    }
}

pub struct World {
    options: Options,
    rng: Rng,
    now: Time,
    sequence: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    network: Network,
    pub master: Master,
    master_pid: Pid,
    master_timers: BTreeMap<MasterTimer, Time>,
    registry: messor_registry::State,
    allocator: Allocator,
    waking: bool,
    nodes: Vec<Node>,
    pub scheduler: Scheduler,
    start: Time,
}

/// How long a cluster without faults may take for all that is left: ping timeouts, reregistration, reconciliation.
const PATIENCE: Duration = Duration::from_secs(3600);

fn pid(id: &str, host: u8, port: u16) -> Pid {
    Pid::new(id, SocketAddr::from(([10, 0, 0, host], port)))
}

fn master_info(pid: &Pid) -> MasterInfo {
    MasterInfo {
        id: "sim-master".into(),
        port: u32::from(pid.address.port()),
        pid: Some(pid.to_string()),
        hostname: Some("master".into()),
        version: Some("1.11.0".into()),
        ..MasterInfo::default()
    }
}

impl World {
    pub fn new(options: Options) -> World {
        let mut rng = Rng::new(options.seed);
        let start = Time::from_nanos(1_800_000_000_000_000_000);
        let master_pid = pid("master", 1, 5050);
        let config = messor_master_core::Config::new(master_info(&master_pid));
        let allocator = Allocator::new(messor_allocator::Options {
            seed: rng.next(),
            ..messor_allocator::Options::default()
        });
        let mut world = World {
            master: Master::new(config, start),
            scheduler: Scheduler::new(pid("scheduler-1", 2, 6000), options.tasks),
            nodes: (0..options.agents)
                .map(|n| Node {
                    pid: pid("slave(1)", u8::try_from(10 + n).unwrap_or(255), 5051),
                    agent: None,
                    life: 0,
                    timers: BTreeMap::new(),
                    executors: Executors::default(),
                })
                .collect(),
            options,
            rng,
            now: start,
            sequence: 0,
            queue: BinaryHeap::new(),
            network: Network::default(),
            master_pid,
            master_timers: BTreeMap::new(),
            registry: messor_registry::State::default(),
            allocator,
            waking: false,
            start,
        };
        world.at(Duration::ZERO, Happening::MasterEvent(MasterEvent::Elected { registry: Box::default() }));
        world.at(Duration::from_secs(1), Happening::AllocatorTick);
        world.at(Duration::from_millis(10), Happening::SchedulerTimer);
        world.at(Duration::from_secs(5), Happening::Fault);
        for number in 0..world.nodes.len() {
            world.at(Duration::from_millis(1), Happening::Restart(number));
        }
        world
    }

    fn at(&mut self, after: Duration, what: Happening) {
        self.at_time(self.now + after, what);
    }

    fn at_time(&mut self, when: Time, what: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse(Entry(when.max(self.now), self.sequence, what)));
    }

    fn trace(&self, line: impl FnOnce() -> String) {
        if self.options.trace {
            println!("{:>10.4} {}", self.now.since(self.start).as_secs_f64(), line());
        }
    }

    /// Runs until the scheduler's tasks are done and nothing of them is left. Panics where an invariant breaks.
    pub fn run(&mut self) {
        let deadline = self.start + self.options.faults_until + PATIENCE;
        while let Some(Reverse(Entry(when, _, what))) = self.queue.pop() {
            assert!(
                when < deadline,
                "no task is lost: the cluster had {PATIENCE:?} without faults and did not finish: {}",
                self.scheduler.waiting()
            );
            self.now = when;
            self.happen(what);
            if self.faults_are_over() && self.scheduler.is_done() && self.is_at_rest() {
                return;
            }
        }
        panic!("nothing is left to happen, and the tasks are not done: {}", self.scheduler.waiting());
    }

    fn faults_are_over(&self) -> bool {
        self.now.since(self.start) > self.options.faults_until
    }

    /// Nothing of any task is held any more, anywhere.
    fn is_at_rest(&self) -> bool {
        self.nodes.iter().all(|node| node.executors.is_empty() && node.agent.is_some())
            && self.master.view(self.now).agents.iter().all(|agent| agent.used.is_empty() && agent.connected)
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Deliver(packet) => self.deliver(packet),
            Happening::Exited { at, of } => {
                self.trace(|| format!("{at} is told that {of} exited"));
                self.exited(&at, of);
            }
            Happening::MasterTimer(timer, set_for) => {
                if self.master_timers.get(&timer) == Some(&set_for) {
                    self.master_timers.remove(&timer);
                    self.master(MasterEvent::Timer(timer));
                }
            }
            Happening::MasterEvent(event) => self.master(event),
            Happening::AllocatorTick => {
                self.allocate(messor_allocator::Event::Tick);
                self.at(Duration::from_secs(1), Happening::AllocatorTick);
            }
            Happening::AllocatorWake => {
                self.waking = false;
                self.allocate(messor_allocator::Event::Allocate);
            }
            Happening::AgentTimer(number, life, timer, set_for) => {
                if self.nodes[number].life == life && self.nodes[number].timers.get(&timer) == Some(&set_for)
                {
                    self.nodes[number].timers.remove(&timer);
                    self.agent(number, AgentEvent::Timer(timer));
                }
            }
            Happening::AgentEvent(number, life, event) => {
                if self.nodes[number].life == life {
                    self.agent(number, event);
                }
            }
            Happening::ExecutorStep(number, life, step) => {
                if self.nodes[number].life == life {
                    self.trace(|| format!("agent {number}: executor {step:?}"));
                    let (events, steps) = self.nodes[number].executors.step(self.now, step, &mut self.rng);
                    self.steps(number, steps);
                    events.into_iter().for_each(|event| self.agent(number, event));
                }
            }
            Happening::SchedulerTimer => {
                let mut actions = Vec::new();
                self.scheduler.wake(self.now, &mut actions);
                self.scheduler_actions(actions);
            }
            Happening::Fault => self.fault(),
            Happening::Restart(number) => self.restart(number),
        }
    }

    fn fault(&mut self) {
        if self.faults_are_over() {
            self.network.quiet = true;
            return;
        }
        let next = self.rng.between(Duration::from_millis(500), Duration::from_secs(40));
        self.at(next, Happening::Fault);
        let number = usize::try_from(self.rng.below(self.nodes.len() as u64)).unwrap_or(0);
        match self.rng.below(4) {
            0 => self.crash(number),
            1 => self.break_connection(self.nodes[number].pid.clone()),
            2 => self.break_connection(self.scheduler.pid.clone()),
            _ => (),
        }
    }

    /// The connection between the master and somebody breaks. Each side learns of it in its own time.
    fn break_connection(&mut self, with: Pid) {
        self.trace(|| format!("FAULT the connection between the master and {with} breaks"));
        let told = self.network.break_between(self.master_pid.address, with.address);
        self.tell_exits(told);
    }

    fn tell_exits(&mut self, told: Vec<(Pid, Pid)>) {
        for (at, of) in told {
            let after = self.rng.between(Duration::from_millis(1), Duration::from_millis(500));
            self.at(after, Happening::Exited { at, of });
        }
    }

    /// The machine of an agent crashes with everything on it, and comes back as a new agent: recovery is not built.
    fn crash(&mut self, number: usize) {
        if self.nodes[number].agent.is_none() {
            return;
        }
        self.trace(|| format!("FAULT agent {number} crashes"));
        let node = &mut self.nodes[number];
        node.agent = None;
        node.life += 1;
        node.timers.clear();
        node.executors.crash();
        let address = node.pid.address;
        let mut told = self.network.break_all(address);
        told.retain(|(at, _)| at.address != address);
        self.tell_exits(told);
        let after = self.rng.between(Duration::from_millis(100), Duration::from_secs(120));
        self.at(after, Happening::Restart(number));
    }

    fn restart(&mut self, number: usize) {
        self.trace(|| format!("agent {number} starts"));
        let pid = self.nodes[number].pid.clone();
        let info = AgentInfo {
            hostname: format!("agent{number}"),
            port: Some(5051),
            resources: vec![scalar("cpus", 4.0), scalar("mem", 4096.0), scalar("disk", 1024.0)],
            ..AgentInfo::default()
        };
        let mut config = messor_agent_core::Config::new(pid, info, "/work", "/bin");
        config.seed = self.rng.next();
        self.nodes[number].agent = Some(Agent::new(config, self.now));
        let leader = Some(Box::new(master_info(&self.master_pid)));
        self.agent(number, AgentEvent::Detected { leader });
    }

    fn deliver(&mut self, packet: Packet) {
        if packet.life != self.network.life(&packet.from, &packet.to) {
            self.trace(|| format!("LOST {} from {} to {}", packet.name, packet.from, packet.to));
            return;
        }
        self.trace(|| format!("{} -> {} {}", packet.from, packet.to, packet.name));
        let Packet { from, to, name, body, .. } = packet;
        if to == self.master_pid {
            self.master(MasterEvent::Message { from, name, body });
        } else if to == self.scheduler.pid {
            let mut actions = Vec::new();
            self.scheduler.message(self.now, &name, &body, &mut actions);
            self.scheduler_actions(actions);
        } else if let Some(number) = self.nodes.iter().position(|node| node.pid == to) {
            if name == StatusUpdateAcknowledgementMessage::NAME {
                invariants::acknowledged_only_once_delivered(&body, &self.scheduler.noted);
            }
            self.agent(number, AgentEvent::Message { from, name, body });
        }
    }

    fn exited(&mut self, at: &Pid, of: Pid) {
        if *at == self.master_pid {
            self.master(MasterEvent::Exited { pid: of });
        } else if *at == self.scheduler.pid {
            self.scheduler.exited();
        } else if let Some(number) = self.nodes.iter().position(|node| node.pid == *at) {
            self.agent(number, AgentEvent::Exited { pid: of });
        }
    }

    fn send(&mut self, from: Pid, to: Pid, name: &str, body: Vec<u8>) {
        let life = self.network.life(&from, &to);
        let arrival = self.network.arrival(self.now, &from, &to, &mut self.rng);
        self.at_time(arrival, Happening::Deliver(Packet { from, to, name: name.to_string(), body, life }));
    }

    fn master(&mut self, event: MasterEvent) {
        let mut effects = Vec::new();
        self.master.handle(self.now, event, &mut effects);
        invariants::nothing_is_allocated_twice(&self.master.view(self.now));
        for effect in effects {
            match effect {
                MasterEffect::Send { to, name, body } => self.send(self.master_pid.clone(), to, name, body),
                MasterEffect::Link { pid } => self.network.link(self.master_pid.clone(), pid),
                MasterEffect::Unlink { pid } => self.network.unlink(&self.master_pid, &pid),
                MasterEffect::Store { ticket, operation } => {
                    let fits = self.registry.apply(&operation).is_ok();
                    let after = self.rng.between(Duration::from_millis(1), Duration::from_millis(50));
                    let stored = MasterEvent::Stored { ticket, outcome: Ok(fits) };
                    self.at(after, Happening::MasterEvent(stored));
                }
                MasterEffect::Allocator(event) => self.allocate(event),
                MasterEffect::SetTimer { timer, at } => {
                    self.master_timers.insert(timer.clone(), at);
                    self.at_time(at, Happening::MasterTimer(timer, at));
                }
                MasterEffect::CancelTimer { timer } => drop(self.master_timers.remove(&timer)),
                MasterEffect::Abort { reason } => panic!("the master ends: {reason}"),
                MasterEffect::Log { line, .. } => self.trace(|| format!("master: {line}")),
                _ => (),
            }
        }
    }

    fn allocate(&mut self, event: messor_allocator::Event) {
        let mut effects = Vec::new();
        self.allocator.handle(self.now, event, &mut effects);
        invariants::the_allocator_agrees_with_itself(&self.allocator);
        for effect in effects {
            match effect {
                messor_allocator::Effect::Wake if !self.waking => {
                    self.waking = true;
                    self.at(Duration::from_micros(100), Happening::AllocatorWake);
                }
                messor_allocator::Effect::Wake => (),
                messor_allocator::Effect::Offer { framework_id, offers } => {
                    // The allocator has a thread of its own: the master may do other things before it hears of this.
                    let after = self.rng.between(Duration::from_micros(1), Duration::from_millis(20));
                    let offer = MasterEvent::Offer { framework: framework_id, offers };
                    self.at(after, Happening::MasterEvent(offer));
                }
                messor_allocator::Effect::Inconsistent { reason } => {
                    panic!("master and allocator disagree: {reason}")
                }
            }
        }
    }

    fn agent(&mut self, number: usize, event: AgentEvent) {
        let mut effects = Vec::new();
        let node = &mut self.nodes[number];
        let Some(agent) = &mut node.agent else { return };
        agent.handle(self.now, event, &mut effects);
        let (pid, life) = (node.pid.clone(), node.life);
        for effect in effects {
            match effect {
                AgentEffect::Send { to, name, body } => self.send(pid.clone(), to, name, body),
                AgentEffect::Link { pid: to } => self.network.link(pid.clone(), to),
                AgentEffect::Unlink { pid: to } => self.network.unlink(&pid, &to),
                AgentEffect::Stream { stream, event } => {
                    let steps = self.nodes[number].executors.event(stream, &event);
                    invariants::no_task_runs_twice(self.nodes.iter().flat_map(|node| &node.executors.begun));
                    self.steps(number, steps);
                }
                AgentEffect::Container(ContainerCommand::Launch(launch)) => {
                    let steps = self.nodes[number].executors.launch(&launch, &mut self.rng);
                    self.steps(number, steps);
                }
                AgentEffect::Container(ContainerCommand::Destroy { container }) => {
                    let steps = self.nodes[number].executors.destroy(&container);
                    self.steps(number, steps);
                }
                AgentEffect::Persist { ticket, .. } => {
                    let after = self.rng.between(Duration::from_millis(1), Duration::from_millis(20));
                    let persisted = AgentEvent::Persisted { ticket, outcome: Ok(()) };
                    self.at(after, Happening::AgentEvent(number, life, persisted));
                }
                AgentEffect::SetTimer { timer, at } => {
                    self.nodes[number].timers.insert(timer.clone(), at);
                    self.at_time(at, Happening::AgentTimer(number, life, timer, at));
                }
                AgentEffect::CancelTimer { timer } => drop(self.nodes[number].timers.remove(&timer)),
                AgentEffect::Abort { reason } => {
                    self.trace(|| format!("agent {number} ends: {reason}"));
                    self.crash(number);
                    return;
                }
                AgentEffect::Log { line, .. } => self.trace(|| format!("agent {number}: {line}")),
                _ => (),
            }
        }
    }

    fn steps(&mut self, number: usize, steps: Vec<(Duration, Step)>) {
        let life = self.nodes[number].life;
        for (after, step) in steps {
            self.at(after, Happening::ExecutorStep(number, life, step));
        }
    }

    fn scheduler_actions(&mut self, actions: Vec<Action>) {
        let (own, master) = (self.scheduler.pid.clone(), self.master_pid.clone());
        for action in actions {
            match action {
                Action::Send { name, body } => self.send(own.clone(), master.clone(), name, body),
                Action::Link => self.network.link(own.clone(), master.clone()),
                Action::Timer(when) => self.at_time(when, Happening::SchedulerTimer),
            }
        }
    }
}
