//! What an agent makes durable before it speaks of it, in the terms of Apache Mesos's meta directory.

use messor_proto::mesos::internal::{StatusUpdateRecord, UpdateOperationStatusRecord};
use messor_proto::mesos::{AgentInfo, DrainConfig, ExecutorInfo, FrameworkInfo, Operation, Resource, Task};
use messor_types::{AgentId, ContainerId, ExecutorId, FrameworkId, Pid, TaskId};

/// Records are written in the order in which they are asked for: one that is durable has all before it durable too.
/// Directories that are missing are made. `agent` is always the one of the latest `Record::Agent`, or the recovered one.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// boot_id, with the id of the host's present run. Written when recovery is over: from then on the processes in
    /// the pid files are of this run.
    Boot,
    /// slave.info, and the `latest` link of the agents. One more for the same id replaces the info.
    Agent { id: AgentId, info: Box<AgentInfo> },
    /// The `latest` link of the agents is removed: the next agent starts without a past. Nothing else is removed.
    Forget,
    /// The whole of resources_and_operations.state, and of resources.info, which agents of before 1.9 read.
    Resources { resources: Vec<Resource>, operations: Vec<Operation> },
    /// One more entry of operations/<uuid>/operation.updates.
    OperationUpdate { uuid: Vec<u8>, record: Box<UpdateOperationStatusRecord> },
    /// operations/<uuid> is removed.
    OperationCompleted { uuid: Vec<u8> },
    /// drain.config; None removes it.
    DrainConfig(Option<Box<DrainConfig>>),
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
    /// task.info, as the task was when it was launched.
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
