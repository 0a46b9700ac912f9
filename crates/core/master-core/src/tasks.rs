//! Tasks as the master keeps them, and the updates it makes itself. It knows one task at a time.

use std::sync::Arc;

use messor_proto::mesos::internal::StatusUpdate;
use messor_proto::mesos::{self, Task, TaskInfo, TaskState, TaskStatus, task_status};
use messor_stdx::{Memo, Time};
use messor_types::{AgentId, FrameworkId, Resources, TaskId, is_terminal_task};

/// A task with its resources in the form that can be counted.
#[derive(Clone, Debug)]
pub(crate) struct TaskEntry {
    pub task: Arc<Memo<Task>>,
    pub resources: Resources,
}

impl TaskEntry {
    pub fn new(task: Task, resources: Resources) -> TaskEntry {
        TaskEntry { task: Arc::new(Memo::new(task)), resources }
    }

    pub fn change(&mut self) -> &mut Task {
        Arc::make_mut(&mut self.task).change()
    }

    pub fn state(&self) -> TaskState {
        self.task.state()
    }
}

/// What was decoded has room for more, and more never comes: with 100,000 tasks these are hundreds of megabytes.
pub(crate) fn trim(task: &mut Task) {
    task.resources.shrink_to_fit();
    task.statuses.shrink_to_fit();
}

/// The resources that the last task of a framework had. Most have the same as the one before, and thousands then share one list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usual {
    list: Vec<mesos::Resource>,
    resources: Resources,
}

impl Usual {
    /// The list, if it is the usual one.
    pub fn get(&self, list: &[mesos::Resource]) -> Option<Resources> {
        (self.list == list).then(|| self.resources.clone())
    }

    /// What is shared of these, which are `list` as it was read.
    pub fn share(&mut self, list: &[mesos::Resource], resources: Resources) -> Resources {
        if self.list != list {
            *self = Usual { list: list.to_vec(), resources };
        }
        self.resources.clone()
    }
}

/// It uses no resources any more, as far as the master can tell.
pub(crate) fn is_over(state: TaskState) -> bool {
    is_terminal_task(state) || state == TaskState::TaskUnreachable
}

/// The task of a TaskInfo that is on its way to the agent.
pub(crate) fn staged(info: &TaskInfo, framework: &FrameworkId) -> Task {
    let user_of =
        |command: &Option<mesos::CommandInfo>| command.as_ref().and_then(|command| command.user.clone());
    Task {
        name: info.name.clone(),
        task_id: info.task_id.clone(),
        framework_id: framework.into(),
        executor_id: info.executor.as_ref().map(|executor| executor.executor_id.clone()),
        agent_id: info.agent_id.clone(),
        state: TaskState::TaskStaging as i32,
        resources: info.resources.clone(),
        limits: info.limits.clone(),
        labels: info.labels.clone(),
        discovery: info.discovery.clone(),
        container: info.container.clone(),
        health_check: info.health_check.clone(),
        kill_policy: info.kill_policy,
        user: user_of(&info.command)
            .or_else(|| info.executor.as_ref().and_then(|executor| user_of(&executor.command))),
        ..Default::default()
    }
}

/// What an update changed.
pub(crate) struct Change {
    pub from: TaskState,
    pub to: TaskState,
    /// Its resources are free from now on.
    pub ended: bool,
    /// Operators want to know: the state is another, or a check says something new.
    pub notable: bool,
}

/// Puts an update into a task: the state (a terminal one stays), and the list of statuses, one for each run of updates
/// of one state.
pub(crate) fn apply(task: &mut Task, update: &StatusUpdate) -> Change {
    let status = &update.status;
    let from = task.state();
    let latest = if update.latest_state.is_some() { update.latest_state() } else { status.state() };
    if !is_terminal_task(from) {
        task.state = latest as i32;
    }
    let checks =
        [task_status::Reason::TaskCheckStatusUpdated, task_status::Reason::TaskHealthCheckStatusUpdated];
    let mut notable = status.reason.is_some() && checks.contains(&status.reason());
    if task.statuses.last().is_some_and(|last| last.state == status.state) {
        task.statuses.pop();
    } else {
        notable = true;
    }
    // A list that grows by itself begins with room for four, and most tasks have two.
    task.statuses.reserve_exact(1);
    // What executors send along is for the framework alone, and may be large.
    task.statuses.push(TaskStatus { data: None, ..status.clone() });
    Change { from, to: task.state(), ended: !is_over(from) && is_over(latest), notable }
}

