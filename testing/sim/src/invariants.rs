//! What must hold after each step of a run. Each has a name; a run that breaks one says it.

use std::collections::{BTreeMap, BTreeSet};

use messor_allocator::Allocator;
use messor_master_core::View;
use messor_proto::Wire;
use messor_proto::mesos::internal::StatusUpdateAcknowledgementMessage;
use messor_registry::{Operation, State};
use messor_stdx::Time;
use messor_types::AgentId;

/// A task that was begun once is never begun again, on whichever agent.
pub fn no_task_runs_twice<'t>(begun: impl Iterator<Item = &'t String>) {
    let mut seen = BTreeSet::new();
    for task in begun {
        assert!(seen.insert(task), "no task runs twice: {task} was begun a second time");
    }
}

/// What an agent's tasks use and what is offered of it is never more than what it has.
pub fn nothing_is_allocated_twice(view: &View) {
    for agent in &view.agents {
        let mut taken = agent.used.clone().unallocated();
        taken += &agent.offered.clone().unallocated();
        assert!(
            agent.total.contains(&taken),
            "nothing is allocated twice: agent {} has {}, used are {}, offered {}",
            agent.id,
            agent.total,
            agent.used,
            agent.offered
        );
    }
}

/// The allocator's own books balance: what is taken and what is free add up, and everybody stands where its share says.
pub fn the_allocator_agrees_with_itself(allocator: &Allocator) {
    if let Err(broken) = allocator.audit() {
        panic!("the allocator agrees with itself: {broken}");
    }
}

/// An agent hears that an update is acknowledged only if the scheduler noted it.
pub fn acknowledged_only_once_delivered(body: &[u8], noted: &BTreeSet<Vec<u8>>) {
    let message = StatusUpdateAcknowledgementMessage::decode_checked(body)
        .expect("the master's own messages are right");
    assert!(
        noted.contains(&message.uuid),
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Admitted,
    Unreachable,
    Gone,
    Removed,
}

#[derive(Debug, Default)]
struct Entry {
    status: Option<Status>,
    /// Changes that were asked for and not answered: they may have been made or not.
    doubtful: bool,
}

/// What masters were told is durable, by agent: no later master may see less.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: BTreeMap<AgentId, Entry>,
    asked: BTreeMap<(usize, u64), Vec<(AgentId, Status)>>,
    pub acknowledged: u64,
}

fn effect_of(operation: &Operation) -> Vec<(AgentId, Status)> {
    let of = |info: &messor_proto::mesos::AgentInfo| info.id.as_ref().map(AgentId::from);
    match operation {
        Operation::AdmitAgent { info }
        | Operation::UpdateAgent { info }
        | Operation::MarkAgentReachable { info } => {
            of(info).into_iter().map(|id| (id, Status::Admitted)).collect()
        }
        Operation::MarkAgentUnreachable { id, .. } => vec![(id.clone(), Status::Unreachable)],
        Operation::RemoveAgent { id } => vec![(id.clone(), Status::Removed)],
        Operation::MarkAgentGone { id, .. } => vec![(id.clone(), Status::Gone)],
        Operation::Prune { unreachable, gone } => {
            unreachable.iter().chain(gone).map(|id| (id.clone(), Status::Removed)).collect()
        }
        _ => Vec::new(),
    }
}

impl Ledger {
    pub fn asked(&mut self, ticket: u64, master: usize, operation: &Operation) {
        let effect = effect_of(operation);
        for (id, _) in &effect {
            self.entries.entry(id.clone()).or_default().doubtful = true;
        }
        self.asked.insert((master, ticket), effect);
    }

    pub fn answered(&mut self, ticket: u64, master: usize, outcome: &Result<bool, String>) {
        let effect = self.asked.remove(&(master, ticket)).unwrap_or_default();
        if matches!(outcome, Ok(true)) {
            self.acknowledged += 1;
            for (id, status) in effect {
                let entry = self.entries.entry(id.clone()).or_default();
                entry.status = Some(status);
                entry.doubtful = self.asked.values().flatten().any(|(other, _)| *other == id);
            }
        }
    }

    /// A new master has read the registry.
    pub fn recovered(&mut self, state: &State) {
        let admitted: BTreeSet<&AgentId> = state.agents().map(|(id, _)| id).collect();
        let unreachable: BTreeSet<&AgentId> = state.unreachable().map(|(id, _)| id).collect();
        let gone: BTreeSet<&AgentId> = state.gone().map(|(id, _)| id).collect();
        for (id, entry) in &mut self.entries {
            let found = match () {
                () if admitted.contains(id) => Some(Status::Admitted),
                () if unreachable.contains(id) => Some(Status::Unreachable),
                () if gone.contains(id) => Some(Status::Gone),
                () => None,
            };
            if entry.doubtful {
                entry.status = found.or(entry.status.map(|_| Status::Removed));
                entry.doubtful = false;
                continue;
            }
            let expected = entry.status.filter(|status| *status != Status::Removed);
            assert!(
                expected == found,
                "no acknowledged registry write is lost: agent {id} was {expected:?}, and is {found:?} now"
            );
        }
        // What masters of before asked for was done by now, or never will be.
        self.asked.clear();
    }
}
