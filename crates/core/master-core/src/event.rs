//! What happens to a master: everything it learns comes in as one of these.
//!
//! Calls are already decoded (required fields present) and authenticated; who asks and how the answer travels is the
//! business of the edge, which gives each request a `ReplyId` and each event stream a `StreamId`.

use std::collections::{BTreeMap, BTreeSet};

use messor_allocator::Preemption;
use messor_proto::mesos::maintenance::Schedule;
use messor_proto::mesos::quota::{QuotaConfig, QuotaRequest};
use messor_proto::mesos::{
    DurationInfo, MachineId, MasterInfo, Unavailability, WeightInfo, offer::Operation, scheduler,
};
use messor_types::{AgentId, FrameworkId, OfferId, Pid, Resources, Role};

use crate::messages::Message;

/// An HTTP request that waits for one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyId(pub u64);

/// An open stream of events to a scheduler or an operator. The edge makes a new one for each SUBSCRIBE request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

#[derive(Clone, Debug)]
pub enum Event {
    /// Who leads, as the election says: this master (it has `Config::info`'s id), another, or nobody. A master that
    /// leads takes part when `Elected` follows. Without an election this event is not needed.
    LeaderDetected {
        leader: Option<Box<MasterInfo>>,
    },
    /// This master leads, and its registry was recovered.
    Elected {
        registry: Box<messor_registry::State>,
    },
    /// This master may lead no longer: another can from now on.
    LeadershipLost,
    /// A libprocess message for `master@…`, as [`Message::read`] made it of its name and bytes.
    Message {
        from: Pid,
        message: Message,
    },
    /// The link to a process broke.
    Exited {
        pid: Pid,
    },
    /// A SUBSCRIBE by HTTP. It is answered by `Effect::StreamOpened` or by `Effect::Reply` with a refusal.
    Subscribe {
        stream: StreamId,
        reply: ReplyId,
        principal: Option<String>,
        call: Box<scheduler::Call>,
    },
    /// Any other scheduler call by HTTP. `stream` is what its Mesos-Stream-Id stands for (None: header missing or unknown).
    SchedulerCall {
        reply: ReplyId,
        principal: Option<String>,
        stream: Option<StreamId>,
        call: Box<scheduler::Call>,
    },
    /// A scheduler's or an operator's stream ended (client went away, or it was too slow and was cut off).
    StreamClosed {
        stream: StreamId,
    },
    /// An operator subscribes to the event stream.
    OperatorSubscribe {
        stream: StreamId,
        reply: ReplyId,
        principal: Option<String>,
    },
    /// A changing operator call (v1 or its v0 endpoint). Reads are served from the `View` and do not come here.
    Operator {
        reply: ReplyId,
        principal: Option<String>,
        call: OperatorCall,
    },
    /// A registry operation that was asked for by `Effect::Store` is durable: `Ok(true)`. `Ok(false)` says that it does
    /// not fit the registry (`State::apply` refused it), `Err` that the registry could not be written.
    Stored {
        ticket: u64,
        outcome: Result<bool, String>,
    },
    /// The allocator offers resources of agents to a framework, by role (its `Effect::Offer`).
    Offer {
        framework: FrameworkId,
        offers: BTreeMap<Role, Vec<(AgentId, Resources)>>,
    },
    /// The allocator's `Effect::InverseOffer`: a framework is to be asked to leave agents.
    InverseOffer {
        framework: FrameworkId,
        agents: Vec<(AgentId, Unavailability)>,
    },
    /// The allocator's `Effect::Available`: whether what an operator's operation needs was free.
    Available {
        ticket: u64,
        outcome: Result<(), String>,
    },
    /// The allocator's `Effect::AskHeld`: what these roles hold is to be told, for something may be preempted.
    AskHeld {
        roles: BTreeSet<Role>,
    },
    /// The allocator's `Effect::Preempt`.
    Preempt(Box<Preemption>),
    Timer(Timer),
}

/// Changing calls of operators.
#[derive(Clone, Debug)]
pub enum OperatorCall {
    Teardown {
        framework: FrameworkId,
    },
    /// RESERVE_RESOURCES, UNRESERVE_RESOURCES, CREATE_VOLUMES, DESTROY_VOLUMES, GROW_VOLUME, SHRINK_VOLUME, and their
    /// v0 endpoints: accepted, or in conflict with what is not free.
    Operation {
        agent: AgentId,
        operation: Box<Operation>,
    },
    /// The agent will never come back, nor will what runs there.
    MarkAgentGone {
        agent: AgentId,
    },
    UpdateWeights {
        weights: Vec<WeightInfo>,
    },
    /// All of these roles, or none. `force`: whatever the cluster has and the roles consume.
    UpdateQuota {
        configs: Vec<QuotaConfig>,
        force: bool,
    },
    /// SET_QUOTA and its v0 endpoint: of a role that has none, which is guaranteed what it is limited to.
    SetQuota {
        request: Box<QuotaRequest>,
    },
    RemoveQuota {
        role: String,
    },
    /// DRAIN_AGENT: its tasks are killed and it gets no more; then it may be marked gone.
    DrainAgent {
        agent: AgentId,
        max_grace_period: Option<DurationInfo>,
        mark_gone: bool,
    },
    /// The agent is not offered any more; what runs there goes on.
    DeactivateAgent {
        agent: AgentId,
    },
    ReactivateAgent {
        agent: AgentId,
    },
    /// UPDATE_MAINTENANCE_SCHEDULE, in place of the schedule before.
    UpdateSchedule {
        schedule: Box<Schedule>,
    },
    /// START_MAINTENANCE: scheduled machines go down.
    StartMaintenance {
        machines: Vec<MachineId>,
    },
    /// STOP_MAINTENANCE: they are up again.
    StopMaintenance {
        machines: Vec<MachineId>,
    },
}

/// Timers that the master sets. Setting one again moves it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// Heartbeats on the streams of HTTP schedulers and operators.
    Heartbeat,
    /// Time to ping an agent, or to note that it did not answer.
    Ping(AgentId),
    /// A disconnected framework's failover_timeout is over.
    FrameworkFailover(FrameworkId),
    /// A disconnected agent did not come back.
    AgentReregister(AgentId),
    /// Agents of the registry that did not come back to this master are given up.
    RecoveredAgents,
    /// Time to look for agents that the registry need no longer remember.
    RegistryGc,
    /// The rate limit allows to mark an agent unreachable.
    AgentRemoval(AgentId),
    /// offer_timeout of an offer or inverse offer.
    Offer(OfferId),
}
