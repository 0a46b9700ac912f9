//! The allocator's metrics under their Mesos names. What needs a clock (how long a run takes) or the app's queue is
//! measured by the app around the machine.

use std::collections::{BTreeMap, BTreeSet};

use messor_types::{ResourceName, ResourceQuantities, Role, Scalar};

use crate::allocator::Allocator;
use crate::ledger::is_counted;

impl Allocator {
    /// How often resources were allocated, so that who has a clock can measure it.
    pub fn allocation_runs(&self) -> u64 {
        self.runs
    }

    pub fn metrics(&self) -> Vec<(String, f64)> {
        let mut result = vec![("allocator/mesos/allocation_runs".to_string(), self.runs as f64)];
        for name in [ResourceName::CPUS, ResourceName::MEM, ResourceName::DISK] {
            let taken = self.agents.iter().filter_map(|(_, agent)| agent.taken().scalar(&name));
            let taken = taken.fold(Scalar::ZERO, |sum, scalar| sum + scalar);
            let prefix = format!("allocator/mesos/resources/{name}");
            result.push((format!("{prefix}/offered_or_allocated"), taken.to_f64()));
            result.push((format!("{prefix}/total"), self.tree.total().get(&name).to_f64()));
        }
        for (role, quota) in self.ledger.quotas() {
            // Of the role's own frameworks, as in Mesos; `consumed` is of all below it.
            let mut held = ResourceQuantities::new();
            let own = self.tree.clients().filter(|(_, client)| client.role == *role);
            own.for_each(|(client, _)| held += self.tree.amounts(client));
            let names = quota
                .guarantees
                .iter()
                .map(|(name, _)| name)
                .chain(quota.limits.iter().map(|(name, _)| name));
            for name in names.collect::<BTreeSet<_>>() {
                let prefix = format!("allocator/mesos/quota/roles/{role}/resources/{name}");
                if quota.guarantees.iter().any(|(guaranteed, _)| guaranteed == name) {
                    result.push((format!("{prefix}/guarantee"), quota.guarantees.get(name).to_f64()));
                }
                if let Some(limit) = quota.limits.get(name) {
                    result.push((format!("{prefix}/limit"), limit.to_f64()));
                }
                result.push((format!("{prefix}/offered_or_allocated"), held.get(name).to_f64()));
            }
        }
        for (role, consumed) in self.consumed_by_role() {
            for (name, amount) in consumed.iter() {
                let prefix = format!("allocator/mesos/quota/roles/{role}/resources/{name}");
                result.push((format!("{prefix}/consumed"), amount.to_f64()));
            }
        }
        if !self.options.role_priorities.is_empty() {
            let named = |(name, value)| (format!("allocator/mesos/{name}"), value);
            result.extend(self.wanting.metrics().map(named));
        }
        let mut filters = BTreeMap::new();
        for (_, client) in self.tree.clients() {
            *filters.entry(&client.role).or_insert(0) += client.filters;
        }
        for (role, count) in filters {
            result.push((format!("allocator/mesos/offer_filters/roles/{role}/active"), count as f64));
        }
        for (role, share) in self.tree.dominant_shares() {
            result.push((format!("allocator/mesos/roles/{role}/shares/dominant"), share));
        }
        result
    }

    /// What counts for quota, whether there is one or not, and is not just offered: what is reserved for a role, and what
    /// tasks use of the rest. What it is for a role it is for all above it, and for the root, which has no name.
    fn consumed_by_role(&self) -> BTreeMap<Role, ResourceQuantities> {
        let mut own: BTreeMap<&Role, ResourceQuantities> = BTreeMap::new();
        for (_, agent) in &self.agents {
            let reserved = agent.total().iter().map(|one| (one.reservation_role(), one));
            let used = agent.allocated.iter().filter(|one| is_counted(one));
            for (role, resource) in reserved.chain(used.map(|one| (one.allocation_role(), one))) {
                if let (Some(role), Some(amount)) = (role, resource.as_scalar()) {
                    own.entry(role).or_default().add(resource.name(), amount);
                }
            }
        }
        let mut all: BTreeMap<Role, ResourceQuantities> = BTreeMap::new();
        for (role, amounts) in own {
            let line = std::iter::once(role.clone()).chain(role.ancestors());
            for role in line.chain([Role::new("")]) {
                *all.entry(role).or_default() += &amounts;
            }
        }
        all
    }
}
