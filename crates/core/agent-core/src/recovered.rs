//! What an agent finds of its past when it starts, in the terms of Apache Mesos's meta directory.
//!
//! Only values: what lies where on disk, and what is wrong with it, is known to who reads it.

use messor_proto::mesos::internal::{StatusUpdateRecord, UpdateOperationStatusRecord};
use messor_proto::mesos::{AgentInfo, DrainConfig, ExecutorInfo, FrameworkInfo, Operation, Resource, Task};
use messor_types::{AgentId, ContainerId, ExecutorId, FrameworkId, Pid};

use crate::record::Connection;

/// All of it. An agent without a past has the default one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recovered {
    /// The host was started again since: `boot_id` differs. Where there is no `boot_id`, it was not. No run has a
    /// `forked_pid` then, and the files are gone before this is said: after `Record::Boot` they would be believed.
    pub rebooted: bool,
    /// What `meta/slaves/latest` leads to.
    pub agent: Option<RecoveredAgent>,
    /// Agents of before: what is in `slaves` and `meta/slaves` beside `agent`.
    pub other_agents: Vec<AgentId>,
    /// Dynamic reservations and persistent volumes: of `resources_and_operations.state`, or of `resources.info`.
    pub resources: Vec<Resource>,
    /// Of `resources_and_operations.state`.
    pub operations: Vec<Operation>,
    pub drain_config: Option<DrainConfig>,
    /// What could not be read and was left out, with --no-strict; the reader logs each.
    pub errors: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredAgent {
    pub id: AgentId,
    /// With its id.
    pub info: AgentInfo,
    /// One without an executor only has its directories removed.
    pub frameworks: Vec<RecoveredFramework>,
    /// Streams of operation status updates (`operations/<uuid>/operation.updates`).
    pub operation_updates: Vec<RecoveredOperation>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredFramework {
    pub id: FrameworkId,
    /// May lack its id, as files of 0.22 do.
    pub info: FrameworkInfo,
    /// None: the scheduler has no driver.
    pub pid: Option<Pid>,
    pub executors: Vec<RecoveredExecutor>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredExecutor {
    pub id: ExecutorId,
    pub info: ExecutorInfo,
    /// `executor_generated_for_command_task` is there.
    pub command_executor: bool,
    /// What `runs/latest` leads to.
    pub latest: Option<ContainerId>,
    pub runs: Vec<RecoveredRun>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredRun {
    pub container: ContainerId,
    pub forked_pid: Option<u32>,
    pub connection: Option<Connection>,
    /// `executor.sentinel` is there: it ended, and nothing of it waits for an acknowledgement.
    pub completed: bool,
    /// Not read, and empty, where the run is completed or is not the latest one: nobody needs it, and a host with
    /// a long past has very many of them (MESOS-6285).
    pub tasks: Vec<RecoveredTask>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredTask {
    /// As it was when it was launched; its state now follows from `updates`.
    pub task: Task,
    /// In the order in which they were written: updates and acknowledgements.
    pub updates: Vec<StatusUpdateRecord>,
}

/// The status updates of one operation.
#[derive(Clone, Debug, PartialEq)]
pub struct RecoveredOperation {
    /// 16 bytes.
    pub uuid: Vec<u8>,
    pub updates: Vec<UpdateOperationStatusRecord>,
}
