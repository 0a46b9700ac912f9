//! A master with one scheduler, which checks what it hears.

use std::collections::{BTreeMap, BTreeSet};

use messor_agent_core::Event;
use messor_proto::Wire;
use messor_proto::mesos::internal::{
    AgentRegisteredMessage, AgentReregisteredMessage, DrainAgentMessage, ReconcileTasksMessage,
    RegisterAgentMessage, ReregisterAgentMessage, StatusUpdateAcknowledgementMessage, StatusUpdateMessage,
};
use messor_proto::mesos::{self, DrainConfig, FrameworkInfo, TaskState, TaskStatus};
use messor_stdx::Duration;
use messor_types::is_terminal_task;

use super::world::{Happening, World};
use crate::build;

const TASKS: usize = 9;

#[derive(Debug)]
pub enum MasterStep {
    /// Runs a task, kills one, drains the agent, or loses the leadership for a moment.
    Work,
    Acknowledge(Box<StatusUpdateAcknowledgementMessage>),
}

#[derive(Debug, Default)]
pub struct Master {
    pub connected: bool,
    agent: Option<String>,
    agents: u64,
    registered_in: Option<u64>,
    pub tasks: BTreeMap<String, MasterTask>,
}

#[derive(Debug)]
pub struct MasterTask {
    agent: String,
    pub checkpoint: bool,
    /// Uuids of its updates, in the order of their first arrival.
    pub delivered: Vec<Vec<u8>>,
    acknowledged: BTreeSet<Vec<u8>>,
    pub terminal: bool,
    pub completed: bool,
    /// With an agent that never knew its id for sure.
    pub lost: bool,
}

impl MasterTask {
    fn new(agent: String, checkpoint: bool) -> MasterTask {
        MasterTask {
            agent,
            checkpoint,
            delivered: Vec::new(),
            acknowledged: BTreeSet::new(),
            terminal: false,
            completed: false,
            lost: false,
        }
    }
}

fn framework(checkpoint: bool) -> FrameworkInfo {
    let mut framework = build::framework();
    if checkpoint {
        framework.checkpoint = Some(true);
        framework.id = Some(mesos::FrameworkId { value: "checkpointing".to_string() });
    }
    framework
}

impl World {
    pub fn master_step(&mut self, step: MasterStep) {
        match step {
            MasterStep::Work => {
                if self.master.connected {
                    match self.random.below(11) {
                        0..5 if self.master.tasks.len() < TASKS => self.run_task(),
                        5..7 if self.master.tasks.len() < TASKS => self.run_group(),
                        7 => self.kill_task(),
                        10 if self.chaos() => self.drain(),
                        8 if self.chaos() => {
                            self.master.connected = false;
                            let life = self.life;
                            self.at(Duration::ZERO, Happening::Agent(life, Event::Detected { leader: None }));
                            let leader = Some(Box::new(build::master_info()));
                            let after = self.random.millis(10, 2_000);
                            self.at(after, Happening::Agent(life, Event::Detected { leader }));
                        }
                        _ => {}
                    }
                }
                if self.chaos() {
                    let after = self.random.millis(100, 5_000);
                    self.at(after, Happening::Master(MasterStep::Work));
                }
            }
            MasterStep::Acknowledge(message) => {
                if self.master.connected {
                    self.tell_agent(&build::master(), *message);
                }
            }
        }
    }

    #[allow(deprecated)]
    fn run_task(&mut self) {
        let Some(agent) = self.master.agent.clone() else { return };
        let checkpoint = self.random.chance(75);
        let id = format!("task{}", self.master.tasks.len());
        let executor = match self.random.below(4) {
            0 => "http",
            1 => "driver",
            _ => &id,
        };
        let mut task = match executor == id {
            true => build::command_task(&id),
            false => build::executor_task(&id, build::executor(executor)),
        };
        task.agent_id.value.clone_from(&agent);
        if let Some(executor) = &mut task.executor {
            executor.framework_id = framework(checkpoint).id;
        }
        self.note(|| format!("master: runs {id} with {executor}, checkpoint: {checkpoint}"));
        self.master.tasks.insert(id, MasterTask::new(agent, checkpoint));
        self.tell_agent(&build::master(), build::run(framework(checkpoint), task));
    }

    fn run_group(&mut self) {
        let Some(agent) = self.master.agent.clone() else { return };
        let checkpoint = self.random.chance(75);
        let first = self.master.tasks.len();
        let ids: Vec<String> =
            (0..1 + self.random.below(3)).map(|number| format!("task{}", first + number as usize)).collect();
        let mut executor = build::default_executor("pod");
        executor.framework_id = framework(checkpoint).id;
        let names: Vec<&str> = ids.iter().map(String::as_str).collect();
        let mut message = build::run_group(framework(checkpoint), executor, &names);
        for task in &mut message.task_group.tasks {
            task.agent_id.value.clone_from(&agent);
        }
        self.note(|| format!("master: runs the group {ids:?}, checkpoint: {checkpoint}"));
        for id in ids {
            self.master.tasks.insert(id, MasterTask::new(agent.clone(), checkpoint));
        }
        self.tell_agent(&build::master(), message);
    }

