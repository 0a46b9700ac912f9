//! A small allocator that is slow and obviously right: written from what the documentation of Apache Mesos says of
//! roles, weights, quota, reservations, filters and capabilities. It keeps nothing that it can find out by looking at
//! everything: no order, no sums, no memory of who needs not be asked. `against_model` compares the real one with it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use messor_allocator::{AgentDetails, FrameworkDetails};
use messor_stdx::Time;
use messor_types::{AgentId, FrameworkId, Quota, Resource, ResourceQuantities, Resources, Role, Scalar};

/// What was offered in one allocation, without the order in which that was found.
pub type Offers = BTreeMap<(FrameworkId, Role, AgentId), Resources>;

#[derive(Clone, Debug)]
pub struct Agent {
    pub details: AgentDetails,
    pub total: Resources,
    pub active: bool,
}

#[derive(Clone, Debug)]
pub struct Framework {
    pub details: FrameworkDetails,
    pub active: bool,
}

#[derive(Clone, Debug)]
pub struct Filter {
    pub framework: FrameworkId,
    pub role: Role,
    pub agent: AgentId,
    pub refused: Resources,
    pub deadline: Time,
    /// An allocation came after it was made: none ends before that.
    pub seen: bool,
}

/// One role, with its own frameworks or as a part of the tree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The role and all below it.
    Role(Role),
    /// The frameworks of just that role.
    Own(Role),
    Framework(Role, FrameworkId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Guarantees,
    Shares,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub agents: BTreeMap<AgentId, Agent>,
    pub frameworks: BTreeMap<FrameworkId, Framework>,
    /// What is offered or allocated, without its allocation role.
    pub held: BTreeMap<(FrameworkId, Role, AgentId), Resources>,
    pub filters: Vec<Filter>,
    pub weights: BTreeMap<Role, f64>,
    pub quotas: BTreeMap<Role, Quota>,
    pub whitelist: Option<BTreeSet<String>>,
    /// How often somebody was served, since he came.
    pub served: BTreeMap<Place, u64>,
}

fn in_quota(resource: &Resource) -> bool {
    resource.is_scalar() && resource.is_unreserved() && !resource.is_revocable()
}

pub fn with_ancestors(role: &Role) -> Vec<Role> {
    std::iter::once(role.clone()).chain(role.ancestors()).collect()
}

impl Framework {
    pub fn wants(&self, role: &Role) -> bool {
        self.active && self.details.roles.contains(role) && !self.details.suppressed_roles.contains(role)
    }
}

impl Model {
    pub fn available(&self, agent: &AgentId) -> Resources {
        let held = self.held.iter().filter(|((_, _, other), _)| other == agent);
        held.fold(self.agents[agent].total.clone(), |left, (_, held)| left - held)
    }

    /// Whoever neither subscribes to a role nor holds anything in it any more is forgotten there.
    pub fn forget(&mut self) {
        self.held.retain(|_, held| !held.is_empty());
        let mut clients: BTreeSet<(Role, FrameworkId)> =
            self.held.keys().map(|(framework, role, _)| (role.clone(), framework.clone())).collect();
        for (id, framework) in &self.frameworks {
            clients.extend(framework.details.roles.iter().map(|role| (role.clone(), id.clone())));
        }
        self.filters.retain(|filter| clients.contains(&(filter.role.clone(), filter.framework.clone())));
        let is_there = |role: &Role| clients.iter().any(|(other, _)| other.is_same_or_subrole_of(role));
        self.served.retain(|place, _| match place {
            Place::Role(role) | Place::Own(role) => is_there(role),
            Place::Framework(role, framework) => clients.contains(&(role.clone(), framework.clone())),
        });
    }

    // Fair shares: the role, and in it the framework, with the smallest dominant share by weight comes first.

    fn share(&self, place: &Place) -> f64 {
        let is_of = |framework: &FrameworkId, role: &Role| match place {
            Place::Role(above) => role.is_same_or_subrole_of(above),
            Place::Own(own) => role == own,
            Place::Framework(own, one) => role == own && framework == one,
        };
        let mut sum = ResourceQuantities::new();
        for ((framework, role, _), held) in &self.held {
            if is_of(framework, role) {
                sum += &held.quantities();
            }
        }
        let mut cluster = ResourceQuantities::new();
        self.agents.values().for_each(|agent| cluster += &agent.total.quantities());
        let dominant = cluster.iter().map(|(name, total)| sum.get(name).to_f64() / total.to_f64());
        let weight = match place {
            Place::Role(role) => self.weights.get(role).copied().unwrap_or(1.0),
            _ => 1.0,
        };
        dominant.fold(0.0, f64::max) / weight
    }

