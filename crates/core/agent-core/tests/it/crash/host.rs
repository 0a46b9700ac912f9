//! The processes of executors: they outlive the agent, and do what executors do.

use std::collections::BTreeMap;

use messor_agent_core::{ContainerEvent, Event, Launch, LaunchFailure, ReplyId, StreamId};
use messor_proto::Wire;
use messor_proto::mesos::executor::{self, call, event};
use messor_proto::mesos::internal::{
    ExecutorRegisteredMessage, ExecutorReregisteredMessage, KillTaskMessage, ReconnectExecutorMessage,
    RegisterExecutorMessage, ReregisterExecutorMessage, RunTaskMessage, ShutdownExecutorMessage,
    StatusUpdate, StatusUpdateAcknowledgementMessage, StatusUpdateMessage,
};
use messor_proto::mesos::slave::{QoSCorrection, qo_s_correction};
use messor_proto::mesos::task_status::Source;
use messor_proto::mesos::{self, TaskInfo, TaskState, TaskStatus};
use messor_types::{ContainerId, Pid};

use super::world::{Happening, World};
use crate::build;

#[derive(Debug)]
pub enum Step {
    /// The containerizer of this life has prepared everything.
    Fork(u64, Box<Launch>),
    Connect,
    Progress(String),
    Exit,
}

#[derive(Debug)]
pub struct Process {
    pub pid: u32,
    pub alive: bool,
    executor: String,
    framework: mesos::FrameworkId,
    agent: mesos::AgentId,
    checkpoint: bool,
    /// Where its driver is; None: it uses the HTTP API.
    driver: Option<Pid>,
    connected: bool,
    registered: bool,
    hangs: bool,
    stream: Option<StreamId>,
    /// Updates that were made of each; true: it ended.
    tasks: BTreeMap<String, bool>,
    unacknowledged_tasks: Vec<TaskInfo>,
    unacknowledged_updates: Vec<TaskStatus>,
}

impl Process {
    pub fn correction(&self) -> QoSCorrection {
        let kill = qo_s_correction::Kill {
            framework_id: Some(self.framework.clone()),
            executor_id: Some(build::executor_id(&self.executor)),
            container_id: None,
        };
        QoSCorrection { r#type: qo_s_correction::Type::Kill.into(), kill: Some(kill) }
    }
}

impl World {
    pub fn step(&mut self, container: &ContainerId, step: Step) {
        match step {
            Step::Fork(life, launch) if life == self.life => self.fork(container, &launch),
            Step::Fork(..) => {}
            Step::Connect => self.connect(container),
            Step::Progress(task) => self.progress(container, &task),
            Step::Exit => self.die(container),
        }
    }

    fn fork(&mut self, container: &ContainerId, launch: &Launch) {
        let destroyed = self.preparing.remove(container).unwrap_or(true);
        if destroyed || self.random.chance(2) {
            let event = ContainerEvent::LaunchFailed {
                container: container.clone(),
                reason: LaunchFailure::Launch,
                message: "failed".to_string(),
            };
            self.agent(Event::Container(event));
            return;
        }
        self.next_id += 1;
        let pid = u32::try_from(self.next_id).unwrap();
        let driver = launch.executor_id.as_str() == "driver";
        let driver = driver.then(|| build::pid(&format!("executor({pid})@10.0.0.7:4000")));
        let variable = |name: &str| {
            let found = launch.environment.iter().find(|(variable, _)| variable == name);
            found.unwrap_or_else(|| panic!("no {name}")).1.clone()
        };
        let process = Process {
            pid,
            alive: true,
            executor: launch.executor_id.to_string(),
            framework: (&launch.framework).into(),
            agent: mesos::AgentId { value: variable("MESOS_SLAVE_ID") },
            checkpoint: launch.checkpoint,
            driver,
            connected: false,
            registered: false,
            hangs: false,
            stream: None,
            tasks: BTreeMap::new(),
            unacknowledged_tasks: Vec::new(),
            unacknowledged_updates: Vec::new(),
        };
        assert_eq!(variable("MESOS_CHECKPOINT") == "1", launch.checkpoint);
        let twin = self.processes.values().any(|other| {
            other.alive && other.framework == process.framework && other.executor == process.executor
        });
        assert!(!twin, "one process an executor at a time");
        if launch.checkpoint {
            self.disk.forked(&launch.framework, &launch.executor_id, container, pid);
        }
        self.note(|| format!("host: {container} is pid {pid}"));
        self.processes.insert(container.clone(), process);
        self.watched.insert(container.clone());
        let event = ContainerEvent::Launched { container: container.clone(), pid };
        let after = self.random.millis(1, 20);
        self.at(after, Happening::Agent(self.life, Event::Container(event)));
        let after = self.random.millis(20, 200);
        self.at(after, Happening::Process(container.clone(), Step::Connect));
    }