    fn kill_task(&mut self) {
        let live: Vec<(String, bool)> = self
            .master
            .tasks
            .iter()
            .filter(|(_, task)| !task.terminal && !task.lost)
            .map(|(id, task)| (id.clone(), task.checkpoint))
            .collect();
        let chosen = self.random.below(live.len() as u64) as usize;
        if let Some((id, checkpoint)) = live.get(chosen) {
            let mut kill = build::kill(id);
            kill.framework_id = framework(*checkpoint).id.unwrap();
            self.tell_agent(&build::master(), kill);
        }
    }

    fn drain(&mut self) {
        let config = DrainConfig { max_grace_period: None, mark_gone: Some(self.random.chance(50)) };
        self.tell_agent(&build::master(), DrainAgentMessage { config });
    }

    pub fn master_hears(&mut self, name: &'static str, body: &[u8]) {
        self.note(|| format!("master: hears {name}"));
        match name {
            RegisterAgentMessage::NAME => self.register_agent(),
            ReregisterAgentMessage::NAME => {
                self.reregister_agent(ReregisterAgentMessage::decode_checked(body).unwrap());
            }
            StatusUpdateMessage::NAME => {
                self.update(StatusUpdateMessage::decode_checked(body).unwrap());
            }
            _ => {}
        }
    }

    fn register_agent(&mut self) {
        if self.master.registered_in != Some(self.life) || self.master.agent.is_none() {
            assert!(self.disk.latest.is_none(), "an agent that knows its id registers with it");
            for task in self.master.tasks.values_mut() {
                task.lost |= !task.completed;
            }
            self.master.agents += 1;
            self.master.agent = Some(format!("master-S{}", self.master.agents));
            self.master.registered_in = Some(self.life);
        }
        self.master.connected = true;
        let value = self.master.agent.clone().unwrap();
        let agent_id = mesos::AgentId { value };
        self.tell_agent(&build::master(), AgentRegisteredMessage { agent_id, connection: None });
    }

    fn reregister_agent(&mut self, message: ReregisterAgentMessage) {
        let id = message.agent.id.clone().unwrap();
        if Some(&id.value) != self.master.agent.as_ref() {
            // Said before the crash after which it registered anew.
            return;
        }
        let told: BTreeSet<&str> = message.tasks.iter().map(|task| task.task_id.value.as_str()).collect();
        let mut reconciliations = Vec::new();
        for checkpoint in [true, false] {
            let tasks = self.master.tasks.iter();
            let missing = tasks.filter(|(task, known)| {
                known.checkpoint == checkpoint
                    && known.agent == id.value
                    && !known.completed
                    && !known.lost
                    && !told.contains(task.as_str())
            });
            let statuses: Vec<TaskStatus> = missing
                .map(|(task, _)| TaskStatus {
                    task_id: build::task_id(task),
                    state: TaskState::TaskStaging.into(),
                    ..TaskStatus::default()
                })
                .collect();
            if !statuses.is_empty() {
                let info = framework(checkpoint);
                reconciliations.push(ReconcileTasksMessage {
                    framework_id: info.id.clone().unwrap(),
                    statuses,
                    framework: Some(info),
                });
            }
        }
        self.master.connected = true;
        let answer =
            AgentReregisteredMessage { agent_id: id, reconciliations, ..AgentReregisteredMessage::default() };
        self.tell_agent(&build::master(), answer);
    }

    fn update(&mut self, message: StatusUpdateMessage) {
        let update = message.update;
        let id = update.status.task_id.value.clone();
        let uuid = update.uuid.clone().unwrap();
        self.note(|| format!("master: {id} is {:?} ({:02x?})", update.status.state(), &uuid[..4]));
        let forgets = self.chaos() && self.random.chance(25);
        let Some(task) = self.master.tasks.get_mut(&id) else { panic!("an update of an unknown task") };
        if task.lost {
            return;
        }
        match task.delivered.iter().position(|known| *known == uuid) {
            Some(at) => {
                assert_eq!(at, task.delivered.len() - 1, "{id}: one of before came again: {task:?}");
            }
            None => task.delivered.push(uuid.clone()),
        }
        let terminal = is_terminal_task(update.status.state());
        task.terminal |= terminal;
        if forgets {
            return;
        }
        task.acknowledged.insert(uuid.clone());
        task.completed |= terminal;
        let acknowledgement = StatusUpdateAcknowledgementMessage {
            agent_id: update.agent_id.clone().unwrap(),
            framework_id: update.framework_id.clone(),
            task_id: update.status.task_id.clone(),
            uuid,
        };
        let times = if self.random.chance(10) { 2 } else { 1 };
        for _ in 0..times {
            let step = MasterStep::Acknowledge(Box::new(acknowledgement.clone()));
            let after = self.random.millis(1, 500);
            self.at(after, Happening::Master(step));
        }
    }
}
