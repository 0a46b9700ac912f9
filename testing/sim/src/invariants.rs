//! What must hold after each step of a run. Each has a name; a run that breaks one says it.

use std::collections::{BTreeMap, BTreeSet};

use messor_allocator::{Allocator, Effect as Decision, Preemption, Priorities};
use messor_master_core::{Effect, FrameworkView, View};
use messor_proto::Wire;
use messor_proto::mesos::internal::log::{
    Action, Metadata, PromiseResponse, WriteResponse, promise_response, write_response,
};
use messor_proto::mesos::internal::{StatusUpdate, StatusUpdateAcknowledgementMessage, StatusUpdateMessage};
use messor_proto::mesos::{self, OperationId, TaskState};
use messor_stdx::Time;
use messor_types::{
    AgentId, Quota, Resource, ResourceQuantities, Resources, Role, Scalar, is_terminal_operation, volume_path,
};

use crate::agents;
use crate::deeds::kept_of;
use crate::disks::Replica;
use crate::operators::{Closed, Machines};

/// A task that was begun once is never begun again, on whichever agent.
pub fn no_task_runs_twice<'t>(begun: impl Iterator<Item = &'t String>) {
    let mut seen = BTreeSet::new();
    for task in begun {
        assert!(seen.insert(task), "no task runs twice: {task} was begun a second time");
    }
}

/// What there really is on an agent.
pub struct Really {
    /// Its reservations and volumes.
    pub kept: Resources,
    /// The tasks that it knows.
    pub tasks: BTreeSet<String>,
}

/// What an agent's tasks use and what is offered of it is never more than what it has. While the master knows of other
/// reservations and volumes than there are on the agent, as operations are on their way, the parts need not fit one
/// another; the sums have to even then. (What agents really run is checked by itself.)
///
/// The connection to an agent may lose an operation and a task that rests on it. When the agent registers again it says
/// what it has, without the operation, and the task counts until it has been asked about that: it takes nothing there.
pub fn nothing_is_allocated_twice(view: &View, really: impl Fn(&AgentId) -> Option<Really>) {
    for agent in &view.agents {
        let used = agent.used.clone().unallocated();
        let taken = used.clone() + &agent.offered.clone().unallocated();
        let (own, promised) = (agent.total.non_revocable(), agent.total.revocable());
        // An agent that starts again does not say at once what it promises twice.
        let sums = |taken: &Resources| {
            own.quantities().contains(&taken.non_revocable().non_shared().quantities())
                && (promised.is_empty() || promised.contains(&taken.revocable()))
        };
        let parts = |taken: &Resources| {
            own.non_shared().contains(&taken.non_revocable().non_shared())
                && taken.shared().iter().all(|one| own.iter().any(|other| same_volume(one, other)))
        };
        if sums(&taken) && parts(&taken) {
            continue;
        }
        let fits = match really(&agent.id) {
            // It cannot be asked.
            None => sums(&taken) || !parts(&used),
            Some(really) => {
                let there = taken - &unknown_there(view, &agent.id, &really.tasks);
                let settled = really.kept == kept_of(&own);
                // A registration that operations crossed says what was before them: the agent registers once more, and has no
                // room for what is offered twice until then.
                sums(&there) && (parts(&there) || !settled) || !settled && !parts(&used)
            }
        };
        assert!(
            fits,
            "nothing is allocated twice: agent {} has {}, used are {}, offered {}",
            agent.id, agent.total, agent.used, agent.offered
        );
    }
}

/// What tasks use of an agent that it does not know of.
fn unknown_there(view: &View, id: &AgentId, known: &BTreeSet<String>) -> Resources {
    let tasks =
        view.frameworks.iter().flat_map(|framework| framework.tasks.iter().chain(&framework.pending_tasks));
    tasks
        .filter(|task| AgentId::from(&task.agent_id) == *id && !is_over(task.state()))
        .filter(|task| !known.contains(&task.task_id.value))
        .map(|task| {
            Resources::from_proto(&task.resources).expect("a task's resources are right").unallocated()
        })
        .fold(Resources::new(), |sum, resources| sum + &resources)
}

fn same_volume(one: &Resource, other: &Resource) -> bool {
    volume_path(one) == volume_path(other) && one.is_shared() == other.is_shared()
}

/// Operations change what resources are, never how much there is.
pub fn operations_make_and_lose_nothing(view: &View) {
    for agent in &view.agents {
        let own = Resources::from_proto(&agent.info.resources).expect("an agent's resources are right");
        let total = agent.total.non_revocable();
        assert!(
            total.quantities() == own.quantities(),
            "operations make and lose nothing: agent {} has {own}, and {total} is counted",
            agent.id
        );
    }
}