    pub fn destroy(&mut self, container: &ContainerId) {
        if let Some(destroyed) = self.preparing.get_mut(container) {
            *destroyed = true;
        } else {
            let after = self.random.millis(1, 50);
            self.at(after, Happening::Process(container.clone(), Step::Exit));
        }
    }

    pub fn die(&mut self, container: &ContainerId) {
        let Some(process) = self.processes.get_mut(container).filter(|process| process.alive) else { return };
        process.alive = false;
        let stream = process.stream.take();
        self.note(|| format!("host: {container} ends"));
        if let Some(stream) = stream
            && self.streams.remove(&stream).is_some()
        {
            let closed = Happening::Agent(self.life, Event::StreamClosed { stream });
            self.in_order(format!("{container} {}", self.life), std::time::Duration::ZERO, closed);
        }
        self.ended(container);
    }

    /// The agent is not there any more: whoever cannot wait for the next one ends.
    pub fn agent_is_gone(&mut self, reboot: bool) {
        let containers: Vec<ContainerId> = self.processes.keys().cloned().collect();
        for container in containers {
            let hangs = self.random.chance(10);
            let Some(process) = self.processes.get_mut(&container).filter(|process| process.alive) else {
                continue;
            };
            process.connected = false;
            process.stream = None;
            process.hangs |= hangs;
            let waits = process.checkpoint && (process.driver.is_none() || process.registered);
            let connects = process.driver.is_none();
            if reboot {
                process.alive = false;
            } else if !waits {
                let after = self.random.millis(1, 2_000);
                self.at(after, Happening::Process(container, Step::Exit));
            } else if connects {
                let after = self.random.millis(10, 300);
                self.at(after, Happening::Process(container, Step::Connect));
            }
        }
    }

    fn connect(&mut self, container: &ContainerId) {
        let Some(process) = self.processes.get_mut(container) else { return };
        if !process.alive || process.hangs || process.connected {
            return;
        }
        if let Some(driver) = process.driver.clone() {
            let message = RegisterExecutorMessage {
                framework_id: process.framework.clone(),
                executor_id: build::executor_id(&process.executor),
            };
            self.tell_agent(&driver, message);
            return;
        }
        let call = executor::Call {
            subscribe: Some(call::Subscribe {
                unacknowledged_tasks: process.unacknowledged_tasks.clone(),
                unacknowledged_updates: process
                    .unacknowledged_updates
                    .iter()
                    .map(|status| call::Update { status: status.clone() })
                    .collect(),
            }),
            ..self.call(container, call::Type::Subscribe)
        };
        self.next_id += 2;
        let (stream, reply) = (StreamId(self.next_id), ReplyId(self.next_id + 1));
        self.subscribing.insert(reply, (container.clone(), stream));
        let event = Event::Subscribe { stream, reply, call: Box::new(call) };
        if self.life_is_over() {
            self.subscribing.remove(&reply);
            let after = self.random.millis(50, 300);
            self.at(after, Happening::Process(container.clone(), Step::Connect));
            return;
        }
        self.in_order(
            format!("{container} {}", self.life),
            std::time::Duration::from_millis(1),
            Happening::Agent(self.life, event),
        );
    }

