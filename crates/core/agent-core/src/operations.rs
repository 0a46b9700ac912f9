//! Operations on the agent's own resources: reservations, and the volumes made of them. What is asked for is counted at
//! once and said to be done when it is on disk; masters count on it before they hear a word.

use std::collections::VecDeque;

use indexmap::IndexMap;
use messor_proto::Wire;
use messor_proto::mesos::internal::{
    ApplyOperationMessage, CheckpointResourcesMessage, RunTaskGroupMessage, RunTaskMessage,
    UpdateOperationStatusMessage,
};
use messor_proto::mesos::{self, AgentInfo, Operation, OperationState, OperationStatus};
use messor_types::{
    FrameworkId, OperationUuid, Pid, Resource, ResourceFormat, Resources, TaskId, apply_checkpointed,
    operation_conversions, operation_provider, resource_to_post_refinement, unallocated_operation,
    upgrade_operation,
};
use messor_updates::OperationStreams;

use crate::agent::{Agent, State, Ticket};
use crate::executor::Executor;
use crate::record::Record;
use crate::turn::Turn;
use crate::view::ExecutorState;

/// Messages about tasks that wait for a reservation or a volume to be on disk. What is more than that is not kept
/// waiting: a task whose volume is not there yet fails then.
const MAX_HELD: usize = 10_000;

/// Operations that are over and remembered, so that a message that comes twice is not carried out twice. The oldest is
/// forgotten; after a restart the version of the resources tells them apart.
const MAX_OVER: usize = 10_000;

/// What is known of operations, and what they made of the agent's resources.
#[derive(Clone, Debug)]
pub(crate) struct Operations {
    /// The agent's resources as they stand, with what is on its way to disk.
    pub total: Resources,
    /// Operations whose end nobody acknowledged yet, in the order in which they came.
    pub known: IndexMap<OperationUuid, Known>,
    pub streams: OperationStreams,
    /// Those that were refused, or whose end was acknowledged, oldest first.
    over: VecDeque<(OperationUuid, OperationState)>,
    /// Records that change resources and are on their way to disk.
    writing: usize,
    held: VecDeque<(Pid, String, Vec<u8>)>,
    /// Something was done since the agent last told a master what it has.
    pub changed: bool,
    /// Or was since this agent started.
    pub ever_changed: bool,
    /// It is time to register, when all is on disk.
    pub register: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// As it is when it is on disk.
    pub operation: Operation,
    pub durable: bool,
}

impl Known {
    /// As it may be told of.
    pub fn told(&self) -> Operation {
        let mut operation = self.operation.clone();
        if !self.durable {
            operation.latest_status.state = OperationState::OperationPending.into();
            operation.latest_status.uuid = None;
            operation.statuses.clear();
        }
        operation
    }
}

impl Operations {
    pub fn new(info: &AgentInfo) -> Operations {
        Operations {
            total: Resources::from_proto(&info.resources).unwrap_or_default(),
            known: IndexMap::new(),
            streams: OperationStreams::new(),
            over: VecDeque::new(),
            writing: 0,
            held: VecDeque::new(),
            changed: false,
            ever_changed: false,
            register: false,
        }
    }

    /// What of the resources has to be kept over restarts.
    pub fn checkpointed(&self) -> Resources {
        self.total.filter(Resource::needs_checkpoint)
    }

    pub fn checkpointed_proto(&self) -> Vec<mesos::Resource> {
        self.checkpointed().to_proto(ResourceFormat::PostRefinement)
    }

    /// All has been said of it, and it must not be done again.
    pub fn is_over(&mut self, uuid: OperationUuid, state: OperationState) {
        if self.over.len() >= MAX_OVER {
            self.over.pop_front();
        }
        self.over.push_back((uuid, state));
    }

    /// How an operation ended that is remembered.
    pub fn end_of(&self, uuid: &OperationUuid) -> Option<OperationState> {
        self.over.iter().rev().find(|(over, _)| over == uuid).map(|(_, state)| *state)
    }

    pub fn is_writing(&self) -> bool {
        self.writing > 0
    }

    /// Keeps a message about tasks until what they use is on disk. False: there is nothing to wait for.
    pub fn hold(&mut self, from: &Pid, name: &str, body: &[u8]) -> bool {
        let waits = self.writing > 0 && self.held.len() < MAX_HELD;
        if waits {
            self.held.push_back((from.clone(), name.to_string(), body.to_vec()));
        }
        waits
    }

