//! The allocator's metrics under their Mesos names. What needs a clock (how long a run takes) or the app's queue is
//! measured by the app around the machine.

use std::collections::{BTreeMap, BTreeSet};

use messor_types::{ResourceName, Scalar};

use crate::allocator::Allocator;

impl Allocator {
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
            let consumed = self.ledger.consumed(role);
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
                result.push((format!("{prefix}/offered_or_allocated"), consumed.get(name).to_f64()));
            }
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
}
