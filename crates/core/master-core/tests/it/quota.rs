//! Quota as operators set it, and what becomes of offers.
//!
//! Rows: U014, U015, U085.

use std::collections::BTreeMap;

use messor_master_core::{OperatorCall, Outcome};
use messor_proto::mesos::quota::{QuotaConfig, QuotaRequest};
use messor_proto::mesos::{self, FrameworkInfo, TaskInfo, value};

use crate::world::{Scheduler, World, modern, resources, task};

fn amounts(list: &[(&str, f64)]) -> BTreeMap<String, value::Scalar> {
    list.iter().map(|(name, value)| (name.to_string(), value::Scalar { value: *value })).collect()
}

fn config(role: &str, guarantees: &[(&str, f64)], limits: &[(&str, f64)]) -> QuotaConfig {
    QuotaConfig { role: role.into(), guarantees: amounts(guarantees), limits: amounts(limits) }
}

fn update(configs: &[QuotaConfig]) -> OperatorCall {
    OperatorCall::UpdateQuota { configs: configs.to_vec(), force: false }
}

fn forced(config: QuotaConfig) -> OperatorCall {
    OperatorCall::UpdateQuota { configs: vec![config], force: true }
}

fn set(role: &str, guarantee: &str) -> QuotaRequest {
    QuotaRequest { role: Some(role.into()), guarantee: resources(guarantee), force: None }
}

fn set_call(request: QuotaRequest) -> OperatorCall {
    OperatorCall::SetQuota { request: Box::new(request) }
}

fn in_role(role: &str) -> FrameworkInfo {
    FrameworkInfo { name: role.into(), roles: vec![role.into()], ..modern() }
}

fn offered_cpus(world: &mut World, scheduler: &Scheduler) -> Vec<f64> {
    let offers = world.offers(scheduler.stream);
    let cpus = |resource: &&mesos::Resource| resource.name == "cpus";
    let of = |offer: &mesos::Offer| {
        offer.resources.iter().filter(cpus).map(|resource| resource.scalar.unwrap().value).sum()
    };
    offers.iter().map(of).collect()
}

#[track_caller]
fn refused(outcome: &Outcome, part: &str) {
    match outcome {
        Outcome::Invalid(text) | Outcome::Conflict(text) => assert!(text.contains(part), "{text}"),
        other => panic!("{part}: {other:?}"),
    }
}

#[test]
fn limits_hold_for_offers_and_outlive_the_master() {
    let mut world = World::new();
    world.agent(1);
    assert_eq!(world.operator(update(&[config("r", &[], &[("cpus", 1.0)])])), Outcome::Done);
    let scheduler = world.subscribe(in_role("r"));
    world.allocation();
    assert_eq!(offered_cpus(&mut world, &scheduler), [1.0]);

    let mut next = world.failover();
    assert_eq!(next.registry.quota_configs().len(), 1);
    next.agent(2);
    let scheduler = next.subscribe(in_role("r"));
    next.allocation();
    assert_eq!(offered_cpus(&mut next, &scheduler), [1.0]);
    assert_eq!(next.operator(OperatorCall::RemoveQuota { role: "r".into() }), Outcome::Done);
    next.allocation();
    assert_eq!(offered_cpus(&mut next, &scheduler), [3.0]);
    refused(&next.operator(OperatorCall::RemoveQuota { role: "r".into() }), "has no quota");
}

#[test]
fn offers_to_others_come_back_for_a_guarantee() {
    let mut world = World::new();
    world.agent(1);
    let other = world.subscribe(in_role("other"));
    world.allocation();
    assert_eq!(world.offers(other.stream).len(), 1);
    assert_eq!(world.operator(update(&[config("r", &[("cpus", 3.0)], &[])])), Outcome::Done);
    assert!(world.events(other.stream).iter().any(|event| event.rescind.is_some()));
    world.allocation();
    // Room is left for the role, though it has no framework yet.
    assert_eq!(offered_cpus(&mut world, &other), [1.0]);
    let scheduler = world.subscribe(in_role("r"));
    world.allocation();
    assert_eq!(offered_cpus(&mut world, &scheduler), [3.0]);
}

#[test]
fn offers_beyond_a_new_limit_come_back() {
    let mut world = World::new();
    world.agent(1);
    let scheduler = world.subscribe(in_role("r/x"));
    world.allocation();
    assert_eq!(offered_cpus(&mut world, &scheduler), [4.0]);
    assert_eq!(world.operator(update(&[config("r", &[], &[("cpus", 1.5)])])), Outcome::Done);
    assert!(world.events(scheduler.stream).iter().any(|event| event.rescind.is_some()));
    world.allocation();
    assert_eq!(offered_cpus(&mut world, &scheduler), [1.5]);
}

#[test]
fn what_is_consumed_bounds_new_limits() {
    let mut world = World::new();
    let agent = world.agent(1);
    let scheduler = world.subscribe(in_role("r"));
    world.allocation();
    let offer = world.offers(scheduler.stream).remove(0);
    world.accept(
        &scheduler,
        &[&offer],
        vec![TaskInfo { resources: resources("cpus:2;mem:64"), ..task("t", &agent) }],
    );
    let low = config("r", &[], &[("cpus", 1.0)]);
    refused(&world.operator(update(std::slice::from_ref(&low))), "consumes cpus:2");
    assert_eq!(world.registry.quota_configs().len(), 0);
    assert_eq!(world.operator(update(&[config("r", &[], &[("cpus", 2.0)])])), Outcome::Done);
    assert_eq!(world.operator(forced(low)), Outcome::Done);
}

