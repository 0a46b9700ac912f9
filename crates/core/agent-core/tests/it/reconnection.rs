//! Executors that outlive the agent: how they come back, what they then hear, and what becomes of those that do not
//! (U109, U113, U114).

use std::collections::BTreeMap;

use messor_agent_core::{
    Config, Connection, ContainerCommand, Event, ExecutorState, Record, Recovered, RecoveredExecutor,
    RecoveredRun, ReplyId, StreamId, Timer,
};
use messor_proto::mesos::TaskState::{
    TaskDropped, TaskFailed, TaskFinished, TaskGone, TaskLost, TaskRunning, TaskStaging,
};
use messor_proto::mesos::executor::{call, event};
use messor_proto::mesos::internal::{
    ExecutorRegisteredMessage, ExecutorReregisteredMessage, ReconnectExecutorMessage,
    RegisterExecutorMessage, ReregisterExecutorMessage, RunTaskMessage, ShutdownExecutorMessage,
    StatusUpdate, StatusUpdateAcknowledgementMessage,
};
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{FrameworkInfo, TaskInfo, TaskState};
use messor_stdx::Duration;
use messor_types::{ContainerId, ExecutorId, Pid};

use crate::build::{self, pid};
use crate::edge::Edge;
use crate::recovery::{left, next_config, reregister, running, with_task};

fn driver() -> Pid {
    pid("executor(1)@10.0.0.7:4000")
}

fn reregister_message(tasks: &[TaskInfo], updates: &[StatusUpdate]) -> ReregisterExecutorMessage {
    ReregisterExecutorMessage {
        executor_id: build::executor_id("e"),
        framework_id: build::framework_id(),
        tasks: tasks.to_vec(),
        updates: updates.to_vec(),
    }
}

fn update(task: &str, state: TaskState, number: u8) -> StatusUpdate {
    let mut status = build::status("e", task, state, number);
    status.agent_id = Some(build::agent_id());
    StatusUpdate {
        framework_id: build::framework_id(),
        executor_id: Some(build::executor_id("e")),
        agent_id: Some(build::agent_id()),
        status,
        timestamp: 1_600_000_001.0,
        uuid: Some(vec![number; 16]),
        latest_state: None,
    }
}

/// An agent that runs tasks with an executor that has a driver, if it registered.
fn with_driver(framework: FrameworkInfo, registered: bool) -> (Edge, ContainerId) {
    let mut edge = Edge::registered();
    edge.master_says(build::run(framework.clone(), build::executor_task("t", build::executor("e"))));
    let container = edge.launch().container;
    edge.launched(&container, 4321);
    if registered {
        edge.message(
            &driver(),
            RegisterExecutorMessage {
                framework_id: build::framework_id(),
                executor_id: build::executor_id("e"),
            },
        );
        edge.one::<RunTaskMessage>();
    }
    (edge, container)
}

fn not_partition_aware() -> FrameworkInfo {
    let mut framework = build::checkpointing();
    framework.capabilities.truncate(1);
    framework
}

#[test]
fn a_driver_is_on_disk_before_it_is_told_that_it_is_registered() {
    let (mut edge, _) = with_driver(build::checkpointing(), false);
    edge.durable_at_once = false;
    let register = || RegisterExecutorMessage {
        framework_id: build::framework_id(),
        executor_id: build::executor_id("e"),
    };
    edge.message(&driver(), register());
    assert!(edge.take::<ExecutorRegisteredMessage>().is_empty() && edge.take::<RunTaskMessage>().is_empty());
    // It may ask twice.
    edge.message(&driver(), register());
    edge.persist_all();
    edge.one::<ExecutorRegisteredMessage>();
    edge.one::<RunTaskMessage>();
    assert!(edge.take::<ShutdownExecutorMessage>().is_empty());
}

#[test]
fn a_driver_is_asked_to_reconnect_and_does() {
    let (old, container) = with_driver(build::checkpointing(), true);
    let mut edge = Edge::recovered(next_config(), left(&old), running(&[&container]));
    let (to, message) = edge.take::<ReconnectExecutorMessage>().remove(0);
    assert_eq!((to, message.agent_id), (driver().to_string(), build::agent_id()));
    assert!(edge.timers.contains_key(&Timer::ExecutorReregister));
    assert!(!edge.timers.contains_key(&Timer::ExecutorReconnect), "once is the default");

    edge.records.clear();
    let task = build::executor_task("t", build::executor("e"));
    edge.message(&driver(), reregister_message(&[task], &[update("t", TaskRunning, 1)]));
    let answer = edge.one::<ExecutorReregisteredMessage>();
    assert_eq!(answer.agent_info.id, Some(build::agent_id()));
    assert_eq!(edge.one::<StatusUpdateAcknowledgementMessage>().uuid, [1; 16]);
    assert!(edge.links.contains(&format!("link {}", driver())));
    assert!(!edge.timers.contains_key(&Timer::ExecutorReregister), "everybody is back");
    let kinds: Vec<&Record> = edge.records.iter().map(|(_, record)| record).collect();
    assert!(matches!(kinds[..], [Record::Update { .. }, Record::Boot]), "the pid is known: {kinds:?}");
    let message = reregister(&mut edge);
    assert_eq!(message.executor_infos.len(), 1);
    assert_eq!(message.tasks[0].state(), TaskRunning);
    assert_eq!(edge.one_update().status.state(), TaskRunning);
}

