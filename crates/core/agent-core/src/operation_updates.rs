//! What the master hears of operations: their statuses, at least once and acknowledged, what it asks about, and all of
//! them when the agent registers.

use messor_proto::mesos::internal::{
    AcknowledgeOperationStatusMessage, ReconcileOperationsMessage, UpdateAgentMessage,
    UpdateOperationStatusMessage, reconcile_operations_message, update_agent_message,
};
use messor_proto::mesos::{self, FrameworkId, Operation, OperationState, OperationStatus};
use messor_types::{OperationUuid, Pid, Resources, apply_checkpointed, is_terminal_operation};
use messor_updates::OperationAction;

use crate::agent::{Agent, State, Ticket};
use crate::effect::Effect;
use crate::event::Timer;
use crate::operations::Known;
use crate::record::Record;
use crate::recovered::RecoveredOperation;
use crate::turn::Turn;

impl Agent {
    /// Puts the last status of an operation into its stream.
    pub(crate) fn stream_operation(&mut self, turn: &mut Turn<'_>, uuid: OperationUuid) {
        let Some(known) = self.operations.known.get(&uuid) else { return };
        let operation = &known.operation;
        let update = UpdateOperationStatusMessage {
            framework_id: operation.framework_id.clone(),
            ..self.operation_update(uuid, operation.latest_status.clone())
        };
        let mut actions = Vec::new();
        if let Err(refused) = self.operations.streams.update(turn.now, uuid, update, true, &mut actions) {
            // A master asks about operations that it hears nothing of when the agent registers again.
            turn.error(format!("Cannot keep the status of operation {uuid}: {refused}"));
        }
        self.perform_operations(turn, actions);
    }

    fn perform_operations(&mut self, turn: &mut Turn<'_>, actions: Vec<OperationAction>) {
        for action in actions {
            match action {
                OperationAction::Persist { key, entry, record } => {
                    let record = Record::OperationUpdate { uuid: key.as_bytes().to_vec(), record };
                    self.persist(turn, record, Ticket::OperationUpdate(key, entry));
                }
                // The agent sends itself all updates of operations, and waits for nothing.
                OperationAction::Accepted { .. } => {}
                OperationAction::Forward { key, update } => {
                    if let Some(master) = self.master.clone().filter(|_| self.state == State::Running) {
                        turn.info(format!("Forwarding the status of operation {key} to {master}"));
                        let latest_status = Some(update.status.clone());
                        turn.send(
                            &master,
                            &UpdateOperationStatusMessage { latest_status, ..(*update).clone() },
                        );
                    }
                }
                OperationAction::Delivered { key, last, .. } => {
                    if last {
                        self.forget_operations(turn, &[key]);
                    }
                }
                OperationAction::SetTimer { key, at } => turn.set_timer(Timer::OperationRetry(key), at),
                OperationAction::CancelTimer { key } => turn.cancel_timer(Timer::OperationRetry(key)),
            }
        }
    }

    /// All has been said of these operations.
    fn forget_operations(&mut self, turn: &mut Turn<'_>, list: &[OperationUuid]) {
        for uuid in list {
            if let Some(known) = self.operations.known.shift_remove(uuid) {
                self.operations.is_over(*uuid, known.operation.latest_status.state());
            }
        }
        // First the operation, then its updates: of updates without an operation it is known that they are over.
        let record = self.resources_record();
        self.persist(turn, record, Ticket::Nothing);
        for uuid in list {
            let record = Record::OperationCompleted { uuid: uuid.as_bytes().to_vec() };
            self.persist(turn, record, Ticket::Nothing);
        }
        self.finish_drain_if_idle(turn);
    }

    pub(crate) fn operation_update_is_durable(
        &mut self,
        turn: &mut Turn<'_>,
        uuid: &OperationUuid,
        entry: u64,
    ) {
        let mut actions = Vec::new();
        self.operations.streams.persisted(turn.now, uuid, entry, &mut actions);
        self.perform_operations(turn, actions);
    }

    pub(crate) fn operation_timer(&mut self, turn: &mut Turn<'_>, uuid: &OperationUuid) {
        let mut actions = Vec::new();
        self.operations.streams.timer(turn.now, uuid, &mut actions);
        self.perform_operations(turn, actions);
    }

