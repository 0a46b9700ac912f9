//! The registry as it stands, indexed by agent, and its form on disk (the `Registry` message of Apache Mesos).

use indexmap::IndexMap;
use messor_proto::mesos::internal::{Registry, registry};
use messor_proto::mesos::maintenance::Schedule;
use messor_proto::mesos::quota::{QuotaConfig, QuotaInfo};
use messor_proto::mesos::{MachineInfo, MasterInfo, WeightInfo};
use messor_proto::{DecodeError, Message, Problem, Wire, WireEnum, raw};
use messor_types::AgentId;

use crate::kept::{Kept, Packed};

/// The registry. Lists keep the order in which things were added: the oldest unreachable agents are pruned first.
///
/// Cheap to copy: entries are shared until they change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub(crate) master: Option<Kept<registry::Master>>,
    pub(crate) agents: IndexMap<AgentId, Packed<registry::Agent>>,
    pub(crate) unreachable: IndexMap<AgentId, Kept<registry::UnreachableAgent>>,
    pub(crate) gone: IndexMap<AgentId, Kept<registry::GoneAgent>>,
    pub(crate) machines: Vec<Kept<registry::Machine>>,
    pub(crate) schedules: Vec<Kept<Schedule>>,
    /// In the older form, of masters before 1.9. They count, and go when the role's quota is set anew.
    pub(crate) quotas: Vec<Kept<registry::Quota>>,
    pub(crate) quota_configs: Vec<Kept<QuotaConfig>>,
    pub(crate) weights: Vec<Kept<registry::Weight>>,
    pub(crate) minimum_capabilities: Vec<Kept<registry::MinimumCapability>>,
    /// What lies in the message and in its wrappers beside the above: the resource providers (which no operation
    /// touches), what a newer version wrote, agents without an id.
    rest: Rest,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Rest {
    registry: Vec<u8>,
    /// Of the wrappers, if they are there: one that lost its last element stays.
    agents: Option<Vec<u8>>,
    unreachable: Option<Vec<u8>>,
    gone: Option<Vec<u8>>,
    machines: Option<Vec<u8>>,
}

/// The numbers of the fields of `Registry`.
mod field {
    pub const MASTER: u32 = 1;
    pub const AGENTS: u32 = 2;
    pub const MACHINES: u32 = 3;
    pub const SCHEDULES: u32 = 4;
    pub const QUOTAS: u32 = 5;
    pub const WEIGHTS: u32 = 6;
    pub const UNREACHABLE: u32 = 7;
    pub const GONE: u32 = 8;
    pub const MINIMUM_CAPABILITIES: u32 = 10;
    pub const QUOTA_CONFIGS: u32 = 11;
    /// Of the wrappers: the list within.
    pub const LIST: u32 = 1;
}

fn malformed(problem: Problem) -> DecodeError {
    DecodeError { message: Registry::NAME, problem }
}

/// Reads a wrapper: every element of its list, and everything else as it lies.
fn wrapped<T: Wire>(
    bytes: &[u8],
    rest: &mut Option<Vec<u8>>,
    mut add: impl FnMut(Kept<T>) -> bool,
) -> Result<(), DecodeError> {
    wrapped_bytes(bytes, rest, |chunk| Ok(add(Kept::decode(chunk)?)))
}

fn wrapped_bytes(
    bytes: &[u8],
    rest: &mut Option<Vec<u8>>,
    mut add: impl FnMut(&[u8]) -> Result<bool, DecodeError>,
) -> Result<(), DecodeError> {
    let rest = rest.get_or_insert_default();
    for item in raw::fields(bytes) {
        let item = item.map_err(malformed)?;
        let is_kept = match (item.number, item.chunk) {
            (field::LIST, Some(chunk)) => add(chunk)?,
            _ => false,
        };
        if !is_kept {
            rest.extend_from_slice(item.bytes);
        }
    }
    Ok(())
}

fn put_wrapped<'k>(
    out: &mut Vec<u8>,
    number: u32,
    list: impl ExactSizeIterator<Item = &'k [u8]>,
    rest: &Option<Vec<u8>>,
) {
    if list.len() == 0 && rest.is_none() {
        return;
    }
    let mut wrapper = Vec::new();
    list.for_each(|element| raw::put(&mut wrapper, field::LIST, element));
    wrapper.extend(rest.iter().flatten());
    raw::put(out, number, &wrapper);
}

impl State {
    /// Reads what was written to the log.
    pub fn decode(bytes: &[u8]) -> Result<State, DecodeError> {
        let mut state = State::default();
        for item in raw::fields(bytes) {
            let item = item.map_err(malformed)?;
            let Some(chunk) = item.chunk else {
                state.rest.registry.extend_from_slice(item.bytes);
                continue;
            };
            let State { agents, unreachable, gone, machines, rest, .. } = &mut state;
            match item.number {
                field::MASTER => state.master = Some(Kept::decode(chunk)?),
                field::AGENTS => wrapped_bytes(chunk, &mut rest.agents, |chunk| {
                    let (agent, message) = Packed::<registry::Agent>::decode(chunk)?;
                    // Agents without an id cannot be named by any operation.
                    let id = message.info.id.as_ref().map(AgentId::from);
                    Ok(id.map(|id| agents.insert(id, agent)).is_some())
                })?,
                field::UNREACHABLE => wrapped(chunk, &mut rest.unreachable, |agent: Kept<_>| {
                    let agent: Kept<registry::UnreachableAgent> = agent;
                    unreachable.insert(AgentId::from(&agent.id), agent);
                    true
                })?,
                field::GONE => wrapped(chunk, &mut rest.gone, |agent: Kept<registry::GoneAgent>| {
                    gone.insert(AgentId::from(&agent.id), agent);
                    true
                })?,
                field::MACHINES => wrapped(chunk, &mut rest.machines, |machine| {
                    machines.push(machine);
                    true
                })?,
                field::SCHEDULES => state.schedules.push(Kept::decode(chunk)?),
                field::QUOTAS => state.quotas.push(Kept::decode(chunk)?),
                field::WEIGHTS => state.weights.push(Kept::decode(chunk)?),
                field::MINIMUM_CAPABILITIES => state.minimum_capabilities.push(Kept::decode(chunk)?),
                field::QUOTA_CONFIGS => state.quota_configs.push(Kept::decode(chunk)?),
                _ => state.rest.registry.extend_from_slice(item.bytes),
            }
        }
        Ok(state)
    }

