//! Agents that register for the first time, and what waits for the registry meanwhile.

use std::sync::Arc;

use messor_proto::mesos::internal::{
    AgentRegisteredMessage, MasterAgentConnection, RegisterAgentMessage, ReregisterAgentMessage,
    ShutdownMessage,
};
use messor_proto::mesos::quota::QuotaConfig;
use messor_proto::mesos::{self, AgentInfo, DrainConfig, WeightInfo};
use messor_registry::Operation;
use messor_stdx::Time;
use messor_types::{
    AgentCapabilities, AgentId, Pid, Resources, apply_checkpointed, resource_to_post_refinement,
    validate_amounts,
};
use messor_validation::validate_register_agent;

use crate::event::ReplyId;
use crate::master::Master;
use crate::state::Agent;
use crate::turn::Turn;

/// What goes on when the registry holds an operation.
#[derive(Debug)]
pub(crate) enum Pending {
    Admit {
        pid: Pid,
        message: Box<RegisterAgentMessage>,
    },
    /// An agent that this master does not count among the registered comes back.
    Readmit {
        pid: Pid,
        message: Box<ReregisterAgentMessage>,
    },
    /// A registered agent comes back with another AgentInfo.
    Update {
        pid: Pid,
        message: Box<ReregisterAgentMessage>,
    },
    Unreachable {
        id: AgentId,
        time: Time,
        reason: String,
    },
    Remove {
        id: AgentId,
        reason: String,
    },
    Prune {
        unreachable: Vec<AgentId>,
        gone: Vec<AgentId>,
    },
    /// Nobody waits for those of --weights.
    Weights {
        update: Option<(ReplyId, Vec<WeightInfo>)>,
    },
    Quota {
        configs: Vec<QuotaConfig>,
        reply: ReplyId,
    },
    Gone {
        id: AgentId,
        time: Time,
        /// None: it was drained to be marked gone.
        reply: Option<ReplyId>,
    },
    Drain {
        id: AgentId,
        config: DrainConfig,
        reply: ReplyId,
    },
    Drained {
        id: AgentId,
    },
    Deactivate {
        id: AgentId,
        reply: ReplyId,
    },
    Reactivate {
        id: AgentId,
        reply: ReplyId,
    },
    Maintenance {
        operation: Box<Operation>,
        reply: ReplyId,
    },
}

/// Agents older than 1.0 are refused (U046).
const LEAST_MAJOR_VERSION: u32 = 1;

impl Master {
    pub(crate) fn register_agent(
        &mut self,
        turn: &mut Turn<'_>,
        from: &Pid,
        mut message: RegisterAgentMessage,
    ) {
        self.counters.messages_register_slave.increment();
        let name = format!("agent at {from} ({})", message.agent.hostname);
        if let Err(error) = validate_register_agent(&message) {
            return turn.warning(format!("dropping the registration of {name}: {error}"));
        }
        if self.agents.registering.contains(from) {
            return turn.info(format!("ignoring the registration of {name}: it is under way"));
        }
        if let Err(reason) = self.check_agent(message.version.as_deref(), &message.agent) {
            return turn.warning(format!("refusing the registration of {name}: {reason}"));
        }
        if self.refuse_on_machine_down(turn, from, &message.agent) {
            return;
        }
        if let Some(id) = self.agents.by_pid.get(from).cloned()
            && let Some(agent) = self.agents.get(&id)
        {
            if agent.connected {
                turn.info(format!("{name} is registered already as {id}: telling it again"));
                return self.tell_registered(turn, &id);
            }
            turn.info(format!("removing the disconnected agent {id}: another registers at the same address"));
            self.remove_agent(turn, &id, "a new agent registered at the same address");
            self.counters.slave_removals_reason_registered.increment();
        }
        message.agent.resources.iter_mut().for_each(resource_to_post_refinement);
        message.checkpointed_resources.iter_mut().for_each(resource_to_post_refinement);
        let id = self.new_agent_id();
        message.agent.id = Some((&id).into());
        self.agents.registering.insert(from.clone());
        turn.info(format!("registering {name} as {id}"));
        let operation = Operation::AdmitAgent { info: Box::new(message.agent.clone()) };
        self.store(turn, operation, Pending::Admit { pid: from.clone(), message: Box::new(message) });
    }