    pub(crate) fn acknowledge_operation_status(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: AcknowledgeOperationStatusMessage,
    ) {
        if !self.is_from_master(turn, from, "the acknowledgement of an operation status") {
            return;
        }
        let Some(uuid) = OperationUuid::from_proto(&message.operation_uuid) else {
            return turn
                .error("Ignoring an acknowledgement without an 'operation_uuid' of 16 bytes".to_string());
        };
        let mut actions = Vec::new();
        let status = &message.status_uuid.value;
        match self.operations.streams.acknowledge(turn.now, &uuid, status, &mut actions) {
            Ok(()) => self.perform_operations(turn, actions),
            // One that crosses the repetition of its update comes twice.
            Err(refused) => {
                turn.warning(format!("Ignoring the acknowledgement of operation {uuid}: {refused}"));
            }
        }
    }

    /// Asked by a framework (`framework_id`), each operation is answered. Asked by a master, those are that it counts
    /// on and that never came here.
    pub(crate) fn reconcile_operations(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: ReconcileOperationsMessage,
    ) {
        if !self.is_from_master(turn, from, "a reconciliation of operations") {
            return;
        }
        let framework = message.framework_id;
        for asked in message.operations {
            let uuid = asked.operation_uuid.as_ref().and_then(OperationUuid::from_proto);
            let known = self.find_operation(framework.as_ref(), uuid, &asked).map(Known::told);
            let update = match (known, framework.is_some()) {
                (Some(_), false) => continue,
                (Some(operation), true) => UpdateOperationStatusMessage {
                    operation_uuid: Some(operation.uuid),
                    ..self.answer(OperationStatus { uuid: None, ..operation.latest_status })
                },
                (None, by_framework) => {
                    // The master may ask on the strength of a message that came late: what was done is not denied.
                    let end = uuid.and_then(|uuid| self.operations.end_of(&uuid));
                    let state = match end {
                        _ if by_framework => OperationState::OperationUnknown,
                        Some(end) => end,
                        None => {
                            // It may come late, or a second time: what is said of it now has to stay so.
                            if let Some(uuid) = uuid {
                                self.operations.is_over(uuid, OperationState::OperationDropped);
                            }
                            OperationState::OperationDropped
                        }
                    };
                    UpdateOperationStatusMessage {
                        operation_uuid: asked.operation_uuid,
                        ..self.answer(OperationStatus {
                            operation_id: asked.operation_id,
                            resource_provider_id: asked.resource_provider_id,
                            ..self.operation_status(state)
                        })
                    }
                }
            };
            turn.send(from, &UpdateOperationStatusMessage { framework_id: framework.clone(), ..update });
        }
    }

    fn answer(&self, status: OperationStatus) -> UpdateOperationStatusMessage {
        UpdateOperationStatusMessage {
            framework_id: None,
            agent_id: Some((&self.own_id()).into()),
            status,
            latest_status: None,
            operation_uuid: None,
        }
    }

    fn find_operation(
        &self,
        framework: Option<&FrameworkId>,
        uuid: Option<OperationUuid>,
        asked: &reconcile_operations_message::Operation,
    ) -> Option<&Known> {
        match uuid {
            Some(uuid) => self.operations.known.get(&uuid),
            None => self.operations.known.values().find(|known| {
                let operation = &known.operation;
                operation.framework_id.as_ref() == framework
                    && operation.info.id.is_some()
                    && operation.info.id == asked.operation_id
            }),
        }
    }

    /// After each registration: what the master may not know of this agent.
    pub(crate) fn send_update(&mut self, turn: &mut Turn<'_>) {
        self.tell_what_there_is(turn);
        let mut actions = Vec::new();
        self.operations.streams.resume(turn.now, &mut actions);
        self.perform_operations(turn, actions);
    }

