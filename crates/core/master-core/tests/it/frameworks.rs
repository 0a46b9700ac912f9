//! HTTP schedulers: subscriptions, failover, roles, the end.

use std::time::Duration;

use messor_master_core::{Event, OperatorCall, Outcome, Timer};
use messor_proto::mesos::internal as wire;
use messor_proto::mesos::scheduler::{call, event};
use messor_proto::mesos::{FrameworkInfo, TaskState, task_status::Reason};
use messor_types::FrameworkId;

use crate::world::*;

#[test]
fn a_new_framework_gets_an_id_and_heartbeats() {
    let mut world = World::new();
    let stream = world.try_subscribe(modern());
    let events = world.all_events(stream);
    let subscribed = events[0].subscribed.as_ref().unwrap();
    assert_eq!(subscribed.framework_id.value, "m-0000");
    assert_eq!(subscribed.heartbeat_interval_seconds, Some(15.0));
    assert_eq!(subscribed.master_info.as_ref().unwrap().id, "m");
    assert_eq!(events[1].r#type(), event::Type::Heartbeat);
    assert_eq!(world.subscribe(modern()).id.as_str(), "m-0001");
    world.advance(Duration::from_secs(31));
    let beats = world.all_events(stream);
    assert_eq!(beats.iter().map(|event| event.r#type()).collect::<Vec<_>>(), [event::Type::Heartbeat; 2]);
}

#[test]
fn a_bad_subscription_is_told_on_its_stream() {
    let mut world = World::new();
    let gone = world.subscribe(modern());
    assert_eq!(world.call(&gone, call::Type::Teardown, |_| ()), Outcome::Accepted);
    let removed = FrameworkInfo { id: Some((&gone.id).into()), ..modern() };
    for (info, text) in [
        (FrameworkInfo { roles: vec!["/x".into()], ..modern() }, "role"),
        (FrameworkInfo { roles: vec!["x".into()], ..old() }, "MULTI_ROLE"),
        (FrameworkInfo { failover_timeout: Some(f64::NAN), ..old() }, "failover_timeout"),
        (removed, "removed"),
    ] {
        let stream = world.try_subscribe(info);
        let events = world.events(stream);
        assert_eq!(events.len(), 1);
        let message = &events[0].error.as_ref().unwrap().message;
        assert!(message.contains(text), "{message}");
        assert!(world.closed.contains(&stream));
    }
    assert_eq!(world.view().frameworks.len(), 0);
}

#[test]
fn roles_and_root_can_be_forbidden() {
    let mut config = config();
    config.roles = Some(["a".to_string()].into());
    config.root_submissions = false;
    let mut world = World::with(config, Default::default());
    for info in [modern(), FrameworkInfo { user: "root".into(), roles: vec!["a".into()], ..modern() }] {
        let stream = world.try_subscribe(info);
        assert!(world.events(stream)[0].error.is_some());
    }
    world.subscribe(FrameworkInfo { roles: vec!["a".into()], ..modern() });
}

#[test]
fn a_scheduler_fails_over() {
    let Running { mut world, scheduler, .. } = World::running(modern());
    world.allocation();
    assert_eq!(world.offers(scheduler.stream).len(), 1);
    let renamed = FrameworkInfo { id: Some((&scheduler.id).into()), name: "renamed".into(), ..modern() };
    let new = world.subscribe(renamed);
    assert_eq!(new.id, scheduler.id);
    let last = world.events(scheduler.stream);
    // Told of the failover, not of offers: those are the new one's affair.
    assert_eq!(last.len(), 1);
    assert!(last[0].error.is_some());
    assert!(world.closed.contains(&scheduler.stream) && world.is_open(new.stream));
    // Agents learn the new FrameworkInfo.
    let updates = world.take::<wire::UpdateFrameworkMessage>(&agent_pid(1));
    assert_eq!(updates.last().unwrap().framework_info.as_ref().unwrap().name, "renamed");
    // The old connection ends late: that is no disconnection.
    world.handle(Event::StreamClosed { stream: scheduler.stream });
    let view = world.view();
    assert!(view.frameworks[0].framework.connected && view.frameworks[0].tasks.len() == 1);
    world.allocation();
    assert_eq!(world.offers(new.stream).len(), 1);
    let late = make_call(&scheduler.id, call::Type::Revive, |_| ());
    assert!(matches!(world.try_call(Some(scheduler.stream), late), Outcome::Invalid(_)));
}

#[test]
fn a_disconnected_framework_has_its_failover_timeout() {
    let Running { mut world, scheduler, .. } = World::running(modern());
    world.handle(Event::StreamClosed { stream: scheduler.stream });
    let call = make_call(&scheduler.id, call::Type::Revive, |_| ());
    assert!(matches!(world.try_call(Some(scheduler.stream), call), Outcome::Forbidden(_)));
    world.advance(Duration::from_secs(50));
    let back = world.subscribe(FrameworkInfo { id: Some((&scheduler.id).into()), ..modern() });
    world.advance(Duration::from_secs(60));
    assert!(world.view().frameworks[0].framework.connected);

    world.handle(Event::StreamClosed { stream: back.stream });
    world.advance(Duration::from_secs(61));
    let view = world.view();
    assert!(view.frameworks.is_empty());
    let task = &view.completed_frameworks[0].completed_tasks[0];
    assert_eq!(
        (task.state(), task.statuses.last().unwrap().reason()),
        (TaskState::TaskKilled, Reason::FrameworkRemoved)
    );
    assert_eq!(world.take::<wire::ShutdownFrameworkMessage>(&agent_pid(1)).len(), 1);
    assert!(view.agents[0].used.is_empty());
}

#[test]
fn some_fields_of_framework_info_stay() {
    let mut world = World::new();
    let info = FrameworkInfo { principal: Some("p".into()), ..modern() };
    let scheduler = world.subscribe(info.clone());
    let id = Some((&scheduler.id).into());
    let stream = world.try_subscribe(FrameworkInfo { id: id.clone(), ..modern() });
    assert!(world.events(stream)[0].error.as_ref().unwrap().message.contains("principal"));
    // The one that is subscribed is not disturbed by that.
    assert!(!world.closed.contains(&scheduler.stream));
    world.subscribe(FrameworkInfo { id, user: "root".into(), checkpoint: None, ..info });
    let view = world.view();
    let kept = &view.frameworks[0].framework.info;
    assert_eq!((kept.user.as_str(), kept.checkpoint), ("nobody", Some(true)));
}

#[test]
fn teardown_by_the_scheduler_and_by_an_operator() {
    let Running { mut world, scheduler, .. } = World::running(modern());
    assert_eq!(world.call(&scheduler, call::Type::Teardown, |_| ()), Outcome::Accepted);
    assert!(world.closed.contains(&scheduler.stream));
    assert_eq!(world.metric("master/messages_unregister_framework"), 1.0);
    let other = world.subscribe(modern());
    assert_eq!(world.operator(OperatorCall::Teardown { framework: other.id.clone() }), Outcome::Done);
    let again = world.operator(OperatorCall::Teardown { framework: other.id });
    assert!(matches!(again, Outcome::Invalid(_)));
    assert_eq!(world.view().completed_frameworks.len(), 2);
}

#[test]
fn completed_frameworks_are_bounded() {
    let mut config = config();
    config.max_completed_frameworks = 2;
    let mut world = World::with(config, Default::default());
    for _ in 0..4 {
        let scheduler = world.subscribe(modern());
        world.call(&scheduler, call::Type::Teardown, |_| ());
    }
    let view = world.view();
    let ids: Vec<&str> =
        view.completed_frameworks.iter().map(|framework| framework.framework.id.as_str()).collect();
    assert_eq!(ids, ["m-0002", "m-0003"]);
}

/// U054: REVIVE and SUPPRESS for some roles or for all.
#[test]
fn suppress_and_revive() {
    let mut world = World::new();
    world.agent(1);
    let scheduler = world.subscribe(modern());
    let suppress =
        |roles: &[&str]| Some(call::Suppress { roles: roles.iter().map(|role| role.to_string()).collect() });
    assert_eq!(
        world.call(&scheduler, call::Type::Suppress, |call| call.suppress = suppress(&["a"])),
        Outcome::Accepted
    );
    world.allocation();
    let offers = world.offers(scheduler.stream);
    assert_eq!(offers[0].allocation_info.as_ref().unwrap().role(), "b");
    assert_eq!(world.view().frameworks[0].framework.suppressed_roles, ["a"]);

    world.call(&scheduler, call::Type::Suppress, |_| ());
    let ids = vec![offers[0].id.clone()];
    world.call(&scheduler, call::Type::Decline, |call| {
        call.decline = Some(call::Decline { offer_ids: ids, filters: Some(Default::default()) });
    });
    world.allocation();
    assert!(world.offers(scheduler.stream).is_empty());
    world.call(&scheduler, call::Type::Revive, |call| {
        call.revive = Some(call::Revive { roles: vec!["b".into()] })
    });
    world.allocation();
    assert_eq!(world.offers(scheduler.stream).len(), 1);
    assert_eq!(world.view().frameworks[0].framework.suppressed_roles, ["a"]);

    // A role that is none of the framework's: nothing happens.
    world.call(&scheduler, call::Type::Suppress, |call| call.suppress = suppress(&["b", "x"]));
    assert_eq!(world.view().frameworks[0].framework.suppressed_roles, ["a"]);
    world.call(&scheduler, call::Type::Revive, |_| ());
    assert!(world.view().frameworks[0].framework.suppressed_roles.is_empty());
    assert_eq!(world.metric("master/messages_suppress_offers"), 3.0);
    assert_eq!(world.metric("master/messages_revive_offers"), 2.0);
}

#[test]
fn update_framework() {
    let mut world = World::new();
    world.agent(1);
    let scheduler = world.subscribe(modern());
    world.allocation();
    let offers = world.offers(scheduler.stream);
    let role = offers[0].allocation_info.as_ref().unwrap().role().to_string();
    let update = |info: FrameworkInfo| {
        let framework_info = FrameworkInfo { id: Some((&scheduler.id).into()), ..info };
        Some(call::UpdateFramework { framework_info, suppressed_roles: vec![], offer_constraints: None })
    };
    let other = if role == "a" { "b" } else { "a" };
    let info = FrameworkInfo { roles: vec![other.into()], ..modern() };
    let outcome =
        world.call(&scheduler, call::Type::UpdateFramework, |call| call.update_framework = update(info));
    assert_eq!(outcome, Outcome::Done);
    // Offers to a role that it left are taken back.
    let events = world.events(scheduler.stream);
    assert_eq!(events[0].rescind.as_ref().unwrap().offer_id, offers[0].id);
    assert_eq!(world.take::<wire::UpdateFrameworkMessage>(&agent_pid(1)).len(), 1);
    for wrong in [
        FrameworkInfo { user: "root".into(), ..modern() },
        FrameworkInfo { roles: vec!["-".into()], ..modern() },
    ] {
        let outcome =
            world.call(&scheduler, call::Type::UpdateFramework, |call| call.update_framework = update(wrong));
        assert!(matches!(outcome, Outcome::Invalid(_)), "{outcome:?}");
    }
}

#[test]
fn calls_need_the_current_stream() {
    let mut world = World::new();
    let scheduler = world.subscribe(modern());
    let revive = |id: &FrameworkId| make_call(id, call::Type::Revive, |_| ());
    assert!(matches!(world.try_call(None, revive(&scheduler.id)), Outcome::Invalid(_)));
    let unknown = FrameworkId::new("nobody");
    assert!(matches!(world.try_call(Some(scheduler.stream), revive(&unknown)), Outcome::Invalid(_)));
    assert_eq!(world.try_call(Some(scheduler.stream), revive(&scheduler.id)), Outcome::Accepted);
    let unknown_type = make_call(&scheduler.id, call::Type::Unknown, |_| ());
    assert!(matches!(world.try_call(Some(scheduler.stream), unknown_type), Outcome::NotSupported(_)));
    assert_eq!(
        world.call(&scheduler, call::Type::Request, |call| call.request = Some(Default::default())),
        Outcome::Accepted
    );
    for kind in [call::Type::AcceptInverseOffers, call::Type::DeclineInverseOffers] {
        let outcome = world.call(&scheduler, kind, |call| {
            call.accept_inverse_offers = Some(Default::default());
            call.decline_inverse_offers = Some(Default::default());
        });
        assert_eq!(outcome, Outcome::Accepted);
    }
}

#[test]
fn a_framework_without_failover_time_is_removed_at_once() {
    let mut world = World::new();
    let scheduler = world.subscribe(FrameworkInfo { failover_timeout: None, ..modern() });
    world.handle(Event::StreamClosed { stream: scheduler.stream });
    assert!(world.has_timer(&Timer::FrameworkFailover(scheduler.id)));
    world.advance(Duration::ZERO);
    assert!(world.view().frameworks.is_empty());
}

/// Constraints of a framework are carried to its offers, told in its record, and replaced as a whole.
#[test]
fn offers_keep_to_the_constraints_of_the_framework() {
    use messor_proto::mesos::scheduler::offer_constraints::{RoleConstraints, role_constraints::Group};
    use messor_proto::mesos::scheduler::{
        AttributeConstraint, OfferConstraints, attribute_constraint as wire,
    };
    let on_host = |regex: &str| {
        let kind = wire::selector::PseudoattributeType::Hostname.into();
        let selector = wire::selector::Selector::PseudoattributeType(kind);
        let matches = wire::predicate::TextMatches { regex: regex.to_string() };
        let constraint = AttributeConstraint {
            selector: wire::Selector { selector: Some(selector) },
            predicate: wire::Predicate { predicate: Some(wire::predicate::Predicate::TextMatches(matches)) },
        };
        let groups = vec![Group { attribute_constraints: vec![constraint] }];
        let role = "a".to_string();
        OfferConstraints { role_constraints: [(role, RoleConstraints { groups })].into() }
    };
    let mut world = World::new();
    let in_one_role = || FrameworkInfo { roles: vec!["a".into()], ..modern() };
    let scheduler = world.subscribe(in_one_role());
    let update = |world: &mut World, constraints| {
        let info = FrameworkInfo { id: Some((&scheduler.id).into()), ..in_one_role() };
        world.try_call(
            Some(scheduler.stream),
            make_call(&scheduler.id, call::Type::UpdateFramework, |call| {
                call.update_framework = Some(call::UpdateFramework {
                    framework_info: info,
                    offer_constraints: Some(constraints),
                    ..Default::default()
                });
            }),
        )
    };
    assert_eq!(update(&mut world, on_host("nowhere")), Outcome::Done);
    let agent = world.agent(1);
    let hostname = world.view().agents[0].info.hostname.clone();
    world.allocation();
    assert!(world.offers(scheduler.stream).is_empty());
    let record = world.view().frameworks[0].framework.clone();
    assert_eq!(*record.offer_constraints.source(), on_host("nowhere"));
    let role = messor_types::Role::new("a");
    assert!(record.offer_constraints.exclude(&role, &world.view().agents[0].details()));

    assert!(matches!(update(&mut world, on_host("(")), Outcome::Invalid(text) if text.contains("not valid")));
    assert_eq!(update(&mut world, on_host(&hostname)), Outcome::Done);
    world.allocation();
    assert_eq!(world.offers(scheduler.stream)[0].agent_id.value, agent.as_str());
    // Without constraints there are none.
    assert_eq!(update(&mut world, OfferConstraints::default()), Outcome::Done);
    assert!(world.view().frameworks[0].framework.offer_constraints.is_empty());
}