    fn new_agent_id(&mut self) -> AgentId {
        loop {
            let id = AgentId::numbered(&self.info.id, self.next_agent);
            self.next_agent += 1;
            // An agent may have come with an id of this form by itself.
            if !self.agents.knows(&id) {
                return id;
            }
        }
    }

    /// What has to hold for every agent that registers or comes back.
    pub(crate) fn check_agent(&self, version: Option<&str>, info: &AgentInfo) -> Result<(), String> {
        let version = version.unwrap_or_default();
        let major = major_version(version).ok_or_else(|| format!("'{version}' is no version"))?;
        if major < LEAST_MAJOR_VERSION {
            return Err(format!(
                "its version {version} is older than {LEAST_MAJOR_VERSION}.0.0: upgrade it first"
            ));
        }
        if info.domain.is_some() && self.info.domain.is_none() {
            return Err(
                "it has a domain, and this master has none: start the master with --domain".to_string()
            );
        }
        if info.domain.is_none() && self.config.require_agent_domain {
            return Err("it has no domain, and --require_agent_domain is set".to_string());
        }
        // What cannot be read is refused when the agent is built.
        let resources = Resources::from_proto(&info.resources).unwrap_or_default();
        validate_amounts(&resources).map_err(|error| error.to_string())
    }

    pub(crate) fn stored_pending(&mut self, turn: &mut Turn<'_>, pending: Pending, accepted: bool) {
        match pending {
            Pending::Admit { pid, message } => self.agent_admitted(turn, &pid, *message, accepted),
            Pending::Readmit { pid, message } => self.agent_readmitted(turn, &pid, *message, accepted),
            Pending::Update { pid, message } => self.agent_updated(turn, &pid, *message, accepted),
            Pending::Unreachable { id, time, reason } => {
                self.agent_marked_unreachable(turn, &id, time, &reason)
            }
            Pending::Remove { id, reason } => self.agent_removed(turn, &id, &reason),
            Pending::Prune { unreachable, gone } => self.agents_pruned(turn, &unreachable, &gone),
            Pending::Weights { update: Some((reply, weights)) } => {
                self.weights_stored(turn, reply, &weights, accepted);
            }
            Pending::Weights { update: None } => {}
            Pending::Quota { configs, reply } => self.quota_stored(turn, &configs, reply, accepted),
            Pending::Gone { id, time, reply } => self.agent_marked_gone(turn, &id, time, reply, accepted),
            Pending::Drain { id, config, reply } => self.drain_stored(turn, &id, config, reply, accepted),
            Pending::Drained { id } => self.drained_stored(turn, &id, accepted),
            Pending::Deactivate { id, reply } => self.deactivation_stored(turn, &id, reply, accepted),
            Pending::Reactivate { id, reply } => self.reactivation_stored(turn, &id, reply, accepted),
            Pending::Maintenance { operation, reply } => {
                self.maintenance_stored(turn, &operation, reply, accepted);
            }
        }
    }

    fn agent_admitted(
        &mut self,
        turn: &mut Turn<'_>,
        pid: &Pid,
        message: RegisterAgentMessage,
        accepted: bool,
    ) {
        self.agents.registering.remove(pid);
        if !accepted {
            let id = message.agent.id.map(|id| id.value).unwrap_or_default();
            return turn.warning(format!(
                "ignoring the registration of the agent at {pid}: the registry has {id} already"
            ));
        }
        let built = build_agent(
            turn.now,
            pid,
            message.agent,
            message.version.unwrap_or_default(),
            message.agent_capabilities,
            &message.checkpointed_resources,
            message.resource_version_uuid,
        );
        let agent = match built {
            Ok(agent) => agent,
            Err(reason) => {
                turn.warning(format!("refusing the agent at {pid}: {reason}"));
                return turn.send(pid, &ShutdownMessage { message: Some(reason) });
            }
        };
        let id = agent.id.clone();
        self.counters.slave_registrations.increment();
        self.add_agent(turn, agent);
        self.tell_registered(turn, &id);
        self.take_down_if_machine_is(turn, &id);
    }

