//! What readers see of an agent: immutable, shared, cheap to take.

use std::sync::Arc;

use messor_proto::mesos::{self, AgentInfo, ExecutorInfo, FrameworkInfo, MasterInfo, Task, TaskInfo};
use messor_stdx::{Memo, Time};
use messor_types::{ContainerId, ExecutorId, FrameworkId, Pid, Resources};

#[derive(Clone, Debug, Default)]
pub struct View {
    pub now: Time,
    pub pid: Option<Pid>,
    /// With its id once registered.
    pub info: Arc<AgentInfo>,
    pub start_time: Time,
    pub leader: Option<Arc<MasterInfo>>,
    pub registered: bool,
    pub total: Resources,
    pub frameworks: Vec<FrameworkView>,
    pub completed_frameworks: Vec<FrameworkView>,
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
    pub completed_executors: Vec<ExecutorView>,
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
