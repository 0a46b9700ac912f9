//! libprocess messages: which there are, and who takes each. A message that cannot be read is logged and dropped.

use messor_proto::Wire;
use messor_proto::mesos::internal::{
    AcknowledgeOperationStatusMessage, AgentRegisteredMessage, AgentReregisteredMessage,
    ApplyOperationMessage, CheckpointResourcesMessage, DrainAgentMessage, ExecutorToFrameworkMessage,
    FrameworkToExecutorMessage, KillTaskMessage, PingAgentMessage, ReconcileOperationsMessage,
    RegisterExecutorMessage, ReregisterExecutorMessage, RunTaskGroupMessage, RunTaskMessage,
    ShutdownExecutorMessage, ShutdownFrameworkMessage, ShutdownMessage, StatusUpdateAcknowledgementMessage,
    StatusUpdateMessage, UpdateFrameworkMessage,
};
use messor_types::Pid;

use crate::agent::Agent;
use crate::turn::Turn;

/// What waits while reservations and volumes are on their way to disk.
const AFTER_RESOURCES: [&str; 6] = [
    RunTaskMessage::NAME,
    RunTaskGroupMessage::NAME,
    KillTaskMessage::NAME,
    DrainAgentMessage::NAME,
    ShutdownFrameworkMessage::NAME,
    ShutdownExecutorMessage::NAME,
];

macro_rules! dispatch {
    ($agent:ident, $turn:ident, $from:ident, $name:ident, $body:ident, { $($message:ident => $method:ident,)* }) => {
        match $name {
            $($message::NAME => match $message::decode_checked($body) {
                Ok(message) => $agent.$method($turn, $from, message),
                Err(error) => $turn.warning(format!("Dropping a {} from {} that cannot be read: {error}", $name, $from)),
            },)*
            _ => $turn.warning(format!("Dropping a message of unknown name '{}' from {}", $name.escape_debug(), $from)),
        }
    };
}

impl Agent {
    pub(crate) fn message(&mut self, turn: &mut Turn<'_>, from: &Pid, name: &str, body: &[u8]) {
        // Tasks and their ends keep their order, and come after the resources that they use.
        if AFTER_RESOURCES.contains(&name) && self.operations.hold(from, name, body) {
            return;
        }
        dispatch!(self, turn, from, name, body, {
            AgentRegisteredMessage => registered,
            AgentReregisteredMessage => reregistered,
            PingAgentMessage => ping,
            RunTaskMessage => run_task,
            RunTaskGroupMessage => run_task_group,
            KillTaskMessage => kill_task,
            StatusUpdateAcknowledgementMessage => acknowledgement,
            FrameworkToExecutorMessage => framework_to_executor,
            UpdateFrameworkMessage => update_framework,
            ShutdownFrameworkMessage => shutdown_framework_message,
            ShutdownExecutorMessage => shutdown_executor_message,
            ShutdownMessage => shutdown_message,
            CheckpointResourcesMessage => checkpoint_resources,
            ApplyOperationMessage => apply_operation,
            ReconcileOperationsMessage => reconcile_operations,
            AcknowledgeOperationStatusMessage => acknowledge_operation_status,
            DrainAgentMessage => drain_message,
            RegisterExecutorMessage => register_executor,
            ReregisterExecutorMessage => reregister_executor,
            StatusUpdateMessage => status_update_message,
            ExecutorToFrameworkMessage => executor_to_framework,
        });
    }

    /// Whether a message that only masters send comes from the leading one.
    pub(crate) fn is_from_master(&self, turn: &mut Turn<'_>, from: &Pid, what: &str) -> bool {
        let leading = self.is_master(from);
        if !leading {
            turn.warning(format!("Ignoring {what} from {from}, which is not the leading master"));
        }
        leading
    }
}
