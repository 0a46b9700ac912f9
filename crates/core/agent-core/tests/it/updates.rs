use messor_agent_core::Outcome;
use messor_proto::mesos::TaskState::{TaskFinished, TaskRunning, TaskStarting};
use messor_proto::mesos::executor::event;
use messor_proto::mesos::internal::{StatusUpdateMessage, UpdateFrameworkMessage};
use messor_proto::mesos::task_status::Source;
use messor_proto::mesos::{ContainerStatus, FrameworkInfo, NetworkInfo};
use messor_stdx::Duration;

use crate::build::{self, pid};
use crate::edge::Edge;

#[test]
fn an_update_is_enriched_forwarded_and_acknowledged() {
    let mut edge = Edge::registered();
    let (container, stream) = edge.run_command("t");
    edge.events.clear();
    assert_eq!(edge.call(build::update("t", "t", TaskStarting, 1)), Outcome::Accepted);

    let message: StatusUpdateMessage = edge.one();
    assert_eq!(message.pid.as_deref(), Some("slave(1)@10.0.0.7:5051"), "the agent hears the acknowledgement");
    let update = message.update;
    assert_eq!(update.uuid, Some(vec![1; 16]));
    assert_eq!(update.timestamp, 1_600_000_001.5);
    assert_eq!(update.latest_state(), TaskStarting);
    assert_eq!(update.agent_id, Some(build::agent_id()));
    assert_eq!(update.executor_id, Some(build::executor_id("t")));
    let status = &update.status;
    assert_eq!(status.source(), Source::Executor);
    assert_eq!(status.agent_id, Some(build::agent_id()));
    assert_eq!(status.executor_id, Some(build::executor_id("t")));
    assert_eq!(status.uuid, Some(vec![1; 16]));
    assert_eq!(status.message, None);
    let container_status = status.container_status.as_ref().unwrap();
    assert_eq!(container_status.container_id.as_ref().unwrap().value, container.value());
    assert_eq!(container_status.executor_pid, Some(4321));
    let [network] = &container_status.network_infos[..] else { panic!("one network") };
    let [address] = &network.ip_addresses[..] else { panic!("one address") };
    assert_eq!(address.ip_address.as_deref(), Some("10.0.0.7"));
    assert_eq!(address.protocol, None, "IPv4 is what is meant without one, and JSON writes it");

    let (to, acknowledged) = edge.events.remove(0);
    assert_eq!(to, stream);
    assert_eq!(acknowledged.r#type(), event::Type::Acknowledged);
    let acknowledged = acknowledged.acknowledged.unwrap();
    assert_eq!((acknowledged.task_id.value.as_str(), acknowledged.uuid), ("t", vec![1; 16]));
    assert_eq!(edge.metric("slave/valid_status_updates"), 1.0);
    assert_eq!(edge.metric("slave/tasks_starting"), 1.0);
}

#[test]
fn one_update_at_a_time_goes_to_the_master_with_the_latest_state() {
    let mut edge = Edge::registered();
    edge.run_command("t");
    edge.call(build::update("t", "t", TaskStarting, 1));
    edge.call(build::update("t", "t", TaskRunning, 2));
    edge.call(build::update("t", "t", TaskFinished, 3));
    let first = edge.one_update();
    assert_eq!(first.status.state(), TaskStarting);
    edge.advance(Duration::from_secs(10));
    let again = edge.one_update();
    assert_eq!((again.uuid.clone(), again.latest_state()), (first.uuid, TaskFinished));
    edge.acknowledge(&again);
    let second = edge.one_update();
    assert_eq!((second.status.state(), second.latest_state()), (TaskRunning, TaskFinished));
    let view = edge.view();
    let task = &view.frameworks[0].executors[0].terminated_tasks[0];
    assert_eq!(task.status_update_state(), TaskRunning);
    assert_eq!(task.statuses.len(), 3);
    assert_eq!(edge.metric("slave/tasks_finished"), 1.0);
}

#[test]
fn a_repeated_update_is_acknowledged_and_not_sent_twice() {
    let mut edge = Edge::registered();
    edge.run_command("t");
    edge.call(build::update("t", "t", TaskRunning, 1));
    edge.one_update();
    edge.events.clear();
    edge.call(build::update("t", "t", TaskRunning, 1));
    assert!(edge.updates().is_empty());
    assert_eq!(edge.event_types(), [event::Type::Acknowledged]);
    assert_eq!(edge.view().frameworks[0].executors[0].launched_tasks[0].statuses.len(), 1);
}

#[test]
fn a_second_end_of_a_task_is_acknowledged_and_dropped() {
    let mut edge = Edge::registered();
    edge.run_command("t");
    edge.call(build::update("t", "t", TaskFinished, 1));
    edge.one_update();
    edge.events.clear();
    edge.call(build::update("t", "t", messor_proto::mesos::TaskState::TaskFailed, 2));
    assert!(edge.updates().is_empty());
    assert_eq!(edge.event_types(), [event::Type::Acknowledged]);
    assert_eq!(edge.metric("slave/tasks_failed"), 0.0);
}

#[test]
fn what_an_executor_says_of_its_container_stays() {
    let mut edge = Edge::with(|config| config.ip6 = Some("fe80::1".parse().unwrap()));
    edge.register();
    edge.run_command("t");
    let mut call = build::update("t", "t", TaskRunning, 1);
    let status = &mut call.update.as_mut().unwrap().status;
    let nested = messor_proto::mesos::ContainerId { value: "nested".into(), parent: None };
    status.container_status =
        Some(ContainerStatus { container_id: Some(nested), ..ContainerStatus::default() });
    edge.call(call);
    let update = edge.one_update();
    let container = update.status.container_status.unwrap();
    assert_eq!(container.container_id.unwrap().value, "nested");
    assert_eq!(container.executor_pid, None);
    let addresses = &container.network_infos[0].ip_addresses;
    assert_eq!(addresses[1].ip_address.as_deref(), Some("fe80::1"));
    edge.acknowledge(&update_of(&edge, "t", 1));

    let mut call = build::update("t", "t", TaskRunning, 2);
    let own = NetworkInfo { name: Some("mine".into()), ..NetworkInfo::default() };
    call.update.as_mut().unwrap().status.container_status =
        Some(ContainerStatus { network_infos: vec![own.clone()], ..ContainerStatus::default() });
    edge.call(call);
    assert_eq!(edge.one_update().status.container_status.unwrap().network_infos, [own]);
}

/// An update as it is acknowledged, with nothing but its ids.
fn update_of(_edge: &Edge, task: &str, number: u8) -> messor_proto::mesos::internal::StatusUpdate {
    messor_proto::mesos::internal::StatusUpdate {
        framework_id: build::framework_id(),
        executor_id: None,
        agent_id: None,
        status: build::status(task, task, TaskRunning, number),
        timestamp: 0.0,
        uuid: Some(vec![number; 16]),
        latest_state: None,
    }
}

#[test]
fn acknowledgements_count_from_the_leading_master_alone() {
    let mut edge = Edge::registered();
    edge.run_command("t");
    edge.call(build::update("t", "t", TaskRunning, 1));
    edge.call(build::update("t", "t", TaskFinished, 2));
    let update = edge.one_update();
    let acknowledgement = messor_proto::mesos::internal::StatusUpdateAcknowledgementMessage {
        agent_id: build::agent_id(),
        framework_id: build::framework_id(),
        task_id: build::task_id("t"),
        uuid: update.uuid.clone().unwrap(),
    };
    edge.message(&pid("master@10.0.0.2:5050"), acknowledgement.clone());
    assert!(edge.updates().is_empty());
    // Drivers of before 0.20 acknowledge directly (U104 is about the others).
    edge.message(&pid("scheduler(1)@10.0.0.3:9000"), acknowledgement.clone());
    assert_eq!(edge.one_update().status.state(), TaskFinished);
    edge.master_says(acknowledgement);
    assert!(edge.updates().is_empty(), "a duplicate changes nothing");
}

#[test]
fn a_failed_over_scheduler_gets_what_it_did_not_acknowledge() {
    let mut edge = Edge::registered();
    edge.run_command("t");
    edge.call(build::update("t", "t", TaskRunning, 1));
    edge.one_update();
    let renamed = FrameworkInfo { name: "renamed".into(), ..build::framework() };
    let message = UpdateFrameworkMessage {
        framework_id: build::framework_id(),
        pid: Some("scheduler(2)@10.0.0.4:9000".into()),
        framework_info: Some(renamed),
    };
    edge.message(&pid("master@10.0.0.2:5050"), message.clone());
    assert!(edge.updates().is_empty());
    edge.master_says(message);
    assert_eq!(edge.one_update().status.state(), TaskRunning);
    let view = edge.view();
    assert_eq!(view.frameworks[0].info.name, "renamed");
    assert_eq!(view.frameworks[0].pid.as_ref().unwrap().to_string(), "scheduler(2)@10.0.0.4:9000");
}

#[test]
fn updates_of_a_disconnected_agent_wait() {
    let mut edge = Edge::registered();
    edge.run_command("t");
    edge.event(messor_agent_core::Event::Detected { leader: None });
    edge.events.clear();
    edge.call(build::update("t", "t", TaskRunning, 1));
    assert!(edge.updates().is_empty());
    assert_eq!(edge.event_types(), [event::Type::Acknowledged], "the agent keeps it");
    edge.detect();
    edge.advance(Duration::from_secs(1));
    edge.master_says(messor_proto::mesos::internal::AgentReregisteredMessage {
        agent_id: build::agent_id(),
        ..messor_proto::mesos::internal::AgentReregisteredMessage::default()
    });
    edge.one_update();
}

#[test]
fn an_update_of_a_completed_task_is_only_acknowledged() {
    let mut edge = Edge::registered();
    let (container, _) = edge.run_command("t");
    edge.call(build::update("t", "t", TaskFinished, 1));
    let update = edge.one_update();
    edge.acknowledge(&update);
    edge.events.clear();
    edge.call(build::update("t", "t", TaskFinished, 1));
    assert_eq!(edge.event_types(), [event::Type::Acknowledged]);
    assert!(edge.updates().is_empty());
    edge.exited(&container, 0);
    assert!(edge.view().frameworks.is_empty());
}

#[test]
fn a_late_update_of_a_task_that_is_not_here_reaches_the_framework() {
    let mut edge = Edge::registered();
    edge.run_command("t");
    edge.call(build::update("t", "unknown", TaskRunning, 5));
    let update = edge.one_update();
    assert_eq!(update.status.task_id.value, "unknown");
    assert_eq!(update.status.container_status, None);
}
