//! Task groups: launched together or not at all, with the default executor.

use messor_agent_core::{Event, Record};
use messor_proto::mesos::TaskState::{TaskDropped, TaskFailed, TaskKilled, TaskRunning};
use messor_proto::mesos::executor::{self, event};
use messor_proto::mesos::internal::{
    ExitedExecutorMessage, RegisterExecutorMessage, RunTaskGroupMessage, RunTaskMessage,
};
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::value::Scalar;
use messor_proto::mesos::{TaskGroupInfo, TaskState};

use crate::build::{self, pid};
use crate::edge::Edge;

fn group(tasks: &[&str]) -> RunTaskGroupMessage {
    build::run_group(build::framework(), build::default_executor("e"), tasks)
}

/// The tasks of the groups that executors were given.
fn given(edge: &mut Edge) -> Vec<Vec<String>> {
    let events = std::mem::take(&mut edge.events);
    let groups = events.into_iter().filter(|(_, event)| event.r#type() == event::Type::LaunchGroup);
    let names = |event: executor::Event| {
        let tasks = event.launch_group.unwrap().task_group.tasks;
        assert!(tasks.iter().all(|task| task.executor.as_ref().unwrap().executor_id.value == "e"));
        tasks.into_iter().map(|task| task.task_id.value).collect()
    };
    groups.map(|(_, event)| names(event)).collect()
}

/// Task, state and reason of each update.
fn told(edge: &mut Edge) -> Vec<(String, TaskState, Reason, String)> {
    let updates = edge.updates();
    let told = updates.iter().map(|update| {
        let status = &update.status;
        (
            status.task_id.value.clone(),
            status.state(),
            status.reason(),
            status.message.clone().unwrap_or_default(),
        )
    });
    told.collect()
}

#[test]
fn a_group_is_launched_with_the_default_executor() {
    let mut edge = Edge::registered();
    edge.master_says(group(&["a", "b"]));
    let launch = edge.launch();
    assert_eq!(launch.executor_id.as_str(), "e");
    assert!(launch.task.is_none(), "it is no command executor");
    let command = launch.command;
    assert_eq!(command.value.as_deref(), Some("/usr/libexec/mesos/mesos-default-executor"));
    assert_eq!(command.arguments, ["mesos-default-executor", "--launcher_dir=/usr/libexec/mesos"]);
    assert_eq!((command.shell, command.user.as_deref()), (Some(false), Some("nobody")));
    let cpus: f64 =
        launch.resources.iter().filter(|r| r.name == "cpus").map(|r| r.scalar.unwrap().value).sum();
    assert!((cpus - 2.1).abs() < 1e-9, "the executor's and both tasks': {cpus}");
    let variable = |name: &str| launch.environment.iter().find(|(found, _)| found == name).unwrap().1.clone();
    assert_eq!(variable("MESOS_EXECUTOR_ID"), "e");
    assert_eq!(variable("MESOS_AGENT_ENDPOINT"), "10.0.0.7:5051");

    edge.launched(&launch.container, 7);
    edge.subscribe(build::subscribe("e"));
    assert_eq!(given(&mut edge), [["a", "b"]]);
    // One more goes to the same executor.
    edge.master_says(group(&["c"]));
    assert!(edge.containers.iter().any(|command| format!("{command:?}").starts_with("Update")));
    assert_eq!(given(&mut edge), [["c"]]);
    assert!(edge.updates().is_empty());
}

#[test]
fn a_group_waits_for_all_its_records() {
    let mut edge = Edge::registered();
    edge.durable_at_once = false;
    edge.master_says(build::run_group(
        build::checkpointing(),
        build::default_executor("e"),
        &["a", "b", "c"],
    ));
    let commands = edge.records.iter().filter_map(|(_, record)| match record {
        Record::Executor { info, command_executor, .. } => Some((info.command.clone(), *command_executor)),
        _ => None,
    });
    assert_eq!(commands.collect::<Vec<_>>(), [(None, false)], "written as the master sent it");
    let waiting = std::mem::take(&mut edge.waiting);
    let (last, first) = waiting.split_last().unwrap();
    for ticket in first {
        edge.event(Event::Persisted { ticket: *ticket, outcome: Ok(()) });
    }
    let container = edge.launch().container;
    edge.launched(&container, 7);
    edge.subscribe(build::subscribe("e"));
    assert_eq!(given(&mut edge), [[""; 0]; 0]);
    edge.event(Event::Persisted { ticket: *last, outcome: Ok(()) });
    assert_eq!(given(&mut edge), [["a", "b", "c"]]);
}

#[test]
fn a_kill_before_delivery_ends_the_whole_group_and_no_other() {
    let mut edge = Edge::registered();
    edge.master_says(group(&["a", "b"]));
    edge.master_says(group(&["c", "d"]));
    edge.master_says(build::kill("b"));
    let message = "A task within the task group was killed before delivery to the executor".to_string();
    let expected = |task: &str, message: &str| {
        (task.to_string(), TaskKilled, Reason::TaskKilledDuringLaunch, message.to_string())
    };
    assert_eq!(told(&mut edge), [expected("a", &message), expected("b", &message)]);
    let container = edge.launch().container;
    edge.launched(&container, 7);
    edge.subscribe(build::subscribe("e"));
    assert_eq!(given(&mut edge), [["c", "d"]]);

    // Killed before they were durable, while the executor runs.
    let mut edge = Edge::registered();
    edge.master_says(build::run_group(build::checkpointing(), build::default_executor("e"), &["a"]));
    let container = edge.launch().container;
    edge.launched(&container, 7);
    edge.subscribe(build::subscribe("e"));
    assert_eq!(given(&mut edge), [["a"]]);
    edge.durable_at_once = false;
    edge.master_says(build::run_group(build::checkpointing(), build::default_executor("e"), &["b", "c"]));
    edge.master_says(build::kill("b"));
    edge.durable_at_once = true;
    edge.persist_all();
    edge.persist_all();
    let message = "Killed before delivery to the executor";
    assert_eq!(told(&mut edge), [expected("b", message), expected("c", message)]);
    assert!(given(&mut edge).is_empty());
}

#[test]
fn a_delivered_task_is_the_executors_to_kill() {
    let mut edge = Edge::registered();
    edge.master_says(group(&["a", "b"]));
    let container = edge.launch().container;
    edge.launched(&container, 7);
    edge.subscribe(build::subscribe("e"));
    edge.events.clear();
    edge.master_says(build::kill("a"));
    assert_eq!(edge.event_types(), [event::Type::Kill]);
    assert!(edge.updates().is_empty());
    edge.call(build::update("e", "a", TaskRunning, 1));
    edge.updates();
    // The end of the executor is the end of all of them.
    edge.exited(&container, 9);
    let ends = told(&mut edge);
    let ends: Vec<_> = ends.iter().map(|(task, state, reason, _)| (task.as_str(), *state, *reason)).collect();
    let failed = |task| (task, TaskFailed, Reason::ExecutorTerminated);
    // Of `a` the update before waits for its acknowledgement.
    assert_eq!(ends, [failed("b")]);
    assert_eq!(edge.one::<ExitedExecutorMessage>().executor_id.value, "e", "the master knows this executor");
}

#[test]
fn a_group_is_refused_as_a_whole() {
    let refused = |edge: &mut Edge, message: RunTaskGroupMessage, reason: Reason, text: &str| {
        let tasks: Vec<String> =
            message.task_group.tasks.iter().map(|task| task.task_id.value.clone()).collect();
        edge.master_says(message);
        let told = told(edge);
        assert_eq!(told.iter().map(|told| told.0.clone()).collect::<Vec<_>>(), tasks, "{told:?}");
        for (_, state, found, message) in &told {
            assert_eq!((*state, *found), (TaskDropped, reason), "{message}");
            assert!(message.contains(text), "{message}");
        }
    };
    // One task has a limit that nothing here enforces.
    let mut edge = Edge::registered();
    let mut limited = group(&["a", "b"]);
    limited.launch_executor = Some(true);
    limited.task_group.tasks[1].limits.insert("cpus".into(), Scalar { value: 3.0 });
    refused(&mut edge, limited, Reason::GcError, "'cgroups/cpu'");
    assert_eq!(edge.one::<ExitedExecutorMessage>().executor_id.value, "e", "once");

    let mut edge = Edge::registered();
    edge.master_says(group(&["a", "b", "a"]));
    let told = told(&mut edge);
    let tasks: Vec<&str> = told.iter().map(|told| told.0.as_str()).collect();
    assert_eq!(tasks, ["a", "b"]);
    assert!(told.iter().all(|told| told.2 == Reason::TaskGroupInvalid && told.3.contains("there twice")));

    let mut edge = Edge::registered();
    let expected = RunTaskGroupMessage { launch_executor: Some(false), ..group(&["a", "b"]) };
    refused(&mut edge, expected, Reason::ExecutorTerminated, "No executor is expected to launch");

    // From anybody else than the master it is nothing; without tasks it is nothing either.
    let mut edge = Edge::registered();
    edge.message(&pid("master@10.0.0.2:5050"), group(&["a"]));
    let empty = RunTaskGroupMessage { task_group: TaskGroupInfo::default(), ..group(&[]) };
    edge.master_says(empty);
    assert!(edge.sent.is_empty() && edge.view().frameworks.is_empty());
}

#[test]
fn a_group_with_the_id_of_a_live_task_leaves_that_one_alone() {
    let mut edge = Edge::registered();
    edge.master_says(group(&["a", "b"]));
    edge.launch();
    edge.master_says(group(&["b", "c"]));
    let told = told(&mut edge);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].0.as_str(), told[0].1, told[0].2), ("c", TaskDropped, Reason::TaskInvalid));
    assert_eq!(edge.view().frameworks[0].executors[0].queued_tasks.len(), 2);
}

#[test]
fn an_executor_with_a_driver_gets_no_group() {
    let mut edge = Edge::registered();
    edge.master_says(build::run_group(build::framework(), build::executor("e"), &["a", "b"]));
    let container = edge.launch().container;
    edge.launched(&container, 7);
    let driver = pid("executor(1)@10.0.0.7:4000");
    edge.message(
        &driver,
        RegisterExecutorMessage { framework_id: build::framework_id(), executor_id: build::executor_id("e") },
    );
    assert!(edge.take::<RunTaskMessage>().is_empty());
    let told = told(&mut edge);
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|told| (told.1, told.2) == (TaskDropped, Reason::TaskGroupInvalid)), "{told:?}");
}

#[test]
fn the_default_executor_takes_groups_alone() {
    let mut edge = Edge::registered();
    edge.master_says(build::run(build::framework(), build::executor_task("a", build::default_executor("e"))));
    let told = told(&mut edge);
    assert_eq!((told[0].1, told[0].2), (TaskDropped, Reason::TaskInvalid));
    assert!(told[0].3.contains("LAUNCH_GROUP"));
}
