//! What must be durable before it is said (U109).

use messor_agent_core::{Connection, ContainerCommand, Event, Record};
use messor_proto::mesos::TaskState::{TaskFailed, TaskFinished, TaskRunning};
use messor_proto::mesos::executor::event;
use messor_proto::mesos::internal::ShutdownExecutorMessage;
use messor_proto::mesos::task_status::Reason;

use crate::build;
use crate::edge::Edge;

fn names(edge: &mut Edge) -> Vec<&'static str> {
    let records = std::mem::take(&mut edge.records);
    records
        .iter()
        .map(|(_, record)| match record {
            Record::Boot => "boot",
            Record::Agent { .. } => "agent",
            Record::Forget => "forget",
            Record::Resources { .. } => "resources",
            Record::OperationUpdate { .. } => "operation update",
            Record::OperationCompleted { .. } => "operation completed",
            Record::DrainConfig(_) => "drain config",
            Record::Framework { .. } => "framework",
            Record::Executor { .. } => "executor",
            Record::ExecutorConnection { .. } => "connection",
            Record::ExecutorCompleted { .. } => "completed",
            Record::Task { .. } => "task",
            Record::Update { .. } => "update",
        })
        .collect()
}

fn slow() -> Edge {
    let mut edge = Edge::registered();
    edge.records.clear();
    edge.durable_at_once = false;
    edge
}

#[test]
fn nothing_is_said_before_it_is_durable() {
    let mut edge = slow();
    edge.master_says(build::run(build::checkpointing(), build::command_task("t")));
    assert_eq!(names(&mut edge), ["framework", "executor", "task"]);
    assert!(edge.containers.is_empty(), "no container before its record");
    edge.persist_all();
    let launch = edge.launch();
    assert!(launch.checkpoint);
    edge.launched(&launch.container, 1);

    edge.subscribe(build::subscribe("t"));
    let Some((_, Record::ExecutorConnection { connection, .. })) = edge.records.first() else {
        panic!("no connection in {:?}", edge.records)
    };
    assert_eq!(*connection, Connection::Http);
    assert_eq!(edge.event_types(), [event::Type::Subscribed, event::Type::Launch]);
    edge.records.clear();
    edge.waiting.clear();

    edge.call(build::update("t", "t", TaskRunning, 1));
    assert_eq!(names(&mut edge), ["update"]);
    assert!(edge.updates().is_empty(), "not forwarded");
    assert!(edge.events.is_empty(), "and not acknowledged");
    // The executor repeats it: that is no reason to tell it something untrue.
    edge.call(build::update("t", "t", TaskRunning, 1));
    assert!(edge.events.is_empty() && edge.records.is_empty());
    edge.persist_all();
    assert_eq!(edge.event_types(), [event::Type::Acknowledged]);
    let update = edge.one_update();

    edge.call(build::update("t", "t", TaskFinished, 2));
    edge.persist_all();
    edge.records.clear();
    edge.acknowledge(&update);
    assert_eq!(names(&mut edge), ["update"], "the acknowledgement");
    assert!(edge.updates().is_empty(), "the next waits for it");
    edge.persist_all();
    let last = edge.one_update();
    assert_eq!(last.status.state(), TaskFinished);
    edge.acknowledge(&last);
    assert_eq!(edge.view().frameworks[0].executors[0].terminated_tasks.len(), 1);
    edge.persist_all();
    assert_eq!(edge.view().frameworks[0].executors[0].completed_tasks.len(), 1);
    let task = "meta/slaves/master-S0/frameworks/master-0000/executors/t/runs/";
    assert!(edge.collected[0].starts_with(task) && edge.collected[0].ends_with("/tasks/t"));

    edge.records.clear();
    edge.exited(&launch.container, 0);
    assert_eq!(names(&mut edge), ["completed"]);
    assert!(edge.collected.contains(&"meta/slaves/master-S0/frameworks/master-0000".to_string()));
}

#[test]
fn tasks_go_to_their_executor_in_order_and_durable() {
    let mut edge = slow();
    for task in ["one", "two"] {
        edge.master_says(build::run(
            build::checkpointing(),
            build::executor_task(task, build::executor("e")),
        ));
    }
    let [framework, executor, one, two] = edge.waiting[..] else { panic!("{:?}", edge.records) };
    for ticket in [framework, executor] {
        edge.event(Event::Persisted { ticket, outcome: Ok(()) });
    }
    let container = edge.launch().container;
    edge.launched(&container, 1);
    edge.subscribe(build::subscribe("e"));
    assert_eq!(edge.event_types(), [event::Type::Subscribed]);
    edge.event(Event::Persisted { ticket: two, outcome: Ok(()) });
    assert!(edge.events.is_empty(), "the first is before it");
    edge.event(Event::Persisted { ticket: one, outcome: Ok(()) });
    let sent: Vec<String> =
        edge.events.iter().map(|(_, event)| event.launch.clone().unwrap().task.task_id.value).collect();
    assert_eq!(sent, ["one", "two"]);
}

#[test]
fn an_executor_that_is_shut_down_before_its_record_is_durable_never_starts() {
    let mut edge = slow();
    edge.master_says(build::run(build::checkpointing(), build::executor_task("t", build::executor("e"))));
    edge.master_says(ShutdownExecutorMessage {
        executor_id: Some(build::executor_id("e")),
        framework_id: Some(build::framework_id()),
    });
    edge.advance(messor_stdx::Duration::from_secs(6));
    assert!(edge.containers.is_empty());
    edge.durable_at_once = true;
    edge.persist_all();
    assert!(!edge.containers.iter().any(|command| matches!(command, ContainerCommand::Launch(_))));
    let update = edge.one_update();
    assert_eq!((update.status.state(), update.status.reason()), (TaskFailed, Reason::ContainerLaunchFailed));
    assert_eq!(update.status.message.as_deref(), Some("Executor terminating"));
}

#[test]
fn a_killed_task_s_update_is_durable_too() {
    let mut edge = slow();
    edge.master_says(build::run(build::checkpointing(), build::command_task("t")));
    edge.persist_all();
    edge.master_says(build::kill("t"));
    assert!(edge.updates().is_empty());
    edge.persist_all();
    edge.one_update();
}

#[test]
fn a_disk_that_fails_ends_the_agent() {
    let mut edge = slow();
    edge.master_says(build::run(build::checkpointing(), build::command_task("t")));
    let ticket = edge.waiting[0];
    edge.event(Event::Persisted { ticket, outcome: Err("no space left on device".into()) });
    assert_eq!(edge.aborted.as_deref(), Some("Failed to write a checkpoint: no space left on device"));
    // A ticket that nobody knows is nothing.
    edge.aborted = None;
    edge.event(Event::Persisted { ticket: 12345, outcome: Err("?".into()) });
    assert_eq!(edge.aborted, None);
}

#[test]
fn a_framework_that_does_not_checkpoint_writes_nothing() {
    let mut edge = slow();
    let (container, _) = edge.run_command("t");
    edge.call(build::update("t", "t", TaskFinished, 1));
    let update = edge.one_update();
    edge.acknowledge(&update);
    edge.exited(&container, 0);
    assert!(edge.records.is_empty());
    assert!(edge.collected.iter().all(|path| !path.starts_with("meta/")));
}
