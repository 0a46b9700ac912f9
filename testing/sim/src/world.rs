//! A whole cluster on one thread: masters with replicas of the log and an election, agents with their executors,
//! schedulers, ZooKeeper, the network, disks and clocks. One seed decides everything that happens.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use messor_agent_core::Event as AgentEvent;
use messor_allocator::Priorities;
use messor_master_core::{Event as MasterEvent, Message as MasterMessage};
use messor_proto::Wire;
use messor_proto::mesos::MasterInfo;
use messor_proto::mesos::internal::{
    AcknowledgeOperationStatusMessage, ApplyOperationMessage, RunTaskMessage,
    StatusUpdateAcknowledgementMessage,
};
use messor_replog::Event as LogEvent;
use messor_stdx::Time;
use messor_types::{Pid, Resources, Role};

use crate::agenda::{Agenda, Clock};
use crate::executors::Step;
use crate::invariants::{self, Chosen, Ends, Told};
use crate::keeper::Keeper;
use crate::ledger::Ledger;
use crate::network::{Break, Network, Packet, Way};
use crate::operators::{Asked, Closed, Machines};
use crate::scheduler::{Action, Kind, Scheduler};
use crate::zookeeper::{Client, Service};
use crate::{agents, checks, http, masters, plans, zk};
use messor_stdx::Random as Rng;

/// What is to happen. What is inside a process carries the life of that process: nothing of an earlier one comes.
pub enum Happening {
    Deliver(Packet),
    Breaks(Break),
    Master(usize, u64, masters::Inside),
    Agent(usize, u64, agents::Inside),
    ExecutorStep(usize, u64, u64, Step),
    Zk(zk::Inside),
    SchedulerTimer(usize),
    SchedulerLeader(usize, Option<Pid>),
    KeeperTimer(usize),
    KeeperLeader(usize, Option<Pid>),
    StartMaster(usize),
    StartAgent(usize),
    /// The machine of that name, if it is to be off still.
    SwitchOff(String),
    Heal(Vec<(SocketAddr, SocketAddr)>),
    ZooKeeperUp,
    /// Looks for agents that will not come back.
    Operator,
    /// They change something.
    Operators,
    Fault,
}

/// In a run with operations.
pub const KEEPERS: usize = 2;

#[derive(Clone, Debug)]
pub struct Options {
    pub seed: u64,
    pub masters: usize,
    pub agents: usize,
    pub schedulers: usize,
    /// Frameworks by HTTP that keep reservations and volumes. With some there are operators that change things, agents
    /// that promise things twice, and messages of libprocess that come twice.
    pub keepers: usize,
    /// Of each scheduler.
    pub tasks: u32,
    /// Faults happen until then; afterwards the cluster gets time to finish.
    pub faults_until: Duration,
    pub trace: bool,
}

impl Options {
    pub fn of_seed(seed: u64) -> Options {
        Options {
            seed,
            masters: 3,
            agents: 5,
            schedulers: 2,
            keepers: 0,
            tasks: 60,
            faults_until: Duration::from_secs(600),
            trace: false,
        }
    }

    /// With reservations, volumes, quota, operators and drains.
    pub fn with_operations(self) -> Options {
        Options { keepers: KEEPERS, ..self }
    }

    /// In some runs with operations roles go before others, whose tasks make room for what these are guaranteed.
    pub(crate) fn role_priorities(&self) -> Priorities {
        if self.keepers == 0 || self.seed % 4 >= 2 {
            return Priorities::default();
        }
        let of = |role: &str, priority| (Role::new(role), priority);
        [of(plans::PARENT, 2), of(plans::ROLES[1], 1), of("role-1", -1)].into_iter().collect()
    }
}

pub struct World {
    pub(crate) options: Options,
    pub(crate) rng: Rng,
    pub(crate) agenda: Agenda<Happening>,
    pub(crate) network: Network,
    pub(crate) zookeeper: Service,
    pub(crate) zookeeper_address: SocketAddr,
    pub(crate) connections: BTreeMap<Client, zk::Connection>,
    pub(crate) masters: Vec<masters::Node>,
    pub(crate) agents: Vec<agents::Node>,
    pub schedulers: Vec<Scheduler>,
    pub keepers: Vec<Keeper>,
    pub(crate) streams: BTreeMap<u64, http::Stream>,
    /// Calls by HTTP that are being answered, by the number of the answer: whose they are, and of which stream.
    pub(crate) called: BTreeMap<u64, (Pid, u64)>,
    /// By the number of the answer.
    pub(crate) asked: BTreeMap<u64, Asked>,
    pub(crate) closed: Closed,
    pub(crate) machines: Machines,
    pub(crate) numbers: u64,
    /// An operation that an agent is told of just now, and what the agent had before.
    pub(crate) before: Option<(usize, ApplyOperationMessage, Resources)>,
    pub(crate) ledger: Ledger,
    pub(crate) chosen: Chosen,
    pub(crate) told: Told,
    pub(crate) ends: Ends,
    pub report: Report,
}

