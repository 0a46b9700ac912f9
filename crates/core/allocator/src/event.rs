//! What the allocator is told and what it answers. It knows resources, roles and filters; offers with ids, tasks,
//! executors, clocks and messages are the master's affair.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use messor_proto::mesos;
use messor_types::{
    AgentCapabilities, AgentId, FrameworkCapabilities, FrameworkId, Quota, ResourceConversion,
    ResourceQuantities, Resources, Role,
};

use crate::constraints::OfferConstraints;
use crate::preemption::{Held, Preemption};

/// What the allocator needs to know of an agent besides its resources.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentDetails {
    /// Compared with the whitelist.
    pub hostname: String,
    /// The region of its fault domain, if it has one.
    pub region: Option<String>,
    pub zone: Option<String>,
    /// A change of attributes removes all filters for the agent.
    pub attributes: Vec<mesos::Attribute>,
    pub capabilities: AgentCapabilities,
    /// When its machine is to be maintained: frameworks there are asked to leave.
    pub unavailability: Option<mesos::Unavailability>,
}

/// What the allocator needs to know of a framework.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FrameworkDetails {
    pub roles: BTreeSet<Role>,
    pub suppressed_roles: BTreeSet<Role>,
    pub capabilities: FrameworkCapabilities,
    /// `FrameworkInfo.offer_filters`: what an offer to a role must hold at least one of, in place of
    /// --min_allocatable_resources. An empty list allows everything.
    pub min_allocatable_resources: BTreeMap<Role, Vec<ResourceQuantities>>,
    /// Which agents it wants offers of.
    pub offer_constraints: OfferConstraints,
}

/// Resources in events and effects about frameworks carry their allocation role; totals of agents do not.
#[derive(Clone, Debug)]
pub enum Event {
    /// A new master has quota, and its registry has so many agents: nothing is offered before most of them are added,
    /// or the time for that passed (`Options`), as what is offered on a partial view may be what quota needs.
    Recover {
        expected_agents: usize,
    },
    /// An agent registered or reregistered. `used` may name frameworks that are not added yet: their resources are
    /// kept out of offers and become theirs with `AddFramework`.
    AddAgent {
        agent_id: AgentId,
        details: AgentDetails,
        total: Resources,
        used: BTreeMap<FrameworkId, Resources>,
    },
    RemoveAgent {
        agent_id: AgentId,
    },
    UpdateAgent {
        agent_id: AgentId,
        details: AgentDetails,
        total: Option<Resources>,
    },
    /// Resources of the agent that were free are used after all: what frameworks run there was thought lost.
    AddUsed {
        agent_id: AgentId,
        used: BTreeMap<FrameworkId, Resources>,
    },
    ActivateAgent {
        agent_id: AgentId,
    },
    DeactivateAgent {
        agent_id: AgentId,
    },

    AddFramework {
        framework_id: FrameworkId,
        details: FrameworkDetails,
        active: bool,
        used: BTreeMap<AgentId, Resources>,
    },
    UpdateFramework {
        framework_id: FrameworkId,
        details: FrameworkDetails,
    },
    RemoveFramework {
        framework_id: FrameworkId,
    },
    ActivateFramework {
        framework_id: FrameworkId,
    },
    /// Removes the framework's filters too. Its resources stay its own until they are recovered.
    DeactivateFramework {
        framework_id: FrameworkId,
    },

    /// Resources, of one allocation role, come back: declined, rescinded, left over from an ACCEPT, or a task ended.
    RecoverResources {
        framework_id: FrameworkId,
        agent_id: AgentId,
        resources: Resources,
        /// How long not to offer these, or less of them, to the framework's role again: see `refuse_duration`.
        refuse: Option<Duration>,
        /// They were really used by a task or executor (U006), not just offered.
        allocated: bool,
    },
    /// Offered resources are used by tasks or executors now (U006).
    TransitionOfferedToAllocated {
        agent_id: AgentId,
        resources: Resources,
    },
    /// Operations of an ACCEPT changed offered resources of one allocation role.
    UpdateAllocation {
        framework_id: FrameworkId,
        agent_id: AgentId,
        offered: Resources,
        conversions: Vec<ResourceConversion>,
    },

