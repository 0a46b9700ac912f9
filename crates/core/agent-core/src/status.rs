//! Status updates: from executors and from the agent itself, through the streams, to the master; and back the
//! acknowledgements.

use std::sync::Arc;

use messor_proto::mesos::internal::{StatusUpdate, StatusUpdateAcknowledgementMessage, StatusUpdateMessage};
use messor_proto::mesos::task_status::Source;
use messor_proto::mesos::{ContainerStatus, NetworkInfo, TaskState, executor, network_info};
use messor_types::{ExecutorId, FrameworkId, Pid, TaskId};
use messor_updates::{Action, Key};

use crate::agent::{Agent, State, Ticket};
use crate::effect::{ContainerCommand, Effect};
use crate::event::Timer;
use crate::executor::Executor;
use crate::random::format_uuid;
use crate::record::Record;
use crate::tasks::{AgentUpdate, is_terminal, state_name};
use crate::turn::Turn;
use crate::view::ExecutorState;

/// Who sent an update and hears when it is taken care of. The agent's own updates have no sender.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sender {
    Http(ExecutorId),
    Driver(Pid),
}

/// How an update prints in the log.
fn describe(update: &StatusUpdate) -> String {
    format!(
        "{} (Status UUID: {}) for task {} of framework {}",
        state_name(update.status.state),
        format_uuid(update.uuid.as_deref().unwrap_or_default()),
        update.status.task_id.value,
        update.framework_id.value
    )
}

impl Agent {
    /// An update that the agent makes itself.
    pub(crate) fn agent_update(&mut self, turn: &mut Turn<'_>, update: AgentUpdate<'_>) {
        let update = update.build(&self.own_id(), turn.now, self.random.uuid());
        self.status_update(turn, update, None);
    }

    /// Takes an update of an executor. One that failed may have been killed for its memory, which the executor cannot know:
    /// then its container is asked about first, and ends if so. An agent that ends meanwhile hears of the update again.
    pub(crate) fn executor_says(&mut self, turn: &mut Turn<'_>, update: StatusUpdate, sender: Sender) {
        let unsure = self.config.limits_memory
            && update.status.state() == TaskState::TaskFailed
            && update.status.limitation.is_none();
        let key = key_of(&update);
        let known = self.updates.knows(&key, update.uuid.as_deref().unwrap_or_default());
        if unsure
            && !known
            && self.refuse(&update).is_none()
            && let Some(framework) = self.frameworks.get_mut(&key.framework)
            && let Some(executor) = framework.executor_of_mut(&key.task)
            && executor.process.is_some()
        {
            if executor.unsure.iter().all(|(waiting, _)| waiting.status.task_id != update.status.task_id) {
                executor.unsure.push((update, sender));
            }
            let container = executor.container.clone();
            return turn.effect(Effect::Container(ContainerCommand::Check { container }));
        }
        self.status_update(turn, update, Some(sender));
    }

    /// Takes an update of an executor (`sender`) or of the agent itself.
    pub(crate) fn status_update(
        &mut self,
        turn: &mut Turn<'_>,
        mut update: StatusUpdate,
        sender: Option<Sender>,
    ) {
        turn.info(format!("Handling status update {}", describe(&update)));
        if let Some(reason) = self.refuse(&update) {
            turn.warning(format!("Ignoring status update {}: {reason}", describe(&update)));
            self.counters.invalid_status_updates.increment();
            return;
        }
        let source = if sender.is_some() { Source::Executor } else { Source::Agent };
        update.status.uuid.clone_from(&update.uuid);
        update.status.source = Some(source.into());
        if update.executor_id.is_some() {
            update.status.executor_id.clone_from(&update.executor_id);
        }

        let key = key_of(&update);
        if let Some(framework) = self.frameworks.get(&key.framework) {
            self.mark_drained(&framework.info, &mut update);
        }
        let own = self.frameworks.get(&key.framework).and_then(|framework| framework.executor_of(&key.task));
        let Some(executor) = own else {
            if sender.is_some() && self.has_completed(&key) {
                turn.info(format!("Status update {} is of a completed task", describe(&update)));
                return self.acknowledge_sender(turn, &update, sender);
            }
            // A late update of a task that is completed or never was: the framework sorts it out.
            turn.warning(format!("No executor has the task of status update {}", describe(&update)));
            self.counters.valid_status_updates.increment();
            self.stream_update(turn, update, false, sender);
            return;
        };
        let (id, checkpoint) = (executor.id.clone(), executor.checkpoint);
        if source == Source::Executor && update.status.state() == TaskState::TaskStaging {
            turn.error(format!("Executor '{id}' sent TASK_STAGING, which it may not: shutting it down"));
            self.shut_down_executor(turn, &key.framework, &id);
            return;
        }
        self.counters.valid_status_updates.increment();
        // The sender repeats what it was not told of: nothing about the task changes.
        if self.updates.knows(&key, update.uuid.as_deref().unwrap_or_default()) {
            self.stream_update(turn, update, checkpoint, sender);
            return;
        }
        let dropped = source == Source::Agent
            && matches!(update.status.state(), TaskState::TaskDropped | TaskState::TaskLost);
        if !executor.queued.contains_key(&key.task) && !dropped {
            self.add_container_status(executor, &mut update);
        }

        let Some(executor) = self.executor_mut(&key.framework, &id) else {
            return;
        };
        if let Err(error) = executor.update_task(&key.framework, &update.status) {
            turn.error(format!("Status update {} changes nothing: {error}", describe(&update)));
            // The sender would repeat it for ever.
            self.acknowledge_sender(turn, &update, sender);
            return;
        }
        if is_terminal(update.status.state) {
            if executor.process.is_some() {
                self.update_container(turn, &key.framework, &id);
            }
            self.counters.task_ended(update.status.state());
        }
        self.stream_update(turn, update, checkpoint, sender);
    }

