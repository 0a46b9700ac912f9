//! Status updates on disk: none is lost, none comes out of order, none that was acknowledged comes again (U109).

use std::collections::BTreeMap;

use messor_agent_core::ContainerCommand;
use messor_proto::mesos::TaskState::{TaskFailed, TaskFinished, TaskRunning, TaskStarting};
use messor_proto::mesos::executor::{call, event};
use messor_proto::mesos::internal::status_update_record::Type;
use messor_proto::mesos::internal::{StatusUpdateMessage, StatusUpdateRecord};
use messor_stdx::Duration;

use crate::build;
use crate::edge::Edge;
use crate::recovery::{left, next_config, reregister, running, with_task};

#[test]
fn unacknowledged_updates_go_on_in_order() {
    let (mut old, container) = with_task();
    old.call(build::update("t", "t", TaskStarting, 2));
    old.call(build::update("t", "t", TaskRunning, 3));
    let mut edge = Edge::recovered(next_config(), left(&old), running(&[&container]));
    edge.subscribe(build::subscribe("t"));
    reregister(&mut edge);
    let update = edge.one_update();
    assert_eq!((update.uuid.clone(), update.latest_state()), (Some(vec![2; 16]), TaskRunning));
    edge.advance(Duration::from_secs(10));
    assert_eq!(edge.one_update().uuid, Some(vec![2; 16]), "it is sent again");
    edge.advance(Duration::from_secs(19));
    assert!(edge.updates().is_empty());
    edge.acknowledge(&update);
    assert_eq!(edge.one_update().uuid, Some(vec![3; 16]));
    // The executor was not told that the agent has them.
    edge.events.clear();
    for number in [1, 2, 3] {
        edge.call(build::update("t", "t", TaskRunning, number));
    }
    assert_eq!(edge.event_types(), [event::Type::Acknowledged; 3]);
    assert!(edge.updates().is_empty());
}

#[test]
fn an_acknowledgement_that_is_not_on_disk_was_none() {
    let (mut old, container) = with_task();
    old.call(build::update("t", "t", TaskStarting, 2));
    old.call(build::update("t", "t", TaskRunning, 3));
    let first = old.one_update();
    old.durable_at_once = false;
    old.acknowledge(&first);
    let mut edge = Edge::recovered(next_config(), left(&old), running(&[&container]));
    edge.subscribe(build::subscribe("t"));
    reregister(&mut edge);
    let update = edge.one_update();
    assert_eq!(update.uuid, first.uuid);
    edge.acknowledge(&update);
    assert_eq!(edge.one_update().uuid, Some(vec![3; 16]));
}

#[test]
fn a_task_that_ended_waits_for_its_acknowledgement() {
    let (mut old, container) = with_task();
    old.call(build::update("t", "t", TaskFinished, 2));
    old.exited(&container, 0);
    let mut edge = Edge::recovered(next_config(), left(&old), BTreeMap::new());
    let message = reregister(&mut edge);
    assert_eq!(message.tasks[0].state(), TaskFinished);
    assert_eq!(message.tasks[0].status_update_state(), TaskRunning, "the last one that surely arrived");
    let update = edge.one_update();
    assert_eq!((update.status.state(), update.uuid.clone()), (TaskFinished, Some(vec![2; 16])));
    edge.acknowledge(&update);
    assert!(edge.view().frameworks.is_empty());
}

#[test]
fn a_completed_task_stays_completed() {
    let (mut old, container) = with_task();
    old.call(build::update("t", "t", TaskFinished, 2));
    let update = old.one_update();
    old.acknowledge(&update);
    let mut edge = Edge::recovered(next_config(), left(&old), running(&[&container]));
    let mut subscribe = build::subscribe("t");
    subscribe.subscribe = Some(call::Subscribe {
        unacknowledged_updates: vec![call::Update { status: build::status("t", "t", TaskFinished, 2) }],
        ..call::Subscribe::default()
    });
    edge.subscribe(subscribe);
    assert_eq!(edge.event_types(), [event::Type::Subscribed, event::Type::Acknowledged]);
    let message = reregister(&mut edge);
    assert!(message.tasks.is_empty());
    assert!(edge.updates().is_empty());
    assert_eq!(edge.view().frameworks[0].executors[0].completed_tasks.len(), 1);
    let task = format!(
        "meta/slaves/master-S0/frameworks/master-0000/executors/t/runs/{}/tasks/t",
        container.value()
    );
    assert!(edge.collected.contains(&task));
}