/// What a run had in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub faults: u64,
    pub elections: u64,
    pub registry_writes: u64,
    pub tasks: u64,
    /// That agents carried out.
    pub operations: u64,
    /// Messages that came twice.
    pub doubled: u64,
    pub simulated: Duration,
}

/// How long a cluster without faults may take for all that is left: ping timeouts, reregistration, reconciliation.
const PATIENCE: Duration = Duration::from_secs(3600);
/// A quorum is never taken away for longer, and a master's disk dies at most once a run.
pub(crate) const LONGEST_CUT: Duration = Duration::from_secs(90);

pub fn host(kind: u8, number: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, kind, u8::try_from(number + 1).unwrap_or(255))
}

pub fn pid(id: &str, host: Ipv4Addr, port: u16) -> Pid {
    Pid::new(id, SocketAddr::from((host, port)))
}

impl World {
    pub fn new(options: Options) -> World {
        let mut rng = Rng::new(options.seed);
        let start = Time::from_nanos(1_800_000_000_000_000_000);
        // Up to 0.1 %: ten times what a bad quartz does.
        let mut clock = || Clock::new(start, i64::try_from(rng.below(2001)).unwrap_or(0) - 1000);
        let masters = (0..options.masters).map(|number| masters::Node::new(number, clock())).collect();
        let agents = (0..options.agents).map(|number| agents::Node::new(number, clock())).collect();
        let scheduler = |number: usize| {
            // One of each kind that matters: with both, and with neither.
            let careful = number.is_multiple_of(2);
            let kind = Kind { number, checkpoint: careful, partition_aware: careful };
            Scheduler::new(pid("scheduler-1", host(2, number), 6000), options.tasks, kind)
        };
        let keeper = |number: usize| {
            let pid = pid("scheduler-1", host(3, number), 6000);
            Keeper::new(pid, number, options.seed.wrapping_mul(31).wrapping_add(number as u64))
        };
        let keepers = (0..options.keepers).map(keeper).collect();
        let mut world = World {
            schedulers: (0..options.schedulers).map(scheduler).collect(),
            keepers,
            streams: BTreeMap::new(),
            called: BTreeMap::new(),
            asked: BTreeMap::new(),
            closed: Closed::default(),
            machines: Machines::default(),
            numbers: 0,
            before: None,
            rng,
            agenda: Agenda::new(start),
            network: Network::default(),
            zookeeper: Service::default(),
            zookeeper_address: SocketAddr::from((host(9, 0), 2181)),
            connections: BTreeMap::new(),
            masters,
            agents,
            ledger: Ledger::default(),
            chosen: Chosen::default(),
            told: Told::default(),
            ends: Ends::default(),
            report: Report::default(),
            options,
        };
        world.zk_start();
        for number in 0..world.masters.len() {
            let after = world.rng.between(Duration::ZERO, Duration::from_secs(3));
            world.agenda.after(after, Happening::StartMaster(number));
        }
        for number in 0..world.agents.len() {
            let after = world.rng.between(Duration::ZERO, Duration::from_secs(3));
            world.agenda.after(after, Happening::StartAgent(number));
        }
        for number in 0..world.schedulers.len() {
            world.agenda.after(Duration::from_millis(10), Happening::SchedulerTimer(number));
        }
        for number in 0..world.keepers.len() {
            world.agenda.after(Duration::from_millis(10), Happening::KeeperTimer(number));
        }
        if world.options.keepers > 0 {
            world.network.doubles = true;
            world.agenda.after(Duration::from_secs(10), Happening::Operators);
        }
        world.agenda.after(Duration::from_secs(10), Happening::Fault);
        world.agenda.after(world.options.faults_until, Happening::Operator);
        world
    }

