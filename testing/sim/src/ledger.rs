//! What masters were told is durable in the registry: no later master may find less there.

use std::collections::{BTreeMap, BTreeSet};

use messor_proto::Wire;
use messor_proto::mesos;
use messor_proto::mesos::internal::{AgentRegisteredMessage, AgentReregisteredMessage};
use messor_registry::{Operation, State};
use messor_types::AgentId;

use crate::maintenance::Plan;

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

#[derive(Debug, Default)]
pub struct Ledger {
    entries: BTreeMap<AgentId, Entry>,
    asked: BTreeMap<(usize, u64), Vec<(AgentId, Status)>>,
    /// Quota and weights by role, as they were acknowledged, or as an operation that has no answer yet leaves them.
    settings: BTreeMap<String, BTreeSet<String>>,
    settings_asked: BTreeMap<(usize, u64), Vec<(String, String)>>,
    /// What is planned for machines, and which are down, as it was acknowledged; and what was asked for since, in order.
    plan: Plan,
    plan_asked: Vec<((usize, u64), Operation)>,
    pub acknowledged: u64,
}

/// What an operation sets: of which role, and to what.
fn settings_of(operation: &Operation) -> Vec<(String, String)> {
    match operation {
        Operation::UpdateQuota { configs } => configs.iter().map(quota_setting).collect(),
        Operation::UpdateWeights { weights } => weights.iter().map(weight_setting).collect(),
        _ => Vec::new(),
    }
}

fn quota_setting(config: &mesos::quota::QuotaConfig) -> (String, String) {
    let is_none = config.guarantees.is_empty() && config.limits.is_empty();
    let value = if is_none { NOTHING.to_string() } else { format!("{config:?}") };
    (format!("the quota of {}", config.role), value)
}

fn weight_setting(info: &mesos::WeightInfo) -> (String, String) {
    (format!("the weight of {}", info.role()), info.weight.to_string())
}

const NOTHING: &str = "nothing";

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
    /// The agent was there once, and is not any more, nor will it be.
    pub fn has_left(&self, agent: &AgentId) -> bool {
        let status = self.entries.get(agent).and_then(|entry| entry.status);
        matches!(status, Some(Status::Removed | Status::Gone))
    }

    /// What is planned for machines, as operators were told.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub fn asked(&mut self, ticket: u64, master: usize, operation: &Operation) {
        let effect = effect_of(operation);
        for (id, _) in &effect {
            self.entries.entry(id.clone()).or_default().doubtful = true;
        }
        self.asked.insert((master, ticket), effect);
        let settings = settings_of(operation);
        for (what, value) in &settings {
            let possible = self.settings.entry(what.clone());
            possible.or_insert_with(|| BTreeSet::from([NOTHING.to_string()])).insert(value.clone());
        }
        self.settings_asked.insert((master, ticket), settings);
        if Plan::is_of(operation) {
            self.plan_asked.push(((master, ticket), operation.clone()));
        }
    }

    /// Tells which agents have left by that.
    pub fn answered(&mut self, ticket: u64, master: usize, outcome: &Result<bool, String>) -> Vec<AgentId> {
        let effect = self.asked.remove(&(master, ticket)).unwrap_or_default();
        let settings = self.settings_asked.remove(&(master, ticket)).unwrap_or_default();
        let mut left = Vec::new();
        // Without an outcome it is made or not: who leads next knows.
        let planned = self.plan_asked.iter().position(|(of, _)| *of == (master, ticket) && outcome.is_ok());
        let planned = planned.map(|at| self.plan_asked.remove(at).1);
        if matches!(outcome, Ok(true)) {
            self.acknowledged += 1;
            if let Some(operation) = planned {
                self.plan.change(&operation);
            }
            for (what, value) in settings {
                let waiting = self.settings_asked.values().flatten();
                let mut possible: BTreeSet<String> =
                    waiting.filter(|(other, _)| *other == what).map(|(_, value)| value.clone()).collect();
                possible.insert(value);
                self.settings.insert(what, possible);
            }
            for (id, status) in effect {
                let entry = self.entries.entry(id.clone()).or_default();
                assert!(
                    entry.status != Some(Status::Gone) || matches!(status, Status::Gone | Status::Removed),
                    "who is gone stays gone: {id} is {status:?} in the registry"
                );
                entry.status = Some(status);
                entry.doubtful = self.asked.values().flatten().any(|(other, _)| *other == id);
                if self.has_left(&id) {
                    left.push(id);
                }
            }
        }
        left
    }

    /// An agent is told that it is registered only once the registry has it.
    pub fn registered_only_once_stored(&self, name: &str, body: &[u8]) {
        let id = match name {
            AgentRegisteredMessage::NAME => {
                AgentRegisteredMessage::decode_checked(body).map(|said| said.agent_id)
            }
            AgentReregisteredMessage::NAME => {
                AgentReregisteredMessage::decode_checked(body).map(|said| said.agent_id)
            }
            _ => return,
        };
        let id = AgentId::from(&id.expect("the master's own messages are right"));
        let status = self.entries.get(&id).and_then(|entry| entry.status);
        assert!(
            status == Some(Status::Admitted),
            "an agent is registered only once the registry has it: {id} is {status:?} there"
        );
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
        let found: BTreeMap<String, String> =
            state.quota_configs().map(quota_setting).chain(state.weights().map(weight_setting)).collect();
        for (what, possible) in &mut self.settings {
            let found = found.get(what).map_or(NOTHING, String::as_str);
            assert!(
                possible.contains(found),
                "no acknowledged registry write is lost: {what} is {found} now, and was one of {possible:?}"
            );
            *possible = BTreeSet::from([found.to_string()]);
        }
        let found = Plan::of(state);
        let mut possible = BTreeSet::from([std::mem::take(&mut self.plan)]);
        for (_, operation) in self.plan_asked.drain(..) {
            let changed: Vec<Plan> = possible.iter().map(|plan| plan.clone().changed(&operation)).collect();
            possible.extend(changed);
        }
        assert!(
            possible.contains(&found),
            "no acknowledged registry write is lost: the maintenance is {found:?}, and was one of {possible:?}"
        );
        self.plan = found;
        // What masters of before asked for was done by now, or never will be.
        self.asked.clear();
        self.settings_asked.clear();
    }
}
