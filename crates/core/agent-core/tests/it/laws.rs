//! Random lives of tasks: whatever happens to agent, executors, disk and master, each task ends once, the framework is
//! told, and nothing is left behind. Each law has its name in the message of its assertion.

use std::collections::{BTreeMap, BTreeSet};

use messor_agent_core::{ContainerCommand, ContainerEvent, Event, LaunchFailure, Record, StreamId};
use messor_proto::mesos::TaskState::{TaskFinished, TaskRunning};
use messor_proto::mesos::executor::event;
use messor_proto::mesos::internal::{
    AgentReregisteredMessage, ShutdownExecutorMessage, StatusUpdate, StatusUpdateMessage,
};
use messor_proto::mesos::{FrameworkInfo, TaskState};
use messor_proto::{Message, Wire};
use messor_stdx::Duration;
use messor_types::ContainerId;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::build;
use crate::edge::Edge;

#[derive(Clone, Debug)]
enum Step {
    Run { custom: bool },
    Launched { pick: Index },
    LaunchFailed { pick: Index },
    Exited { pick: Index },
    Subscribe { pick: Index },
    StreamClosed { pick: Index },
    Update { pick: Index, end: bool },
    Repeat { pick: Index },
    Kill { pick: Index },
    ShutdownExecutor,
    Acknowledge { pick: Index },
    Persist { count: usize },
    MasterLost,
    MasterFound,
    Wait { seconds: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pick = any::<Index>;
    let step = prop_oneof![
        4 => any::<bool>().prop_map(|custom| Step::Run { custom }),
        4 => pick().prop_map(|pick| Step::Launched { pick }),
        1 => pick().prop_map(|pick| Step::LaunchFailed { pick }),
        1 => pick().prop_map(|pick| Step::Exited { pick }),
        4 => pick().prop_map(|pick| Step::Subscribe { pick }),
        1 => pick().prop_map(|pick| Step::StreamClosed { pick }),
        6 => (pick(), prop::bool::weighted(0.4)).prop_map(|(pick, end)| Step::Update { pick, end }),
        1 => pick().prop_map(|pick| Step::Repeat { pick }),
        2 => pick().prop_map(|pick| Step::Kill { pick }),
        1 => Just(Step::ShutdownExecutor),
        6 => pick().prop_map(|pick| Step::Acknowledge { pick }),
        6 => (1usize..4).prop_map(|count| Step::Persist { count }),
        1 => Just(Step::MasterLost),
        2 => Just(Step::MasterFound),
        2 => (0u64..90).prop_map(|seconds| Step::Wait { seconds }),
    ];
    prop::collection::vec(step, 0..100)
}

struct Life {
    edge: Edge,
    framework: FrameworkInfo,
    next: u8,
    next_update: u8,
    /// Containers that were asked for, with their executor, and whether they run.
    asked: BTreeMap<ContainerId, (String, bool)>,
    destroyed: BTreeSet<ContainerId>,
    streams: BTreeMap<StreamId, String>,
    /// Tasks that an executor was given.
    given: BTreeMap<String, String>,
    over: BTreeSet<String>,
    tasks: BTreeSet<String>,
    calls: Vec<(String, String, TaskState, u8)>,
    forwarded: Vec<StatusUpdate>,
    ends: BTreeMap<String, BTreeSet<Vec<u8>>>,
    told: BTreeSet<String>,
    seen_containers: usize,
    seen_events: usize,
}

impl Life {
    fn new(framework: FrameworkInfo) -> Life {
        let mut edge = Edge::registered();
        edge.durable_at_once = false;
        Life {
            edge,
            framework,
            next: 0,
            next_update: 0,
            asked: BTreeMap::new(),
            destroyed: BTreeSet::new(),
            streams: BTreeMap::new(),
            given: BTreeMap::new(),
            over: BTreeSet::new(),
            tasks: BTreeSet::new(),
            calls: Vec::new(),
            forwarded: Vec::new(),
            ends: BTreeMap::new(),
            told: BTreeSet::new(),
            seen_containers: 0,
            seen_events: 0,
        }
    }