    pub(crate) fn trace(&self, line: impl FnOnce() -> String) {
        if self.options.trace {
            println!("{:>11.4} {}", self.agenda.elapsed().as_secs_f64(), line());
        }
    }

    /// Runs until the schedulers' tasks are done and nothing of them is left. Panics where an invariant breaks.
    pub fn run(&mut self) {
        let deadline = self.options.faults_until + PATIENCE;
        while let Some(what) = self.agenda.next() {
            assert!(
                self.agenda.elapsed() < deadline,
                "no task is lost: the cluster had {PATIENCE:?} without faults and did not finish: {}",
                self.waiting()
            );
            self.happen(what);
            if self.faults_are_over() && self.is_done() && self.unrest().is_none() {
                self.report.simulated = self.agenda.elapsed();
                self.report.registry_writes = self.ledger.acknowledged;
                let of_keepers = self.keepers.iter().map(|keeper| keeper.launched.len() as u64);
                self.report.tasks =
                    self.schedulers.iter().map(|s| s.launched.len() as u64).chain(of_keepers).sum();
                self.report.operations = self.agents.iter().map(|node| node.deeds.count() as u64).sum();
                self.report.doubled = self.network.doubled;
                return;
            }
        }
        panic!("nothing is left to happen, and the tasks are not done: {}", self.waiting());
    }

    fn is_done(&self) -> bool {
        self.schedulers.iter().all(Scheduler::is_done)
            && self.keepers.iter().all(Keeper::is_done)
            && self.untold().is_empty()
    }

    /// What is still waited for, for a report.
    pub fn waiting(&self) -> String {
        let leader = self.masters.iter().position(|node| node.process.as_ref().is_some_and(|p| p.leads));
        let schedulers: Vec<String> = self.schedulers.iter().map(Scheduler::waiting).collect();
        let keepers: Vec<String> = self.keepers.iter().map(Keeper::waiting).collect();
        format!(
            "leader {leader:?}; {}; {}; operations whose end was not told: {:?}; {}",
            schedulers.join("; "),
            keepers.join("; "),
            self.untold(),
            self.unrest().unwrap_or_default()
        )
    }

    pub(crate) fn faults_are_over(&self) -> bool {
        self.agenda.elapsed() > self.options.faults_until
    }

