//! What the agent says to executors, by whichever channel they have, and what executors with a driver say to it.

use messor_proto::mesos::executor::{self, event};
use messor_proto::mesos::internal::{
    ExecutorRegisteredMessage, ExecutorReregisteredMessage, ExecutorToFrameworkMessage,
    FrameworkToExecutorMessage, KillTaskMessage, RegisterExecutorMessage, ReregisterExecutorMessage,
    RunTaskMessage, ShutdownExecutorMessage, StatusUpdateMessage,
};
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{KillPolicy, TaskGroupInfo, TaskInfo, TaskState};
use messor_types::{ContainerId, ExecutorId, FrameworkId, Pid, TaskId};

use crate::agent::{Agent, State, Ticket};
use crate::effect::{ContainerCommand, Effect};
use crate::event::Timer;
use crate::executor::{Assignment, Channel};
use crate::framework::{NO_PID, parse_pid};
use crate::record::{Connection, Record};
use crate::status::Sender;
use crate::tasks::{AgentUpdate, unless_lost};
use crate::turn::Turn;
use crate::view::ExecutorState;

impl Agent {
    /// Sends the tasks that are queued and durable, in order.
    pub(crate) fn send_queued(&mut self, turn: &mut Turn<'_>, framework: &FrameworkId, id: &ExecutorId) {
        loop {
            let Some(found) = self.frameworks.get_mut(framework).filter(|found| !found.terminating) else {
                return;
            };
            let (info, pid) = (found.info.clone(), found.pid.clone());
            let Some(executor) = found.executors.get_mut(id) else {
                return;
            };
            // Between two subscriptions tasks wait: nothing sent now would arrive.
            if executor.state != ExecutorState::Running || executor.channel == Channel::None {
                return;
            }
            let Some(assignment) = executor.next_durable() else {
                return;
            };
            let tasks = match &assignment {
                Assignment::Task(task) => std::slice::from_ref(task),
                Assignment::Group(tasks) => tasks.as_slice(),
            };
            for task in tasks {
                executor.launch(framework, task);
            }
            let channel = executor.channel.clone();
            let ids: Vec<&str> = tasks.iter().map(|task| task.task_id.value.as_str()).collect();
            let names = ids.join("', '");
            turn.info(format!("Sending queued task '{names}' to executor '{id}' of framework {framework}"));
            match (channel, assignment) {
                (Channel::Driver(to), Assignment::Task(task)) => {
                    #[allow(deprecated)] // Field 1 is for agents of before 0.21.
                    let message = RunTaskMessage {
                        framework_id: None,
                        framework: info.as_ref().clone(),
                        task: TaskInfo::clone(&task),
                        resource_version_uuids: Vec::new(),
                        // Drivers of 0.23 cannot read the message without it.
                        pid: Some(pid.map_or_else(|| NO_PID.to_string(), |pid| pid.to_string())),
                        launch_executor: None,
                    };
                    turn.send(&to, &message);
                }
                (Channel::Driver(_), Assignment::Group(tasks)) => {
                    let ids: Vec<TaskId> = tasks.iter().map(|task| TaskId::from(&task.task_id)).collect();
                    self.drop_group_of_driver(turn, framework, id, &ids);
                }
                (Channel::Http { .. } | Channel::None, Assignment::Task(task)) => {
                    let event = executor::Event {
                        r#type: Some(event::Type::Launch.into()),
                        launch: Some(event::Launch { task: TaskInfo::clone(&task) }),
                        ..executor::Event::default()
                    };
                    self.stream_event(turn, framework, id, event);
                }
                (Channel::Http { .. } | Channel::None, Assignment::Group(tasks)) => {
                    let tasks = tasks.iter().map(|task| TaskInfo::clone(task)).collect();
                    let event = executor::Event {
                        r#type: Some(event::Type::LaunchGroup.into()),
                        launch_group: Some(event::LaunchGroup { task_group: TaskGroupInfo { tasks } }),
                        ..executor::Event::default()
                    };
                    self.stream_event(turn, framework, id, event);
                }
            }
        }
    }

