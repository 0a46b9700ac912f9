//! Small questions about tasks and statuses, and how their messages are made.

use messor_proto::mesos::internal::StatusUpdate;
use messor_proto::mesos::task_status::{Reason, Source};
use messor_proto::mesos::{FrameworkInfo, Task, TaskInfo, TaskState, TaskStatus};
use messor_stdx::Time;
use messor_types::{AgentId, ExecutorId, FrameworkCapabilities, FrameworkId, TaskId, is_terminal_task};

/// Whether nothing comes after this state.
pub(crate) fn is_terminal(state: i32) -> bool {
    TaskState::try_from(state).is_ok_and(is_terminal_task)
}

/// How the state of a task prints in the log.
pub(crate) fn state_name(state: i32) -> &'static str {
    TaskState::try_from(state).map_or("of an unknown state", |state| state.as_str_name())
}

/// `state` for frameworks that know partitions, TASK_LOST for the others.
pub(crate) fn unless_lost(framework: &FrameworkInfo, state: TaskState) -> TaskState {
    match FrameworkCapabilities::from_proto(&framework.capabilities).partition_aware {
        true => state,
        false => TaskState::TaskLost,
    }
}

/// The state that a new task begins with, as masters and endpoints know tasks.
pub(crate) fn task_from_info(info: &TaskInfo, state: TaskState, framework: &FrameworkId) -> Task {
    let executor = info.executor.as_ref();
    let command_user = info.command.as_ref().and_then(|command| command.user.clone());
    let executor_user =
        || executor.and_then(|executor| executor.command.as_ref()).and_then(|command| command.user.clone());
    Task {
        name: info.name.clone(),
        task_id: info.task_id.clone(),
        framework_id: framework.into(),
        executor_id: executor.map(|executor| executor.executor_id.clone()),
        agent_id: info.agent_id.clone(),
        state: state.into(),
        resources: info.resources.clone(),
        statuses: Vec::new(),
        status_update_state: None,
        status_update_uuid: None,
        labels: info.labels.clone(),
        discovery: info.discovery.clone(),
        container: info.container.clone(),
        health_check: info.health_check.clone(),
        kill_policy: info.kill_policy,
        user: command_user.or_else(executor_user),
        limits: info.limits.clone(),
    }
}

/// An update that the agent makes itself.
pub(crate) struct AgentUpdate<'a> {
    pub framework: &'a FrameworkId,
    pub executor: Option<&'a ExecutorId>,
    pub task: &'a TaskId,
    pub state: TaskState,
    pub reason: Reason,
    pub message: String,
}

impl AgentUpdate<'_> {
    pub fn build(self, agent: &AgentId, now: Time, uuid: [u8; 16]) -> StatusUpdate {
        let timestamp = now.as_secs_f64();
        let status = TaskStatus {
            task_id: self.task.into(),
            state: self.state.into(),
            message: Some(self.message),
            source: Some(Source::Agent.into()),
            reason: Some(self.reason.into()),
            agent_id: Some(agent.into()),
            timestamp: Some(timestamp),
            uuid: Some(uuid.to_vec()),
            ..TaskStatus::default()
        };
        StatusUpdate {
            framework_id: self.framework.into(),
            executor_id: self.executor.map(Into::into),
            agent_id: Some(agent.into()),
            status,
            timestamp,
            uuid: Some(uuid.to_vec()),
            latest_state: None,
        }
    }
}

/// The update in a status that an HTTP executor sends.
pub(crate) fn update_from_status(
    framework: &FrameworkId,
    agent: &AgentId,
    status: &TaskStatus,
    now: Time,
) -> StatusUpdate {
    let mut status = status.clone();
    status.agent_id.get_or_insert_with(|| agent.into());
    StatusUpdate {
        framework_id: framework.into(),
        executor_id: status.executor_id.clone(),
        agent_id: Some(agent.into()),
        timestamp: status.timestamp.unwrap_or_else(|| now.as_secs_f64()),
        uuid: status.uuid.clone(),
        status,
        latest_state: None,
    }
}
