//! What is offered to whom when: registration, filters, roles, reservations, capabilities.

use std::collections::BTreeMap;

use messor_allocator::{AgentDetails, Effect, Event, FrameworkDetails, Options, refuse_duration};
use messor_proto::mesos;
use messor_proto::mesos::resource::{DiskInfo, disk_info};
use messor_types::{
    AgentCapabilities, AgentId, FrameworkCapabilities, FrameworkId, Reservation, ReservationKind, Resource,
    ResourceConversion, ResourceQuantities, Resources, Role,
};

use crate::cluster::{Cluster, Offer, agent, framework, only, resources, roles, to_whom};

fn cluster() -> Cluster {
    Cluster::new(Options::default())
}

fn dynamic(role: &str) -> Reservation {
    Reservation::new(ReservationKind::Dynamic, role)
}

fn bare(offer: &Offer) -> Resources {
    offer.resources.clone().unallocated()
}

#[test]
fn everything_is_offered_at_once() {
    let mut cluster = cluster();
    cluster.add_agent("s1", "cpus:4;mem:1024;ports:[31000-32000]");
    assert_eq!(cluster.settle(), []);
    cluster.add_framework("f1", "*");
    let offer = only(cluster.settle());
    assert_eq!((offer.to_whom().as_str(), offer.role.as_str()), ("f1 s1", "*"));
    assert_eq!(bare(&offer), resources("cpus:4;mem:1024;ports:[31000-32000]"));
    assert_eq!(offer.resources.allocation_role(), Some(&Role::star()));
    assert_eq!(cluster.tick(), []);
}

#[test]
fn a_burst_of_events_wakes_once() {
    let mut cluster = cluster();
    cluster.add_framework("f1", "*");
    for id in ["s1", "s2", "s3"] {
        cluster.add_agent(id, "cpus:1;mem:100");
    }
    let (offers, rest) = cluster.said();
    assert_eq!((offers.len(), rest), (0, vec![Effect::Wake]));
    cluster.tell(Event::Allocate);
    let (offers, rest) = cluster.said();
    assert_eq!((offers.len(), rest), (3, vec![]));
}

#[test]
fn what_comes_back_waits_for_the_tick() {
    let mut cluster = cluster();
    cluster.add_framework("f1", "*");
    cluster.add_agent("s1", "cpus:4;mem:1024");
    let offer = only(cluster.settle());
    cluster.recover(&offer, None);
    assert_eq!(cluster.settle(), []);
    assert_eq!(only(cluster.tick()), offer);
}

#[test]
fn declined_resources_go_to_others_and_come_again_later() {
    let mut cluster = cluster();
    cluster.add_framework("f1", "role");
    cluster.add_agent("s1", "cpus:4;mem:1024");
    let offer = only(cluster.settle());
    cluster.recover(&offer, Some(5.0));
    let metric = |cluster: &Cluster| {
        let metrics: BTreeMap<String, f64> = cluster.allocator.metrics().into_iter().collect();
        metrics["allocator/mesos/offer_filters/roles/role/active"]
    };
    assert_eq!(metric(&cluster), 1.0);
    for _ in 0..4 {
        assert_eq!(cluster.tick(), []);
    }
    assert_eq!(only(cluster.tick()), offer);
    assert_eq!(metric(&cluster), 0.0);

    cluster.recover(&offer, Some(1000.0));
    cluster.add_framework("f2", "role");
    assert_eq!(only(cluster.settle()).to_whom(), "f2 s1");
}

#[test]
fn a_filter_holds_for_one_allocation_at_least() {
    let mut cluster = cluster();
    cluster.add_framework("f1", "role1");
    cluster.add_agent("s1", "cpus:4;mem:1024");
    let offer = only(cluster.settle());
    cluster.tick();
    cluster.recover(&offer, Some(0.001));
    // The tick is late, and the filter holds for it all the same.
    cluster.pass(3.0);
    assert_eq!(cluster.tick(), []);
    assert_eq!(only(cluster.tick()), offer);

    cluster.recover(&offer, Some(0.0));
    assert_eq!(only(cluster.tick()), offer);
}

#[test]
fn refuse_seconds_are_bounded() {
    let secs = |refuse_seconds| refuse_duration(&mesos::Filters { refuse_seconds }).as_secs_f64();
    assert_eq!(secs(None), 5.0);
    assert_eq!(secs(Some(-1.0)), 5.0);
    assert_eq!(secs(Some(f64::NAN)), 5.0);
    assert_eq!(secs(Some(0.5)), 0.5);
    assert_eq!(secs(Some(1e300)), 31_536_000.0);
    assert_eq!(secs(Some(f64::INFINITY)), 31_536_000.0);
}

