//! Quota: what operators ask for, whether the cluster could hold it, and offers that come back for its sake.
//!
//! How offers keep to quota is the allocator's affair.

use std::collections::{BTreeMap, BTreeSet};

use messor_allocator::Event as Allocation;
use messor_proto::mesos::quota::{QuotaConfig, QuotaRequest};
use messor_proto::mesos::{self, value};
use messor_registry::{Operation, State, validate_quota};
use messor_types::{OfferId, Quota, Resource, ResourceQuantities, Resources, Role, validate_role};

use crate::effect::Outcome;
use crate::event::ReplyId;
use crate::master::Master;
use crate::registering::Pending;
use crate::turn::Turn;

/// The quota of every role that has one.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    /// As the registry has them.
    stored: BTreeMap<Role, QuotaConfig>,
    /// As they will be when the registry has what is on its way to it: what new requests are judged by.
    planned: BTreeMap<Role, QuotaConfig>,
}

fn put(quotas: &mut BTreeMap<Role, QuotaConfig>, configs: &[QuotaConfig]) {
    for config in configs {
        let role = Role::new(&config.role);
        if Quota::from(config).is_default() {
            quotas.remove(&role);
        } else {
            quotas.insert(role, config.clone());
        }
    }
}

impl Quotas {
    /// Quota in the form of before 1.9 guarantees what it limits.
    fn of(registry: &State) -> Quotas {
        let old = registry.quotas().map(|info| config_of(info.role(), &info.guarantee));
        let configs: Vec<QuotaConfig> = old.chain(registry.quota_configs().cloned()).collect();
        let mut stored = BTreeMap::new();
        put(&mut stored, &configs);
        Quotas { planned: stored.clone(), stored }
    }

    /// As they will be with these.
    fn with(&self, configs: &[QuotaConfig]) -> BTreeMap<Role, QuotaConfig> {
        let mut quotas = self.planned.clone();
        put(&mut quotas, configs);
        quotas
    }
}

/// A quota in which the guarantee is the limit.
fn config_of(role: &str, guarantee: &[mesos::Resource]) -> QuotaConfig {
    let amounts: BTreeMap<String, value::Scalar> =
        guarantee.iter().filter_map(|resource| Some((resource.name.clone(), resource.scalar?))).collect();
    QuotaConfig { role: role.to_string(), guarantees: amounts.clone(), limits: amounts }
}

/// What a SET_QUOTA asks for, if it says so in a way that it can be kept.
fn config_of_request(request: &QuotaRequest) -> Result<QuotaConfig, String> {
    let role = request.role();
    validate_role(role).map_err(|error| format!("'role' ('{role}') is not valid: {error}"))?;
    if request.guarantee.is_empty() {
        return Err("'guarantee' is empty".to_string());
    }
    let mut names = BTreeSet::new();
    for resource in &request.guarantee {
        let read = Resource::from_proto(resource).map_err(|error| format!("'guarantee': {error}"))?;
        let name = read.name();
        let wrong = if read.is_reserved() {
            "is reserved"
        } else if resource.disk.is_some() {
            "has 'disk'"
        } else if read.is_revocable() {
            "is revocable"
        } else if !read.is_scalar() {
            "is no scalar"
        } else if !names.insert(name.clone()) {
            "is there twice"
        } else {
            continue;
        };
        return Err(format!("'guarantee': {name} {wrong}"));
    }
    Ok(config_of(role, &request.guarantee))
}

/// Refuses a role that guarantees less than the roles right below it do in sum, and a limit above that of a role above.
fn validate_tree(quotas: &BTreeMap<Role, QuotaConfig>) -> Result<(), String> {
    for (role, config) in quotas {
        let limits = Quota::from(config).limits;
        for above in role.ancestors() {
            let Some(config) = quotas.get(&above) else { continue };
            let limits_above = Quota::from(config).limits;
            for (name, limit) in limits.iter() {
                if let Some(most) = limits_above.get(name).filter(|most| limit > *most) {
                    return Err(format!(
                        "the role '{role}' is limited to {name}:{limit}, which is more than the limit of '{above}', {name}:{most}"
                    ));
                }
            }
        }
    }
    let mut children: BTreeMap<Role, ResourceQuantities> = BTreeMap::new();
    for (role, config) in quotas {
        if let Some(parent) = role.parent() {
            *children.entry(parent).or_default() += &Quota::from(config).guarantees;
        }
    }
    for (parent, sum) in children {
        let own = quotas.get(&parent).map(|config| Quota::from(config).guarantees).unwrap_or_default();
        if !own.contains(&sum) {
            return Err(format!(
                "the role '{parent}' guarantees {own}, which is less than what the roles below it guarantee: {sum}"
            ));
        }
    }
    Ok(())
}

