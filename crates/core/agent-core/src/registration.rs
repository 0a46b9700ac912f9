//! How the agent finds its way to a master, stays with it, and leaves.

use std::sync::Arc;

use messor_proto::mesos::internal::{
    AgentRegisteredMessage, AgentReregisteredMessage, MasterAgentConnection, PingAgentMessage,
    PongAgentMessage, RegisterAgentMessage, ReregisterAgentMessage, ShutdownMessage, UnregisterAgentMessage,
    archive,
};
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{self, MasterInfo, TaskState, agent_info, master_info};
use messor_stdx::Duration;
use messor_types::{AgentId, FrameworkId, Pid, TaskId};

use crate::agent::{Agent, State, Ticket};
use crate::config::MESOS_VERSION;
use crate::effect::Effect;
use crate::event::Timer;
use crate::record::Record;
use crate::tasks::{AgentUpdate, task_from_info, unless_lost};
use crate::turn::Turn;
use crate::view::ExecutorState;

/// The longest pause between two attempts to register.
const REGISTER_RETRY_MAX: Duration = Duration::from_secs(60);

/// Five pings, one each 15 seconds: what holds until a master says otherwise.
pub(crate) const DEFAULT_PING_TIMEOUT: Duration = Duration::from_secs(75);

/// What of an archive of completed tasks goes into one re-registration, newest first: the message stays bounded.
const MAX_ARCHIVED_TASKS: usize = 50_000;

