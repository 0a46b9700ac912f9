//! What agents say of operations, what frameworks hear of it, and what both do not know of each other.

use std::collections::BTreeSet;

use messor_proto::mesos::internal as wire;
use messor_proto::mesos::scheduler::call::{self, reconcile_operations};
use messor_proto::mesos::{self, Operation, OperationState, OperationStatus};
use messor_types::{AgentId, FrameworkId, OperationId, OperationUuid, Pid, is_terminal_operation};

use crate::master::Master;
use crate::notice::Notice;
use crate::turn::Turn;

impl Master {
    pub(crate) fn operation_status(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: wire::UpdateOperationStatusMessage,
    ) {
        self.counters.messages_operation_status_update.increment();
        let asked_by = message.framework_id.as_ref().map(FrameworkId::from);
        let Some(uuid) = &message.operation_uuid else {
            // The answer to a framework's question that this master passed on.
            if let Some(framework) = asked_by {
                self.tell_operation(turn, &framework, message.status);
            }
            return;
        };
        let agent_id = message.agent_id.as_ref().map(AgentId::from);
        let agent_id = agent_id.filter(|id| self.agents.get(id).is_some());
        let (Some(agent_id), Some(uuid)) = (agent_id, OperationUuid::from_proto(uuid)) else {
            self.counters.invalid_operation_status_updates.increment();
            return turn.warning(format!(
                "ignoring the status of an operation from {from}: its agent is not registered"
            ));
        };
        let status_uuid = message.status.uuid.as_ref().map(|uuid| uuid.value.as_slice());
        if status_uuid.is_some() && self.operations.ended(&uuid) == status_uuid {
            // It was acknowledged, and that did not reach the agent yet.
            return self.acknowledge_again(turn, &agent_id, uuid);
        }
        let Some(entry) = self.operations.get(&uuid).filter(|entry| entry.agent == agent_id) else {
            // It is over here: the agent repeats itself, or answers a framework.
            if let Some(framework) = asked_by {
                self.counters.invalid_operation_status_updates.increment();
                self.tell_operation(turn, &framework, message.status);
            }
            return;
        };
        self.counters.valid_operation_status_updates.increment();
        let wire::UpdateOperationStatusMessage { mut status, latest_status, .. } = message;
        // An agent that never saw the operation does not know its id.
        status.operation_id = entry.operation.info.id.clone().or(status.operation_id);
        let latest = latest_status.unwrap_or_else(|| status.clone());
        let has_id = entry.operation.info.id.is_some();
        let framework = entry.framework.clone();
        self.operations.update(&uuid, &latest);
        turn.info(format!("operation {uuid} on agent {agent_id} is {}", latest.state().as_str_name()));

        let listener = framework.filter(|id| has_id && !self.frameworks.completed.contains_key(id));
        if let Some(framework) = listener {
            self.tell_operation(turn, &framework, status);
            // Nobody acknowledges what was not sent to be acknowledged.
            if is_terminal_operation(latest.state()) && latest.uuid.is_none() {
                self.operations.remove(&uuid);
                self.check_drained(turn, &agent_id);
            }
            return;
        }
        // Nobody else would acknowledge it.
        let status_uuid = latest.uuid.clone();
        if let (Some(status_uuid), Some(agent)) = (status_uuid.clone(), self.agents.get(&agent_id)) {
            turn.send(&agent.pid, &acknowledgement(uuid, status_uuid));
        }
        if is_terminal_operation(latest.state()) {
            match status_uuid {
                Some(status) => self.operations.end(&uuid, &status.value),
                None => drop(self.operations.remove(&uuid)),
            }
            self.check_drained(turn, &agent_id);
        }
    }

    fn acknowledge_again(&self, turn: &mut Turn<'_>, agent: &AgentId, uuid: OperationUuid) {
        if let (Some(agent), Some(status)) = (self.agents.get(agent), self.operations.ended(&uuid)) {
            turn.send(&agent.pid, &acknowledgement(uuid, mesos::Uuid { value: status.to_vec() }));
        }
    }

