//! Quota: guarantees first, limits always, and room for guarantees that are not satisfied.

use std::collections::BTreeMap;

use messor_allocator::{Event, Options};
use messor_types::{
    Quota, Reservation, ReservationKind, Resource, ResourceLimits, ResourceName, ResourceQuantities,
    Resources, Role, Scalar,
};

use crate::cluster::{Cluster, Offer, agent, framework, only, resources, to_whom};

/// `guarantees` and `limits` as in `cpus:1;mem:2`.
fn quota(role: &str, guarantees: &str, limits: &str) -> Event {
    // A limit of nothing is one.
    let limit = |pair: &str| {
        let (name, amount) = pair.split_once(':').unwrap();
        (ResourceName::new(name), Scalar::from_f64(amount.parse().unwrap()))
    };
    let quota = Quota {
        guarantees: ResourceQuantities::parse(guarantees).unwrap(),
        limits: limits.split(';').filter(|pair| !pair.is_empty()).map(limit).collect::<ResourceLimits>(),
    };
    Event::UpdateQuota { quotas: BTreeMap::from([(Role::new(role), quota)]) }
}

fn metric(cluster: &Cluster, name: &str) -> f64 {
    let metrics: BTreeMap<String, f64> = cluster.allocator.metrics().into_iter().collect();
    metrics[&format!("allocator/mesos/quota/roles/{name}")]
}

fn shown(offer: &Offer) -> String {
    format!("{} {}", offer.to_whom(), offer.resources.clone().unallocated())
}

/// U014: limits bound what a role is offered, U015: apart from guarantees.
#[test]
fn a_role_gets_no_more_than_its_limit() {
    let mut cluster = Cluster::new(Options::default());
    cluster.tell(quota("r", "", "cpus:3;mem:150"));
    cluster.add_framework("f", "r");
    cluster.add_agent("s1", "cpus:2;mem:100;ports:[1-2]");
    cluster.add_agent("s2", "cpus:2;mem:100");
    let mut offers = cluster.settle();
    offers.sort_by_key(Offer::to_whom);
    let cpus: f64 = offers.iter().map(|offer| offer.resources.cpus().unwrap().to_f64()).sum();
    let mem: f64 = offers.iter().map(|offer| offer.resources.mem().unwrap().to_f64()).sum();
    assert_eq!((offers.len(), cpus, mem), (2, 3.0, 150.0));
    assert_eq!(metric(&cluster, "r/resources/cpus/offered_or_allocated"), 3.0);
    assert_eq!(metric(&cluster, "r/resources/cpus/limit"), 3.0);
    // Others may have the rest.
    cluster.add_framework("g", "other");
    let rest = only(cluster.settle());
    assert_eq!((rest.framework.as_str(), rest.resources.cpus().unwrap().to_f64()), ("g", 1.0));
    // What comes back can be offered again, where nobody asked for it before.
    cluster.recover(&offers[0], None);
    cluster.suppress("g", "");
    assert_eq!(to_whom(&cluster.tick()), [offers[0].to_whom()]);
    // A higher limit frees what was held back.
    cluster.recover(&rest, None);
    assert!(cluster.tick().is_empty());
    cluster.tell(quota("r", "", "cpus:4;mem:200"));
    assert_eq!(shown(&only(cluster.settle())), format!("f {} {}", rest.agent, rest.resources.unallocated()));
}

#[test]
fn a_limit_of_one_resource_leaves_the_others() {
    let mut cluster = Cluster::new(Options::default());
    cluster.tell(quota("r", "", "cpus:0"));
    cluster.add_framework("f", "r");
    cluster.add_agent("s1", "cpus:2;mem:100;disk:10");
    assert_eq!(shown(&only(cluster.settle())), "f s1 mem:100; disk:10");
}

#[test]
fn guarantees_come_before_shares() {
    let mut cluster = Cluster::new(Options::default());
    cluster.add_framework("g", "guaranteed");
    cluster.add_framework("o", "other");
    // The other role's share is far smaller.
    cluster.add_agent_with(
        "s0",
        agent(),
        resources("cpus:4;mem:400"),
        &[("g", resources("cpus:4;mem:400").allocated_to(&Role::new("guaranteed")))],
    );
    cluster.tell(quota("guaranteed", "cpus:6;mem:600", ""));
    cluster.add_agent("s1", "cpus:2;mem:200");
    assert_eq!(to_whom(&cluster.settle()), ["g s1"]);
    cluster.add_agent("s2", "cpus:2;mem:200");
    assert_eq!(to_whom(&cluster.settle()), ["o s2"]);
    assert_eq!(metric(&cluster, "guaranteed/resources/mem/guarantee"), 600.0);
}