    /// The messages of drivers know no task groups.
    fn drop_group_of_driver(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        id: &ExecutorId,
        tasks: &[TaskId],
    ) {
        let Some(found) = self.frameworks.get(framework) else {
            return;
        };
        let state = unless_lost(&found.info, TaskState::TaskDropped);
        for task in tasks {
            self.agent_update(
                turn,
                AgentUpdate {
                    framework,
                    executor: Some(id),
                    task,
                    state,
                    reason: Reason::TaskGroupInvalid,
                    message: "Only an executor of the HTTP API can run a task group".to_string(),
                },
            );
        }
    }

    pub(crate) fn send_kill(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        id: &ExecutorId,
        task: &TaskId,
        kill_policy: Option<KillPolicy>,
    ) {
        match self.executor(framework, id).map(|executor| executor.channel.clone()) {
            Some(Channel::Driver(pid)) => {
                let message =
                    KillTaskMessage { framework_id: framework.into(), task_id: task.into(), kill_policy };
                turn.send(&pid, &message);
            }
            Some(Channel::None) => {
                turn.info(format!(
                    "Executor '{id}' of framework {framework} will be told to kill {task} when it is back"
                ));
                if let Some(executor) =
                    self.executor_mut(framework, id).filter(|executor| executor.has_task(task))
                {
                    executor.kills.insert(task.clone(), kill_policy);
                }
            }
            _ => {
                let event = executor::Event {
                    r#type: Some(event::Type::Kill.into()),
                    kill: Some(event::Kill { task_id: task.into(), kill_policy }),
                    ..executor::Event::default()
                };
                self.stream_event(turn, framework, id, event);
            }
        }
    }

    /// The executor is back: it hears of the kills that came meanwhile.
    pub(crate) fn send_waiting_kills(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        id: &ExecutorId,
    ) {
        let kills = self.executor_mut(framework, id).map(|executor| std::mem::take(&mut executor.kills));
        for (task, kill_policy) in kills.into_iter().flatten() {
            self.send_kill(turn, framework, id, &task, kill_policy);
        }
    }

    pub(crate) fn send_shutdown(&mut self, turn: &mut Turn<'_>, framework: &FrameworkId, id: &ExecutorId) {
        match self.executor(framework, id).map(|executor| executor.channel.clone()) {
            Some(Channel::Driver(pid)) => turn.send(&pid, &ShutdownExecutorMessage::default()),
            Some(Channel::Http { .. }) => {
                let event = executor::Event {
                    r#type: Some(event::Type::Shutdown.into()),
                    ..executor::Event::default()
                };
                self.stream_event(turn, framework, id, event);
            }
            // It is not here yet, and will be told when it comes.
            Some(Channel::None) | None => {}
        }
    }

    /// A framework's message to one of its executors: from the scheduler itself or through the master.
    pub(crate) fn framework_to_executor(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: FrameworkToExecutorMessage,
    ) {
        let (framework, id) =
            (FrameworkId::from(&message.framework_id), ExecutorId::from(&message.executor_id));
        let terminating = self.frameworks.get(&framework).is_none_or(|framework| framework.terminating);
        let channel = self
            .executor(&framework, &id)
            .filter(|executor| executor.state == ExecutorState::Running)
            .map(|executor| executor.channel.clone());
        let Some(channel) = channel.filter(|_| self.state == State::Running && !terminating) else {
            turn.warning(format!(
                "Dropping a message from {from} for executor '{id}' of framework {framework}, which does not run"
            ));
            self.counters.invalid_framework_messages.increment();
            return;
        };
        self.counters.valid_framework_messages.increment();
        match channel {
            Channel::Driver(pid) => turn.send(&pid, &message),
            _ => {
                let event = executor::Event {
                    r#type: Some(event::Type::Message.into()),
                    message: Some(event::Message { data: message.data }),
                    ..executor::Event::default()
                };
                self.stream_event(turn, &framework, &id, event);
            }
        }
    }

