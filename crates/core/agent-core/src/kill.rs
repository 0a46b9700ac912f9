//! Killing tasks, and shutting down executors and frameworks.

use messor_proto::mesos::internal::{KillTaskMessage, ShutdownExecutorMessage, ShutdownFrameworkMessage};
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{KillPolicy, TaskState};
use messor_types::{ContainerId, ExecutorId, FrameworkId, Pid, TaskId};

use crate::agent::{Agent, State};
use crate::effect::{ContainerCommand, Effect};
use crate::environment::shutdown_grace_period;
use crate::event::Timer;
use crate::executor::End;
use crate::tasks::{AgentUpdate, unless_lost};
use crate::turn::Turn;
use crate::view::ExecutorState;

impl Agent {
    pub(crate) fn kill_task(&mut self, turn: &mut Turn<'_>, from: &Pid, message: KillTaskMessage) {
        if !self.is_from_master(turn, from, "an order to kill a task") {
            return;
        }
        let framework = FrameworkId::from(&message.framework_id);
        let task = TaskId::from(&message.task_id);
        turn.info(format!("Asked to kill task {task} of framework {framework}"));
        let found = self.frameworks.get(&framework);
        let found = found.filter(|found| !found.terminating && self.state != State::Terminating);
        let Some(found) = found else {
            turn.warning(format!("Not killing task {task}: nothing of framework {framework} runs here"));
            return;
        };
        let Some(executor) = found.executor_of(&task) else {
            let state = unless_lost(&found.info, TaskState::TaskDropped);
            turn.warning(format!("No executor of framework {framework} has task {task}"));
            self.agent_update(
                turn,
                AgentUpdate {
                    framework: &framework,
                    executor: None,
                    task: &task,
                    state,
                    reason: Reason::ExecutorTerminated,
                    message: "Cannot find executor".to_string(),
                },
            );
            return;
        };
        let id = executor.id.clone();
        self.kill(turn, &framework, &id, &task, message.kill_policy);
    }

    /// Kills a task that an executor has.
    pub(crate) fn kill(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        id: &ExecutorId,
        task: &TaskId,
        policy: Option<KillPolicy>,
    ) {
        let Some(executor) = self.executor(framework, id) else {
            return;
        };
        match executor.state {
            ExecutorState::Terminating | ExecutorState::Terminated => {
                turn.warning(format!("Not killing task {task}: its executor '{id}' is ending"));
            }
            // The executor knows nothing of it yet.
            _ if executor.queued.contains_key(task) => self.kill_queued(turn, framework, id, task),
            _ => self.send_kill(turn, framework, id, task, policy),
        }
    }

    /// A task that the executor knows nothing of; with it go those that it would have got together with it.
    fn kill_queued(&mut self, turn: &mut Turn<'_>, framework: &FrameworkId, id: &ExecutorId, task: &TaskId) {
        let Some(executor) = self.executor(framework, id) else {
            return;
        };
        let running = executor.state == ExecutorState::Running;
        let all = executor.queued_with(task);
        let message = match all.len() {
            2.. if !running => "A task within the task group was killed before delivery to the executor",
            _ => "Killed before delivery to the executor",
        };
        for task in &all {
            self.agent_update(
                turn,
                AgentUpdate {
                    framework,
                    executor: Some(id),
                    task,
                    state: TaskState::TaskKilled,
                    reason: Reason::TaskKilledDuringLaunch,
                    message: message.to_string(),
                },
            );
        }
        if running {
            self.shut_down_if_nothing_to_do(turn, framework, id);
        }
    }

