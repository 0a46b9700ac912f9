//! The books of quota: what roles consume, what is still due to them, and how much may be given to others. They are kept
//! as agents change, one agent at a time; while no role has quota nothing is kept.
//!
//! Quota holds at every level of the tree of roles: what a role consumes counts for all roles above it, and none of
//! them exceeds its limits; what is due to a role is no less than what is due to all roles below it; and what is due to
//! some below a role has room within the limits of that role, which others below it leave alone. It knows amounts of
//! roles; frameworks and filters are not its affair.

use std::collections::{BTreeMap, BTreeSet};

use messor_types::{
    Quota, Resource, ResourceLimits, ResourceName, ResourceQuantities, Resources, Role, Scalar,
};

use crate::agent::Agent;
use crate::audit::ensure;

/// What one agent counts in the books.
#[derive(Clone, Debug, Default, PartialEq)]
struct Account {
    /// By role: what is offered or allocated to it of what is not reserved, and what is reserved for it, used or not.
    /// Revocable resources and those that are no scalars do not count.
    consumed: BTreeMap<Role, ResourceQuantities>,
    /// Neither reserved nor taken nor revocable.
    free: ResourceQuantities,
}

#[derive(Clone, Debug, Default)]
struct Need {
    /// To the role and all below it.
    whole: ResourceQuantities,
    /// To the roles below it.
    below: ResourceQuantities,
}

/// Which part of an allocation is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Roles whose guarantees are not satisfied come first.
    Guarantees,
    /// Everybody, but so that guarantees can still be satisfied.
    Shares,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    quotas: BTreeMap<Role, Quota>,
    /// Roles with quota by the first part of their name, the deepest first.
    families: BTreeMap<Role, Vec<Role>>,
    /// Of each role and of those below it.
    consumed: BTreeMap<Role, ResourceQuantities>,
    /// By the first part of the name: what of the guarantees is not satisfied.
    due: BTreeMap<Role, ResourceQuantities>,
    /// What is due to each role with quota.
    needs: BTreeMap<Role, Need>,
    /// The sum of `due`.
    required: ResourceQuantities,
    /// The sum over all agents.
    free: ResourceQuantities,
    accounts: BTreeMap<usize, Account>,
    /// Grows with every change.
    pub version: u64,
}

/// Quota limits only these.
pub(crate) fn is_counted(resource: &Resource) -> bool {
    resource.is_scalar() && resource.is_unreserved() && !resource.is_revocable()
}

/// The first part of a role's name: all that share it are one family.
pub(crate) fn top(role: &Role) -> Role {
    role.ancestors().last().unwrap_or_else(|| role.clone())
}

fn less(mut from: ResourceQuantities, amounts: &ResourceQuantities) -> ResourceQuantities {
    from -= amounts;
    from
}

/// The greater amount of each name.
pub(crate) fn raise(amounts: &mut ResourceQuantities, others: &ResourceQuantities) {
    for (name, other) in others.iter() {
        let more = other - amounts.get(name);
        amounts.add(name, more);
    }
}

impl Ledger {
    pub fn is_kept(&self) -> bool {
        !self.quotas.is_empty()
    }

    pub fn has_family(&self, family: &Role) -> bool {
        self.families.contains_key(family)
    }

    /// Whether something is due to anybody.
    pub fn has_guarantees(&self) -> bool {
        !self.required.is_empty()
    }

    pub fn quotas(&self) -> impl Iterator<Item = (&Role, &Quota)> {
        self.quotas.iter()
    }

    pub fn consumed(&self, role: &Role) -> ResourceQuantities {
        self.consumed.get(role).cloned().unwrap_or_default()
    }