#[test]
fn more_than_was_refused_is_offered_again() {
    let mut cluster = cluster();
    cluster.add_framework("f1", "role");
    cluster.add_agent("s1", "cpus:4;mem:1024");
    let offer = only(cluster.settle());
    // A task takes one cpu and the rest is refused.
    let task = resources("cpus:1;mem:512").allocated_to(&Role::new("role"));
    let rest = &offer.resources - &task;
    cluster.recover_part(&offer, rest, Some(1000.0), false);
    assert_eq!(cluster.tick(), []);
    // A part of what was refused is refused too.
    cluster.tell(Event::UpdateAgent {
        agent_id: "s1".into(),
        details: AgentDetails { hostname: "s1".into(), ..agent() },
        total: Some(resources("cpus:3;mem:1024")),
    });
    assert_eq!(cluster.settle(), []);
    // The task ends: what is available is more than was refused.
    cluster.recover_part(&offer, task, None, false);
    let again = only(cluster.tick());
    assert_eq!(bare(&again), resources("cpus:3;mem:1024"));
}

#[test]
fn revive_removes_filters_of_its_roles() {
    let mut cluster = cluster();
    cluster.add_framework("f1", "role1 role2");
    cluster.add_agent("s1", "cpus:4;mem:1024");
    for _ in 0..2 {
        let offer = only(cluster.tick());
        cluster.recover(&offer, Some(1000.0));
    }
    assert_eq!(cluster.tick(), []);
    cluster.revive("f1", "role2");
    let offer = only(cluster.settle());
    assert_eq!(offer.role, "role2");
    cluster.recover(&offer, Some(1000.0));
    cluster.revive("f1", "");
    assert_eq!(only(cluster.settle()).to_whom(), "f1 s1");
}

#[test]
fn suppressed_roles_get_nothing() {
    let mut cluster = cluster();
    cluster.add_framework("f1", "role1 role2");
    cluster.suppress("f1", "role1");
    cluster.add_agent("s1", "cpus:1;mem:100");
    cluster.add_agent("s2", "cpus:1;mem:100");
    let offers = cluster.settle();
    assert!(offers.len() == 2 && offers.iter().all(|offer| offer.role == "role2"), "{offers:?}");
    for offer in &offers {
        cluster.recover(offer, None);
    }
    cluster.suppress("f1", "");
    assert_eq!(cluster.tick(), []);
    cluster.revive("f1", "role1");
    let offers = cluster.settle();
    assert!(offers.len() == 2 && offers.iter().all(|offer| offer.role == "role1"), "{offers:?}");
}

#[test]
fn suppression_comes_with_registration_and_updates() {
    let mut cluster = cluster();
    let details = |suppressed: &str, all: &str| FrameworkDetails {
        suppressed_roles: roles(suppressed),
        ..framework(all)
    };
    cluster.add_framework_with("f1", details("role", "role"));
    cluster.add_agent("s1", "cpus:1;mem:100");
    assert_eq!(cluster.settle(), []);
    let update = |details| Event::UpdateFramework { framework_id: "f1".into(), details };
    cluster.tell(update(details("", "role")));
    let offer = only(cluster.tick());
    cluster.tell(update(details("", "other")));
    // The resources of the role that it left come back, and go to the role that it has.
    assert_eq!(cluster.tick(), []);
    cluster.recover(&offer, None);
    assert_eq!(only(cluster.tick()).role, "other");
}

#[test]
fn reserved_resources_are_for_their_role_and_its_subroles() {
    let mut cluster = cluster();
    cluster.add_framework("f1", "eng");
    cluster.add_framework("f2", "eng/web");
    cluster.add_framework("f3", "sales");
    let total: Resources = [
        Resource::scalar("cpus", 1.0),
        Resource::scalar("cpus", 2.0).with_reservation(dynamic("eng/web")),
        Resource::scalar("cpus", 4.0).with_reservation(dynamic("none")),
    ]
    .into_iter()
    .collect();
    cluster.add_agent_with("s1", agent(), total, &[]);
    let offers = cluster.settle();
    let cpus = |id: &str| {
        let own: Resources =
            offers.iter().filter(|offer| offer.framework == id).map(|offer| &offer.resources).sum();
        own.cpus().map_or(0.0, |cpus| cpus.to_f64())
    };
    assert!(cpus("f2") >= 2.0, "{offers:?}");
    assert_eq!(cpus("f1") + cpus("f2") + cpus("f3"), 3.0);
    // Whoever is not in the role gets no more than the unreserved one.
    for offer in &offers {
        cluster.recover(offer, None);
    }
    cluster.suppress("f2", "");
    let offers = cluster.tick();
    assert_eq!(offers.iter().map(|offer| offer.resources.cpus().unwrap().to_f64()).sum::<f64>(), 1.0);
}

