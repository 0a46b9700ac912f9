//! Preemption, as the allocator decides it: what roles hold is told, offers are rescinded and tasks killed.
//!
//! A task is killed like at its framework's wish, with the grace of its own kill policy. Its updates say
//! REASON_CONTAINER_PREEMPTED and for whom; that is added here, where they pass on their way to the framework, so that it
//! is said for agents of Apache Mesos, too. Who has to go is the allocator's affair.

use std::collections::{BTreeMap, BTreeSet};

use messor_allocator::{Event as Allocation, Held, Preemption, Revocable};
use messor_proto::mesos::internal::StatusUpdate;
use messor_proto::mesos::{TaskState, executor_info, task_status};
use messor_types::{
    AgentId, ExecutorId, FrameworkId, OfferId, Resource, ResourceQuantities, Resources, Role, TaskId,
};

use crate::master::Master;
use crate::state::Agent;
use crate::tasks::{TaskEntry, is_over};
use crate::turn::Turn;

/// Tasks that end together: one, or all of a default executor, which ends a group with any of its tasks.
struct Unit {
    held: Held,
    tasks: Vec<TaskId>,
    /// When the first of them began. Those that have not begun come last of all.
    began: f64,
    can_go: bool,
}

/// What quota counts, and what is therefore worth taking.
fn counted(resources: &Resources) -> ResourceQuantities {
    let counts = |resource: &Resource| resource.is_unreserved() && !resource.is_revocable();
    resources.filter(counts).quantities()
}

/// Nobody is made to leave what is reserved for him, or where his data is.
fn is_his_own(resources: &Resources) -> bool {
    resources.iter().any(|resource| resource.is_reserved() || resource.disk().is_some())
}

impl Unit {
    fn new(framework_id: &FrameworkId, agent_id: &AgentId, role: &Role, leaving: bool) -> Unit {
        let held = Held {
            what: Revocable::Tasks(Vec::new()),
            framework_id: framework_id.clone(),
            agent_id: agent_id.clone(),
            role: role.clone(),
            amounts: ResourceQuantities::new(),
            leaving,
        };
        Unit { held, tasks: Vec::new(), began: f64::INFINITY, can_go: true }
    }

    fn add(&mut self, id: &TaskId, entry: &TaskEntry) {
        self.held.amounts += &counted(&entry.resources);
        self.can_go &= !is_his_own(&entry.resources);
        let first = entry.task.statuses.first().and_then(|status| status.timestamp);
        self.began = self.began.min(first.unwrap_or(f64::INFINITY));
        self.tasks.push(id.clone());
    }

    fn into_held(self) -> Held {
        Held { what: Revocable::Tasks(self.tasks), ..self.held }
    }
}