    /// Who is not connected hears it when the agent repeats it.
    fn tell_operation(&self, turn: &mut Turn<'_>, framework: &FrameworkId, status: OperationStatus) {
        // It asked for no feedback, and would not know what this is of.
        if status.operation_id.is_none() {
            return;
        }
        match self.frameworks.get(framework).filter(|framework| framework.connected()) {
            Some(framework) => framework.tell(turn, Notice::OperationStatus(status)),
            None => turn.warning(format!("framework {framework} is not there to hear of an operation")),
        }
    }

    pub(crate) fn acknowledge_operation(
        &mut self,
        turn: &mut Turn<'_>,
        id: &FrameworkId,
        acknowledge: call::AcknowledgeOperationStatus,
    ) {
        self.counters.messages_operation_status_update_acknowledgement.increment();
        match self.check_acknowledgement(id, &acknowledge) {
            Ok((uuid, terminal, pid)) => {
                let agent = self.operations.get(&uuid).map(|entry| entry.agent.clone());
                if terminal {
                    self.operations.end(&uuid, &acknowledge.uuid);
                }
                let message = wire::AcknowledgeOperationStatusMessage {
                    status_uuid: mesos::Uuid { value: acknowledge.uuid },
                    operation_uuid: uuid.into(),
                    resource_provider_id: acknowledge.resource_provider_id,
                };
                turn.send(&pid, &message);
                self.counters.valid_operation_status_update_acknowledgements.increment();
                self.check_all_drained(turn, &agent);
            }
            Err(reason) => {
                self.counters.invalid_operation_status_update_acknowledgements.increment();
                let operation = &acknowledge.operation_id.value;
                turn.warning(format!(
                    "dropping the acknowledgement of operation '{operation}' of framework {id}: {reason}"
                ));
            }
        }
    }

    /// The operation, whether it ends with this, and where its agent is.
    fn check_acknowledgement(
        &self,
        id: &FrameworkId,
        acknowledge: &call::AcknowledgeOperationStatus,
    ) -> Result<(OperationUuid, bool, Pid), String> {
        let agent_id = acknowledge.agent_id.as_ref().map(AgentId::from).ok_or("'agent_id' is missing")?;
        let agent = self.agents.get(&agent_id).filter(|agent| agent.connected);
        let agent = agent.ok_or_else(|| format!("agent {agent_id} is not connected"))?;
        let can = match acknowledge.resource_provider_id {
            Some(_) => agent.capabilities.resource_provider,
            None => agent.capabilities.agent_operation_feedback,
        };
        if !can {
            return Err(format!("agent {agent_id} has no operation feedback"));
        }
        let uuid = self.operations.find(id, &OperationId::from(&acknowledge.operation_id));
        let found = uuid.and_then(|uuid| Some((uuid, self.operations.get(&uuid)?)));
        let (uuid, entry) =
            found.filter(|(_, entry)| entry.agent == agent_id).ok_or("the operation is not known")?;
        let of_status = |status: &&OperationStatus| {
            status.uuid.as_ref().is_some_and(|uuid| uuid.value == acknowledge.uuid)
        };
        let status = entry.operation.statuses.iter().find(of_status);
        let status = status.ok_or("the operation has no status of that uuid")?;
        Ok((uuid, is_terminal_operation(status.state()), agent.pid.clone()))
    }

    /// RECONCILE_OPERATIONS: of all operations, or of those that are named.
    pub(crate) fn reconcile_operations(
        &mut self,
        turn: &mut Turn<'_>,
        id: &FrameworkId,
        asked: Vec<reconcile_operations::Operation>,
    ) {
        self.counters.messages_reconcile_operations.increment();
        if asked.is_empty() {
            for entry in self.operations.iter().filter(|entry| entry.framework.as_ref() == Some(id)) {
                self.tell(turn, id, Notice::OperationStatus(entry.status_told()));
            }
        }
        for operation in asked {
            let known = self.operations.find(id, &OperationId::from(&operation.operation_id));
            let status = match known.and_then(|uuid| self.operations.get(&uuid)) {
                Some(entry) => entry.status_told(),
                None => self.status_of_unknown(operation),
            };
            self.tell(turn, id, Notice::OperationStatus(status));
        }
    }

