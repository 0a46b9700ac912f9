//! Executors end: what their tasks become, what the master hears, and how they, their framework and in the end the
//! agent are gone.

use messor_proto::mesos::internal::ExitedExecutorMessage;
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{TaskResourceLimitation, TaskState, slave};
use messor_types::{ContainerId, ExecutorId, FrameworkId, TaskId};
use messor_updates::Key;

use crate::agent::{Agent, MAX_COMPLETED_FRAMEWORKS, State, Ticket};
use crate::effect::{ContainerCommand, Effect};
use crate::event::{LaunchFailure, Timer};
use crate::executor::End;
use crate::paths;
use crate::record::Record;
use crate::tasks::{AgentUpdate, is_terminal, unless_lost};
use crate::turn::Turn;
use crate::view::{ExecutorState, FrameworkView};

/// What the master is told where there is no wait status.
const NO_STATUS: i32 = -1;

impl Agent {
    pub(crate) fn container_launch_failed(
        &mut self,
        turn: &mut Turn<'_>,
        container: &ContainerId,
        reason: LaunchFailure,
        message: &str,
    ) {
        self.counters.container_launch_errors.increment();
        let what = match reason {
            LaunchFailure::Fetch => "fetch",
            LaunchFailure::Launch => "launch",
        };
        turn.error(format!("Container {container} failed to start ({what}): {message}"));
        let Some((framework, id)) = self.containers.get(container).cloned() else {
            return;
        };
        if let Some(executor) = self.run_mut(&framework, &id, container) {
            // What made the agent destroy it says more than that it did not start then.
            executor.end.get_or_insert_with(|| {
                let message = format!("Failed to launch container: {message}");
                End::new(TaskState::TaskFailed, Reason::ContainerLaunchFailed, message)
            });
            self.executor_terminated(turn, &framework, &id, None, End::default());
        }
    }

    pub(crate) fn container_update_failed(
        &mut self,
        turn: &mut Turn<'_>,
        container: &ContainerId,
        message: &str,
    ) {
        turn.error(format!("Destroying container {container}: updating its resources failed: {message}"));
        turn.effect(Effect::Container(ContainerCommand::Destroy { container: container.clone() }));
        let Some((framework, id)) = self.containers.get(container).cloned() else {
            return;
        };
        let Some(found) = self.frameworks.get(&framework) else {
            return;
        };
        let state = unless_lost(&found.info, TaskState::TaskGone);
        if let Some(executor) = self.run_mut(&framework, &id, container) {
            let message = format!("Failed to update resources for container: {message}");
            executor.end = Some(End::new(state, Reason::ContainerUpdateFailed, message));
        }
    }

    /// Of a container that went beyond what it may the end follows, and that tells what became of its tasks. Of any other,
    /// what the executor said stands.
    pub(crate) fn container_checked(
        &mut self,
        turn: &mut Turn<'_>,
        container: &ContainerId,
        limitation: Option<&slave::ContainerLimitation>,
    ) {
        if limitation.is_some() {
            return;
        }
        let Some((framework, id)) = self.containers.get(container).cloned() else {
            return;
        };
        let Some(executor) = self.run_mut(&framework, &id, container) else {
            return;
        };
        for (update, sender) in std::mem::take(&mut executor.unsure) {
            self.status_update(turn, update, Some(sender));
        }
    }

    pub(crate) fn container_exited(
        &mut self,
        turn: &mut Turn<'_>,
        container: &ContainerId,
        status: Option<i32>,
        limitation: Option<&slave::ContainerLimitation>,
    ) {
        let Some((framework, id)) = self.containers.get(container).cloned() else {
            turn.info(format!("Container {container} of no executor here ended"));
            return;
        };
        self.container_checked(turn, container, limitation);
        let end = limitation.map_or_else(End::default, |limitation| End {
            state: Some(TaskState::TaskFailed),
            reason: limitation.reason.and_then(|reason| Reason::try_from(reason).ok()),
            message: limitation.message.clone(),
            limited_resources: limitation.resources.clone(),
        });
        if self.run_mut(&framework, &id, container).is_some() {
            self.executor_terminated(turn, &framework, &id, status, end);
        }
    }

    /// Nothing of the executor's container is left; `end` is what the containerizer knows of why.
    pub(crate) fn executor_terminated(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        id: &ExecutorId,
        status: Option<i32>,
        end: End,
    ) {
        let terminating = self.frameworks.get(framework).is_none_or(|framework| framework.terminating);
        let Some(executor) = self.executor_mut(framework, id) else {
            return;
        };
        if executor.state == ExecutorState::Terminated {
            return;
        }
        executor.state = ExecutorState::Terminated;
        executor.process = None;
        executor.waiting_launch = None;
        let (container, command_executor) = (executor.container.clone(), executor.command_executor);
        let end = combine(executor.end.take(), end);
        let mut live: Vec<TaskId> = Vec::new();
        if terminating {
            executor.end_launched();
        } else {
            let launched = executor.launched.iter().filter(|(_, task)| !is_terminal(task.state));
            live.extend(launched.map(|(task, _)| task.clone()).chain(executor.queued.keys().cloned()));
        }
        turn.info(format!("Executor '{id}' of framework {framework} {}", describe_status(status)));
        self.counters.executors_terminated.increment();
        self.containers.remove(&container);
        for timer in [Timer::ExecutorRegister, Timer::ExecutorShutdown] {
            turn.cancel_timer(timer(framework.clone(), id.clone(), container.clone()));
        }
        self.detach(turn, framework, id);
        for task in live {
            self.fail_task(turn, framework, id, &task, &end);
        }
        // The master knows nothing of executors that the agent made itself.
        if !command_executor {
            self.send_exited_executor(turn, framework, id, status);
        }
        let done = self.executor(framework, id).is_some_and(|executor| !executor.has_incomplete_tasks());
        if done || terminating || self.state == State::Terminating {
            self.remove_executor(turn, framework, id);
        }
        self.remove_framework_if_idle(turn, framework);
    }