fn ends_as_a_whole(agent: &Agent, framework: &FrameworkId, executor: &ExecutorId) -> bool {
    let info = agent.executor(framework, executor).map(|entry| &entry.info);
    info.is_some_and(|info| info.r#type() == executor_info::Type::Default)
}

impl Master {
    /// What these roles hold, and what is being killed whosever it is.
    pub(crate) fn tell_held(&self, turn: &mut Turn<'_>, roles: &BTreeSet<Role>) {
        let mut held: Vec<Held> = self.held_offers(roles);
        held.extend(self.held_tasks(roles));
        turn.allocator(Allocation::Held { held });
    }

    fn held_offers(&self, roles: &BTreeSet<Role>) -> Vec<Held> {
        let mut offers: Vec<_> =
            self.offers.iter().filter(|(_, offer)| roles.contains(&offer.role)).collect();
        // The longer number is the newer one.
        let age = |id: &OfferId| (id.as_str().len(), id.clone());
        offers.sort_by_key(|(id, _)| std::cmp::Reverse(age(id)));
        let held = offers.into_iter().map(|(id, offer)| Held {
            what: Revocable::Offer(id.clone()),
            framework_id: offer.framework.clone(),
            agent_id: offer.agent.clone(),
            role: offer.role.clone(),
            amounts: counted(&offer.resources),
            leaving: false,
        });
        held.filter(|held| !held.amounts.is_empty()).collect()
    }

    fn held_tasks(&self, roles: &BTreeSet<Role>) -> Vec<Held> {
        // Those of default executors: what is being killed, and the rest.
        let mut wholes: BTreeMap<(FrameworkId, AgentId, ExecutorId), [Option<Unit>; 2]> = BTreeMap::new();
        let mut units: Vec<Unit> = Vec::new();
        for (framework_id, framework) in &self.frameworks.registered {
            for (task_id, entry) in framework.tasks.iter().filter(|(_, entry)| !is_over(entry.state())) {
                let agent_id = AgentId::from(&entry.task.agent_id);
                let Some(agent) = self.agents.get(&agent_id) else { continue };
                let Some(role) = entry.resources.allocation_role() else { continue };
                let leaving = entry.state() == TaskState::TaskKilling
                    || agent.killed.contains(&(framework_id.clone(), task_id.clone()));
                if !leaving && (!roles.contains(role) || !agent.connected) {
                    continue;
                }
                let unit = || Unit::new(framework_id, &agent_id, role, leaving);
                let executor = entry.task.executor_id.as_ref().map(ExecutorId::from);
                if let Some(id) = executor.filter(|id| ends_as_a_whole(agent, framework_id, id)) {
                    let key = (framework_id.clone(), agent_id.clone(), id);
                    let parts = wholes.entry(key).or_default();
                    parts[usize::from(!leaving)].get_or_insert_with(unit).add(task_id, entry);
                } else {
                    let mut unit = unit();
                    unit.add(task_id, entry);
                    units.push(unit);
                }
            }
        }
        self.count_executors(&mut wholes);
        units.extend(wholes.into_values().flatten().flatten());
        units.retain(|unit| (unit.can_go || unit.held.leaving) && !unit.held.amounts.is_empty());
        units.sort_by(|a, b| b.began.total_cmp(&a.began).then_with(|| b.tasks.cmp(&a.tasks)));
        units.into_iter().map(Unit::into_held).collect()
    }

    /// A default executor ends with the last of its tasks; one that has none any more is leaving.
    fn count_executors(&self, wholes: &mut BTreeMap<(FrameworkId, AgentId, ExecutorId), [Option<Unit>; 2]>) {
        for (agent_id, agent) in &self.agents.registered {
            for (framework_id, executors) in &agent.executors {
                for (id, executor) in executors {
                    let Some(role) = executor.resources.allocation_role() else { continue };
                    if !ends_as_a_whole(agent, framework_id, id) {
                        continue;
                    }
                    let key = (framework_id.clone(), agent_id.clone(), id.clone());
                    let has_tasks = wholes.contains_key(&key) || self.has_live_tasks(&key);
                    if !has_tasks {
                        wholes
                            .insert(key.clone(), [Some(Unit::new(framework_id, agent_id, role, true)), None]);
                    }
                    // Those that stay come last, and it stays with them.
                    let parts = wholes.get_mut(&key).into_iter().flatten();
                    if let Some(unit) = parts.flatten().last() {
                        unit.held.amounts += &counted(&executor.resources);
                        unit.can_go &= !is_his_own(&executor.resources);
                    }
                }
            }
        }
    }

    fn has_live_tasks(&self, (framework, agent, executor): &(FrameworkId, AgentId, ExecutorId)) -> bool {
        let tasks = self.frameworks.get(framework).into_iter().flat_map(|framework| framework.tasks.values());
        let of = |entry: &TaskEntry| {
            entry.task.agent_id.value == agent.as_str()
                && entry.task.executor_id.as_ref().is_some_and(|id| id.value == executor.as_str())
        };
        tasks.into_iter().any(|entry| of(entry) && !is_over(entry.state()))
    }

    /// Takes from some what another role is guaranteed.
    pub(crate) fn preempt(&mut self, turn: &mut Turn<'_>, preemption: Preemption) {
        let Preemption { role, priority, lacking, victims } = preemption;
        let why = format!(
            "for role '{role}' of priority {priority}, which lacks {lacking} of what it is guaranteed"
        );
        for (held, priority) in victims {
            let whose = format!(
                "framework {} in role '{}' of priority {priority} on agent {}",
                held.framework_id, held.role, held.agent_id
            );
            match held.what {
                Revocable::Offer(id) => {
                    // It may have been answered meanwhile.
                    if self.offers.contains_key(&id) {
                        turn.info(format!("preempting offer {id} ({}) of {whose} {why}", held.amounts));
                        self.counters.preempted_offers.increment();
                        self.rescind(turn, &id);
                    }
                }
                Revocable::Tasks(ids) => {
                    for id in ids {
                        self.preempt_task(turn, &held.framework_id, &held.agent_id, &id, &whose, &why);
                    }
                }
            }
        }
    }

    fn preempt_task(
        &mut self,
        turn: &mut Turn<'_>,
        framework_id: &FrameworkId,
        agent_id: &AgentId,
        id: &TaskId,
        whose: &str,
        why: &str,
    ) {
        let entry = self.frameworks.get(framework_id).and_then(|framework| framework.tasks.get(id));
        // It may have come to its end meanwhile.
        let Some(entry) = entry.filter(|entry| !is_over(entry.state())) else { return };
        let amounts = counted(&entry.resources);
        let Some(agent) = self.agents.get_mut(agent_id) else { return };
        turn.info(format!("preempting task {id} ({amounts}) of {whose} {why}"));
        agent.preempted.insert((framework_id.clone(), id.clone()), format!("preempted {why}"));
        self.counters.preempted_tasks.increment();
        self.send_kill(turn, framework_id, agent_id, id, None);
    }

    /// An update of a task that was preempted says so.
    pub(crate) fn name_preemption(&self, update: &mut StatusUpdate) {
        let agent = update.agent_id.as_ref().and_then(|id| self.agents.get(&AgentId::from(id)));
        let Some(agent) = agent.filter(|agent| !agent.preempted.is_empty()) else { return };
        let key = (FrameworkId::from(&update.framework_id), TaskId::from(&update.status.task_id));
        let Some(why) = agent.preempted.get(&key) else { return };
        // A task that came to another end by itself was not ended by this.
        if matches!(update.status.state(), TaskState::TaskKilling | TaskState::TaskKilled) {
            let status = &mut update.status;
            status.reason = Some(task_status::Reason::ContainerPreempted as i32);
            status.message = Some(match status.message.take().filter(|message| !message.is_empty()) {
                Some(message) => format!("{why}: {message}"),
                None => why.clone(),
            });
        }
    }
}