#[test]
fn refined_reservations_need_the_capability() {
    let offered = |able: bool| {
        let mut cluster = cluster();
        let mut details = framework("eng/web");
        details.capabilities.reservation_refinement = able;
        cluster.add_framework_with("f1", details);
        let refined = Resource::scalar("cpus", 2.0)
            .with_reservation(dynamic("eng"))
            .with_reservation(dynamic("eng/web"));
        let total = [refined, Resource::scalar("cpus", 1.0)].into_iter().collect();
        cluster.add_agent_with("s1", agent(), total, &[]);
        only(cluster.settle()).resources.cpus().unwrap().to_f64()
    };
    assert_eq!((offered(true), offered(false)), (3.0, 1.0));
}

#[test]
fn revocable_resources_need_the_capability() {
    let offered = |able: bool| {
        let mut cluster = cluster();
        let mut details = framework("role");
        details.capabilities.revocable_resources = able;
        cluster.add_framework_with("f1", details);
        let total = [Resource::scalar("cpus", 1.0), Resource::scalar("cpus", 8.0).with_revocable()];
        cluster.add_agent_with("s1", agent(), total.into_iter().collect(), &[]);
        only(cluster.settle()).resources.revocable().cpus().is_some()
    };
    assert!(offered(true) && !offered(false));
}

#[test]
fn agents_with_gpus_are_for_those_who_use_them() {
    let offered = |able: bool, filter: bool| {
        let mut cluster = Cluster::new(Options { filter_gpu_resources: filter, ..Options::default() });
        let mut details = framework("role");
        details.capabilities.gpu_resources = able;
        cluster.add_framework_with("f1", details);
        cluster.add_agent("s1", "cpus:1;gpus:1");
        cluster.settle().len()
    };
    assert_eq!((offered(true, true), offered(false, true), offered(false, false)), (1, 0, 1));
}

#[test]
fn agents_of_other_regions_are_for_the_region_aware() {
    let offered = |able: bool, region: Option<&str>| {
        let mut cluster = Cluster::new(Options { region: Some("here".to_string()), ..Options::default() });
        let mut details = framework("role");
        details.capabilities.region_aware = able;
        cluster.add_framework_with("f1", details);
        let details = AgentDetails { region: region.map(String::from), ..agent() };
        cluster.add_agent_with("s1", details, resources("cpus:1"), &[]);
        cluster.settle().len()
    };
    assert_eq!((offered(false, Some("here")), offered(false, None)), (1, 1));
    assert_eq!((offered(false, Some("there")), offered(true, Some("there"))), (0, 1));
}

#[test]
fn old_agents_are_not_for_what_they_do_not_know() {
    let offered = |role: &str, multi_role: bool, capabilities: AgentCapabilities| {
        let mut cluster = cluster();
        let capable = FrameworkCapabilities { multi_role, ..Default::default() };
        cluster.add_framework_with("f1", FrameworkDetails { capabilities: capable, ..framework(role) });
        cluster.add_agent_with("s1", AgentDetails { capabilities, ..agent() }, resources("cpus:1"), &[]);
        cluster.settle().len()
    };
    let old = AgentCapabilities::default();
    let multi = AgentCapabilities { multi_role: true, ..old };
    let newer = AgentCapabilities { hierarchical_role: true, ..multi };
    assert_eq!((offered("a", true, old), offered("a", false, old)), (0, 1));
    assert_eq!((offered("a/b", true, multi), offered("a/b", true, newer)), (0, 1));
}