    fn before(&self, a: &Place, b: &Place) -> Ordering {
        let served = |place: &Place| self.served.get(place).copied().unwrap_or_default();
        let name = |place: &Place| match place {
            Place::Role(role) => role.to_string(),
            Place::Own(role) => format!("{role}/."),
            Place::Framework(_, framework) => framework.to_string(),
        };
        let shares = self.share(a).total_cmp(&self.share(b));
        shares.then_with(|| served(a).cmp(&served(b))).then_with(|| name(a).cmp(&name(b)))
    }

    /// Frameworks in their roles, in the order in which they are offered something.
    fn order(&self) -> Vec<(Role, FrameworkId)> {
        let mut wanting = Vec::new();
        for (id, framework) in &self.frameworks {
            let roles = framework.details.roles.iter().filter(|role| framework.wants(role));
            wanting.extend(roles.map(|role| (role.clone(), id.clone())));
        }
        let mut order = Vec::new();
        self.order_below(None, &wanting, &mut order);
        order
    }

    fn order_below(
        &self,
        above: Option<&Role>,
        wanting: &[(Role, FrameworkId)],
        order: &mut Vec<(Role, FrameworkId)>,
    ) {
        let mut places = BTreeSet::new();
        for (role, _) in wanting {
            if Some(role) == above {
                places.insert(Place::Own(role.clone()));
            }
            let child = with_ancestors(role).into_iter().find(|role| role.parent().as_ref() == above);
            places.extend(child.map(Place::Role));
        }
        let mut places: Vec<Place> = places.into_iter().collect();
        places.sort_by(|a, b| self.before(a, b));
        for place in places {
            match place {
                Place::Own(role) => {
                    let mut own: Vec<Place> = wanting
                        .iter()
                        .filter(|(other, _)| *other == role)
                        .map(|(role, framework)| Place::Framework(role.clone(), framework.clone()))
                        .collect();
                    own.sort_by(|a, b| self.before(a, b));
                    order.extend(own.into_iter().filter_map(|place| match place {
                        Place::Framework(role, framework) => Some((role, framework)),
                        _ => None,
                    }));
                }
                Place::Role(role) => self.order_below(Some(&role), wanting, order),
                Place::Framework(..) => {}
            }
        }
    }

    // Quota: a role and all below it never have more than its limits, and there is always room for what is guaranteed.

    /// What a role and all below it have, reserved or not, used or not.
    pub fn consumed(&self, role: &Role) -> ResourceQuantities {
        let mut sum = ResourceQuantities::new();
        for ((_, holder, _), held) in &self.held {
            if holder.is_same_or_subrole_of(role) {
                sum += &held.filter(in_quota).quantities();
            }
        }
        for agent in self.agents.values() {
            let reserved = agent.total.filter(|resource| {
                resource.reservation_role().is_some_and(|other| other.is_same_or_subrole_of(role))
            });
            sum += &reserved.quantities();
        }
        sum
    }

    pub fn unsatisfied(&self, role: &Role) -> ResourceQuantities {
        let mut due = self.quotas.get(role).map(|quota| quota.guarantees.clone()).unwrap_or_default();
        due -= &self.consumed(role);
        due
    }

    /// Roles with quota below a role (or all: at the top) that have no other such role in between.
    fn next_below(&self, above: Option<&Role>) -> Vec<Role> {
        let is_below =
            |role: &Role, above: Option<&Role>| above.is_none_or(|above| role.is_strict_subrole_of(above));
        let below: Vec<&Role> = self.quotas.keys().filter(|role| is_below(role, above)).collect();
        let between = |role: &Role| below.iter().any(|other| role.is_strict_subrole_of(other));
        below.iter().filter(|role| !between(role)).map(|role| (*role).clone()).collect()
    }

    /// What has to be there for a role's guarantees and all those below it.
    fn needed(&self, role: &Role) -> ResourceQuantities {
        larger(self.unsatisfied(role), &self.needed_below(Some(role)))
    }

    pub fn needed_below(&self, above: Option<&Role>) -> ResourceQuantities {
        let mut sum = ResourceQuantities::new();
        self.next_below(above).iter().for_each(|role| sum += &self.needed(role));
        sum
    }