#[test]
fn a_driver_is_asked_again_where_that_is_wanted() {
    let (old, container) = with_driver(build::checkpointing(), true);
    let config =
        Config { executor_reregistration_retry_interval: Some(Duration::from_millis(400)), ..next_config() };
    let mut edge = Edge::recovered(config, left(&old), running(&[&container]));
    edge.advance(Duration::from_secs(1));
    assert_eq!(edge.take::<ReconnectExecutorMessage>().len(), 3);
    let task = build::executor_task("t", build::executor("e"));
    edge.message(&driver(), reregister_message(std::slice::from_ref(&task), &[]));
    edge.message(&driver(), reregister_message(&[task], &[]));
    assert_eq!(edge.take::<ExecutorReregisteredMessage>().len(), 1);
    assert!(edge.take::<ShutdownExecutorMessage>().is_empty(), "it only answered twice");
    edge.advance(Duration::from_secs(5));
    assert!(edge.take::<ReconnectExecutorMessage>().is_empty());
}

#[test]
fn a_driver_that_comes_twice_unasked_is_ended() {
    let (old, container) = with_driver(build::checkpointing(), true);
    let mut edge = Edge::recovered(next_config(), left(&old), running(&[&container]));
    let task = build::executor_task("t", build::executor("e"));
    edge.message(&driver(), reregister_message(std::slice::from_ref(&task), &[]));
    edge.message(&driver(), reregister_message(&[task], &[]));
    edge.one::<ShutdownExecutorMessage>();
}

#[test]
fn tasks_that_never_reached_their_executor_are_dropped() {
    for (framework, state) in [(build::checkpointing(), TaskDropped), (not_partition_aware(), TaskLost)] {
        let (mut old, container) = with_driver(framework.clone(), true);
        old.master_says(build::run(framework, build::executor_task("lost", build::executor("e"))));
        let mut edge = Edge::recovered(next_config(), left(&old), running(&[&container]));
        let task = build::executor_task("t", build::executor("e"));
        edge.message(&driver(), reregister_message(&[task], &[]));
        reregister(&mut edge);
        let update = edge.one_update();
        assert_eq!(update.status.task_id.value, "lost");
        assert_eq!((update.status.state(), update.status.reason()), (state, Reason::AgentRestarted));
        let view = edge.view();
        assert_eq!(view.frameworks[0].executors[0].launched_tasks.len(), 1);
    }
}

#[test]
fn an_executor_without_any_task_ends() {
    let (old, container) = with_driver(build::checkpointing(), true);
    let mut edge = Edge::recovered(next_config(), left(&old), running(&[&container]));
    edge.message(&driver(), reregister_message(&[], &[]));
    edge.one::<ShutdownExecutorMessage>();
    reregister(&mut edge);
    assert_eq!(edge.one_update().status.state(), TaskDropped);
}

#[test]
fn an_http_executor_brings_what_was_not_acknowledged() {
    let (mut old, container) = with_task();
    old.durable_at_once = false;
    old.call(build::update("t", "t", TaskFinished, 2));
    assert!(old.events.is_empty(), "the agent crashes before it acknowledges");
    let mut edge = Edge::recovered(next_config(), left(&old), running(&[&container]));
    let mut subscribe = build::subscribe("t");
    subscribe.subscribe = Some(call::Subscribe {
        unacknowledged_tasks: Vec::new(),
        unacknowledged_updates: vec![call::Update { status: build::status("t", "t", TaskFinished, 2) }],
    });
    edge.subscribe(subscribe);
    assert_eq!(edge.event_types(), [event::Type::Subscribed, event::Type::Acknowledged]);
    assert!(edge.updates().is_empty(), "the master does not know of this agent yet");
    reregister(&mut edge);
    let update = edge.one_update();
    assert_eq!((update.status.state(), update.uuid), (TaskFinished, Some(vec![2; 16])));
}

