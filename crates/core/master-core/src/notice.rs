//! What the master tells a framework, and the two ways of saying it: events on the stream of an HTTP scheduler, and
//! one libprocess message each for a v0 driver. Which way is taken is decided by how the framework is connected.

use std::sync::Arc;

use messor_proto::mesos::internal as wire;
use messor_proto::mesos::scheduler::{Event, event};
use messor_proto::mesos::{self, InverseOffer, MasterInfo, Offer, OperationStatus};
use messor_types::{AgentId, ExecutorId, FrameworkId, OfferId, Pid};

use crate::effect::Effect;
use crate::event::StreamId;
use crate::turn::Turn;

/// How libprocess writes the PID of nobody.
pub(crate) const NO_PID: &str = "@0.0.0.0:0";

/// The time between two HEARTBEAT events.
pub(crate) const HEARTBEAT_INTERVAL: std::time::Duration = std::time::Duration::from_secs(15);

/// Schedulers look for these very words to know that they must not come back with their id (Marathon, Chronos…).
pub(crate) const FRAMEWORK_REMOVED: &str = "Framework has been removed";
pub(crate) const FRAMEWORK_FAILED_OVER: &str = "Framework failed over";

pub(crate) enum Notice {
    /// The answer to SUBSCRIBE; drivers hear a difference when they were known before.
    Subscribed {
        master: Arc<MasterInfo>,
        reregistered: bool,
    },
    Heartbeat,
    /// Offers, and the PID of the agent of each.
    Offers {
        offers: Vec<Offer>,
        pids: Vec<String>,
    },
    Rescind(OfferId),
    InverseOffers {
        offers: Vec<InverseOffer>,
        pids: Vec<String>,
    },
    RescindInverse(OfferId),
    /// `acknowledgee`: the agent that waits for an acknowledgement; none for updates of the master.
    Update {
        update: wire::StatusUpdate,
        acknowledgee: Option<Pid>,
    },
    AgentLost(AgentId),
    ExecutorExited {
        agent: AgentId,
        executor: ExecutorId,
        status: i32,
    },
    Message {
        agent: mesos::AgentId,
        executor: mesos::ExecutorId,
        data: Vec<u8>,
    },
    Error(String),
    /// Drivers are never told of operations.
    OperationStatus(OperationStatus),
}

impl Notice {
    /// The event that it is, which is what drivers' messages count as too.
    pub fn kind(&self) -> event::Type {
        use event::Type;
        match self {
            Notice::Subscribed { .. } => Type::Subscribed,
            Notice::Heartbeat => Type::Heartbeat,
            Notice::Offers { .. } => Type::Offers,
            Notice::Rescind(_) => Type::Rescind,
            Notice::InverseOffers { .. } => Type::InverseOffers,
            Notice::RescindInverse(_) => Type::RescindInverseOffer,
            Notice::Update { .. } => Type::Update,
            Notice::AgentLost(_) | Notice::ExecutorExited { .. } => Type::Failure,
            Notice::Message { .. } => Type::Message,
            Notice::Error(_) => Type::Error,
            Notice::OperationStatus(_) => Type::UpdateOperationStatus,
        }
    }
}

pub(crate) fn to_stream(turn: &mut Turn<'_>, stream: StreamId, framework: &FrameworkId, notice: Notice) {
    let event = Arc::new(to_event(framework, notice));
    turn.push(Effect::Stream { stream, event });
}

