//! The registry as it stands, indexed by agent, and its form on disk (the `Registry` message of Apache Mesos).

use indexmap::IndexMap;
use messor_proto::mesos::internal::{Registry, registry};
use messor_types::AgentId;

/// The registry. Lists keep the order in which agents were added: the oldest unreachable agents are pruned first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub(crate) agents: IndexMap<AgentId, registry::Agent>,
    pub(crate) unreachable: IndexMap<AgentId, registry::UnreachableAgent>,
    pub(crate) gone: IndexMap<AgentId, registry::GoneAgent>,
    /// Everything else (weights, quotas, machines…), with the three lists above left empty.
    rest: Registry,
}

impl State {
    /// Reads the message. Agents without an id cannot be named by any operation and are left out.
    pub fn from_proto(mut registry: Registry) -> State {
        let id_of = |id: &messor_proto::mesos::AgentId| AgentId::from(id);
        let agents = registry.agents.take().unwrap_or_default().agents;
        let unreachable = registry.unreachable.take().unwrap_or_default().agents;
        let gone = registry.gone.take().unwrap_or_default().agents;
        State {
            agents: agents.into_iter().filter_map(|a| Some((id_of(a.info.id.as_ref()?), a))).collect(),
            unreachable: unreachable.into_iter().map(|a| (id_of(&a.id), a)).collect(),
            gone: gone.into_iter().map(|a| (id_of(&a.id), a)).collect(),
            rest: registry,
        }
    }

    /// The message as it is written to the log.
    pub fn to_proto(&self) -> Registry {
        let mut registry = self.rest.clone();
        if !self.agents.is_empty() {
            registry.agents = Some(registry::Agents { agents: self.agents.values().cloned().collect() });
        }
        if !self.unreachable.is_empty() {
            let agents = self.unreachable.values().cloned().collect();
            registry.unreachable = Some(registry::UnreachableAgents { agents });
        }
        if !self.gone.is_empty() {
            registry.gone = Some(registry::GoneAgents { agents: self.gone.values().cloned().collect() });
        }
        registry
    }

    /// Admitted agents, in the order of their admission.
    pub fn agents(&self) -> impl Iterator<Item = (&AgentId, &registry::Agent)> {
        self.agents.iter()
    }

    /// Agents that were marked unreachable, the oldest first.
    pub fn unreachable(&self) -> impl Iterator<Item = (&AgentId, &registry::UnreachableAgent)> {
        self.unreachable.iter()
    }

    /// Agents that were marked gone, the oldest first.
    pub fn gone(&self) -> impl Iterator<Item = (&AgentId, &registry::GoneAgent)> {
        self.gone.iter()
    }
}
