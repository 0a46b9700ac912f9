//! What operations did to one agent, and what must hold of it: each is done once, what was told of stays over crashes, data
//! goes by a DESTROY alone, and whoever asked hears of it until it is acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use messor_agent_core::Record;
use messor_proto::mesos::internal::ApplyOperationMessage;
use messor_proto::mesos::offer::{self, operation::Type};
use messor_proto::mesos::{self, OperationId, OperationState, OperationStatus};
use messor_types::{
    AgentId, OperationUuid, Resource, Resources, is_terminal_operation, operation_resources, volume_path,
};

#[derive(Clone, Debug)]
pub struct Deed {
    pub uuid: OperationUuid,
    pub agent: AgentId,
    /// By what its framework calls it.
    pub id: Option<String>,
    /// What the agent has to keep after it.
    kept: Resources,
}

#[derive(Debug, Default)]
pub struct Deeds {
    history: Vec<Deed>,
    /// How many of the deeds are in each of the records of resources, in the order in which they were written.
    written: Vec<usize>,
    /// So many of the deeds somebody was told of, or of a state that has them.
    told: usize,
    /// With the run of the agent that did it.
    applied: BTreeMap<OperationUuid, u64>,
    run: u64,
    /// Done, told to nobody, and lost with the machine.
    pub undone: BTreeSet<OperationUuid>,
    /// Operations with an id: by whom they have to be acknowledged.
    feedback: BTreeSet<OperationUuid>,
    /// What frameworks call the operations that came here.
    ids: BTreeMap<OperationUuid, OperationId>,
    /// Of the resources, as the agent told it since it started.
    version: Option<Vec<u8>>,
    /// Records that were looked at for what follows.
    seen: usize,
    /// The volumes that have data.
    data: BTreeSet<String>,
    destroyed: BTreeSet<String>,
    /// The agent ends for good.
    leaves: bool,
    /// Operations on disk, with the uuid of their last status.
    on_disk: BTreeMap<OperationUuid, Vec<u8>>,
}

pub fn kept_of(total: &Resources) -> Resources {
    total.filter(Resource::needs_checkpoint)
}

fn volumes_of(operation: &offer::Operation) -> Vec<String> {
    let mut operation = operation.clone();
    let resources = operation_resources(&mut operation).into_iter();
    resources.filter_map(|resource| volume_path(&Resource::from_proto(resource).ok()?)).collect()
}

impl Deeds {
    pub fn count(&self) -> usize {
        self.applied.len()
    }

    fn kept(&self, deeds: usize) -> Resources {
        deeds.checked_sub(1).map_or_else(Resources::new, |last| self.history[last].kept.clone())
    }

    /// What there is to keep.
    pub fn now(&self) -> Resources {
        self.kept(self.history.len())
    }

    /// What was done and not undone.
    pub fn standing(&self) -> impl Iterator<Item = &Deed> {
        self.history.iter()
    }

