//! A meta directory that is none: records go in, what an agent recovers from comes out.

use std::collections::BTreeMap;

use messor_agent_core::{
    Connection, Record, Recovered, RecoveredAgent, RecoveredExecutor, RecoveredFramework, RecoveredRun,
    RecoveredTask,
};
use messor_proto::mesos::internal::StatusUpdateRecord;
use messor_proto::mesos::{AgentInfo, DrainConfig, ExecutorInfo, FrameworkInfo, Operation, Resource, Task};
use messor_types::{AgentId, ContainerId, ExecutorId, FrameworkId, Pid, TaskId};

#[derive(Clone, Debug, Default)]
pub struct Disk {
    agents: BTreeMap<AgentId, DiskAgent>,
    pub latest: Option<AgentId>,
    resources: Vec<Resource>,
    operations: Vec<Operation>,
}

#[derive(Clone, Debug)]
struct DiskAgent {
    info: AgentInfo,
    drain: Option<DrainConfig>,
    frameworks: BTreeMap<FrameworkId, DiskFramework>,
}

#[derive(Clone, Debug)]
struct DiskFramework {
    info: FrameworkInfo,
    pid: Option<Pid>,
    executors: BTreeMap<ExecutorId, DiskExecutor>,
}

#[derive(Clone, Debug)]
struct DiskExecutor {
    info: ExecutorInfo,
    command_executor: bool,
    latest: ContainerId,
    runs: BTreeMap<ContainerId, DiskRun>,
}

#[derive(Clone, Debug, Default)]
struct DiskRun {
    forked_pid: Option<u32>,
    connection: Option<Connection>,
    completed: bool,
    tasks: BTreeMap<TaskId, (Task, Vec<StatusUpdateRecord>)>,
}

impl Disk {
    pub fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Disk {
        let mut disk = Disk::default();
        for record in records {
            disk.write(record.clone());
        }
        disk
    }

    /// One record. It panics where a real one would have no place for it.
    pub fn write(&mut self, record: Record) {
        match record {
            Record::Boot => {}
            Record::Agent { id, info } => {
                let before = self.agents.remove(&id);
                let (drain, frameworks) =
                    before.map(|agent| (agent.drain, agent.frameworks)).unwrap_or_default();
                self.agents.insert(id.clone(), DiskAgent { info: *info, drain, frameworks });
                self.latest = Some(id);
            }
            Record::Forget => self.latest = None,
            Record::Resources { resources, operations } => {
                self.resources = resources;
                self.operations = operations;
            }
            Record::Framework { id, info, pid } => {
                let frameworks = &mut self.agent().frameworks;
                let executors = frameworks.remove(&id).map(|found| found.executors).unwrap_or_default();
                frameworks.insert(id, DiskFramework { info: *info, pid, executors });
            }
            Record::Executor { framework, executor, info, container, command_executor } => {
                let executors = &mut self.agent().frameworks.get_mut(&framework).unwrap().executors;
                let mut runs = executors.remove(&executor).map(|found| found.runs).unwrap_or_default();
                runs.entry(container.clone()).or_default();
                let found = DiskExecutor { info: *info, command_executor, latest: container, runs };
                executors.insert(executor, found);
            }
            Record::ExecutorConnection { framework, executor, container, connection } => {
                self.run(&framework, &executor, &container).connection = Some(connection);
            }
            Record::ExecutorCompleted { framework, executor, container } => {
                self.run(&framework, &executor, &container).completed = true;
            }
            Record::Task { framework, executor, container, task } => {
                let tasks = &mut self.run(&framework, &executor, &container).tasks;
                let found =
                    tasks.entry(TaskId::from(&task.task_id)).or_insert_with(|| ((*task).clone(), Vec::new()));
                found.0 = *task;
            }
            Record::Update { framework, executor, container, task, record } => {
                let run = self.run(&framework, &executor, &container);
                run.tasks.get_mut(&task).expect("the task is there before its updates").1.push(*record);
            }
            Record::DrainConfig(config) => self.agent().drain = config.map(|config| *config),
            Record::OperationUpdate { .. } | Record::OperationCompleted { .. } => {}
        }
    }

    /// What the containerizer writes.
    pub fn forked(
        &mut self,
        framework: &FrameworkId,
        executor: &ExecutorId,
        container: &ContainerId,
        pid: u32,
    ) {
        self.run(framework, executor, container).forked_pid = Some(pid);
    }

    /// The host was started again: process ids mean nothing any more.
    pub fn forget_pids(&mut self) {
        let agents = self.agents.values_mut();
        let frameworks = agents.flat_map(|agent| agent.frameworks.values_mut());
        let executors = frameworks.flat_map(|framework| framework.executors.values_mut());
        executors.flat_map(|executor| executor.runs.values_mut()).for_each(|run| run.forked_pid = None);
    }

    pub fn recovered(&self) -> Recovered {
        let latest = self.latest.as_ref();
        Recovered {
            agent: latest.map(|id| RecoveredAgent {
                id: id.clone(),
                info: self.agents[id].info.clone(),
                frameworks: self.agents[id].frameworks.iter().map(framework).collect(),
                operation_updates: Vec::new(),
            }),
            other_agents: self.agents.keys().filter(|id| Some(*id) != latest).cloned().collect(),
            resources: self.resources.clone(),
            operations: self.operations.clone(),
            drain_config: self.drain(),
            ..Recovered::default()
        }
    }

    /// What the latest agent was ordered.
    pub fn drain(&self) -> Option<DrainConfig> {
        self.latest.as_ref().and_then(|id| self.agents[id].drain)
    }

    fn agent(&mut self) -> &mut DiskAgent {
        let latest = self.latest.as_ref().expect("the agent is there before its frameworks");
        self.agents.get_mut(latest).unwrap()
    }

    fn run(
        &mut self,
        framework: &FrameworkId,
        executor: &ExecutorId,
        container: &ContainerId,
    ) -> &mut DiskRun {
        let framework = self.agent().frameworks.get_mut(framework).unwrap();
        framework.executors.get_mut(executor).unwrap().runs.get_mut(container).unwrap()
    }
}

fn framework((id, found): (&FrameworkId, &DiskFramework)) -> RecoveredFramework {
    RecoveredFramework {
        id: id.clone(),
        info: found.info.clone(),
        pid: found.pid.clone(),
        executors: found.executors.iter().map(executor).collect(),
    }
}

fn executor((id, found): (&ExecutorId, &DiskExecutor)) -> RecoveredExecutor {
    let run = |(container, run): (&ContainerId, &DiskRun)| {
        let read = *container == found.latest && !run.completed;
        let tasks = run.tasks.values().filter(|_| read);
        RecoveredRun {
            container: container.clone(),
            forked_pid: run.forked_pid,
            connection: run.connection.clone(),
            completed: run.completed,
            tasks: tasks
                .map(|(task, updates)| RecoveredTask { task: task.clone(), updates: updates.clone() })
                .collect(),
        }
    };
    RecoveredExecutor {
        id: id.clone(),
        info: found.info.clone(),
        command_executor: found.command_executor,
        latest: Some(found.latest.clone()),
        runs: found.runs.iter().map(run).collect(),
    }
}
