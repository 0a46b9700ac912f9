//! libprocess messages by their names. Names nobody knows and bodies that do not decode are dropped with a line in
//! the log: the sender learns nothing, as with Apache Mesos.

use std::sync::Arc;

use messor_proto::mesos::internal as wire;
use messor_proto::mesos::scheduler;
use messor_proto::{DecodeError, Wire};
use messor_types::Pid;

use crate::master::Master;
use crate::tasks::trim;
use crate::turn::Turn;

/// A libprocess message that was read. Reading is half of the work that a large message makes, and needs nothing of
/// the master: so who takes it from the network does it.
#[derive(Clone, Debug)]
pub enum Message {
    Known(Known),
    /// Its body is not what its name says.
    Broken {
        name: String,
        error: DecodeError,
    },
    Unknown {
        name: String,
    },
}

macro_rules! known {
    ($($variant:ident($message:ty),)*) => {
        #[derive(Clone, Debug)]
        pub enum Known {
            $($variant(Box<$message>),)*
            /// How the oldest agents answer a ping.
            OldPong,
        }

        impl Message {
            /// `name` is the full name of the message in protobuf, `body` its bytes.
            pub fn read(name: &str, body: &[u8]) -> Message {
                let known = match name {
                    $(_ if name == <$message as Wire>::NAME => {
                        <$message as Wire>::decode_checked(body).map(|message| Known::$variant(Box::new(message)))
                    })*
                    "PONG" => Ok(Known::OldPong),
                    _ => return Message::Unknown { name: name.to_string() },
                };
                match known {
                    Ok(mut known) => {
                        // Here the room it had is used again by the next that is read, and not by each that waits.
                        if let Known::ReregisterAgent(message) = &mut known {
                            let completed = message.completed_frameworks.iter_mut();
                            let completed = completed.flat_map(|framework| &mut framework.tasks);
                            message.tasks.iter_mut().chain(completed).for_each(trim);
                        }
                        Message::Known(known)
                    }
                    Err(error) => Message::Broken { name: name.to_string(), error },
                }
            }
        }
    };
}

// The frequent ones first: names are compared in this order.
known! {
    StatusUpdate(wire::StatusUpdateMessage),
    Acknowledgement(wire::StatusUpdateAcknowledgementMessage),
    Call(scheduler::Call),
    Pong(wire::PongAgentMessage),
    ExitedExecutor(wire::ExitedExecutorMessage),
    ExecutorToFramework(wire::ExecutorToFrameworkMessage),
    RegisterAgent(wire::RegisterAgentMessage),
    ReregisterAgent(wire::ReregisterAgentMessage),
    UpdateAgent(wire::UpdateAgentMessage),
    UnregisterAgent(wire::UnregisterAgentMessage),
    UpdateOperationStatus(wire::UpdateOperationStatusMessage),
    LaunchTasks(wire::LaunchTasksMessage),
    KillTask(wire::KillTaskMessage),
    ReviveOffers(wire::ReviveOffersMessage),
    ReconcileTasks(wire::ReconcileTasksMessage),
    FrameworkToExecutor(wire::FrameworkToExecutorMessage),
    ResourceRequest(wire::ResourceRequestMessage),
    RegisterFramework(wire::RegisterFrameworkMessage),
    ReregisterFramework(wire::ReregisterFrameworkMessage),
    UnregisterFramework(wire::UnregisterFrameworkMessage),
    DeactivateFramework(wire::DeactivateFrameworkMessage),
    Authenticate(wire::AuthenticateMessage),
    SubmitScheduler(wire::SubmitSchedulerRequest),
}

impl Master {
    pub(crate) fn message(&mut self, turn: &mut Turn<'_>, from: Pid, message: Message) {
        let framework = self.frameworks.by_pid.get(&from).and_then(|id| self.frameworks.get(id));
        // What is being handled may end the framework.
        let record = framework.map(|framework| Arc::clone(&framework.record));
        let principal = record.as_ref().and_then(|record| record.principal.as_deref());
        if let Some(principal) = principal {
            self.counters.received_of(principal);
        }
        match message {
            Message::Known(known) => self.dispatch(turn, from, known),
            Message::Broken { name, error } => {
                turn.warning(format!("dropping {name} of {from}: {error}"));
            }
            Message::Unknown { name } => {
                turn.warning(format!("dropping {name} of {from}: this message is not known"));
            }
        }
        if let Some(principal) = principal {
            self.counters.processed_of(principal);
        }
    }

    fn dispatch(&mut self, turn: &mut Turn<'_>, from: Pid, message: Known) {
        match message {
            Known::StatusUpdate(message) => self.status_update(turn, *message),
            Known::Acknowledgement(message) => self.driver_acknowledge(turn, &from, *message),
            Known::Call(call) => self.driver_call(turn, &from, *call),
            Known::Pong(_) | Known::OldPong => self.pong(&from),
            Known::ExitedExecutor(message) => self.executor_exited(turn, &message),
            Known::ExecutorToFramework(message) => self.executor_message(turn, *message),
            Known::RegisterAgent(message) => self.register_agent(turn, &from, *message),
            Known::ReregisterAgent(message) => self.reregister_agent(turn, &from, *message),
            Known::UpdateAgent(message) => self.update_agent(turn, *message),
            Known::UnregisterAgent(message) => self.unregister_agent(turn, &from, &message),
            Known::UpdateOperationStatus(message) => self.operation_status(turn, &from, *message),
            Known::LaunchTasks(message) => self.driver_launch(turn, &from, *message),
            Known::KillTask(message) => self.driver_kill(turn, &from, *message),
            Known::ReviveOffers(message) => self.driver_revive(turn, &from, *message),
            Known::ReconcileTasks(message) => self.driver_reconcile(turn, &from, *message),
            Known::FrameworkToExecutor(message) => self.driver_message(turn, &from, *message),
            Known::ResourceRequest(message) => self.driver_request(turn, &from, &message),
            Known::RegisterFramework(message) => self.register_framework(turn, &from, *message),
            Known::ReregisterFramework(message) => self.reregister_framework(turn, &from, *message),
            Known::UnregisterFramework(message) => self.unregister_framework(turn, &from, &message),
            Known::DeactivateFramework(message) => self.deactivate_framework(turn, &from, &message),
            Known::Authenticate(_) => self.authenticate(turn, &from),
            // There since the first days of Mesos, and never more than this answer.
            Known::SubmitScheduler(_) => {
                turn.send(&from, &wire::SubmitSchedulerResponse { okay: false });
            }
        }
    }

    fn authenticate(&mut self, turn: &mut Turn<'_>, from: &Pid) {
        self.counters.messages_authenticate.increment();
        let error = Some("authentication is not supported yet: start without credentials".to_string());
        turn.send(from, &wire::AuthenticationErrorMessage { error });
    }
}