    /// Puts these quotas in the place of what these roles had. All agents have to be counted again if it is kept for
    /// the first time.
    pub fn update(&mut self, quotas: BTreeMap<Role, Quota>) {
        let touched: BTreeSet<Role> = quotas.keys().map(top).collect();
        for (role, quota) in quotas {
            if quota.is_default() {
                self.quotas.remove(&role);
                self.needs.remove(&role);
            } else {
                self.quotas.insert(role, quota);
            }
        }
        self.version += 1;
        if self.quotas.is_empty() {
            *self = Ledger { version: self.version, ..Ledger::default() };
            return;
        }
        for family in touched {
            let below = Role::new(&format!("{family}/"));
            let own = self.quotas.contains_key(&family).then(|| family.clone());
            let subroles = self.quotas.range(below..).map(|(role, _)| role);
            let subroles = subroles.take_while(|role| role.is_strict_subrole_of(&family)).cloned();
            let mut roles: Vec<Role> = own.into_iter().chain(subroles).collect();
            roles.sort_by_key(|role| std::cmp::Reverse(role.ancestors().count()));
            if roles.is_empty() {
                self.families.remove(&family);
            } else {
                self.families.insert(family.clone(), roles);
            }
            self.settle(&family);
        }
    }

    /// Counts one agent anew; `None`: it is gone.
    pub fn count(&mut self, slot: usize, agent: Option<&Agent>) {
        if !self.is_kept() {
            return;
        }
        let new = agent.map(account).unwrap_or_default();
        let old = self.accounts.remove(&slot).unwrap_or_default();
        if old != new {
            self.version += 1;
            self.free -= &old.free;
            self.free += &new.free;
            let roles: BTreeSet<&Role> = old.consumed.keys().chain(new.consumed.keys()).collect();
            for role in roles {
                let (gone, come) = (old.consumed.get(role), new.consumed.get(role));
                if gone != come {
                    self.change(role, gone, come);
                }
            }
        }
        if agent.is_some() {
            self.accounts.insert(slot, new);
        }
    }

    fn change(&mut self, role: &Role, gone: Option<&ResourceQuantities>, come: Option<&ResourceQuantities>) {
        self.consume(role, gone, come);
        let family = top(role);
        if self.families.contains_key(&family) {
            self.settle(&family);
        }
    }

    fn consume(&mut self, role: &Role, gone: Option<&ResourceQuantities>, come: Option<&ResourceQuantities>) {
        for role in std::iter::once(role.clone()).chain(role.ancestors()) {
            let consumed = self.consumed.entry(role.clone()).or_default();
            // What is added comes first: sums do not go below zero on the way.
            if let Some(come) = come {
                *consumed += come;
            }
            if let Some(gone) = gone {
                *consumed -= gone;
            }
            if consumed.is_empty() {
                self.consumed.remove(&role);
            }
        }
    }

    /// A role is given so much of what is free, until the agent is counted: see `take_back`.
    pub fn give(&mut self, role: &Role, amounts: &ResourceQuantities) {
        self.free -= amounts;
        self.change(role, None, Some(amounts));
    }

    /// The agent is counted next: what is due is brought up to date then.
    pub fn take_back(&mut self, role: &Role, amounts: &ResourceQuantities) {
        self.free += amounts;
        self.consume(role, Some(amounts), None);
    }

    /// Brings up to date what is due to the roles of a family.
    fn settle(&mut self, family: &Role) {
        let mut pending: Vec<(&Role, ResourceQuantities)> = Vec::new();
        let mut needs = Vec::new();
        for role in self.families.get(family).into_iter().flatten() {
            let mut below = ResourceQuantities::new();
            pending.retain(|(other, due)| {
                let counted = other.is_strict_subrole_of(role);
                if counted {
                    below += due;
                }
                !counted
            });
            let mut whole = self.own_due(role);
            raise(&mut whole, &below);
            pending.push((role, whole.clone()));
            needs.push((role.clone(), Need { whole, below }));
        }
        let mut sum = ResourceQuantities::new();
        pending.iter().for_each(|(_, due)| sum += due);
        self.needs.extend(needs);
        self.required += &sum;
        let before = match self.families.contains_key(family) {
            true => self.due.insert(family.clone(), sum),
            false => self.due.remove(family),
        };
        if let Some(before) = before {
            self.required -= &before;
        }
    }

