//! A cluster of logs on one thread, from one seed, with faults: replicas, their disks and clients, and the network.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use messor_proto::mesos::internal::log::metadata::Status;
use messor_replog::{Config, Effect, Event, Log, Timer};
use messor_stdx::Time;
use messor_types::Pid;

use crate::client::Client;
use crate::disk::{Disk, Job};
use crate::invariants::{Truth, nothing_is_said_before_it_is_durable};
use crate::network::{Network, Packet};
use crate::plots;
use crate::rng::Rng;

/// What is to happen, and when. Those of one time happen in the order in which they were made.
enum Happening {
    Deliver(Packet),
    Disk { node: usize, life: u64 },
    Timer { node: usize, life: u64, timer: Timer, at: Time },
    Client { node: usize, life: u64 },
    Members { node: usize, life: u64 },
    Fault,
    Restart { node: usize },
    Then(Box<dyn FnOnce(&mut World)>),
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

/// A machine. What ran before a crash must not act after it: each life has its number.
struct Node {
    pid: Pid,
    log: Option<Log>,
    life: u64,
    disk: Disk,
    timers: BTreeMap<Timer, Time>,
    client: Client,
    /// Its client does nothing for now.
    hushed: bool,
    /// How fast its clock runs, in thousandths.
    pace: u64,
}

/// What a run is good at finding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    Quick,
    /// Clients take their time, and faults too: writers stay idle, and find out late that they are none any more.
    Slow,
    /// Quick, and what happens is `plots::an_answer_outlives_its_disk`.
    LateAnswers,
    /// Quick, and what happens is `plots::a_promise_outlives_its_disk`.
    IdleWriters,
}

#[derive(Clone, Debug)]
pub struct Options {
    pub seed: u64,
    pub replicas: usize,
    /// Faults happen until then; afterwards the cluster gets time to finish.
    pub faults_until: Duration,
    pub disks_are_lost: bool,
    pub pace: Pace,
    pub trace: bool,
}

pub struct World {
    options: Options,
    quorum: usize,
    rng: Rng,
    now: Time,
    start: Time,
    sequence: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    network: Network,
    nodes: Vec<Node>,
    pub truth: Truth,
    pub events: u64,
}

/// How long a cluster without faults may take to recover, elect, write and be read everywhere.
const PATIENCE: Duration = Duration::from_secs(300);

impl World {
    pub fn new(options: Options) -> World {
        let mut rng = Rng::new(options.seed);
        let start = Time::from_nanos(1_800_000_000_000_000_000);
        let nodes = (0..options.replicas)
            .map(|number| Node {
                pid: Pid::new(
                    "log-replica(1)",
                    SocketAddr::from(([10, 0, 0, u8::try_from(number + 1).unwrap()], 5050)),
                ),
                log: None,
                life: 0,
                disk: Disk::default(),
                timers: BTreeMap::new(),
                client: Client::new(number),
                hushed: false,
                pace: 950 + rng.below(100),
            })
            .collect();
        let mut world = World {
            quorum: options.replicas / 2 + 1,
            rng,
            now: start,
            start,
            sequence: 0,
            queue: BinaryHeap::new(),
            network: Network::default(),
            nodes,
            truth: Truth::default(),
            events: 0,
            options,
        };
        for node in 0..world.nodes.len() {
            let after = world.rng.millis(0, 2000);
            world.after(after, Happening::Restart { node });
        }
        world.after(Duration::from_secs(3), Happening::Fault);
        world
    }

    fn after(&mut self, after: Duration, what: Happening) {
        self.at(self.now + after, what);
    }

    fn at(&mut self, when: Time, what: Happening) {
        self.sequence += 1;
        self.queue.push(Reverse(Entry(when.max(self.now), self.sequence, what)));
    }

    pub fn trace(&self, line: impl FnOnce() -> String) {
        if self.options.trace {
            println!("{:>10.4} {}", self.now.since(self.start).as_secs_f64(), line());
        }
    }

    pub fn faults_are_over(&self) -> bool {
        self.now.since(self.start) >= self.options.faults_until
    }