impl Agent {
    fn capabilities(&self) -> Vec<agent_info::Capability> {
        let kinds = self.config.capabilities.iter();
        kinds.map(|kind| agent_info::Capability { r#type: Some((*kind).into()) }).collect()
    }

    pub(crate) fn detected(&mut self, turn: &mut Turn<'_>, leader: Option<Box<MasterInfo>>) {
        let found = leader.map(|leader| (leader_pid(&leader), leader));
        let pid = match &found {
            Some((Ok(pid), _)) => Some(pid.clone()),
            Some((Err(error), _)) => {
                turn.error(format!("Ignoring a leading master without an address: {error}"));
                None
            }
            None => None,
        };
        if let Some(old) = self.master.take()
            && pid.as_ref() != Some(&old)
        {
            turn.effect(Effect::Unlink { pid: old });
        }
        match &pid {
            Some(pid) => turn.info(format!("New master detected at {pid}")),
            None => turn.info("Lost leading master".to_string()),
        }
        self.leader = pid.as_ref().and(found).map(|(_, leader)| Arc::from(leader));
        self.master = pid;
        if self.info_changed
            && let Some(leader) = &self.leader
        {
            if leader.capabilities.is_empty() {
                turn.warning("Whether the master takes up what changed of this agent is unknown".to_string());
            } else if !takes_agent_updates(leader) {
                let reason = "this agent differs from its last run, which the leading master cannot take up (it lacks \
                              AGENT_UPDATE): upgrade the master first"
                    .to_string();
                turn.effect(Effect::Abort { reason });
                return;
            }
        }
        self.disconnect(turn);
    }

    /// Start over with the master there is, if there is one.
    pub(crate) fn disconnect(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::Running {
            self.state = State::Disconnected;
        }
        self.updates.pause();
        self.operations.streams.pause();
        turn.cancel_timer(Timer::Ping);
        turn.cancel_timer(Timer::Register);
        if self.state == State::Terminating || self.master.is_none() {
            return;
        }
        // Agents do not come all at once when a master is elected.
        let pause = self.random.up_to(self.config.registration_backoff_factor);
        self.backoff = self.config.registration_backoff_factor * 2;
        turn.set_timer(Timer::Register, turn.now + pause);
    }

    pub(crate) fn register(&mut self, turn: &mut Turn<'_>) {
        if self.state != State::Disconnected {
            return;
        }
        let Some(master) = self.master.clone() else {
            return;
        };
        // What is said of the resources has to be on disk.
        if self.operations.is_writing() {
            self.operations.register = true;
            return;
        }
        turn.effect(Effect::Link { pid: master.clone() });
        if self.id.is_none() {
            let message = RegisterAgentMessage {
                agent: self.info.as_ref().clone(),
                checkpointed_resources: self.operations.checkpointed_proto(),
                version: Some(MESOS_VERSION.to_string()),
                agent_capabilities: self.capabilities(),
                resource_version_uuid: Some(mesos::Uuid { value: self.resource_version.clone() }),
            };
            turn.send(&master, &message);
        } else {
            let message = self.reregistration();
            turn.send(&master, &message);
        }
        self.operations.changed = false;
        let longest = self.backoff.min(REGISTER_RETRY_MAX);
        self.backoff = longest * 2;
        let pause = self.random.up_to(longest);
        turn.set_timer(Timer::Register, turn.now + pause);
    }

    fn reregistration(&self) -> ReregisterAgentMessage {
        let mut message = ReregisterAgentMessage {
            agent: self.info.as_ref().clone(),
            checkpointed_resources: self.operations.checkpointed_proto(),
            version: Some(MESOS_VERSION.to_string()),
            agent_capabilities: self.capabilities(),
            resource_version_uuid: Some(mesos::Uuid { value: self.resource_version.clone() }),
            ..ReregisterAgentMessage::default()
        };
        for framework in self.frameworks.values() {
            message.frameworks.push(framework.info.as_ref().clone());
            for executor in framework.executors.values() {
                let known = executor.launched.values().chain(executor.terminated.values());
                message.tasks.extend(known.map(|task| mesos::Task::clone(task)));
                message.tasks.extend(
                    executor
                        .queued
                        .values()
                        .map(|task| task_from_info(&task.info, TaskState::TaskStaging, &framework.id)),
                );
                // Executors that the agent made are nobody else's business, and ended ones use nothing.
                if !executor.command_executor && executor.state != ExecutorState::Terminated {
                    message.executor_infos.push(executor.info.as_ref().clone());
                }
            }
        }
        let mut room = MAX_ARCHIVED_TASKS;
        for framework in self.completed_frameworks.values().rev() {
            let executors = framework.completed_executors.iter().rev();
            let tasks = executors
                .flat_map(|executor| executor.terminated_tasks.iter().chain(&executor.completed_tasks));
            let tasks: Vec<mesos::Task> = tasks.take(room).map(|task| mesos::Task::clone(task)).collect();
            room -= tasks.len();
            message.completed_frameworks.push(archive::Framework {
                framework_info: framework.info.as_ref().clone(),
                pid: framework.pid.as_ref().map(Pid::to_string),
                tasks,
            });
        }
        message
    }

    pub(crate) fn registered(&mut self, turn: &mut Turn<'_>, from: &Pid, message: AgentRegisteredMessage) {
        if !self.is_master(from) {
            turn.warning(format!("Ignoring a registration from {from}, which is not the leading master"));
            return;
        }
        let id = AgentId::from(message.agent_id);
        if let Err(error) = messor_validation::validate_id(id.as_str()) {
            turn.error(format!("Ignoring a registration with an invalid agent ID: {error}"));
            return;
        }
        match self.state {
            State::Recovering | State::Terminating => {
                turn.warning("Ignoring a registration because the agent is terminating".to_string());
            }
            _ if self.id.as_ref().is_some_and(|own| *own != id) => self.wrong_id(turn, &id),
            State::Running => turn.warning(format!("Already registered with master {from}")),
            State::Disconnected => {
                turn.info(format!("Registered with master {from}; given agent ID {id}"));
                let mut info = self.info.as_ref().clone();
                info.id = Some((&id).into());
                self.info = Arc::new(info.clone());
                self.id = Some(id.clone());
                self.persist(turn, Record::Agent { id, info: Box::new(info) }, Ticket::Nothing);
                self.connected(turn, message.connection);
            }
        }
    }

    pub(crate) fn reregistered(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: AgentReregisteredMessage,
    ) {
        if !self.is_master(from) {
            turn.warning(format!("Ignoring a re-registration from {from}, which is not the leading master"));
            return;
        }
        let id = AgentId::from(message.agent_id);
        if self.id.as_ref() != Some(&id) {
            self.wrong_id(turn, &id);
            return;
        }
        let was_running = self.state == State::Running;
        match self.state {
            State::Recovering | State::Terminating => {
                turn.warning("Ignoring a re-registration because the agent is terminating".to_string());
                return;
            }
            State::Running => {
                // It took a registration that came late, and knows no more than that says.
                turn.warning(format!("Already re-registered with master {from}"));
                self.tell_what_there_is(turn);
            }
            State::Disconnected => {
                turn.info(format!("Re-registered with master {from}"));
                self.connected(turn, message.connection);
            }
        }
        if self.operations.changed || (self.operations.ever_changed && was_running) {
            // The master took a message from before the last operation, or may have: it had come late, or once more after all
            // others. Then the master does not count on what was done since. It has to hear how things stand.
            turn.warning("The master does not know what was done meanwhile: registering again".to_string());
            self.disconnect(turn);
            self.register(turn);
        }
        for reconciliation in message.reconciliations {
            let framework = FrameworkId::from(&reconciliation.framework_id);
            for status in &reconciliation.statuses {
                self.reconcile_task(
                    turn,
                    &framework,
                    reconciliation.framework.as_ref(),
                    TaskId::from(&status.task_id),
                );
            }
        }
    }

    /// The master knows a task that this agent does not: it has to hear that the task is no more.
    fn reconcile_task(
        &mut self,
        turn: &mut Turn<'_>,
        framework: &FrameworkId,
        info: Option<&mesos::FrameworkInfo>,
        task: TaskId,
    ) {
        if self.frameworks.get(framework).is_some_and(|framework| framework.has_task(&task)) {
            return;
        }
        if self.operations.holds_launch(framework, &task) {
            turn.info(format!("Task {task} of framework {framework} waits for its resources to be on disk"));
            return;
        }
        let state = match info {
            Some(info) => unless_lost(info, TaskState::TaskDropped),
            None => TaskState::TaskLost,
        };
        turn.warning(format!(
            "Task {task} of framework {framework} is not known here: {}",
            state.as_str_name()
        ));
        let update = AgentUpdate {
            framework,
            executor: None,
            task: &task,
            state,
            reason: Reason::Reconciliation,
            message: "Reconciliation: task unknown to the agent".to_string(),
        };
        let update = update.build(&self.own_id(), turn.now, self.random.uuid());
        self.stream_update(turn, update, false, None);
    }

    fn wrong_id(&mut self, turn: &mut Turn<'_>, given: &AgentId) {
        let reason = format!("The master knows this agent as {given}, it is {}", self.own_id());
        turn.effect(Effect::Abort { reason });
    }

    fn connected(&mut self, turn: &mut Turn<'_>, connection: Option<MasterAgentConnection>) {
        let seconds = connection.and_then(|connection| connection.total_ping_timeout_seconds);
        self.ping_timeout = match seconds {
            Some(seconds) if seconds >= 1.0 => Duration::from_secs(seconds as u64),
            _ => DEFAULT_PING_TIMEOUT,
        };
        self.state = State::Running;
        turn.cancel_timer(Timer::Register);
        turn.set_timer(Timer::Ping, turn.now + self.ping_timeout);
        let mut actions = Vec::new();
        self.updates.resume(turn.now, &mut actions);
        self.perform(turn, actions);
        self.send_update(turn);
    }

    pub(crate) fn ping(&mut self, turn: &mut Turn<'_>, from: &Pid, message: PingAgentMessage) {
        // Pings come from a process of their own at the master's address.
        let masters = self.master.as_ref().is_some_and(|master| master.address == from.address);
        turn.send(from, &PongAgentMessage {});
        if self.state == State::Running && masters {
            if message.connected {
                turn.set_timer(Timer::Ping, turn.now + self.ping_timeout);
            } else {
                turn.info("The master thinks that the agent is disconnected: registering again".to_string());
                self.disconnect(turn);
            }
        }
    }

    pub(crate) fn ping_timed_out(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::Running {
            turn.info(format!(
                "No pings from the master for {}: registering again",
                messor_stdx::format_duration(self.ping_timeout)
            ));
            self.disconnect(turn);
        }
    }

    pub(crate) fn exited(&mut self, turn: &mut Turn<'_>, pid: &Pid) {
        // An executor's end is told by its container.
        if self.is_master(pid) {
            turn.warning(format!(
                "The connection to master {pid} broke: registering again, there or with a new one"
            ));
            // Apache Mesos waits for the detector or for missing pings, 75 seconds with one master alone. To ask at
            // once costs a message, and brings the agent back as soon as its master is.
            if self.state == State::Running {
                self.disconnect(turn);
            }
        } else {
            turn.info(format!("The connection to {pid} broke"));
        }
    }

    /// The master's order to end.
    pub(crate) fn shutdown_message(&mut self, turn: &mut Turn<'_>, from: &Pid, message: ShutdownMessage) {
        if !self.is_master(from) {
            turn.warning(format!("Ignoring a shutdown message from {from}, which is not the leading master"));
            return;
        }
        let because = message.message.filter(|text| !text.is_empty());
        turn.info(match &because {
            Some(text) => format!("Asked to shut down by {from} because '{text}'"),
            None => format!("Asked to shut down by {from}"),
        });
        self.terminate(turn, because.unwrap_or_else(|| "asked to by the master".to_string()));
    }

    /// The operator's order to end.
    pub(crate) fn shut_down(&mut self, turn: &mut Turn<'_>, reason: &str) {
        turn.info(format!("{reason}; unregistering and shutting down"));
        if let (Some(id), Some(master)) = (&self.id, &self.master) {
            turn.send(master, &UnregisterAgentMessage { agent_id: id.into() });
        }
        self.terminate(turn, reason.to_string());
    }

    fn terminate(&mut self, turn: &mut Turn<'_>, reason: String) {
        self.state = State::Terminating;
        self.updates.pause();
        self.operations.streams.pause();
        turn.cancel_timer(Timer::Register);
        turn.cancel_timer(Timer::Ping);
        let frameworks: Vec<FrameworkId> = self.frameworks.keys().cloned().collect();
        for framework in &frameworks {
            self.shutdown_framework(turn, framework);
        }
        // With frameworks, the last one that goes ends the agent.
        if frameworks.is_empty() {
            self.end(turn, reason);
        }
    }

    /// The agent ends for good: the next one on this host is a new one.
    pub(crate) fn end(&mut self, turn: &mut Turn<'_>, reason: String) {
        if self.id.is_some() {
            self.persist(turn, Record::Forget, Ticket::End(reason));
        } else {
            turn.effect(Effect::Abort { reason });
        }
    }
}

fn takes_agent_updates(leader: &MasterInfo) -> bool {
    let update = Some(master_info::capability::Type::AgentUpdate.into());
    leader.capabilities.iter().any(|capability| capability.r#type == update)
}

/// The address in a MasterInfo: its pid, or what older masters give of one.
fn leader_pid(leader: &MasterInfo) -> Result<Pid, messor_types::PidError> {
    match &leader.pid {
        Some(pid) => pid.parse(),
        None => {
            // The address is in network byte order, as it lies in memory on a little-endian host.
            let ip = std::net::Ipv4Addr::from(leader.ip.to_le_bytes());
            let port = u16::try_from(leader.port).unwrap_or(5050);
            Ok(Pid::new("master", (ip, port).into()))
        }
    }
}