    pub(crate) fn tell_what_there_is(&mut self, turn: &mut Turn<'_>) {
        let Some(master) = self.master.clone() else { return };
        let operations = self.operations.known.values().map(Known::told).collect();
        let message = UpdateAgentMessage {
            agent_id: (&self.own_id()).into(),
            update_oversubscribed_resources: Some(self.oversubscribed.is_some()),
            oversubscribed_resources: self.oversubscribed_proto().unwrap_or_default(),
            operations: Some(update_agent_message::Operations { operations }),
            resource_version_uuid: Some(mesos::Uuid { value: self.resource_version.clone() }),
            // Empty is not absent: there are none.
            resource_providers: Some(update_agent_message::ResourceProviders::default()),
        };
        turn.send(&master, &message);
    }

    /// Takes over what an agent of before kept. `operations` and `updates` are those of the agent whose id this one
    /// keeps; resources stay with the host. False: they do not fit, and the agent ends.
    pub(crate) fn recover_operations(
        &mut self,
        turn: &mut Turn<'_>,
        resources: &[mesos::Resource],
        operations: Vec<Operation>,
        updates: Vec<RecoveredOperation>,
    ) -> bool {
        let own = Resources::from_proto(&self.info.resources).unwrap_or_default();
        let total = Resources::from_proto(resources)
            .map_err(|error| error.to_string())
            .and_then(|resources| apply_checkpointed(&own, &resources).map_err(|error| error.to_string()));
        match total {
            Ok(total) => self.operations.total = total,
            Err(error) => {
                let reason = format!(
                    "The reservations and volumes that were checkpointed do not fit the flag --resources: {error}; \
                     start with resources that have them, or remove them first"
                );
                turn.effect(Effect::Abort { reason });
                return false;
            }
        }
        let mut finished = Vec::new();
        for mut operation in operations {
            let Some(uuid) = OperationUuid::from_proto(&operation.uuid) else {
                turn.error("Passing over a checkpointed operation without a 'uuid' of 16 bytes".to_string());
                continue;
            };
            // An agent that got a new id has them on its disk until it writes there: nobody could acknowledge them.
            let own = self.own_id();
            if operation.agent_id.as_ref().is_some_and(|id| id.value != own.as_str()) {
                turn.info(format!("Operation {uuid} is of an agent whose id this one does not have"));
                continue;
            }
            // Apache Mesos's agent writes down what it is about to do.
            if !is_terminal_operation(operation.latest_status.state()) {
                match self.with_operation(&mut operation.info) {
                    Ok(total) => self.operations.total = total,
                    Err(error) => {
                        turn.error(format!("Operation {uuid} of before does not fit: {error}"));
                        continue;
                    }
                }
                let status = OperationStatus {
                    operation_id: operation.info.id.clone(),
                    uuid: Some(mesos::Uuid { value: self.random.uuid().to_vec() }),
                    ..self.operation_status(OperationState::OperationFinished)
                };
                operation.latest_status = status.clone();
                operation.statuses.push(status);
                finished.push(uuid);
            }
            self.operations.known.insert(uuid, Known { durable: !finished.contains(&uuid), operation });
        }
        let over = self.recover_operation_streams(turn, updates);
        if !over.is_empty() {
            self.forget_operations(turn, &over);
        }
        let unsaid: Vec<OperationUuid> = self
            .operations
            .known
            .iter()
            .filter(|(uuid, known)| known.durable && !self.operations.streams.contains(uuid))
            .map(|(uuid, _)| *uuid)
            .collect();
        unsaid.into_iter().for_each(|uuid| self.stream_operation(turn, uuid));
        if !finished.is_empty() {
            self.persist_resources(turn, finished);
        }
        true
    }

    /// Answers with the operations of which nothing is left to be said.
    fn recover_operation_streams(
        &mut self,
        turn: &mut Turn<'_>,
        updates: Vec<RecoveredOperation>,
    ) -> Vec<OperationUuid> {
        let mut over = Vec::new();
        for recovered in updates {
            let Some(uuid) = OperationUuid::from_bytes(&recovered.uuid) else { continue };
            if !self.operations.known.contains_key(&uuid) {
                over.push(uuid);
                continue;
            }
            if recovered.updates.is_empty() {
                continue;
            }
            let stream = self.operations.streams.recover(uuid, &recovered.updates);
            if stream.errors > 0 {
                turn.error(format!("{} updates of operation {uuid} do not fit its others", stream.errors));
            }
            if stream.over {
                over.push(uuid);
            }
        }
        over
    }
}