#[test]
fn updates_that_come_during_recovery_are_kept() {
    let (old, container) = with_task();
    let mut edge = Edge::recovered(next_config(), left(&old), running(&[&container]));
    let status = build::status("t", "t", TaskFinished, 2);
    let update = messor_proto::mesos::internal::StatusUpdate {
        framework_id: build::framework_id(),
        executor_id: Some(build::executor_id("t")),
        agent_id: Some(build::agent_id()),
        status: messor_proto::mesos::TaskStatus { agent_id: Some(build::agent_id()), ..status },
        timestamp: 1.0,
        uuid: Some(vec![2; 16]),
        latest_state: None,
    };
    edge.message(&build::pid("e@10.0.0.7:4"), StatusUpdateMessage { update, pid: None });
    edge.exited(&container, 0);
    reregister(&mut edge);
    assert_eq!(edge.one_update().status.state(), TaskFinished);
}

#[test]
fn records_that_do_not_fit_are_counted_and_passed_over() {
    let (mut old, container) = with_task();
    old.call(build::update("t", "t", TaskStarting, 2));
    let mut past = left(&old);
    let updates = &mut past.agent.as_mut().unwrap().frameworks[0].executors[0].runs[0].tasks[0].updates;
    let strange =
        |kind: Type| StatusUpdateRecord { r#type: kind.into(), update: None, uuid: Some(vec![9; 16]) };
    updates.insert(0, strange(Type::Ack));
    updates.push(strange(Type::Update));
    let mut edge = Edge::recovered(next_config(), past, running(&[&container]));
    assert_eq!(edge.metric("slave/recovery_errors"), 2.0);
    edge.subscribe(build::subscribe("t"));
    reregister(&mut edge);
    assert_eq!(edge.one_update().uuid, Some(vec![2; 16]));
}

#[test]
fn of_two_ends_on_disk_the_first_counts() {
    // Apache Mesos's agents of before 1.1 could write a second one.
    let (mut old, container) = with_task();
    old.call(build::update("t", "t", TaskFinished, 2));
    let update = old.one_update();
    old.acknowledge(&update);
    let mut past = left(&old);
    let updates = &mut past.agent.as_mut().unwrap().frameworks[0].executors[0].runs[0].tasks[0].updates;
    let mut second = updates.iter().rev().find(|record| record.update.is_some()).unwrap().clone();
    let status = second.update.as_mut().unwrap();
    status.uuid = Some(vec![3; 16]);
    status.status.state = TaskFailed.into();
    updates.push(second);
    let mut edge = Edge::recovered(next_config(), past, running(&[&container]));
    edge.subscribe(build::subscribe("t"));
    reregister(&mut edge);
    assert!(edge.updates().is_empty());
    edge.exited(&container, 0);
    assert!(edge.view().frameworks.is_empty());
}

#[test]
fn the_container_has_what_its_living_tasks_need() {
    let (mut old, container) = with_task();
    old.call(build::update("t", "t", TaskFinished, 2));
    let edge = Edge::recovered(next_config(), left(&old), running(&[&container]));
    let Some(ContainerCommand::Recover { runs }) = edge.containers.first() else { panic!() };
    let cpus: f64 = runs[0]
        .resources
        .iter()
        .filter(|resource| resource.name == "cpus")
        .filter_map(|resource| resource.scalar)
        .map(|scalar| scalar.value)
        .sum();
    assert_eq!(cpus, 0.1, "those of the command executor alone");
}
