//! Messages as they come in numbers, for what is measured in process.

use messor_proto::mesos::internal::{ReregisterAgentMessage, StatusUpdate, StatusUpdateMessage};
use messor_proto::mesos::{
    AgentId, AgentInfo, ExecutorId, FrameworkId, Resource, Task, TaskId, TaskState, TaskStatus, resource,
    task_status,
};

use crate::fleet::{Said, agent_resources, capabilities, task_id, task_resources, uuid};
use crate::scheduler::{ROLE, framework};

pub const FRAMEWORK_ID: &str = "9076e06e-a650-4e35-a0e3-60e19193fe4e-0001";
const TIME_SECONDS: f64 = 1_700_000_000.25;

pub fn agent_id(agent: usize) -> AgentId {
    AgentId { value: format!("9076e06e-a650-4e35-a0e3-60e19193fe4e-S{agent}") }
}

fn framework_id() -> FrameworkId {
    FrameworkId { value: FRAMEWORK_ID.to_string() }
}

fn allocated() -> Vec<Resource> {
    let allocation_info = resource::AllocationInfo { role: Some(ROLE.to_string()) };
    let of = |resource| Resource { allocation_info: Some(allocation_info.clone()), ..resource };
    task_resources().into_iter().map(of).collect()
}

fn status(number: usize, agent: usize, state: TaskState, said: Said) -> TaskStatus {
    TaskStatus {
        task_id: TaskId { value: task_id(number) },
        state: state as i32,
        timestamp: Some(TIME_SECONDS),
        agent_id: Some(agent_id(agent)),
        executor_id: Some(ExecutorId { value: task_id(number) }),
        source: Some(task_status::Source::Executor as i32),
        uuid: Some(uuid(number, said, 0).to_vec()),
        ..Default::default()
    }
}

/// A task that runs.
pub fn task(number: usize, agent: usize) -> Task {
    let state = TaskState::TaskRunning;
    Task {
        name: task_id(number),
        task_id: TaskId { value: task_id(number) },
        framework_id: framework_id(),
        agent_id: agent_id(agent),
        state: state as i32,
        resources: allocated(),
        statuses: vec![status(number, agent, state, Said::Running)],
        status_update_state: Some(state as i32),
        status_update_uuid: Some(uuid(number, Said::Running, 0).to_vec()),
        ..Default::default()
    }
}

/// A task ends.
pub fn finished(number: usize, agent: usize, pid: &str) -> StatusUpdateMessage {
    let status = status(number, agent, TaskState::TaskFinished, Said::Finished);
    let update = StatusUpdate {
        framework_id: framework_id(),
        executor_id: status.executor_id.clone(),
        agent_id: status.agent_id.clone(),
        timestamp: TIME_SECONDS,
        uuid: status.uuid.clone(),
        latest_state: Some(status.state),
        status,
    };
    StatusUpdateMessage { update, pid: Some(pid.to_string()) }
}

/// An agent comes back with so many tasks.
pub fn reregistration(agent: usize, tasks: usize) -> ReregisterAgentMessage {
    ReregisterAgentMessage {
        agent: AgentInfo {
            hostname: format!("agent{agent}.bench"),
            port: Some(5051),
            resources: agent_resources(),
            id: Some(agent_id(agent)),
            checkpoint: Some(true),
            ..Default::default()
        },
        tasks: (0..tasks).map(|number| task(agent * tasks + number, agent)).collect(),
        frameworks: vec![framework(Some(FRAMEWORK_ID))],
        version: Some("1.11.0".to_string()),
        agent_capabilities: capabilities(),
        ..Default::default()
    }
}
