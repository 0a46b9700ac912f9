//! What the registry forgets, and when.

use std::time::Duration;

use messor_master_core::{Config, OperatorCall};
use messor_registry::{Operation, State};
use messor_stdx::Time;
use messor_types::AgentId;

use crate::world::*;

/// Agents marked unreachable and gone so many seconds before the world begins.
fn registry(unreachable: &[(&str, u64)], gone: &[(&str, u64)]) -> State {
    let mut state = State::default();
    let mut mark = |name: &str, ago: u64, is_gone: bool| {
        let id = AgentId::new(name);
        let info = Box::new(messor_proto::mesos::AgentInfo { id: Some((&id).into()), ..Default::default() });
        let time = Time::from_nanos((START_SECS - ago) * 1_000_000_000);
        state.apply(&Operation::AdmitAgent { info }).unwrap();
        let operation = if is_gone {
            Operation::MarkAgentGone { id, time }
        } else {
            Operation::MarkAgentUnreachable { id, time }
        };
        state.apply(&operation).unwrap();
    };
    unreachable.iter().for_each(|(name, ago)| mark(name, *ago, false));
    gone.iter().for_each(|(name, ago)| mark(name, *ago, true));
    state
}

fn left(world: &World) -> (Vec<String>, Vec<String>) {
    let unreachable = world.registry.unreachable().map(|(id, _)| id.to_string()).collect();
    (unreachable, world.registry.gone().map(|(id, _)| id.to_string()).collect())
}

fn limits(age: u64, count: usize) -> Config {
    Config {
        registry_gc_interval: Duration::from_secs(10),
        registry_max_agent_age: Duration::from_secs(age),
        registry_max_agent_count: count,
        ..config()
    }
}

#[test]
fn the_old_are_forgotten_wherever_they_stand() {
    let state = registry(&[("young", 5), ("old", 95), ("younger", 1)], &[("G1", 95), ("G2", 5)]);
    let mut world = World::with(limits(100, 10), state);
    world.advance(Duration::from_secs(9));
    assert_eq!(left(&world).0.len(), 3);
    world.advance(Duration::from_secs(1));
    assert_eq!(left(&world), (vec!["young".into(), "younger".into()], vec!["G2".into()]));
    assert_eq!(world.view().unreachable_agents.len(), 2);
    // And so on, time after time.
    world.advance(Duration::from_secs(200));
    assert_eq!(left(&world), (vec![], vec![]));
}

#[test]
fn of_too_many_the_first_are_forgotten() {
    let state = registry(&[("a", 5), ("b", 9), ("c", 1)], &[("G1", 1), ("G2", 2)]);
    let mut world = World::with(limits(1000, 1), state);
    world.advance(Duration::from_secs(10));
    assert_eq!(left(&world), (vec!["c".into()], vec!["G2".into()]));
    // One that is forgotten as gone may be marked so no more, for nobody knows it.
    let outcome = world.operator(OperatorCall::MarkAgentGone { agent: AgentId::new("G1") });
    assert!(matches!(outcome, messor_master_core::Outcome::NotFound(_)));
}

#[test]
fn unreachable_tasks_go_with_their_agent() {
    let mut running = World::running(modern());
    let world = &mut running.world;
    world.lose(1);
    assert_eq!(world.view().frameworks[0].unreachable_tasks.len(), 1);
    // The defaults: two weeks, looked at every quarter of an hour.
    world.advance(Duration::from_secs(14 * 24 * 3600));
    assert_eq!(left(world).0.len(), 1);
    world.advance(Duration::from_secs(15 * 60));
    assert_eq!(left(world).0.len(), 0);
    let view = world.view();
    assert!(view.unreachable_agents.is_empty() && view.frameworks[0].unreachable_tasks.is_empty());
}

#[test]
fn an_agent_that_comes_back_meanwhile_stays() {
    let mut running = World::running(modern());
    let (world, agent) = (&mut running.world, running.agent.clone());
    world.lose(1);
    world.hold_stores = true;
    world.advance(Duration::from_secs(14 * 24 * 3600 + 15 * 60));
    // The change waits for the registry; then the agent reregisters.
    let message = world.reregistration(1, &agent);
    world.message(&agent_pid(1), &message);
    world.store_all();
    assert_eq!(world.registry.agents().len(), 1);
    assert_eq!(world.view().agents.len(), 1);
    assert_eq!(left(world).0.len(), 0);
}
