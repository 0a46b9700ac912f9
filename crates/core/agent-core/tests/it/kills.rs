use messor_agent_core::Event;
use messor_proto::mesos::TaskState::{TaskDropped, TaskFailed, TaskFinished, TaskKilled, TaskRunning};
use messor_proto::mesos::executor::event;
use messor_proto::mesos::internal::{
    ExitedExecutorMessage, ShutdownExecutorMessage, ShutdownFrameworkMessage,
};
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{DurationInfo, KillPolicy};
use messor_stdx::Duration;

use crate::build::{self, pid};
use crate::edge::Edge;

fn shutdown(executor: &str) -> ShutdownExecutorMessage {
    ShutdownExecutorMessage {
        executor_id: Some(build::executor_id(executor)),
        framework_id: Some(build::framework_id()),
    }
}

#[test]
fn a_running_task_is_killed_by_its_executor() {
    let mut edge = Edge::registered();
    edge.run_command("t");
    edge.events.clear();
    let mut kill = build::kill("t");
    kill.kill_policy = Some(KillPolicy { grace_period: Some(DurationInfo { nanoseconds: 7 }) });
    edge.message(&pid("master@10.0.0.2:5050"), kill.clone());
    assert!(edge.events.is_empty());
    edge.master_says(kill.clone());
    let event = edge.events.remove(0).1;
    let told = event.kill.unwrap();
    assert_eq!((told.task_id.value.as_str(), told.kill_policy), ("t", kill.kill_policy));
    assert!(edge.updates().is_empty(), "the executor says what became of it");
}

#[test]
fn a_task_that_waits_for_its_executor_is_killed_at_once() {
    let mut edge = Edge::registered();
    edge.master_says(build::run(build::framework(), build::command_task("t")));
    let container = edge.launch().container;
    edge.launched(&container, 1);
    edge.master_says(build::kill("t"));
    let update = edge.one_update();
    assert_eq!(update.status.state(), TaskKilled);
    assert_eq!(update.status.reason(), Reason::TaskKilledDuringLaunch);
    assert_eq!(update.status.message.as_deref(), Some("Killed before delivery to the executor"));
    assert_eq!(update.status.executor_id, Some(build::executor_id("t")));
    assert_eq!(update.status.container_status, None);
    // The executor that comes has nothing to do.
    edge.subscribe(build::subscribe("t"));
    assert_eq!(edge.event_types(), [event::Type::Shutdown]);
    edge.advance(Duration::from_secs(5));
    assert_eq!(edge.destroyed(), std::slice::from_ref(&container));
    edge.exited(&container, 9);
    edge.acknowledge(&update);
    assert!(edge.view().frameworks.is_empty());
}

#[test]
fn a_kill_of_a_task_that_is_not_here_is_answered() {
    let mut edge = Edge::registered();
    edge.run_command("t");
    edge.master_says(build::kill("other"));
    let update = edge.one_update();
    assert_eq!((update.status.state(), update.status.reason()), (TaskDropped, Reason::ExecutorTerminated));
    assert_eq!(update.status.message.as_deref(), Some("Cannot find executor"));

    let mut edge = Edge::registered();
    edge.master_says(build::kill("t"));
    assert!(edge.sent.is_empty(), "nothing of the framework is here: 1.11.0 says nothing");
}

#[test]
fn an_executor_is_shut_down_and_then_destroyed() {
    let mut edge = Edge::registered();
    edge.master_says(build::run(build::framework(), build::executor_task("t", build::executor("e"))));
    let container = edge.launch().container;
    edge.launched(&container, 1);
    edge.subscribe(build::subscribe("e"));
    edge.events.clear();
    edge.containers.clear();
    edge.message(&pid("master@10.0.0.2:5050"), shutdown("e"));
    edge.master_says(shutdown("nobody"));
    assert!(edge.events.is_empty());
    edge.master_says(shutdown("e"));
    edge.master_says(shutdown("e"));
    assert_eq!(edge.event_types(), [event::Type::Shutdown]);
    assert_eq!(edge.metric("slave/executors_terminating"), 1.0);
    edge.master_says(build::kill("t"));
    assert!(edge.events.is_empty(), "it is ending already");
    edge.advance(Duration::from_secs(4));
    assert!(edge.destroyed().is_empty());
    edge.advance(Duration::from_secs(1));
    assert_eq!(edge.destroyed(), std::slice::from_ref(&container));
    edge.exited(&container, 9);
    assert_eq!(edge.one_update().status.state(), TaskFailed);
    assert_eq!(edge.one::<ExitedExecutorMessage>().status, 9);
    assert!(edge.log.iter().any(|line| line.contains("terminated with signal 9")));
}