    /// What is needed below a role by those that are not on the line of another one that is below it: what that other one
    /// has to leave to them.
    pub fn needed_beside(&self, line: &[Role], above: &Role) -> ResourceQuantities {
        let mut others = ResourceQuantities::new();
        // Whichever level they branch off at: below a role of the line there are those that branch off there.
        for level in line.iter().filter(|level| level.is_same_or_subrole_of(above)) {
            if self.quotas.contains_key(level) {
                let beside = self.next_below(Some(level)).into_iter().filter(|other| !line.contains(other));
                beside.for_each(|other| others += &self.needed(&other));
            }
        }
        others
    }

    /// What may be given to a role for a guarantee: its own, or the part of one above it that nobody else needs.
    pub fn due(&self, role: &Role) -> ResourceQuantities {
        let mut result = ResourceQuantities::new();
        let line = with_ancestors(role);
        for above in line.iter().filter(|role| self.quotas.contains_key(*role)) {
            let mut due = self.unsatisfied(above);
            due -= &self.needed_beside(&line, above);
            result = larger(result, &due);
        }
        result
    }

    /// What is free and could be given to anybody.
    pub fn free(&self) -> ResourceQuantities {
        let mut free = ResourceQuantities::new();
        for (id, _) in self.agents.iter().filter(|(_, agent)| agent.active) {
            free += &self.available(id).filter(in_quota).quantities();
        }
        free
    }

    /// How much more of something a role may have before a limit is reached, its own or one above it; what others below
    /// that one need has to fit in, too. None if there is no limit.
    pub fn allowance(&self, role: &Role, name: &messor_types::ResourceName) -> Option<Scalar> {
        let line = with_ancestors(role);
        let limited = line.iter().filter_map(|level| {
            let limit = self.quotas.get(level)?.limits.get(name)?;
            let taken = self.consumed(level).get(name) + self.needed_beside(&line, level).get(name);
            Some((limit - taken).max(Scalar::ZERO))
        });
        limited.min()
    }

    /// What of an offer quota lets through.
    fn within_quota(&self, offer: &Resources, role: &Role, stage: Stage) -> Resources {
        let needed = self.needed_below(None);
        let mut spare = self.free();
        spare -= &needed;
        let room = |name: &messor_types::ResourceName| (!needed.is_empty()).then(|| spare.get(name));
        let least = |a: Option<Scalar>, b: Option<Scalar>| a.into_iter().chain(b).min();
        let (counted, rest) = (offer.filter(in_quota), offer.filter(|resource| !in_quota(resource)));
        if stage == Stage::Shares {
            return counted.shrunk_to(|name| least(self.allowance(role, name), room(name))) + &rest;
        }
        let due = self.due(role);
        let guaranteed = counted.shrunk_to(|name| least(self.allowance(role, name), Some(due.get(name))));
        if guaranteed.is_empty() {
            return Resources::new();
        }
        // Beside the guarantee: what is free for all, what is reserved for just this role, what is no scalar, and what
        // is revocable.
        let given = guaranteed.quantities();
        let more = (counted - &guaranteed).shrunk_to(|name| {
            least(self.allowance(role, name).map(|allowance| allowance - given.get(name)), room(name))
        });
        let rest = rest.filter(|resource| {
            !resource.is_scalar() || resource.is_revocable() || resource.is_reserved_to(role)
        });
        guaranteed + &more + &rest
    }

    // Offers.

    /// What of an agent a framework can be offered in a role.
    fn fitting(&self, available: &Resources, agent: &Agent, framework: &Framework, role: &Role) -> Resources {
        let (able, agent) = (&framework.details.capabilities, (&agent.details, &agent.total));
        let gpus = agent.1.gpus().is_some_and(|gpus| !gpus.is_zero());
        let sees = (!gpus || able.gpu_resources)
            && (!able.multi_role || agent.0.capabilities.multi_role)
            && (!role.is_hierarchical() || agent.0.capabilities.hierarchical_role);
        if !sees {
            return Resources::new();
        }
        available.filter(|resource| {
            let open = resource.is_unreserved()
                || resource.reservation_role().is_some_and(|other| role.is_same_or_subrole_of(other));
            open && (able.revocable_resources || !resource.is_revocable())
                && (able.reservation_refinement || !resource.has_refined_reservations())
        })
    }

    fn worth_it(&self, offer: &Resources, framework: &Framework, role: &Role) -> bool {
        let at_least = |name: &str, least: f64| {
            offer.scalar(&name.into()).is_some_and(|amount| amount >= Scalar::from_f64(least))
        };
        match framework.details.min_allocatable_resources.get(role).map(Vec::as_slice) {
            None => at_least("cpus", 0.01) || at_least("mem", 32.0),
            Some([]) => !offer.is_empty(),
            Some(sets) => sets
                .iter()
                .any(|set| set.iter().all(|(name, amount)| at_least(name.as_str(), amount.to_f64()))),
        }
    }

