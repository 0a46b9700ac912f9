//! The processes of agents: the agent with its detector, its disk, and the executors that may outlive it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use messor_agent_core::{
    Agent, ContainerCommand, ContainerEvent, Effect, Event, Outcome, Record, ReplyId, Timer,
};
use messor_election::{
    Acl, Config as ElectionConfig, Detector, DetectorOutcome, Effect as ZkEffect, Event as ZkEvent, Machine,
    Timer as ZkTimer,
};
use messor_proto::Wire;
use messor_proto::mesos::internal::{
    ApplyOperationMessage, RegisterAgentMessage, ReregisterAgentMessage, StatusUpdateMessage,
    UpdateAgentMessage, UpdateOperationStatusMessage,
};
use messor_proto::mesos::task_status::Source;
use messor_proto::mesos::{AgentInfo, MasterInfo};
use messor_stdx::Time;
use messor_types::{AgentId, ContainerId, OperationUuid, Pid, Resource, ResourceFormat, Resources};

use crate::agenda::Clock;
use crate::checks;
use crate::deeds::Deeds;
use crate::disks::{self, Disk};
use crate::executors::{Executors, Step, volumes_of};
use crate::invariants;
use crate::masters::PATH;
use crate::operators::hostname;
use crate::scheduler::{Scheduler, scalar};
use crate::world::{Happening, World, host, pid};
use crate::zookeeper::{Client, Role, SESSION_TIMEOUT};

pub enum Inside {
    Event(Event),
    Timer(AnyTimer, Time),
    /// The disk has synced the oldest record.
    Synced,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnyTimer {
    Agent(Timer),
    Detector(ZkTimer),
}

pub struct Process {
    pub agent: Agent,
    detector: Detector,
    timers: BTreeMap<AnyTimer, Time>,
}

pub struct Node {
    pub pid: Pid,
    pub life: u64,
    /// Of the machine: executors live as long.
    pub boot: u64,
    booted_when_written: u64,
    pub clock: Clock,
    pub disk: Disk<Record>,
    /// The processes of containers, durable before their programs start.
    pids: BTreeMap<ContainerId, u32>,
    pub process: Option<Box<Process>>,
    pub executors: Executors,
    pub deeds: Deeds,
}

impl Node {
    pub fn new(number: usize, clock: Clock) -> Node {
        Node {
            pid: pid("slave(1)", host(1, number), 5051),
            life: 0,
            boot: 0,
            booted_when_written: 0,
            clock,
            disk: Disk::default(),
            pids: BTreeMap::new(),
            process: None,
            executors: Executors::new(number),
            deeds: Deeds::default(),
        }
    }
}

impl Node {
    /// The update of this uuid was synced.
    fn is_durable(&self, uuid: &[u8]) -> bool {
        self.disk.durable.iter().rev().any(|record| match record {
            Record::Update { record, .. } => {
                record.update.as_ref().is_some_and(|update| update.uuid.as_deref() == Some(uuid))
            }
            _ => false,
        })
    }

