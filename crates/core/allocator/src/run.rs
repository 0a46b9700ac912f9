//! Allocation: which of the changed agents' resources are offered to whom.

use std::collections::BTreeMap;

use messor_stdx::Time;
use messor_types::{AgentId, Resources, Role};

use crate::allocator::Allocator;
use crate::event::Effect;
use crate::judge::{Judge, Verdict};
use crate::tree::Step;

/// By framework, in the order in which the frameworks were added.
type Offers = BTreeMap<usize, BTreeMap<Role, Vec<(AgentId, Resources)>>>;

impl Allocator {
    pub(crate) fn hold_off(&mut self, now: Time, expected_agents: usize) {
        let agents = (expected_agents as f64 * self.options.agent_recovery_factor) as usize;
        self.held_off = (agents > 0).then_some((now + self.options.recovery_timeout, agents));
    }

    /// True while offers have to wait for agents that come back to a new master. What changes meanwhile is looked at
    /// afterwards.
    fn is_held_off(&mut self, now: Time) -> bool {
        self.held_off = self.held_off.filter(|(until, agents)| now < *until && self.agents.len() < *agents);
        self.held_off.is_some()
    }

    /// Looks at all agents that changed.
    pub(crate) fn tick(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if self.is_held_off(now) {
            return;
        }
        self.expire_filters(now);
        self.ticks += 1;
        for slot in std::mem::take(&mut self.urgent) {
            self.agents[slot].urgent = false;
        }
        let agents = std::mem::take(&mut self.changed);
        self.run(agents, effects);
    }

    /// Looks at the agents whose change cannot wait.
    pub(crate) fn allocate_urgent(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if self.is_held_off(now) {
            // No other wake-up before this: the next tick looks.
            return;
        }
        self.expire_filters(now);
        let agents = std::mem::take(&mut self.urgent);
        for slot in &agents {
            self.agents[*slot].urgent = false;
        }
        self.run(agents, effects);
    }

    /// Removes filters whose time has come, but none before a tick has come after it was made, however late that is:
    /// the resources are shown to others first.
    fn expire_filters(&mut self, now: Time) {
        let later = self.expiries.split_off(&(now, usize::MAX));
        for (_, slot) in std::mem::replace(&mut self.expiries, later) {
            let expired = self.agents[slot].expire_filters(now, self.ticks);
            let next = self.agents[slot].earliest_deadline;
            if next < Time::NEVER {
                self.expiries.insert((next, slot));
            }
            for (client, count) in &expired {
                self.tree.client_mut(*client).filters -= count;
                self.agents[slot].settled.remove(*client);
            }
            if !expired.is_empty() {
                self.mark(slot, false);
            }
        }
    }

    fn run(&mut self, mut agents: Vec<usize>, effects: &mut Vec<Effect>) {
        self.woken = false;
        self.runs += 1;
        self.tree.refresh();
        self.rng.shuffle(&mut agents);
        let mut offers = Offers::new();
        let mut again = Vec::new();
        for slot in agents {
            if self.look_at(slot, &mut offers) {
                again.push(slot);
            }
        }
        let agents = &self.agents;
        self.changed.retain(|slot| agents[*slot].changed);
        for slot in again {
            self.mark(slot, false);
        }
        for (framework, offers) in offers {
            effects.push(Effect::Offer { framework_id: self.frameworks[framework].id.clone(), offers });
        }
    }

    /// Offers what one agent has; true if it is to be looked at again in the next run.
    fn look_at(&mut self, slot: usize, offers: &mut Offers) -> bool {
        let agent = &mut self.agents[slot];
        if !std::mem::replace(&mut agent.changed, false) {
            return false;
        }
        let listed = self.whitelist.as_ref().is_none_or(|list| list.contains(&agent.details.hostname));
        if !listed || !agent.active || agent.available().is_empty() {
            return false;
        }
        agent.settle_reference();
        if self.tree.active().count_without(&agent.settled, 1) == 0 {
            return false;
        }

        let agent = &self.agents[slot];
        let judge = Judge { options: &self.options, agent };
        let mut available = agent.available().clone();
        let mut offered_shared = Resources::new();
        let mut decisions: Vec<(usize, Resources)> = Vec::new();
        let mut settled: Vec<usize> = Vec::new();
        let frameworks = &self.frameworks;
        // Shares do not change while one agent is looked at: what it gave to whom counts from the next one on.
        self.tree.visit(&agent.settled, &mut self.rng, |slot, client| {
            let framework = &frameworks[client.framework];
            match judge.judge(slot, client, framework, &available, &offered_shared) {
                Verdict::Offer(offer) => {
                    for resource in &offer {
                        if resource.is_shared() {
                            offered_shared.insert(resource.clone());
                        } else {
                            available.subtract(resource);
                        }
                    }
                    decisions.push((slot, offer.allocated_to(&client.role)));
                    if available.is_empty() { Step::Stop } else { Step::Next }
                }
                Verdict::Nothing => {
                    // Nothing of what is left is not yet nothing of all that was there.
                    if decisions.is_empty() {
                        settled.push(slot);
                    }
                    Step::Next
                }
                Verdict::NothingForRole => Step::NextRole,
            }
        });

        for client in settled {
            self.agents[slot].settled.insert(client);
        }
        for (client, resources) in decisions {
            self.hold(client, slot, &resources);
            let found = self.tree.client(client);
            let role = found.role.clone();
            let of_framework = offers.entry(found.framework).or_default();
            of_framework.entry(role).or_default().push((self.agents[slot].id.clone(), resources));
        }
        // Shared resources can be offered again, once a run.
        !offered_shared.is_empty()
    }
}