#[test]
fn too_little_is_not_offered() {
    let quantities = |text: &str| ResourceQuantities::parse(text).unwrap();
    let offered = |total: &str, details: FrameworkDetails| {
        let mut cluster = cluster();
        cluster.add_framework_with("f1", details);
        cluster.add_agent("s1", total);
        cluster.settle().len()
    };
    let plain = || framework("role");
    assert_eq!(offered("cpus:0.01", plain()), 1);
    assert_eq!(offered("mem:32", plain()), 1);
    assert_eq!(offered("cpus:0.009;mem:31", plain()), 0);
    assert_eq!(offered("disk:1000", plain()), 0);
    // FrameworkInfo.offer_filters stands in place of the flag.
    let with = |list: Vec<ResourceQuantities>| FrameworkDetails {
        min_allocatable_resources: [(Role::new("role"), list)].into(),
        ..plain()
    };
    assert_eq!(offered("disk:1000", with(vec![])), 1);
    assert_eq!(offered("cpus:3;mem:100", with(vec![quantities("cpus:4"), quantities("mem:200;cpus:1")])), 0);
    assert_eq!(offered("cpus:3;mem:200", with(vec![quantities("cpus:4"), quantities("mem:200;cpus:1")])), 1);
}

pub fn shared_volume() -> Resource {
    let persistence = disk_info::Persistence { id: "id".to_string(), ..Default::default() };
    Resource::scalar("disk", 64.0)
        .with_reservation(dynamic("role"))
        .with_disk(DiskInfo { persistence: Some(persistence), ..Default::default() })
        .with_shared()
}

#[test]
fn shared_resources_are_offered_once_a_run_to_the_capable() {
    let mut cluster = Cluster::new(Options { min_allocatable_resources: Vec::new(), ..Options::default() });
    let mut able = framework("role");
    able.capabilities.shared_resources = true;
    cluster.add_framework_with("f1", able.clone());
    cluster.add_framework_with("f2", able);
    cluster.add_framework("f3", "role");
    cluster.add_agent_with("s1", agent(), shared_volume().into(), &[]);
    let mut seen = vec![only(cluster.settle()).framework, only(cluster.tick()).framework];
    seen.sort();
    assert_eq!(seen, ["f1", "f2"]);
    let offer = only(cluster.tick());
    cluster.recover(&offer, None);
    assert!(cluster.tick().iter().all(|offer| offer.framework != "f3"));
}

#[test]
fn the_whitelist_and_deactivation_stop_offers() {
    let mut cluster = cluster();
    let list = |hosts: Option<&[&str]>| Event::UpdateWhitelist {
        whitelist: hosts.map(|hosts| hosts.iter().map(|host| host.to_string()).collect()),
    };
    cluster.tell(list(Some(&["s1"])));
    cluster.add_framework("f1", "role");
    for id in ["s1", "s2", "s3"] {
        cluster.add_agent(id, "cpus:1;mem:100");
    }
    cluster.tell(Event::DeactivateAgent { agent_id: "s3".into() });
    assert_eq!(to_whom(&cluster.settle()), ["f1 s1"]);
    cluster.tell(list(None));
    assert_eq!(to_whom(&cluster.tick()), ["f1 s2"]);
    cluster.tell(Event::ActivateAgent { agent_id: "s3".into() });
    assert_eq!(to_whom(&cluster.tick()), ["f1 s3"]);
}

#[test]
fn inactive_frameworks_keep_what_they_have_and_get_nothing() {
    let mut cluster = cluster();
    cluster.add_framework("f1", "role");
    cluster.add_agent("s1", "cpus:1;mem:100");
    let offer = only(cluster.settle());
    cluster.use_all(&offer);
    cluster.tell(Event::DeactivateFramework { framework_id: "f1".into() });
    cluster.add_agent("s2", "cpus:1;mem:100");
    assert_eq!(cluster.tick(), []);
    cluster.recover_part(&offer, offer.resources.clone(), Some(1000.0), true);
    cluster.tell(Event::DeactivateFramework { framework_id: "f1".into() });
    cluster.tell(Event::ActivateFramework { framework_id: "f1".into() });
    assert_eq!(to_whom(&cluster.settle()), ["f1 s1", "f1 s2"]);
}