#[test]
fn a_large_agent_is_divided_for_a_guarantee() {
    let mut cluster = Cluster::new(Options::default());
    cluster.tell(quota("r", "cpus:1;mem:100", "cpus:1;mem:100"));
    cluster.add_framework("f", "r");
    cluster.add_framework("o", "other");
    cluster.add_agent("s1", "cpus:4;mem:400;ports:[1-9]");
    let mut offers: Vec<String> = cluster.settle().iter().map(shown).collect();
    offers.sort();
    assert_eq!(offers, ["f s1 cpus:1; mem:100; ports:[1-9]", "o s1 cpus:3; mem:300"]);
}

/// Found by the simulator: who came too late for a shared volume in the run whose first stage offered it never saw it.
#[test]
fn what_a_guarantee_shares_is_offered_to_others_in_the_next_run() {
    let mut cluster = Cluster::new(Options { min_allocatable_resources: Vec::new(), ..Options::default() });
    cluster.tell(quota("role", "cpus:1", ""));
    let mut able = framework("role");
    able.capabilities.shared_resources = true;
    cluster.add_framework_with("f1", able.clone());
    cluster.add_framework_with("f2", able);
    // The guarantee brings one of them the volume, too; of what neither can use there is some left.
    let mut total: Resources = crate::scenarios::shared_volume().into();
    total.insert(Resource::scalar("cpus", 1.0));
    total.insert(Resource::scalar("cpus", 1.0).with_revocable());
    cluster.add_agent_with("s1", agent(), total, &[]);
    let mut seen: Vec<String> =
        cluster.settle().into_iter().chain(cluster.tick()).map(|offer| offer.framework).collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["f1", "f2"]);
}

/// A guarantee of a role that has no framework yet is kept free for it.
#[test]
fn others_leave_room_for_guarantees() {
    let mut cluster = Cluster::new(Options::default());
    cluster.tell(quota("r", "cpus:3;mem:300", ""));
    cluster.add_framework("o", "other");
    cluster.add_agent("s1", "cpus:2;mem:200");
    assert!(cluster.settle().is_empty());
    cluster.add_agent("s2", "cpus:2;mem:200");
    let offer = only(cluster.settle());
    assert_eq!(offer.resources.clone().unallocated(), resources("cpus:1;mem:100"));
    // On an agent that is not offered there is no room.
    cluster.recover(&offer, None);
    let spared = if offer.agent == "s1" { "s2" } else { "s1" };
    cluster.tell(Event::DeactivateAgent { agent_id: messor_types::AgentId::new(spared) });
    assert!(cluster.tick().is_empty());
    cluster.tell(Event::ActivateAgent { agent_id: messor_types::AgentId::new(spared) });
    assert_eq!(cluster.tick().len(), 1);
    // Without the quota there is no need for it.
    cluster.tell(quota("r", "", ""));
    assert_eq!(cluster.settle().len(), 2);
}

/// U085: what is reserved for a role counts as consumed, used or not.
#[test]
fn reservations_count_for_guarantees_and_limits() {
    let mut cluster = Cluster::new(Options::default());
    let reserved = |amount| {
        Resource::scalar("cpus", amount).with_reservation(Reservation::new(ReservationKind::Dynamic, "r/x"))
    };
    cluster.tell(quota("r", "cpus:3", "cpus:3"));
    let mut total = resources("cpus:2;mem:100");
    total.insert(reserved(2.0));
    cluster.add_agent_with("s1", agent(), total, &[]);
    let charged = |cluster: &Cluster| {
        let (role, _, consumed) = cluster.allocator.consumption().remove(0);
        (role.to_string(), consumed.get(&ResourceName::CPUS).to_f64())
    };
    assert_eq!(charged(&cluster), ("r".to_string(), 2.0));
    for role in ["r/x", "r", ""] {
        assert_eq!(metric(&cluster, &format!("{role}/resources/cpus/consumed")), 2.0);
    }
    assert_eq!(metric(&cluster, "r/resources/cpus/offered_or_allocated"), 0.0);
    cluster.add_framework("f", "r/x");
    let offer = only(cluster.settle());
    assert_eq!(offer.resources.cpus().unwrap().to_f64(), 3.0);
    assert_eq!(charged(&cluster).1, 3.0);
    // What is offered counts for what can be offered, and is not consumed yet.
    assert_eq!(metric(&cluster, "r/resources/cpus/consumed"), 2.0);
    // Reserving what it was offered changes nothing: it was charged before.
    let consumed = offer.resources.unreserved().named(&"cpus".into());
    let converted = consumed.push_reservation(&Reservation::new(ReservationKind::Dynamic, "r/x"));
    cluster.tell(Event::UpdateAllocation {
        framework_id: messor_types::FrameworkId::new("f"),
        agent_id: messor_types::AgentId::new("s1"),
        offered: offer.resources.clone(),
        conversions: vec![messor_types::ResourceConversion { consumed, converted }],
    });
    assert_eq!(charged(&cluster).1, 3.0);
    assert_eq!(metric(&cluster, "r/resources/cpus/consumed"), 3.0);
}