    fn status_of_unknown(&self, operation: reconcile_operations::Operation) -> OperationStatus {
        let agent = operation.agent_id.as_ref().map(AgentId::from);
        let (state, text) = match &agent {
            Some(agent) if self.agents.recovered.contains_key(agent) => {
                (OperationState::OperationRecovering, "agent has not reregistered yet")
            }
            // It is there, and did not tell yet which operations it has.
            Some(agent) if self.agents.get(agent).is_some_and(|agent| !agent.operations_known) => {
                (OperationState::OperationRecovering, "agent has not told its operations yet")
            }
            Some(agent) if self.agents.get(agent).is_some() => {
                (OperationState::OperationUnknown, "operation is unknown")
            }
            Some(agent) if self.agents.unreachable.contains_key(agent) => {
                (OperationState::OperationUnreachable, "agent is unreachable")
            }
            Some(agent) if self.agents.gone.contains_key(agent) => {
                (OperationState::OperationGoneByOperator, "agent was marked gone")
            }
            Some(_) => (OperationState::OperationUnknown, "operation and agent are unknown"),
            None => (OperationState::OperationUnknown, "operation is unknown and 'agent_id' was not given"),
        };
        OperationStatus {
            operation_id: Some(operation.operation_id),
            state: state as i32,
            message: Some(format!("reconciliation: {text}")),
            agent_id: operation.agent_id,
            resource_provider_id: operation.resource_provider_id,
            ..Default::default()
        }
    }

    /// An agent tells of its operations: it is asked about those that it does not name, which never reached it, and
    /// those that only it knows are known here from now on.
    pub(crate) fn compare_operations(&mut self, turn: &mut Turn<'_>, id: &AgentId, told: Vec<Operation>) {
        let there: BTreeSet<OperationUuid> =
            told.iter().filter_map(|operation| OperationUuid::from_proto(&operation.uuid)).collect();
        let missing = self.operations.on(id).into_iter().filter(|uuid| !there.contains(uuid));
        let operations: Vec<wire::reconcile_operations_message::Operation> = missing
            .map(|uuid| wire::reconcile_operations_message::Operation {
                operation_uuid: Some(uuid.into()),
                ..Default::default()
            })
            .collect();
        if let Some(agent) = self.agents.get(id).filter(|_| !operations.is_empty()) {
            turn.warning(format!("agent {id} does not know {} operations: asking", operations.len()));
            turn.send(&agent.pid, &wire::ReconcileOperationsMessage { operations, framework_id: None });
        }
        for operation in told {
            let Some(uuid) = OperationUuid::from_proto(&operation.uuid) else { continue };
            if self.operations.ended(&uuid).is_some() {
                // The acknowledgement is lost, or this message is late.
                self.acknowledge_again(turn, id, uuid);
            } else if self.operations.get(&uuid).is_none() {
                turn.info(format!("agent {id} has operation {uuid}, which was not known"));
                self.operations.add(id, uuid, operation);
            }
        }
    }

    /// The agent is out of reach, for a while or for good: nothing can be said to it. Frameworks that wait for an end of
    /// their operations hear that.
    pub(crate) fn forget_operations_of(
        &mut self,
        turn: &mut Turn<'_>,
        id: &AgentId,
        told: Option<(OperationState, &str)>,
    ) {
        for uuid in self.operations.on(id) {
            let Some((state, text)) = told else {
                self.operations.remove(&uuid);
                continue;
            };
            let mut status = OperationStatus {
                state: state as i32,
                message: Some(text.to_string()),
                agent_id: Some(id.into()),
                ..Default::default()
            };
            self.operations.update(&uuid, &status);
            let Some(entry) = self.operations.remove(&uuid) else { continue };
            if let (Some(framework), Some(operation_id)) = (&entry.framework, &entry.operation.info.id) {
                status.operation_id = Some(operation_id.clone());
                self.tell(turn, framework, Notice::OperationStatus(status));
            }
        }
    }
}

fn acknowledgement(uuid: OperationUuid, status_uuid: mesos::Uuid) -> wire::AcknowledgeOperationStatusMessage {
    wire::AcknowledgeOperationStatusMessage {
        status_uuid,
        operation_uuid: uuid.into(),
        resource_provider_id: None,
    }
}
