//! UpdateAllocation of hierarchical_allocator_tests: one agent whose resources are all reserved, each four for another
//! role and with a label of its own, so that nothing can be added up. One framework unreserves and reserves its own.

use std::collections::BTreeMap;

use fastrand::Rng;
use messor_allocator::Event;
use messor_proto::mesos;
use messor_types::{
    FrameworkId, Reservation, ReservationKind, Resource, ResourceConversion, Resources, Role,
};

use super::cluster::{Cluster, add_agent, add_framework, agent_id, framework_id};
use super::ensure;
use crate::report::Report;

fn word(rng: &mut Rng) -> String {
    (0..36).map(|_| rng.lowercase()).collect()
}

pub fn measure(name: &str, roles: usize, repetitions: usize, report: &mut Report) -> Result<(), String> {
    let mut rng = Rng::with_seed(1);
    let mut cluster = Cluster::new();
    let mut total = Resources::new();
    let mut used: BTreeMap<FrameworkId, Resources> = BTreeMap::new();
    for number in 0..roles {
        let role = Role::new(&format!("role-{}", word(&mut rng)));
        cluster.tell([add_framework(number, &role)]);
        for name in ["cpus", "mem", "disk", "ports"] {
            let resource = match name {
                "ports" => Resource::ranges(name, [(2, 2)]),
                name => Resource::scalar(name, 100.0),
            };
            let label = mesos::Label { key: "Label".to_string(), value: Some(word(&mut rng)) };
            let mut reservation = Reservation::new(ReservationKind::Dynamic, role.as_str());
            reservation.labels = Some(mesos::Labels { labels: vec![label] });
            let resource = resource.with_reservation(reservation);
            total.insert(resource.clone());
            used.entry(framework_id(number)).or_default().insert(resource.with_allocation(&role));
        }
    }
    ensure(total.len() == 4 * roles, || format!("{} resource objects", total.len()))?;
    let reserved = used[&framework_id(0)].clone();
    let unreserved = reserved.to_unreserved();
    let took = cluster.tell([add_agent(0, total, used)]);
    report.record(name, "adding the agent", took);
    cluster.no_offers()?;

    let converted = |from: &Resources, to: &Resources| Event::UpdateAllocation {
        framework_id: framework_id(0),
        agent_id: agent_id(0),
        offered: from.clone(),
        conversions: vec![ResourceConversion { consumed: from.clone(), converted: to.clone() }],
    };
    let pairs = (0..repetitions)
        .flat_map(|_| [converted(&reserved, &unreserved), converted(&unreserved, &reserved)])
        .collect::<Vec<_>>();
    let what = format!("{repetitions} times unreserving and reserving");
    let line = report.record(name, &what, cluster.tell(pairs));
    if roles == 1_600 {
        (line.target, line.published) = (Some(500.0), Some(90_085.0));
    }
    // A wrong conversion would be answered; and what was converted is what is given back.
    cluster.no_offers()?;
    cluster.tell([converted(&reserved, &unreserved)]);
    cluster.tell([Event::RecoverResources {
        framework_id: framework_id(0),
        agent_id: agent_id(0),
        resources: unreserved,
        refuse: None,
        allocated: false,
    }]);
    cluster.offers().map(drop)
}