    /// Runs until every replica has read what the last leader wrote. Panics where an invariant breaks.
    pub fn run(&mut self) {
        let deadline = self.start + self.options.faults_until + PATIENCE;
        while let Some(Reverse(Entry(when, _, what))) = self.queue.pop() {
            assert!(when < deadline, "the cluster goes on without faults: {}", self.state());
            self.now = when;
            self.events += 1;
            self.happen(what);
            if self.faults_are_over() && self.nodes.iter().all(|node| node.client.is_satisfied()) {
                return;
            }
        }
    }

    fn state(&self) -> String {
        let mut text = String::new();
        for node in &self.nodes {
            let log =
                node.log.as_ref().map(|log| (log.status(), log.promised(), log.ends(), log.is_elected()));
            write!(text, "\n{}: {log:?} {:?}", node.pid, node.client).unwrap();
        }
        text
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Deliver(packet) => {
                let Some(node) = self.node_of(&packet.to) else { return };
                let Packet { from, to, name, body } = packet;
                self.handle(node, Event::Message { from, to: to.id.to_string(), name, body });
            }
            Happening::Disk { node, life } if life == self.nodes[node].life => {
                let (events, written) = self.nodes[node].disk.work(&mut self.rng);
                for write in written {
                    self.truth.note_written(node, &write, self.quorum);
                }
                self.nodes[node].disk.busy = false;
                for event in events {
                    self.handle(node, event);
                }
                self.start_disk(node);
            }
            Happening::Timer { node, life, timer, at } if life == self.nodes[node].life => {
                if self.nodes[node].timers.get(&timer) == Some(&at) {
                    self.nodes[node].timers.remove(&timer);
                    self.handle(node, Event::Timer(timer));
                }
            }
            Happening::Client { node, life } if life == self.nodes[node].life => self.client_step(node),
            Happening::Members { node, life } if life == self.nodes[node].life => {
                let live = self.nodes.iter().filter(|node| node.log.is_some());
                let members: BTreeSet<Pid> = live.map(|node| node.pid.clone()).collect();
                self.handle(node, Event::Members(members));
            }
            Happening::Fault => self.fault(),
            Happening::Restart { node } => self.restart(node),
            Happening::Then(then) => then(self),
            Happening::Disk { .. }
            | Happening::Timer { .. }
            | Happening::Client { .. }
            | Happening::Members { .. } => {}
        }
    }

    fn node_of(&self, pid: &Pid) -> Option<usize> {
        self.nodes.iter().position(|node| node.pid.address == pid.address)
    }

    fn local_time(&self, node: usize) -> Time {
        let past = self.now.since(self.start).as_nanos() as u64;
        self.start + Duration::from_nanos(past / 1000 * self.nodes[node].pace)
    }

    fn handle(&mut self, node: usize, event: Event) {
        let now = self.local_time(node);
        let Some(log) = &mut self.nodes[node].log else { return };
        if self.options.trace {
            let elapsed = self.now.since(self.start).as_secs_f64();
            println!("{elapsed:>10.4} {node} < {}", show(&format!("{event:?}")));
        }
        let mut effects = Vec::new();
        log.handle(now, event, &mut effects);
        for effect in effects {
            self.carry_out(node, effect);
        }
    }

    fn carry_out(&mut self, node: usize, effect: Effect) {
        self.trace(|| format!("{node} > {}", show(&format!("{effect:?}"))));
        let life = self.nodes[node].life;
        match effect {
            Effect::Send { from, to, name, body } => {
                if from == *self.nodes[node].pid.id {
                    nothing_is_said_before_it_is_durable(&self.nodes[node].disk, name, &body);
                }
                let receiver = self.node_of(&to).unwrap();
                assert_ne!(node, receiver, "nobody sends to itself");
                let from = Pid::new(&from, self.nodes[node].pid.address);
                for delay in self.network.delays(node, receiver, name, &mut self.rng) {
                    let (name, body) = (name.to_string(), body.clone());
                    let packet = Packet { from: from.clone(), to: to.clone(), name, body };
                    self.after(delay, Happening::Deliver(packet));
                }
            }
            Effect::Close { .. } | Effect::Log { .. } => {}
            Effect::Persist { ticket, write } => {
                self.nodes[node].disk.give(Job::Persist { ticket, write });
                self.start_disk(node);
            }
            Effect::Read { ticket, from, to } => {
                self.nodes[node].disk.give(Job::Read { ticket, from, to });
                self.start_disk(node);
            }
            Effect::Done { ticket, outcome } => {
                let over = self.faults_are_over();
                let mut commands = Vec::new();
                self.nodes[node].client.done(ticket, outcome, &mut self.truth, over, &mut commands);
                for (ticket, command) in commands {
                    self.handle(node, Event::Command { ticket, command });
                }
            }
            Effect::SetTimer { timer, at } => {
                // The other way round than `local_time`.
                let past = at.since(self.start).as_nanos() as u64 / self.nodes[node].pace * 1000;
                let at = self.start + Duration::from_nanos(past + 1000);
                self.nodes[node].timers.insert(timer, at);
                self.at(at, Happening::Timer { node, life, timer, at });
            }
            Effect::CancelTimer { timer } => {
                self.nodes[node].timers.remove(&timer);
            }
            Effect::Failed { reason } => panic!("a disk that works does not fail: {reason}"),
        }
    }

    fn start_disk(&mut self, node: usize) {
        let disk = &mut self.nodes[node].disk;
        if disk.busy || disk.is_idle() {
            return;
        }
        disk.busy = true;
        let life = self.nodes[node].life;
        let delay = if self.rng.one_in(50) {
            self.rng.millis(10, 1000)
        } else {
            self.rng.between(Duration::from_micros(10), Duration::from_millis(10))
        };
        self.after(delay, Happening::Disk { node, life });
    }

    fn client_step(&mut self, node: usize) {
        if self.nodes[node].log.is_none() {
            return;
        }
        let over = self.faults_are_over();
        let mut commands = Vec::new();
        if !self.nodes[node].hushed || over {
            self.nodes[node].client.step(over, &self.truth, &mut self.rng, &mut commands);
        }
        for (ticket, command) in commands {
            self.handle(node, Event::Command { ticket, command });
        }
        let life = self.nodes[node].life;
        let pause = match self.options.pace {
            Pace::Slow => self.rng.millis(200, 8000),
            Pace::Quick | Pace::LateAnswers | Pace::IdleWriters => self.rng.millis(20, 600),
        };
        self.after(pause, Happening::Client { node, life });
    }

    fn is_planned(&self) -> bool {
        matches!(self.options.pace, Pace::LateAnswers | Pace::IdleWriters)
    }

    fn members_changed(&mut self) {
        for node in 0..self.nodes.len() {
            let life = self.nodes[node].life;
            let delay = self.rng.millis(1, if self.is_planned() { 100 } else { 3000 });
            self.after(delay, Happening::Members { node, life });
        }
    }

    fn fault(&mut self) {
        if self.faults_are_over() {
            self.trace(|| "the faults are over".to_string());
            self.network = Network::default();
            for node in 0..self.nodes.len() {
                if self.nodes[node].log.is_none() {
                    self.after(Duration::from_millis(1), Happening::Restart { node });
                }
            }
            return;
        }
        match self.options.pace {
            Pace::Quick | Pace::Slow => {}
            Pace::LateAnswers => return plots::an_answer_outlives_its_disk(self),
            Pace::IdleWriters => return plots::a_promise_outlives_its_disk(self),
        }
        let node = self.rng.index(self.nodes.len());
        let other = self.rng.index(self.nodes.len());
        match self.rng.below(10) {
            0..3 => self.crash(node, false),
            3 if self.options.disks_are_lost => self.lose_disk(node),
            4 if node != other => {
                self.network.cut.insert((node, other));
            }
            5 if node != other => {
                self.network.cut.extend([(node, other), (other, node)]);
            }
            6 => {
                for other in (0..self.nodes.len()).filter(|other| *other != node) {
                    self.network.cut.extend([(node, other), (other, node)]);
                }
            }
            7 => self.network.lossy = [0, 3, 10, 30][self.rng.index(4)],
            _ => self.network.cut.clear(),
        }
        let next = self.rng.millis(200, if self.options.pace == Pace::Slow { 15_000 } else { 6000 });
        self.after(next, Happening::Fault);
    }

    /// What a plot does next, unless the faults are over by then.
    pub fn then(&mut self, least_millis: u64, most_millis: u64, then: impl FnOnce(&mut World) + 'static) {
        let after = self.rng.millis(least_millis, most_millis);
        let unless_over = move |world: &mut World| match world.faults_are_over() {
            true => world.fault(),
            false => then(world),
        };
        self.after(after, Happening::Then(Box::new(unless_over)));
    }

    /// Another fault, after everything is whole again.
    pub fn next_fault(&mut self, least_millis: u64, most_millis: u64) {
        self.network.heal();
        self.nodes.iter_mut().for_each(|node| node.hushed = false);
        let after = self.rng.millis(least_millis, most_millis);
        self.after(after, Happening::Fault);
    }

    /// All nodes, in a chance order, but one that is an elected writer first; None if nobody is.
    pub fn cast(&mut self) -> Option<Vec<usize>> {
        let mut nodes: Vec<usize> = (0..self.nodes.len()).collect();
        for at in (1..nodes.len()).rev() {
            nodes.swap(at, self.rng.index(at + 1));
        }
        let elected = |node: &usize| self.nodes[*node].log.as_ref().is_some_and(Log::is_elected);
        let writer = nodes.iter().position(elected)?;
        nodes.swap(0, writer);
        Some(nodes)
    }

    pub fn network(&mut self) -> &mut Network {
        &mut self.network
    }

    pub fn hush(&mut self, node: usize, hushed: bool) {
        self.nodes[node].hushed = hushed;
    }

    /// The client of this node wants it to be the writer.
    pub fn elect(&mut self, node: usize) {
        let mut commands = Vec::new();
        self.nodes[node].client.elect(&self.truth, &mut commands);
        for (ticket, command) in commands {
            self.handle(node, Event::Command { ticket, command });
        }
    }

    pub fn crash_perhaps(&mut self, node: usize) {
        if self.rng.one_in(2) {
            self.crash(node, false);
        }
    }

    /// The others have to be able to restore it.
    pub fn lose_disk(&mut self, node: usize) {
        let votes =
            |node: &Node| node.disk.metadata.is_some_and(|metadata| metadata.status() == Status::Voting);
        let others = self.nodes.iter().enumerate().filter(|(other, _)| *other != node);
        let able = others.filter(|(_, other)| votes(other)).count();
        self.crash(node, able >= self.quorum);
    }

    fn crash(&mut self, node: usize, loses_disk: bool) {
        if self.nodes[node].log.take().is_none() {
            return;
        }
        self.trace(|| format!("{node} crashes{}", if loses_disk { ", and loses its disk" } else { "" }));
        let machine = &mut self.nodes[node];
        machine.life += 1;
        machine.timers.clear();
        machine.client = Client::new(node);
        let written = machine.disk.crash(&mut self.rng);
        for write in written {
            self.truth.note_written(node, &write, self.quorum);
        }
        if loses_disk {
            self.nodes[node].disk = Disk::default();
            self.truth.note_lost(node);
        }
        let down = self.rng.millis(0, if self.is_planned() { 300 } else { 8000 });
        self.after(down, Happening::Restart { node });
        self.members_changed();
    }

    fn restart(&mut self, node: usize) {
        if self.nodes[node].log.is_some() {
            return;
        }
        self.trace(|| format!("{node} starts"));
        let config = Config {
            pid: self.nodes[node].pid.clone(),
            quorum: self.quorum,
            auto_initialize: true,
            seed: self.rng.next(),
        };
        self.nodes[node].log = Some(Log::new(config, self.local_time(node)));
        let restored = Box::new(self.nodes[node].disk.restore());
        self.handle(node, Event::Restored(restored));
        let life = self.nodes[node].life;
        self.after(Duration::from_millis(10), Happening::Client { node, life });
        if self.nodes.len() > 1 {
            self.members_changed();
        }
    }
}

/// A long line of a trace is cut.
fn show(line: &str) -> &str {
    line.get(..300).unwrap_or(line)
}