    /// It is up, and nobody waits for anything of any task there.
    pub fn has_no_tasks(&self, now: Time) -> bool {
        let Some(process) = &self.process else { return false };
        let view = process.agent.view(now);
        let mut executors = view.frameworks.iter().flat_map(|framework| &framework.executors);
        executors.all(|executor| {
            executor.queued_tasks.is_empty()
                && executor.launched_tasks.is_empty()
                && executor.terminated_tasks.is_empty()
        })
    }
}

/// What there is on an agent, if it is up.
pub fn really(agents: &[Node], id: &AgentId, now: Time) -> Option<invariants::Really> {
    agents.iter().find_map(|node| {
        let agent = &node.process.as_ref()?.agent;
        if agent.id()? != id {
            return None;
        }
        let view = agent.view(now);
        let executors = view.frameworks.iter().flat_map(|framework| &framework.executors);
        let tasks = executors.flat_map(|executor| {
            let queued = executor.queued_tasks.iter().map(|task| task.task_id.value.clone());
            queued.chain(executor.launched_tasks.iter().map(|task| task.task_id.value.clone()))
        });
        Some(invariants::Really { kept: node.deeds.now(), tasks: tasks.collect() })
    })
}

impl World {
    pub(crate) fn start_agent(&mut self, number: usize) {
        let node = &mut self.agents[number];
        if node.process.is_some() {
            return;
        }
        node.life += 1;
        let info = AgentInfo {
            hostname: hostname(number),
            port: Some(5051),
            resources: vec![scalar("cpus", 2.0), scalar("mem", 4096.0), scalar("disk", 1024.0)],
            ..AgentInfo::default()
        };
        let mut config = messor_agent_core::Config::new(node.pid.clone(), info, "/work", "/bin");
        config.seed = self.rng.next();
        config.limits_memory = true;
        // Some promise things twice.
        config.oversubscribed_resources_interval =
            (self.options.keepers > 0 && number.is_multiple_of(2)).then_some(Duration::from_secs(15));
        let election =
            ElectionConfig { path: PATH.to_string(), acl: Acl::Open, session_timeout: SESSION_TIMEOUT };
        node.process = Some(Box::new(Process {
            agent: Agent::new(config, node.clock.local(self.agenda.now)),
            detector: Detector::new(election),
            timers: BTreeMap::new(),
        }));
        let rebooted = node.booted_when_written != node.boot;
        let recovered = disks::recovered(&node.disk.durable, &node.pids, rebooted);
        self.trace(|| format!("agent {number} starts, rebooted: {rebooted}"));
        self.agent(number, Event::Recovered(Box::new(recovered)));
        let node = &mut self.agents[number];
        if let Some(process) = &node.process {
            let total = process.agent.view(self.agenda.now).total.clone();
            node.deeds.recovered(&total, &node.disk.durable);
        }
        self.detector(number, ZkEvent::Start);
    }

    /// The process ends, alone or with its whole machine.
    pub(crate) fn stop_agent(&mut self, number: usize, with_machine: bool) {
        let masters = self.masters.len();
        let node = &mut self.agents[number];
        if node.process.take().is_none() {
            return;
        }
        let mut steps = Vec::new();
        let in_use = if with_machine { BTreeSet::new() } else { node.executors.volumes_in_use() };
        if with_machine {
            node.disk.crash(&mut self.rng);
            node.executors.machine_crashed();
            node.boot += 1;
        } else {
            while node.disk.sync_one().is_some() {}
            steps = node.executors.agent_went(&mut self.rng);
        }
        let address = node.pid.address;
        self.synced(number, &in_use);
        self.steps(number, steps);
        self.zk_forget(masters + number);
        let broken = self.network.break_all(address);
        self.tell_breaks(broken);
    }

    /// Its disk is a new one, with nothing on it.
    pub(crate) fn lose_an_agents_disk(&mut self, number: usize) {
        self.trace(|| format!("FAULT the disk of agent {number} dies"));
        self.stop_agent(number, true);
        let node = &mut self.agents[number];
        node.disk = Disk::default();
        node.pids.clear();
        node.deeds.disk_died();
        self.agenda.after(Duration::from_secs(5), Happening::StartAgent(number));
    }

    fn agent_ends(&mut self, number: usize, reason: &str) {
        self.trace(|| format!("agent {number} ends: {reason}"));
        self.stop_agent(number, false);
        let after = self.rng.between(Duration::from_millis(100), Duration::from_secs(5));
        self.agenda.after(after, Happening::StartAgent(number));
    }

    fn in_agent(&mut self, number: usize, after: Duration, what: Inside) {
        let life = self.agents[number].life;
        self.agenda.after(after, Happening::Agent(number, life, what));
    }

    pub(crate) fn agent_happening(&mut self, number: usize, life: u64, what: Inside) {
        let node = &mut self.agents[number];
        if node.life != life {
            return;
        }
        let Some(process) = &mut node.process else { return };
        match what {
            Inside::Event(event) => self.agent(number, event),
            Inside::Timer(timer, set_for) => {
                if process.timers.get(&timer) != Some(&set_for) {
                    return;
                }
                process.timers.remove(&timer);
                match timer {
                    AnyTimer::Agent(timer) => self.agent(number, Event::Timer(timer)),
                    AnyTimer::Detector(timer) => self.detector(number, ZkEvent::Timer(timer)),
                }
            }
            Inside::Synced if node.disk.fails => {
                node.disk.fails = false;
                if let Some(ticket) = node.disk.fail() {
                    let outcome = Err("no space is left".to_string());
                    self.agent(number, Event::Persisted { ticket, outcome });
                }
            }
            Inside::Synced => {
                let in_use = node.executors.volumes_in_use();
                if let Some(ticket) = node.disk.sync_one() {
                    if matches!(node.disk.durable.last(), Some(Record::Boot)) {
                        node.booted_when_written = node.boot;
                    }
                    self.synced(number, &in_use);
                    self.agent(number, Event::Persisted { ticket, outcome: Ok(()) });
                }
            }
        }
    }