    fn call(&self, container: &ContainerId, kind: call::Type) -> executor::Call {
        let process = &self.processes[container];
        let mut call = build::call(&process.executor, kind);
        call.framework_id = process.framework.clone();
        call
    }

    pub fn stream_opened(&mut self, stream: StreamId, reply: ReplyId) {
        let (container, asked) = self.subscribing.remove(&reply).expect("a stream that was asked for");
        assert_eq!(stream, asked);
        if let Some(process) = self.processes.get_mut(&container).filter(|process| process.alive) {
            process.stream = Some(stream);
            process.connected = true;
            process.registered = true;
            self.streams.insert(stream, container);
        }
    }

    pub fn stream_closed(&mut self, stream: StreamId) {
        if let Some(container) = self.streams.remove(&stream)
            && let Some(process) = self.processes.get_mut(&container)
            && process.stream == Some(stream)
        {
            process.connected = false;
            process.stream = None;
            let after = self.random.millis(50, 300);
            self.at(after, Happening::Process(container, Step::Connect));
        }
    }

    pub fn stream_event(&mut self, stream: StreamId, event: &executor::Event) {
        let Some(container) = self.streams.get(&stream).cloned() else { return };
        match event.r#type() {
            event::Type::Launch => {
                assert!(self.disk.drain().is_none(), "a draining agent begins no task");
                self.begin_task(&container, event.launch.clone().unwrap().task);
            }
            event::Type::LaunchGroup => {
                assert!(self.disk.drain().is_none(), "a draining agent begins no task");
                for task in event.launch_group.clone().unwrap().task_group.tasks {
                    self.begin_task(&container, task);
                }
            }
            event::Type::Kill => {
                let task = event.kill.clone().unwrap().task_id.value;
                self.end_task(&container, &task, TaskState::TaskKilled);
            }
            event::Type::Acknowledged => {
                let acknowledged = event.acknowledged.clone().unwrap();
                self.acknowledged(&container, &acknowledged.task_id.value, &acknowledged.uuid);
            }
            event::Type::Shutdown => self.asked_to_end(&container),
            _ => {}
        }
    }

    pub fn driver_hears(&mut self, to: &Pid, name: &'static str, body: &[u8]) {
        let mut processes = self.processes.iter();
        let found = processes.find(|(_, process)| process.alive && process.driver.as_ref() == Some(to));
        let Some(container) = found.map(|(container, _)| container.clone()) else { return };
        let process = self.processes.get_mut(&container).unwrap();
        match name {
            ExecutorRegisteredMessage::NAME | ExecutorReregisteredMessage::NAME => {
                process.connected = true;
                process.registered = true;
            }
            ReconnectExecutorMessage::NAME if !process.hangs => {
                let updates = process.unacknowledged_updates.clone();
                let message = ReregisterExecutorMessage {
                    executor_id: build::executor_id(&process.executor),
                    framework_id: process.framework.clone(),
                    tasks: process.unacknowledged_tasks.clone(),
                    updates: updates.iter().map(|status| self.update_of(&container, status)).collect(),
                };
                self.tell_agent(to, message);
            }
            RunTaskMessage::NAME => {
                let task = RunTaskMessage::decode_checked(body).unwrap().task;
                self.begin_task(&container, task);
            }
            KillTaskMessage::NAME => {
                let task = KillTaskMessage::decode_checked(body).unwrap().task_id.value;
                self.end_task(&container, &task, TaskState::TaskKilled);
            }
            StatusUpdateAcknowledgementMessage::NAME => {
                let message = StatusUpdateAcknowledgementMessage::decode_checked(body).unwrap();
                self.acknowledged(&container, &message.task_id.value, &message.uuid);
            }
            ShutdownExecutorMessage::NAME => self.asked_to_end(&container),
            _ => {}
        }
    }

    fn asked_to_end(&mut self, container: &ContainerId) {
        // Some have to be killed.
        if !self.chaos() || self.random.chance(80) {
            let after = self.random.millis(1, 1_000);
            self.at(after, Happening::Process(container.clone(), Step::Exit));
        }
    }

