//! Roles as operators see them: which there are, and what is offered to, allocated to and reserved for each. What stands
//! below a role in the tree counts in it.

use std::collections::{BTreeMap, BTreeSet};

use messor_master_core::{FrameworkView, View};
use messor_proto::mesos::{Role as RoleInfo, master::response, value};
use messor_types::{Resource, ResourceFormat, ResourceQuantities, Resources, Role, Scalar};

use super::registry;
use super::state::framework_roles;
use crate::document::{self, Object};

/// What GET_ROLES shows; other scalars it leaves out, as 1.11.0 does.
const SHOWN: [&str; 4] = ["cpus", "mem", "disk", "gpus"];

/// A role and all below it.
#[derive(Default)]
struct Sums {
    allocated: ResourceQuantities,
    offered: ResourceQuantities,
    reserved: ResourceQuantities,
    /// Of what is reserved: what is allocated.
    reserved_and_used: ResourceQuantities,
}

/// Roles that are known, with their frameworks: those of --roles alone where it is given; else of frameworks, with quota,
/// a weight or reservations, and what stands above them.
fn known_roles(view: &View) -> BTreeMap<String, Vec<&FrameworkView>> {
    let mut known: BTreeSet<String> = match &view.allowed_roles {
        Some(allowed) => allowed.iter().cloned().chain(["*".to_string()]).collect(),
        None => {
            let of_frameworks = view.frameworks.iter().flat_map(|f| framework_roles(&f.framework.info));
            let mut known: BTreeSet<String> = of_frameworks.map(str::to_string).collect();
            known.extend(view.weights.iter().map(|(role, _)| role.clone()));
            known.extend(registry::quotas(view).into_keys());
            let reserved = view.agents.iter().flat_map(|agent| agent.total.reservations());
            known.extend(reserved.map(|(role, _)| role.as_str().to_string()));
            known
        }
    };
    let above: Vec<Role> = known.iter().flat_map(|role| Role::new(role).ancestors()).collect();
    known.extend(above.iter().map(|role| role.as_str().to_string()));
    let mut roles: BTreeMap<String, Vec<&FrameworkView>> =
        known.into_iter().map(|role| (role, Vec::new())).collect();
    for framework in &view.frameworks {
        for role in framework_roles(&framework.framework.info) {
            if let Some(frameworks) = roles.get_mut(role) {
                frameworks.push(framework);
            }
        }
    }
    roles
}

fn sums(view: &View) -> BTreeMap<Role, Sums> {
    let mut sums: BTreeMap<Role, Sums> = BTreeMap::new();
    let mut add = |role: &Role, resource: &Resource, pick: fn(&mut Sums) -> &mut ResourceQuantities| {
        let amounts = amounts(resource);
        for role in std::iter::once(role.clone()).chain(role.ancestors()) {
            *pick(sums.entry(role).or_default()) += &amounts;
        }
    };
    for framework in &view.frameworks {
        for resource in &framework.used {
            if let Some(role) = resource.allocation_role() {
                add(role, resource, |sums| &mut sums.allocated);
            }
        }
        for resource in &framework.offered {
            if let Some(role) = resource.allocation_role() {
                add(role, resource, |sums| &mut sums.offered);
            }
        }
    }
    for agent in &view.agents {
        for resource in &agent.total {
            if let Some(role) = resource.reservation_role() {
                add(role, resource, |sums| &mut sums.reserved);
            }
        }
        for resource in &agent.used {
            if let Some(role) = resource.reservation_role() {
                add(role, resource, |sums| &mut sums.reserved_and_used);
            }
        }
    }
    sums
}

/// An amount in which ranges and sets are counted too, as /roles shows them: 1,001 ports.
fn amounts(resource: &Resource) -> ResourceQuantities {
    let mut sum = Resources::from(resource.clone()).quantities();
    let count = match (resource.as_ranges(), resource.as_set()) {
        (Some(ranges), _) => ranges.count(),
        (_, Some(set)) => set.len() as u64,
        _ => return sum,
    };
    sum.add(resource.name(), Scalar::from_units(i64::try_from(count).unwrap_or(i64::MAX)));
    sum
}

fn weight_of(view: &View, role: &str) -> f64 {
    view.weights.iter().find(|(name, _)| name == role).map_or(1.0, |(_, weight)| *weight)
}

fn quantities(o: &mut Object<'_>, name: &str, quantities: &ResourceQuantities) {
    o.object(name, |o| quantities.iter().for_each(|(name, amount)| o.double(name.as_str(), amount.to_f64())));
}

fn amounts_of(o: &mut Object<'_>, name: &str, amounts: &BTreeMap<String, value::Scalar>) {
    o.object(name, |o| amounts.iter().for_each(|(name, amount)| o.double(name, amount.value)));
}

/// /roles
pub fn roles(view: &View) -> Vec<u8> {
    let quotas = registry::quotas(view);
    let mut sums = sums(view);
    document::object(|o| {
        o.array("roles", |a| {
            for (name, frameworks) in known_roles(view) {
                let sums = sums.remove(&Role::new(&name)).unwrap_or_default();
                a.object(|o| {
                    o.text("name", &name);
                    o.double("weight", weight_of(view, &name));
                    o.object("quota", |o| {
                        o.text("role", &name);
                        let none = Default::default();
                        let config = quotas.get(&name);
                        amounts_of(o, "guarantee", config.map_or(&none, |config| &config.guarantees));
                        amounts_of(o, "limit", config.map_or(&none, |config| &config.limits));
                        // Unallocated reservations are charged too.
                        let mut consumed = sums.allocated.clone();
                        consumed += &sums.reserved;
                        for (name, amount) in sums.reserved_and_used.iter() {
                            consumed.subtract(name, amount);
                        }
                        quantities(o, "consumed", &consumed);
                    });
                    let mut both = sums.allocated.clone();
                    both += &sums.offered;
                    quantities(o, "resources", &both);
                    quantities(o, "allocated", &sums.allocated);
                    quantities(o, "offered", &sums.offered);
                    quantities(o, "reserved", &sums.reserved);
                    o.texts("frameworks", frameworks.iter().map(|f| f.framework.id.as_str()));
                });
            }
        });
    })
}

pub fn get_roles(view: &View) -> response::GetRoles {
    let mut sums = sums(view);
    let roles = known_roles(view)
        .into_iter()
        .map(|(name, frameworks)| {
            let sums = sums.remove(&Role::new(&name)).unwrap_or_default();
            let mut both = sums.allocated;
            both += &sums.offered;
            RoleInfo {
                weight: weight_of(view, &name),
                frameworks: frameworks.iter().map(|f| (&f.framework.id).into()).collect(),
                resources: both
                    .iter()
                    .filter(|(name, _)| SHOWN.contains(&name.as_str()))
                    .map(|(name, amount)| Resource::scalar(name.as_str(), amount.to_f64()))
                    .map(|resource| resource.to_proto(ResourceFormat::PostRefinement))
                    .collect(),
                name,
            }
        })
        .collect();
    response::GetRoles { roles }
}