    /// Looks at what is on disk by now.
    fn synced(&mut self, number: usize, in_use: &BTreeSet<String>) {
        let node = &mut self.agents[number];
        let keepers = &self.keepers;
        let noted = |uuid: &[u8]| keepers.iter().any(|keeper| keeper.noted_operations.contains(uuid));
        node.deeds.synced(&node.disk.durable, in_use, noted);
    }

    /// An operation for an agent arrives.
    pub(crate) fn apply(&mut self, number: usize, from: Pid, body: Vec<u8>) {
        let message =
            ApplyOperationMessage::decode_checked(&body).expect("the master's own messages are right");
        let now = self.agenda.now;
        self.trace(|| format!("agent {number} is to do {}", checks::operation_in_words(&message)));
        let Some(process) = &self.agents[number].process else { return };
        let before = process.agent.view(now).total;
        self.before = Some((number, message, before));
        self.agent(number, Event::Message { from, name: ApplyOperationMessage::NAME.to_string(), body });
    }

    fn set_agent_timer(&mut self, number: usize, timer: AnyTimer, at: Time) {
        let node = &mut self.agents[number];
        let Some(process) = &mut node.process else { return };
        process.timers.insert(timer.clone(), at);
        let (life, real) = (node.life, node.clock.real(at));
        self.agenda.at(real, Happening::Agent(number, life, Inside::Timer(timer, at)));
    }

    pub(crate) fn detector(&mut self, number: usize, event: ZkEvent) {
        let masters = self.masters.len();
        let node = &mut self.agents[number];
        let Some(process) = &mut node.process else { return };
        let mut effects = Vec::new();
        process.detector.handle(node.clock.local(self.agenda.now), event, &mut effects);
        let client = Client { node: masters + number, life: node.life, role: Role::Detector };
        for effect in effects {
            match effect {
                ZkEffect::Connect => self.zk_connect(client),
                ZkEffect::Request { ticket, request } => self.zk_request(client, ticket, request),
                ZkEffect::Close => self.zk_close(client),
                ZkEffect::SetTimer { timer, at } => {
                    self.set_agent_timer(number, AnyTimer::Detector(timer), at);
                }
                ZkEffect::CancelTimer { timer } => {
                    if let Some(process) = &mut self.agents[number].process {
                        process.timers.remove(&AnyTimer::Detector(timer));
                    }
                }
                ZkEffect::Log { line, .. } => self.trace(|| format!("detector {number}: {line}")),
                ZkEffect::Outcome(DetectorOutcome::Failed { reason }) => {
                    return self.agent_ends(number, &reason);
                }
                ZkEffect::Outcome(DetectorOutcome::Leader(leader)) => {
                    let leader = leader.map(|leader| {
                        Box::new(
                            MasterInfo::decode_checked(&leader.data).expect("a MasterInfo was put there"),
                        )
                    });
                    self.agent(number, Event::Detected { leader });
                }
            }
        }
    }

