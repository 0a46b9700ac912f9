//! The machine itself: what each event changes. How offers are made of that is in `run`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;
use messor_stdx::Time;
use messor_types::{
    AgentId, FrameworkId, Quota, Resource, ResourceConversion, ResourceQuantities, Resources, Role,
    attributes_equal,
};
use slab::Slab;

use crate::agent::Agent;
use crate::event::{AgentDetails, Effect, Event};
use crate::framework::Framework;
use crate::ledger::Ledger;
use crate::load::Portion;
use crate::maintenance::Plan;
use crate::options::Options;
use crate::preemption::Wanting;
use crate::tree::Tree;

/// The allocator. One event at a time; it cannot fail and never waits.
#[derive(Debug)]
pub struct Allocator {
    pub(crate) options: Options,
    pub(crate) rng: Rng,
    pub(crate) tree: Tree,
    pub(crate) agents: Slab<Agent>,
    pub(crate) agent_slots: BTreeMap<AgentId, usize>,
    pub(crate) frameworks: Slab<Framework>,
    pub(crate) framework_slots: BTreeMap<FrameworkId, usize>,
    pub(crate) whitelist: Option<BTreeSet<String>>,
    pub(crate) ledger: Ledger,
    /// Agents with something that quota kept from somebody, and the state of the books when they were last looked at.
    pub(crate) held_back: BTreeSet<usize>,
    pub(crate) held_back_at: u64,
    /// Agents that are to be unavailable.
    pub(crate) plans: BTreeMap<usize, Plan>,
    /// Agents marked `changed`, and perhaps some that were removed or looked at since.
    pub(crate) changed: Vec<usize>,
    /// The same of `urgent`.
    pub(crate) urgent: Vec<usize>,
    /// All agents with something to offer are to be looked at, or that cannot wait either: see `mark_promised`.
    pub(crate) all_changed: bool,
    pub(crate) all_urgent: bool,
    pub(crate) woken: bool,
    /// Agents with filters, by a time at which one may expire.
    pub(crate) expiries: BTreeSet<(Time, usize)>,
    pub(crate) ticks: u64,
    pub(crate) runs: u64,
    /// Nothing is offered until then, or until so many agents are there.
    pub(crate) held_off: Option<(Time, usize)>,
    pub(crate) wanting: Wanting,
}

impl Allocator {
    pub fn new(options: Options) -> Allocator {
        Allocator {
            rng: Rng::with_seed(options.seed),
            tree: Tree::new(
                options.sorters,
                options.fair_sharing_excluded_resource_names.clone(),
                options.role_priorities.clone(),
            ),
            options,
            agents: Slab::new(),
            agent_slots: BTreeMap::new(),
            frameworks: Slab::new(),
            framework_slots: BTreeMap::new(),
            whitelist: None,
            ledger: Ledger::default(),
            held_back: BTreeSet::new(),
            held_back_at: 0,
            plans: BTreeMap::new(),
            changed: Vec::new(),
            urgent: Vec::new(),
            all_changed: false,
            all_urgent: false,
            woken: false,
            expiries: BTreeSet::new(),
            ticks: 0,
            runs: 0,
            held_off: None,
            wanting: Wanting::default(),
        }
    }

    pub fn handle(&mut self, now: Time, event: Event, effects: &mut Vec<Effect>) {
        if let Err(reason) = self.change(now, event, effects) {
            effects.push(Effect::Inconsistent { reason });
        }
        let cannot_wait = !self.urgent.is_empty() || (self.all_urgent && !self.agents.is_empty());
        if cannot_wait && !self.woken {
            self.woken = true;
            effects.push(Effect::Wake);
        }
    }

