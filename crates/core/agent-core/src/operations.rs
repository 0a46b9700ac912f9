//! Orders about resources and draining that this agent does not carry out yet. It says so, and never claims that
//! something was done.

use messor_proto::mesos::internal::{
    AcknowledgeOperationStatusMessage, ApplyOperationMessage, CheckpointResourcesMessage, DrainAgentMessage,
    ReconcileOperationsMessage, UpdateOperationStatusMessage,
};
use messor_proto::mesos::{self, OperationState, OperationStatus};
use messor_types::Pid;

use crate::agent::Agent;
use crate::turn::Turn;

impl Agent {
    /// A master tells this agent what reservations and volumes it has: nothing on each re-registration, and something
    /// once a framework reserved. Tasks that use such resources are refused as unknown, so nothing is lost silently.
    pub(crate) fn checkpoint_resources(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: CheckpointResourcesMessage,
    ) {
        if self.is_from_master(turn, from, "checkpointed resources") && !message.resources.is_empty() {
            turn.error(format!(
                "not supported yet: dynamic reservations and persistent volumes; {} checkpointed resources are refused",
                message.resources.len()
            ));
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
        let text = format!(
            "not supported yet: operations on the agent's resources ({})",
            message.operation_info.r#type().as_str_name()
        );
        turn.error(text.clone());
        let status = OperationStatus {
            operation_id: message.operation_info.id.clone(),
            message: Some(text),
            ..self.operation_status(OperationState::OperationError)
        };
        let update = UpdateOperationStatusMessage {
            framework_id: message.framework_id,
            ..self.operation_update(message.operation_uuid, status)
        };
        turn.send(from, &update);
    }

    /// No operation is known here: each one asked for never arrived.
    pub(crate) fn reconcile_operations(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        message: ReconcileOperationsMessage,
    ) {
        if !self.is_from_master(turn, from, "a reconciliation of operations") {
            return;
        }
        let state = match message.framework_id {
            Some(_) => OperationState::OperationUnknown,
            None => OperationState::OperationDropped,
        };
        for operation in message.operations {
            let Some(uuid) = operation.operation_uuid else {
                continue;
            };
            let status = OperationStatus {
                operation_id: operation.operation_id,
                resource_provider_id: operation.resource_provider_id,
                ..self.operation_status(state)
            };
            let update = UpdateOperationStatusMessage {
                framework_id: message.framework_id.clone(),
                ..self.operation_update(uuid, status)
            };
            turn.send(from, &update);
        }
    }

    /// No status of an operation is ever sent that asks for an acknowledgement.
    pub(crate) fn acknowledge_operation_status(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        _message: AcknowledgeOperationStatusMessage,
    ) {
        turn.warning(format!(
            "Ignoring the acknowledgement of an operation status from {from}: none waits for one"
        ));
    }

    pub(crate) fn drain(&mut self, turn: &mut Turn<'_>, from: &Pid, _message: DrainAgentMessage) {
        if self.is_from_master(turn, from, "an order to drain") {
            turn.error("not supported yet: draining an agent; its tasks go on".to_string());
        }
    }

    fn operation_status(&self, state: OperationState) -> OperationStatus {
        OperationStatus {
            state: state.into(),
            agent_id: Some((&self.own_id()).into()),
            ..OperationStatus::default()
        }
    }

    fn operation_update(&self, uuid: mesos::Uuid, status: OperationStatus) -> UpdateOperationStatusMessage {
        UpdateOperationStatusMessage {
            framework_id: None,
            agent_id: Some((&self.own_id()).into()),
            status,
            latest_status: None,
            operation_uuid: Some(uuid),
        }
    }
}