fn to_event(framework: &FrameworkId, notice: Notice) -> Event {
    use event::Type;
    let typed = |kind: Type| Event { r#type: Some(kind as i32), ..Default::default() };
    match notice {
        Notice::Subscribed { master, .. } => {
            let subscribed = event::Subscribed {
                framework_id: framework.into(),
                heartbeat_interval_seconds: Some(HEARTBEAT_INTERVAL.as_secs_f64()),
                master_info: Some((*master).clone()),
            };
            Event { subscribed: Some(subscribed), ..typed(Type::Subscribed) }
        }
        Notice::Heartbeat => typed(Type::Heartbeat),
        Notice::Offers { offers, .. } => {
            Event { offers: Some(event::Offers { offers }), ..typed(Type::Offers) }
        }
        Notice::Rescind(offer) => {
            Event { rescind: Some(event::Rescind { offer_id: offer.into() }), ..typed(Type::Rescind) }
        }
        Notice::InverseOffers { offers, .. } => {
            let inverse_offers = Some(event::InverseOffers { inverse_offers: offers });
            Event { inverse_offers, ..typed(Type::InverseOffers) }
        }
        Notice::RescindInverse(offer) => {
            let rescind = event::RescindInverseOffer { inverse_offer_id: offer.into() };
            Event { rescind_inverse_offer: Some(rescind), ..typed(Type::RescindInverseOffer) }
        }
        Notice::Update { update, acknowledgee } => {
            let status = status_for_scheduler(update, acknowledgee.is_some());
            Event { update: Some(event::Update { status }), ..typed(Type::Update) }
        }
        Notice::AgentLost(agent) => {
            let failure = event::Failure { agent_id: Some(agent.into()), ..Default::default() };
            Event { failure: Some(failure), ..typed(Type::Failure) }
        }
        Notice::ExecutorExited { agent, executor, status } => {
            let failure = event::Failure {
                agent_id: Some(agent.into()),
                executor_id: Some(executor.into()),
                status: Some(status),
            };
            Event { failure: Some(failure), ..typed(Type::Failure) }
        }
        Notice::Message { agent, executor, data } => {
            let message = event::Message { agent_id: agent, executor_id: executor, data };
            Event { message: Some(message), ..typed(Type::Message) }
        }
        Notice::Error(message) => Event { error: Some(event::Error { message }), ..typed(Type::Error) },
        Notice::OperationStatus(status) => Event {
            update_operation_status: Some(event::UpdateOperationStatus { status }),
            ..typed(Type::UpdateOperationStatus)
        },
    }
}

/// The status of an update with what the update says beside it. A uuid is there when somebody waits for an
/// acknowledgement, and only then (U100).
fn status_for_scheduler(update: wire::StatusUpdate, acknowledged: bool) -> mesos::TaskStatus {
    let mut status = update.status;
    status.agent_id = update.agent_id.or(status.agent_id);
    status.executor_id = update.executor_id.or(status.executor_id);
    status.timestamp = Some(update.timestamp);
    status.uuid = update.uuid.filter(|uuid| acknowledged && !uuid.is_empty());
    status
}

pub(crate) fn to_driver(turn: &mut Turn<'_>, pid: &Pid, framework: &FrameworkId, notice: Notice) {
    let framework_id: mesos::FrameworkId = framework.into();
    match notice {
        Notice::Subscribed { master, reregistered: false } => {
            let master_info = (*master).clone();
            turn.send(pid, &wire::FrameworkRegisteredMessage { framework_id, master_info });
        }
        Notice::Subscribed { master, reregistered: true } => {
            let master_info = (*master).clone();
            turn.send(pid, &wire::FrameworkReregisteredMessage { framework_id, master_info });
        }
        Notice::Offers { offers, pids } => turn.send(pid, &wire::ResourceOffersMessage { offers, pids }),
        Notice::Rescind(offer) => {
            turn.send(pid, &wire::RescindResourceOfferMessage { offer_id: offer.into() });
        }
        // Drivers have no callbacks for these two, and are sent them all the same.
        Notice::InverseOffers { offers, pids } => {
            turn.send(pid, &wire::InverseOffersMessage { inverse_offers: offers, pids });
        }
        Notice::RescindInverse(offer) => {
            turn.send(pid, &wire::RescindInverseOfferMessage { inverse_offer_id: offer.into() });
        }
        Notice::Update { update, acknowledgee } => {
            let acknowledgee = acknowledgee.map_or_else(|| NO_PID.to_string(), |pid| pid.to_string());
            turn.send(pid, &wire::StatusUpdateMessage { update, pid: Some(acknowledgee) });
        }
        Notice::AgentLost(agent) => turn.send(pid, &wire::LostAgentMessage { agent_id: agent.into() }),
        Notice::ExecutorExited { agent, executor, status } => {
            let (agent_id, executor_id) = (agent.into(), executor.into());
            turn.send(pid, &wire::ExitedExecutorMessage { agent_id, framework_id, executor_id, status });
        }
        Notice::Message { agent, executor, data } => {
            let message = wire::ExecutorToFrameworkMessage {
                agent_id: agent,
                framework_id,
                executor_id: executor,
                data,
            };
            turn.send(pid, &message);
        }
        Notice::Error(message) => turn.send(pid, &wire::FrameworkErrorMessage { message }),
        Notice::Heartbeat | Notice::OperationStatus(_) => {}
    }
}
