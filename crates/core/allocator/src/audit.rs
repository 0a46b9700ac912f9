//! What must hold after every event, spelled out, for the tests and the simulator. It costs far more than an event.

use std::collections::BTreeSet;

use messor_types::{AgentId, Quota, Resource, ResourceQuantities, Resources, Role, Scalar};

use crate::allocator::Allocator;
use crate::judge::{Judge, Verdict};

impl Allocator {
    /// What each role with quota has, counted from nothing: what is reserved for it or allocated to it, and to the roles
    /// below it.
    pub fn consumption(&self) -> Vec<(Role, Quota, ResourceQuantities)> {
        let is_of = |role: &Role, of: &Role| role.is_same_or_subrole_of(of);
        let count = |(role, quota): (&Role, &Quota)| {
            let mut consumed = ResourceQuantities::new();
            for (_, agent) in &self.agents {
                let mine = |of: Option<&Role>| of.is_some_and(|of| is_of(of, role));
                consumed += &agent.total().filter(|one| mine(one.reservation_role())).quantities();
                for held in agent.held.values().chain(agent.unclaimed.values()) {
                    let counts = |one: &Resource| {
                        one.is_unreserved() && !one.is_revocable() && mine(one.allocation_role())
                    };
                    consumed += &held.filter(counts).quantities();
                }
            }
            (role.clone(), quota.clone(), consumed)
        };
        self.ledger.quotas().map(count).collect()
    }

    /// Of each agent what it has and what of that is offered or allocated, without allocation roles.
    pub fn books(&self) -> impl Iterator<Item = (&AgentId, &Resources, &Resources)> {
        self.agents.iter().map(|(_, agent)| (&agent.id, agent.total(), agent.taken()))
    }

    /// Checks the allocator against itself; an error names the invariant that is broken.
    pub fn audit(&self) -> Result<(), String> {
        self.tree.audit()?;
        for (slot, agent) in &self.agents {
            let id = &agent.id;
            let held: Resources = agent.held.values().chain(agent.unclaimed.values()).sum();
            ensure(held.unallocated() == *agent.taken(), || format!("what is held adds up on {id}"))?;
            let (total, taken) = (agent.total().non_shared(), agent.taken().non_shared());
            if total.contains(&taken) {
                let sum = agent.available().non_shared() + &taken;
                ensure(sum == total, || format!("total = available + taken on {id}"))?;
            }
            for (client, held) in &agent.held {
                let found = self.tree.client(*client);
                ensure(found.agents.contains(&slot), || format!("clients know what they hold on {id}"))?;
                let fits = held.allocation_role() == Some(&found.role);
                ensure(fits, || format!("what is held is allocated to the client's role on {id}"))?;
                let reserved = held.iter().all(|resource| resource.is_allocatable_to(&found.role));
                ensure(reserved, || format!("reservations bind on {id}"))?;
            }
            let judge = Judge { options: &self.options, agent };
            for (client, found) in self.tree.clients().filter(|(client, _)| agent.settled.contains(*client)) {
                let framework = &self.frameworks[found.framework];
                let verdict = judge.judge(client, found, framework, agent.reference(), &Resources::new());
                let settled = !matches!(verdict, Verdict::Offer(_));
                ensure(settled, || {
                    format!("{} is rightly settled on {id} for {}", found.role, framework.id)
                })?;
            }
        }
        self.ledger.audit(self.agents.iter())?;
        for (client, found) in self.tree.clients() {
            let framework = &self.frameworks[found.framework];
            let wants = framework.wants(&found.role);
            ensure(found.active == wants, || format!("{} is active as it should be", framework.id))?;
            let filters: usize = self.agents.iter().map(|(_, agent)| agent.filters_of(client).len()).sum();
            ensure(found.filters == filters, || format!("filters of {} are counted", framework.id))?;
            for agent in &found.agents {
                let held = self.agents.get(*agent).is_some_and(|agent| agent.held.contains_key(&client));
                ensure(held, || format!("agents know what {} holds", framework.id))?;
            }
            let subscribed = framework.details.roles.contains(&found.role);
            ensure(subscribed || !found.agents.is_empty(), || format!("{} has a reason to be", found.role))?;
            for (name, amount) in self.tree.amounts(client).iter() {
                let held =
                    found.agents.iter().filter_map(|agent| self.agents[*agent].held[&client].scalar(name));
                let held = held.fold(Scalar::ZERO, |sum, scalar| sum + scalar);
                ensure(held == amount, || format!("{name} of {} is counted", framework.id))?;
            }
        }
        let total: Resources = self
            .agents
            .iter()
            .map(|(_, agent)| agent.total().clone())
            .fold(Resources::new(), |sum, total| sum + &total.non_shared().scalars());
        if self.agents.iter().all(|(_, agent)| agent.total().shared().is_empty()) {
            ensure(total.quantities() == *self.tree.total(), || "the cluster's total adds up".to_string())?;
        }
        let listed: BTreeSet<usize> = self.changed.iter().copied().collect();
        for (slot, agent) in &self.agents {
            ensure(!agent.changed || listed.contains(&slot), || format!("{} is looked at", agent.id))?;
            ensure(!agent.urgent || agent.changed, || format!("{} is urgent because it changed", agent.id))?;
        }
        Ok(())
    }
}

pub(crate) fn ensure(holds: bool, invariant: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(invariant()) }
}