/// What all guarantees together take: those of a role count in those of the role above it.
fn guaranteed(quotas: &BTreeMap<Role, QuotaConfig>) -> ResourceQuantities {
    let mut sum = ResourceQuantities::new();
    for (_, config) in quotas.iter().filter(|(role, _)| !role.is_hierarchical()) {
        sum += &Quota::from(config).guarantees;
    }
    sum
}

fn counted(resources: &Resources, counts: impl Fn(&Resource) -> bool) -> ResourceQuantities {
    resources.filter(|resource| !resource.is_revocable() && counts(resource)).quantities()
}

impl Master {
    pub(crate) fn recover_quota(&mut self, turn: &mut Turn<'_>, registry: &State, expected_agents: usize) {
        self.quotas = Quotas::of(registry);
        if self.quotas.stored.is_empty() {
            return;
        }
        turn.allocator(Allocation::Recover { expected_agents });
        let quotas = self.quotas.stored.iter().map(|(role, config)| (role.clone(), config.into())).collect();
        turn.allocator(Allocation::UpdateQuota { quotas });
    }

    /// UPDATE_QUOTA: all of these roles, or none.
    pub(crate) fn update_quota(
        &mut self,
        turn: &mut Turn<'_>,
        reply: ReplyId,
        configs: Vec<QuotaConfig>,
        force: bool,
    ) {
        let refusal = configs.iter().find_map(|config| {
            let valid = validate_quota(config).map_err(|error| error.to_string());
            valid.and_then(|()| self.validate_roles_flag(&config.role)).err()
        });
        let refusal = refusal.or_else(|| {
            let unforced = configs.iter().filter(|_| !force);
            unforced.filter_map(|config| self.over_limit(config)).next()
        });
        let quotas = self.quotas.with(&configs);
        let refusal = refusal.or_else(|| validate_tree(&quotas).err());
        let refusal = refusal.or_else(|| if force { None } else { self.over_capacity(&quotas) });
        match refusal {
            Some(text) => turn.reply(reply, Outcome::Invalid(format!("invalid quota: {text}"))),
            None => self.store_quota(turn, reply, configs),
        }
    }

    /// SET_QUOTA: a role that has none yet.
    pub(crate) fn set_quota(&mut self, turn: &mut Turn<'_>, reply: ReplyId, request: &QuotaRequest) {
        let config = match config_of_request(request) {
            Ok(config) => config,
            Err(text) => return turn.reply(reply, Outcome::Invalid(format!("invalid quota: {text}"))),
        };
        let valid = validate_quota(&config).map_err(|error| error.to_string());
        let valid = valid.and_then(|()| self.validate_roles_flag(&config.role)).and_then(|()| {
            match self.quotas.planned.contains_key(&Role::new(&config.role)) {
                true => Err(format!(
                    "the role '{}' has quota already: remove it, or use UPDATE_QUOTA",
                    config.role
                )),
                false => Ok(()),
            }
        });
        let quotas = self.quotas.with(std::slice::from_ref(&config));
        if let Err(text) = valid.and_then(|()| validate_tree(&quotas)) {
            return turn.reply(reply, Outcome::Invalid(format!("invalid quota: {text}")));
        }
        match self.over_capacity(&quotas) {
            Some(text) if !request.force() => turn.reply(reply, Outcome::Conflict(text)),
            _ => self.store_quota(turn, reply, vec![config]),
        }
    }

    pub(crate) fn remove_quota(&mut self, turn: &mut Turn<'_>, reply: ReplyId, role: &str) {
        let config = QuotaConfig { role: role.to_string(), ..Default::default() };
        let known = match self.quotas.planned.contains_key(&Role::new(role)) {
            true => self.validate_roles_flag(role),
            false => Err(format!("the role '{role}' has no quota")),
        };
        let quotas = self.quotas.with(std::slice::from_ref(&config));
        match known.and_then(|()| validate_tree(&quotas)) {
            Err(text) => turn.reply(reply, Outcome::Invalid(format!("cannot remove quota: {text}"))),
            Ok(()) => self.store_quota(turn, reply, vec![config]),
        }
    }

    fn validate_roles_flag(&self, role: &str) -> Result<(), String> {
        match self.config.allows_role(role) {
            true => Ok(()),
            false => Err(format!("the role '{role}' is not one of --roles")),
        }
    }

    fn over_limit(&self, config: &QuotaConfig) -> Option<String> {
        let limits = Quota::from(config).limits;
        let consumed = self.consumed_quota(&Role::new(&config.role));
        (!limits.allows(&consumed)).then(|| {
            format!(
                "the role '{}' consumes {consumed} already, which is more than 'limits' allow (use 'force' to set \
                 them nevertheless)",
                config.role
            )
        })
    }