    /// Whether the launch of a task waits.
    pub fn holds_launch(&self, framework: &FrameworkId, task: &TaskId) -> bool {
        self.held.iter().any(|(_, name, body)| launches(name, body, framework, task))
    }
}

/// Whether a message is the launch of a task.
fn launches(name: &str, body: &[u8], framework: &FrameworkId, task: &TaskId) -> bool {
    let of =
        |info: &mesos::FrameworkInfo| info.id.as_ref().map(FrameworkId::from).as_ref() == Some(framework);
    let is = |info: &mesos::TaskInfo| TaskId::from(&info.task_id) == *task;
    match name {
        RunTaskMessage::NAME => RunTaskMessage::decode_checked(body)
            .is_ok_and(|message| of(&message.framework) && is(&message.task)),
        RunTaskGroupMessage::NAME => RunTaskGroupMessage::decode_checked(body)
            .is_ok_and(|message| of(&message.framework) && message.task_group.tasks.iter().any(is)),
        _ => false,
    }
}

/// Whether they are one volume, whatever its size is.
fn same_volume(one: &Resource, other: &Resource) -> bool {
    messor_types::volume_path(one) == messor_types::volume_path(other)
}

impl Agent {
    /// The agent's own resources changed, or an operation is known no more.
    pub(crate) fn resources_record(&self) -> Record {
        Record::Resources {
            resources: self.operations.checkpointed_proto(),
            operations: self.operations.known.values().map(|known| known.operation.clone()).collect(),
        }
    }

    /// Asks for the resources to be kept; what uses them waits for that.
    pub(crate) fn persist_resources(&mut self, turn: &mut Turn<'_>, finished: Vec<OperationUuid>) {
        self.operations.writing += 1;
        let record = self.resources_record();
        self.persist(turn, record, Ticket::Resources(finished));
    }

    pub(crate) fn resources_are_durable(&mut self, turn: &mut Turn<'_>, finished: Vec<OperationUuid>) {
        self.operations.writing = self.operations.writing.saturating_sub(1);
        for uuid in finished {
            if let Some(known) = self.operations.known.get_mut(&uuid) {
                known.durable = true;
            }
            self.stream_operation(turn, uuid);
        }
        if self.operations.writing > 0 {
            return;
        }
        if std::mem::take(&mut self.operations.register) {
            self.register(turn);
        }
        // One of them may change resources itself, and the rest waits again.
        while self.operations.writing == 0
            && let Some((from, name, body)) = self.operations.held.pop_front()
        {
            self.message(turn, &from, &name, &body);
        }
    }

    pub(crate) fn apply_operation(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: ApplyOperationMessage,
    ) {
        if !self.is_from_master(turn, from, "an operation") {
            return;
        }
        let Some(uuid) = OperationUuid::from_proto(&message.operation_uuid) else {
            return turn.error("Ignoring an operation whose 'operation_uuid' has not 16 bytes".to_string());
        };
        if self.operations.known.contains_key(&uuid) || self.operations.end_of(&uuid).is_some() {
            return turn.info(format!("Operation {uuid} is known already"));
        }
        let ApplyOperationMessage { framework_id, operation_info: mut info, resource_version_uuid, .. } =
            message;
        let kind = info.r#type().as_str_name();
        let provider = operation_provider(&info)
            .or_else(|| resource_version_uuid.resource_provider_id.as_ref().map(Into::into));
        // The master's idea of the resources is that of another run of the agent: it hears the present one when the
        // agent registers, without this operation.
        let outdated = resource_version_uuid.uuid.value != self.resource_version;
        // Nor does the master count on one that comes while the agent is away: it hears the resources without it.
        let dropped = match provider {
            Some(provider) => Some(format!("the agent has no resource provider {provider}")),
            None if self.state != State::Running => Some("the agent is not registered".to_string()),
            None => outdated.then(|| "it assumes outdated resources".to_string()),
        };
        let refused = match dropped {
            Some(text) => Some((OperationState::OperationDropped, text)),
            None => match self.with_operation(&mut info) {
                Ok(total) => {
                    self.operations.total = total;
                    self.operations.changed = true;
                    self.operations.ever_changed = true;
                    None
                }
                Err(text) => Some((OperationState::OperationError, text)),
            },
        };
        if let Some((state, text)) = refused {
            turn.error(format!("Refusing operation {uuid} ({kind}): {text}"));
            self.operations.is_over(uuid, state);
            let status = OperationStatus {
                operation_id: info.id.clone(),
                message: Some(text),
                ..self.operation_status(state)
            };
            let update = UpdateOperationStatusMessage { framework_id, ..self.operation_update(uuid, status) };
            turn.send(from, &update);
            if state == OperationState::OperationError {
                // The master counts on resources that are not there: it has to hear which are.
                self.disconnect(turn);
            }
            return;
        }
        turn.info(format!("Applied operation {uuid} ({kind}); the agent has {} now", self.operations.total));
        let status = OperationStatus {
            operation_id: info.id.clone(),
            uuid: Some(mesos::Uuid { value: self.random.uuid().to_vec() }),
            ..self.operation_status(OperationState::OperationFinished)
        };
        let operation = Operation {
            framework_id,
            agent_id: Some((&self.own_id()).into()),
            info,
            latest_status: status.clone(),
            statuses: vec![status],
            uuid: uuid.into(),
        };
        self.operations.known.insert(uuid, Known { operation, durable: false });
        self.persist_resources(turn, vec![uuid]);
    }