    pub(crate) fn agent(&mut self, number: usize, event: Event) {
        let mut effects = Vec::new();
        let node = &mut self.agents[number];
        let Some(process) = &mut node.process else { return };
        process.agent.handle(node.clock.local(self.agenda.now), event, &mut effects);
        if let Some((_, message, before)) = self.before.take_if(|(of, ..)| *of == number) {
            let view = process.agent.view(self.agenda.now);
            let id = view.info.id.as_ref().map_or_else(|| AgentId::from(""), AgentId::from);
            node.deeds.asked(&id, &message, &before, &view.total);
        }
        let own = node.pid.clone();
        for effect in effects {
            match effect {
                Effect::Send { to, name, body } => {
                    if name == StatusUpdateMessage::NAME {
                        self.check_update(number, &body);
                    }
                    self.check_told(number, name, &body);
                    self.send(own.clone(), to, name, body);
                }
                Effect::Link { pid: to } => self.relink(own.clone(), to),
                Effect::Unlink { pid: to } => self.network.unlink(&own, &to),
                Effect::StreamOpened { stream, .. } => self.agents[number].executors.opened(stream),
                Effect::Stream { stream, event } => {
                    if let Some(acknowledged) = &event.acknowledged
                        && self.agents[number].executors.checkpoints(stream)
                    {
                        let durable = self.agents[number].is_durable(&acknowledged.uuid);
                        invariants::told_only_what_is_durable(durable, &acknowledged.task_id.value);
                    }
                    if let Some(launch) = &event.launch {
                        let volumes = volumes_of(&launch.task);
                        self.agents[number].deeds.begins(&launch.task.task_id.value, volumes);
                    }
                    let steps = self.agents[number].executors.event(stream, &event);
                    invariants::no_task_runs_twice(self.agents.iter().flat_map(|node| &node.executors.begun));
                    self.steps(number, steps);
                }
                Effect::CloseStream { stream } => {
                    let steps = self.agents[number].executors.closed(stream, &mut self.rng);
                    self.steps(number, steps);
                }
                Effect::Reply { reply, outcome } => self.replied(number, reply, &outcome),
                Effect::Container(command) => self.command(number, command),
                Effect::Persist { ticket, record } => {
                    self.agents[number].deeds.writes(&record);
                    self.agents[number].disk.write(ticket, record);
                    let after = self.rng.between(Duration::from_millis(1), Duration::from_millis(20));
                    self.in_agent(number, after, Inside::Synced);
                }
                Effect::SetTimer { timer, at } => self.set_agent_timer(number, AnyTimer::Agent(timer), at),
                Effect::CancelTimer { timer } => {
                    if let Some(process) = &mut self.agents[number].process {
                        process.timers.remove(&AnyTimer::Agent(timer));
                    }
                }
                Effect::Estimate => self.estimate(number),
                Effect::Abort { reason } => return self.agent_ends(number, &reason),
                Effect::Log { line, .. } => self.trace(|| format!("agent {number}: {line}")),
                _ => (),
            }
        }
    }

    /// A fixed estimate: so much is promised twice, less what is used of it.
    fn estimate(&mut self, number: usize) {
        let Some(process) = &self.agents[number].process else { return };
        let view = process.agent.view(self.agenda.now);
        let executors = view.frameworks.iter().flat_map(|framework| &framework.executors);
        let tasks = executors.flat_map(|executor| {
            let launched = executor.launched_tasks.iter().map(|task| &task.resources);
            executor.queued_tasks.iter().map(|task| &task.resources).chain(launched)
        });
        let used: Vec<_> = tasks.flatten().cloned().collect();
        let used =
            Resources::from_proto(&used).expect("tasks' resources are right").revocable().unallocated();
        let fixed: Resources = Resource::scalar("cpus", 1.0).with_revocable().into();
        let estimate = (fixed - &used).to_proto(ResourceFormat::PostRefinement);
        let event = Inside::Event(Event::Estimated(Ok(estimate)));
        self.in_agent(number, Duration::from_millis(5), event);
    }

    /// What an agent says of operations, reservations and volumes is on its disk.
    fn check_told(&mut self, number: usize, name: &str, body: &[u8]) {
        const RIGHT: &str = "the agent's own messages are right";
        let node = &mut self.agents[number];
        let disk = &node.disk.durable;
        match name {
            UpdateOperationStatusMessage::NAME => {
                let message = UpdateOperationStatusMessage::decode_checked(body).expect(RIGHT);
                let uuid = message.operation_uuid.as_ref().and_then(OperationUuid::from_proto);
                if let Some(uuid) = uuid {
                    node.deeds.told(&uuid, &message.status, message.framework_id.is_some(), disk);
                }
            }
            UpdateAgentMessage::NAME => {
                let message = UpdateAgentMessage::decode_checked(body).expect(RIGHT);
                node.deeds.tells_version(message.resource_version_uuid.as_ref());
                for operation in message.operations.iter().flat_map(|list| &list.operations) {
                    if let Some(uuid) = OperationUuid::from_proto(&operation.uuid) {
                        node.deeds.told(&uuid, &operation.latest_status, true, disk);
                    }
                }
            }
            RegisterAgentMessage::NAME => {
                let message = RegisterAgentMessage::decode_checked(body).expect(RIGHT);
                node.deeds.tells_version(message.resource_version_uuid.as_ref());
                node.deeds.told_all(&message.checkpointed_resources, disk);
            }
            ReregisterAgentMessage::NAME => {
                let message = ReregisterAgentMessage::decode_checked(body).expect(RIGHT);
                node.deeds.tells_version(message.resource_version_uuid.as_ref());
                node.deeds.told_all(&message.checkpointed_resources, disk);
            }
            _ => {}
        }
    }