#[test]
fn an_executor_that_hangs_is_killed() {
    for (framework, state) in [(build::checkpointing(), TaskGone), (not_partition_aware(), TaskLost)] {
        let (old, container) = with_driver(framework, true);
        let mut edge = Edge::recovered(next_config(), left(&old), running(&[&container]));
        edge.detect();
        edge.advance(Duration::from_millis(1_900));
        assert!(edge.destroyed().is_empty());
        edge.advance(Duration::from_millis(200));
        assert_eq!(edge.destroyed(), std::slice::from_ref(&container));
        assert_eq!(edge.view().frameworks[0].executors[0].state, ExecutorState::Terminating);
        // Too late.
        edge.message(&driver(), reregister_message(&[], &[]));
        edge.one::<ShutdownExecutorMessage>();
        let message = reregister(&mut edge);
        assert_eq!((message.executor_infos.len(), message.tasks[0].state()), (1, TaskStaging));
        edge.exited(&container, 9);
        let update = edge.one_update();
        assert_eq!(
            (update.status.state(), update.status.reason()),
            (state, Reason::ExecutorReregistrationTimeout)
        );
        assert_eq!(update.status.message.as_deref(), Some("Executor did not reregister within 2secs"));
        edge.acknowledge(&update);
        assert!(edge.view().frameworks.is_empty());
    }
}

#[test]
fn executors_that_ended_meanwhile_have_failed_tasks() {
    let (old, container) = with_driver(build::checkpointing(), true);
    let mut edge = Edge::recovered(next_config(), left(&old), BTreeMap::new());
    assert!(edge.take::<ReconnectExecutorMessage>().is_empty());
    let message = reregister(&mut edge);
    assert!(message.executor_infos.is_empty(), "that is how the master learns of it");
    let update = edge.one_update();
    assert_eq!((update.status.state(), update.status.reason()), (TaskFailed, Reason::ExecutorTerminated));
    assert_eq!(update.status.message.as_deref(), Some("Executor ended while the agent was away"));
    edge.acknowledge(&update);
    let completed = |record: &Record| matches!(record, Record::ExecutorCompleted { container: found, .. } if *found == container);
    assert!(edge.records.iter().any(|(_, record)| completed(record)));

    // The containerizer may know more of the end.
    let (old, container) = with_driver(build::checkpointing(), true);
    let mut edge = Edge::recovered(next_config(), left(&old), running(&[&container]));
    edge.exited(&container, 256);
    let message = reregister(&mut edge);
    assert_eq!(message.tasks[0].state(), TaskFailed);
    assert_eq!(edge.one_update().status.reason(), Reason::ExecutorTerminated);
}

#[test]
fn an_executor_whose_connection_is_unknown_may_still_come() {
    for http in [true, false] {
        let (old, container) = with_driver(build::checkpointing(), false);
        let mut edge = Edge::recovered(next_config(), left(&old), running(&[&container]));
        let task = build::executor_task("t", build::executor("e"));
        if http {
            let mut subscribe = build::subscribe("e");
            let unacknowledged_tasks = vec![task];
            subscribe.subscribe =
                Some(call::Subscribe { unacknowledged_tasks, ..call::Subscribe::default() });
            edge.subscribe(subscribe);
        } else {
            edge.message(&driver(), reregister_message(&[task], &[]));
        }
        assert_eq!(edge.view().frameworks[0].executors[0].state, ExecutorState::Running, "http: {http}");
        let expected = if http { Connection::Http } else { Connection::Driver(driver()) };
        let said = |record: &Record| matches!(record, Record::ExecutorConnection { connection, .. } if *connection == expected);
        assert!(edge.records.iter().any(|(_, record)| said(record)));
    }
}

#[test]
fn a_message_that_comes_before_the_containers_are_known_is_answered_then() {
    let (old, container) = with_driver(build::checkpointing(), true);
    let mut edge = Edge::before_recovery(next_config());
    let task = build::executor_task("t", build::executor("e"));
    edge.message(&driver(), reregister_message(&[task], &[]));
    edge.event(Event::Recovered(Box::new(left(&old))));
    assert!(edge.sent.is_empty());
    let running = running(&[&container]);
    edge.event(Event::Container(messor_agent_core::ContainerEvent::Recovered { running, destroyed: 0 }));
    edge.one::<ExecutorReregisteredMessage>();
    assert!(edge.take::<ShutdownExecutorMessage>().is_empty());
}

