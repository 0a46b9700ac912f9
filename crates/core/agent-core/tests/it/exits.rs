use messor_agent_core::{ContainerCommand, ContainerEvent, Event, ExecutorState, LaunchFailure};
use messor_proto::mesos::TaskState::{TaskFailed, TaskFinished, TaskGone, TaskLost, TaskRunning};
use messor_proto::mesos::internal::ExitedExecutorMessage;
use messor_proto::mesos::slave::ContainerLimitation;
use messor_proto::mesos::task_status::{Reason, Source};
use messor_types::ContainerId;

use crate::build;
use crate::edge::Edge;

#[test]
fn a_finished_command_task_leaves_nothing_behind() {
    let mut edge = Edge::registered();
    let (container, stream) = edge.run_command("t");
    edge.call(build::update("t", "t", TaskFinished, 1));
    let update = edge.one_update();
    edge.acknowledge(&update);
    assert_eq!(edge.view().frameworks[0].executors[0].completed_tasks.len(), 1);
    edge.exited(&container, 0);
    assert!(edge.closed.contains(&stream));
    assert!(edge.take::<ExitedExecutorMessage>().is_empty(), "the master knows no command executors");
    let view = edge.view();
    assert!(view.frameworks.is_empty());
    let executor = &view.completed_frameworks[0].completed_executors[0];
    assert_eq!(executor.state, ExecutorState::Terminated);
    assert_eq!(executor.completed_tasks[0].task_id.value, "t");
    let run = format!("slaves/master-S0/frameworks/master-0000/executors/t/runs/{}", container.value());
    assert_eq!(
        edge.collected,
        [
            run.as_str(),
            "slaves/master-S0/frameworks/master-0000/executors/t",
            "slaves/master-S0/frameworks/master-0000"
        ]
    );
    assert!(edge.updates().is_empty());
    assert_eq!(edge.metric("slave/executors_terminated"), 1.0);

    // The same framework comes back, and what it had is still shown.
    edge.master_says(build::run(build::framework(), build::command_task("u")));
    let view = edge.view();
    assert!(view.completed_frameworks.is_empty());
    assert_eq!(view.frameworks[0].completed_executors.len(), 1);
    assert!(edge.kept.contains(&"slaves/master-S0/frameworks/master-0000".to_string()));
}

#[test]
fn the_executor_waits_for_the_last_acknowledgement() {
    let mut edge = Edge::registered();
    let (container, _) = edge.run_command("t");
    edge.call(build::update("t", "t", TaskFinished, 1));
    edge.exited(&container, 0);
    let update = edge.one_update();
    assert_eq!(edge.view().frameworks[0].executors[0].state, ExecutorState::Terminated);
    edge.acknowledge(&update);
    assert!(edge.view().frameworks.is_empty());
}

#[test]
fn tasks_of_an_executor_that_ends_fail() {
    let mut edge = Edge::registered();
    edge.master_says(build::run(build::framework(), build::executor_task("one", build::executor("e"))));
    let container = edge.launch().container;
    edge.launched(&container, 5);
    edge.subscribe(build::subscribe("e"));
    edge.call(build::update("e", "one", TaskRunning, 1));
    let running = edge.one_update();
    edge.acknowledge(&running);
    edge.exited(&container, 256);
    let update = edge.one_update();
    assert_eq!(update.status.state(), TaskFailed);
    assert_eq!(update.status.reason(), Reason::ExecutorTerminated);
    assert_eq!(update.status.source(), Source::Agent);
    assert_eq!(update.status.message.as_deref(), Some("Executor terminated"));
    assert_eq!(update.status.executor_id, Some(build::executor_id("e")));
    assert_eq!(update.status.container_status, None, "its container is gone");
    // U084: the master tells the framework that the executor is lost.
    let exited: ExitedExecutorMessage = edge.one();
    assert_eq!((exited.executor_id.value.as_str(), exited.status), ("e", 256));
    assert!(edge.log.iter().any(|line| line.contains("exited with status 1")));
    assert_eq!(edge.metric("slave/tasks_failed"), 1.0);
}

#[test]
fn a_limitation_is_told_to_the_tasks() {
    let mut edge = Edge::registered();
    let (container, _) = edge.run_command("t");
    let limitation = ContainerLimitation {
        resources: vec![build::scalar("mem", 64.0)],
        message: Some("Memory limit exceeded".into()),
        reason: Some(Reason::ContainerLimitationMemory.into()),
    };
    edge.event(Event::Container(ContainerEvent::Exited {
        container,
        status: Some(9),
        limitation: Some(Box::new(limitation)),
    }));
    let update = edge.one_update();
    assert_eq!(update.status.state(), TaskFailed);
    assert_eq!(update.status.reason(), Reason::ContainerLimitationMemory);
    assert_eq!(update.status.message.as_deref(), Some("Memory limit exceeded"));
    assert_eq!(update.status.limitation.unwrap().resources[0].name, "mem");
}