    fn begin_task(&mut self, container: &ContainerId, task: TaskInfo) {
        let id = task.task_id.value.clone();
        self.note(|| format!("host: {container} begins {id}"));
        assert!(self.begun.insert(id.clone()), "{id} runs twice");
        let process = self.processes.get_mut(container).unwrap();
        process.tasks.insert(id.clone(), false);
        process.unacknowledged_tasks.push(task);
        let after = self.random.millis(1, 300);
        self.at(after, Happening::Process(container.clone(), Step::Progress(id)));
    }

    fn progress(&mut self, container: &ContainerId, task: &str) {
        let ends = self.random.chance(if self.chaos() { 30 } else { 80 });
        if ends {
            self.end_task(container, task, TaskState::TaskFinished);
            return;
        }
        self.send_update(container, task, TaskState::TaskRunning);
        let after = self.random.millis(10, 10_000);
        self.at(after, Happening::Process(container.clone(), Step::Progress(task.to_string())));
    }

    fn end_task(&mut self, container: &ContainerId, task: &str, state: TaskState) {
        self.send_update(container, task, state);
        if let Some(ended) = self.processes.get_mut(container).and_then(|process| process.tasks.get_mut(task))
        {
            *ended = true;
        }
    }

    fn send_update(&mut self, container: &ContainerId, task: &str, state: TaskState) {
        self.next_id += 1;
        let number = self.next_id;
        let Some(process) = self.processes.get_mut(container) else { return };
        if !process.alive || process.tasks.get(task) != Some(&false) {
            return;
        }
        let mut uuid = vec![0; 8];
        uuid.extend(number.to_be_bytes());
        let status = TaskStatus {
            source: Some(Source::Executor.into()),
            agent_id: Some(process.agent.clone()),
            uuid: Some(uuid),
            ..build::status(&process.executor, task, state, 0)
        };
        process.unacknowledged_updates.push(status.clone());
        // A driver sends what it has, connected or not; what does not arrive it says again when it is asked to reconnect.
        if process.hangs || (process.driver.is_none() && !process.connected) {
            return;
        }
        if let Some(driver) = process.driver.clone() {
            let update = self.update_of(container, &status);
            self.tell_agent(&driver, StatusUpdateMessage { update, pid: Some(driver.to_string()) });
            return;
        }
        let call = executor::Call {
            update: Some(call::Update { status }),
            ..self.call(container, call::Type::Update)
        };
        self.next_id += 1;
        let event = Event::ExecutorCall { reply: ReplyId(self.next_id), call: Box::new(call) };
        let after = self.random.millis(1, 30);
        self.in_order(format!("{container} {}", self.life), after, Happening::Agent(self.life, event));
    }

    fn update_of(&self, container: &ContainerId, status: &TaskStatus) -> StatusUpdate {
        let process = &self.processes[container];
        StatusUpdate {
            framework_id: process.framework.clone(),
            executor_id: Some(build::executor_id(&process.executor)),
            agent_id: status.agent_id.clone(),
            status: status.clone(),
            timestamp: 1_600_000_001.0,
            uuid: status.uuid.clone(),
            latest_state: None,
        }
    }

    /// The agent has an update: the executor forgets it, and ends when nothing is left.
    fn acknowledged(&mut self, container: &ContainerId, task: &str, uuid: &[u8]) {
        self.accepted.push((task.to_string(), uuid.to_vec()));
        let process = self.processes.get_mut(container).unwrap();
        process.unacknowledged_updates.retain(|status| status.uuid.as_deref() != Some(uuid));
        process.unacknowledged_tasks.retain(|known| known.task_id.value != task);
        let over = process.tasks.values().all(|ended| *ended) && process.unacknowledged_updates.is_empty();
        if over {
            let after = self.random.millis(1, 2_000);
            self.at(after, Happening::Process(container.clone(), Step::Exit));
        }
    }
}