#[test]
fn quota_holds_at_every_level() {
    let mut cluster = Cluster::new(Options::default());
    cluster.tell(quota("a", "cpus:2", "cpus:4"));
    cluster.tell(quota("a/b", "cpus:3", ""));
    cluster.add_framework("o", "other");
    // What is due to `a/b` is due to `a`, and not once more.
    cluster.add_agent("s1", "cpus:4;mem:400");
    let offer = only(cluster.settle());
    assert_eq!(offer.resources.clone().unallocated(), resources("cpus:1;mem:400"));
    cluster.recover(&offer, None);
    cluster.suppress("o", "");
    cluster.add_framework("f", "a/b");
    cluster.add_framework("g", "a/c");
    cluster.add_agent("s2", "cpus:4;mem:400");
    let offers = [cluster.settle(), cluster.tick()].concat();
    let cpus: f64 = offers.iter().filter_map(|offer| offer.resources.cpus()).map(|cpus| cpus.to_f64()).sum();
    assert_eq!(cpus, 4.0, "{offers:?}");
    let of_b = offers.iter().filter(|offer| offer.role == "a/b").filter_map(|offer| offer.resources.cpus());
    assert!(of_b.map(|cpus| cpus.to_f64()).sum::<f64>() >= 3.0, "{offers:?}");
}

/// What is due to one role below another is not given to its neighbours, at whichever level they branch off: not of what
/// is free, and not of what the limits above leave.
#[test]
fn quota_of_three_levels_leaves_room_at_each() {
    let total = |offers: &[Offer], role: &str| -> f64 {
        let of = offers.iter().filter(|offer| offer.role == role).filter_map(|offer| offer.resources.cpus());
        of.map(|cpus| cpus.to_f64()).sum()
    };
    let tree = |cluster: &mut Cluster| {
        cluster.tell(quota("a", "cpus:5", "cpus:6"));
        cluster.tell(quota("a/b", "cpus:3", ""));
        cluster.tell(quota("a/b/c", "cpus:3", "cpus:3"));
    };
    let drain = |cluster: &mut Cluster| -> Vec<Offer> { (0..4).flat_map(|_| cluster.tick()).collect() };

    // A limit: of the six, three are due to `a/b/c`, though there is far more than that free.
    for neighbour in ["a", "a/d", "a/b", "a/b/e"] {
        let mut cluster = Cluster::new(Options::default());
        tree(&mut cluster);
        cluster.add_framework("n", neighbour);
        cluster.add_agent("s1", "cpus:20");
        let offers = drain(&mut cluster);
        assert_eq!(total(&offers, neighbour), 3.0, "{neighbour}: {offers:?}");
        cluster.add_framework("c", "a/b/c");
        assert_eq!(total(&drain(&mut cluster), "a/b/c"), 3.0, "beside {neighbour}");
    }

    // A guarantee: five are due to `a`, of which three are due to `a/b/c` alone.
    for neighbour in ["a", "a/d", "a/b", "a/b/e"] {
        let mut cluster = Cluster::new(Options::default());
        tree(&mut cluster);
        cluster.add_framework("n", neighbour);
        cluster.add_framework("o", "other");
        cluster.add_agent("s1", "cpus:5");
        let offers = drain(&mut cluster);
        assert_eq!(
            (total(&offers, neighbour), total(&offers, "other")),
            (2.0, 0.0),
            "{neighbour}: {offers:?}"
        );
        cluster.add_framework("c", "a/b/c");
        assert_eq!(total(&drain(&mut cluster), "a/b/c"), 3.0, "beside {neighbour}");
    }
}