    /// Some executor of the framework had the task, and the framework has all its updates.
    fn has_completed(&self, key: &Key) -> bool {
        let framework = self.frameworks.get(&key.framework);
        let mut executors = framework.into_iter().flat_map(|framework| framework.executors.values());
        executors.any(|executor| executor.has_completed(&key.task))
    }

    /// Why an update is not taken at all.
    fn refuse(&self, update: &StatusUpdate) -> Option<String> {
        let own = self.own_id();
        let wrong =
            |id: &Option<messor_proto::mesos::AgentId>| id.as_ref().is_none_or(|id| id.value != own.as_str());
        match &update.uuid {
            None => return Some("it has no 'uuid'".to_string()),
            Some(uuid) if uuid.len() != 16 => return Some("its 'uuid' has not 16 bytes".to_string()),
            Some(_) => {}
        }
        if wrong(&update.agent_id) || wrong(&update.status.agent_id) {
            return Some(format!("its agent ID is not {own}"));
        }
        if let Err(error) = messor_validation::validate_id(&update.status.task_id.value) {
            return Some(format!("its task ID is wrong: {error}"));
        }
        match self.frameworks.get(update.framework_id.value.as_str()) {
            None => Some("its framework is unknown".to_string()),
            // Nobody would acknowledge it.
            Some(framework) if framework.terminating => Some("its framework is terminating".to_string()),
            Some(_) => None,
        }
    }

    /// What only the agent knows: in which container the task is, and at which addresses.
    fn add_container_status(&self, executor: &Executor, update: &mut StatusUpdate) {
        let Some(process) = executor.process else {
            return;
        };
        let given = update.status.container_status.as_ref().and_then(|status| status.container_id.as_ref());
        let nested = given.is_some_and(|id| messor_types::ContainerId::from(id) != executor.container);
        let status = update.status.container_status.get_or_insert_with(ContainerStatus::default);
        if !nested {
            status.container_id = Some((&executor.container).into());
            status.executor_pid = Some(process);
        }
        if status.network_infos.is_empty() {
            status.network_infos.push(self.network_info());
        }
    }

    /// The agent's addresses: those of every container in the host's network.
    fn network_info(&self) -> NetworkInfo {
        let mut ip_addresses = vec![network_info::IpAddress {
            protocol: None,
            ip_address: Some(self.config.pid.address.ip().to_string()),
        }];
        ip_addresses.extend(self.config.ip6.map(|ip| network_info::IpAddress {
            protocol: Some(network_info::Protocol::IPv6.into()),
            ip_address: Some(ip.to_string()),
        }));
        NetworkInfo { ip_addresses, ..NetworkInfo::default() }
    }

    /// Puts an update into its stream; `sender` hears when it is taken care of.
    pub(crate) fn stream_update(
        &mut self,
        turn: &mut Turn<'_>,
        update: StatusUpdate,
        checkpoint: bool,
        sender: Option<Sender>,
    ) {
        let key = key_of(&update);
        let waiting = (key.clone(), update.uuid.clone().unwrap_or_default());
        if let Some(sender) = sender {
            self.senders.insert(waiting.clone(), sender);
        }
        let description = describe(&update);
        let mut actions = Vec::new();
        match self.updates.update(turn.now, key, update, checkpoint, &mut actions) {
            Ok(()) => self.perform(turn, actions),
            Err(refused) => {
                self.senders.remove(&waiting);
                self.counters.invalid_status_updates.increment();
                turn.error(format!("Cannot keep status update {description}: {refused}"));
            }
        }
    }

