//! DeclineOffers of hierarchical_allocator_tests: each agent has something of its resources in use, the rest is offered
//! and declined for ever, until every framework has seen every agent or the rounds are over.

use std::collections::{BTreeMap, BTreeSet};

use messor_types::{AgentId, FrameworkId, Resources, Role};

use super::cluster::{Cluster, FOR_EVER, add_agent, add_framework, framework_id, resources, scattered_ports};
use super::ensure;
use crate::report::Report;

/// One round's offers: every agent once, as a whole.
struct Check {
    left: Resources,
    /// Agents that a framework declined, one bit each.
    seen: BTreeSet<(FrameworkId, AgentId)>,
    keeps_seen: bool,
}

pub fn measure(
    name: &str,
    agents: usize,
    frameworks: usize,
    roles: usize,
    rounds: usize,
    report: &mut Report,
) -> Result<(), String> {
    let mut cluster = Cluster::new();
    let role =
        |number: usize| if roles == 1 { Role::star() } else { Role::new(&format!("role{}", number % roles)) };
    let took = cluster.tell((0..frameworks).map(|number| add_framework(number, &role(number))));
    report.record(name, "adding the frameworks", took);

    let total = resources("cpus:24;mem:4096;disk:4096;ports:[31000-32000]");
    let mut used = resources("cpus:16;mem:2014;disk:1024");
    used.insert(scattered_ports(16));
    let took = cluster.tell((0..agents).map(|number| {
        let user = number % frameworks;
        let used = used.clone().allocated_to(&role(user));
        add_agent(number, total.clone(), BTreeMap::from([(framework_id(user), used)]))
    }));
    report.record(name, "adding the agents", took);
    cluster.no_offers()?;

    // To remember all pairs costs more memory than the allocator needs: only the smaller shapes do.
    let mut check =
        Check { left: total - &used, seen: BTreeSet::new(), keeps_seen: agents * frameworks <= 1_000_000 };
    let is_large = agents >= 10_000 && frameworks >= 1_000;
    let whole = (agents, frameworks) == (10_000, 1_000);
    let rounds = rounds.min(frameworks);
    for _ in 0..rounds {
        let took = cluster.tick();
        let line = report.record(name, "a cycle in which all agents changed", took);
        if whole {
            (line.target, line.published) = (Some(50.0), (roles == 1).then_some(1060.0));
        }
        let offers = cluster.offers()?;
        check.one_round(&offers, agents)?;
        let took = cluster.tick();
        let line = report.record(name, "a cycle in which nothing changed", took);
        if whole {
            line.target = Some(1.0);
        }
        cluster.no_offers()?;
        let took = cluster.tell(offers.into_iter().map(|offer| offer.returned(Some(FOR_EVER))));
        report.record(name, "declining all offers", took);
        cluster.no_offers()?;
    }
    if rounds == frameworks {
        let took = cluster.tick();
        report.record(name, "the cycle after all declined everything", took);
        cluster.no_offers()?;
        let took = cluster.tick();
        report.record(name, "a cycle in which nothing changed", took);
        cluster.no_offers()?;
    }
    if !is_large {
        cluster.allocator.audit()?;
    }
    Ok(())
}

impl Check {
    fn one_round(&mut self, offers: &[super::cluster::Offer], agents: usize) -> Result<(), String> {
        ensure(offers.len() == agents, || format!("{} offers of {agents} agents", offers.len()))?;
        let offered: BTreeSet<&AgentId> = offers.iter().map(|offer| &offer.agent_id).collect();
        ensure(offered.len() == agents, || format!("{} of {agents} agents are offered", offered.len()))?;
        for offer in offers {
            let whole = offer.resources.clone().unallocated() == self.left;
            ensure(whole, || format!("{} is offered as {}", offer.agent_id, offer.resources))?;
            let new =
                !self.keeps_seen || self.seen.insert((offer.framework_id.clone(), offer.agent_id.clone()));
            ensure(new, || format!("{} declined {} already", offer.framework_id, offer.agent_id))?;
        }
        Ok(())
    }
}
