//! Executors with a driver: libprocess messages in the place of HTTP (U114).

use messor_agent_core::{ExecutorState, Timer};
use messor_proto::mesos::TaskState::{TaskFinished, TaskKilled, TaskRunning};
use messor_proto::mesos::internal::{
    ExecutorRegisteredMessage, ExecutorReregisteredMessage, ExecutorToFrameworkMessage,
    FrameworkToExecutorMessage, KillTaskMessage, RegisterExecutorMessage, ReregisterExecutorMessage,
    RunTaskMessage, ShutdownExecutorMessage, StatusUpdate, StatusUpdateAcknowledgementMessage,
    StatusUpdateMessage,
};
use messor_proto::mesos::task_status::Source;
use messor_stdx::Duration;
use messor_types::{ContainerId, Pid};

use crate::build::{self, pid};
use crate::edge::Edge;

fn driver() -> Pid {
    pid("executor(1)@10.0.0.7:4000")
}

fn register() -> RegisterExecutorMessage {
    RegisterExecutorMessage { framework_id: build::framework_id(), executor_id: build::executor_id("e") }
}

fn reregister() -> ReregisterExecutorMessage {
    ReregisterExecutorMessage {
        executor_id: build::executor_id("e"),
        framework_id: build::framework_id(),
        ..ReregisterExecutorMessage::default()
    }
}

/// What a driver sends: the update, and where it waits for the acknowledgement.
fn update(task: &str, state: messor_proto::mesos::TaskState, number: u8) -> StatusUpdateMessage {
    let mut status = build::status("e", task, state, number);
    status.source = None;
    status.agent_id = Some(build::agent_id());
    let update = StatusUpdate {
        framework_id: build::framework_id(),
        executor_id: Some(build::executor_id("e")),
        agent_id: Some(build::agent_id()),
        status,
        timestamp: 1_600_000_001.0,
        uuid: Some(vec![number; 16]),
        latest_state: None,
    };
    StatusUpdateMessage { update, pid: Some(driver().to_string()) }
}

fn waiting() -> (Edge, ContainerId) {
    let mut edge = Edge::registered();
    let mut run = build::run(build::framework(), build::executor_task("t", build::executor("e")));
    run.pid = Some("scheduler(1)@10.0.0.3:9000".into());
    edge.master_says(run);
    let container = edge.launch().container;
    edge.launched(&container, 99);
    edge.sent.clear();
    (edge, container)
}

fn running() -> (Edge, ContainerId) {
    let (mut edge, container) = waiting();
    edge.message(&driver(), register());
    edge.sent.clear();
    (edge, container)
}

#[test]
fn a_driver_registers_and_gets_its_tasks() {
    let (mut edge, _) = waiting();
    edge.links.clear();
    edge.message(&driver(), register());
    assert_eq!(edge.links, [format!("link {}", driver())]);
    let (to, registered) = edge.take::<ExecutorRegisteredMessage>().remove(0);
    assert_eq!(to, driver().to_string());
    assert_eq!(registered.executor_info.executor_id.value, "e");
    assert_eq!(registered.agent_id, build::agent_id());
    assert_eq!(registered.framework_info.name, "framework");
    let run: RunTaskMessage = edge.one();
    assert_eq!(run.task.task_id.value, "t");
    assert_eq!(run.pid.as_deref(), Some("scheduler(1)@10.0.0.3:9000"));
    assert!(!edge.timers.keys().any(|timer| matches!(timer, Timer::ExecutorRegister(..))));

    edge.master_says(build::run(build::framework(), build::executor_task("u", build::executor("e"))));
    assert_eq!(edge.one::<RunTaskMessage>().task.task_id.value, "u");
}

#[test]
fn a_driver_s_updates_are_acknowledged_to_it() {
    let (mut edge, _) = running();
    edge.message(&driver(), update("t", TaskRunning, 1));
    let (to, acknowledgement) = edge.take::<StatusUpdateAcknowledgementMessage>().remove(0);
    assert_eq!(to, driver().to_string());
    assert_eq!((acknowledgement.task_id.value.as_str(), acknowledgement.uuid), ("t", vec![1; 16]));
    let forwarded = edge.one_update();
    assert_eq!(forwarded.status.source(), Source::Executor);
    assert_eq!(forwarded.status.container_status.unwrap().executor_pid, Some(99));

    // One without `pid` is acknowledged to its sender.
    edge.message(&driver(), StatusUpdateMessage { pid: None, ..update("t", TaskFinished, 2) });
    assert_eq!(edge.take::<StatusUpdateAcknowledgementMessage>()[0].0, driver().to_string());
}

