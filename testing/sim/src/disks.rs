//! Disks that lose what was not synced when their machine crashes: that of a log's replica, and that of an agent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use messor_agent_core::{
    Connection, Record, Recovered, RecoveredAgent, RecoveredExecutor, RecoveredFramework, RecoveredRun,
    RecoveredTask,
};
use messor_proto::mesos::internal::log::{Action, Metadata, Record as LogRecord, metadata, record};
use messor_replog::{Restored, Write};
use messor_types::{AgentId, ContainerId, ExecutorId, FrameworkId, Pid, TaskId};

use messor_stdx::Random as Rng;

/// Writes in order; a first part of those that were not synced may survive a crash.
pub struct Disk<W> {
    pub durable: Vec<W>,
    pending: VecDeque<(u64, W)>,
    /// The next write fails, as of a disk that is full.
    pub fails: bool,
}

impl<W> Default for Disk<W> {
    fn default() -> Disk<W> {
        Disk { durable: Vec::new(), pending: VecDeque::new(), fails: false }
    }
}

impl<W> Disk<W> {
    pub fn write(&mut self, ticket: u64, what: W) {
        self.pending.push_back((ticket, what));
    }

    /// The oldest write becomes durable.
    pub fn sync_one(&mut self) -> Option<u64> {
        let (ticket, what) = self.pending.pop_front()?;
        self.durable.push(what);
        Some(ticket)
    }

    /// The oldest write fails, and with it all that were to come after it.
    pub fn fail(&mut self) -> Option<u64> {
        let (ticket, _) = self.pending.pop_front()?;
        self.pending.clear();
        Some(ticket)
    }

    pub fn crash(&mut self, rng: &mut Rng) {
        self.fails = false;
        let kept = rng.below(self.pending.len() as u64 + 1);
        for _ in 0..kept {
            self.sync_one();
        }
        self.pending.clear();
    }
}

/// What a replica's store holds.
#[derive(Default)]
pub struct Replica {
    pub disk: Disk<Write>,
    /// How much of `disk.durable` is in the fields below.
    applied: usize,
    metadata: Option<Metadata>,
    actions: BTreeMap<u64, Action>,
}

impl Replica {
    fn apply(&mut self) {
        for write in &self.disk.durable[self.applied..] {
            match write {
                Write::Metadata(metadata) => self.metadata = Some(*metadata),
                Write::Action(action) => drop(self.actions.insert(action.position, (**action).clone())),
                Write::Truncating { action, below } => {
                    self.actions.insert(action.position, (**action).clone());
                    self.actions = self.actions.split_off(below);
                }
            }
        }
        self.disk.durable.clear();
        self.applied = 0;
    }

    pub fn sync_one(&mut self) -> Option<u64> {
        let ticket = self.disk.sync_one();
        self.apply();
        ticket
    }

    pub fn crash(&mut self, rng: &mut Rng) {
        self.disk.crash(rng);
        self.apply();
    }

    /// The disk is a new, empty one.
    pub fn die(&mut self) {
        *self = Replica::default();
    }