#[test]
fn a_new_master_learns_what_is_used_from_both_sides() {
    let used = || resources("cpus:1;mem:10").allocated_to(&Role::new("role"));
    // The agent first, then the framework that it named.
    let mut cluster = cluster();
    cluster.add_agent_with("s1", agent(), resources("cpus:4;mem:100"), &[("f1", used()), ("f2", used())]);
    let add = |id: &str, used: Resources| Event::AddFramework {
        framework_id: FrameworkId::new(id),
        details: framework("role"),
        active: true,
        used: [(AgentId::new("s1"), used)].into(),
    };
    cluster.tell(add("f1", used()));
    let offer = only(cluster.settle());
    assert_eq!(bare(&offer), resources("cpus:2;mem:80"));
    // f2 never came back; its task ends.
    cluster.tell(Event::RecoverResources {
        framework_id: "f2".into(),
        agent_id: "s1".into(),
        resources: used(),
        refuse: None,
        allocated: true,
    });
    assert_eq!(bare(&only(cluster.tick())), resources("cpus:1;mem:10"));
    // The framework first, then its agent.
    cluster.add_framework("f3", "role");
    cluster.add_agent_with("s2", agent(), resources("cpus:4;mem:100"), &[("f3", used())]);
    let offers = cluster.settle();
    assert_eq!(bare(&only(offers)), resources("cpus:3;mem:90"));
}

#[test]
fn what_is_removed_gives_back_what_it_had() {
    let mut cluster = cluster();
    cluster.add_framework("f1", "role1 role2");
    cluster.add_agent("s1", "cpus:1;mem:100");
    cluster.add_agent("s2", "cpus:1;mem:100");
    let offers = cluster.settle();
    assert_eq!(offers.len(), 2);
    cluster.tell(Event::RemoveAgent { agent_id: "s1".into() });
    // It comes too late and does no harm.
    for offer in offers.iter().filter(|offer| offer.agent == "s1") {
        cluster.recover(offer, Some(5.0));
    }
    cluster.tell(Event::RemoveFramework { framework_id: "f1".into() });
    cluster.add_framework("f2", "role1");
    assert_eq!(to_whom(&cluster.settle()), ["f2 s2"]);
    cluster.add_agent("s1", "cpus:1;mem:100");
    assert_eq!(to_whom(&cluster.settle()), ["f2 s1"]);
}

#[test]
fn changed_attributes_remove_filters() {
    let mut cluster = cluster();
    cluster.add_framework("f1", "role");
    cluster.add_agent("s1", "cpus:1;mem:100");
    let offer = only(cluster.settle());
    cluster.recover(&offer, Some(1000.0));
    let details = |text: &str| AgentDetails {
        hostname: "s1".to_string(),
        attributes: messor_types::parse_attributes(text).unwrap(),
        ..agent()
    };
    let update = |details| Event::UpdateAgent { agent_id: "s1".into(), details, total: None };
    cluster.tell(update(details("")));
    assert_eq!(cluster.tick(), []);
    cluster.tell(update(details("rack:a")));
    assert_eq!(only(cluster.settle()), offer);
}

#[test]
fn operations_change_what_there_is() {
    let mut cluster = cluster();
    cluster.add_framework("f1", "role1");
    cluster.add_framework("f2", "role2");
    cluster.suppress("f2", "");
    cluster.add_agent("s1", "cpus:4;mem:100");
    let offer = only(cluster.settle());
    let role = Role::new("role1");
    let consumed = Resources::from(Resource::scalar("cpus", 3.0)).allocated_to(&role);
    let conversion = ResourceConversion { converted: consumed.push_reservation(&dynamic("role1")), consumed };
    let updated = offer.resources.convert([&conversion]).unwrap();
    cluster.tell(Event::UpdateAllocation {
        framework_id: "f1".into(),
        agent_id: "s1".into(),
        offered: offer.resources.clone(),
        conversions: vec![conversion],
    });
    cluster.recover_part(&offer, updated, None, false);
    cluster.suppress("f1", "");
    cluster.revive("f2", "");
    assert_eq!(bare(&only(cluster.settle())), resources("cpus:1;mem:100"));
    cluster.revive("f1", "");
    assert_eq!(only(cluster.settle()).resources.reserved_to(&role).cpus().unwrap().to_f64(), 3.0);
}

#[test]
fn a_smaller_total_leaves_what_is_held() {
    let mut cluster = cluster();
    cluster.add_framework("f1", "role");
    cluster.add_agent("s1", "cpus:4;mem:100");
    let offer = only(cluster.settle());
    cluster.tell(Event::UpdateAgent {
        agent_id: "s1".into(),
        details: AgentDetails { hostname: "s1".into(), ..agent() },
        total: Some(resources("cpus:2;mem:100")),
    });
    assert_eq!(cluster.settle(), []);
    cluster.recover(&offer, None);
    assert_eq!(bare(&only(cluster.tick())), resources("cpus:2;mem:100"));
}

