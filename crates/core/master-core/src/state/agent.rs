//! One agent, and all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use indexmap::{IndexMap, IndexSet};
use messor_allocator::AgentDetails;
use messor_proto::mesos::{self, AgentInfo, ExecutorInfo, agent_info};
use messor_stdx::{Memo, Time};
use messor_types::{
    AgentCapabilities, AgentId, ExecutorId, FrameworkId, OfferId, Pid, ResourceProviderId, Resources, TaskId,
};

use crate::view::{AgentView, SeenAgent, agent_details};

/// Agents that left are remembered, to refuse what they say late; the oldest are forgotten first.
const MOST_REMOVED: usize = 100_000;

#[derive(Clone, Debug)]
pub(crate) struct ExecutorEntry {
    pub info: Arc<ExecutorInfo>,
    pub resources: Resources,
}

/// A resource provider that an agent reported.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Provider {
    pub info: mesos::ResourceProviderInfo,
    pub total: Resources,
    pub version: mesos::Uuid,
}

#[derive(Debug)]
pub(crate) struct Agent {
    pub id: AgentId,
    pub info: Arc<AgentInfo>,
    pub pid: Pid,
    pub version: String,
    pub capabilities: AgentCapabilities,
    pub capability_list: Vec<agent_info::Capability>,
    pub registered_time: Time,
    pub reregistered_time: Option<Time>,
    pub connected: bool,
    pub active: bool,
    /// An operator does not want it to be offered, though it may be connected.
    pub deactivated: bool,
    pub drain_info: Option<mesos::DrainInfo>,
    /// When an operator last asked this master to drain it.
    pub drain_start_time: Option<Time>,
    /// It told of its operations, if it has any. An agent that comes to another master does so a little later.
    pub operations_known: bool,
    /// What the maintenance schedule says of its machine.
    pub unavailability: Option<mesos::Unavailability>,
    pub total: Resources,
    pub used: BTreeMap<FrameworkId, Resources>,
    pub offered: Resources,
    pub tasks: BTreeMap<FrameworkId, BTreeSet<TaskId>>,
    pub executors: BTreeMap<FrameworkId, BTreeMap<ExecutorId, ExecutorEntry>>,
    pub offers: BTreeSet<OfferId>,
    /// Tasks that were killed: told again when the agent comes back.
    pub killed: BTreeSet<(FrameworkId, TaskId)>,
    /// Tasks that were killed for the sake of another role, with what is said of that.
    pub preempted: BTreeMap<(FrameworkId, TaskId), String>,
    /// What was thought lost when the link broke, as its framework does not checkpoint. It is there if the agent says
    /// so when it comes back.
    pub presumed_lost: BTreeSet<(FrameworkId, TaskId)>,
    pub presumed_ended: BTreeSet<(FrameworkId, ExecutorId)>,
    pub checkpointed: Resources,
    pub resource_version: Option<mesos::Uuid>,
    pub providers: BTreeMap<ResourceProviderId, Provider>,
    /// A ping was sent that has no answer yet.
    pub pinged: bool,
    pub missed_pings: u32,
    /// What readers see; made when it is asked for, forgotten with each change.
    pub seen: OnceLock<Arc<SeenAgent>>,
}

impl Agent {
    pub fn changed(&mut self) {
        self.seen = OnceLock::new();
    }

    pub fn use_resources(&mut self, framework: &FrameworkId, resources: &Resources) {
        *self.used.entry(framework.clone()).or_default() += resources;
        self.changed();
    }

    pub fn free_resources(&mut self, framework: &FrameworkId, resources: &Resources) {
        if let Some(used) = self.used.get_mut(framework) {
            *used -= resources;
            if used.is_empty() {
                self.used.remove(framework);
            }
        }
        self.changed();
    }

    pub fn executor(&self, framework: &FrameworkId, executor: &ExecutorId) -> Option<&ExecutorEntry> {
        self.executors.get(framework)?.get(executor)
    }

    pub fn forget_task(&mut self, framework: &FrameworkId, task: &TaskId) {
        if let Some(tasks) = self.tasks.get_mut(framework) {
            tasks.remove(task);
            if tasks.is_empty() {
                self.tasks.remove(framework);
            }
        }
        if !self.killed.is_empty() {
            let key = (framework.clone(), task.clone());
            self.killed.remove(&key);
            self.preempted.remove(&key);
        }
    }