    /// What of any task is held, anywhere.
    fn unrest(&self) -> Option<String> {
        let now = self.agenda.now;
        if let Some(difference) = self.disagreement() {
            return Some(difference);
        }
        for (number, node) in self.agents.iter().enumerate() {
            if !node.executors.is_empty() || !node.has_no_tasks(now) {
                return Some(format!(
                    "agent {number} is not there, or has tasks: {:?}",
                    node.executors.containers()
                ));
            }
        }
        let leader = self.masters.iter().filter_map(|node| node.process.as_ref()).find(|p| p.leads);
        let Some(leader) = leader else { return Some("no master leads".to_string()) };
        let view = leader.master.view_without_metrics(now);
        if view.agents.len() != self.agents.len() {
            return Some(format!("the master knows {} agents", view.agents.len()));
        }
        let busy = view.agents.iter().find(|agent| !agent.used.is_empty() || !agent.connected);
        busy.map(|agent| format!("{} uses {}, connected: {}", agent.id, agent.used, agent.connected))
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Deliver(packet) => self.deliver(packet),
            Happening::Breaks(broken) => self.hears_of_a_break(broken),
            Happening::Master(number, life, what) => self.master_happening(number, life, what),
            Happening::Agent(number, life, what) => self.agent_happening(number, life, what),
            Happening::ExecutorStep(number, boot, life, step) => self.executor_step(number, boot, life, step),
            Happening::Zk(what) => self.zk_happening(what),
            Happening::SchedulerTimer(number) => {
                self.every_task_is_heard_of();
                let own = self.schedulers[number].pid.address;
                self.look_for_the_leader(own, |leader| Happening::SchedulerLeader(number, leader));
                let mut actions = Vec::new();
                self.schedulers[number].wake(self.agenda.now, &mut actions);
                self.scheduler_actions(number, actions);
            }
            Happening::SchedulerLeader(number, leader) => {
                let mut actions = Vec::new();
                self.schedulers[number].detected(self.agenda.now, leader, &mut actions);
                self.scheduler_actions(number, actions);
            }
            Happening::KeeperTimer(number) => {
                let own = self.keepers[number].pid.address;
                self.look_for_the_leader(own, |leader| Happening::KeeperLeader(number, leader));
                let mut actions = Vec::new();
                self.keepers[number].wake(self.agenda.now, &mut actions);
                self.keeper_actions(number, actions);
            }
            Happening::KeeperLeader(number, leader) => {
                let mut actions = Vec::new();
                self.keepers[number].detected(self.agenda.now, leader, &mut actions);
                self.keeper_actions(number, actions);
            }
            Happening::StartMaster(number) => self.start_master(number),
            Happening::StartAgent(number) => self.start_agent(number),
            Happening::SwitchOff(machine) => self.switch_off(&machine),
            Happening::Heal(ways) => {
                self.trace(|| format!("HEALED {ways:?}"));
                ways.into_iter().for_each(|(from, to)| self.network.heal(from, to));
            }
            Happening::ZooKeeperUp => {
                self.trace(|| "ZooKeeper is back".to_string());
                self.zookeeper.down = false;
                self.zookeeper.touch_all(self.agenda.now);
            }
            Happening::Operator => self.operator(),
            Happening::Operators => self.operators(),
            Happening::Fault => self.fault(),
        }
    }

    /// A driver's detector: it hears of a change of the leader a while later.
    fn look_for_the_leader(&mut self, own: SocketAddr, then: impl Fn(Option<Pid>) -> Happening) {
        let there = self.network.is_open(own, self.zookeeper_address)
            && self.network.is_open(self.zookeeper_address, own);
        if self.zookeeper.down || !there {
            return;
        }
        let leader = self.zookeeper.leader(masters::PATH);
        let leader = leader.and_then(|data| MasterInfo::decode_checked(data).ok()?.pid?.parse().ok());
        let after = self.rng.between(Duration::from_millis(1), Duration::from_millis(900));
        self.agenda.after(after, then(leader));
    }

    // ---- the network

    pub(crate) fn tell_breaks(&mut self, broken: impl IntoIterator<Item = Break>) {
        for broken in broken {
            let after = self.rng.between(Duration::from_millis(1), Duration::from_millis(500));
            self.agenda.after(after, Happening::Breaks(broken));
        }
    }

    pub(crate) fn link(&mut self, linker: Pid, to: Pid) {
        let way = (linker.address, to.address);
        self.network.link(linker, to);
        self.must_be_there(way);
    }

    /// As agents link to their masters.
    pub(crate) fn relink(&mut self, linker: Pid, to: Pid) {
        let way = (linker.address, to.address);
        self.network.relink(linker, to, &mut self.rng);
        self.must_be_there(way);
    }

    /// A connection that cannot be made breaks.
    fn must_be_there(&mut self, way: Way) -> bool {
        let up = self.is_up(way.1);
        if !up {
            let broken = self.network.break_way(way);
            self.tell_breaks(broken);
        }
        up
    }

    fn is_up(&self, address: SocketAddr) -> bool {
        self.masters.iter().any(|node| node.pid.address == address && node.process.is_some())
            || self.agents.iter().any(|node| node.pid.address == address && node.process.is_some())
            || self.schedulers.iter().any(|scheduler| scheduler.pid.address == address)
            || self.keepers.iter().any(|keeper| keeper.pid.address == address)
    }

    pub(crate) fn send(&mut self, from: Pid, to: Pid, name: impl Into<String>, body: Vec<u8>) {
        let (life, again, stubborn) = (0, false, false);
        let mut packet = Packet { from, to, name: name.into(), body, life, again, stubborn };
        for arrival in self.network.send(self.agenda.now, &mut packet, &mut self.rng) {
            self.agenda.at(arrival, Happening::Deliver(packet.clone()));
            packet.again = true;
            // The answer to it would be news to a framework that knows the operation: of those nothing comes so late.
            packet.stubborn =
                packet.name == ApplyOperationMessage::NAME && !checks::has_feedback(&packet.body);
        }
    }

    /// An answer, or an event of a stream, on the connection that was asked on.
    pub(crate) fn answer(&mut self, from: Pid, to: Pid, life: u64, name: &str, body: Vec<u8>) {
        let packet = Packet { from, to, name: name.to_string(), body, life, again: false, stubborn: false };
        if let Some(arrival) = self.network.answer(self.agenda.now, &packet, &mut self.rng) {
            self.agenda.at(arrival, Happening::Deliver(packet));
        }
    }

    fn deliver(&mut self, packet: Packet) {
        if !self.network.delivers(&packet) {
            self.trace(|| format!("LOST {} from {} to {}", packet.name, packet.from, packet.to));
            if !self.network.is_open(packet.from.address, packet.to.address) {
                // TCP gives up after a while, and both sides learn of it in their own time.
                for broken in self.network.break_between(packet.from.address, packet.to.address) {
                    let after = self.rng.between(Duration::from_secs(1), Duration::from_secs(60));
                    self.agenda.after(after, Happening::Breaks(broken));
                }
            }
            return;
        }
        if !self.must_be_there((packet.from.address, packet.to.address)) {
            return;
        }
        if packet.again && self.means_another_task(&packet) {
            return;
        }
        self.trace(|| format!("{} -> {} {}", packet.from, packet.to, packet.name));
        let Packet { from, to, name, body, .. } = packet;
        if let Some(number) = self.masters.iter().position(|node| node.pid.address == to.address) {
            if name == http::CALL {
                self.call_arrives(number, from, &body);
            } else if name == http::CLOSE {
                self.close_arrives(number, &body);
            } else if to.id == self.masters[number].pid.id {
                let message = MasterMessage::read(&name, &body);
                self.master(number, MasterEvent::Message { from, message });
            } else {
                self.log(number, LogEvent::Message { from, to: to.id.to_string(), name, body });
            }
        } else if let Some(number) = self.agents.iter().position(|node| node.pid == to) {
            if name == StatusUpdateAcknowledgementMessage::NAME {
                let noted = |uuid: &Vec<u8>| {
                    self.schedulers.iter().any(|scheduler| scheduler.noted.contains(uuid))
                        || self.keepers.iter().any(|keeper| keeper.noted.contains(uuid))
                };
                invariants::acknowledged_only_once_delivered(&body, noted);
            }
            if name == AcknowledgeOperationStatusMessage::NAME {
                self.check_acknowledgement(number, &body);
            }
            if name == ApplyOperationMessage::NAME {
                return self.apply(number, from, body);
            }
            let runs = name == RunTaskMessage::NAME;
            self.agent(number, AgentEvent::Message { from, name, body });
            if let (true, Some(process)) = (runs, &self.agents[number].process) {
                invariants::no_agent_runs_more_than_it_has(number, &process.agent.view(self.agenda.now));
            }
        } else if let Some(number) = self.keepers.iter().position(|keeper| keeper.pid == to) {
            self.heard(number, &body);
        } else if let Some(number) = self.schedulers.iter().position(|scheduler| scheduler.pid == to) {
            self.check_order(number, &from, &name, &body);
            let mut actions = Vec::new();
            self.schedulers[number].message(self.agenda.now, &from, &name, &body, &mut actions);
            self.scheduler_actions(number, actions);
        }
    }

    /// The sender of a way hears that its connection broke, and tells whoever linked to a process at the other end.
    fn hears_of_a_break(&mut self, broken: Break) {
        let Some(links) = self.network.hears(broken) else { return };
        self.streams_break(broken.way);
        for (at, of) in links {
            self.exited(&at, of);
        }
    }

    fn exited(&mut self, at: &Pid, of: Pid) {
        self.trace(|| format!("{at} is told that {of} exited"));
        if let Some(number) = self.masters.iter().position(|node| node.pid == *at) {
            self.master(number, MasterEvent::Exited { pid: of });
        } else if let Some(number) = self.agents.iter().position(|node| node.pid == *at) {
            self.agent(number, AgentEvent::Exited { pid: of });
        } else if let Some(number) = self.schedulers.iter().position(|scheduler| scheduler.pid == *at) {
            self.schedulers[number].exited(&of);
        } else if let Some(number) = self.keepers.iter().position(|keeper| keeper.pid == *at) {
            self.keepers[number].exited(&of);
        }
    }

    fn scheduler_actions(&mut self, number: usize, actions: Vec<Action>) {
        for action in actions {
            let own = self.schedulers[number].pid.clone();
            let master = self.schedulers[number].master.clone();
            match (action, master) {
                (Action::Send { name, body }, Some(master)) => self.send(own, master, name, body),
                (Action::Link, Some(master)) => self.link(own, master),
                (Action::Timer(when), _) => self.agenda.at(when, Happening::SchedulerTimer(number)),
                (_, None) => {}
            }
        }
    }
}