    fn change(&mut self, now: Time, event: Event, effects: &mut Vec<Effect>) -> Result<(), String> {
        match event {
            Event::Recover { expected_agents } => {
                self.hold_off(now, expected_agents);
                Ok(())
            }
            Event::AddAgent { agent_id, details, total, used } => {
                self.add_agent(agent_id, details, total, used)
            }
            Event::AddUsed { agent_id, used } => {
                let slot = self.agent_slot(&agent_id)?;
                self.add_used(slot, used);
                self.count(slot);
                Ok(())
            }
            Event::RemoveAgent { agent_id } => self.remove_agent(&agent_id),
            Event::UpdateAgent { agent_id, details, total } => self.update_agent(&agent_id, details, total),
            Event::ActivateAgent { agent_id } => self.set_agent_active(&agent_id, true),
            Event::DeactivateAgent { agent_id } => self.set_agent_active(&agent_id, false),
            Event::AddFramework { framework_id, details, active, used } => {
                self.add_framework(framework_id, details, active, used)
            }
            Event::UpdateFramework { framework_id, details } => self.update_framework(&framework_id, details),
            Event::RemoveFramework { framework_id } => self.remove_framework(&framework_id),
            Event::ActivateFramework { framework_id } => self.activate_framework(&framework_id),
            Event::DeactivateFramework { framework_id } => self.deactivate_framework(&framework_id),
            Event::RecoverResources { framework_id, agent_id, resources, refuse, allocated } => {
                self.recover(now, &framework_id, &agent_id, &resources, refuse, allocated)
            }
            Event::TransitionOfferedToAllocated { agent_id, resources } => {
                let agent = self.agent_slot(&agent_id)?;
                self.agents[agent].allocated += &resources;
                Ok(())
            }
            Event::UpdateAllocation { framework_id, agent_id, offered, conversions } => {
                self.update_allocation(&framework_id, &agent_id, &offered, &conversions)
            }
            Event::UpdateAvailable { ticket, agent_id, conversions } => {
                let outcome = self.update_available(&agent_id, &conversions);
                effects.push(Effect::Available { ticket, outcome });
                Ok(())
            }
            Event::ReviveOffers { framework_id, roles } => {
                let framework = self.framework_slot(&framework_id)?;
                let roles = self.meant_roles(framework, roles);
                self.revive(framework, &roles);
                self.forget_refused_inverse_offers(framework);
                self.mark_all(true);
                Ok(())
            }
            Event::SuppressOffers { framework_id, roles } => {
                let framework = self.framework_slot(&framework_id)?;
                let roles = self.meant_roles(framework, roles);
                self.suppress(framework, roles);
                Ok(())
            }
            Event::RequestResources { framework_id } => self.framework_slot(&framework_id).map(drop),
            Event::UpdateWeights { weights } => {
                for (role, weight) in weights {
                    self.tree.set_weight(&role, weight);
                }
                Ok(())
            }
            Event::UpdateQuota { quotas } => {
                self.update_quota(quotas);
                Ok(())
            }
            Event::UpdateUnavailability { agent_id, unavailability } => {
                let slot = self.agent_slot(&agent_id)?;
                self.plan(slot, unavailability);
                Ok(())
            }
            Event::UpdateInverseOffer { agent_id, framework_id, refuse } => {
                self.update_inverse_offer(now, &agent_id, &framework_id, refuse);
                Ok(())
            }
            Event::UpdateWhitelist { whitelist } => {
                self.whitelist = whitelist;
                self.mark_all(false);
                Ok(())
            }
            Event::Held { held } => {
                self.preempt(now, held, effects);
                Ok(())
            }
            Event::Tick => {
                self.tick(now, effects);
                Ok(())
            }
            Event::Allocate => {
                self.allocate_urgent(now, effects);
                Ok(())
            }
        }
    }

    fn agent_slot(&self, agent_id: &AgentId) -> Result<usize, String> {
        self.agent_slots.get(agent_id).copied().ok_or_else(|| format!("agent {agent_id} is not known"))
    }

    pub(crate) fn framework_slot(&self, framework_id: &FrameworkId) -> Result<usize, String> {
        let slot = self.framework_slots.get(framework_id).copied();
        slot.ok_or_else(|| format!("framework {framework_id} is not known"))
    }

    /// Brings the books of quota up to date after an agent changed.
    pub(crate) fn count(&mut self, slot: usize) {
        self.ledger.count(slot, Some(&self.agents[slot]));
    }

