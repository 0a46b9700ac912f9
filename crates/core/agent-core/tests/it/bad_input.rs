//! Anybody can send anything to the agent's port.

use messor_agent_core::{Event, Timer};
use messor_proto::Wire;
use messor_proto::mesos::internal::{KillTaskMessage, RunTaskMessage, StatusUpdateMessage};

use crate::build::{self, pid};
use crate::edge::Edge;

const NAMES: [&str; 23] = [
    "mesos.internal.SlaveRegisteredMessage",
    "mesos.internal.SlaveReregisteredMessage",
    "mesos.internal.PingSlaveMessage",
    "mesos.internal.RunTaskMessage",
    "mesos.internal.RunTaskGroupMessage",
    "mesos.internal.KillTaskMessage",
    "mesos.internal.StatusUpdateAcknowledgementMessage",
    "mesos.internal.FrameworkToExecutorMessage",
    "mesos.internal.UpdateFrameworkMessage",
    "mesos.internal.ShutdownFrameworkMessage",
    "mesos.internal.ShutdownExecutorMessage",
    "mesos.internal.ShutdownMessage",
    "mesos.internal.CheckpointResourcesMessage",
    "mesos.internal.ApplyOperationMessage",
    "mesos.internal.ReconcileOperationsMessage",
    "mesos.internal.AcknowledgeOperationStatusMessage",
    "mesos.internal.DrainSlaveMessage",
    "mesos.internal.RegisterExecutorMessage",
    "mesos.internal.ReregisterExecutorMessage",
    "mesos.internal.StatusUpdateMessage",
    "mesos.internal.ExecutorToFrameworkMessage",
    "mesos.internal.Nothing",
    "",
];

#[test]
fn garbage_is_logged_and_dropped() {
    for from in [build::master(), pid("anybody@10.9.9.9:1")] {
        for name in NAMES {
            for body in [vec![0xff; 40], b"\x0a\x03\xff\xfe\xfd".to_vec(), vec![0x0a, 0x7f]] {
                let mut edge = Edge::registered();
                edge.run_command("t");
                edge.log.clear();
                edge.event(Event::Message { from: from.clone(), name: name.into(), body });
                assert!(!edge.log.is_empty(), "{name} is logged");
                assert_eq!(edge.aborted, None);
                assert!(edge.view().registered);
                assert_eq!(edge.view().frameworks[0].executors[0].launched_tasks.len(), 1);
            }
        }
    }
}

#[test]
fn messages_without_their_required_fields_name_the_field() {
    let mut edge = Edge::registered();
    let name = KillTaskMessage::NAME.to_string();
    edge.event(Event::Message { from: build::master(), name, body: Vec::new() });
    assert!(edge.log.last().unwrap().contains("framework_id"), "{:?}", edge.log.last());
}

#[test]
fn truncated_messages_do_no_harm() {
    let run = build::run(build::framework(), build::command_task("t")).encode_bytes();
    let update = StatusUpdateMessage::default().encode_bytes();
    for (name, body) in [(RunTaskMessage::NAME, run), (StatusUpdateMessage::NAME, update)] {
        for end in 0..body.len() {
            let mut edge = Edge::registered();
            let body = body[..end].to_vec();
            edge.event(Event::Message { from: build::master(), name: name.into(), body });
            assert_eq!(edge.aborted, None);
        }
    }
}

#[test]
fn events_about_nothing_are_nothing() {
    let mut edge = Edge::registered();
    for timer in [Timer::Heartbeat, Timer::UpdateRetry("f".into(), "t".into()), Timer::Register] {
        edge.event(Event::Timer(timer));
    }
    edge.event(Event::StreamClosed { stream: messor_agent_core::StreamId(99) });
    assert!(edge.sent.is_empty() && edge.containers.is_empty());

    let mut edge = Edge::new();
    edge.event(Event::Timer(Timer::Ping));
    edge.event(Event::Timer(Timer::Register));
    assert!(edge.sent.is_empty(), "there is no master");
}
