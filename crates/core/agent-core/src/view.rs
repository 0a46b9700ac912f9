//! What readers see of an agent: immutable, shared, cheap to take.

use std::sync::Arc;

use messor_proto::mesos::{
    self, AgentInfo, ExecutorInfo, FrameworkInfo, MasterInfo, Task, TaskInfo, agent_info,
};
use messor_stdx::{Memo, Time};
use messor_types::{AgentId, ContainerId, ExecutorId, FrameworkId, Pid, Resources};

use crate::agent::{Agent, State};
use crate::operations::Known;

#[derive(Clone, Debug, Default)]
pub struct View {
    pub now: Time,
    pub pid: Option<Pid>,
    /// With its id once registered.
    pub info: Arc<AgentInfo>,
    pub start_time: Time,
    pub leader: Option<Arc<MasterInfo>>,
    pub registered: bool,
    /// What an agent of before left is still being taken up: what is here may not be all.
    pub recovering: bool,
    pub total: Resources,
    /// Those whose end nobody acknowledged yet.
    pub operations: Vec<mesos::Operation>,
    pub frameworks: Vec<FrameworkView>,
    /// At most 50, oldest first.
    pub completed_frameworks: Vec<FrameworkView>,
    pub capabilities: Vec<agent_info::capability::Type>,
    pub drain_config: Option<mesos::DrainConfig>,
    pub estimated_drain_start_time: Option<Time>,
    pub metrics: Vec<(String, f64)>,
}

#[derive(Clone, Debug)]
pub struct FrameworkView {
    pub id: FrameworkId,
    pub info: Arc<FrameworkInfo>,
    /// Of a v0 scheduler, for direct framework messages.
    pub pid: Option<Pid>,
    pub executors: Vec<ExecutorView>,
    /// At most max_completed_executors_per_framework, oldest first.
    pub completed_executors: Vec<Arc<ExecutorView>>,
}

#[derive(Clone, Debug)]
pub struct ExecutorView {
    pub id: ExecutorId,
    pub info: Arc<ExecutorInfo>,
    pub container: ContainerId,
    /// The sandbox, absolute.
    pub directory: String,
    pub state: ExecutorState,
    /// Whether it is the command executor made for its only task.
    pub command_executor: bool,
    pub resources: Resources,
    pub queued_tasks: Vec<Arc<TaskInfo>>,
    pub launched_tasks: Vec<Arc<Memo<Task>>>,
    /// Terminated, with updates that nobody acknowledged yet.
    pub terminated_tasks: Vec<Arc<Memo<Task>>>,
    pub completed_tasks: Vec<Arc<Memo<Task>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutorState {
    Registering,
    Running,
    Terminating,
    Terminated,
}

impl Agent {
    /// Given by the first master that registered this agent.
    pub fn id(&self) -> Option<&AgentId> {
        self.id.as_ref()
    }

    /// The agent as it stands.
    pub fn view(&self, now: Time) -> View {
        let work_dir = &self.config.work_dir;
        View {
            now,
            pid: Some(self.config.pid.clone()),
            info: self.info.clone(),
            start_time: self.start_time,
            leader: self.leader.clone(),
            registered: self.state == State::Running,
            recovering: self.state == State::Recovering,
            total: self.operations.total.clone(),
            operations: self.operations.known.values().map(Known::told).collect(),
            frameworks: self.frameworks.values().map(|framework| framework.view(work_dir)).collect(),
            completed_frameworks: self.completed_frameworks.values().cloned().collect(),
            capabilities: self.config.capabilities.clone(),
            drain_config: self.drain.as_ref().map(|drain| drain.config),
            estimated_drain_start_time: self.drain.as_ref().map(|drain| drain.since),
            metrics: self.metrics(now),
        }
    }
}
