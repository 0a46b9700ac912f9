//! Whoever runs the cluster: marks agents gone that will not come back, changes reservations, volumes, quota and weights,
//! plans maintenance, drains agents and takes them in again.

use std::collections::BTreeSet;
use std::time::Duration;

use messor_master_core::{Event as MasterEvent, OperatorCall, Outcome, ReplyId};
use messor_proto::mesos::quota::QuotaConfig;
use messor_proto::mesos::{MachineId, TimeInfo, Unavailability, WeightInfo, maintenance, value};
use messor_types::{AgentId, ResourceFormat};

use crate::plans::{self, Holding};
use crate::world::{Happening, World};

/// What an operator waits to hear.
#[derive(Debug)]
pub enum Asked {
    /// That this agent is not offered any more; nothing else was asked about it since.
    Close(AgentId, u64),
    Other,
}

/// Agents that are not to get tasks, as operators were told; and how often that was asked to be changed.
#[derive(Debug, Default)]
pub struct Closed {
    agents: BTreeSet<AgentId>,
    changes: std::collections::BTreeMap<AgentId, u64>,
}

impl Closed {
    pub fn contains(&self, agent: &AgentId) -> bool {
        self.agents.contains(agent)
    }

    fn change(&mut self, agent: &AgentId) -> u64 {
        let changes = self.changes.entry(agent.clone()).or_default();
        *changes += 1;
        *changes
    }
}

impl World {
    /// The master that acts, if there is one.
    fn acting(&self) -> Option<usize> {
        self.masters.iter().position(|node| node.process.as_ref().is_some_and(|process| process.leads))
    }

    fn ask(&mut self, number: usize, asked: Asked, call: OperatorCall) {
        self.trace(|| format!("an operator asks master {number} for {call:?}"));
        let reply = ReplyId(self.fresh());
        self.asked.insert(reply.0, asked);
        self.master(number, MasterEvent::Operator { reply, principal: None, call });
    }

    pub(crate) fn operators_hear(&mut self, reply: ReplyId, outcome: &Outcome) {
        let Some(asked) = self.asked.remove(&reply.0) else { return };
        self.trace(|| format!("the operator hears of {asked:?}: {outcome:?}"));
        if let (Asked::Close(agent, change), Outcome::Done) = (asked, outcome)
            && self.closed.changes.get(&agent) == Some(&change)
        {
            self.closed.agents.insert(agent);
        }
    }

    /// An agent that got another id never comes back under the old one. Whoever runs the cluster says so to the master;
    /// and makes everything as it was, so that the rest of the work can be done.
    pub(crate) fn operator(&mut self) {
        self.agenda.after(Duration::from_secs(60), Happening::Operator);
        let living: BTreeSet<AgentId> = self
            .agents
            .iter()
            .filter_map(|node| node.process.as_ref())
            .filter_map(|process| process.agent.view(self.agenda.now).info.id.as_ref().map(AgentId::from))
            .collect();
        let Some(number) = self.acting() else { return };
        self.open_all(number);
        let Some(process) = &self.masters[number].process else { return };
        let view = process.master.view_without_metrics(self.agenda.now);
        let dead = view.unreachable_agents.iter().map(|(id, _)| id).find(|id| !living.contains(*id));
        if let Some(agent) = dead.cloned() {
            self.ask(number, Asked::Other, OperatorCall::MarkAgentGone { agent });
        }
    }

    fn open_all(&mut self, number: usize) {
        if self.options.keepers == 0 {
            return;
        }
        let roles = plans::ROLES.iter().chain([&plans::PARENT, &"role-0"]);
        let none = |role: &&str| QuotaConfig { role: (*role).to_string(), ..QuotaConfig::default() };
        let configs = roles.map(none).collect();
        self.ask(number, Asked::Other, OperatorCall::UpdateQuota { configs, force: true });
        let schedule = Box::default();
        self.ask(number, Asked::Other, OperatorCall::UpdateSchedule { schedule });
        let Some(process) = &self.masters[number].process else { return };
        let view = process.master.view_without_metrics(self.agenda.now);
        let mut closed: BTreeSet<AgentId> =
            view.agents.iter().filter(|agent| agent.deactivated).map(|agent| agent.id.clone()).collect();
        closed.extend(self.closed.agents.iter().cloned());
        for agent in closed {
            self.reactivate(number, agent);
        }
    }

    fn reactivate(&mut self, number: usize, agent: AgentId) {
        self.closed.change(&agent);
        self.closed.agents.remove(&agent);
        self.ask(number, Asked::Other, OperatorCall::ReactivateAgent { agent });
    }