/// An update that the master makes: it carries no uuid, as nobody has to acknowledge it.
pub(crate) fn update_of_master(
    now: Time,
    framework: &FrameworkId,
    agent: Option<&AgentId>,
    task: &TaskId,
    state: TaskState,
    reason: task_status::Reason,
    message: String,
) -> StatusUpdate {
    let timestamp = now.as_secs_f64();
    let agent_id: Option<mesos::AgentId> = agent.map(Into::into);
    StatusUpdate {
        framework_id: framework.into(),
        agent_id: agent_id.clone(),
        status: TaskStatus {
            task_id: task.into(),
            state: state as i32,
            message: Some(message),
            source: Some(task_status::Source::Master as i32),
            reason: Some(reason as i32),
            agent_id,
            timestamp: Some(timestamp),
            ..Default::default()
        },
        timestamp,
        ..Default::default()
    }
}

/// The same for a known task, with what is known of it: executor, health, check and container.
pub(crate) fn update_of_task(
    now: Time,
    task: &Task,
    state: TaskState,
    reason: task_status::Reason,
    message: &str,
) -> StatusUpdate {
    let (framework, agent) = (FrameworkId::from(&task.framework_id), AgentId::from(&task.agent_id));
    let id = TaskId::from(&task.task_id);
    let mut update = update_of_master(now, &framework, Some(&agent), &id, state, reason, message.to_string());
    update.executor_id = task.executor_id.clone();
    if let Some(last) = task.statuses.last() {
        update.status.healthy = last.healthy;
        update.status.check_status = last.check_status;
    }
    update.status.container_status =
        task.statuses.iter().rev().find_map(|status| status.container_status.clone());
    update
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(state: TaskState, latest: Option<TaskState>) -> StatusUpdate {
        let status = TaskStatus { state: state as i32, data: Some(vec![1]), ..Default::default() };
        StatusUpdate { status, latest_state: latest.map(|state| state as i32), ..Default::default() }
    }

    #[test]
    fn tasks_share_resources_for_as_long_as_they_are_the_same() {
        let read = |cpus| {
            let list = Resources::from_iter([messor_types::Resource::scalar("cpus", cpus)]);
            (list.to_proto(messor_types::ResourceFormat::PostRefinement), list)
        };
        let (mut usual, (one, of_one), (two, of_two)) = (Usual::default(), read(1.0), read(2.0));
        assert!(usual.get(&one).is_none());
        let first = usual.share(&one, of_one.clone());
        assert!(usual.get(&one).is_some_and(|again| again.is_copy_of(&first)));
        assert!(usual.share(&one, read(1.0).1).is_copy_of(&first));
        assert!(usual.get(&two).is_none());
        assert_eq!(usual.share(&two, of_two.clone()), of_two);
        assert!(usual.get(&one).is_none() && first == of_one);
    }

    #[test]
    fn statuses_keep_the_last_of_each_run() {
        let mut task = Task { state: TaskState::TaskStaging as i32, ..Default::default() };
        for state in [TaskState::TaskStarting, TaskState::TaskRunning, TaskState::TaskRunning] {
            apply(&mut task, &update(state, None));
        }
        let states: Vec<TaskState> = task.statuses.iter().map(TaskStatus::state).collect();
        assert_eq!(states, [TaskState::TaskStarting, TaskState::TaskRunning]);
        assert!(task.statuses.iter().all(|status| status.data.is_none()));
    }

    #[test]
    fn the_latest_state_frees_the_resources_once() {
        let mut task = Task { state: TaskState::TaskRunning as i32, ..Default::default() };
        let change = apply(&mut task, &update(TaskState::TaskRunning, Some(TaskState::TaskFinished)));
        assert!(change.ended && change.to == TaskState::TaskFinished);
        let change = apply(&mut task, &update(TaskState::TaskFinished, Some(TaskState::TaskFinished)));
        assert!(!change.ended && change.notable);
        let change = apply(&mut task, &update(TaskState::TaskLost, None));
        assert!(!change.ended && change.to == TaskState::TaskFinished);
    }
}