    /// What is written to the log.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.master.iter().for_each(|master| master.put(&mut out, field::MASTER));
        put_wrapped(&mut out, field::AGENTS, self.agents.values().map(Packed::bytes), &self.rest.agents);
        put_wrapped(&mut out, field::MACHINES, self.machines.iter().map(Kept::bytes), &self.rest.machines);
        self.schedules.iter().for_each(|schedule| schedule.put(&mut out, field::SCHEDULES));
        self.quotas.iter().for_each(|quota| quota.put(&mut out, field::QUOTAS));
        self.weights.iter().for_each(|weight| weight.put(&mut out, field::WEIGHTS));
        put_wrapped(
            &mut out,
            field::UNREACHABLE,
            self.unreachable.values().map(Kept::bytes),
            &self.rest.unreachable,
        );
        put_wrapped(&mut out, field::GONE, self.gone.values().map(Kept::bytes), &self.rest.gone);
        self.minimum_capabilities.iter().for_each(|c| c.put(&mut out, field::MINIMUM_CAPABILITIES));
        self.quota_configs.iter().for_each(|config| config.put(&mut out, field::QUOTA_CONFIGS));
        out.extend_from_slice(&self.rest.registry);
        out
    }

    /// A wrapper that has an element is there for ever, as in Apache Mesos, which shows in /registrar(1)/registry.
    pub(crate) fn note_wrappers(&mut self) {
        let State { agents, unreachable, gone, machines, rest, .. } = self;
        for (is_empty, rest) in [
            (agents.is_empty(), &mut rest.agents),
            (unreachable.is_empty(), &mut rest.unreachable),
            (gone.is_empty(), &mut rest.gone),
            (machines.is_empty(), &mut rest.machines),
        ] {
            if !is_empty {
                rest.get_or_insert_default();
            }
        }
    }

    /// The message, without what this version does not know.
    pub fn to_proto(&self) -> Registry {
        Registry::decode(self.encode().as_slice()).unwrap_or_default()
    }

    /// From the message.
    pub fn from_proto(registry: &Registry) -> Result<State, DecodeError> {
        State::decode(&registry.encode_bytes())
    }

    /// The master that led last.
    pub fn master(&self) -> Option<&MasterInfo> {
        self.master.as_ref().map(|master| &master.info)
    }

    pub(crate) fn set_master(&mut self, info: MasterInfo) {
        self.master = Some(Kept::new(registry::Master { info }));
    }

    /// Admitted agents, in the order of their admission.
    pub fn agents(&self) -> impl ExactSizeIterator<Item = (&AgentId, registry::Agent)> {
        self.agents.iter().map(|(id, agent)| (id, agent.message()))
    }

    /// Agents that were marked unreachable, the oldest first.
    pub fn unreachable(&self) -> impl ExactSizeIterator<Item = (&AgentId, &registry::UnreachableAgent)> {
        self.unreachable.iter().map(|(id, agent)| (id, &**agent))
    }

    /// Agents that were marked gone, the oldest first.
    pub fn gone(&self) -> impl ExactSizeIterator<Item = (&AgentId, &registry::GoneAgent)> {
        self.gone.iter().map(|(id, agent)| (id, &**agent))
    }

    /// Machines that are part of the maintenance schedule.
    pub fn machines(&self) -> impl ExactSizeIterator<Item = &MachineInfo> {
        self.machines.iter().map(|machine| &machine.info)
    }

    /// The maintenance schedule: none or one.
    pub fn schedules(&self) -> impl ExactSizeIterator<Item = &Schedule> {
        self.schedules.iter().map(|schedule| &**schedule)
    }

    /// Of all that is here, what is about maintenance: enough to try an operation on before it is asked for.
    pub fn maintenance(&self) -> State {
        State { machines: self.machines.clone(), schedules: self.schedules.clone(), ..State::default() }
    }

    /// Quotas in the older form.
    pub fn quotas(&self) -> impl ExactSizeIterator<Item = &QuotaInfo> {
        self.quotas.iter().map(|quota| &quota.info)
    }

    pub fn quota_configs(&self) -> impl ExactSizeIterator<Item = &QuotaConfig> {
        self.quota_configs.iter().map(|config| &**config)
    }

    pub fn weights(&self) -> impl ExactSizeIterator<Item = &WeightInfo> {
        self.weights.iter().map(|weight| &weight.info)
    }

    /// What a master has to be capable of to lead with this registry, by the names of `MasterInfo.Capability`.
    pub fn minimum_capabilities(&self) -> impl ExactSizeIterator<Item = &str> {
        self.minimum_capabilities.iter().map(|needed| needed.capability.as_str())
    }

    /// Which of them a master does not have. It must not lead then.
    pub fn missing_capabilities(&self, info: &MasterInfo) -> Vec<String> {
        let has = |name: &str| {
            info.capabilities
                .iter()
                .any(|own| own.r#type().wire_name(messor_proto::Version::V0) == name && name != "UNKNOWN")
        };
        self.minimum_capabilities().filter(|name| !has(name)).map(String::from).collect()
    }
}