    fn update_quota(&mut self, quotas: BTreeMap<Role, Quota>) {
        let was_kept = self.ledger.is_kept();
        self.ledger.update(quotas);
        if self.ledger.is_kept() && !was_kept {
            for (slot, agent) in &self.agents {
                self.ledger.count(slot, Some(agent));
            }
        }
        self.mark_all(true);
    }

    pub(crate) fn mark(&mut self, slot: usize, urgent: bool) {
        let agent = &mut self.agents[slot];
        if !agent.changed {
            agent.changed = true;
            self.changed.push(slot);
        }
        if urgent && !agent.urgent {
            agent.urgent = true;
            self.urgent.push(slot);
        }
    }

    /// All agents that have something to offer are to be looked at. They are marked when that is done: until then many
    /// events may ask for it.
    pub(crate) fn mark_all(&mut self, urgent: bool) {
        self.all_changed = true;
        self.all_urgent |= urgent;
    }

    /// Marks what `mark_all` promised.
    pub(crate) fn mark_promised(&mut self) {
        let (changed, urgent) = (std::mem::take(&mut self.all_changed), std::mem::take(&mut self.all_urgent));
        for (slot, agent) in &mut self.agents {
            if !changed || agent.available().is_empty() {
                continue;
            }
            if !agent.changed {
                agent.changed = true;
                self.changed.push(slot);
            }
            if urgent && !agent.urgent {
                agent.urgent = true;
                self.urgent.push(slot);
            }
        }
    }

    /// What is settled about a client is to be asked again, at every agent.
    pub(crate) fn unsettle(&mut self, client: usize) {
        for (_, agent) in &mut self.agents {
            agent.settled.remove(client);
        }
    }

    // Agents.

    fn add_agent(
        &mut self,
        agent_id: AgentId,
        details: AgentDetails,
        total: Resources,
        used: BTreeMap<FrameworkId, Resources>,
    ) -> Result<(), String> {
        if self.agent_slots.contains_key(&agent_id) {
            return Err(format!("agent {agent_id} is added already"));
        }
        self.tree.change_total(&ResourceQuantities::new(), &total.quantities());
        let unavailability = details.unavailability;
        let slot = self.agents.insert(Agent::new(agent_id.clone(), details, total));
        self.plan(slot, unavailability);
        self.agent_slots.insert(agent_id, slot);
        self.add_used(slot, used);
        self.count(slot);
        self.mark(slot, true);
        Ok(())
    }

    fn add_used(&mut self, slot: usize, used: BTreeMap<FrameworkId, Resources>) {
        for (framework_id, resources) in used {
            self.agents[slot].allocated += &resources;
            match self.framework_slots.get(&framework_id) {
                Some(&framework) => self.hold_all(framework, slot, &resources),
                None => self.agents[slot].hold_unclaimed(framework_id, &resources),
            }
        }
    }

    fn remove_agent(&mut self, agent_id: &AgentId) -> Result<(), String> {
        let slot = self.agent_slot(agent_id)?;
        let holders: Vec<usize> = self.agents[slot].held.keys().copied().collect();
        for client in holders {
            let held = self.agents[slot].held[&client].clone();
            self.release(client, slot, &held);
            self.forget_client_if_idle(client);
        }
        for (client, count) in self.agents[slot].remove_all_filters() {
            self.tree.client_mut(client).filters -= count;
        }
        self.expiries.retain(|(_, agent)| *agent != slot);
        self.agent_slots.remove(agent_id);
        self.plans.remove(&slot);
        let agent = self.agents.remove(slot);
        self.tree.change_total(&agent.total().quantities(), &ResourceQuantities::new());
        self.ledger.count(slot, None);
        self.held_back.remove(&slot);
        self.changed.retain(|changed| *changed != slot);
        self.urgent.retain(|urgent| *urgent != slot);
        Ok(())
    }

