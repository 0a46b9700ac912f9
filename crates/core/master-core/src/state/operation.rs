//! Operations whose end was not acknowledged yet, and how they are found.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};
use messor_proto::mesos::{self, Operation};
use messor_proto::mesos::{OperationState, OperationStatus};
use messor_stdx::Random;
use messor_types::{AgentId, FrameworkId, OperationId, OperationUuid, is_terminal_operation};

use super::operation_counts::OperationCounts;

#[derive(Clone, Debug)]
pub(crate) struct OperationEntry {
    pub agent: AgentId,
    pub framework: Option<FrameworkId>,
    pub operation: Arc<Operation>,
}

impl OperationEntry {
    /// What to tell of it when somebody asks: nobody acknowledges that.
    pub fn status_told(&self) -> OperationStatus {
        let status = self.operation.statuses.last().unwrap_or(&self.operation.latest_status);
        OperationStatus { uuid: None, ..status.clone() }
    }

    /// Takes a status in. Terminal ones stay.
    fn update(&mut self, status: &OperationStatus) {
        let operation = Arc::make_mut(&mut self.operation);
        if !is_terminal_operation(operation.latest_status.state()) {
            operation.latest_status = status.clone();
        }
        if operation.statuses.last() != Some(status) {
            operation.statuses.push(status.clone());
        }
    }
}

/// Operations whose end was acknowledged and that are remembered: agents may speak of them in messages that come late.
/// The oldest is forgotten.
const MAX_ENDED: usize = 10_000;

/// All operations on registered agents. Those of an agent go with it.
#[derive(Debug)]
pub(crate) struct Operations {
    entries: IndexMap<OperationUuid, OperationEntry>,
    by_agent: BTreeMap<AgentId, IndexSet<OperationUuid>>,
    by_id: BTreeMap<(FrameworkId, OperationId), OperationUuid>,
    /// With the uuid of the status that was acknowledged.
    ended: BTreeMap<OperationUuid, Vec<u8>>,
    /// Their order, oldest first.
    ended_order: VecDeque<OperationUuid>,
    random: Random,
    pub counts: OperationCounts,
}

impl Operations {
    /// `master`: the id of this master, which no other has: uuids made of it are nobody else's.
    pub fn new(master: &str) -> Operations {
        let seed = master.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        Operations {
            entries: IndexMap::new(),
            by_agent: BTreeMap::new(),
            by_id: BTreeMap::new(),
            ended: BTreeMap::new(),
            ended_order: VecDeque::new(),
            random: Random::new(seed),
            counts: OperationCounts::default(),
        }
    }

    /// A new one, on its way to the agent.
    pub fn add_pending(
        &mut self,
        agent: &AgentId,
        framework: Option<&FrameworkId>,
        info: mesos::offer::Operation,
    ) -> OperationUuid {
        let uuid = OperationUuid::new(self.random.uuid());
        let latest_status = OperationStatus {
            operation_id: info.id.clone(),
            state: OperationState::OperationPending as i32,
            agent_id: Some(agent.into()),
            ..Default::default()
        };
        self.add(
            agent,
            uuid,
            Operation {
                framework_id: framework.map(Into::into),
                agent_id: Some(agent.into()),
                info,
                latest_status,
                statuses: Vec::new(),
                uuid: uuid.into(),
            },
        );
        uuid
    }