    fn is_refused(&self, offer: &Resources, client: &(Role, FrameworkId), agent: &AgentId) -> bool {
        self.filters.iter().any(|filter| {
            (&filter.role, &filter.framework) == (&client.0, &client.1)
                && filter.agent == *agent
                && filter.refused.contains(offer)
        })
    }

    /// Offers what one agent has: shares are those from before it.
    fn offer(&mut self, agent_id: &AgentId, stage: Stage, offers: &mut Offers) {
        let agent = self.agents[agent_id].clone();
        let listed = self.whitelist.as_ref().is_none_or(|list| list.contains(&agent.details.hostname));
        if !agent.active || !listed {
            return;
        }
        let mut served = Vec::new();
        for client in self.order() {
            let (role, framework_id) = &client;
            let framework = &self.frameworks[framework_id];
            let whole = self.fitting(&self.available(agent_id), &agent, framework, role);
            let offer = if self.quotas.is_empty() { whole } else { self.within_quota(&whole, role, stage) };
            if !offer.is_empty()
                && self.worth_it(&offer, framework, role)
                && !self.is_refused(&offer, &client, agent_id)
            {
                let key = (framework_id.clone(), role.clone(), agent_id.clone());
                *self.held.entry(key.clone()).or_default() += &offer;
                *offers.entry(key).or_default() += &offer;
                served.push(client);
            }
        }
        for (role, framework) in served {
            let mut places: Vec<Place> = with_ancestors(&role).into_iter().map(Place::Role).collect();
            places.extend([Place::Own(role.clone()), Place::Framework(role, framework)]);
            for place in places {
                *self.served.entry(place).or_default() += 1;
            }
        }
    }

    /// Filters whose time is over go.
    pub fn expire(&mut self, now: Time) {
        self.filters.retain(|filter| filter.deadline > now || !filter.seen);
        self.filters.iter_mut().for_each(|filter| filter.seen = true);
    }

    pub fn refuse(&mut self, key: (FrameworkId, Role, AgentId), refused: Resources, until: Time) {
        let (framework, role, agent) = key;
        self.filters.push(Filter { framework, role, agent, refused, deadline: until, seen: false });
    }

    /// All that can come of an allocation whose offers are `made`: agents are looked at in any order, once for
    /// guarantees and once for shares. None: nothing explains them.
    pub fn explain(&self, made: &Offers) -> Vec<Model> {
        let agents: Vec<AgentId> =
            self.agents.keys().filter(|id| !self.available(id).is_empty()).cloned().collect();
        let mut found = Vec::new();
        let stages = if self.needed_below(None).is_empty() {
            vec![(Stage::Shares, agents)]
        } else {
            vec![(Stage::Guarantees, agents.clone()), (Stage::Shares, agents)]
        };
        self.go_on(&stages, &Offers::new(), made, &mut found);
        found
    }

    fn go_on(
        &self,
        stages: &[(Stage, Vec<AgentId>)],
        offers: &Offers,
        made: &Offers,
        found: &mut Vec<Model>,
    ) {
        let Some((stage, agents)) = stages.first() else {
            if offers == made && !found.iter().any(|other| other.served == self.served) {
                found.push(self.clone());
            }
            return;
        };
        if agents.is_empty() {
            return self.go_on(&stages[1..], offers, made, found);
        }
        for agent in agents {
            let (mut next, mut offers) = (self.clone(), offers.clone());
            next.offer(agent, *stage, &mut offers);
            // What was not offered leads nowhere.
            let fits =
                offers.iter().all(|(key, part)| made.get(key).is_some_and(|whole| whole.contains(part)));
            if fits {
                let rest = agents.iter().filter(|other| *other != agent).cloned().collect();
                let mut stages = stages.to_vec();
                stages[0] = (*stage, rest);
                next.go_on(&stages, &offers, made, found);
            }
        }
    }
}

fn larger(mut amounts: ResourceQuantities, others: &ResourceQuantities) -> ResourceQuantities {
    for (name, other) in others.iter() {
        let more = other - amounts.get(name);
        amounts.add(name, more);
    }
    amounts
}

/// How long resources are refused: never shorter than an allocation interval.
pub fn refusal(seconds: u64) -> Duration {
    Duration::from_secs(seconds.max(1))
}