    fn update_agent(
        &mut self,
        agent_id: &AgentId,
        details: AgentDetails,
        total: Option<Resources>,
    ) -> Result<(), String> {
        let slot = self.agent_slot(agent_id)?;
        let mut updated = false;
        self.plan(slot, details.unavailability);
        if self.agents[slot].details != details {
            updated = true;
            if !attributes_equal(&self.agents[slot].details.attributes, &details.attributes) {
                for (client, count) in self.agents[slot].remove_all_filters() {
                    self.tree.client_mut(client).filters -= count;
                }
            }
            self.agents[slot].details = details;
        }
        if let Some(total) = total.filter(|total| total != self.agents[slot].total()) {
            updated = true;
            self.set_total(slot, total);
        }
        if updated {
            self.agents[slot].settled.clear();
            self.mark(slot, true);
        }
        Ok(())
    }

    fn set_total(&mut self, agent: usize, total: Resources) {
        self.tree.change_total(&self.agents[agent].total().quantities(), &total.quantities());
        self.agents[agent].set_total(total);
        self.count(agent);
    }

    fn set_agent_active(&mut self, agent_id: &AgentId, active: bool) -> Result<(), String> {
        let slot = self.agent_slot(agent_id)?;
        self.agents[slot].active = active;
        self.count(slot);
        self.mark(slot, false);
        Ok(())
    }

    // Holding and releasing.

    pub(crate) fn hold_all(&mut self, framework: usize, agent: usize, resources: &Resources) {
        for (role, part) in resources.allocations() {
            let client = self.client_of(framework, &role);
            self.hold(client, agent, &part);
        }
    }

    pub(crate) fn hold(&mut self, client: usize, agent: usize, resources: &Resources) {
        self.hold_both(client, agent, resources, &resources.clone().unallocated());
    }

    /// `bare` is the same without allocation role.
    pub(crate) fn hold_both(&mut self, client: usize, agent: usize, resources: &Resources, bare: &Resources) {
        self.agents[agent].hold_both(client, resources, bare);
        self.count(agent);
        self.tree.client_mut(client).agents.insert(agent);
        self.tree.allocated(client, agent, &Portion::new(resources));
    }

    /// False, and nothing, if the client does not hold that.
    pub(crate) fn release(&mut self, client: usize, agent: usize, resources: &Resources) -> bool {
        if !self.agents[agent].release(client, resources) {
            return false;
        }
        self.count(agent);
        if !self.agents[agent].held.contains_key(&client) {
            self.tree.client_mut(client).agents.remove(&agent);
        }
        self.tree.unallocated(client, agent, &Portion::new(resources));
        true
    }

    /// The framework's client in a role, which is made if it has none.
    pub(crate) fn client_of(&mut self, framework: usize, role: &Role) -> usize {
        if let Some(&client) = self.frameworks[framework].clients.get(role) {
            return client;
        }
        let client = self.tree.add_client(framework, &self.frameworks[framework].id, role);
        self.frameworks[framework].clients.insert(role.clone(), client);
        client
    }

    /// A framework that left a role stays its client until it has no resources there.
    pub(crate) fn forget_client_if_idle(&mut self, client: usize) {
        let found = self.tree.client(client);
        let (framework, role) = (found.framework, found.role.clone());
        if !found.agents.is_empty() || self.frameworks[framework].details.roles.contains(&role) {
            return;
        }
        self.remove_filters(client);
        self.unsettle(client);
        self.tree.remove_client(client);
        self.frameworks[framework].clients.remove(&role);
    }

    pub(crate) fn remove_filters(&mut self, client: usize) {
        if self.tree.client(client).filters == 0 {
            return;
        }
        let removed = self.agents.iter_mut().map(|(_, agent)| agent.remove_filters(client)).sum::<usize>();
        self.tree.client_mut(client).filters -= removed;
    }

