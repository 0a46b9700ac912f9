//! Allocation: which of the changed agents' resources are offered to whom.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use messor_stdx::Time;
use messor_types::{AgentId, ResourceQuantities, Resources, Role};

use crate::agent::Agent;
use crate::allocator::Allocator;
use crate::event::Effect;
use crate::judge::{Judge, Verdict};
use crate::ledger::{Stage, is_counted, top};
use crate::passes::{Passes, Skipped, Standing};
use crate::tree::{Client, Step};

/// By framework, in the order in which the frameworks were added.
type Offers = BTreeMap<usize, BTreeMap<Role, Vec<(AgentId, Resources)>>>;

/// What one run has come to so far.
#[derive(Default)]
struct Run {
    offers: Offers,
    /// Where in its list the offer of an agent to a client is; kept if agents are looked at twice.
    places: Option<BTreeMap<(usize, usize), usize>>,
    /// By agent: once a run is enough.
    offered_shared: BTreeMap<usize, Resources>,
    passes: Passes,
}

impl Run {
    /// `place`: the client and the agent, which may have an offer already, of its guarantees.
    fn add(&mut self, client: &Client, place: (usize, usize), agent: &AgentId, resources: Resources) {
        let list = self.offers.entry(client.framework).or_default().entry(client.role.clone()).or_default();
        let known = self.places.as_mut().map(|places| places.entry(place).or_insert(list.len()));
        match known.and_then(|at| list.get_mut(*at)) {
            Some((_, offered)) => *offered += &resources,
            None => list.push((agent.clone(), resources)),
        }
    }
}