    pub(crate) fn register_executor(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: RegisterExecutorMessage,
    ) {
        let (framework, id) =
            (FrameworkId::from(&message.framework_id), ExecutorId::from(&message.executor_id));
        turn.info(format!("Got registration for executor '{id}' of framework {framework} from {from}"));
        if !self.may_register(turn, from, &framework, &id) {
            return;
        }
        let Some(executor) = self.executor(&framework, &id) else {
            return;
        };
        let container = executor.container.clone();
        if !executor.checkpoint {
            return self.driver_is_durable(turn, &framework, &id, &container, from);
        }
        // A restarted agent has to find it: only then the driver is told that it may outlive this one.
        let record = Record::ExecutorConnection {
            framework: framework.clone(),
            executor: id.clone(),
            container: container.clone(),
            connection: Connection::Driver(from.clone()),
        };
        self.persist(turn, record, Ticket::Driver(framework, id, container, from.clone()));
    }

    pub(crate) fn driver_is_durable(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        id: &ExecutorId,
        container: &ContainerId,
        from: &Pid,
    ) {
        let awaited = self
            .run_mut(framework, id, container)
            .is_some_and(|executor| executor.state == ExecutorState::Registering);
        if !awaited || !self.may_register(turn, from, framework, id) {
            return;
        }
        turn.effect(Effect::Link { pid: from.clone() });
        self.attach(turn, framework, id, Channel::Driver(from.clone()));
        if self.shut_down_if_nothing_to_do(turn, framework, id) {
            return;
        }
        let (Some(found), Some(executor)) = (self.frameworks.get(framework), self.executor(framework, id))
        else {
            return;
        };
        let answer = ExecutorRegisteredMessage {
            executor_info: executor.info.as_ref().clone(),
            framework_id: framework.into(),
            framework_info: found.info.as_ref().clone(),
            agent_id: (&self.own_id()).into(),
            agent_info: self.info.as_ref().clone(),
        };
        turn.send(from, &answer);
        self.update_container(turn, framework, id);
        self.send_queued(turn, framework, id);
    }

    /// An executor that outlived the agent of before.
    pub(crate) fn reregister_executor(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: ReregisterExecutorMessage,
    ) {
        let (framework, id) =
            (FrameworkId::from(&message.framework_id), ExecutorId::from(&message.executor_id));
        turn.info(format!("Got re-registration of executor '{id}' of framework {framework} from {from}"));
        // One that was asked more than once answers more than once.
        let back = self.executor(&framework, &id).is_some_and(|executor| {
            executor.state == ExecutorState::Running && executor.channel == Channel::Driver(from.clone())
        });
        if back && self.config.executor_reregistration_retry_interval.is_some() {
            turn.info(format!("Executor '{id}' of framework {framework} is back already"));
            return;
        }
        if !self.may_register(turn, from, &framework, &id) {
            return;
        }
        turn.effect(Effect::Link { pid: from.clone() });
        self.attach(turn, &framework, &id, Channel::Driver(from.clone()));
        self.persist_connection(turn, &framework, &id, Connection::Driver(from.clone()));
        let answer = ExecutorReregisteredMessage {
            agent_id: (&self.own_id()).into(),
            agent_info: self.info.as_ref().clone(),
        };
        turn.send(from, &answer);
        for update in message.updates {
            self.executor_says(turn, update, Sender::Driver(from.clone()));
        }
        let known: Vec<TaskId> = message.tasks.iter().map(|task| TaskId::from(&task.task_id)).collect();
        self.drop_unknown_to_executor(turn, &framework, &id, &known);
        if !self.shut_down_if_nothing_to_do(turn, &framework, &id) {
            self.update_container(turn, &framework, &id);
            self.send_queued(turn, &framework, &id);
        }
    }