#[test]
fn an_executor_has_its_own_time_to_end() {
    let mut edge = Edge::registered();
    let mut executor = build::executor("e");
    executor.shutdown_grace_period = Some(DurationInfo { nanoseconds: 30_000_000_000 });
    edge.master_says(build::run(build::framework(), build::executor_task("t", executor)));
    let launch = edge.launch();
    let grace = ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD".to_string(), "30secs".to_string());
    assert!(launch.environment.contains(&grace));
    edge.launched(&launch.container, 1);
    edge.subscribe(build::subscribe("e"));
    edge.master_says(shutdown("e"));
    edge.advance(Duration::from_secs(29));
    assert!(edge.destroyed().is_empty());
    edge.advance(Duration::from_secs(1));
    assert_eq!(edge.destroyed().len(), 1);
}

#[test]
fn a_container_that_comes_up_after_its_executor_was_shut_down_is_destroyed() {
    let mut edge = Edge::registered();
    edge.master_says(build::run(build::framework(), build::executor_task("t", build::executor("e"))));
    let container = edge.launch().container;
    edge.master_says(shutdown("e"));
    edge.launched(&container, 1);
    assert_eq!(edge.destroyed(), [container]);
}

#[test]
fn a_framework_that_is_shut_down_ends_without_a_word_of_its_tasks() {
    let mut edge = Edge::registered();
    let (container, _) = edge.run_command("t");
    edge.call(build::update("t", "t", TaskRunning, 1));
    edge.sent.clear();
    edge.events.clear();
    let message = ShutdownFrameworkMessage { framework_id: build::framework_id() };
    edge.message(&pid("master@10.0.0.2:5050"), message.clone());
    assert!(edge.events.is_empty());
    edge.master_says(message.clone());
    edge.master_says(message);
    assert_eq!(edge.event_types(), [event::Type::Shutdown]);
    edge.call(build::update("t", "t", TaskFinished, 2));
    assert_eq!(edge.metric("slave/invalid_status_updates"), 1.0);
    edge.master_says(build::run(build::framework(), build::command_task("late")));
    assert!(edge.log.iter().any(|line| line.contains("is terminating")));
    edge.exited(&container, 0);
    assert!(edge.updates().is_empty(), "nobody would acknowledge");
    let view = edge.view();
    assert!(view.frameworks.is_empty());
    let completed = &view.completed_frameworks[0].completed_executors[0];
    assert_eq!(completed.terminated_tasks[0].task_id.value, "t");
    edge.advance(Duration::from_secs(60));
    assert!(edge.updates().is_empty(), "its streams went with it");
}

#[test]
fn an_ended_executor_with_unacknowledged_updates_goes_with_its_framework() {
    let mut edge = Edge::registered();
    let (container, _) = edge.run_command("t");
    edge.call(build::update("t", "t", TaskFinished, 1));
    edge.exited(&container, 0);
    edge.master_says(ShutdownFrameworkMessage { framework_id: build::framework_id() });
    assert!(edge.view().frameworks.is_empty());
}

#[test]
fn shutdowns_wait_for_a_registered_agent() {
    let mut edge = Edge::registered();
    edge.run_command("t");
    edge.events.clear();
    edge.event(Event::Detected { leader: None });
    edge.detect();
    edge.master_says(ShutdownFrameworkMessage { framework_id: build::framework_id() });
    edge.master_says(shutdown("t"));
    assert!(edge.events.is_empty());
}