pub(crate) fn is_listed(whitelist: Option<&BTreeSet<String>>, agent: &Agent) -> bool {
    whitelist.is_none_or(|list| list.contains(&agent.details.hostname))
}

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
        self.mark_promised();
        self.ticks += 1;
        for slot in std::mem::take(&mut self.urgent) {
            self.agents[slot].urgent = false;
        }
        if self.ledger.version != self.held_back_at {
            for slot in std::mem::take(&mut self.held_back) {
                self.mark(slot, false);
            }
        }
        let agents = std::mem::take(&mut self.changed);
        self.run(agents, effects);
        // What is given away in a run leaves nobody more room than he had in it.
        self.held_back_at = self.ledger.version;
        self.ask_to_leave(now, None, effects);
        self.look_for_lack(now, effects);
    }

    /// Looks at the agents whose change cannot wait.
    pub(crate) fn allocate_urgent(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if self.is_held_off(now) {
            // No other wake-up before this: the next tick looks.
            return;
        }
        self.expire_filters(now);
        self.mark_promised();
        let agents = std::mem::take(&mut self.urgent);
        for slot in &agents {
            self.agents[*slot].urgent = false;
        }
        let among = if self.plans.is_empty() { Vec::new() } else { agents.clone() };
        self.run(agents, effects);
        self.ask_to_leave(now, Some(&among), effects);
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
        if agents.is_empty() {
            return;
        }
        self.rng.shuffle(&mut agents);
        let mut run = Run::default();
        if self.ledger.is_kept() {
            run.passes = Passes::new(&self.standing());
            if self.ledger.has_guarantees() {
                run.places = Some(BTreeMap::new());
                for slot in &agents {
                    self.look_at(*slot, Stage::Guarantees, &mut run);
                }
                self.rng.shuffle(&mut agents);
            }
        }
        let mut again = Vec::new();
        for slot in agents {
            self.look_at(slot, Stage::Shares, &mut run);
            self.agents[slot].changed = false;
            if run.offered_shared.contains_key(&slot) {
                // Shared resources can be offered again, once a run.
                again.push(slot);
            }
        }
        let agents = &self.agents;
        self.changed.retain(|slot| agents[*slot].changed);
        for slot in again {
            self.mark(slot, false);
        }
        for (framework, offers) in run.offers {
            effects.push(Effect::Offer { framework_id: self.frameworks[framework].id.clone(), offers });
        }
    }

    fn standing(&self) -> Standing<'_> {
        Standing {
            tree: &self.tree,
            ledger: &self.ledger,
            frameworks: &self.frameworks,
            options: &self.options,
        }
    }

    /// Offers what one agent has.
    fn look_at(&mut self, slot: usize, stage: Stage, run: &mut Run) {
        let agent = &mut self.agents[slot];
        if !agent.changed {
            return;
        }
        let listed = is_listed(self.whitelist.as_ref(), agent);
        if !listed || !agent.active || agent.available().is_empty() {
            return;
        }
        agent.settle_reference();
        let agent = &self.agents[slot];
        let mut skip = Cow::Borrowed(&agent.settled);
        if self.ledger.is_kept() {
            match run.passes.skip(&self.ledger, agent, stage, &mut skip) {
                Skipped::Nobody => {}
                Skipped::Some => drop(self.held_back.insert(slot)),
                Skipped::Everybody => {
                    self.held_back.insert(slot);
                    return;
                }
            }
        }
        if self.tree.active().count_without(&skip, 1) == 0 {
            return;
        }

        let judge = Judge { options: &self.options, agent };
        let mut available = agent.available().clone();
        let mut offered_shared = run.offered_shared.get(&slot).cloned().unwrap_or_default();
        let mut decisions: Vec<(usize, Resources)> = Vec::new();
        let mut settled: Vec<usize> = Vec::new();
        let mut held_back = false;
        let frameworks = &self.frameworks;
        let ledger = &mut self.ledger;
        // Shares do not change while one agent is looked at: what it gave to whom counts from the next one on. Quota
        // cannot wait.
        let mut given: Vec<(Role, ResourceQuantities)> = Vec::new();
        self.tree.visit(&skip, &mut self.rng, |slot, client| {
            let framework = &frameworks[client.framework];
            let mut verdict = judge.judge(slot, client, framework, &available, &offered_shared);
            if let Verdict::Offer(offer) = &mut verdict
                && ledger.is_kept()
            {
                match ledger.part_of(offer, &client.role, stage) {
                    Some(part) if part == *offer => {}
                    part => {
                        held_back = true;
                        match part.filter(|part| judge.is_offered(slot, client, framework, part)) {
                            Some(part) => *offer = part,
                            None => return Step::Next,
                        }
                    }
                }
            }
            match verdict {
                Verdict::Offer(offer) => {
                    let is_all = offer.len() == available.len() && offer == available;
                    if is_all && !offer.iter().any(|resource| resource.is_shared()) {
                        available = Resources::new();
                    } else {
                        for resource in &offer {
                            if resource.is_shared() {
                                offered_shared.insert(resource.clone());
                            } else {
                                available.subtract(resource);
                            }
                        }
                    }
                    if ledger.is_kept() {
                        let counted = offer.filter(is_counted).quantities();
                        ledger.give(&client.role, &counted);
                        given.push((client.role.clone(), counted));
                    }
                    decisions.push((slot, offer));
                    if available.is_empty() { Step::Stop } else { Step::Next }
                }
                Verdict::Nothing => {
                    // Nothing of what is left, or of what this run has not shared yet, is not yet nothing of all that was
                    // there.
                    if decisions.is_empty() && offered_shared.is_empty() {
                        settled.push(slot);
                    }
                    Step::Next
                }
                Verdict::NothingForRole => Step::NextRole,
            }
        });
        for (role, amounts) in &given {
            ledger.take_back(role, amounts);
        }

        if held_back {
            self.held_back.insert(slot);
        }
        for client in settled {
            self.agents[slot].settled.insert(client);
        }
        if !offered_shared.is_empty() {
            run.offered_shared.insert(slot, offered_shared);
        }
        for (client, offer) in decisions {
            let resources = offer.clone().allocated_to(&self.tree.client(client).role);
            self.hold_both(client, slot, &resources, &offer);
            let found = self.tree.client(client);
            run.add(found, (client, slot), &self.agents[slot].id, resources);
        }
        if !given.is_empty() {
            let mut passes = std::mem::take(&mut run.passes);
            passes.update(&self.standing(), given.iter().map(|(role, _)| top(role)).collect());
            run.passes = passes;
        }
    }
}