/// Whom operators were told to be drained or deactivated gets no task.
pub fn closed_agents_get_no_task(closed: &Closed, agent: &mesos::AgentId) {
    let agent = AgentId::from(agent);
    assert!(!closed.contains(&agent), "a drained agent gets no task: {agent} does");
}

pub fn closed_agents_are_not_offered(closed: &Closed, agent: &mesos::AgentId) {
    let agent = AgentId::from(agent);
    assert!(!closed.contains(&agent), "a drained agent is not offered: {agent} is");
}

/// Where operators were told that maintenance has begun no agent is offered or given a task. (One may hear that it is
/// registered, if that was under way, and then that it has to go.)
pub fn nobody_is_where_maintenance_is(machines: &Machines, hostname: &str) {
    assert!(
        !machines.is_down(hostname),
        "a machine that is down has no agent: one on {hostname} is offered or used"
    );
}

/// An agent that is drained to be marked gone is so only when nothing runs there any more.
pub fn who_goes_by_a_drain_has_nothing(agents: &[agents::Node], id: &AgentId) {
    let of =
        |node: &&agents::Node| node.process.as_ref().is_some_and(|process| process.agent.id() == Some(id));
    for node in agents.iter().filter(of) {
        let running = node.executors.tasks_that_run();
        assert!(running.is_empty(), "who goes by a drain has nothing: {id} has {running:?}");
    }
}

/// By quota: each role, what it is, and what the role has.
type Consumption = Vec<(Role, Quota, ResourceQuantities)>;

/// No offer takes a role beyond its limit, nor those above it.
pub fn limits_of_quota_hold(before: &Consumption, after: &Consumption, effects: &[Decision]) {
    if !effects.iter().any(|effect| matches!(effect, Decision::Offer { .. })) {
        return;
    }
    for (role, quota, consumed) in after {
        let known = before.iter().find(|(other, ..)| other == role);
        for (name, limit) in quota.limits.iter() {
            let had = known.map_or(Scalar::ZERO, |(_, _, consumed)| consumed.get(name));
            let has = consumed.get(name);
            assert!(
                has <= limit || has <= had,
                "limits of quota hold: {role} may have {limit} {name}, had {had}, and is given {has}"
            );
        }
    }
}

/// Only for a role of more priority something is taken from another, and nothing that is reserved for that.
pub fn nobody_loses_to_an_equal(preemption: &Preemption, priorities: &Priorities) {
    let priority = priorities.of(&preemption.role);
    assert!(!preemption.victims.is_empty(), "something goes, or nothing is decided: {preemption:?}");
    for (victim, _) in &preemption.victims {
        assert!(
            priorities.of(&victim.role) < priority && !victim.amounts.is_empty(),
            "nobody loses to an equal: {} has {priority}, and takes of {victim:?}",
            preemption.role
        );
    }
}

/// What agents really run of tasks is never more than they have, whatever masters think of it.
pub fn no_agent_runs_more_than_it_has(number: usize, view: &messor_agent_core::View) {
    let mut taken = Resources::new();
    for executor in view.frameworks.iter().flat_map(|framework| &framework.executors) {
        let queued = executor.queued_tasks.iter().map(|task| &task.resources);
        let launched = executor.launched_tasks.iter().map(|task| &task.resources);
        for resources in queued.chain(launched) {
            taken += &Resources::from_proto(resources).expect("a task's resources are right").unallocated();
        }
    }
    let own = taken.non_revocable();
    let fits = view.total.non_shared().contains(&own.non_shared())
        && own.shared().iter().all(|one| view.total.iter().any(|other| same_volume(one, other)));
    assert!(fits, "nothing is allocated twice: agent {number} has {}, its tasks take {taken}", view.total);
}

/// What a master's frameworks have of tasks that are not over: of those that are connected.
pub fn live_tasks(view: &View) -> BTreeSet<String> {
    let connected = view.frameworks.iter().filter(|framework| framework.framework.connected);
    let tasks = connected.flat_map(|framework| &framework.tasks);
    tasks.filter(|task| !is_over(task.state())).map(|task| task.task_id.value.clone()).collect()
}

fn is_over(state: TaskState) -> bool {
    use TaskState::{TaskKilling, TaskRunning, TaskStaging, TaskStarting};
    !matches!(state, TaskStaging | TaskStarting | TaskRunning | TaskKilling)
}