    /// The total when the operation is done.
    pub(crate) fn with_operation(&self, info: &mut mesos::offer::Operation) -> Result<Resources, String> {
        upgrade_operation(info).map_err(|error| error.to_string())?;
        let conversions =
            operation_conversions(&unallocated_operation(info)).map_err(|error| error.to_string())?;
        let total = self.operations.total.convert(&conversions).map_err(|error| error.to_string())?;
        // Masters see to it; data must not go from under a task even so.
        let (before, after) = (self.operations.total.persistent_volumes(), total.persistent_volumes());
        let is_among =
            |volume: &Resource, all: &Resources| all.iter().any(|other| same_volume(other, volume));
        let mut gone = before.iter().filter(|volume| !is_among(volume, &after)).peekable();
        if gone.peek().is_some() {
            let used = self.used_volumes();
            if let Some(volume) = gone.find(|volume| is_among(volume, &used)) {
                return Err(format!("the volume {volume} is in use"));
            }
        }
        if self.takes_from_tasks(&total) {
            return Err("tasks have some of these resources".to_string());
        }
        // Nothing is made that could not be put on disk.
        let stays = |volume: &Resource| messor_types::volume_path(volume).is_some();
        match total.persistent_volumes().iter().find(|volume| !stays(volume)) {
            Some(volume) => Err(format!("the volume {volume} has no directory")),
            None => Ok(total),
        }
    }

    /// The volumes of executors and tasks that are meant to run on.
    fn used_volumes(&self) -> Resources {
        let frameworks = self.frameworks.values().filter(|framework| !framework.terminating);
        let executors = frameworks.flat_map(|framework| framework.executors.values());
        let lives = |executor: &&Executor| {
            matches!(executor.state, ExecutorState::Registering | ExecutorState::Running)
        };
        let used: Vec<mesos::Resource> = executors.filter(lives).flat_map(Executor::allocated).collect();
        crate::executor::total(&used).persistent_volumes()
    }

    /// What masters say to agents that do not carry operations out: all reservations and volumes there are to be.
    pub(crate) fn checkpoint_resources(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        mut message: CheckpointResourcesMessage,
    ) {
        if !self.is_from_master(turn, from, "checkpointed resources") {
            return;
        }
        message.resources.iter_mut().for_each(resource_to_post_refinement);
        let own = Resources::from_proto(&self.info.resources).unwrap_or_default();
        let resources = Resources::from_proto(&message.resources).map_err(|error| error.to_string());
        let total = resources
            .and_then(|resources| apply_checkpointed(&own, &resources).map_err(|error| error.to_string()));
        match total {
            Ok(total) if total == self.operations.total => {
                turn.info("The master's checkpointed resources are those of the agent".to_string());
            }
            Ok(total) => {
                turn.info(format!("The agent has {total} now, as the master says"));
                self.operations.total = total;
                self.persist_resources(turn, Vec::new());
            }
            Err(error) => {
                turn.error(format!("Refusing the checkpointed resources of the master: {error}"));
                self.disconnect(turn);
            }
        }
    }

    pub(crate) fn operation_status(&self, state: OperationState) -> OperationStatus {
        OperationStatus {
            state: state.into(),
            agent_id: Some((&self.own_id()).into()),
            ..OperationStatus::default()
        }
    }

    pub(crate) fn operation_update(
        &self,
        uuid: OperationUuid,
        status: OperationStatus,
    ) -> UpdateOperationStatusMessage {
        UpdateOperationStatusMessage {
            framework_id: None,
            agent_id: Some((&self.own_id()).into()),
            status,
            latest_status: None,
            operation_uuid: Some(uuid.into()),
        }
    }
}