    fn own_due(&self, role: &Role) -> ResourceQuantities {
        let Some(quota) = self.quotas.get(role) else { return ResourceQuantities::new() };
        match self.consumed.get(role) {
            Some(consumed) => less(quota.guarantees.clone(), consumed),
            None => quota.guarantees.clone(),
        }
    }

    /// A role and the roles above it that have quota, the role itself first; with each what is due to those below it
    /// that are not on this line, whichever level they branch off at.
    fn line(&self, role: &Role) -> impl Iterator<Item = (Role, &Quota, ResourceQuantities)> {
        let mut under: Option<&Need> = None;
        let mut others = ResourceQuantities::new();
        std::iter::once(role.clone()).chain(role.ancestors()).filter_map(move |role| {
            let (quota, need) = (self.quotas.get(&role)?, self.needs.get(&role)?);
            others +=
                &under.map_or_else(|| need.below.clone(), |under| less(need.below.clone(), &under.whole));
            under = Some(need);
            Some((role, quota, others.clone()))
        })
    }

    /// What a role can be given for its own guarantee, or for that of one above it: but not what is due to others there.
    pub fn due(&self, role: &Role) -> ResourceQuantities {
        let mut due = ResourceQuantities::new();
        for (role, _, others) in self.line(role) {
            raise(&mut due, &less(self.own_due(&role), &others));
        }
        due
    }

    /// How much more a role may consume, by its limits and by those of the roles above it. There it leaves room for what
    /// is due to others.
    pub fn allowance(&self, role: &Role) -> ResourceLimits {
        let mut allowance = ResourceLimits::new();
        for (role, quota, others) in self.line(role) {
            let consumed = self.consumed.get(&role);
            for (name, limit) in quota.limits.iter() {
                let used = consumed.map_or(Scalar::ZERO, |consumed| consumed.get(name));
                allowance.restrict(name, limit - used - others.get(name));
            }
        }
        allowance
    }

    /// What of all that is due to a role it could not be given if so much were free: of its own guarantee, and of each
    /// above it.
    pub fn lacks(&self, role: &Role, free: &ResourceQuantities) -> Vec<ResourceQuantities> {
        let dues = || self.line(role).map(|(role, _, others)| less(self.own_due(&role), &others));
        let mut given = ResourceQuantities::new();
        dues().for_each(|due| raise(&mut given, &due));
        let allowance = self.allowance(role);
        let given: ResourceQuantities = given
            .iter()
            .map(|(name, due)| {
                let most = due.min(free.get(name));
                (name.clone(), allowance.get(name).map_or(most, |limit| most.min(limit)))
            })
            .collect();
        dues().map(|due| less(due, &given)).collect()
    }

    /// Whether a role, or one above it, would have less than it is guaranteed without these. Roles that are above another
    /// one, too, for whose sake this is asked, do not matter: what comes free is due to that one.
    pub fn is_guaranteed(&self, role: &Role, amounts: &ResourceQuantities, other: &Role) -> bool {
        let mut line = self.line(role).filter(|(role, _, _)| !other.is_same_or_subrole_of(role));
        line.any(|(role, quota, _)| {
            let consumed = self.consumed(&role);
            let is_short = |name, amount| {
                let guarantee = quota.guarantees.get(name);
                !guarantee.is_zero() && consumed.get(name) - amount < guarantee
            };
            amounts.iter().any(|(name, amount)| is_short(name, amount))
        })
    }

    /// What one agent has free.
    pub fn free_of(&self, slot: usize) -> ResourceQuantities {
        self.accounts.get(&slot).map(|account| account.free.clone()).unwrap_or_default()
    }