    /// Only an executor that is awaited; any other process is told to end.
    fn may_register(
        &self,
        turn: &mut Turn<'_>,
        from: &Pid,
        framework: &FrameworkId,
        id: &ExecutorId,
    ) -> bool {
        let terminating = self.frameworks.get(framework).is_none_or(|framework| framework.terminating);
        let awaited =
            self.executor(framework, id).is_some_and(|executor| executor.state == ExecutorState::Registering);
        if awaited && !terminating && self.state != State::Terminating {
            return true;
        }
        turn.warning(format!(
            "Shutting down executor '{id}' of framework {framework} at {from}: it is not awaited"
        ));
        turn.send(from, &ShutdownExecutorMessage::default());
        false
    }

    /// The executor is here: it runs, and is reached by this channel.
    pub(crate) fn attach(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        id: &ExecutorId,
        channel: Channel,
    ) {
        let Some(executor) = self.executor_mut(framework, id) else {
            return;
        };
        executor.state = ExecutorState::Running;
        executor.channel = channel;
        let container = executor.container.clone();
        turn.cancel_timer(Timer::ExecutorRegister(framework.clone(), id.clone(), container));
    }

    /// How the executor is reached, for the next agent; nothing where that is known already.
    pub(crate) fn persist_connection(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        id: &ExecutorId,
        connection: Connection,
    ) {
        let Some(executor) = self.executor_mut(framework, id) else {
            return;
        };
        if executor.checkpoint && executor.reached_before.as_ref() != Some(&connection) {
            executor.reached_before = Some(connection.clone());
            let record = Record::ExecutorConnection {
                framework: framework.clone(),
                executor: id.clone(),
                container: executor.container.clone(),
                connection,
            };
            self.persist(turn, record, Ticket::Nothing);
        }
    }

    /// An executor whose tasks were all killed before it had one would wait for ever.
    pub(crate) fn shut_down_if_nothing_to_do(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        id: &ExecutorId,
    ) -> bool {
        let idle = self
            .executor(framework, id)
            .is_some_and(|executor| !executor.ever_had_task() && executor.queued.is_empty());
        if idle {
            turn.warning(format!(
                "Shutting down executor '{id}' of framework {framework}: all its tasks were killed before it had one"
            ));
            self.shut_down_executor(turn, framework, id);
        }
        idle
    }

    pub(crate) fn update_container(&mut self, turn: &mut Turn<'_>, framework: &FrameworkId, id: &ExecutorId) {
        if let Some(executor) = self.executor(framework, id) {
            let update = ContainerCommand::Update {
                container: executor.container.clone(),
                resources: executor.allocated(),
                limits: executor.limits(self.config.cgroups_enable_cfs),
            };
            turn.effect(Effect::Container(update));
        }
    }

    pub(crate) fn status_update_message(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: StatusUpdateMessage,
    ) {
        // Who is to hear of it is said in the message; a driver that says nothing is where it came from.
        let sender = parse_pid(message.pid.as_deref()).unwrap_or_else(|| from.clone());
        self.executor_says(turn, message.update, Sender::Driver(sender));
    }

    pub(crate) fn executor_to_framework(
        &mut self,
        turn: &mut Turn<'_>,
        _from: &Pid,
        message: ExecutorToFrameworkMessage,
    ) {
        self.message_to_framework(turn, message);
    }

    /// An executor's message goes straight to a scheduler with a driver, and through the master to any other.
    pub(crate) fn message_to_framework(&mut self, turn: &mut Turn<'_>, message: ExecutorToFrameworkMessage) {
        let framework = self.frameworks.get(message.framework_id.value.as_str());
        let framework = framework.filter(|framework| !framework.terminating);
        let (Some(framework), Some(master), State::Running) = (framework, &self.master, self.state) else {
            turn.warning(format!(
                "Dropping a message of executor '{}' to framework {}, which cannot be reached",
                message.executor_id.value, message.framework_id.value
            ));
            self.counters.invalid_framework_messages.increment();
            return;
        };
        let to = framework.pid.as_ref().unwrap_or(master).clone();
        turn.send(&to, &message);
        self.counters.valid_framework_messages.increment();
    }
}
