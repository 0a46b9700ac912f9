//! What is counted of each framework, and of the messages of a principal.

use std::collections::BTreeMap;

use messor_master_core::Outcome;
use messor_proto::mesos::internal as wire;
use messor_proto::mesos::scheduler::call;
use messor_proto::mesos::{FrameworkInfo, TaskState};
use messor_types::Pid;

use crate::world::*;

/// Those that are not 0, without the part that names the framework.
fn counted(world: &World, framework: &str) -> BTreeMap<String, f64> {
    let prefix = format!("master/frameworks/{framework}/");
    let all = world.view().framework_metrics().into_iter();
    let own = all.filter_map(|(name, value)| Some((name.strip_prefix(&prefix)?.to_string(), value)));
    own.filter(|(_, value)| *value != 0.0).collect()
}

fn expected(list: &[(&str, f64)]) -> BTreeMap<String, f64> {
    list.iter().map(|(name, value)| (name.to_string(), *value)).collect()
}

#[test]
fn calls_events_offers_tasks_and_operations_are_counted() {
    let mut world = World::new();
    let agent = world.agent(1);
    let scheduler = world.subscribe(FrameworkInfo { name: "a b/c".into(), ..modern() });
    world.allocation();
    let offer = world.offers(scheduler.stream).remove(0);
    assert_eq!(world.accept(&scheduler, &[&offer], vec![task("t", &agent)]), Outcome::Accepted);
    // Refused: an offer that is gone; it is a call, and no offer that was accepted.
    world.accept(&scheduler, &[&offer], vec![task("u", &agent)]);
    world.report(1, &scheduler.id, &agent, "t", TaskState::TaskRunning);
    let name = format!("a%20b%2Fc/{}", scheduler.id);
    let events = world.all_events(scheduler.stream).len() as f64;
    assert!(events > 1.0);
    let found = counted(&world, &name);
    let all: Vec<(&str, f64)> = vec![
        ("calls", 3.0),
        ("calls/accept", 2.0),
        ("calls/subscribe", 1.0),
        ("events/heartbeat", 1.0),
        ("events/offers", 1.0),
        ("events/subscribed", 1.0),
        ("offers/accepted", 1.0),
        ("offers/sent", 1.0),
        ("operations", 1.0),
        ("operations/launch", 1.0),
        ("subscribed", 1.0),
        ("tasks/active/task_running", 1.0),
    ];
    for (name, value) in expected(&all) {
        assert_eq!(found.get(&name), Some(&value), "{name} of {found:?}");
    }
    let by_kind: f64 =
        found.iter().filter(|(name, _)| name.starts_with("events/")).map(|(_, value)| value).sum();
    assert_eq!(found["events"], by_kind);

    world.report(1, &scheduler.id, &agent, "t", TaskState::TaskFinished);
    world.call(&scheduler, call::Type::Suppress, |_| ());
    let found = counted(&world, &name);
    assert_eq!(found.get("tasks/active/task_running"), None, "{found:?}");
    assert_eq!(found["tasks/terminal/task_finished"], 1.0);
    assert_eq!(found["calls/suppress"], 1.0);
    assert!(
        found.keys().any(|name| name.starts_with("roles/") && name.ends_with("/suppressed")),
        "{found:?}"
    );

    // What it was is remembered with it.
    world.call(&scheduler, call::Type::Teardown, |_| ());
    let found = counted(&world, &name);
    assert_eq!((found.get("subscribed"), found["calls/teardown"]), (None, 1.0));
}

#[test]
fn what_is_declined_and_rescinded_is_counted() {
    let mut world = World::new();
    world.agent(1);
    world.agent(2);
    let scheduler = world.subscribe(modern());
    world.allocation();
    let offers = world.offers(scheduler.stream);
    assert_eq!(offers.len(), 2);
    world.call(&scheduler, call::Type::Decline, |call| {
        // Of one that is not there nothing is counted.
        let ids = vec![offers[0].id.clone(), messor_proto::mesos::OfferId { value: "nothing".into() }];
        call.decline = Some(call::Decline { offer_ids: ids, filters: None });
    });
    world.lose(2);
    world.lose(1);
    let found = counted(&world, &format!("{}/{}", modern().name, scheduler.id));
    assert_eq!((found["offers/sent"], found["offers/declined"], found["offers/rescinded"]), (2.0, 1.0, 1.0));
    assert_eq!(found["events/rescind"], 1.0);
    assert_eq!(found["events/failure"], 2.0);
}

#[test]
fn messages_of_drivers_count_for_their_principal() {
    let mut world = World::new();
    let driver: Pid = pid("scheduler-1@10.0.1.1:4000");
    let framework = FrameworkInfo { principal: Some("ops/team".into()), ..old() };
    world.message(&driver, &wire::RegisterFrameworkMessage { framework });
    let of = |world: &World, what: &str| {
        let all = world.view().metrics;
        let name = format!("frameworks/ops/team/messages_{what}");
        all.iter().find(|(found, _)| *found == name).map(|(_, value)| *value)
    };
    // Who registers is not known yet.
    assert_eq!((of(&world, "received"), of(&world, "processed")), (Some(0.0), Some(0.0)));
    let id = world.view().frameworks[0].framework.id.clone();
    world.message(&driver, &wire::ReviveOffersMessage { framework_id: (&id).into(), roles: Vec::new() });
    assert_eq!((of(&world, "received"), of(&world, "processed")), (Some(1.0), Some(1.0)));
    world.message(&driver, &wire::UnregisterFrameworkMessage { framework_id: (&id).into() });
    assert_eq!((of(&world, "received"), of(&world, "processed")), (None, None));
}