    /// Something now and then.
    pub(crate) fn operators(&mut self) {
        if self.faults_are_over() {
            self.keepers.iter_mut().for_each(|keeper| keeper.closing = true);
            return;
        }
        let next = self.rng.between(Duration::from_secs(1), Duration::from_secs(15));
        self.agenda.after(next, Happening::Operators);
        let Some(number) = self.acting() else { return };
        let Some(process) = &self.masters[number].process else { return };
        let view = process.master.view_without_metrics(self.agenda.now);
        if view.agents.is_empty() {
            return;
        }
        let agent = &view.agents[self.pick(view.agents.len())];
        let id = agent.id.clone();
        let machine = MachineId {
            hostname: Some(agent.info.hostname.clone()),
            ip: Some(agent.pid.address.ip().to_string()),
        };
        let call = match self.rng.below(12) {
            0..=4 => {
                let role = plans::ROLES[self.pick(plans::ROLES.len())];
                let other = plans::ROLES[self.pick(plans::ROLES.len())];
                let resources = agent.total.to_proto(ResourceFormat::PostRefinement);
                let mut holding = Holding::of(&resources, role);
                let name = format!("v-operator-{}", self.fresh());
                let operation = match self.rng.below(8) {
                    0 | 1 => holding.reserve(&mut self.rng),
                    2 | 3 => holding.create(&name, self.rng.one_in(3)),
                    4 => holding.destroy(&mut self.rng),
                    5 => holding.unreserve(),
                    6 if other != role => holding.hand_over(other),
                    6 => holding.grow(&mut self.rng),
                    _ => holding.shrink(&mut self.rng),
                };
                let Some(operation) = operation else { return };
                OperatorCall::Operation { agent: id, operation: Box::new(operation) }
            }
            5 | 6 => OperatorCall::UpdateQuota { configs: self.some_quota(), force: self.rng.one_in(2) },
            7 => {
                let role = plans::ROLES[self.pick(plans::ROLES.len())].to_string();
                let weight = 1.0 + self.pick(5) as f64;
                OperatorCall::UpdateWeights { weights: vec![WeightInfo { weight, role: Some(role) }] }
            }
            8 => {
                let windows = if self.rng.one_in(3) { Vec::new() } else { vec![self.window(machine)] };
                let schedule = Box::new(maintenance::Schedule { windows });
                OperatorCall::UpdateSchedule { schedule }
            }
            kind => {
                if agent.deactivated {
                    return self.reactivate(number, id);
                }
                if self.rng.one_in(2) {
                    return;
                }
                let change = self.closed.change(&id);
                let call = match kind {
                    9 => OperatorCall::DeactivateAgent { agent: id.clone() },
                    _ => OperatorCall::DrainAgent {
                        agent: id.clone(),
                        max_grace_period: None,
                        mark_gone: false,
                    },
                };
                return self.ask(number, Asked::Close(id, change), call);
            }
        };
        self.ask(number, Asked::Other, call);
    }

    fn some_quota(&mut self) -> Vec<QuotaConfig> {
        let role = [plans::ROLES[0], plans::ROLES[1], plans::PARENT, "role-0"][self.pick(4)];
        let amounts = |cpus: f64, mem: f64| {
            let scalar = |value| value::Scalar { value };
            [("cpus".to_string(), scalar(cpus)), ("mem".to_string(), scalar(mem))].into_iter().collect()
        };
        let mut config = QuotaConfig { role: role.to_string(), ..QuotaConfig::default() };
        let limit = 1.0 + self.pick(6) as f64;
        match self.rng.below(4) {
            0 => {}
            1 => config.guarantees = amounts(1.0, 128.0),
            2 => config.limits = amounts(limit, 128.0 * limit),
            _ => {
                config.guarantees = amounts(1.0, 128.0);
                config.limits = amounts(limit, 128.0 * limit);
            }
        }
        vec![config]
    }

    fn window(&mut self, machine: MachineId) -> maintenance::Window {
        let start = self.agenda.now + Duration::from_secs(self.rng.below(120));
        let since_epoch = start.since(messor_stdx::Time::ZERO).as_nanos();
        let nanoseconds = i64::try_from(since_epoch).unwrap_or(i64::MAX);
        maintenance::Window {
            machine_ids: vec![machine],
            unavailability: Unavailability { start: TimeInfo { nanoseconds }, duration: None },
        }
    }
}