    pub(crate) fn shutdown_executor_message(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: ShutdownExecutorMessage,
    ) {
        if !self.is_from_master(turn, from, "an order to shut down an executor") {
            return;
        }
        let framework = FrameworkId::from(message.framework_id.unwrap_or_default());
        let id = ExecutorId::from(message.executor_id.unwrap_or_default());
        turn.info(format!("Asked to shut down executor '{id}' of framework {framework}"));
        let terminating = self.frameworks.get(&framework).is_none_or(|framework| framework.terminating);
        let state = self.executor(&framework, &id).map(|executor| executor.state);
        match state {
            Some(ExecutorState::Registering | ExecutorState::Running)
                if !terminating && self.state != State::Disconnected =>
            {
                self.shut_down_executor(turn, &framework, &id);
            }
            _ => turn.warning(format!(
                "Not shutting down executor '{id}' of framework {framework}: it does not run, or the agent is not registered"
            )),
        }
    }

    /// Asks an executor to end, and sees to it that it does.
    pub(crate) fn shut_down_executor(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        id: &ExecutorId,
    ) {
        let Some(executor) = self.executor_mut(framework, id) else {
            return;
        };
        if !matches!(executor.state, ExecutorState::Registering | ExecutorState::Running) {
            return;
        }
        executor.state = ExecutorState::Terminating;
        let (container, info) = (executor.container.clone(), executor.info.clone());
        turn.info(format!("Shutting down executor '{id}' of framework {framework}"));
        turn.cancel_timer(Timer::ExecutorRegister(framework.clone(), id.clone(), container.clone()));
        self.send_shutdown(turn, framework, id);
        let grace = shutdown_grace_period(&self.config, &info);
        let timer = Timer::ExecutorShutdown(framework.clone(), id.clone(), container);
        turn.set_timer(timer, turn.now + grace);
    }

    pub(crate) fn executor_shutdown_timed_out(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        id: &ExecutorId,
        container: &ContainerId,
    ) {
        let executor = self.run_mut(framework, id, container);
        // One that still waits for its record has no container, and ends when the record is there.
        if executor.is_some_and(|executor| {
            executor.state == ExecutorState::Terminating && executor.waiting_launch.is_none()
        }) {
            turn.info(format!(
                "Killing executor '{id}' of framework {framework}: it did not end when asked to"
            ));
            turn.effect(Effect::Container(ContainerCommand::Destroy { container: container.clone() }));
        }
    }

    pub(crate) fn executor_register_timed_out(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        id: &ExecutorId,
        container: &ContainerId,
    ) {
        let timeout = messor_stdx::format_duration(self.config.executor_registration_timeout);
        let Some(executor) = self.run_mut(framework, id, container) else {
            return;
        };
        if executor.state != ExecutorState::Registering {
            return;
        }
        executor.state = ExecutorState::Terminating;
        executor.end = Some(End::new(
            TaskState::TaskFailed,
            Reason::ExecutorRegistrationTimeout,
            format!("Executor did not register within {timeout}"),
        ));
        turn.info(format!(
            "Killing executor '{id}' of framework {framework}: it did not register within {timeout}"
        ));
        turn.effect(Effect::Container(ContainerCommand::Destroy { container: container.clone() }));
    }

    pub(crate) fn shutdown_framework_message(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: ShutdownFrameworkMessage,
    ) {
        if !self.is_from_master(turn, from, "an order to shut down a framework") {
            return;
        }
        let framework = FrameworkId::from(message.framework_id);
        if self.state == State::Disconnected {
            turn.warning(format!("Not shutting down framework {framework}: the agent is not registered"));
            return;
        }
        self.shutdown_framework(turn, &framework);
    }

    /// All its executors end; it goes when the last of them is gone.
    pub(crate) fn shutdown_framework(&mut self, turn: &mut Turn<'_>, id: &FrameworkId) {
        let Some(framework) = self.frameworks.get_mut(id).filter(|framework| !framework.terminating) else {
            return;
        };
        turn.info(format!("Shutting down framework {id}"));
        framework.terminating = true;
        let executors: Vec<(ExecutorId, ExecutorState)> =
            framework.executors.values().map(|executor| (executor.id.clone(), executor.state)).collect();
        for (executor, state) in executors {
            if state == ExecutorState::Terminated {
                self.remove_executor(turn, id, &executor);
            } else {
                self.shut_down_executor(turn, id, &executor);
            }
        }
        self.remove_framework_if_idle(turn, id);
    }
}