    /// Whether the guarantees are more than what the registered agents have.
    fn over_capacity(&self, quotas: &BTreeMap<Role, QuotaConfig>) -> Option<String> {
        let mut capacity = ResourceQuantities::new();
        for agent in self.agents.registered.values() {
            capacity += &counted(&agent.total, |_| true);
        }
        let guaranteed = guaranteed(quotas);
        (!capacity.contains(&guaranteed)).then(|| {
            format!(
                "all guarantees together, {guaranteed}, are more than what the cluster has, {capacity} (use 'force' \
                 to set them nevertheless)"
            )
        })
    }

    /// What a role and all below it consume of their quota: what their tasks and executors use, and what is reserved
    /// for them.
    fn consumed_quota(&self, role: &Role) -> ResourceQuantities {
        let within = |other: Option<&Role>| other.is_some_and(|other| other.is_same_or_subrole_of(role));
        let mut consumed = ResourceQuantities::new();
        for agent in self.agents.registered.values() {
            consumed += &counted(&agent.total, |resource| within(resource.reservation_role()));
            for used in agent.used.values() {
                consumed +=
                    &counted(used, |resource| resource.is_unreserved() && within(resource.allocation_role()));
            }
        }
        consumed
    }

    fn store_quota(&mut self, turn: &mut Turn<'_>, reply: ReplyId, configs: Vec<QuotaConfig>) {
        self.quotas.planned = self.quotas.with(&configs);
        let operation = Operation::UpdateQuota { configs: configs.clone() };
        self.store(turn, operation, Pending::Quota { configs, reply });
    }

    /// The registry has it.
    pub(crate) fn quota_stored(
        &mut self,
        turn: &mut Turn<'_>,
        configs: &[QuotaConfig],
        reply: ReplyId,
        accepted: bool,
    ) {
        if !accepted {
            // Cannot be, as both check the same; what else is on its way is judged by the registry alone then.
            self.quotas.planned = self.quotas.stored.clone();
            return turn.reply(reply, Outcome::Conflict("the registry refused the quota".to_string()));
        }
        put(&mut self.quotas.stored, configs);
        let quotas = configs.iter().map(|config| (Role::new(&config.role), config.into())).collect();
        turn.allocator(Allocation::UpdateQuota { quotas });
        for config in configs {
            turn.info(format!("the quota of role '{}' is set", config.role));
            self.rescind_for_quota(turn, &Role::new(&config.role), &Quota::from(config));
        }
        turn.reply(reply, Outcome::Done);
    }

    /// What is offered to a role beyond its new limits comes back, and so much of what is offered to others that its
    /// guarantees can be satisfied.
    fn rescind_for_quota(&mut self, turn: &mut Turn<'_>, role: &Role, quota: &Quota) {
        let mut held = self.consumed_quota(role);
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for (id, offer) in &self.offers {
            let amounts = counted(&offer.resources, Resource::is_unreserved);
            if offer.role.is_same_or_subrole_of(role) {
                held += &amounts;
                own.push((id.clone(), amounts));
            } else {
                others.push((id.clone(), amounts));
            }
        }
        for (offer, amounts) in own {
            if quota.limits.allows(&held) {
                break;
            }
            held -= &amounts;
            self.rescind(turn, &offer);
        }
        self.rescind_below_limits(turn, role, quota, &held);
        let others = others.into_iter().filter(|(id, _)| self.offers.contains_key(id)).collect();
        self.rescind_until(turn, held, &quota.guarantees, others);
    }

    /// Where a role above has a limit, what others below it are offered may have to come back for the role's guarantees,
    /// however much is free.
    fn rescind_below_limits(
        &mut self,
        turn: &mut Turn<'_>,
        role: &Role,
        quota: &Quota,
        held: &ResourceQuantities,
    ) {
        let mut due = quota.guarantees.clone();
        due -= held;
        for above in role.ancestors() {
            let Some(config) = self.quotas.stored.get(&above) else { continue };
            let limits = Quota::from(config).limits;
            let mut consumed = self.consumed_quota(&above);
            let mut offers = Vec::new();
            for (id, offer) in
                self.offers.iter().filter(|(_, offer)| offer.role.is_same_or_subrole_of(&above))
            {
                let amounts = counted(&offer.resources, Resource::is_unreserved);
                consumed += &amounts;
                if !offer.role.is_same_or_subrole_of(role) {
                    offers.push((id.clone(), amounts));
                }
            }
            consumed += &due;
            for (id, amounts) in offers {
                if limits.allows(&consumed) {
                    break;
                }
                consumed -= &amounts;
                self.rescind(turn, &id);
            }
        }
    }

    fn rescind_until(
        &mut self,
        turn: &mut Turn<'_>,
        mut free: ResourceQuantities,
        wanted: &ResourceQuantities,
        offers: Vec<(OfferId, ResourceQuantities)>,
    ) {
        for (offer, amounts) in offers {
            if free.contains(wanted) {
                return;
            }
            free += &amounts;
            self.rescind(turn, &offer);
        }
    }
}