    /// An agent was told to carry out an operation.
    pub fn asked(
        &mut self,
        agent: &AgentId,
        message: &ApplyOperationMessage,
        before: &Resources,
        after: &Resources,
    ) {
        let uuid = OperationUuid::from_proto(&message.operation_uuid).expect("it has 16 bytes");
        let info = &message.operation_info;
        if let (Some(id), Some(_)) = (&info.id, &message.framework_id) {
            self.ids.insert(uuid, id.clone());
        }
        let (before, after) = (kept_of(before), kept_of(after));
        let expected = self.kept(self.history.len());
        assert!(
            before == expected,
            "resources change by operations alone: there were {expected}, and are {before}"
        );
        if before == after {
            return;
        }
        let before = self.applied.insert(uuid, self.run);
        assert!(before.is_none(), "an operation is applied at most once: {uuid} was twice");
        assert!(
            self.version.as_ref() == Some(&message.resource_version_uuid.uuid.value),
            "what is outdated is not done: {uuid} assumes the resources of another time"
        );
        if info.r#type() == Type::Destroy {
            self.destroyed.extend(volumes_of(info));
        }
        if message.framework_id.is_some() && info.id.is_some() {
            self.feedback.insert(uuid);
        }
        self.history.push(Deed {
            uuid,
            agent: agent.clone(),
            id: info.id.as_ref().filter(|_| message.framework_id.is_some()).map(|id| id.value.clone()),
            kept: after,
        });
    }

    pub fn writes(&mut self, record: &Record) {
        if matches!(record, Record::Resources { .. }) {
            self.written.push(self.history.len());
        }
    }

    /// How many deeds are on disk.
    fn durable(&self, disk: &[Record]) -> usize {
        let records = disk.iter().filter(|record| matches!(record, Record::Resources { .. })).count();
        records.checked_sub(1).map_or(0, |last| self.written[last])
    }

    /// A master is told of which version the resources are.
    pub fn tells_version(&mut self, version: Option<&mesos::Uuid>) {
        if let Some(version) = version {
            self.version = Some(version.value.clone());
        }
    }

    /// Somebody is told of an operation: a framework, or a master that asked and knows the id itself.
    pub fn told(&mut self, uuid: &OperationUuid, status: &OperationStatus, framework: bool, disk: &[Record]) {
        use OperationState::{OperationDropped, OperationError, OperationFailed, OperationFinished};
        let state = status.state();
        if let Some(id) = self.ids.get(uuid).filter(|_| framework && is_terminal_operation(state)) {
            let named = status.operation_id.as_ref() == Some(id);
            assert!(named, "what ends has its id: {id:?} is told to be {} without it", state.as_str_name());
        }
        if matches!(state, OperationDropped | OperationError | OperationFailed) {
            // Another run may have done one of which nobody waits to hear, and know no more of it when it comes again.
            let of = self.applied.get(uuid).filter(|_| !self.undone.contains(uuid));
            let done = of.is_some_and(|run| *run == self.run || self.feedback.contains(uuid));
            assert!(!done, "what is done is not denied: {uuid} is told to be {}", state.as_str_name());
        }
        if state != OperationFinished {
            return;
        }
        let deed = self.history.iter().position(|deed| deed.uuid == *uuid);
        // Some are told of again long after.
        let Some(deed) = deed else {
            let known = self.applied.contains_key(uuid) && !self.undone.contains(uuid);
            return assert!(known, "what is told to be done is done: {uuid} was not");
        };
        let durable = self.durable(disk);
        assert!(deed < durable, "an operation is told to be done when it is on disk: {uuid} is not");
        self.told = self.told.max(deed + 1);
    }

    /// A master is told what the agent has to keep.
    pub fn told_all(&mut self, kept: &[mesos::Resource], disk: &[Record]) {
        let kept = Resources::from_proto(kept).expect("the agent's own messages are right");
        let durable = self.durable(disk);
        assert!(
            kept == self.kept(durable),
            "an agent tells only what is durable: {kept} are not the reservations and volumes on disk"
        );
        self.told = self.told.max(durable);
    }

    /// The agent starts again and finds what is on its disk.
    pub fn recovered(&mut self, kept: &Resources, disk: &[Record]) {
        self.version = None;
        self.run += 1;
        let durable = self.durable(disk);
        assert!(
            durable >= self.told,
            "reservations and volumes that were told of survive: {} deeds were told, {durable} are there",
            self.told
        );
        self.written.truncate(disk.iter().filter(|r| matches!(r, Record::Resources { .. })).count());
        for lost in self.history.split_off(durable) {
            self.undone.insert(lost.uuid);
        }
        let expected = self.kept(durable);
        assert!(
            kept_of(kept) == expected,
            "reservations and volumes on disk are taken up: there were {expected}, the agent has {kept}"
        );
    }

    /// All that was written is gone: the agent on the new disk is another one, which knows nothing of this.
    pub fn disk_died(&mut self) {
        self.undone.extend(self.applied.keys().cloned());
        self.history.clear();
        self.written.clear();
        self.data.clear();
        self.on_disk.clear();
        (self.told, self.seen, self.version) = (0, 0, None);
    }

    /// What is on disk by now. `in_use`: volumes of tasks that run; `noted`: statuses that schedulers noted.
    pub fn synced(&mut self, disk: &[Record], in_use: &BTreeSet<String>, noted: impl Fn(&[u8]) -> bool) {
        for record in &disk[self.seen.min(disk.len())..] {
            // The next agent there is another one: frameworks hear of the operations of this one from masters.
            match record {
                Record::Forget => {
                    self.leaves = true;
                    self.on_disk.clear();
                    self.undone.extend(self.applied.keys().cloned());
                }
                Record::Agent { .. } => self.leaves = false,
                _ => {}
            }
            let Record::Resources { resources, operations } = record else { continue };
            let resources = Resources::from_proto(resources).expect("the agent's own records are right");
            let data: BTreeSet<String> = resources.iter().filter_map(volume_path).collect();
            for gone in self.data.difference(&data) {
                assert!(self.destroyed.contains(gone), "data goes by a DESTROY alone: {gone} is gone");
                assert!(!in_use.contains(gone), "data does not go from under a task: {gone} is gone");
            }
            self.data = data;
            let now: BTreeMap<OperationUuid, Vec<u8>> = operations
                .iter()
                .filter(|_| !self.leaves)
                .filter_map(|operation| {
                    let status = operation.latest_status.uuid.as_ref();
                    let status = status.map_or_else(Vec::new, |uuid| uuid.value.clone());
                    Some((OperationUuid::from_proto(&operation.uuid)?, status))
                })
                .collect();
            for (uuid, status) in self.on_disk.iter().filter(|(uuid, _)| !now.contains_key(uuid)) {
                let over = !self.feedback.contains(uuid) || noted(status);
                assert!(over, "an operation is kept until its end is acknowledged: {uuid} is forgotten");
            }
            self.on_disk = now;
        }
        self.seen = disk.len();
    }

    /// A task begins: what it uses is there.
    pub fn begins(&self, task: &str, volumes: impl Iterator<Item = String>) {
        for volume in volumes {
            assert!(self.data.contains(&volume), "a task finds its volume: {task} lacks {volume}");
        }
    }

    /// Whether an acknowledgement is one that only the framework can give.
    pub fn waits_for_its_framework(&self, uuid: &OperationUuid) -> bool {
        self.feedback.contains(uuid)
    }
}
