//! What an agent makes durable before it speaks of it, in the terms of Apache Mesos's meta directory.

use messor_proto::mesos::internal::StatusUpdateRecord;
use messor_proto::mesos::{AgentInfo, ExecutorInfo, FrameworkInfo, Task};
use messor_types::{AgentId, ContainerId, ExecutorId, FrameworkId, Pid, TaskId};

#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// slave.info, and the `latest` link of the agents.
    Agent { id: AgentId, info: Box<AgentInfo> },
    /// framework.info and framework.pid.
    Framework { id: FrameworkId, info: Box<FrameworkInfo>, pid: Option<Pid> },
    /// executor.info, whether the agent made it for a command task, and the run with its `latest` link.
    Executor {
        framework: FrameworkId,
        executor: ExecutorId,
        info: Box<ExecutorInfo>,
        container: ContainerId,
        command_executor: bool,
    },
    /// libprocess.pid or http.marker.
    ExecutorConnection {
        framework: FrameworkId,
        executor: ExecutorId,
        container: ContainerId,
        connection: Connection,
    },
    /// executor.sentinel.
    ExecutorCompleted { framework: FrameworkId, executor: ExecutorId, container: ContainerId },
    /// task.info.
    Task { framework: FrameworkId, executor: ExecutorId, container: ContainerId, task: Box<Task> },
    /// One more entry of task.updates.
    Update {
        framework: FrameworkId,
        executor: ExecutorId,
        container: ContainerId,
        task: TaskId,
        record: Box<StatusUpdateRecord>,
    },
}

/// How an executor talks to the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    Http,
    Driver(Pid),
}
