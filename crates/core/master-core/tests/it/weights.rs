//! Weights: from flags, registries and operators to the allocator.

use messor_master_core::{Config, OperatorCall, Outcome};
use messor_proto::mesos::WeightInfo;
use messor_registry::{Operation, State};

use crate::world::*;

fn infos(list: &[(&str, f64)]) -> Vec<WeightInfo> {
    list.iter().map(|(role, weight)| WeightInfo { weight: *weight, role: Some((*role).into()) }).collect()
}

fn shown(world: &World) -> Vec<(String, f64)> {
    world.view().weights
}

fn told(world: &World) -> usize {
    world.trace.iter().filter(|effect| effect.starts_with("Allocator(UpdateWeights")).count()
}

#[test]
fn an_operator_sets_weights() {
    let mut world = World::new();
    world.hold_stores = true;
    let reply = messor_master_core::ReplyId(900);
    let call = OperatorCall::UpdateWeights { weights: infos(&[(" a ", 2.0)]) };
    world.handle(messor_master_core::Event::Operator { reply, principal: None, call });
    // Nothing before it is durable.
    assert_eq!((world.reply(reply), told(&world), shown(&world).len()), (None, 0, 0));
    world.store_all();
    assert_eq!(world.reply(reply), Some(Outcome::Done));
    assert_eq!((told(&world), shown(&world)), (1, vec![("a".into(), 2.0)]));
    assert_eq!(world.registry.weights().next().unwrap().role(), "a");
    world.hold_stores = false;
    for (role, weight) in [("a", 0.0), ("a b", 1.0), ("a", f64::NAN)] {
        let call = OperatorCall::UpdateWeights { weights: infos(&[("fine", 1.0), (role, weight)]) };
        assert!(matches!(world.operator(call), Outcome::Invalid(_)));
    }
    assert_eq!(shown(&world).len(), 1);
    // The next master has them, and tells its own allocator once.
    let next = world.failover();
    assert_eq!((told(&next) - told(&world), shown(&next)), (1, vec![("a".into(), 2.0)]));
}

#[test]
fn roles_that_are_not_allowed_have_no_weight() {
    let config = Config { roles: Some(["a".to_string()].into()), ..config() };
    let mut world = World::with(config, State::default());
    let set = |world: &mut World, role| {
        world.operator(OperatorCall::UpdateWeights { weights: infos(&[(role, 2.0)]) })
    };
    assert_eq!(set(&mut world, "a"), Outcome::Done);
    assert!(matches!(set(&mut world, "b"), Outcome::Invalid(text) if text.contains("--roles")));
}

#[test]
fn weights_of_the_flag_become_those_of_a_registry_without_any() {
    let given = || Config { weights: infos(&[("a", 2.0), ("b", 3.0)]), ..config() };
    let world = World::with(given(), State::default());
    assert_eq!((world.registry.weights().len(), told(&world)), (2, 1));
    let mut registry = State::default();
    registry.apply(&Operation::UpdateWeights { weights: infos(&[("a", 5.0)]) }).unwrap();
    let world = World::with(given(), registry);
    assert_eq!((shown(&world), world.registry.weights().len()), (vec![("a".into(), 5.0)], 1));
    assert!(world.log.iter().any(|line| line.contains("--weights")));
}

#[test]
fn offers_are_made_anew_when_a_role_in_use_changes() {
    let mut world = World::new();
    world.agent(1);
    let scheduler = world.subscribe(modern());
    world.allocation();
    assert_eq!(world.offers(scheduler.stream).len(), 1);
    let role = world.view().frameworks[0].framework.info.roles[0].clone();
    let change = |world: &mut World, role: &str, weight| {
        let call = OperatorCall::UpdateWeights { weights: infos(&[(role, weight)]) };
        assert_eq!(world.operator(call), Outcome::Done);
    };
    change(&mut world, "elsewhere", 2.0);
    assert!(world.events(scheduler.stream).is_empty());
    change(&mut world, &role, 2.0);
    assert!(world.events(scheduler.stream).iter().any(|event| event.rescind.is_some()));
    assert!(world.view().frameworks[0].offers.is_empty());
}
