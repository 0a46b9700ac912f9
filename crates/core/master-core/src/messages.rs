//! libprocess messages by their names. Names nobody knows and bodies that do not decode are dropped with a line in
//! the log: the sender learns nothing, as with Apache Mesos.

use std::sync::Arc;

use messor_proto::Wire;
use messor_proto::mesos::internal as wire;
use messor_proto::mesos::scheduler;
use messor_types::Pid;

use crate::master::Master;
use crate::turn::Turn;

impl Master {
    pub(crate) fn message(&mut self, turn: &mut Turn<'_>, from: Pid, name: &str, body: &[u8]) {
        let framework = self.frameworks.by_pid.get(&from).and_then(|id| self.frameworks.get(id));
        // What is being handled may end the framework.
        let record = framework.map(|framework| Arc::clone(&framework.record));
        let principal = record.as_ref().and_then(|record| record.principal.as_deref());
        if let Some(principal) = principal {
            self.counters.received_of(principal);
        }
        self.dispatch(turn, from, name, body);
        if let Some(principal) = principal {
            self.counters.processed_of(principal);
        }
    }

    fn dispatch(&mut self, turn: &mut Turn<'_>, from: Pid, name: &str, body: &[u8]) {
        macro_rules! dispatch {
            ($($message:ty => $handler:expr,)*) => {
                match name {
                    $(_ if name == <$message as Wire>::NAME => match <$message as Wire>::decode_checked(body) {
                        Ok(message) => hand_over::<$message>(message, $handler),
                        Err(error) => turn.warning(format!("dropping {name} of {from}: {error}")),
                    },)*
                    // How the oldest agents answer a ping.
                    "PONG" => self.pong(&from),
                    _ => turn.warning(format!("dropping {name} of {from}: this message is not known")),
                }
            };
        }
        // The frequent ones first: names are compared in this order.
        dispatch! {
            wire::StatusUpdateMessage => |message| self.status_update(turn, message),
            wire::StatusUpdateAcknowledgementMessage => |message| self.driver_acknowledge(turn, &from, message),
            scheduler::Call => |call| self.driver_call(turn, &from, call),
            wire::PongAgentMessage => |_| self.pong(&from),
            wire::ExitedExecutorMessage => |message| self.executor_exited(turn, &message),
            wire::ExecutorToFrameworkMessage => |message| self.executor_message(turn, message),
            wire::RegisterAgentMessage => |message| self.register_agent(turn, &from, message),
            wire::ReregisterAgentMessage => |message| self.reregister_agent(turn, &from, message),
            wire::UpdateAgentMessage => |message| self.update_agent(turn, message),
            wire::UnregisterAgentMessage => |message| self.unregister_agent(turn, &from, &message),
            wire::UpdateOperationStatusMessage => |message| self.operation_status(turn, &from, message),
            wire::LaunchTasksMessage => |message| self.driver_launch(turn, &from, message),
            wire::KillTaskMessage => |message| self.driver_kill(turn, &from, message),
            wire::ReviveOffersMessage => |message| self.driver_revive(turn, &from, message),
            wire::ReconcileTasksMessage => |message| self.driver_reconcile(turn, &from, message),
            wire::FrameworkToExecutorMessage => |message| self.driver_message(turn, &from, message),
            wire::ResourceRequestMessage => |message| self.driver_request(turn, &from, &message),
            wire::RegisterFrameworkMessage => |message| self.register_framework(turn, &from, message),
            wire::ReregisterFrameworkMessage => |message| self.reregister_framework(turn, &from, message),
            wire::UnregisterFrameworkMessage => |message| self.unregister_framework(turn, &from, &message),
            wire::DeactivateFrameworkMessage => |message| self.deactivate_framework(turn, &from, &message),
            wire::AuthenticateMessage => |_| self.authenticate(turn, &from),
            wire::SubmitSchedulerRequest => |_| {
                // There since the first days of Mesos, and never more than this answer.
                turn.send(&from, &wire::SubmitSchedulerResponse { okay: false });
            },
        }
    }

    fn authenticate(&mut self, turn: &mut Turn<'_>, from: &Pid) {
        self.counters.messages_authenticate.increment();
        let error = Some("authentication is not supported yet: start without credentials".to_string());
        turn.send(from, &wire::AuthenticationErrorMessage { error });
    }
}

/// Lets the compiler know what a handler takes.
fn hand_over<M>(message: M, handler: impl FnOnce(M)) {
    handler(message);
}