    /// Which frameworks have tasks or executors here.
    pub fn frameworks(&self) -> BTreeSet<FrameworkId> {
        self.tasks.keys().chain(self.executors.keys()).cloned().collect()
    }

    pub fn details(&self) -> AgentDetails {
        AgentDetails { unavailability: self.unavailability, ..agent_details(&self.info, self.capabilities) }
    }

    pub fn view(&self) -> Arc<SeenAgent> {
        let make = || {
            let mut used = Resources::default();
            self.used.values().for_each(|resources| used += resources);
            Arc::new(Memo::new(AgentView {
                id: self.id.clone(),
                info: Arc::clone(&self.info),
                pid: self.pid.clone(),
                version: self.version.clone(),
                capabilities: self.capability_list.clone(),
                registered_time: self.registered_time,
                reregistered_time: self.reregistered_time,
                connected: self.connected,
                active: self.active,
                deactivated: self.deactivated,
                drain_info: self.drain_info,
                estimated_drain_start_time: self.drain_start_time,
                total: self.total.clone(),
                used,
                offered: self.offered.clone(),
                resource_providers: self.providers.values().map(|provider| provider.info.clone()).collect(),
            }))
        };
        self.seen.get_or_init(make).clone()
    }
}

/// All agents that the master knows of. An agent is in one of `registered`, `recovered`, `unreachable` and `gone`.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    pub registered: IndexMap<AgentId, Agent>,
    pub by_pid: BTreeMap<Pid, AgentId>,
    /// In the registry when this master was elected, and not back yet.
    pub recovered: BTreeMap<AgentId, Arc<AgentInfo>>,
    pub unreachable: IndexMap<AgentId, Time>,
    pub gone: IndexMap<AgentId, Time>,
    pub removed: IndexSet<AgentId>,
    /// How many agents the registry had when this master was elected.
    pub expected: usize,
    /// Agents, registered or recovered, that wait for the rate limit to be marked unreachable.
    pub removal_scheduled: BTreeSet<AgentId>,
    /// Which frameworks may have unreachable tasks of an agent.
    pub lost_frameworks: BTreeMap<AgentId, BTreeSet<FrameworkId>>,
    /// What operators said of agents, whether these are there or not.
    pub deactivated: BTreeSet<AgentId>,
    pub draining: BTreeMap<AgentId, mesos::DrainInfo>,
    /// What is under way in the registry.
    pub registering: BTreeSet<Pid>,
    pub reregistering: BTreeSet<AgentId>,
    pub marking_unreachable: BTreeSet<AgentId>,
    pub marking_gone: BTreeSet<AgentId>,
    pub marking_drained: BTreeSet<AgentId>,
    pub removing: BTreeSet<AgentId>,
}

impl Agents {
    pub fn get(&self, id: &AgentId) -> Option<&Agent> {
        self.registered.get(id)
    }

    pub fn get_mut(&mut self, id: &AgentId) -> Option<&mut Agent> {
        self.registered.get_mut(id)
    }

    pub fn knows(&self, id: &AgentId) -> bool {
        self.registered.contains_key(id)
            || self.recovered.contains_key(id)
            || self.unreachable.contains_key(id)
            || self.gone.contains_key(id)
            || self.removed.contains(id)
            || self.reregistering.contains(id)
    }

    /// Something about it is on its way to the registry.
    pub fn is_busy(&self, id: &AgentId) -> bool {
        self.reregistering.contains(id)
            || self.marking_unreachable.contains(id)
            || self.marking_gone.contains(id)
            || self.removing.contains(id)
    }

    pub fn remember_draining(&mut self, id: &AgentId, deactivated: bool, drain: Option<mesos::DrainInfo>) {
        if deactivated {
            self.deactivated.insert(id.clone());
        }
        if let Some(drain) = drain {
            self.draining.insert(id.clone(), drain);
        }
    }

    pub fn forget_draining(&mut self, id: &AgentId) {
        self.deactivated.remove(id);
        self.draining.remove(id);
    }

    pub fn remember_removed(&mut self, id: AgentId) {
        self.removed.insert(id);
        if self.removed.len() > MOST_REMOVED {
            self.removed.shift_remove_index(0);
        }
    }
}
