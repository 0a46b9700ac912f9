//! Executors that outlived the agent of before: they are asked to come back, and have a time for it.

use messor_proto::mesos::TaskState;
use messor_proto::mesos::internal::{ReconnectExecutorMessage, ShutdownExecutorMessage};
use messor_proto::mesos::task_status::Reason;
use messor_types::{ContainerId, ExecutorId, FrameworkId, Pid};

use crate::agent::Agent;
use crate::effect::{ContainerCommand, Effect};
use crate::event::Timer;
use crate::executor::{End, Executor};
use crate::record::Connection;
use crate::tasks::unless_lost;
use crate::turn::Turn;
use crate::view::ExecutorState;

impl Agent {
    /// Executors with a driver are asked; those of the HTTP API ask by themselves.
    pub(crate) fn reconnect_executors(&mut self, turn: &mut Turn<'_>) {
        let awaited = self.awaited_executors();
        if awaited.is_empty() {
            return;
        }
        for (framework, id, _) in &awaited {
            match self.executor(framework, id).and_then(|executor| executor.reached_before.as_ref()) {
                Some(Connection::Driver(pid)) => {
                    turn.info(format!(
                        "Asking executor '{id}' of framework {framework} at {pid} to reconnect"
                    ));
                }
                Some(Connection::Http) => {
                    turn.info(format!("Waiting for executor '{id}' of framework {framework} to subscribe"));
                }
                None => turn.warning(format!(
                    "How to reach executor '{id}' of framework {framework} is unknown: waiting for it"
                )),
            }
        }
        self.ask_drivers_to_reconnect(turn);
        turn.set_timer(Timer::ExecutorReregister, turn.now + self.config.executor_reregistration_timeout);
    }

    /// Once, and where that is asked for again and again until recovery is over.
    pub(crate) fn ask_drivers_to_reconnect(&mut self, turn: &mut Turn<'_>) {
        let frameworks = self.frameworks.values();
        let drivers: Vec<Pid> =
            frameworks.flat_map(|framework| framework.executors.values().filter_map(driver)).collect();
        for pid in &drivers {
            turn.send(pid, &ReconnectExecutorMessage { agent_id: (&self.own_id()).into() });
        }
        if let Some(interval) = self.config.executor_reregistration_retry_interval
            && !drivers.is_empty()
        {
            turn.set_timer(Timer::ExecutorReconnect, turn.now + interval);
        }
    }

    /// --recover=cleanup: all of them end.
    pub(crate) fn clean_up_executors(&mut self, turn: &mut Turn<'_>) {
        for (framework, id, container) in self.awaited_executors() {
            match self.executor(&framework, &id).and_then(|executor| executor.reached_before.clone()) {
                Some(connection) => {
                    if let Connection::Driver(pid) = connection {
                        turn.send(&pid, &ShutdownExecutorMessage::default());
                    }
                    // One of the HTTP API is told when it subscribes.
                    self.shut_down_executor(turn, &framework, &id);
                }
                None => {
                    turn.info(format!("Killing executor '{id}' of framework {framework}: it cannot be told"));
                    if let Some(executor) = self.executor_mut(&framework, &id) {
                        executor.state = ExecutorState::Terminating;
                    }
                    turn.effect(Effect::Container(ContainerCommand::Destroy { container }));
                }
            }
        }
    }

    /// Those that are not back by now hang.
    pub(crate) fn executor_reregister_timed_out(&mut self, turn: &mut Turn<'_>) {
        let timeout = messor_stdx::format_duration(self.config.executor_reregistration_timeout);
        for (framework, id, container) in self.awaited_executors() {
            let Some(found) = self.frameworks.get_mut(&framework) else {
                continue;
            };
            // Its tasks were started, and are no more.
            let state = unless_lost(&found.info, TaskState::TaskGone);
            if let Some(executor) = found.executors.get_mut(&id) {
                executor.state = ExecutorState::Terminating;
                executor.end = Some(End::new(
                    state,
                    Reason::ExecutorReregistrationTimeout,
                    format!("Executor did not reregister within {timeout}"),
                ));
            }
            turn.info(format!(
                "Killing executor '{id}' of framework {framework}: it did not reregister within {timeout}"
            ));
            turn.effect(Effect::Container(ContainerCommand::Destroy { container }));
        }
    }

    fn awaited_executors(&self) -> Vec<(FrameworkId, ExecutorId, ContainerId)> {
        let frameworks = self.frameworks.values();
        let executors = frameworks.flat_map(|framework| {
            let awaited = |executor: &&Executor| executor.state == ExecutorState::Registering;
            framework
                .executors
                .values()
                .filter(awaited)
                .map(|executor| (framework.id.clone(), executor.id.clone(), executor.container.clone()))
        });
        executors.collect()
    }
}

/// Where an executor with a driver was, that is not back yet.
fn driver(executor: &Executor) -> Option<Pid> {
    match &executor.reached_before {
        Some(Connection::Driver(pid)) if executor.state == ExecutorState::Registering => Some(pid.clone()),
        _ => None,
    }
}