    fn pick<T: Clone>(items: impl Iterator<Item = T>, pick: Index) -> Option<T> {
        let items: Vec<T> = items.collect();
        (!items.is_empty()).then(|| items[pick.index(items.len())].clone())
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Run { custom } => {
                if !self.edge.view().registered || self.next > 200 {
                    return;
                }
                self.next += 1;
                let task = format!("t{}", self.next);
                let info = match custom {
                    true => build::executor_task(&task, build::executor("e")),
                    false => build::command_task(&task),
                };
                self.tasks.insert(task);
                self.edge.master_says(build::run(self.framework.clone(), info));
            }
            Step::Launched { pick } => {
                let waiting = self.asked.iter().filter(|(_, (_, runs))| !runs).map(|(id, _)| id.clone());
                if let Some(container) = Life::pick(waiting, pick) {
                    self.asked.get_mut(&container).unwrap().1 = true;
                    self.edge.launched(&container, 7);
                }
            }
            Step::LaunchFailed { pick } => {
                let waiting = self.asked.iter().filter(|(_, (_, runs))| !runs).map(|(id, _)| id.clone());
                if let Some(container) = Life::pick(waiting, pick) {
                    self.end_container(&container);
                }
            }
            Step::Exited { pick } => {
                if let Some(container) = Life::pick(self.asked.keys().cloned(), pick) {
                    self.end_container(&container);
                }
            }
            Step::Subscribe { pick } => {
                let running = self.asked.values().filter(|(_, runs)| *runs).map(|(id, _)| id.clone());
                if let Some(executor) = Life::pick(running, pick) {
                    let mut call = build::subscribe(&executor);
                    let mine =
                        self.given.iter().filter(|(task, of)| **of == executor && !self.over.contains(*task));
                    call.subscribe.as_mut().unwrap().unacknowledged_tasks =
                        mine.map(|(task, _)| build::command_task(task)).collect();
                    let stream = self.edge.subscribe(call);
                    self.streams.retain(|_, of| *of != executor);
                    self.streams.insert(stream, executor);
                }
            }
            Step::StreamClosed { pick } => {
                if let Some(stream) = Life::pick(self.streams.keys().copied(), pick) {
                    self.streams.remove(&stream);
                    self.edge.event(Event::StreamClosed { stream });
                }
            }
            Step::Update { pick, end } => {
                let live = self.given.iter().filter(|(task, of)| {
                    !self.over.contains(*task) && self.asked.values().any(|(executor, _)| executor == *of)
                });
                let live = live.map(|(task, executor)| (task.clone(), executor.clone()));
                if let Some((task, executor)) = Life::pick(live, pick) {
                    let state = if end { TaskFinished } else { TaskRunning };
                    if end {
                        self.over.insert(task.clone());
                    }
                    self.next_update = self.next_update.wrapping_add(1);
                    let number = self.next_update;
                    self.calls.push((executor, task, state, number));
                    self.call(self.calls.len() - 1);
                }
            }
            Step::Repeat { pick } => {
                if !self.calls.is_empty() {
                    self.call(pick.index(self.calls.len()));
                }
            }
            Step::Kill { pick } => {
                let here = |task: &&String| {
                    let view = self.edge.view();
                    let mut executors = view.frameworks.iter().flat_map(|framework| &framework.executors);
                    executors.any(|executor| {
                        executor.queued_tasks.iter().any(|found| found.task_id.value == **task)
                            || executor.launched_tasks.iter().any(|found| found.task_id.value == **task)
                    })
                };
                if let Some(task) = Life::pick(self.tasks.iter().filter(here).cloned(), pick) {
                    self.edge.master_says(build::kill(&task));
                }
            }
            Step::ShutdownExecutor => self.edge.master_says(ShutdownExecutorMessage {
                executor_id: Some(build::executor_id("e")),
                framework_id: Some(build::framework_id()),
            }),
            Step::Acknowledge { pick } => {
                if !self.forwarded.is_empty() {
                    let update = self.forwarded.remove(pick.index(self.forwarded.len()));
                    self.acknowledge(&update);
                }
            }
            Step::Persist { count } => {
                let count = count.min(self.edge.waiting.len());
                for ticket in self.edge.waiting.drain(..count).collect::<Vec<u64>>() {
                    self.edge.event(Event::Persisted { ticket, outcome: Ok(()) });
                }
            }
            Step::MasterLost => self.edge.event(Event::Detected { leader: None }),
            Step::MasterFound => self.find_master(),
            Step::Wait { seconds } => self.edge.advance(Duration::from_secs(seconds)),
        }
    }

    fn call(&mut self, index: usize) {
        let (executor, task, state, number) = self.calls[index].clone();
        // Uuids of different tasks may be the same here: streams must not care.
        self.edge.call(build::update(&executor, &task, state, number));
    }

    fn acknowledge(&mut self, update: &StatusUpdate) {
        if self.edge.view().registered {
            self.edge.acknowledge(update);
            if is_end(update) {
                self.told.insert(update.status.task_id.value.clone());
            }
        }
    }

    fn find_master(&mut self) {
        if !self.edge.view().registered {
            self.edge.detect();
            self.edge.advance(Duration::from_secs(1));
            self.edge.master_says(AgentReregisteredMessage {
                agent_id: build::agent_id(),
                ..AgentReregisteredMessage::default()
            });
        }
    }

    fn end_container(&mut self, container: &ContainerId) {
        if let Some((executor, runs)) = self.asked.remove(container) {
            // What comes up under its name again is another process.
            self.streams.retain(|_, of| *of != executor);
            self.calls.retain(|(of, ..)| *of != executor);
            self.over
                .extend(self.given.iter().filter(|(_, of)| **of == executor).map(|(task, _)| task.clone()));
            if runs {
                self.edge.exited(container, 0);
            } else {
                let (reason, message) = (LaunchFailure::Launch, "destroyed".to_string());
                let failed = ContainerEvent::LaunchFailed { container: container.clone(), reason, message };
                self.edge.event(Event::Container(failed));
            }
        }
    }