    pub fn add(&mut self, agent: &AgentId, uuid: OperationUuid, operation: Operation) {
        let framework = operation.framework_id.as_ref().map(FrameworkId::from);
        if let (Some(framework), Some(id)) = (&framework, &operation.info.id) {
            self.by_id.insert((framework.clone(), OperationId::from(id)), uuid);
        }
        self.by_agent.entry(agent.clone()).or_default().insert(uuid);
        self.counts.count(operation.info.r#type(), operation.latest_status.state());
        let operation = Arc::new(operation);
        self.entries.insert(uuid, OperationEntry { agent: agent.clone(), framework, operation });
    }

    pub fn get(&self, uuid: &OperationUuid) -> Option<&OperationEntry> {
        self.entries.get(uuid)
    }

    /// Takes a status in.
    pub fn update(&mut self, uuid: &OperationUuid, status: &OperationStatus) {
        let Some(entry) = self.entries.get_mut(uuid) else { return };
        let from = entry.operation.latest_status.state();
        if from != status.state() {
            self.counts.transition(entry.operation.info.r#type(), from, status.state());
        }
        entry.update(status);
    }

    /// By what the framework calls it.
    pub fn find(&self, framework: &FrameworkId, id: &OperationId) -> Option<OperationUuid> {
        self.by_id.get(&(framework.clone(), id.clone())).copied()
    }

    pub fn remove(&mut self, uuid: &OperationUuid) -> Option<OperationEntry> {
        let entry = self.entries.shift_remove(uuid)?;
        self.counts.forget(entry.operation.info.r#type(), entry.operation.latest_status.state());
        if let (Some(framework), Some(id)) = (&entry.framework, &entry.operation.info.id) {
            let key = (framework.clone(), OperationId::from(id));
            // A framework may use an id again: the later operation has it then.
            if self.by_id.get(&key) == Some(uuid) {
                self.by_id.remove(&key);
            }
        }
        if let Some(list) = self.by_agent.get_mut(&entry.agent) {
            list.shift_remove(uuid);
            if list.is_empty() {
                self.by_agent.remove(&entry.agent);
            }
        }
        Some(entry)
    }

    /// The end of an operation is acknowledged: there is no more to say.
    pub fn end(&mut self, uuid: &OperationUuid, status: &[u8]) {
        self.remove(uuid);
        if self.ended.insert(*uuid, status.to_vec()).is_none() {
            self.ended_order.push_back(*uuid);
        }
        while self.ended_order.len() > MAX_ENDED
            && let Some(oldest) = self.ended_order.pop_front()
        {
            self.ended.remove(&oldest);
        }
    }

    /// The uuid of the status with which it ended, if that was acknowledged and is remembered.
    pub fn ended(&self, uuid: &OperationUuid) -> Option<&[u8]> {
        self.ended.get(uuid).map(Vec::as_slice)
    }

    pub fn on(&self, agent: &AgentId) -> Vec<OperationUuid> {
        self.by_agent.get(agent).into_iter().flatten().copied().collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = &OperationEntry> {
        self.entries.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use messor_proto::mesos::OperationState::{OperationDropped, OperationFinished, OperationPending};

    fn info(id: Option<&str>) -> mesos::offer::Operation {
        let id = id.map(|id| mesos::OperationId { value: id.to_string() });
        mesos::offer::Operation { id, ..Default::default() }
    }

    #[test]
    fn operations_are_found_by_agent_uuid_and_id() {
        let (agent, framework) = (AgentId::new("S"), FrameworkId::new("F"));
        let mut operations = Operations::new("master");
        let first = operations.add_pending(&agent, Some(&framework), info(Some("o")));
        let other = operations.add_pending(&agent, None, info(None));
        assert_ne!(first, other);
        assert_eq!(operations.find(&framework, &OperationId::new("o")), Some(first));
        assert_eq!(operations.on(&agent), [first, other]);
        let again = operations.add_pending(&agent, Some(&framework), info(Some("o")));
        operations.remove(&first);
        assert_eq!(operations.find(&framework, &OperationId::new("o")), Some(again));
        operations.remove(&again);
        operations.remove(&other);
        assert_eq!(operations.find(&framework, &OperationId::new("o")), None);
        assert!(operations.on(&agent).is_empty() && operations.by_agent.is_empty());
    }

    #[test]
    fn masters_make_uuids_of_their_own() {
        let uuid = |master| Operations::new(master).add_pending(&AgentId::new("S"), None, info(None));
        assert_ne!(uuid("one"), uuid("two"));
    }

    #[test]
    fn the_end_of_an_operation_stays() {
        let mut operations = Operations::new("master");
        let uuid = operations.add_pending(&AgentId::new("S"), None, info(None));
        assert_eq!(operations.get(&uuid).unwrap().status_told().state(), OperationPending);
        let status = |state: OperationState| OperationStatus { state: state.into(), ..Default::default() };
        for state in [OperationFinished, OperationFinished, OperationDropped] {
            operations.update(&uuid, &status(state));
        }
        let entry = operations.get(&uuid).unwrap();
        assert_eq!(entry.operation.latest_status.state(), OperationFinished);
        let states: Vec<OperationState> =
            entry.operation.statuses.iter().map(OperationStatus::state).collect();
        assert_eq!(states, [OperationFinished, OperationDropped]);
    }
}