    /// The books without the agents, to try out what would be if.
    pub fn sketch(&self) -> Ledger {
        Ledger {
            quotas: self.quotas.clone(),
            families: self.families.clone(),
            consumed: self.consumed.clone(),
            due: self.due.clone(),
            needs: self.needs.clone(),
            required: self.required.clone(),
            free: self.free.clone(),
            accounts: BTreeMap::new(),
            version: self.version,
        }
    }

    /// In a sketch: a role has so much less, or again.
    pub fn lose(&mut self, role: &Role, amounts: &ResourceQuantities) {
        self.change(role, Some(amounts), None);
    }

    pub fn regain(&mut self, role: &Role, amounts: &ResourceQuantities) {
        self.change(role, None, Some(amounts));
    }

    /// How much may be given away beside what is due. None: nothing is due, and there is no such limit.
    pub fn spare(&self) -> Option<ResourceQuantities> {
        self.has_guarantees().then(|| less(self.free.clone(), &self.required))
    }

    /// What of an offer a role gets in this stage; None if that is nothing at all.
    pub fn part_of(&self, offer: &Resources, role: &Role, stage: Stage) -> Option<Resources> {
        let counted = offer.filter(is_counted);
        let mut rest = offer.filter(|resource| !is_counted(resource));
        let allowance = self.allowance(role);
        let spare = self.spare();
        let least = |one: Option<Scalar>, other: Option<Scalar>| match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let of_spare = |name: &ResourceName| spare.as_ref().map(|spare| spare.get(name));
        if stage == Stage::Shares {
            let part = counted.shrunk_to(|name| least(allowance.get(name), of_spare(name)));
            let part = part + &rest;
            return (!part.is_empty()).then_some(part);
        }
        let due = self.due(role);
        let guaranteed = counted.shrunk_to(|name| least(allowance.get(name), Some(due.get(name))));
        if guaranteed.is_empty() {
            return None;
        }
        let given = guaranteed.quantities();
        let more = (counted - &guaranteed).shrunk_to(|name| {
            least(allowance.get(name).map(|limit| limit - given.get(name)), of_spare(name))
        });
        rest.retain(|resource| {
            !resource.is_scalar() || resource.is_revocable() || resource.is_reserved_to(role)
        });
        Some(guaranteed + &more + &rest)
    }

    /// The books against the agents, counted from nothing.
    pub fn audit<'a>(&self, agents: impl Iterator<Item = (usize, &'a Agent)>) -> Result<(), String> {
        if !self.is_kept() {
            return Ok(());
        }
        let mut anew = Ledger::default();
        anew.update(self.quotas.clone());
        for (slot, agent) in agents {
            anew.count(slot, Some(agent));
        }
        ensure(anew.accounts == self.accounts, || "the accounts of quota are up to date".to_string())?;
        ensure(anew.consumed == self.consumed, || {
            format!("quota counts what roles consume: {:?} is {:?}", self.consumed, anew.consumed)
        })?;
        ensure(anew.free == self.free, || format!("what is free adds up: {} is {}", self.free, anew.free))?;
        ensure(anew.required == self.required, || {
            format!("what is due adds up: {} is {}", self.required, anew.required)
        })
    }
}

fn account(agent: &Agent) -> Account {
    let mut account = Account::default();
    for resource in agent.total() {
        if let (Some(role), Some(amount)) = (resource.reservation_role(), resource.as_scalar()) {
            account.consumed.entry(role.clone()).or_default().add(resource.name(), amount);
        }
    }
    for resource in agent.held.values().chain(agent.unclaimed.values()).flatten() {
        if let (true, Some(role), Some(amount)) =
            (is_counted(resource), resource.allocation_role(), resource.as_scalar())
        {
            account.consumed.entry(role.clone()).or_default().add(resource.name(), amount);
        }
    }
    // An agent that is not offered can satisfy nobody.
    if agent.active {
        account.free = agent.available().filter(is_counted).quantities();
    }
    account
}
