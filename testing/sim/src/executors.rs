//! The executors of a simulated agent: command executors that subscribe, run their task for a while, and end once
//! their last update is acknowledged. Those of a framework with checkpoints outlive the agent's process, and come
//! back to the next one; none outlives the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use messor_agent_core::{ContainerEvent, Event, Launch, ReplyId, StreamId};
use messor_proto::mesos::executor::{Call, call, event};
use messor_proto::mesos::slave::ContainerLimitation;
use messor_proto::mesos::{ExecutorId, FrameworkId, TaskInfo, TaskState, TaskStatus, task_status};
use messor_stdx::Time;
use messor_types::{ContainerId, Resource, volume_path};

use messor_stdx::Random as Rng;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// Not subscribed.
    Away,
    /// A SUBSCRIBE is under way, with this stream and reply.
    Asking(u64, u64),
    Open(u64),
}

#[derive(Debug)]
struct Executor {
    container: ContainerId,
    framework: FrameworkId,
    id: ExecutorId,
    checkpoint: bool,
    link: Link,
    task: Option<TaskInfo>,
    /// Updates that the agent has not acknowledged.
    unacknowledged: Vec<call::Update>,
    /// No update of the task was acknowledged yet.
    task_unacknowledged: bool,
    finished: bool,
    /// Its task was killed for its memory, and it is to follow.
    limited: bool,
    /// It was told to end.
    ending: bool,
    /// How often it tried to subscribe without success since it lost the agent.
    tries: u32,
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

pub struct Executors {
    running: BTreeMap<ContainerId, Executor>,
    /// Forked by the agent a moment later.
    starting: BTreeMap<ContainerId, Executor>,
    next: u64,
    of: u64,
    /// Tasks that some executor began.
    pub begun: Vec<String>,
    /// The updates that executors made, by task, in order, by uuid.
    pub made: BTreeMap<String, Vec<Vec<u8>>>,
}

pub fn volumes_of(task: &TaskInfo) -> impl Iterator<Item = String> {
    let resources = task.resources.iter();
    resources.filter_map(|resource| volume_path(&Resource::from_proto(resource).ok()?))
}

const RESUBSCRIBE: Duration = Duration::from_secs(1);
/// recovery_timeout (15 minutes) of tries.
const MOST_TRIES: u32 = 900;

fn limitation() -> ContainerLimitation {
    let reason = Some(task_status::Reason::ContainerLimitationMemory.into());
    ContainerLimitation { reason, ..ContainerLimitation::default() }
}

impl Executors {
    pub fn new(number: usize) -> Executors {
        Executors {
            running: BTreeMap::new(),
            starting: BTreeMap::new(),
            next: 0,
            of: number as u64,
            begun: Vec::new(),
            made: BTreeMap::new(),
        }
    }

    /// The volumes of tasks that run, and are meant to.
    pub fn volumes_in_use(&self) -> BTreeSet<String> {
        let running = self.running.values().filter(|executor| !executor.finished && !executor.ending);
        running.filter_map(|executor| executor.task.as_ref()).flat_map(volumes_of).collect()
    }

    /// Tasks that run, and are meant to.
    pub fn tasks_that_run(&self) -> Vec<&str> {
        let running = self.running.values().filter(|executor| !executor.finished && !executor.ending);
        running.filter_map(|executor| Some(executor.task.as_ref()?.task_id.value.as_str())).collect()
    }

    pub fn containers(&self) -> Vec<ContainerId> {
        self.running.keys().cloned().collect()
    }

    /// Whether the executor on this stream is one of a framework with checkpoints.
    pub fn checkpoints(&self, stream: StreamId) -> bool {
        let on_stream = |executor: &&Executor| {
            executor.link == Link::Open(stream.0)
                || matches!(executor.link, Link::Asking(asked, _) if asked == stream.0)
        };
        self.running.values().find(on_stream).is_some_and(|executor| executor.checkpoint)
    }

    pub fn launch(&mut self, launch: &Launch, rng: &mut Rng) -> Vec<(Duration, Step)> {
        let container = launch.container.clone();
        let executor = Executor {
            container: container.clone(),
            framework: (&launch.framework).into(),
            id: (&launch.executor_id).into(),
            checkpoint: launch.checkpoint,
            link: Link::Away,
            task: None,
            unacknowledged: Vec::new(),
            task_unacknowledged: true,
            finished: false,
            limited: false,
            ending: false,
            tries: 0,
        };
        self.starting.insert(container.clone(), executor);
        let start = rng.between(Duration::from_millis(5), Duration::from_millis(300));
        vec![(start, Step::Launched(container))]
    }

    pub fn never_started(&mut self, container: &ContainerId) {
        self.starting.remove(container);
    }