#[test]
fn guarantees_that_the_cluster_cannot_hold_need_force() {
    let mut world = World::new();
    world.agent(1);
    let much = config("r", &[("cpus", 5.0)], &[]);
    refused(&world.operator(update(std::slice::from_ref(&much))), "more than what the cluster has");
    assert_eq!(world.operator(forced(much)), Outcome::Done);
    let mut request = set("s", "cpus:1");
    assert!(matches!(world.operator(set_call(request.clone())), Outcome::Conflict(_)));
    request.force = Some(true);
    assert_eq!(world.operator(set_call(request)), Outcome::Done);
    let configs: Vec<&QuotaConfig> = world.registry.quota_configs().collect();
    assert_eq!(*configs[1], config("s", &[("cpus", 1.0)], &[("cpus", 1.0)]));
}

#[test]
fn bad_quota_is_named_and_changes_nothing() {
    let mut world = World::new();
    world.agent(1);
    let fine = config("fine", &[("cpus", 1.0)], &[]);
    for (wrong, part) in [
        (config("a b", &[], &[]), "role"),
        (config("a", &[("cpus", -1.0)], &[]), "'guarantees'"),
        (config("a", &[("cpus", 2.0)], &[("cpus", 1.0)]), "more cpus than"),
        (config("fine/child", &[("cpus", 2.0)], &[]), "less than what the roles below it"),
        (config("full/a/b", &[], &[("cpus", 3.0), ("mem", 1.0)]), "'full/a/b' is limited to cpus:3"),
    ] {
        let full = config("full", &[], &[("cpus", 2.0)]);
        refused(&world.operator(update(&[fine.clone(), full, wrong])), part);
    }
    for (wrong, part) in [
        (QuotaRequest::default(), "'role'"),
        (set("a", ""), "'guarantee' is empty"),
        (set("a", "ports:[1-2]"), "ports is no scalar"),
        (set("a", "cpus(b):1"), "cpus is reserved"),
    ] {
        refused(&world.operator(set_call(wrong)), part);
    }
    let twice =
        QuotaRequest { guarantee: [resources("cpus:1"), resources("cpus:1")].concat(), ..set("a", "") };
    refused(&world.operator(set_call(twice)), "cpus is there twice");
    assert_eq!(world.registry.quota_configs().len(), 0);
    assert_eq!(world.operator(update(&[fine])), Outcome::Done);
    refused(&world.operator(set_call(set("fine", "cpus:1"))), "has quota already");
}

/// A child's guarantee is a part of its parent's.
#[test]
fn quota_of_nested_roles() {
    let mut world = World::new();
    world.agent(1);
    let tree = [
        config("a", &[("cpus", 4.0)], &[("cpus", 4.0)]),
        config("a/b", &[("cpus", 3.0)], &[]),
        config("a/c", &[("cpus", 1.0)], &[]),
    ];
    assert_eq!(world.operator(update(&tree)), Outcome::Done);
    refused(&world.operator(OperatorCall::RemoveQuota { role: "a".into() }), "'a' guarantees");
    refused(&world.operator(update(&[config("a/c", &[("cpus", 2.0)], &[])])), "'a' guarantees");
    let (b, c) = (world.subscribe(in_role("a/b")), world.subscribe(in_role("a/c")));
    world.allocation();
    assert_eq!((offered_cpus(&mut world, &b), offered_cpus(&mut world, &c)), (vec![3.0], vec![1.0]));
}

/// It is the limit above that is in the way of a guarantee: what a neighbour below it was offered comes back.
#[test]
fn offers_to_neighbours_come_back_for_a_nested_guarantee() {
    let mut world = World::new();
    world.agent(1);
    world.agent(2);
    assert_eq!(world.operator(update(&[config("a", &[("cpus", 2.0)], &[("cpus", 4.0)])])), Outcome::Done);
    let neighbour = world.subscribe(in_role("a/c"));
    world.allocation();
    assert_eq!(offered_cpus(&mut world, &neighbour).iter().sum::<f64>(), 4.0);
    assert_eq!(world.operator(update(&[config("a/b", &[("cpus", 2.0)], &[])])), Outcome::Done);
    assert!(world.events(neighbour.stream).iter().any(|event| event.rescind.is_some()));
    world.allocation();
    let scheduler = world.subscribe(in_role("a/b"));
    world.allocation();
    assert_eq!(offered_cpus(&mut world, &scheduler).iter().sum::<f64>(), 2.0);
}

/// Two requests at once are judged as if the first were done.
#[test]
fn requests_that_wait_for_the_registry_count() {
    let mut world = World::new();
    world.agent(1);
    world.hold_stores = true;
    let first = messor_master_core::ReplyId(901);
    let call = set_call(set("r", "cpus:3"));
    world.handle(messor_master_core::Event::Operator { reply: first, principal: None, call });
    assert_eq!(world.reply(first), None);
    refused(&world.operator(set_call(set("r", "cpus:1"))), "has quota already");
    refused(&world.operator(set_call(set("s", "cpus:2"))), "more than what the cluster has");
    world.store_all();
    assert_eq!(world.reply(first), Some(Outcome::Done));
}