    fn tell_registered(&mut self, turn: &mut Turn<'_>, id: &AgentId) {
        let Some(agent) = self.agents.get(id) else { return };
        let message =
            AgentRegisteredMessage { agent_id: id.into(), connection: Some(self.agent_connection()) };
        turn.send(&agent.pid, &message);
    }

    pub(crate) fn agent_connection(&self) -> MasterAgentConnection {
        let seconds = self.config.total_ping_timeout().as_secs_f64();
        MasterAgentConnection { total_ping_timeout_seconds: Some(seconds) }
    }

    /// An agent takes part from now on. Its frameworks are known, its tasks and executors are counted in it.
    pub(crate) fn add_agent(&mut self, turn: &mut Turn<'_>, mut agent: Agent) {
        let id = agent.id.clone();
        let planned = self.maintenance.machine_of(&agent.info, &agent.pid);
        agent.unavailability = planned.and_then(|machine| machine.unavailability);
        turn.push(crate::Effect::Link { pid: agent.pid.clone() });
        turn.info(format!(
            "added agent {id} at {} ({}) with {}",
            agent.pid, agent.info.hostname, agent.total
        ));
        turn.allocator(messor_allocator::Event::AddAgent {
            agent_id: id.clone(),
            details: agent.details(),
            total: agent.total.clone(),
            used: agent.used.clone(),
        });
        self.publish_agent_added(turn, &agent);
        self.agents.by_pid.insert(agent.pid.clone(), id.clone());
        self.agents.registered.insert(id.clone(), agent);
        self.ping(turn, &id);
    }
}

/// An agent as it registers, without tasks and executors.
pub(crate) fn build_agent(
    now: Time,
    pid: &Pid,
    mut info: AgentInfo,
    version: String,
    mut capability_list: Vec<mesos::agent_info::Capability>,
    checkpointed: &[mesos::Resource],
    resource_version: Option<mesos::Uuid>,
) -> Result<Agent, String> {
    let id = info.id.as_ref().map(AgentId::from).ok_or("it has no id")?;
    let own = Resources::from_proto(&info.resources).map_err(|error| error.to_string())?;
    let checkpointed = Resources::from_proto(checkpointed).map_err(|error| error.to_string())?;
    let total = apply_checkpointed(&own, &checkpointed).map_err(|error| error.to_string())?;
    // As with tasks: the lists have room for what never comes.
    info.resources.shrink_to_fit();
    info.attributes.shrink_to_fit();
    capability_list.shrink_to_fit();
    Ok(Agent {
        id,
        info: Arc::new(info),
        pid: pid.clone(),
        version,
        capabilities: AgentCapabilities::from_proto(&capability_list),
        capability_list,
        registered_time: now,
        reregistered_time: None,
        connected: true,
        active: true,
        deactivated: false,
        drain_info: None,
        drain_start_time: None,
        unavailability: None,
        operations_known: true,
        total,
        used: Default::default(),
        offered: Resources::new(),
        tasks: Default::default(),
        executors: Default::default(),
        offers: Default::default(),
        killed: Default::default(),
        preempted: Default::default(),
        presumed_lost: Default::default(),
        presumed_ended: Default::default(),
        checkpointed,
        resource_version,
        providers: Default::default(),
        pinged: false,
        missed_pings: 0,
        seen: Default::default(),
    })
}

/// The first number of a version such as `1.11.0` or `1.12.0-dev+build`.
fn major_version(version: &str) -> Option<u32> {
    let core = version.split(['-', '+']).next()?;
    let numbers: Vec<u32> = core.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    if numbers.len() > 3 { None } else { numbers.first().copied() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_a_first_number() {
        assert_eq!(major_version("1.11.0"), Some(1));
        assert_eq!(major_version("0.28.2"), Some(0));
        assert_eq!(major_version("1.12.0-dev+3"), Some(1));
        for wrong in ["", "one", "1.x.0", "1.2.3.4", "-1.0"] {
            assert_eq!(major_version(wrong), None, "{wrong}");
        }
    }
}
