//! What readers see of a master: immutable, shared, cheap to take.
//!
//! A view is a list of `Arc`s to the objects as they stand: taking one costs a pointer an object. Objects that many
//! readers print (tasks, agents) are `Memo`s: their JSON is made once a change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use messor_allocator::{AgentDetails, OfferConstraints};
use messor_proto::mesos::allocator::InverseOfferStatus;
use messor_proto::mesos::{
    self, AgentInfo, ExecutorInfo, FrameworkInfo, InverseOffer, MasterInfo, Offer, Task,
};
use messor_stdx::{Blocks, Memo, Time};
use messor_types::{AgentCapabilities, AgentId, FrameworkId, OfferId, Pid, Resources};

use crate::framework_metrics::FrameworkCounts;

#[derive(Clone, Debug, Default)]
pub struct View {
    pub now: Time,
    pub info: Arc<MasterInfo>,
    /// The leading master, when one is known (this one or another).
    pub leader: Option<Arc<MasterInfo>>,
    pub start_time: Time,
    pub elected_time: Option<Time>,
    /// It leads and has its registry: until then it answers nothing but reads.
    pub recovered: bool,
    /// Registered agents, in order of registration.
    pub agents: Vec<Arc<SeenAgent>>,
    /// Agents of the registry that did not come back yet.
    pub recovered_agents: Vec<Arc<AgentInfo>>,
    /// Agents that were marked unreachable, with the time.
    pub unreachable_agents: Vec<(AgentId, Time)>,
    /// Frameworks that are subscribed, disconnected or recovered, in order of registration.
    pub frameworks: Vec<FrameworkView>,
    pub completed_frameworks: Vec<FrameworkView>,
    /// The roles of --roles, where that is given.
    pub allowed_roles: Option<BTreeSet<String>>,
    /// Weights that were set, by role.
    pub weights: Vec<(String, f64)>,
    /// Operations on agents whose end was not acknowledged yet, in the order in which they came.
    pub operations: Vec<Arc<mesos::Operation>>,
    /// What frameworks answered to inverse offers of agents, as long as these are to be unavailable at that time.
    pub inverse_offer_statuses: Arc<InverseOfferStatuses>,
    /// The registry as it is on disk; None before it is recovered. Filled in by who has the registrar.
    pub registry: Option<Arc<messor_registry::State>>,
    /// Metrics of the master machine, by their name in metrics.tsv.
    pub metrics: Vec<(String, f64)>,
}

pub type InverseOfferStatuses = BTreeMap<AgentId, BTreeMap<FrameworkId, InverseOfferStatus>>;

/// An agent beside what was written of it: in three forms, of which tasks have two.
pub type SeenAgent = Memo<AgentView, 3>;

#[derive(Clone, Debug, PartialEq)]
pub struct AgentView {
    pub id: AgentId,
    pub info: Arc<AgentInfo>,
    pub pid: Pid,
    pub version: String,
    pub capabilities: Vec<mesos::agent_info::Capability>,
    pub registered_time: Time,
    pub reregistered_time: Option<Time>,
    pub connected: bool,
    pub active: bool,
    pub deactivated: bool,
    pub drain_info: Option<mesos::DrainInfo>,
    pub estimated_drain_start_time: Option<Time>,
    pub total: Resources,
    pub used: Resources,
    pub offered: Resources,
    pub resource_providers: Vec<mesos::ResourceProviderInfo>,
}

#[derive(Clone, Debug)]
pub struct FrameworkView {
    pub framework: Arc<FrameworkRecord>,
    /// Tasks accepted and not known to the agent yet.
    pub pending_tasks: Vec<Arc<Memo<Task>>>,
    pub tasks: Vec<Arc<Memo<Task>>>,
    pub unreachable_tasks: Vec<Arc<Memo<Task>>>,
    pub completed_tasks: Blocks<Memo<Task>>,
    pub executors: Vec<(AgentId, Arc<ExecutorInfo>)>,
    pub offers: Vec<Arc<Offer>>,
    pub inverse_offers: Vec<Arc<InverseOffer>>,
    pub used: Resources,
    pub offered: Resources,
    pub counts: Box<FrameworkCounts>,
}

/// A framework without its tasks.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameworkRecord {
    pub id: FrameworkId,
    pub info: FrameworkInfo,
    /// Of a v0 driver; HTTP schedulers have none.
    pub pid: Option<Pid>,
    pub connected: bool,
    pub active: bool,
    /// Known from agents alone: it has not subscribed since this master leads.
    pub recovered: bool,
    pub registered_time: Time,
    pub reregistered_time: Option<Time>,
    pub unregistered_time: Option<Time>,
    pub suppressed_roles: Vec<String>,
    pub offer_constraints: OfferConstraints,
    pub principal: Option<String>,
}

impl AgentView {
    /// What offers of this agent are decided by.
    pub fn details(&self) -> AgentDetails {
        agent_details(&self.info, AgentCapabilities::from_proto(&self.capabilities))
    }
}

pub(crate) fn agent_details(info: &AgentInfo, capabilities: AgentCapabilities) -> AgentDetails {
    let fault_domain = info.domain.as_ref().and_then(|domain| domain.fault_domain.as_ref());
    AgentDetails {
        hostname: info.hostname.clone(),
        region: fault_domain.map(|domain| domain.region.name.clone()),
        zone: fault_domain.map(|domain| domain.zone.name.clone()),
        attributes: info.attributes.clone(),
        capabilities,
        ..Default::default()
    }
}

impl View {
    pub fn framework(&self, id: &FrameworkId) -> Option<&FrameworkView> {
        self.frameworks.iter().chain(&self.completed_frameworks).find(|f| &f.framework.id == id)
    }

    pub fn offer(&self, id: &OfferId) -> Option<&Arc<Offer>> {
        self.frameworks.iter().flat_map(|f| &f.offers).find(|o| o.id.value.as_str() == id.as_str())
    }
}