#[test]
fn mistakes_of_the_caller_are_told_and_change_nothing() {
    let mut cluster = cluster();
    cluster.add_framework("f1", "role");
    cluster.add_agent("s1", "cpus:4;mem:100");
    let offer = only(cluster.settle());
    let recover = |resources: Resources, allocated: bool| Event::RecoverResources {
        framework_id: "f1".into(),
        agent_id: "s1".into(),
        resources,
        refuse: None,
        allocated,
    };
    let role = Role::new("role");
    let wrong = [
        recover(resources("cpus:5").allocated_to(&role), false),
        recover(resources("cpus:1"), false),
        recover(resources("cpus:1").allocated_to(&Role::new("other")), false),
        recover(resources("cpus:1").allocated_to(&role), true),
        Event::RemoveAgent { agent_id: "s9".into() },
        Event::RemoveFramework { framework_id: "f9".into() },
        Event::AddAgent {
            agent_id: "s1".into(),
            details: agent(),
            total: resources("cpus:1"),
            used: BTreeMap::new(),
        },
        Event::UpdateAllocation {
            framework_id: "f1".into(),
            agent_id: "s1".into(),
            offered: resources("cpus:9").allocated_to(&role),
            conversions: Vec::new(),
        },
    ];
    for event in wrong {
        cluster.tell(event);
        let (offers, rest) = cluster.said();
        assert!(offers.is_empty() && matches!(rest.as_slice(), [Effect::Inconsistent { .. }]), "{rest:?}");
    }
    cluster.recover(&offer, None);
    assert_eq!(only(cluster.tick()), offer);
}

#[test]
fn requests_are_heard_and_change_nothing() {
    let mut cluster = cluster();
    cluster.add_framework("f1", "role");
    cluster.tell(Event::RequestResources { framework_id: "f1".into() });
    assert_eq!(cluster.said(), (vec![], vec![]));
}

/// A new master with quota offers nothing on a partial view.
#[test]
fn agents_are_waited_for_after_a_failover() {
    let mut cluster = cluster();
    cluster.tell(Event::Recover { expected_agents: 5 });
    cluster.add_framework("f1", "*");
    for id in ["s1", "s2", "s3"] {
        cluster.add_agent(id, "cpus:4;mem:1024");
        assert_eq!((cluster.settle(), cluster.tick()), (vec![], vec![]));
    }
    cluster.add_agent("s4", "cpus:4;mem:1024");
    assert_eq!(to_whom(&cluster.tick()), ["f1 s1", "f1 s2", "f1 s3", "f1 s4"]);
    // Once is enough.
    cluster.tell(Event::RemoveAgent { agent_id: AgentId::new("s4") });
    cluster.add_agent("s5", "cpus:4;mem:1024");
    assert_eq!(to_whom(&cluster.settle()), ["f1 s5"]);
}

#[test]
fn agents_are_waited_for_ten_minutes_at_most() {
    let mut cluster = cluster();
    cluster.tell(Event::Recover { expected_agents: 100 });
    cluster.add_framework("f1", "*");
    cluster.add_agent("s1", "cpus:4;mem:1024");
    cluster.pass(598.0);
    assert_eq!(cluster.tick(), []);
    assert_eq!(to_whom(&cluster.tick()), ["f1 s1"]);
    // Nobody is expected: nobody is waited for.
    let mut alone = Cluster::new(Options::default());
    alone.tell(Event::Recover { expected_agents: 1 });
    alone.add_framework("f1", "*");
    alone.add_agent("s1", "cpus:4;mem:1024");
    assert_eq!(to_whom(&alone.settle()), ["f1 s1"]);
}

/// What was thought free is used, by a framework that is known and by one that comes later.
#[test]
fn resources_are_used_after_all() {
    let mut cluster = cluster();
    cluster.add_agent("s1", "cpus:4;mem:1024");
    cluster.tell(Event::DeactivateAgent { agent_id: AgentId::new("s1") });
    cluster.add_framework("f1", "*");
    let used = |id: &str| (FrameworkId::new(id), resources("cpus:1;mem:256").allocated_to(&Role::star()));
    cluster.tell(Event::AddUsed {
        agent_id: AgentId::new("s1"),
        used: [used("f1"), used("f2")].into_iter().collect(),
    });
    cluster.tell(Event::ActivateAgent { agent_id: AgentId::new("s1") });
    assert_eq!(bare(&only(cluster.tick())), resources("cpus:2;mem:512"));
}
