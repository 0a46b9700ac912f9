//! One framework, and all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use indexmap::IndexMap;
use messor_allocator::FrameworkDetails;
use messor_proto::mesos::{ExecutorInfo, FrameworkInfo, Task};
use messor_stdx::{Blocks, Memo};
use messor_types::{
    AgentId, ExecutorId, FrameworkCapabilities, FrameworkId, OfferId, Pid, ResourceName, ResourceQuantities,
    Resources, Role, Scalar, TaskId,
};
use messor_validation::{failover_timeout, framework_roles};

use crate::event::StreamId;
use crate::framework_metrics::Counting;
use crate::notice::{self, Notice};
use crate::tasks::{TaskEntry, Usual};
use crate::turn::Turn;
use crate::view::FrameworkRecord;

#[derive(Debug)]
pub(crate) struct Framework {
    pub record: Arc<FrameworkRecord>,
    pub capabilities: FrameworkCapabilities,
    pub roles: BTreeSet<Role>,
    /// The stream of an HTTP scheduler while it is connected.
    pub stream: Option<StreamId>,
    pub tasks: BTreeMap<TaskId, TaskEntry>,
    pub unreachable_tasks: IndexMap<TaskId, Arc<Memo<Task>>>,
    pub completed_tasks: Blocks<Memo<Task>>,
    pub executors: BTreeMap<(AgentId, ExecutorId), Arc<ExecutorInfo>>,
    pub offers: BTreeSet<OfferId>,
    /// Scalars alone: ports of several agents have the same numbers, and do not add up.
    used: Resources,
    pub used_on: BTreeMap<AgentId, Resources>,
    offered: Resources,
    pub usual: Usual,
    pub counting: Counting,
}

impl Framework {
    pub fn new(record: FrameworkRecord) -> Framework {
        let mut framework = Framework {
            record: Arc::new(record),
            capabilities: FrameworkCapabilities::default(),
            roles: BTreeSet::new(),
            stream: None,
            tasks: BTreeMap::new(),
            unreachable_tasks: IndexMap::new(),
            completed_tasks: Blocks::default(),
            executors: BTreeMap::new(),
            offers: BTreeSet::new(),
            used: Resources::default(),
            used_on: BTreeMap::new(),
            offered: Resources::default(),
            usual: Usual::default(),
            counting: Counting::default(),
        };
        framework.read_info();
        framework
    }

    pub fn id(&self) -> &FrameworkId {
        &self.record.id
    }

    pub fn info(&self) -> &FrameworkInfo {
        &self.record.info
    }

    pub fn connected(&self) -> bool {
        self.record.connected
    }

    pub fn change(&mut self) -> &mut FrameworkRecord {
        Arc::make_mut(&mut self.record)
    }

    pub fn update_info(&mut self, info: FrameworkInfo) {
        self.change().info = info;
        self.read_info();
    }

    fn read_info(&mut self) {
        self.capabilities = FrameworkCapabilities::from_proto(&self.record.info.capabilities);
        self.roles = framework_roles(&self.record.info).iter().map(|role| Role::new(role)).collect();
    }

    /// How it is spoken of in the log.
    pub fn name(&self) -> String {
        match &self.record.pid {
            Some(pid) => format!("{} ({}) at {pid}", self.record.id, self.record.info.name),
            None => format!("{} ({})", self.record.id, self.record.info.name),
        }
    }

    /// Says something to the scheduler. A driver hears it even when its link is broken: it may not know that yet.
    pub fn tell(&self, turn: &mut Turn<'_>, notice: Notice) {
        self.counting.told(notice.kind());
        if let Some(stream) = self.stream {
            notice::to_stream(turn, stream, self.id(), notice);
        } else if let Some(pid) = &self.record.pid {
            notice::to_driver(turn, pid, self.id(), notice);
        }
    }

    pub fn use_resources(&mut self, agent: &AgentId, resources: &Resources) {
        self.used += &resources.scalars();
        *self.used_on.entry(agent.clone()).or_default() += resources;
    }

    pub fn free_resources(&mut self, agent: &AgentId, resources: &Resources) {
        self.used -= &resources.scalars();
        if let Some(used) = self.used_on.get_mut(agent) {
            *used -= resources;
            if used.is_empty() {
                self.used_on.remove(agent);
            }
        }
    }

