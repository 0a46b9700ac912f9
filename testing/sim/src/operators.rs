//! Whoever runs the cluster: marks agents gone that will not come back, changes reservations, volumes, quota and weights,
//! plans maintenance, takes machines down and up, drains agents and takes them in again.

use std::collections::{BTreeMap, BTreeSet};
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
    /// That no agent is on this machine any more.
    Down(String, u64),
    /// That agents may be there again.
    Up(String),
    Other,
}

/// Machines without agents, as operators were told; and how often that was asked to be changed.
#[derive(Debug, Default)]
pub struct Machines {
    down: BTreeSet<String>,
    changes: BTreeMap<String, u64>,
    /// Those that are switched off meanwhile.
    off: BTreeSet<String>,
    /// Agents that operators themselves marked gone.
    pub marked_gone: BTreeSet<AgentId>,
}

impl Machines {
    pub fn is_down(&self, hostname: &str) -> bool {
        self.down.contains(hostname)
    }

    fn change(&mut self, machine: &str) -> u64 {
        let changes = self.changes.entry(machine.to_string()).or_default();
        *changes += 1;
        *changes
    }
}

/// Of the machines of a run, by the number of their agents.
pub fn hostname(agent: usize) -> String {
    format!("agent{agent}")
}

/// So many at once: the others have work to do.
const MOST_DOWN: usize = 2;

/// Agents that are not to get tasks, as operators were told; and how often that was asked to be changed.
#[derive(Debug, Default)]
pub struct Closed {
    agents: BTreeSet<AgentId>,
    changes: BTreeMap<AgentId, u64>,
}

impl Closed {
    pub fn contains(&self, agent: &AgentId) -> bool {
        self.agents.contains(agent)
    }

    /// The registry has it no more, and if it comes back it is as it was at first.
    pub fn forget(&mut self, agent: &AgentId) {
        self.change(agent);
        self.agents.remove(agent);
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
        match asked {
            _ if *outcome != Outcome::Done => {}
            Asked::Close(agent, change) if self.closed.changes.get(&agent) == Some(&change) => {
                self.closed.agents.insert(agent);
            }
            Asked::Down(machine, change) if self.machines.changes.get(&machine) == Some(&change) => {
                if self.rng.one_in(2) {
                    self.machines.off.insert(machine.clone());
                    let after = self.rng.between(Duration::from_millis(1), Duration::from_secs(10));
                    self.agenda.after(after, Happening::SwitchOff(machine.clone()));
                }
                self.machines.down.insert(machine);
            }
            Asked::Up(machine) => self.switch_on(&machine),
            Asked::Close(..) | Asked::Down(..) | Asked::Other => {}
        }
    }

    pub(crate) fn switch_off(&mut self, machine: &str) {
        let number = (0..self.agents.len()).find(|number| hostname(*number) == machine);
        if let Some(number) = number.filter(|_| self.machines.off.contains(machine)) {
            self.trace(|| format!("agent {number} is switched off with its machine"));
            self.stop_agent(number, true);
        }
    }

    fn switch_on(&mut self, machine: &str) {
        let number = (0..self.agents.len()).find(|number| hostname(*number) == machine);
        if let Some(number) = number.filter(|_| self.machines.off.remove(machine)) {
            self.agenda.after(Duration::from_secs(1), Happening::StartAgent(number));
        }
    }

    /// A machine that is down may have agents again.
    fn bring_up(&mut self, number: usize, machine: String) {
        self.machines.change(&machine);
        self.machines.down.remove(&machine);
        let machines = vec![self.machine_id(&machine)];
        self.ask(number, Asked::Up(machine), OperatorCall::StopMaintenance { machines });
    }

    fn take_down(&mut self, number: usize, machine: String) {
        let change = self.machines.change(&machine);
        let machines = vec![self.machine_id(&machine)];
        self.ask(number, Asked::Down(machine, change), OperatorCall::StartMaintenance { machines });
    }

    fn machine_id(&self, machine: &str) -> MachineId {
        let node = self.agents.iter().enumerate().find(|(number, _)| hostname(*number) == machine);
        let ip = node.map(|(_, node)| node.pid.address.ip().to_string());
        MachineId { hostname: Some(machine.to_string()), ip }
    }

    /// Of what operators know to be planned: one machine goes down, or comes up.
    fn maintain(&mut self, number: usize) {
        let plan = self.ledger.plan();
        let down: Vec<String> = plan.down.iter().cloned().collect();
        let draining: Vec<String> = plan.draining().cloned().collect();
        if !down.is_empty() && (down.len() >= MOST_DOWN || draining.is_empty() || self.rng.one_in(2)) {
            let machine = down[self.pick(down.len())].clone();
            self.bring_up(number, machine);
        } else if !draining.is_empty() {
            let machine = draining[self.pick(draining.len())].clone();
            self.take_down(number, machine);
        }
    }