    /// A task whose executor ended under it.
    fn fail_task(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        id: &ExecutorId,
        task: &TaskId,
        end: &End,
    ) {
        let update = AgentUpdate {
            framework,
            executor: Some(id),
            task,
            state: end.state.unwrap_or(TaskState::TaskFailed),
            reason: end.reason.unwrap_or(Reason::ExecutorTerminated),
            message: end.message.clone().unwrap_or_else(|| "Executor terminated".to_string()),
        };
        let mut update = update.build(&self.own_id(), turn.now, self.random.uuid());
        if !end.limited_resources.is_empty() {
            let resources = end.limited_resources.clone();
            update.status.limitation = Some(TaskResourceLimitation { resources });
        }
        self.status_update(turn, update, None);
    }

    pub(crate) fn send_exited_executor(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        id: &ExecutorId,
        status: Option<i32>,
    ) {
        let Some(master) = &self.master else {
            return;
        };
        let message = ExitedExecutorMessage {
            agent_id: (&self.own_id()).into(),
            framework_id: framework.into(),
            executor_id: id.into(),
            status: status.unwrap_or(NO_STATUS),
        };
        turn.send(master, &message);
    }

    /// Forgets an ended executor, but for what endpoints show of it.
    pub(crate) fn remove_executor(&mut self, turn: &mut Turn<'_>, framework: &FrameworkId, id: &ExecutorId) {
        let work_dir = &self.config.work_dir;
        let limit = self.config.max_completed_executors_per_framework;
        let Some(found) = self.frameworks.get_mut(framework) else {
            return;
        };
        let Some(executor) = found.executors.shift_remove(id) else {
            return;
        };
        turn.info(format!("Cleaning up executor '{id}' of framework {framework}"));
        found.remember(executor.view(work_dir), limit);
        let agent = self.own_id();
        let run = executor.directory;
        let all = paths::executor(&agent, framework, id);
        if executor.checkpoint {
            let record = Record::ExecutorCompleted {
                framework: framework.clone(),
                executor: id.clone(),
                container: executor.container,
            };
            self.persist(turn, record, Ticket::Nothing);
            turn.effect(Effect::ScheduleGc { path: paths::meta(&run) });
            turn.effect(Effect::ScheduleGc { path: paths::meta(&all) });
        }
        turn.effect(Effect::ScheduleGc { path: run });
        turn.effect(Effect::ScheduleGc { path: all });
    }

    /// What is kept on disk of a task whose last update the framework has.
    pub(crate) fn collect_task(&mut self, turn: &mut Turn<'_>, key: &Key, id: &ExecutorId) {
        if let Some(executor) = self.executor(&key.framework, id) {
            let path = paths::task(&self.own_id(), &key.framework, id, &executor.container, &key.task);
            turn.effect(Effect::ScheduleGc { path: paths::meta(&path) });
        }
    }

    /// A framework goes with its last executor; as long as it may still acknowledge an update, it waits for that.
    pub(crate) fn remove_framework_if_idle(&mut self, turn: &mut Turn<'_>, id: &FrameworkId) {
        let Some(framework) = self.frameworks.get(id) else {
            return;
        };
        let over = framework.terminating || self.state == State::Terminating || !self.updates.wait_for(id);
        if !framework.executors.is_empty() || !over {
            return;
        }
        turn.info(format!("Cleaning up framework {id}"));
        let mut actions = Vec::new();
        self.updates.remove_framework(id, &mut actions);
        self.perform(turn, actions);
        self.senders.retain(|(key, _), _| key.framework != *id);
        let path = paths::framework(&self.own_id(), id);
        if let Some(framework) = self.frameworks.shift_remove(id) {
            if framework.checkpoint() {
                turn.effect(Effect::ScheduleGc { path: paths::meta(&path) });
            }
            self.remember_framework(framework.view(&self.config.work_dir));
        }
        turn.effect(Effect::ScheduleGc { path });
        self.finish_drain_if_idle(turn);
        if self.state == State::Terminating && self.frameworks.is_empty() {
            self.end(turn, "the agent was shut down and its last framework is gone".to_string());
        }
    }

    pub(crate) fn remember_framework(&mut self, framework: FrameworkView) {
        while self.completed_frameworks.len() >= MAX_COMPLETED_FRAMEWORKS {
            self.completed_frameworks.shift_remove_index(0);
        }
        self.completed_frameworks.insert(framework.id.clone(), framework);
    }
}

/// The containerizer's word on state and reason goes first; both messages are told.
fn combine(before: Option<End>, found: End) -> End {
    let before = before.unwrap_or_default();
    let messages: Vec<String> = [before.message, found.message].into_iter().flatten().collect();
    End {
        state: found.state.or(before.state),
        reason: found.reason.or(before.reason),
        message: (!messages.is_empty()).then(|| messages.join("; ")),
        limited_resources: found.limited_resources,
    }
}

/// A wait status in words.
fn describe_status(status: Option<i32>) -> String {
    match status {
        None => "has terminated with unknown status".to_string(),
        Some(status) if status & 0x7f == 0 => format!("exited with status {}", (status >> 8) & 0xff),
        Some(status) => format!("terminated with signal {}", status & 0x7f),
    }
}