    pub fn destroy(&mut self, container: &ContainerId) -> Vec<(Duration, Step)> {
        if let Some(executor) = self.running.get_mut(container) {
            executor.ending = true;
        }
        let known = self.running.contains_key(container) || self.starting.contains_key(container);
        if known { vec![(Duration::from_millis(10), Step::Exit(container.clone()))] } else { Vec::new() }
    }

    /// What the agent asks when a task failed: whether it was killed for its memory. Then its container ends.
    pub fn check(&self, container: &ContainerId) -> (ContainerEvent, Vec<(Duration, Step)>) {
        let limited = self.running.get(container).is_some_and(|executor| executor.limited);
        let checked = ContainerEvent::Checked {
            container: container.clone(),
            limitation: limited.then(|| Box::new(limitation())),
        };
        let end = limited.then(|| (Duration::from_millis(10), Step::Exit(container.clone())));
        (checked, end.into_iter().collect())
    }

    /// A new agent looks for the containers of the one before; those that it does not know are destroyed.
    pub fn recover(&mut self, wanted: &[ContainerId]) -> (BTreeMap<ContainerId, u32>, usize) {
        let before = self.running.len();
        self.running.retain(|container, _| wanted.contains(container));
        self.starting.clear();
        let running = self.running.keys().map(|container| (container.clone(), 1)).collect();
        (running, before - self.running.len())
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn update(&mut self, container: &ContainerId, now: Time, state: TaskState) -> Option<Call> {
        let uuid = u128::from(self.fresh()) | u128::from(self.of + 1) << 96;
        let uuid = uuid.to_be_bytes().to_vec();
        let executor = self.running.get_mut(container)?;
        let task = executor.task.as_ref()?.task_id.clone();
        self.made.entry(task.value.clone()).or_default().push(uuid.clone());
        let status = TaskStatus {
            task_id: task,
            state: state.into(),
            source: Some(task_status::Source::Executor.into()),
            uuid: Some(uuid),
            timestamp: Some(now.as_secs_f64()),
            executor_id: Some(executor.id.clone()),
            ..TaskStatus::default()
        };
        let update = call::Update { status };
        executor.unacknowledged.push(update.clone());
        Some(Call {
            executor_id: executor.id.clone(),
            framework_id: executor.framework.clone(),
            r#type: Some(call::Type::Update.into()),
            update: Some(update),
            ..Call::default()
        })
    }

    /// Takes a step. Gives events for the agent (lost when none is `up`), and further steps.
    pub fn step(
        &mut self,
        now: Time,
        step: Step,
        up: bool,
        rng: &mut Rng,
    ) -> (Vec<Event>, Vec<(Duration, Step)>) {
        let (stream, reply) = (self.fresh(), self.fresh());
        match step {
            Step::Launched(container) => {
                let Some(executor) = self.starting.remove(&container) else { return Default::default() };
                self.running.insert(container.clone(), executor);
                let subscribe = rng.between(Duration::from_millis(1), Duration::from_millis(100));
                let launched = ContainerEvent::Launched { container: container.clone(), pid: 1 };
                (vec![Event::Container(launched)], vec![(subscribe, Step::Subscribe(container))])
            }
            Step::Subscribe(container) => {
                let Some(executor) = self.running.get_mut(&container) else { return Default::default() };
                if executor.link != Link::Away {
                    return Default::default();
                }
                executor.tries += 1;
                if executor.tries > MOST_TRIES {
                    return (Vec::new(), vec![(Duration::from_millis(1), Step::Exit(container))]);
                }
                if !up {
                    return (Vec::new(), vec![(RESUBSCRIBE, Step::Subscribe(container))]);
                }
                executor.link = Link::Asking(stream, reply);
                let unacknowledged = executor.task.clone().filter(|_| executor.task_unacknowledged);
                let subscribe = Call {
                    executor_id: executor.id.clone(),
                    framework_id: executor.framework.clone(),
                    r#type: Some(call::Type::Subscribe.into()),
                    subscribe: Some(call::Subscribe {
                        unacknowledged_tasks: unacknowledged.into_iter().collect(),
                        unacknowledged_updates: executor.unacknowledged.clone(),
                    }),
                    ..Call::default()
                };
                let call = Box::new(subscribe);
                (vec![Event::Subscribe { stream: StreamId(stream), reply: ReplyId(reply), call }], Vec::new())
            }
            Step::Running(container) => {
                let Some(call) = self.update(&container, now, TaskState::TaskRunning) else {
                    return Default::default();
                };
                // Some outlive an agent that is long away.
                let most = Duration::from_secs(if rng.one_in(8) { 300 } else { 60 });
                let run = rng.between(Duration::from_millis(10), most);
                (self.say(&container, reply, call), vec![(run, Step::Finished(container))])
            }
            Step::Finished(container) => {
                let fails = rng.one_in(6);
                let state = if fails { TaskState::TaskFailed } else { TaskState::TaskFinished };
                let Some(call) = self.update(&container, now, state) else {
                    return Default::default();
                };
                let events = self.say(&container, reply, call);
                if let Some(executor) = self.running.get_mut(&container) {
                    executor.finished = true;
                    executor.limited = fails && rng.one_in(2);
                }
                (events, Vec::new())
            }
            Step::Exit(container) => {
                self.starting.remove(&container);
                let executor = self.running.remove(&container);
                let mut events = Vec::new();
                let limited = executor.as_ref().is_some_and(|executor| executor.limited);
                if let Some(Link::Open(stream)) = executor.map(|executor| executor.link) {
                    events.push(Event::StreamClosed { stream: StreamId(stream) });
                }
                let limitation = limited.then(|| Box::new(limitation()));
                let exited = ContainerEvent::Exited { container, status: Some(0), limitation };
                events.push(Event::Container(exited));
                (events, Vec::new())
            }
        }
    }

    /// A call is made while subscribed; what is said at other times goes with the next SUBSCRIBE.
    fn say(&self, container: &ContainerId, reply: u64, call: Call) -> Vec<Event> {
        match self.running.get(container).map(|executor| executor.link) {
            Some(Link::Open(_)) => {
                vec![Event::ExecutorCall { reply: ReplyId(reply), call: Box::new(call) }]
            }
            _ => Vec::new(),
        }
    }

    pub fn opened(&mut self, stream: StreamId) {
        for executor in self.running.values_mut() {
            if matches!(executor.link, Link::Asking(asked, _) if asked == stream.0) {
                executor.link = Link::Open(stream.0);
                executor.tries = 0;
            }
        }
    }

    /// The agent does not take a call: a SUBSCRIBE is tried again.
    pub fn refused(&mut self, reply: ReplyId, rng: &mut Rng) -> Vec<(Duration, Step)> {
        let asking =
            |executor: &&mut Executor| matches!(executor.link, Link::Asking(_, asked) if asked == reply.0);
        let Some(executor) = self.running.values_mut().find(asking) else { return Vec::new() };
        executor.link = Link::Away;
        vec![(rng.between(Duration::ZERO, RESUBSCRIBE), Step::Subscribe(executor.container.clone()))]
    }

    /// The agent ended a stream.
    pub fn closed(&mut self, stream: StreamId, rng: &mut Rng) -> Vec<(Duration, Step)> {
        let open = |executor: &&mut Executor| executor.link == Link::Open(stream.0);
        let Some(executor) = self.running.values_mut().find(open) else { return Vec::new() };
        executor.link = Link::Away;
        let next = if executor.checkpoint { Step::Subscribe } else { Step::Exit };
        vec![(rng.between(Duration::ZERO, RESUBSCRIBE), next(executor.container.clone()))]
    }

    /// An event on an executor's stream.
    pub fn event(
        &mut self,
        stream: StreamId,
        event: &messor_proto::mesos::executor::Event,
    ) -> Vec<(Duration, Step)> {
        let on_stream = |executor: &&mut Executor| {
            executor.link == Link::Open(stream.0)
                || matches!(executor.link, Link::Asking(asked, _) if asked == stream.0)
        };
        let Some(executor) = self.running.values_mut().find(on_stream) else {
            return Vec::new();
        };
        let container = executor.container.clone();
        match event.r#type() {
            event::Type::Launch => {
                let Some(launch) = &event.launch else { return Vec::new() };
                executor.task = Some(launch.task.clone());
                self.begun.push(launch.task.task_id.value.clone());
                vec![(Duration::from_millis(2), Step::Running(container))]
            }
            event::Type::Acknowledged => {
                let Some(acknowledged) = &event.acknowledged else { return Vec::new() };
                executor.task_unacknowledged = false;
                executor.unacknowledged.retain(|u| u.status.uuid.as_deref() != Some(&acknowledged.uuid[..]));
                match executor.finished && executor.unacknowledged.is_empty() {
                    true => vec![(Duration::from_millis(1), Step::Exit(container))],
                    false => Vec::new(),
                }
            }
            event::Type::Kill | event::Type::Shutdown => {
                executor.ending = true;
                vec![(Duration::from_millis(5), Step::Exit(container))]
            }
            _ => Vec::new(),
        }
    }

    /// The process of the agent ended.
    pub fn agent_went(&mut self, rng: &mut Rng) -> Vec<(Duration, Step)> {
        self.starting.clear();
        let mut steps = Vec::new();
        for executor in self.running.values_mut() {
            executor.link = Link::Away;
            let next = if executor.checkpoint { Step::Subscribe } else { Step::Exit };
            let after = rng.between(Duration::from_millis(10), RESUBSCRIBE);
            steps.push((after, next(executor.container.clone())));
        }
        steps
    }

    /// The machine crashed: everything on it is gone.
    pub fn machine_crashed(&mut self) {
        self.running.clear();
        self.starting.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.running.is_empty() && self.starting.is_empty()
    }
}
