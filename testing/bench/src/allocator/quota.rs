//! LargeAndSmallQuota of hierarchical_allocator_benchmarks: guarantees and limits of half an agent for most roles, so
//! that agents have to be divided, and of two agents for the others. Three quarters of the cluster satisfy all.

use std::collections::{BTreeMap, BTreeSet};

use messor_allocator::Event;
use messor_types::{Quota, ResourceLimits, ResourceQuantities, Role};

use super::cluster::{Cluster, FOR_EVER, Offer, add_agent, add_framework, framework_id, resources};
use super::ensure;
use crate::report::Report;

const AGENT: &str = "cpus:2;mem:2048;disk:2048";
const SMALL: &str = "cpus:1;mem:1024;disk:1024";
const LARGE: &str = "cpus:4;mem:4096;disk:4096";

pub fn measure(name: &str, small: usize, large: usize, report: &mut Report) -> Result<(), String> {
    let mut cluster = Cluster::new();
    let agents = small / 5 + large * 5;
    let took = cluster.tell((0..agents).map(|number| add_agent(number, resources(AGENT), BTreeMap::new())));
    report.record(name, "adding the agents", took);

    let roles: Vec<(Role, &str)> = (0..small)
        .map(|number| (Role::new(&format!("small{number}")), SMALL))
        .chain((0..large).map(|number| (Role::new(&format!("large{number}")), LARGE)))
        .collect();
    let took = cluster.tell(roles.iter().enumerate().map(|(number, (role, _))| add_framework(number, role)));
    report.record(name, "adding the frameworks", took);

    let took = cluster.tell(roles.iter().map(|(role, amounts)| {
        let guarantees = ResourceQuantities::parse(amounts).expect("constants are valid");
        let limits: ResourceLimits = guarantees.iter().map(|(name, amount)| (name.clone(), amount)).collect();
        Event::UpdateQuota { quotas: BTreeMap::from([(role.clone(), Quota { guarantees, limits })]) }
    }));
    report.record(name, "setting the quotas, one by one", took);
    cluster.no_offers()?;

    let took = cluster.tick();
    let line = report.record(name, "the cycle that satisfies all quota", took);
    (line.target, line.published) = (Some(50.0), Some(15_400.0));
    let offers = cluster.offers()?;
    satisfied(&roles, &offers)?;
    report.record(name, "a cycle in which nothing changed", cluster.tick()).target = Some(1.0);
    cluster.no_offers()?;
    // Whoever wants offers again has all agents looked at.
    cluster.tell([Event::ReviveOffers { framework_id: framework_id(0), roles: BTreeSet::new() }]);
    let line = report.record(name, "a cycle that looks at all agents, all quota satisfied", cluster.tick());
    (line.target, line.published) = (Some(50.0), Some(13_700.0));
    cluster.no_offers()?;

    // Everything comes back, and is offered again.
    let took = cluster.tell(offers.into_iter().map(|offer| offer.returned(None)));
    report.record(name, "returning all offers", took);
    let took = cluster.tick();
    report.record(name, "the cycle that satisfies all quota", took);
    let offers = cluster.offers()?;
    satisfied(&roles, &offers)?;

    // Whoever declined an agent is given others.
    let count = offers.len();
    let took = cluster.tell(offers.into_iter().map(|offer| offer.returned(Some(FOR_EVER))));
    report.record(name, "returning all offers", took);
    let took = cluster.tick();
    report.record(name, "the cycle after all declined what they had", took).target = Some(50.0);
    let offers = cluster.offers()?;
    ensure(!offers.is_empty(), || format!("no offers after {count} were declined"))?;
    Ok(())
}

/// Each role has its quota to the last bit.
fn satisfied(roles: &[(Role, &str)], offers: &[Offer]) -> Result<(), String> {
    let mut given: BTreeMap<&Role, ResourceQuantities> = BTreeMap::new();
    for offer in offers {
        *given.entry(&offer.role).or_default() += &offer.resources.quantities();
    }
    for (role, amounts) in roles {
        let quota = ResourceQuantities::parse(amounts).expect("constants are valid");
        let given = given.get(role).cloned().unwrap_or_default();
        ensure(given == quota, || format!("{role} was offered {given} of its quota of {quota}"))?;
    }
    Ok(())
}
