//! Agents that are to be unavailable: frameworks that hold something there are asked to leave, by inverse offers, one at
//! a time for an agent and a framework. What they answer only says for how long they are not asked again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use messor_proto::mesos::Unavailability;
use messor_stdx::Time;
use messor_types::{AgentId, FrameworkId};

use crate::allocator::Allocator;
use crate::event::Effect;

/// An agent that is to be unavailable.
#[derive(Debug)]
pub(crate) struct Plan {
    unavailability: Unavailability,
    /// Frameworks that were asked and have not answered.
    outstanding: BTreeSet<FrameworkId>,
    /// Until when frameworks are not asked again.
    refused: BTreeMap<FrameworkId, Time>,
}

impl Allocator {
    /// What is planned for an agent. Another plan is another question: all are asked anew.
    pub(crate) fn plan(&mut self, slot: usize, unavailability: Option<Unavailability>) {
        if self.plans.get(&slot).map(|plan| plan.unavailability) == unavailability {
            return;
        }
        self.agents[slot].details.unavailability = unavailability;
        match unavailability {
            Some(unavailability) => {
                let plan = Plan { unavailability, outstanding: BTreeSet::new(), refused: BTreeMap::new() };
                self.plans.insert(slot, plan);
            }
            None => drop(self.plans.remove(&slot)),
        }
        self.mark(slot, true);
    }

    /// The framework answered, or the inverse offer is no more. One that the plan does not know is an old one.
    pub(crate) fn update_inverse_offer(
        &mut self,
        now: Time,
        agent_id: &AgentId,
        framework_id: &FrameworkId,
        refuse: Option<Duration>,
    ) {
        let Some(plan) = self.agent_slots.get(agent_id).and_then(|slot| self.plans.get_mut(slot)) else {
            return;
        };
        if !plan.outstanding.remove(framework_id) {
            return;
        }
        if let Some(refuse) = refuse.filter(|refuse| !refuse.is_zero()) {
            plan.refused.insert(framework_id.clone(), now + refuse);
        }
    }

    /// The framework may be asked again at once, by all agents.
    pub(crate) fn forget_refused_inverse_offers(&mut self, framework: usize) {
        let id = &self.frameworks[framework].id;
        for plan in self.plans.values_mut() {
            plan.refused.remove(id);
        }
    }

    /// The framework leaves: it has no inverse offers.
    pub(crate) fn forget_inverse_offers(&mut self, framework: usize) {
        self.forget_refused_inverse_offers(framework);
        let id = &self.frameworks[framework].id;
        for plan in self.plans.values_mut() {
            plan.outstanding.remove(id);
        }
    }

    /// Asks whoever holds something on these agents, or on all if none are named.
    pub(crate) fn ask_to_leave(&mut self, now: Time, among: Option<&[usize]>, effects: &mut Vec<Effect>) {
        if self.plans.is_empty() {
            return;
        }
        let mut asked: BTreeMap<usize, Vec<(AgentId, Unavailability)>> = BTreeMap::new();
        let is_among = |slot: usize| among.is_none_or(|among| among.contains(&slot));
        for (&slot, plan) in self.plans.iter_mut().filter(|(slot, _)| is_among(**slot)) {
            let agent = &self.agents[slot];
            let listed = self.whitelist.as_ref().is_none_or(|list| list.contains(&agent.details.hostname));
            if !agent.active || !listed {
                continue;
            }
            plan.refused.retain(|_, until| *until > now);
            let holders: BTreeSet<usize> =
                agent.held.keys().map(|client| self.tree.client(*client).framework).collect();
            for holder in holders {
                let framework = &self.frameworks[holder];
                let may_be = framework.active && !plan.refused.contains_key(&framework.id);
                if may_be && plan.outstanding.insert(framework.id.clone()) {
                    asked.entry(holder).or_default().push((agent.id.clone(), plan.unavailability));
                }
            }
        }
        for (framework, agents) in asked {
            let framework_id = self.frameworks[framework].id.clone();
            effects.push(Effect::InverseOffer { framework_id, agents });
        }
    }
}