    /// An operator's operation on resources that nobody holds; answered by `Effect::Available`, and a change of the
    /// agent's total if it can be.
    UpdateAvailable {
        ticket: u64,
        agent_id: AgentId,
        conversions: Vec<ResourceConversion>,
    },

    /// REVIVE: filters of these roles go, and so does their suppression. No roles means all roles.
    ReviveOffers {
        framework_id: FrameworkId,
        roles: BTreeSet<Role>,
    },
    /// SUPPRESS. No roles means all roles.
    SuppressOffers {
        framework_id: FrameworkId,
        roles: BTreeSet<Role>,
    },
    /// REQUEST has no influence on the allocation, as in Mesos.
    RequestResources {
        framework_id: FrameworkId,
    },

    UpdateWeights {
        weights: BTreeMap<Role, f64>,
    },
    /// The quota of these roles from now on; one without guarantees and limits ends a role's quota.
    UpdateQuota {
        quotas: BTreeMap<Role, Quota>,
    },
    /// An agent is to be unavailable at another time, or not any more: frameworks are asked anew.
    UpdateUnavailability {
        agent_id: AgentId,
        unavailability: Option<mesos::Unavailability>,
    },
    /// A framework answered an inverse offer, or that is no more (rescinded, timed out, never made).
    UpdateInverseOffer {
        agent_id: AgentId,
        framework_id: FrameworkId,
        /// How long not to ask again: see `refuse_duration`.
        refuse: Option<Duration>,
    },
    /// Hostnames of the agents to offer; `None` means all.
    UpdateWhitelist {
        whitelist: Option<BTreeSet<String>>,
    },

    /// The answer to `Effect::AskHeld`: offers and tasks of the roles that were asked for, and whatever is being killed.
    /// Of each kind the newest come first.
    Held {
        held: Vec<Held>,
    },

    /// An allocation interval passed: filters expire, and whatever changed since the last time is offered.
    Tick,
    /// Answer to `Effect::Wake`: allocate now, among the agents whose change asked for it.
    Allocate,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Something changed that should lead to offers before the next tick. Sent once, until `Event::Allocate` or
    /// `Event::Tick` comes: the app sends `Event::Allocate` when its queue is empty, so that a burst of events
    /// (a thousand agents that reregister) leads to one allocation.
    Wake,
    /// Resources now offered to the framework, by role; one item an agent. They count as the framework's until
    /// they are recovered.
    Offer { framework_id: FrameworkId, offers: BTreeMap<Role, Vec<(AgentId, Resources)>> },
    /// The framework is asked to leave these agents, where it holds something, by the time they are unavailable. It is
    /// asked once, until `Event::UpdateInverseOffer`.
    InverseOffer { framework_id: FrameworkId, agents: Vec<(AgentId, mesos::Unavailability)> },
    /// The answer to `Event::UpdateAvailable`: whether the resources were free.
    Available { ticket: u64, outcome: Result<(), String> },
    /// With priorities (`Options`): what do roles hold of which something may be revoked? Answered by `Event::Held`.
    AskHeld { roles: BTreeSet<Role> },
    /// These are to be taken from roles of lower priority.
    Preempt(Preemption),
    /// An event contradicted what the allocator knows, and was not (or not wholly) carried out: a mistake in the
    /// caller, to be logged.
    Inconsistent { reason: String },
}

/// The time for which a framework refuses resources, from `Filters` of a call. Unset and negative values mean 5
/// seconds, and nothing is refused for longer than 365 days.
pub fn refuse_duration(filters: &mesos::Filters) -> Duration {
    const DEFAULT_SECS: f64 = 5.0;
    const LONGEST_SECS: f64 = 365.0 * 24.0 * 60.0 * 60.0;
    let seconds = filters.refuse_seconds.unwrap_or(DEFAULT_SECS);
    let seconds = if seconds.is_nan() || seconds < 0.0 { DEFAULT_SECS } else { seconds.min(LONGEST_SECS) };
    Duration::from_secs_f64(seconds)
}
