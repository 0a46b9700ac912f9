//! What an agent remembers is bounded.

use messor_proto::mesos::FrameworkId;
use messor_proto::mesos::TaskState::TaskFinished;

use crate::build;
use crate::edge::Edge;

/// Runs a task of a framework to its end.
fn run_to_the_end(edge: &mut Edge, framework: &str, task: &str) {
    let mut message = build::run(build::framework(), build::command_task(task));
    message.framework.id = Some(FrameworkId { value: framework.into() });
    edge.master_says(message);
    let container = edge.launch().container;
    edge.launched(&container, 1);
    let mut subscribe = build::subscribe(task);
    subscribe.framework_id.value = framework.into();
    edge.subscribe(subscribe);
    let mut update = build::update(task, task, TaskFinished, 1);
    update.framework_id.value = framework.into();
    edge.call(update);
    let update = edge.one_update();
    edge.acknowledge(&update);
    edge.exited(&container, 0);
}

#[test]
fn completed_frameworks_are_bounded() {
    let mut edge = Edge::registered();
    for number in 0..60 {
        run_to_the_end(&mut edge, &format!("framework-{number}"), "t");
    }
    let completed = edge.view().completed_frameworks;
    assert_eq!(completed.len(), 50);
    assert_eq!(completed[0].id.as_str(), "framework-10");
}

#[test]
fn completed_executors_are_bounded() {
    for (limit, kept) in [(3, 3), (0, 0)] {
        let mut edge = Edge::with(|config| config.max_completed_executors_per_framework = limit);
        edge.register();
        for number in 0..5 {
            run_to_the_end(&mut edge, build::FRAMEWORK, &format!("t{number}"));
        }
        let completed = edge.view().completed_frameworks;
        assert_eq!(completed[0].completed_executors.len(), kept);
        if let Some(oldest) = completed[0].completed_executors.first() {
            assert_eq!(oldest.id.as_str(), "t2");
        }
    }
}

#[test]
fn completed_tasks_are_bounded() {
    let mut edge = Edge::registered();
    edge.master_says(build::run(build::framework(), build::executor_task("first", build::executor("e"))));
    let container = edge.launch().container;
    edge.launched(&container, 1);
    edge.subscribe(build::subscribe("e"));
    for number in 0..210u8 {
        let task = format!("t{number}");
        edge.master_says(build::run(build::framework(), build::executor_task(&task, build::executor("e"))));
        edge.call(build::update("e", &task, TaskFinished, number));
        let update = edge.one_update();
        edge.acknowledge(&update);
    }
    let view = edge.view();
    let executor = &view.frameworks[0].executors[0];
    assert_eq!(executor.completed_tasks.len(), 200);
    assert_eq!(executor.completed_tasks[0].task_id.value, "t10");
    assert_eq!(executor.launched_tasks.len(), 1);
}