    pub fn add_offer(&mut self, id: OfferId, resources: &Resources) {
        self.offers.insert(id);
        self.offered += &resources.scalars();
    }

    pub fn remove_offer(&mut self, id: &OfferId, resources: &Resources) {
        self.offers.remove(id);
        self.offered -= &resources.scalars();
    }

    /// What it uses on all agents; ranges and sets are united.
    pub fn total_used(&self) -> Resources {
        with_others(&self.used, self.used_on.values())
    }

    /// The same for what it is offered; `offers` are those of the framework.
    pub fn total_offered<'a>(&self, offers: impl Iterator<Item = &'a Resources>) -> Resources {
        with_others(&self.offered, offers)
    }

    pub fn remember_completed(&mut self, task: Arc<Memo<Task>>, most: usize) {
        self.completed_tasks.push_back(task);
        while self.completed_tasks.len() > most {
            self.completed_tasks.forget_first();
        }
    }

    pub fn remember_unreachable(&mut self, task: Arc<Memo<Task>>, most: usize) {
        self.unreachable_tasks.insert(TaskId::from(&task.task_id), task);
        while self.unreachable_tasks.len() > most {
            self.unreachable_tasks.shift_remove_index(0);
        }
    }

    /// Its unreachable tasks of an agent, which are so no more.
    pub fn take_unreachable_of(&mut self, agent: &AgentId) -> Vec<Arc<Memo<Task>>> {
        let (taken, kept) = std::mem::take(&mut self.unreachable_tasks)
            .into_iter()
            .partition::<IndexMap<_, _>, _>(|(_, task)| task.agent_id.value == agent.as_str());
        self.unreachable_tasks = kept;
        taken.into_values().collect()
    }

    /// How long it is waited for when it is disconnected.
    pub fn failover_timeout(&self) -> Duration {
        failover_timeout(self.info()).unwrap_or_default()
    }

    pub fn details(&self) -> FrameworkDetails {
        let minimum = |filters: &messor_proto::mesos::OfferFilters| -> Option<Vec<ResourceQuantities>> {
            let list = &filters.min_allocatable_resources.as_ref()?.quantities;
            let quantities = |entry: &messor_proto::mesos::offer_filters::ResourceQuantities| {
                let mut result = ResourceQuantities::new();
                for (name, scalar) in &entry.quantities {
                    result.add(&ResourceName::new(name), Scalar::from_f64(scalar.value));
                }
                result
            };
            Some(list.iter().map(quantities).collect())
        };
        let filters = &self.record.info.offer_filters;
        FrameworkDetails {
            roles: self.roles.clone(),
            suppressed_roles: self.record.suppressed_roles.iter().map(|role| Role::new(role)).collect(),
            capabilities: self.capabilities,
            offer_constraints: self.record.offer_constraints.clone(),
            min_allocatable_resources: filters
                .iter()
                .filter_map(|(role, filters)| Some((Role::new(role), minimum(filters)?)))
                .collect(),
        }
    }
}

/// Sums of scalars, and the union of everything else.
fn with_others<'a>(scalars: &Resources, parts: impl Iterator<Item = &'a Resources>) -> Resources {
    let mut total = scalars.clone();
    for resource in parts.flat_map(Resources::iter).filter(|resource| !resource.is_scalar()) {
        total.insert(resource.clone());
    }
    total
}

/// All frameworks that the master knows of.
#[derive(Debug, Default)]
pub(crate) struct Frameworks {
    pub registered: IndexMap<FrameworkId, Framework>,
    pub completed: IndexMap<FrameworkId, Framework>,
    pub by_pid: BTreeMap<Pid, FrameworkId>,
    pub by_stream: BTreeMap<StreamId, FrameworkId>,
}

impl Frameworks {
    pub fn get(&self, id: &FrameworkId) -> Option<&Framework> {
        self.registered.get(id)
    }

    pub fn get_mut(&mut self, id: &FrameworkId) -> Option<&mut Framework> {
        self.registered.get_mut(id)
    }

    pub fn remember_completed(&mut self, framework: Framework, most: usize) {
        self.completed.insert(framework.id().clone(), framework);
        while self.completed.len() > most {
            self.completed.shift_remove_index(0);
        }
    }
}