    fn check_update(&mut self, number: usize, body: &[u8]) {
        let update =
            StatusUpdateMessage::decode_checked(body).expect("the agent's own messages are right").update;
        self.told.tells(&update);
        let checkpoints = |scheduler: &Scheduler| {
            scheduler.checkpoints() && scheduler.launched.contains(&update.status.task_id.value)
        };
        if update.status.source() == Source::Executor && self.schedulers.iter().any(checkpoints) {
            let durable = self.agents[number].is_durable(update.uuid.as_deref().unwrap_or_default());
            invariants::told_only_what_is_durable(durable, &update.status.task_id.value);
        }
    }

    fn replied(&mut self, number: usize, reply: ReplyId, outcome: &Outcome) {
        if !matches!(outcome, Outcome::Accepted) {
            self.trace(|| format!("agent {number} refuses a call of an executor: {outcome:?}"));
            let steps = self.agents[number].executors.refused(reply, &mut self.rng);
            self.steps(number, steps);
        }
    }

    fn command(&mut self, number: usize, command: ContainerCommand) {
        match command {
            ContainerCommand::Launch(launch) => {
                let steps = self.agents[number].executors.launch(&launch, &mut self.rng);
                self.steps(number, steps);
            }
            ContainerCommand::Destroy { container } => {
                let steps = self.agents[number].executors.destroy(&container);
                if steps.is_empty() {
                    // It is gone already, or never was: whoever waits for its end is told.
                    let exited = ContainerEvent::Exited { container, status: None, limitation: None };
                    self.in_agent(number, Duration::from_millis(1), Inside::Event(Event::Container(exited)));
                }
                self.steps(number, steps);
            }
            ContainerCommand::Check { container } => {
                let (checked, steps) = self.agents[number].executors.check(&container);
                self.in_agent(number, Duration::from_millis(1), Inside::Event(Event::Container(checked)));
                self.steps(number, steps);
            }
            ContainerCommand::Recover { runs } => {
                let wanted: Vec<ContainerId> = runs.into_iter().map(|run| run.container).collect();
                let (running, destroyed) = self.agents[number].executors.recover(&wanted);
                let event = Event::Container(ContainerEvent::Recovered { running, destroyed });
                self.in_agent(number, Duration::from_millis(20), Inside::Event(event));
            }
            ContainerCommand::Update { .. } => {}
        }
    }

    pub(crate) fn steps(&mut self, number: usize, steps: Vec<(Duration, Step)>) {
        let (boot, life) = (self.agents[number].boot, self.agents[number].life);
        for (after, step) in steps {
            self.agenda.after(after, Happening::ExecutorStep(number, boot, life, step));
        }
    }

    pub(crate) fn executor_step(&mut self, number: usize, boot: u64, life: u64, step: Step) {
        let node = &mut self.agents[number];
        if node.boot != boot {
            return;
        }
        if let Step::Launched(container) = &step {
            // It is the agent that forks.
            if node.life != life || node.process.is_none() {
                return node.executors.never_started(container);
            }
            node.pids.insert(container.clone(), 1);
        }
        let up = node.process.is_some();
        let now = node.clock.local(self.agenda.now);
        let (events, steps) = node.executors.step(now, step.clone(), up, &mut self.rng);
        self.trace(|| format!("agent {number}: executor {step:?}"));
        self.steps(number, steps);
        events.into_iter().for_each(|event| self.agent(number, event));
    }

    /// Kills an executor, whichever.
    pub(crate) fn kill_an_executor(&mut self, number: usize) {
        let containers = self.agents[number].executors.containers();
        if containers.is_empty() {
            return;
        }
        let at = usize::try_from(self.rng.below(containers.len() as u64)).unwrap_or(0);
        self.trace(|| format!("FAULT the executor in {} of agent {number} is killed", containers[at]));
        self.steps(number, vec![(Duration::from_millis(1), Step::Exit(containers[at].clone()))]);
    }
}
