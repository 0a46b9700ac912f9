//! The executors of a simulated agent: command executors that subscribe, run their task for a while, and end once
//! their last update is acknowledged. They live as long as their agent's machine.

use std::collections::BTreeMap;
use std::time::Duration;

use messor_agent_core::{ContainerEvent, Event, Launch, ReplyId, StreamId};
use messor_proto::mesos::executor::{Call, call, event};
use messor_proto::mesos::{ExecutorId, FrameworkId, TaskId, TaskState, TaskStatus, task_status};
use messor_stdx::Time;
use messor_types::ContainerId;

use crate::rng::Rng;

#[derive(Debug)]
struct Executor {
    container: ContainerId,
    framework: FrameworkId,
    id: ExecutorId,
    stream: Option<u64>,
    task: Option<TaskId>,
    /// Updates that the agent has not acknowledged.
    unacknowledged: Vec<call::Update>,
    finished: bool,
}

/// What an executor does next, and when.
#[derive(Clone, Debug)]
pub enum Step {
    Launched(ContainerId),
    Subscribe(ContainerId),
    Running(ContainerId),
    Finished(ContainerId),
    Exit(ContainerId),
}

#[derive(Default)]
pub struct Executors {
    running: BTreeMap<ContainerId, Executor>,
    next: u64,
    uuid: u64,
    /// Tasks that some executor began, with how often.
    pub begun: Vec<String>,
}

impl Executors {
    pub fn launch(&mut self, launch: &Launch, rng: &mut Rng) -> Vec<(Duration, Step)> {
        let container = launch.container.clone();
        let executor = Executor {
            container: container.clone(),
            framework: (&launch.framework).into(),
            id: (&launch.executor_id).into(),
            stream: None,
            task: None,
            unacknowledged: Vec::new(),
            finished: false,
        };
        self.running.insert(container.clone(), executor);
        let start = rng.between(Duration::from_millis(5), Duration::from_millis(300));
        let subscribe = start + rng.between(Duration::from_millis(1), Duration::from_millis(100));
        vec![(start, Step::Launched(container.clone())), (subscribe, Step::Subscribe(container))]
    }

    pub fn destroy(&mut self, container: &ContainerId) -> Vec<(Duration, Step)> {
        match self.running.contains_key(container) {
            true => vec![(Duration::from_millis(10), Step::Exit(container.clone()))],
            false => Vec::new(),
        }
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn update(executor: &mut Executor, uuid: u64, now: Time, state: TaskState) -> Call {
        let status = TaskStatus {
            task_id: executor.task.clone().unwrap_or_default(),
            state: state.into(),
            source: Some(task_status::Source::Executor.into()),
            uuid: Some(u128::from(uuid).to_be_bytes().to_vec()),
            timestamp: Some(now.as_secs_f64()),
            executor_id: Some(executor.id.clone()),
            ..TaskStatus::default()
        };
        let update = call::Update { status };
        executor.unacknowledged.push(update.clone());
        Call {
            executor_id: executor.id.clone(),
            framework_id: executor.framework.clone(),
            r#type: Some(call::Type::Update.into()),
            update: Some(update),
            ..Call::default()
        }
    }

    /// Takes a step. Gives the event for the agent, and further steps.
    pub fn step(&mut self, now: Time, step: Step, rng: &mut Rng) -> (Vec<Event>, Vec<(Duration, Step)>) {
        let (stream, reply, uuid) = (self.fresh(), ReplyId(self.fresh()), self.fresh() + (self.uuid << 32));
        let container = match &step {
            Step::Launched(c) | Step::Subscribe(c) | Step::Running(c) | Step::Finished(c) | Step::Exit(c) => {
                c.clone()
            }
        };
        let Some(executor) = self.running.get_mut(&container) else { return (Vec::new(), Vec::new()) };
        let call = |call: Call| Event::ExecutorCall { reply, call: Box::new(call) };
        match step {
            Step::Launched(container) => {
                (vec![Event::Container(ContainerEvent::Launched { container, pid: 1 })], Vec::new())
            }
            Step::Subscribe(_) => {
                executor.stream = Some(stream);
                let subscribe = Call {
                    executor_id: executor.id.clone(),
                    framework_id: executor.framework.clone(),
                    r#type: Some(call::Type::Subscribe.into()),
                    subscribe: Some(call::Subscribe {
                        unacknowledged_tasks: Vec::new(),
                        unacknowledged_updates: executor.unacknowledged.clone(),
                    }),
                    ..Call::default()
                };
                let event = Event::Subscribe { stream: StreamId(stream), reply, call: Box::new(subscribe) };
                (vec![event], Vec::new())
            }
            Step::Running(container) => {
                let event = call(Executors::update(executor, uuid, now, TaskState::TaskRunning));
                let run = rng.between(Duration::from_millis(10), Duration::from_secs(20));
                (vec![event], vec![(run, Step::Finished(container))])
            }
            Step::Finished(_) => {
                executor.finished = true;
                (vec![call(Executors::update(executor, uuid, now, TaskState::TaskFinished))], Vec::new())
            }
            Step::Exit(container) => {
                let stream = executor.stream;
                self.running.remove(&container);
                let mut events: Vec<Event> =
                    stream.map(|s| Event::StreamClosed { stream: StreamId(s) }).into_iter().collect();
                events.push(Event::Container(ContainerEvent::Exited {
                    container,
                    status: Some(0),
                    limitation: None,
                }));
                (events, Vec::new())
            }
        }
    }

    /// An event on an executor's stream.
    pub fn event(
        &mut self,
        stream: StreamId,
        event: &messor_proto::mesos::executor::Event,
    ) -> Vec<(Duration, Step)> {
        let Some(executor) = self.running.values_mut().find(|e| e.stream == Some(stream.0)) else {
            return Vec::new();
        };
        let container = executor.container.clone();
        match event.r#type() {
            event::Type::Launch => {
                let Some(launch) = &event.launch else { return Vec::new() };
                executor.task = Some(launch.task.task_id.clone());
                self.begun.push(launch.task.task_id.value.clone());
                vec![(Duration::from_millis(2), Step::Running(container))]
            }
            event::Type::Acknowledged => {
                let Some(acknowledged) = &event.acknowledged else { return Vec::new() };
                executor.unacknowledged.retain(|u| u.status.uuid.as_deref() != Some(&acknowledged.uuid[..]));
                match executor.finished && executor.unacknowledged.is_empty() {
                    true => vec![(Duration::from_millis(1), Step::Exit(container))],
                    false => Vec::new(),
                }
            }
            event::Type::Kill | event::Type::Shutdown => {
                vec![(Duration::from_millis(5), Step::Exit(container))]
            }
            _ => Vec::new(),
        }
    }

    /// The machine crashed: everything on it is gone.
    pub fn crash(&mut self) {
        self.running.clear();
        self.uuid += 1;
    }

    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }
}