    /// What the agent did since the last look.
    fn look(&mut self) {
        let registered = self.edge.view().registered;
        for command in &self.edge.containers[self.seen_containers..] {
            match command {
                ContainerCommand::Launch(launch) => {
                    let id = launch.executor_id.to_string();
                    assert!(
                        !self.asked.values().any(|(executor, _)| *executor == id),
                        "one container an executor at a time"
                    );
                    self.asked.insert(launch.container.clone(), (id, false));
                }
                ContainerCommand::Destroy { container } => {
                    self.destroyed.insert(container.clone());
                }
                ContainerCommand::Update { .. }
                | ContainerCommand::Check { .. }
                | ContainerCommand::Recover { .. } => {}
            }
        }
        self.seen_containers = self.edge.containers.len();
        for (stream, event) in &self.edge.events[self.seen_events..] {
            if event.r#type() == event::Type::Launch {
                let task = event.launch.clone().unwrap().task.task_id.value;
                let executor = self.streams.get(stream).cloned().unwrap_or_else(|| task.clone());
                assert!(self.given.insert(task, executor).is_none(), "a task is given to its executor once");
            }
        }
        self.seen_events = self.edge.events.len();
        let written: BTreeSet<Vec<u8>> = self
            .edge
            .records
            .iter()
            .filter(|(ticket, _)| !self.edge.waiting.contains(ticket))
            .filter_map(|(_, record)| match record {
                Record::Update { record, .. } => record.update.as_ref().map(Message::encode_to_vec),
                _ => None,
            })
            .collect();
        let sent = std::mem::take(&mut self.edge.sent);
        for (_, name, body) in sent {
            if name != StatusUpdateMessage::NAME {
                continue;
            }
            let update = StatusUpdateMessage::decode_checked(&body).unwrap().update;
            let task = update.status.task_id.value.clone();
            if self.framework.checkpoint() && registered {
                let plain = StatusUpdate { latest_state: None, ..update.clone() };
                // A refusal belongs to no executor and is not kept.
                let kept = written.contains(&plain.encode_to_vec());
                let refusal = update.status.message.as_deref().is_some_and(|text| text.contains("Executor "))
                    && !self.given.contains_key(&task);
                assert!(kept || refusal, "forwarded only what is durable: {update:?}");
            }
            if is_end(&update) {
                self.ends.entry(task.clone()).or_default().insert(update.uuid.clone().unwrap());
                assert_eq!(self.ends[&task].len(), 1, "a task ends once: {:?}", update.status);
            }
            self.forwarded.push(update);
        }
        assert_eq!(self.edge.aborted, None, "nothing of this ends the agent");
    }

    /// The world does its duty: disks write, containers end, the framework acknowledges.
    fn settle(&mut self) {
        for _ in 0..100 {
            self.find_master();
            self.edge.persist_all();
            self.look();
            let containers: Vec<ContainerId> = self.asked.keys().cloned().collect();
            for container in containers {
                self.end_container(&container);
                self.look();
            }
            for update in std::mem::take(&mut self.forwarded) {
                self.acknowledge(&update);
            }
            self.look();
            if self.edge.view().frameworks.is_empty() && self.edge.waiting.is_empty() {
                return;
            }
            self.edge.advance(Duration::from_secs(10));
            self.look();
        }
        panic!("everything comes to an end; log: {:#?}", self.edge.log);
    }
}

fn is_end(update: &StatusUpdate) -> bool {
    !matches!(
        update.status.state(),
        TaskState::TaskStaging | TaskState::TaskStarting | TaskState::TaskRunning | TaskState::TaskKilling
    )
}

fn run(framework: FrameworkInfo, steps: Vec<Step>) {
    let mut life = Life::new(framework);
    for step in steps {
        life.step(step);
        life.look();
        // The containerizer does what it is told, at its time.
        for container in std::mem::take(&mut life.destroyed) {
            life.end_container(&container);
            life.look();
        }
    }
    life.settle();
    assert_eq!(life.told, life.tasks, "the framework heard of every task's end");
    assert!(
        life.edge.timers.keys().all(|timer| {
            matches!(timer, messor_agent_core::Timer::Ping | messor_agent_core::Timer::Heartbeat)
        }),
        "no timer is left: {:?}",
        life.edge.timers
    );
}

/// A few dozen lives in a usual run of the tests.
fn cases() -> u32 {
    let usual = ProptestConfig::default().cases;
    if usual == 256 { 64 } else { usual }
}

proptest! {
    // PROPTEST_CASES says how many otherwise: 4,000 of each were run when this was written.
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn every_task_ends_once_and_the_framework_is_told(steps in steps()) {
        run(build::framework(), steps);
    }

    #[test]
    fn every_checkpointed_task_ends_once_and_the_framework_is_told(steps in steps()) {
        run(build::checkpointing(), steps);
    }
}
