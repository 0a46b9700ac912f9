//! What an agent makes durable before it speaks of it, in the terms of Apache Mesos's meta directory.

use messor_proto::mesos::internal::StatusUpdateRecord;
use messor_proto::mesos::{AgentInfo, FrameworkInfo, ExecutorInfo, Task};
use messor_types::{AgentId, ContainerId, ExecutorId, FrameworkId, Pid, TaskId};

#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    Agent { id: AgentId, info: Box<AgentInfo> },
    Framework { id: FrameworkId, info: Box<FrameworkInfo>, pid: Option<Pid> },
    Executor { framework: FrameworkId, executor: ExecutorId, info: Box<ExecutorInfo>, container: ContainerId },
    Task { framework: FrameworkId, executor: ExecutorId, container: ContainerId, task: Box<Task> },
    Update { framework: FrameworkId, executor: ExecutorId, container: ContainerId, task: TaskId, record: Box<StatusUpdateRecord> },
}