    pub fn restored(&self) -> Restored {
        let mut restored = Restored::default();
        let mut add = |record: &LogRecord| restored.add(record).expect("what was written can be read");
        if let Some(metadata) = self.metadata {
            add(&LogRecord {
                r#type: record::Type::Metadata.into(),
                metadata: Some(metadata),
                ..LogRecord::default()
            });
        }
        for action in self.actions.values() {
            let action = Some(action.clone());
            add(&LogRecord { r#type: record::Type::Action.into(), action, ..LogRecord::default() });
        }
        restored
    }

    pub fn read(&self, from: u64, to: u64) -> Vec<Action> {
        self.actions.range(from..=to).map(|(_, action)| action.clone()).collect()
    }

    /// What is at a position and durable is so, or the position is truncated.
    pub fn has(&self, position: u64, is_so: impl Fn(&Action) -> bool) -> bool {
        let truncated = self.actions.first_key_value().is_some_and(|(first, _)| position < *first);
        truncated || self.actions.get(&position).is_some_and(is_so)
    }

    pub fn promised(&self) -> u64 {
        self.metadata.map_or(0, |metadata| metadata.promised)
    }

    pub fn is_voting(&self) -> bool {
        self.metadata.is_some_and(|metadata| metadata.status() == metadata::Status::Voting)
    }
}

/// What an agent of before left, read from the records that are on its disk.
pub fn recovered(records: &[Record], pids: &BTreeMap<ContainerId, u32>, rebooted: bool) -> Recovered {
    let mut all = Recovered { rebooted, ..Recovered::default() };
    let mut agents: BTreeMap<AgentId, RecoveredAgent> = BTreeMap::new();
    let mut latest: Option<AgentId> = None;
    let mut current: Option<AgentId> = None;
    let mut connections: BTreeMap<ContainerId, Connection> = BTreeMap::new();
    let mut completed: BTreeSet<ContainerId> = BTreeSet::new();
    for record in records {
        let agent = current.as_ref().and_then(|id| agents.get_mut(id));
        match (record, agent) {
            (Record::Boot, _) => {}
            (Record::Agent { id, info }, _) => {
                current = Some(id.clone());
                latest = Some(id.clone());
                let fresh = || RecoveredAgent {
                    id: id.clone(),
                    info: (**info).clone(),
                    frameworks: Vec::new(),
                    operation_updates: Vec::new(),
                };
                agents.entry(id.clone()).or_insert_with(fresh).info = (**info).clone();
            }
            (Record::Forget, _) => latest = None,
            (Record::Resources { resources, operations }, _) => {
                all.resources.clone_from(resources);
                all.operations.clone_from(operations);
            }
            (Record::DrainConfig(config), _) => all.drain_config = config.as_deref().cloned(),
            (Record::Framework { id, info, pid }, Some(agent)) => {
                framework(agent, id, |framework| {
                    framework.info = (**info).clone();
                    framework.pid.clone_from(pid);
                });
            }
            (
                Record::Executor { framework: f, executor: e, info, container, command_executor },
                Some(agent),
            ) => {
                framework(agent, f, |framework| {
                    let at = framework.executors.iter().position(|known| known.id == *e);
                    let at = at.unwrap_or_else(|| {
                        framework.executors.push(RecoveredExecutor {
                            id: e.clone(),
                            info: (**info).clone(),
                            command_executor: *command_executor,
                            latest: None,
                            runs: Vec::new(),
                        });
                        framework.executors.len() - 1
                    });
                    let executor = &mut framework.executors[at];
                    executor.latest = Some(container.clone());
                    executor.runs.push(RecoveredRun {
                        container: container.clone(),
                        forked_pid: pids.get(container).copied(),
                        connection: None,
                        completed: false,
                        tasks: Vec::new(),
                    });
                });
            }
            (Record::ExecutorConnection { container, connection, .. }, _) => {
                connections.insert(container.clone(), connection.clone());
            }
            (Record::ExecutorCompleted { container, .. }, _) => drop(completed.insert(container.clone())),
            (Record::Task { framework: f, executor: e, container, task }, Some(agent)) => {
                run(agent, f, e, container, |run| {
                    run.tasks.push(RecoveredTask { task: (**task).clone(), updates: Vec::new() });
                });
            }
            (Record::Update { framework: f, executor: e, container, task, record }, Some(agent)) => {
                run(agent, f, e, container, |run| {
                    let known = run.tasks.iter_mut().find(|known| TaskId::from(&known.task.task_id) == *task);
                    known.expect("a task's updates come after it").updates.push((**record).clone());
                });
            }
            (Record::OperationUpdate { .. } | Record::OperationCompleted { .. }, _) => {}
            (_, None) => panic!("a record of an agent that was not written before: {record:?}"),
        }
    }
    all.agent = latest.as_ref().and_then(|id| agents.remove(id));
    all.other_agents = agents.into_keys().collect();
    let executors =
        all.agent.iter_mut().flat_map(|agent| &mut agent.frameworks).flat_map(|f| &mut f.executors);
    for executor in executors {
        for run in &mut executor.runs {
            run.connection = connections.get(&run.container).cloned();
            run.completed = completed.contains(&run.container);
            if run.completed || executor.latest.as_ref() != Some(&run.container) {
                run.tasks.clear();
            }
        }
    }
    all
}

fn framework(agent: &mut RecoveredAgent, id: &FrameworkId, then: impl FnOnce(&mut RecoveredFramework)) {
    let at = agent.frameworks.iter().position(|known| known.id == *id);
    let at = at.unwrap_or_else(|| {
        let fresh = RecoveredFramework {
            id: id.clone(),
            info: Default::default(),
            pid: None::<Pid>,
            executors: Vec::new(),
        };
        agent.frameworks.push(fresh);
        agent.frameworks.len() - 1
    });
    then(&mut agent.frameworks[at]);
}

fn run(
    agent: &mut RecoveredAgent,
    of: &FrameworkId,
    executor: &ExecutorId,
    container: &ContainerId,
    then: impl FnOnce(&mut RecoveredRun),
) {
    framework(agent, of, |framework| {
        let runs = framework.executors.iter_mut().filter(|known| known.id == *executor);
        let run = runs.flat_map(|known| &mut known.runs).find(|run| run.container == *container);
        then(run.expect("a task comes after its executor's run"));
    });
}
