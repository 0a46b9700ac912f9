//! The processes of masters: the master with its allocator, the registrar, a replica of the log, and the election, on one
//! machine with one disk and one clock. They speak with each other as the parts of the real program do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use messor_allocator::Allocator;
use messor_election::{
    Contender, ContenderOutcome, Effect as ZkEffect, Event as ZkEvent, Group, GroupOutcome, Machine,
    Timer as ZkTimer,
};
use messor_master_core::{Effect, Event, Master, Timer};
use messor_proto::Wire;
use messor_proto::mesos::MasterInfo;
use messor_proto::mesos::internal::{ResourceOffersMessage, RunTaskMessage};
use messor_proto::mesos::master_info::{Capability, capability::Type};
use messor_registry::{
    Operation, Registrar, RegistrarConfig, RegistrarEffect, RegistrarEvent, RegistrarTimer,
};
use messor_replog::{Effect as LogEffect, Event as LogEvent, Log, Timer as LogTimer, Write};
use messor_stdx::Time;
use messor_types::Pid;

use crate::agenda::Clock;
use crate::agents;
use crate::disks::Replica;
use crate::invariants::{self, Awaited};
use crate::operators::hostname;
use crate::world::{Happening, World, host, pid};
use crate::zookeeper::{Client, Role};

/// What happens inside the process of a master.
pub enum Inside {
    Event(Event),
    Timer(AnyTimer, Time),
    AllocatorTick,
    AllocatorWake,
    /// The disk has synced the oldest write.
    Synced,
    Log(LogEvent),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnyTimer {
    Master(Timer),
    Registrar(RegistrarTimer),
    Log(LogTimer),
    Contender(ZkTimer),
    Group(ZkTimer),
}

pub struct Process {
    pub master: Master,
    pub allocator: Allocator,
    /// When the master hears the last that the allocator said.
    allocator_is_heard: Time,
    waking: bool,
    registrar: Registrar,
    log: Log,
    pub contender: Contender,
    group: Group,
    /// The election is won and the registry recovered.
    pub leads: bool,
    /// Operations that frameworks wait for the end of.
    awaited: Awaited,
    timers: BTreeMap<AnyTimer, Time>,
}

pub struct Node {
    pub pid: Pid,
    pub life: u64,
    pub clock: Clock,
    pub replica: Replica,
    pub process: Option<Box<Process>>,
}

pub const PATH: &str = "/mesos";
/// Shorter than real masters allow: it has to pass between two failovers now and then.
pub const REREGISTER_TIMEOUT: Duration = Duration::from_secs(120);

/// As the simulated znodes have it: this is opaque to the election.
pub fn master_info(pid: &Pid, life: u64) -> MasterInfo {
    MasterInfo {
        id: format!("{}-{life}", pid.address),
        port: u32::from(pid.address.port()),
        pid: Some(pid.to_string()),
        hostname: Some(pid.address.ip().to_string()),
        version: Some("1.11.0".into()),
        capabilities: [Type::AgentUpdate, Type::AgentDraining, Type::QuotaV2]
            .map(|kind| Capability { r#type: Some(kind.into()) })
            .to_vec(),
        ..MasterInfo::default()
    }
}

fn election(name: Option<&str>) -> messor_election::Config {
    messor_election::Config {
        path: name.map_or(PATH.to_string(), |name| format!("{PATH}/{name}")),
        acl: messor_election::Acl::Open,
        session_timeout: crate::zookeeper::SESSION_TIMEOUT,
    }
}

impl Node {
    pub fn new(number: usize, clock: Clock) -> Node {
        Node {
            pid: pid("master", host(0, number), 5050),
            life: 0,
            clock,
            replica: Replica::default(),
            process: None,
        }
    }

    fn replica_pid(&self) -> Pid {
        Pid::new("log-replica(1)", self.pid.address)
    }
}

impl World {
    pub(crate) fn start_master(&mut self, number: usize) {
        let node = &mut self.masters[number];
        if node.process.is_some() {
            return;
        }
        node.life += 1;
        let now = node.clock.local(self.agenda.now);
        let info = master_info(&node.pid, node.life);
        let replica_pid = node.replica_pid();
        let log = Log::new(
            messor_replog::Config {
                pid: replica_pid.clone(),
                quorum: self.options.masters / 2 + 1,
                auto_initialize: true,
                seed: self.rng.next(),
            },
            now,
        );
        let allocator = Allocator::new(messor_allocator::Options {
            seed: self.rng.next(),
            role_priorities: self.options.role_priorities(),
            preemption_delay: Duration::from_secs(10),
            ..messor_allocator::Options::default()
        });
        let mut config = messor_master_core::Config::new(info.clone());
        config.agent_reregister_timeout = REREGISTER_TIMEOUT;
        node.process = Some(Box::new(Process {
            master: Master::new(config, now),
            allocator,
            allocator_is_heard: Time::ZERO,
            waking: false,
            registrar: Registrar::new(RegistrarConfig::new(self.rng.next())),
            log,
            contender: Contender::new(election(None), info.encode_bytes()),
            group: Group::new(election(Some("log_replicas")), Some(replica_pid.to_string().into_bytes())),
            leads: false,
            awaited: Awaited::default(),
            timers: BTreeMap::new(),
        }));
        let restored = node.replica.restored();
        self.trace(|| format!("master {number} starts with {restored:?}"));
        let restored = self.masters[number].replica.restored();
        self.log(number, LogEvent::Restored(Box::new(restored)));
        self.group(number, ZkEvent::Start);
        self.contender(number, ZkEvent::Start);
        self.inside(number, Duration::from_secs(1), Inside::AllocatorTick);
    }

    /// The process ends: with its machine, or alone, when what it wrote reaches the disk all the same.
    pub(crate) fn stop_master(&mut self, number: usize, with_machine: bool) {
        let node = &mut self.masters[number];
        if node.process.take().is_none() {
            return;
        }
        if with_machine {
            node.replica.crash(&mut self.rng);
        } else {
            while node.replica.sync_one().is_some() {}
        }
        let address = node.pid.address;
        self.streams.retain(|_, stream| stream.master.address != address);
        self.zk_forget(number);
        let broken = self.network.break_all(address);
        self.tell_breaks(broken);
    }

    /// It ends by itself, and is started again by its supervisor.
    fn master_ends(&mut self, number: usize, reason: &str) {
        self.trace(|| format!("master {number} ends: {reason}"));
        self.stop_master(number, false);
        let after = self.rng.between(Duration::from_millis(100), Duration::from_secs(5));
        self.agenda.after(after, Happening::StartMaster(number));
    }

    fn inside(&mut self, number: usize, after: Duration, what: Inside) {
        let life = self.masters[number].life;
        self.agenda.after(after, Happening::Master(number, life, what));
    }

    pub(crate) fn master_happening(&mut self, number: usize, life: u64, what: Inside) {
        let node = &mut self.masters[number];
        if node.life != life {
            return;
        }
        let Some(process) = &mut node.process else { return };
        match what {
            Inside::Event(event) => self.master(number, event),
            Inside::Timer(timer, set_for) => {
                if process.timers.get(&timer) != Some(&set_for) {
                    return;
                }
                process.timers.remove(&timer);
                match timer {
                    AnyTimer::Master(timer) => self.master(number, Event::Timer(timer)),
                    AnyTimer::Registrar(timer) => self.registrar(number, RegistrarEvent::Timer(timer)),
                    AnyTimer::Log(timer) => self.log(number, LogEvent::Timer(timer)),
                    AnyTimer::Contender(timer) => self.contender(number, ZkEvent::Timer(timer)),
                    AnyTimer::Group(timer) => self.group(number, ZkEvent::Timer(timer)),
                }
            }
            Inside::AllocatorTick => {
                if process.leads && process.allocator_is_heard < self.agenda.now {
                    let view = process.master.view_without_metrics(self.agenda.now);
                    invariants::nothing_is_lost_between_master_and_allocator(&view, &process.allocator);
                }
                self.allocate(number, messor_allocator::Event::Tick);
                self.inside(number, Duration::from_secs(1), Inside::AllocatorTick);
            }
            Inside::AllocatorWake => {
                process.waking = false;
                self.allocate(number, messor_allocator::Event::Allocate);
            }
            Inside::Synced if node.replica.disk.fails => {
                node.replica.disk.fails = false;
                if let Some(ticket) = node.replica.disk.fail() {
                    let outcome = Err("no space is left".to_string());
                    self.log(number, LogEvent::Persisted { ticket, outcome });
                }
            }
            Inside::Synced => {
                if let Some(ticket) = node.replica.sync_one() {
                    self.log(number, LogEvent::Persisted { ticket, outcome: Ok(()) });
                }
            }
            Inside::Log(event) => self.log(number, event),
        }
    }

    fn set_timer(&mut self, number: usize, timer: AnyTimer, at: Time) {
        let node = &mut self.masters[number];
        let Some(process) = &mut node.process else { return };
        process.timers.insert(timer.clone(), at);
        let (life, real) = (node.life, node.clock.real(at));
        self.agenda.at(real, Happening::Master(number, life, Inside::Timer(timer, at)));
    }

    fn cancel_timer(&mut self, number: usize, timer: &AnyTimer) {
        if let Some(process) = &mut self.masters[number].process {
            process.timers.remove(timer);
        }
    }

    /// Until when, in real time, this master may act.
    pub(crate) fn leads_until(&self, number: usize) -> Option<Time> {
        let node = &self.masters[number];
        let until = node.process.as_ref()?.contender.leads_until()?;
        Some(node.clock.real(until))
    }

    pub(crate) fn master(&mut self, number: usize, event: Event) {
        // A process that was stopped for a while must not act on: it looks at its clock first.
        let leads = self.masters[number].process.as_ref().is_some_and(|process| process.leads);
        if leads && self.leads_until(number).is_none_or(|until| until <= self.agenda.now) {
            return self.master_ends(number, "its lease is over");
        }
        let node = &mut self.masters[number];
        let Some(process) = &mut node.process else { return };
        let mut effects = Vec::new();
        let stored = matches!(event, Event::Stored { outcome: Ok(true), .. });
        let live =
            stored.then(|| invariants::live_tasks(&process.master.view_without_metrics(self.agenda.now)));
        process.master.handle(node.clock.local(self.agenda.now), event, &mut effects);
        if let Some(live) = live {
            invariants::what_is_lost_is_told(
                &live,
                &process.master.view_without_metrics(self.agenda.now),
                &effects,
            );
        }
        if leads {
            let view = process.master.view_without_metrics(self.agenda.now);
            let (agents, now) = (&self.agents, self.agenda.now);
            invariants::nothing_is_allocated_twice(&view, |id| agents::really(agents, id, now));
            invariants::operations_make_and_lose_nothing(&view);
            process.awaited.what_ends_is_told(&view, &effects);
        }
        let own = node.pid.clone();
        for effect in effects {
            match effect {
                Effect::Send { to, name, body } => {
                    self.ledger.registered_only_once_stored(name, &body);
                    self.check_closed(&to, name, &body);
                    self.send(own.clone(), to, name, body);
                }
                Effect::Link { pid } => self.link(own.clone(), pid),
                Effect::Unlink { pid } => self.network.unlink(&own, &pid),
                Effect::Store { ticket, operation } => {
                    if let Operation::MarkAgentGone { id, .. } = &operation
                        && !self.machines.marked_gone.contains(id)
                    {
                        invariants::who_goes_by_a_drain_has_nothing(&self.agents, id);
                    }
                    self.ledger.asked(ticket, number, &operation);
                    self.registrar(number, RegistrarEvent::Apply { ticket, operation });
                }
                Effect::Allocator(event) => self.allocate(number, event),
                Effect::SetTimer { timer, at } => self.set_timer(number, AnyTimer::Master(timer), at),
                Effect::CancelTimer { timer } => self.cancel_timer(number, &AnyTimer::Master(timer)),
                Effect::Stream { stream, event } => self.stream_event(stream, &event),
                Effect::CloseStream { stream } => self.stream_ends(stream),
                Effect::Reply { reply, outcome } => {
                    self.operators_hear(reply, &outcome);
                    self.answered(number, reply, &outcome);
                }
                Effect::Abort { reason } => return self.master_ends(number, &reason),
                Effect::Log { line, .. } => self.trace(|| format!("master {number}: {line}")),
                _ => (),
            }
        }
    }

    /// What is not to be offered is not offered, nor is it used.
    fn check_closed(&self, to: &Pid, name: &str, body: &[u8]) {
        const RIGHT: &str = "the master's own messages are right";
        if name == RunTaskMessage::NAME {
            let number = self.agents.iter().position(|node| node.pid == *to);
            let hostname = number.map_or_else(String::new, hostname);
            invariants::nobody_is_where_maintenance_is(&self.machines, &hostname);
        }
        match name {
            RunTaskMessage::NAME => {
                let agent = RunTaskMessage::decode_checked(body).expect(RIGHT).task.agent_id;
                invariants::closed_agents_get_no_task(&self.closed, &agent);
            }
            ResourceOffersMessage::NAME => {
                for offer in ResourceOffersMessage::decode_checked(body).expect(RIGHT).offers {
                    invariants::closed_agents_are_not_offered(&self.closed, &offer.agent_id);
                    invariants::nobody_is_where_maintenance_is(&self.machines, &offer.hostname);
                }
            }
            _ => {}
        }
    }

    fn allocate(&mut self, number: usize, event: messor_allocator::Event) {
        let node = &mut self.masters[number];
        let Some(process) = &mut node.process else { return };
        let mut effects = Vec::new();
        let allocates = matches!(event, messor_allocator::Event::Tick | messor_allocator::Event::Allocate);
        let before = allocates.then(|| process.allocator.consumption());
        process.allocator.handle(node.clock.local(self.agenda.now), event, &mut effects);
        if let Some(before) = before {
            invariants::limits_of_quota_hold(&before, &process.allocator.consumption(), &effects);
            // What went wrong with any event since the last allocation is wrong still.
            invariants::the_allocator_agrees_with_itself(&process.allocator);
        }
        for effect in effects {
            match effect {
                messor_allocator::Effect::Wake => {
                    let Some(process) = &mut self.masters[number].process else { return };
                    if !std::mem::replace(&mut process.waking, true) {
                        self.inside(number, Duration::from_micros(100), Inside::AllocatorWake);
                    }
                }
                messor_allocator::Effect::Offer { framework_id, offers } => {
                    self.allocator_says(number, Event::Offer { framework: framework_id, offers });
                }
                messor_allocator::Effect::InverseOffer { framework_id, agents } => {
                    self.allocator_says(number, Event::InverseOffer { framework: framework_id, agents });
                }
                messor_allocator::Effect::Available { ticket, outcome } => {
                    self.allocator_says(number, Event::Available { ticket, outcome });
                }
                messor_allocator::Effect::AskHeld { roles } => {
                    self.allocator_says(number, Event::AskHeld { roles });
                }
                messor_allocator::Effect::Preempt(preemption) => {
                    invariants::nobody_loses_to_an_equal(&preemption, &self.options.role_priorities());
                    self.allocator_says(number, Event::Preempt(Box::new(preemption)));
                }
                messor_allocator::Effect::Inconsistent { reason } => {
                    panic!("master and allocator disagree: {reason}")
                }
            }
        }
    }

    /// The allocator has a thread of its own: the master may do other things before it hears of this. It hears everything
    /// in the order in which it was said.
    fn allocator_says(&mut self, number: usize, event: Event) {
        let after = self.rng.between(Duration::from_micros(1), Duration::from_millis(20));
        let Some(process) = &mut self.masters[number].process else { return };
        let when = process.allocator_is_heard.max(self.agenda.now + after);
        process.allocator_is_heard = when;
        let life = self.masters[number].life;
        self.agenda.at(when, Happening::Master(number, life, Inside::Event(event)));
    }

    fn registrar(&mut self, number: usize, event: RegistrarEvent) {
        let node = &mut self.masters[number];
        let Some(process) = &mut node.process else { return };
        let mut effects = Vec::new();
        process.registrar.handle(node.clock.local(self.agenda.now), event, &mut effects);
        for effect in effects {
            match effect {
                RegistrarEffect::Recovered(state) => {
                    self.report.elections += 1;
                    self.ledger.recovered(&state);
                    self.trace(|| format!("master {number} has recovered the registry"));
                    if let Some(process) = &mut self.masters[number].process {
                        process.leads = true;
                    }
                    self.one_leader_acts();
                    self.master(number, Event::Elected { registry: state });
                }
                RegistrarEffect::Applied { ticket, outcome } => {
                    let left = self.ledger.answered(ticket, number, &outcome);
                    // What was ordered of them goes with them.
                    left.iter().for_each(|agent| self.closed.forget(agent));
                    self.master(number, Event::Stored { ticket, outcome });
                }
                RegistrarEffect::Log { ticket, command } => {
                    self.log(number, LogEvent::Command { ticket, command });
                }
                RegistrarEffect::SetTimer { timer, at } => {
                    self.set_timer(number, AnyTimer::Registrar(timer), at);
                }
                RegistrarEffect::CancelTimer { timer } => {
                    self.cancel_timer(number, &AnyTimer::Registrar(timer));
                }
                RegistrarEffect::Failed { reason } => return self.master_ends(number, &reason),
                RegistrarEffect::Say { line, .. } => self.trace(|| format!("registrar {number}: {line}")),
            }
        }
    }

    pub(crate) fn log(&mut self, number: usize, event: LogEvent) {
        let node = &mut self.masters[number];
        let Some(process) = &mut node.process else { return };
        let mut effects = Vec::new();
        process.log.handle(node.clock.local(self.agenda.now), event, &mut effects);
        let address = node.pid.address;
        for effect in effects {
            match effect {
                LogEffect::Send { from, to, name, body } => {
                    invariants::a_replica_keeps_its_word(number, &self.masters[number].replica, name, &body);
                    self.send(Pid::new(&from, address), to, name, body);
                }
                LogEffect::Close { .. } => {}
                LogEffect::Persist { ticket, write } => {
                    if let Write::Metadata(metadata) = &write {
                        invariants::promises_only_grow(
                            number,
                            self.masters[number].replica.promised(),
                            metadata,
                        );
                    }
                    if let Write::Action(action) | Write::Truncating { action, .. } = &write {
                        self.chosen.learned(action);
                    }
                    self.masters[number].replica.disk.write(ticket, write);
                    let after = self.rng.between(Duration::from_millis(1), Duration::from_millis(30));
                    self.inside(number, after, Inside::Synced);
                }
                LogEffect::Read { ticket, from, to } => {
                    // Reads see what was written before, synced or not.
                    let mut done = Vec::new();
                    while let Some(ticket) = self.masters[number].replica.sync_one() {
                        done.push(ticket);
                    }
                    for ticket in done {
                        let persisted = LogEvent::Persisted { ticket, outcome: Ok(()) };
                        self.inside(number, Duration::from_micros(1), Inside::Log(persisted));
                    }
                    let outcome = Ok(self.masters[number].replica.read(from, to));
                    let read = LogEvent::Read { ticket, outcome };
                    self.inside(number, Duration::from_micros(100), Inside::Log(read));
                }
                LogEffect::Done { ticket, outcome } => {
                    self.registrar(number, RegistrarEvent::Log { ticket, outcome });
                }
                LogEffect::SetTimer { timer, at } => self.set_timer(number, AnyTimer::Log(timer), at),
                LogEffect::CancelTimer { timer } => self.cancel_timer(number, &AnyTimer::Log(timer)),
                LogEffect::Failed { reason } => return self.master_ends(number, &reason),
                LogEffect::Log { line, .. } => self.trace(|| format!("log {number}: {line}")),
            }
        }
    }

    pub(crate) fn contender(&mut self, number: usize, event: ZkEvent) {
        let node = &mut self.masters[number];
        let Some(process) = &mut node.process else { return };
        let mut effects = Vec::new();
        process.contender.handle(node.clock.local(self.agenda.now), event, &mut effects);
        let client = Client { node: number, life: node.life, role: Role::Contender };
        for effect in effects {
            match effect {
                ZkEffect::Connect => self.zk_connect(client),
                ZkEffect::Request { ticket, request } => self.zk_request(client, ticket, request),
                ZkEffect::Close => self.zk_close(client),
                ZkEffect::SetTimer { timer, at } => self.set_timer(number, AnyTimer::Contender(timer), at),
                ZkEffect::CancelTimer { timer } => self.cancel_timer(number, &AnyTimer::Contender(timer)),
                ZkEffect::Log { line, .. } => self.trace(|| format!("contender {number}: {line}")),
                ZkEffect::Outcome(ContenderOutcome::Elected) => {
                    self.trace(|| format!("master {number} is elected"));
                    let info = Box::new(master_info(&self.masters[number].pid, self.masters[number].life));
                    self.registrar(number, RegistrarEvent::Start { info });
                }
                ZkEffect::Outcome(ContenderOutcome::LeadershipLost { reason }) => {
                    return self.master_ends(number, &reason);
                }
                ZkEffect::Outcome(ContenderOutcome::Failed { reason }) => {
                    return self.master_ends(number, &reason);
                }
                ZkEffect::Outcome(ContenderOutcome::Leader(leader)) => {
                    let leader = leader.map(|leader| {
                        Box::new(
                            MasterInfo::decode_checked(&leader.data).expect("a MasterInfo was put there"),
                        )
                    });
                    self.master(number, Event::LeaderDetected { leader });
                }
            }
        }
    }

    pub(crate) fn group(&mut self, number: usize, event: ZkEvent) {
        let node = &mut self.masters[number];
        let Some(process) = &mut node.process else { return };
        let mut effects = Vec::new();
        process.group.handle(node.clock.local(self.agenda.now), event, &mut effects);
        let client = Client { node: number, life: node.life, role: Role::Group };
        for effect in effects {
            match effect {
                ZkEffect::Connect => self.zk_connect(client),
                ZkEffect::Request { ticket, request } => self.zk_request(client, ticket, request),
                ZkEffect::Close => self.zk_close(client),
                ZkEffect::SetTimer { timer, at } => self.set_timer(number, AnyTimer::Group(timer), at),
                ZkEffect::CancelTimer { timer } => self.cancel_timer(number, &AnyTimer::Group(timer)),
                ZkEffect::Log { line, .. } => self.trace(|| format!("group {number}: {line}")),
                ZkEffect::Outcome(GroupOutcome::Failed { reason }) => {
                    return self.master_ends(number, &reason);
                }
                ZkEffect::Outcome(GroupOutcome::Members(members)) => {
                    let members: BTreeSet<Pid> = members
                        .iter()
                        .map(|text| String::from_utf8_lossy(text).parse().expect("a PID was put there"))
                        .collect();
                    self.log(number, LogEvent::Members(members));
                }
            }
        }
    }

    /// However many think that they were elected: at most one may act.
    fn one_leader_acts(&self) {
        let acting: Vec<usize> = (0..self.masters.len())
            .filter(|number| self.masters[*number].process.as_ref().is_some_and(|process| process.leads))
            .filter(|number| self.leads_until(*number).is_some_and(|until| until > self.agenda.now))
            .collect();
        assert!(acting.len() <= 1, "at most one leader acts: {acting:?} do");
    }
}