/// When an agent is given up, the schedulers that are connected hear of each of its tasks at once.
pub fn what_is_lost_is_told(before: &BTreeSet<String>, view: &View, effects: &[Effect]) {
    let after = live_tasks(view);
    let lost: Vec<&String> = before.difference(&after).collect();
    if lost.is_empty() {
        return;
    }
    let told = effects.iter().filter_map(|effect| match effect {
        Effect::Send { name, body, .. } if *name == StatusUpdateMessage::NAME => {
            let message = StatusUpdateMessage::decode_checked(body);
            Some(message.expect("the master's own messages are right").update.status.task_id.value)
        }
        Effect::Stream { event, .. } => {
            event.update.as_ref().map(|update| update.status.task_id.value.clone())
        }
        _ => None,
    });
    let told: BTreeSet<String> = told.collect();
    for task in lost {
        assert!(told.contains(task), "what is lost is told: nobody heard of {task}");
    }
}

/// The allocator's own books balance: what is taken and what is free add up, and everybody stands where its share says.
pub fn the_allocator_agrees_with_itself(allocator: &Allocator) {
    if let Err(broken) = allocator.audit() {
        panic!("the allocator agrees with itself: {broken}");
    }
}

/// What the allocator takes for offered or allocated is what the master has out: what an operation made, an offer was
/// declined of, or a task has left is given back. Asked only while nothing is on its way between the two.
pub fn nothing_is_lost_between_master_and_allocator(view: &View, allocator: &Allocator) {
    for (id, total, taken) in allocator.books() {
        let Some(agent) = view.agents.iter().find(|agent| agent.id == *id) else {
            panic!("nothing is lost between master and allocator: {id} is known to the allocator alone");
        };
        let out = (agent.used.clone() + &agent.offered).unallocated();
        assert!(
            *total == agent.total && *taken == out,
            "nothing is lost between master and allocator: of {id} the allocator has {total} and {taken} taken, \
             the master {} and {out}",
            agent.total
        );
    }
}

/// Operations with an id that are not over yet, by their uuid, as a master has them.
#[derive(Debug, Default)]
pub struct Awaited {
    operations: BTreeMap<Vec<u8>, (AgentId, String, OperationId)>,
}

impl Awaited {
    /// A framework that is connected hears of the end of its operation at once.
    pub fn what_ends_is_told(&mut self, view: &View, effects: &[Effect]) {
        let awaited = |operation: &mesos::Operation| {
            let over = is_terminal_operation(operation.latest_status.state());
            let framework = operation.framework_id.as_ref().filter(|_| !over)?.value.clone();
            let agent = AgentId::from(operation.agent_id.as_ref()?);
            Some((operation.uuid.value.clone(), (agent, framework, operation.info.id.clone()?)))
        };
        let now = view.operations.iter().filter_map(|operation| awaited(operation)).collect();
        let before = std::mem::replace(&mut self.operations, now);
        for (uuid, (agent, framework, id)) in before {
            let connected = |known: &&FrameworkView| {
                known.framework.id.as_str() == framework && known.framework.connected
            };
            // With an agent that another took the place of its operations go without a word, as they do in Apache Mesos:
            // frameworks hear that when they ask.
            let replaced = !view.agents.iter().any(|known| known.id == agent)
                && !view.unreachable_agents.iter().any(|(known, _)| *known == agent);
            let waits = view.frameworks.iter().any(|known| connected(&known));
            if self.operations.contains_key(&uuid) || replaced || !waits {
                continue;
            }
            let told = effects.iter().any(|effect| {
                matches!(effect, Effect::Stream { event, .. } if event.update_operation_status.as_ref()
                    .is_some_and(|update| update.status.operation_id.as_ref() == Some(&id)))
            });
            assert!(told, "what ends is told: {framework} did not hear of operation {}", id.value);
        }
    }
}

/// An agent hears that an update is acknowledged only if the scheduler noted it.
pub fn acknowledged_only_once_delivered(body: &[u8], noted: impl Fn(&Vec<u8>) -> bool) {
    let message = StatusUpdateAcknowledgementMessage::decode_checked(body)
        .expect("the master's own messages are right");
    assert!(
        noted(&message.uuid),
        "an update is acknowledged only once delivered: that of task {} was not",
        message.task_id.value
    );
}

/// An executor's updates come to the scheduler in their order, none left out before a later one.
pub fn updates_come_in_order(task: &str, made: &[Vec<u8>], noted: &BTreeSet<Vec<u8>>, uuid: &[u8]) {
    let Some(at) = made.iter().position(|known| known == uuid) else { return };
    for earlier in &made[..at] {
        assert!(noted.contains(earlier), "updates come in order: {task} skipped one of {made:?}");
    }
}

