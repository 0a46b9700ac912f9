//! FullSort and HierarchyFullSort of sorter_tests: the order of many clients when all of it is made anew, and when
//! nothing changed. The sorter is a part of the allocator here, and is measured as that: agents are all in use, so that
//! there is nothing to offer and an allocation is the sort.

use std::collections::BTreeMap;

use messor_allocator::Event;
use messor_types::{FrameworkId, Resources, Role};

use super::cluster::{Cluster, add_agent, add_framework, agent_id, framework_id, resources, scattered_ports};
use super::ensure;
use crate::report::Report;

/// All roles of the tree, those below before those above.
fn roles(levels: u32, branches: usize) -> Vec<Role> {
    fn build(above: &str, levels: u32, branches: usize, result: &mut Vec<Role>) {
        for number in 0..branches {
            let name = format!("{above}{number}");
            if levels > 1 {
                build(&format!("{name}/"), levels - 1, branches, result);
            }
            result.push(Role::new(&name));
        }
    }
    let mut result = Vec::new();
    build("", levels, branches, &mut result);
    result
}

pub fn measure(
    name: &str,
    agents: usize,
    levels: u32,
    branches: usize,
    report: &mut Report,
) -> Result<(), String> {
    let mut cluster = Cluster::new();
    let clients = roles(levels, branches);
    let count = clients.len();
    let took = cluster.tell(clients.iter().enumerate().map(|(number, role)| add_framework(number, role)));
    report.record(name, "adding the clients", took);

    let mut total = resources("cpus:16;mem:2014;disk:1024");
    total.insert(scattered_ports(100));
    let used = |number: usize| -> (FrameworkId, Resources) {
        let client = number % count;
        (framework_id(client), total.clone().allocated_to(&clients[client]))
    };
    let took = cluster
        .tell((0..agents).map(|number| add_agent(number, total.clone(), BTreeMap::from([used(number)]))));
    report.record(name, "adding the agents, all in use", took);
    report.record(name, "a full sort", cluster.tick());
    cluster.no_offers()?;
    report.record(name, "a sort in which nothing changed", cluster.tick());
    cluster.no_offers()?;

    // One more agent goes to whom the order names first: on the way down from the top, whoever has least.
    cluster.tell([add_agent(agents, total.clone(), BTreeMap::new())]);
    cluster.tick();
    let offers = cluster.offers()?;
    let first = poorest(&clients, agents);
    ensure(offers.len() == 1 && offers[0].role == clients[first], || {
        let to: Vec<&Role> = offers.iter().map(|offer| &offer.role).collect();
        format!("an agent is offered to {to:?} and not to {}", clients[first])
    })?;
    cluster.tell(offers.into_iter().map(|offer| offer.returned(None)));

    let took = cluster.tell((0..agents).map(|number| {
        let (framework_id, resources) = used(number);
        let agent_id = agent_id(number);
        Event::RecoverResources { framework_id, agent_id, resources, refuse: None, allocated: true }
    }));
    report.record(name, "removing the allocations", took);
    let took = cluster.tell((0..=agents).map(|number| Event::RemoveAgent { agent_id: agent_id(number) }));
    report.record(name, "removing the agents", took);
    let took =
        cluster.tell((0..count).map(|number| Event::RemoveFramework { framework_id: framework_id(number) }));
    report.record(name, "removing the clients", took);
    cluster.no_offers()?;
    cluster.allocator.audit()
}

/// The client that is first in the order, found by looking at everything: agents are alike, so a share is the number
/// of those in use. Of equal ones, the one that was served less often and whose name is smaller comes first.
fn poorest(clients: &[Role], agents: usize) -> usize {
    let held = |client: usize| agents / clients.len() + usize::from(client < agents % clients.len());
    let below = |role: &Role| -> usize {
        (0..clients.len()).filter(|client| clients[*client].is_same_or_subrole_of(role)).map(held).sum()
    };
    let mut here: Option<Role> = None;
    loop {
        // A role's own frameworks stand among its subroles under the name `role/.`.
        let own = here.as_ref().and_then(|role| clients.iter().position(|client| client == role));
        let own = own.map(|client| (held(client), format!("{}/.", clients[client]), None));
        let siblings = clients.iter().filter(|role| role.parent() == here);
        let below = siblings.map(|role| (below(role), role.to_string(), Some(role.clone())));
        match below.chain(own).min() {
            Some((_, _, Some(role))) => here = Some(role),
            _ => return clients.iter().position(|role| Some(role) == here.as_ref()).expect("a client"),
        }
    }
}