    /// A new schedule: with what is down, as it has to be, and perhaps one machine more; now and then without.
    fn some_schedule(&mut self) -> Box<maintenance::Schedule> {
        let mut machines: Vec<String> = match self.rng.one_in(8) {
            true => Vec::new(),
            false => self.ledger.plan().down.iter().cloned().collect(),
        };
        if self.rng.one_in(2) {
            let more = hostname(self.pick(self.agents.len()));
            if !machines.contains(&more) {
                machines.push(more);
            }
        }
        let windows = machines.iter().map(|machine| self.machine_id(machine)).collect::<Vec<_>>();
        let windows = windows.into_iter().map(|machine| self.window(machine)).collect();
        Box::new(maintenance::Schedule { windows })
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
            self.mark_gone(number, agent);
        }
    }

    fn mark_gone(&mut self, number: usize, agent: AgentId) {
        self.machines.marked_gone.insert(agent.clone());
        self.ask(number, Asked::Other, OperatorCall::MarkAgentGone { agent });
    }

    fn open_all(&mut self, number: usize) {
        if self.options.keepers == 0 {
            return;
        }
        let roles = plans::ROLES.iter().chain([&plans::PARENT, &"role-0"]);
        let none = |role: &&str| QuotaConfig { role: (*role).to_string(), ..QuotaConfig::default() };
        let configs = roles.map(none).collect();
        self.ask(number, Asked::Other, OperatorCall::UpdateQuota { configs, force: true });
        let down: Vec<String> = self.ledger.plan().down.iter().cloned().collect();
        down.into_iter().for_each(|machine| self.bring_up(number, machine));
        let schedule = Box::default();
        self.ask(number, Asked::Other, OperatorCall::UpdateSchedule { schedule });
        let off: Vec<String> = self.machines.off.iter().cloned().collect();
        off.iter().for_each(|machine| self.switch_on(machine));
        self.make_room(number);
        let Some(process) = &self.masters[number].process else { return };
        let view = process.master.view_without_metrics(self.agenda.now);
        let mut closed: BTreeSet<AgentId> =
            view.agents.iter().filter(|agent| agent.deactivated).map(|agent| agent.id.clone()).collect();
        closed.extend(self.closed.agents.iter().cloned());
        for agent in closed {
            self.reactivate(number, agent);
        }
    }

    /// Others need some of what is reserved.
    fn make_room(&mut self, number: usize) {
        let Some(process) = &self.masters[number].process else { return };
        let view = process.master.view_without_metrics(self.agenda.now);
        for agent in &view.agents {
            let resources = agent.total.non_revocable().to_proto(ResourceFormat::PostRefinement);
            let plain = resources
                .iter()
                .filter(|resource| resource.name == "cpus" && resource.reservations.is_empty());
            let free: f64 = plain.filter_map(|resource| resource.scalar).map(|scalar| scalar.value).sum();
            if free >= 1.0 {
                continue;
            }
            for role in plans::ROLES.iter().chain([&plans::PARENT]) {
                let Some(operation) = Holding::of(&resources, role).unreserve() else { continue };
                let call =
                    OperatorCall::Operation { agent: agent.id.clone(), operation: Box::new(operation) };
                self.ask(number, Asked::Other, call);
            }
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
        let call = match self.rng.below(16) {
            0..=4 => {
                let role = [plans::ROLES[0], plans::ROLES[1], plans::PARENT][self.pick(3)];
                let other = plans::ROLES[self.pick(plans::ROLES.len())];
                let resources = agent.total.to_proto(ResourceFormat::PostRefinement);
                let mut holding = Holding::of(&resources, role);
                let name = format!("v-operator-{}", self.fresh());
                let operation = match self.rng.below(8) {
                    0 | 1 => holding.reserve(&mut self.rng),
                    2 | 3 => holding.create(&name, self.rng.one_in(3)),
                    4 => holding.destroy(&mut self.rng),
                    5 => holding.unreserve(),
                    6 if other != role && role != plans::PARENT => holding.hand_over(other),
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
                let schedule = self.some_schedule();
                OperatorCall::UpdateSchedule { schedule }
            }
            9 | 10 => return self.maintain(number),
            // It is thought to be lost, and is not.
            11 if self.rng.one_in(3) => return self.mark_gone(number, id),
            11 => return,
            kind => {
                if agent.deactivated {
                    return self.reactivate(number, id);
                }
                if self.rng.one_in(2) {
                    return;
                }
                let change = self.closed.change(&id);
                let call = match kind {
                    12 => OperatorCall::DeactivateAgent { agent: id.clone() },
                    _ => OperatorCall::DrainAgent {
                        agent: id.clone(),
                        max_grace_period: None,
                        mark_gone: self.rng.one_in(4),
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