    fn recover(
        &mut self,
        now: Time,
        framework_id: &FrameworkId,
        agent_id: &AgentId,
        resources: &Resources,
        refuse: Option<Duration>,
        allocated: bool,
    ) -> Result<(), String> {
        // The agent may be gone by the time its resources come back, and so may the framework.
        let Some(&slot) = self.agent_slots.get(agent_id) else { return Ok(()) };
        let unknown = || format!("{resources} of framework {framework_id} is not held on agent {agent_id}");
        if allocated {
            if !self.agents[slot].allocated.contains(resources) {
                return Err(format!("{resources} is not allocated on agent {agent_id}"));
            }
            self.agents[slot].allocated -= resources;
        }
        let Some(&framework) = self.framework_slots.get(framework_id) else {
            if self.agents[slot].release_unclaimed(framework_id, resources) {
                self.count(slot);
                self.mark(slot, false);
            }
            return Ok(());
        };
        if resources.is_empty() {
            return Ok(());
        }
        let role = resources.allocation_role().ok_or_else(unknown)?.clone();
        let client = *self.frameworks[framework].clients.get(&role).ok_or_else(unknown)?;
        if !self.release(client, slot, resources) {
            return Err(unknown());
        }
        self.mark(slot, false);
        if let Some(refuse) = refuse.filter(|refuse| !refuse.is_zero()) {
            let deadline = now + refuse.max(self.options.allocation_interval);
            let refused = self.agents[slot].bare(resources);
            self.add_filter(client, slot, refused, deadline);
        }
        self.forget_client_if_idle(client);
        Ok(())
    }

    fn add_filter(&mut self, client: usize, slot: usize, refused: Resources, deadline: Time) {
        let agent = &mut self.agents[slot];
        let before = agent.earliest_deadline;
        let more = agent.add_filter(client, refused, deadline, self.ticks);
        let filters = &mut self.tree.client_mut(client).filters;
        *filters = filters.saturating_add_signed(more);
        if agent.earliest_deadline < before {
            self.expiries.remove(&(before, slot));
            self.expiries.insert((agent.earliest_deadline, slot));
        }
    }

    fn update_allocation(
        &mut self,
        framework_id: &FrameworkId,
        agent_id: &AgentId,
        offered: &Resources,
        conversions: &[ResourceConversion],
    ) -> Result<(), String> {
        let framework = self.framework_slot(framework_id)?;
        let agent = self.agent_slot(agent_id)?;
        let role =
            offered.allocation_role().ok_or_else(|| format!("{offered} is not of one allocation role"))?;
        let client = *self.frameworks[framework]
            .clients
            .get(role)
            .filter(|client| self.agents[agent].held.get(client).is_some_and(|held| held.contains(offered)))
            .ok_or_else(|| {
                format!("{offered} of framework {framework_id} is not held on agent {agent_id}")
            })?;
        let updated = offered.convert(conversions).map_err(|error| error.to_string())?;
        // One more copy of something shared is the framework's alone: the agent has it once.
        let stripped: Vec<ResourceConversion> = conversions
            .iter()
            .filter(|conversion| !conversion.consumed.is_empty())
            .map(|conversion| ResourceConversion {
                consumed: conversion.consumed.clone().unallocated(),
                converted: conversion.converted.clone().unallocated(),
            })
            .collect();
        let total = self.agents[agent].total().convert(&stripped).map_err(|error| error.to_string())?;

        self.agents[agent].release(client, offered);
        self.agents[agent].hold(client, &updated);
        self.count(agent);
        if updated.is_empty() && !self.agents[agent].held.contains_key(&client) {
            self.tree.client_mut(client).agents.remove(&agent);
        }
        self.tree.replaced(client, agent, &Portion::new(offered), &Portion::new(&updated));
        let kinds: Vec<Resource> =
            stripped.iter().flat_map(|one| one.consumed.iter().chain(&one.converted)).cloned().collect();
        if !kinds.is_empty() {
            self.tree.change_total(&self.agents[agent].total().quantities(), &total.quantities());
            self.agents[agent].convert_total(total, &kinds);
            self.count(agent);
        }
        self.forget_client_if_idle(client);
        Ok(())
    }

    fn update_available(
        &mut self,
        agent_id: &AgentId,
        conversions: &[ResourceConversion],
    ) -> Result<(), String> {
        let agent = self.agent_slot(agent_id)?;
        self.agents[agent].available().convert(conversions).map_err(|error| error.to_string())?;
        let total = self.agents[agent].total().convert(conversions).map_err(|error| error.to_string())?;
        self.set_total(agent, total);
        self.agents[agent].settled.clear();
        self.mark(agent, false);
        Ok(())
    }
}