#[test]
fn wrong_updates_of_a_driver_are_counted_and_dropped() {
    let (mut edge, _) = running();
    let good = update("t", TaskRunning, 1);
    let change = |change: &dyn Fn(&mut StatusUpdate)| {
        let mut message = good.clone();
        change(&mut message.update);
        message
    };
    let other = || Some(messor_proto::mesos::AgentId { value: "other".into() });
    for wrong in [
        change(&|update| update.uuid = None),
        change(&|update| update.uuid = Some(vec![1, 2])),
        change(&|update| update.agent_id = other()),
        change(&|update| update.status.agent_id = other()),
        change(&|update| update.framework_id.value = "other".into()),
        change(&|update| update.status.task_id.value = "../../etc".into()),
    ] {
        edge.message(&driver(), wrong);
    }
    assert_eq!(edge.metric("slave/invalid_status_updates"), 6.0);
    assert_eq!(edge.metric("slave/valid_status_updates"), 0.0);
    assert!(edge.sent.is_empty());
}

#[test]
fn kills_messages_and_shutdowns_go_to_the_driver() {
    let (mut edge, container) = running();
    edge.master_says(build::kill("t"));
    let (to, kill) = edge.take::<KillTaskMessage>().remove(0);
    assert_eq!((to, kill.task_id.value.as_str()), (driver().to_string(), "t"));
    let down = FrameworkToExecutorMessage {
        agent_id: build::agent_id(),
        framework_id: build::framework_id(),
        executor_id: build::executor_id("e"),
        data: b"down".to_vec(),
    };
    edge.master_says(down.clone());
    assert_eq!(edge.take::<FrameworkToExecutorMessage>(), [(driver().to_string(), down)]);
    let up = ExecutorToFrameworkMessage {
        agent_id: build::agent_id(),
        framework_id: build::framework_id(),
        executor_id: build::executor_id("e"),
        data: b"up".to_vec(),
    };
    edge.message(&driver(), up.clone());
    // Straight to a scheduler that has a driver.
    assert_eq!(edge.take::<ExecutorToFrameworkMessage>(), [("scheduler(1)@10.0.0.3:9000".to_string(), up)]);
    edge.master_says(ShutdownExecutorMessage {
        executor_id: Some(build::executor_id("e")),
        framework_id: Some(build::framework_id()),
    });
    assert_eq!(edge.take::<ShutdownExecutorMessage>()[0].0, driver().to_string());
    edge.exited(&container, 0);
    assert_eq!(edge.links.last().unwrap(), &format!("unlink {}", driver()));
}

#[test]
fn a_driver_that_is_not_awaited_is_told_to_end() {
    let (mut edge, _) = running();
    // It runs already, it is unknown, its framework is unknown.
    let other = RegisterExecutorMessage { executor_id: build::executor_id("x"), ..register() };
    let stranger = RegisterExecutorMessage {
        framework_id: messor_proto::mesos::FrameworkId { value: "other".into() },
        ..register()
    };
    for message in [register(), other, stranger] {
        edge.message(&pid("executor(2)@10.0.0.7:4001"), message);
        let (to, _) = edge.take::<ShutdownExecutorMessage>().remove(0);
        assert_eq!(to, "executor(2)@10.0.0.7:4001");
    }
    edge.message(&driver(), reregister());
    assert_eq!(edge.take::<ShutdownExecutorMessage>().len(), 1, "as 1.11.0 without a retry interval");
    assert_eq!(edge.view().frameworks[0].executors[0].state, ExecutorState::Running);
}

#[test]
fn a_driver_that_reregisters_brings_what_it_has() {
    let (mut edge, _) = waiting();
    let message = ReregisterExecutorMessage {
        updates: vec![update("t", TaskRunning, 4).update],
        tasks: vec![build::executor_task("t", build::executor("e"))],
        ..reregister()
    };
    edge.message(&driver(), message);
    assert_eq!(edge.take::<ExecutorReregisteredMessage>()[0].0, driver().to_string());
    assert_eq!(edge.view().frameworks[0].executors[0].state, ExecutorState::Running);
    edge.one::<RunTaskMessage>();
}

#[test]
fn a_driver_whose_tasks_were_killed_is_shut_down() {
    let (mut edge, container) = waiting();
    edge.master_says(build::kill("t"));
    assert_eq!(edge.one_update().status.state(), TaskKilled);
    edge.message(&driver(), register());
    assert!(edge.take::<ExecutorRegisteredMessage>().is_empty());
    edge.one::<ShutdownExecutorMessage>();
    edge.advance(Duration::from_secs(5));
    assert_eq!(edge.destroyed(), [container]);
}