/// U033: an executor sees its task killed, the containerizer knows why; what it says counts, whoever comes first.
#[test]
fn a_task_killed_for_its_memory_is_told_of_by_the_agent() {
    let limitation = || {
        Some(Box::new(ContainerLimitation {
            reason: Some(Reason::ContainerLimitationMemory.into()),
            ..ContainerLimitation::default()
        }))
    };
    let begin = || {
        let mut edge = Edge::with(|config| config.limits_memory = true);
        edge.register();
        let (container, _) = edge.run_command("t");
        edge.containers.clear();
        edge.call(build::update("t", "t", TaskFailed, 7));
        let asked =
            matches!(&edge.containers[..], [ContainerCommand::Check { container: of }] if *of == container);
        assert!(asked, "{:?}", edge.containers);
        assert!(edge.updates().is_empty(), "nothing is said before the answer");
        (edge, container)
    };
    let checked = |container: &ContainerId, limitation| {
        Event::Container(ContainerEvent::Checked { container: container.clone(), limitation })
    };
    let exited = |container: &ContainerId, limitation| {
        Event::Container(ContainerEvent::Exited { container: container.clone(), status: Some(9), limitation })
    };

    let (mut edge, container) = begin();
    edge.event(checked(&container, limitation()));
    assert!(edge.updates().is_empty());
    edge.event(exited(&container, limitation()));
    let update = edge.one_update();
    assert_eq!(
        (update.status.state(), update.status.reason()),
        (TaskFailed, Reason::ContainerLimitationMemory)
    );

    // It simply failed: once, also where the executor repeats itself.
    let (mut edge, container) = begin();
    edge.call(build::update("t", "t", TaskFailed, 7));
    edge.event(checked(&container, None));
    let update = edge.one_update();
    assert_eq!((update.status.state(), update.status.source()), (TaskFailed, Source::Executor));
    edge.event(exited(&container, None));
    assert!(edge.updates().is_empty());

    // It ended for another reason in between: then what the executor said is the best that is known.
    for answer in [None, limitation()] {
        let (mut edge, container) = begin();
        if answer.is_some() {
            edge.event(checked(&container, answer));
        }
        edge.event(exited(&container, None));
        let update = edge.one_update();
        assert_eq!((update.status.state(), update.status.source()), (TaskFailed, Source::Executor));
    }
}

#[test]
fn a_failed_launch_fails_the_task() {
    for reason in [LaunchFailure::Fetch, LaunchFailure::Launch] {
        let mut edge = Edge::registered();
        edge.master_says(build::run(build::framework(), build::command_task("t")));
        let container = edge.launch().container;
        let message = "no such file".to_string();
        edge.event(Event::Container(ContainerEvent::LaunchFailed { container, reason, message }));
        let update = edge.one_update();
        assert_eq!(update.status.state(), TaskFailed);
        assert_eq!(update.status.reason(), Reason::ContainerLaunchFailed);
        assert_eq!(update.status.message.as_deref(), Some("Failed to launch container: no such file"));
        assert_eq!(edge.metric("slave/container_launch_errors"), 1.0);
        edge.acknowledge(&update);
        assert!(edge.view().frameworks.is_empty());
    }
}

#[test]
fn a_failed_update_of_a_container_ends_it() {
    for (framework, state) in [(build::framework(), TaskGone), (old(), TaskLost)] {
        let mut edge = Edge::registered();
        edge.master_says(build::run(framework, build::command_task("t")));
        let container = edge.launch().container;
        edge.launched(&container, 5);
        edge.subscribe(build::subscribe("t"));
        edge.containers.clear();
        let failed = ContainerEvent::UpdateFailed { container: container.clone(), message: "busy".into() };
        edge.event(Event::Container(failed));
        assert_eq!(edge.destroyed(), std::slice::from_ref(&container));
        edge.exited(&container, 9);
        let update = edge.one_update();
        assert_eq!((update.status.state(), update.status.reason()), (state, Reason::ContainerUpdateFailed));
        assert_eq!(update.status.message.as_deref(), Some("Failed to update resources for container: busy"));
    }
}

fn old() -> messor_proto::mesos::FrameworkInfo {
    let mut framework = build::framework();
    framework.capabilities.truncate(1);
    framework
}

#[test]
fn containers_that_nobody_wants_are_destroyed() {
    let mut edge = Edge::registered();
    let unknown = messor_types::ContainerId::new("unknown");
    edge.launched(&unknown, 5);
    assert_eq!(edge.destroyed(), std::slice::from_ref(&unknown));
    edge.exited(&unknown, 0);
    let failed = ContainerEvent::UpdateFailed { container: unknown.clone(), message: "x".into() };
    edge.event(Event::Container(failed));
    assert_eq!(edge.destroyed(), std::slice::from_ref(&unknown));
    let failed = ContainerEvent::LaunchFailed {
        container: unknown,
        reason: LaunchFailure::Fetch,
        message: "x".into(),
    };
    edge.event(Event::Container(failed));
    assert!(edge.updates().is_empty());
}