/// An agent sends a task's updates one after another: what was acknowledged once never comes again.
#[derive(Debug, Default)]
pub struct Told {
    by_task: BTreeMap<(AgentId, String), Vec<Vec<u8>>>,
}

impl Told {
    pub fn tells(&mut self, update: &StatusUpdate) {
        let agent = update.agent_id.as_ref().map_or_else(|| AgentId::from(""), AgentId::from);
        let task = &update.status.task_id.value;
        let uuid = update.uuid.clone().unwrap_or_default();
        let told = self.by_task.entry((agent, task.clone())).or_default();
        if told.last() == Some(&uuid) {
            return;
        }
        assert!(
            !told.contains(&uuid),
            "what is acknowledged is not told again: {task} went back to {}",
            update.status.state().as_str_name()
        );
        told.push(uuid);
    }
}

/// What of an executor an agent tells, or takes off it, is on the agent's disk, if its framework has checkpoints.
pub fn told_only_what_is_durable(durable: bool, what: &str) {
    assert!(durable, "an agent tells only what is durable: {what}");
}

/// An agent tells of one end of a task, and no other one after it.
#[derive(Debug, Default)]
pub struct Ends {
    by_task: BTreeMap<String, (Vec<u8>, TaskState)>,
}

impl Ends {
    pub fn noted(&mut self, update: &StatusUpdate) {
        let state = update.status.state();
        // Others are said of tasks that an agent does not know, and may be said again.
        if !matches!(state, TaskState::TaskFinished | TaskState::TaskFailed | TaskState::TaskKilled) {
            return;
        }
        let (task, uuid) = (&update.status.task_id.value, update.uuid.clone().unwrap_or_default());
        let (known, before) = self.by_task.entry(task.clone()).or_insert_with(|| (uuid.clone(), state));
        assert!(
            *known == uuid,
            "a task ends once: {task} was {} and is {} now",
            before.as_str_name(),
            state.as_str_name()
        );
    }
}

/// What a replica says to others is on its disk: a promise or an acceptance that a crash takes back was none.
pub fn a_replica_keeps_its_word(number: usize, replica: &Replica, name: &str, body: &[u8]) {
    let kept = match name {
        PromiseResponse::NAME => {
            let response = PromiseResponse::decode_checked(body).expect("the log's own messages are right");
            let accepts = response.r#type() == promise_response::Type::Accept;
            match (&response.action, response.position) {
                _ if !accepts => true,
                // For one position, where something is: that is learned, truncated, or promised now.
                (Some(action), _) => replica
                    .has(action.position, |found| found.learned() || found.promised >= response.proposal),
                (None, Some(_)) => {
                    replica.promised() >= response.proposal
                        || response
                            .position
                            .is_some_and(|at| replica.has(at, |found| found.promised >= response.proposal))
                }
                (None, None) => true,
            }
        }
        WriteResponse::NAME => {
            let response = WriteResponse::decode_checked(body).expect("the log's own messages are right");
            let has = |found: &Action| found.learned() || found.performed >= Some(response.proposal);
            response.r#type() != write_response::Type::Accept || replica.has(response.position, has)
        }
        _ => true,
    };
    assert!(kept, "a replica keeps its word: what {number} says by {name} is not on its disk");
}

/// A replica that promised something does not promise less later.
pub fn promises_only_grow(number: usize, before: u64, metadata: &Metadata) {
    assert!(
        metadata.promised >= before,
        "promises only grow: replica {number} promised {before}, and {} now",
        metadata.promised
    );
}

/// All replicas that learned a position learned the same.
#[derive(Debug, Default)]
pub struct Chosen {
    by_position: BTreeMap<u64, Action>,
}

impl Chosen {
    pub fn learned(&mut self, action: &Action) {
        // A tombstone says only that nothing is left there.
        if !action.learned() || action.nop.is_some_and(|nop| nop.tombstone()) {
            return;
        }
        let known = self.by_position.entry(action.position).or_insert_with(|| action.clone());
        let same = known.r#type == action.r#type
            && known.append == action.append
            && known.truncate == action.truncate;
        assert!(
            same,
            "the log has one value at a position: at {} both {known:?} and {action:?} are learned",
            action.position
        );
    }
}

/// When ZooKeeper ends the session of a master, that master has stopped leading before, by its own clock.
pub fn no_lease_outlives_its_session(number: usize, leads_until: Option<Time>, now: Time) {
    if let Some(until) = leads_until {
        assert!(
            until <= now,
            "at most one leader acts: the session of master {number} ends {:?} before its lease",
            until.since(now)
        );
    }
}