    /// Does what the streams ask for.
    pub(crate) fn perform(&mut self, turn: &mut Turn<'_>, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Persist { key, entry, record } => {
                    let owner = self.frameworks.get(&key.framework);
                    let Some(executor) = owner.and_then(|framework| framework.executor_of(&key.task)) else {
                        // Its stream goes with the framework, and this record has no place any more.
                        continue;
                    };
                    let record = Record::Update {
                        framework: key.framework.clone(),
                        executor: executor.id.clone(),
                        container: executor.container.clone(),
                        task: key.task.clone(),
                        record,
                    };
                    self.persist(turn, record, Ticket::Update(key, entry));
                }
                Action::Accepted { key, update } => {
                    let sender = self.senders.remove(&(key, update.uuid.clone().unwrap_or_default()));
                    self.acknowledge_sender(turn, &update, sender);
                }
                Action::Forward { key, update } => self.forward(turn, &key, &update),
                Action::Delivered { key, update, last } => self.delivered(turn, &key, &update, last),
                Action::SetTimer { key, at } => {
                    turn.set_timer(Timer::UpdateRetry(key.framework, key.task), at);
                }
                Action::CancelTimer { key } => {
                    turn.cancel_timer(Timer::UpdateRetry(key.framework, key.task));
                }
            }
        }
    }

    /// Tells an executor that it may forget an update.
    fn acknowledge_sender(&mut self, turn: &mut Turn<'_>, update: &StatusUpdate, sender: Option<Sender>) {
        let uuid = update.uuid.clone().unwrap_or_default();
        match sender {
            None => {}
            Some(Sender::Driver(pid)) => {
                let message = StatusUpdateAcknowledgementMessage {
                    agent_id: (&self.own_id()).into(),
                    framework_id: update.framework_id.clone(),
                    task_id: update.status.task_id.clone(),
                    uuid,
                };
                turn.send(&pid, &message);
            }
            Some(Sender::Http(executor)) => {
                let framework = FrameworkId::from(&update.framework_id);
                let acknowledged =
                    executor::event::Acknowledged { task_id: update.status.task_id.clone(), uuid };
                let event = executor::Event {
                    r#type: Some(executor::event::Type::Acknowledged.into()),
                    acknowledged: Some(acknowledged),
                    ..executor::Event::default()
                };
                self.stream_event(turn, &framework, &executor, event);
            }
        }
    }

    fn forward(&mut self, turn: &mut Turn<'_>, key: &Key, update: &Arc<StatusUpdate>) {
        let Some(master) = self.master.clone().filter(|_| self.state == State::Running) else {
            return;
        };
        let mut update = update.as_ref().clone();
        let framework = self.frameworks.get_mut(&key.framework);
        if let Some(executor) = framework.and_then(|framework| framework.executor_of_mut(&key.task))
            && let Some(task) = executor.task_mut(&key.task)
        {
            task.status_update_state = Some(update.status.state);
            task.status_update_uuid.clone_from(&update.uuid);
            update.latest_state = Some(task.state);
        }
        turn.info(format!("Forwarding the update {} to {master}", describe(&update)));
        let message = StatusUpdateMessage { update, pid: Some(self.config.pid.to_string()) };
        turn.send(&master, &message);
    }

    /// The framework has the update.
    fn delivered(&mut self, turn: &mut Turn<'_>, key: &Key, update: &StatusUpdate, last: bool) {
        if let Some(framework) = self.frameworks.get_mut(&key.framework)
            && let Some(executor) = framework.executor_of_mut(&key.task)
        {
            let id = executor.id.clone();
            if last && executor.complete(&key.task) && executor.checkpoint {
                self.collect_task(turn, key, &id);
            }
            let done = self.executor(&key.framework, &id).is_some_and(|executor| {
                executor.state == ExecutorState::Terminated && !executor.has_incomplete_tasks()
            });
            if done {
                self.remove_executor(turn, &key.framework, &id);
            }
        } else if !last {
            turn.info(format!("Status update {} of no executor here is acknowledged", describe(update)));
        }
        self.remove_framework_if_idle(turn, &key.framework);
    }

    pub(crate) fn acknowledgement(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: StatusUpdateAcknowledgementMessage,
    ) {
        let key =
            Key { framework: FrameworkId::from(&message.framework_id), task: TaskId::from(&message.task_id) };
        // Old drivers acknowledge directly; masters, only the one that has the update.
        if from.id.starts_with("master") && (self.state != State::Running || !self.is_master(from)) {
            turn.warning(format!(
                "Ignoring the acknowledgement of an update of task {} from {from}: not registered with it",
                key.task
            ));
            return;
        }
        let mut actions = Vec::new();
        match self.updates.acknowledge(turn.now, &key, &message.uuid, &mut actions) {
            Ok(()) => self.perform(turn, actions),
            Err(refused) => turn.error(format!(
                "Ignoring the acknowledgement (Status UUID: {}) for task {} of framework {}: {refused}",
                format_uuid(&message.uuid),
                key.task,
                key.framework
            )),
        }
    }

    pub(crate) fn update_is_durable(&mut self, turn: &mut Turn<'_>, key: &Key, entry: u64) {
        let mut actions = Vec::new();
        self.updates.persisted(turn.now, key, entry, &mut actions);
        self.perform(turn, actions);
    }

    pub(crate) fn update_timer(&mut self, turn: &mut Turn<'_>, key: Key) {
        let mut actions = Vec::new();
        self.updates.timer(turn.now, &key, &mut actions);
        self.perform(turn, actions);
    }
}

fn key_of(update: &StatusUpdate) -> Key {
    Key { framework: FrameworkId::from(&update.framework_id), task: TaskId::from(&update.status.task_id) }
}