#[test]
fn an_executor_that_ends_before_its_task_was_asked_for_leaves_nothing() {
    // The executor's record is durable, its task's is not.
    let mut old = Edge::registered();
    old.durable_at_once = false;
    old.master_says(build::run(build::checkpointing(), build::command_task("t")));
    for ticket in old.waiting.drain(..2).collect::<Vec<_>>() {
        old.event(Event::Persisted { ticket, outcome: Ok(()) });
    }
    let container = old.launch().container;
    let mut edge = Edge::recovered(next_config(), left(&old), BTreeMap::new());
    assert!(edge.view().frameworks.is_empty());
    assert!(edge.updates().is_empty());
    let completed = |record: &Record| matches!(record, Record::ExecutorCompleted { .. });
    assert!(edge.records.iter().any(|(_, record)| completed(record)));
    // If it did start, it has nothing to do.
    let mut edge = Edge::recovered(next_config(), left(&old), running(&[&container]));
    edge.event(Event::Subscribe {
        stream: StreamId(1),
        reply: ReplyId(1),
        call: Box::new(build::subscribe("t")),
    });
    assert_eq!(edge.event_types(), [event::Type::Shutdown]);
}

#[test]
fn the_past_of_executors_is_kept_small() {
    let (old, container) = with_task();
    let mut past: Recovered = left(&old);
    let framework = &mut past.agent.as_mut().unwrap().frameworks[0];
    let executor = framework.executors[0].clone();
    let completed = |number: usize| RecoveredExecutor {
        id: ExecutorId::from(format!("old{number}").as_str()),
        latest: Some(ContainerId::new("c")),
        runs: vec![RecoveredRun {
            container: ContainerId::new("c"),
            forked_pid: None,
            connection: None,
            completed: true,
            tasks: Vec::new(),
        }],
        ..executor.clone()
    };
    framework.executors.extend((0..200).map(completed));
    // An earlier run of the living one, and one whose latest run is not there.
    let mut earlier = framework.executors[0].runs[0].clone();
    earlier.container = ContainerId::new("earlier");
    framework.executors[0].runs.push(earlier);
    framework.executors.push(RecoveredExecutor {
        id: ExecutorId::from("dangling"),
        runs: Vec::new(),
        ..executor
    });
    let edge = Edge::recovered(next_config(), past, running(&[&container]));
    let view = edge.view();
    assert_eq!(view.frameworks[0].completed_executors.len(), 150);
    assert_eq!(view.frameworks[0].executors.len(), 1);
    let base = "slaves/master-S0/frameworks/master-0000/executors";
    for path in ["old7/runs/c", "old7", "t/runs/earlier", "dangling"].map(|path| format!("{base}/{path}")) {
        assert!(edge.collected.contains(&path), "{path}");
        assert!(edge.collected.contains(&format!("meta/{path}")), "meta/{path}");
    }
    assert!(!edge.collected.iter().any(|path| path.ends_with("executors/t")));
}

#[test]
fn a_framework_whose_executors_are_all_over_is_a_completed_one() {
    let (mut old, container) = with_task();
    old.call(build::update("t", "t", TaskFinished, 2));
    let update = old.one_update();
    old.acknowledge(&update);
    old.exited(&container, 0);
    let mut edge = Edge::recovered(next_config(), left(&old), BTreeMap::new());
    let view = edge.view();
    assert!(view.frameworks.is_empty());
    assert_eq!(view.completed_frameworks[0].completed_executors[0].id, ExecutorId::from("t"));
    assert!(edge.collected.contains(&"slaves/master-S0/frameworks/master-0000".to_string()));
    assert!(edge.collected.contains(&"meta/slaves/master-S0/frameworks/master-0000".to_string()));
    assert_eq!(reregister(&mut edge).completed_frameworks.len(), 1);
}

#[test]
fn a_file_of_an_old_version_is_brought_up_to_date() {
    let (old, container) = with_task();
    let mut past = left(&old);
    let framework = &mut past.agent.as_mut().unwrap().frameworks[0];
    framework.info.id = None;
    let executor = &mut framework.executors[0];
    executor.info.resources.iter_mut().for_each(|resource| resource.allocation_info = None);
    executor.runs[0].tasks[0].task.resources.iter_mut().for_each(|resource| resource.allocation_info = None);
    let edge = Edge::recovered(next_config(), past, running(&[&container]));
    let kinds: Vec<&Record> = edge.records.iter().map(|(_, record)| record).collect();
    let [Record::Executor { info, .. }, Record::Task { task, .. }, Record::Framework { info: framework, .. }] =
        kinds[..]
    else {
        panic!("{kinds:?}")
    };
    for resource in info.resources.iter().chain(&task.resources) {
        assert_eq!(resource.allocation_info.as_ref().unwrap().role(), "web");
    }
    assert_eq!(framework.id, Some(build::framework_id()));
    let Some(ContainerCommand::Recover { runs }) = edge.containers.first() else { panic!() };
    assert!(runs[0].resources.iter().all(|resource| resource.allocation_info.is_some()));
}
