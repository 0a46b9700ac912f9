//! Tasks that are not run, and orders that are not carried out yet.

use messor_agent_core::ContainerCommand;
use messor_proto::mesos::TaskState::{TaskDropped, TaskFinished, TaskLost};
use messor_proto::mesos::internal::{ExitedExecutorMessage, ResourceVersionUuid, RunTaskMessage};
use messor_proto::mesos::task_status::{Reason, Source};
use messor_proto::mesos::{Environment, Resource, TaskInfo, Uuid, environment, resource, value};

use crate::build::{self, pid};
use crate::edge::Edge;

/// State, reason and message of the update that refuses a task.
fn refused(message: RunTaskMessage) -> (i32, Reason, String, Edge) {
    let mut edge = Edge::registered();
    edge.master_says(message);
    assert!(!edge.containers.iter().any(|command| matches!(command, ContainerCommand::Launch(_))));
    let update = edge.one_update();
    assert_eq!(update.status.source(), Source::Agent);
    let found = (update.status.state, update.status.reason(), update.status.message.clone().unwrap());
    assert_eq!(edge.view().frameworks.len(), 1, "the framework stays until it has heard");
    edge.acknowledge(&update);
    assert!(edge.view().frameworks.is_empty());
    (found.0, found.1, found.2, edge)
}

fn of(change: impl FnOnce(&mut TaskInfo)) -> RunTaskMessage {
    let mut task = build::command_task("t");
    change(&mut task);
    build::run(build::framework(), task)
}

#[test]
fn tasks_that_no_agent_can_run_are_dropped() {
    let dropped = i32::from(TaskDropped);
    let (state, reason, text, _) = refused(of(|task| task.command = None));
    assert_eq!((state, reason), (dropped, Reason::TaskInvalid));
    assert!(text.contains("'command' or 'executor'"));
    let (_, reason, _, _) = refused(of(|task| task.executor = Some(build::executor("e"))));
    assert_eq!(reason, Reason::TaskInvalid);
    let (_, reason, text, _) = refused(of(|task| {
        task.resources.push(Resource {
            allocation_info: Some(resource::AllocationInfo { role: Some("other".into()) }),
            ..build::scalar("disk", 1.0)
        })
    }));
    assert_eq!(reason, Reason::TaskInvalid);
    assert!(text.contains("same role"));
    let (_, reason, text, _) = refused(of(|task| {
        task.command = None;
        task.executor = Some(build::executor("../x"));
    }));
    assert_eq!(reason, Reason::TaskInvalid);
    assert!(text.contains("executor's ID"));
    let (_, reason, text, _) = refused(of(|task| task.resources[0].scalar = None));
    assert_eq!(reason, Reason::TaskInvalid);
    assert!(text.contains("task's resources"), "{text}");

    let mut message = of(|task| task.resources = vec![build::scalar("cpus", 1.0)]);
    message.framework.roles = vec!["a".into(), "b".into()];
    let (_, reason, text, _) = refused(message);
    assert_eq!(reason, Reason::TaskInvalid);
    assert!(text.contains("allocation_info.role"));

    let mut message = of(|task| task.command = None);
    message.framework.capabilities.clear();
    assert_eq!(refused(message).0, i32::from(TaskLost), "for frameworks that know nothing of partitions");
}

#[test]
fn limits_need_an_isolator() {
    let limit = |name: &str| {
        let limits = [(name.to_string(), value::Scalar { value: 2.0 })];
        of(move |task| task.limits = limits.into_iter().collect())
    };
    let (_, reason, text, _) = refused(limit("cpus"));
    assert_eq!(reason, Reason::GcError, "as 1.11.0");
    assert!(text.contains("'cgroups/cpu'"));
    assert!(refused(limit("mem")).2.contains("'cgroups/mem'"));
    let mut edge = Edge::with(|config| config.isolation = "cgroups/all".into());
    edge.register();
    edge.master_says(limit("mem"));
    // With the executor's own share.
    let limits = edge.launch().limits;
    assert!(limits["mem"] > 2.0 && limits.len() == 1, "{limits:?}");
    let queued = edge.view().frameworks[0].executors[0].queued_tasks[0].clone();
    assert_eq!(queued.limits["mem"].value, 2.0);
}

#[test]
fn tasks_on_resources_that_the_agent_does_not_know_are_dropped() {
    let dynamic = resource::ReservationInfo {
        r#type: Some(resource::reservation_info::Type::Dynamic.into()),
        role: Some("web".into()),
        ..resource::ReservationInfo::default()
    };
    let (_, reason, text, _) = refused(of(|task| task.resources[0].reservations = vec![dynamic]));
    assert_eq!(reason, Reason::ResourcesUnknown);
    assert_eq!(text, "The checkpointed resources being used by the task are unknown to the agent");

    let mut message = of(|_| {});
    message.resource_version_uuids =
        vec![ResourceVersionUuid { resource_provider_id: None, uuid: Uuid { value: vec![0; 16] } }];
    let (_, reason, text, _) = refused(message);
    assert_eq!((reason, text.as_str()), (Reason::InvalidOffers, "Task assumes outdated resource state"));
}

#[test]
fn static_reservations_are_the_agent_s_own() {
    let reserved = resource::ReservationInfo {
        r#type: Some(resource::reservation_info::Type::Static.into()),
        role: Some("web".into()),
        ..resource::ReservationInfo::default()
    };
    let mut edge = Edge::with(|config| config.info.resources[0].reservations = vec![reserved.clone()]);
    edge.register();
    edge.master_says(of(|task| task.resources[0].reservations = vec![reserved]));
    edge.launch();
}

/// They are resolved by an isolator, and nothing else of the agent puts them anywhere.
#[test]
fn secrets_are_left_to_the_containerizer() {
    let variable = environment::Variable {
        name: "PASSWORD".into(),
        r#type: Some(environment::variable::Type::Secret.into()),
        ..environment::Variable::default()
    };
    for framework in [build::framework(), build::checkpointing()] {
        let mut edge = Edge::registered();
        let mut task = build::command_task("t");
        let own = Environment { variables: vec![variable.clone()] };
        task.command.as_mut().unwrap().environment = Some(own.clone());
        edge.master_says(build::run(framework, task));
        let launch = edge.launch();
        assert!(launch.environment.iter().all(|(name, _)| name != "PASSWORD"));
        assert_eq!(launch.command.environment, Some(own));
    }
}

#[test]
fn the_master_s_idea_of_an_executor_is_checked() {
    let custom = |task: &str, launch: bool| {
        let mut message = build::run(build::framework(), build::executor_task(task, build::executor("e")));
        message.launch_executor = Some(launch);
        message
    };
    let mut edge = Edge::registered();
    edge.master_says(custom("early", false));
    let update = edge.one_update();
    assert_eq!(update.status.reason(), Reason::ExecutorTerminated);
    assert_eq!(
        update.status.message.as_deref(),
        Some("No executor is expected to launch and there is none running")
    );
    assert!(edge.take::<ExitedExecutorMessage>().is_empty());

    edge.master_says(custom("one", true));
    let container = edge.launch().container;
    edge.launched(&container, 1);
    edge.subscribe(build::subscribe("e"));
    edge.master_says(custom("two", false));
    assert_eq!(edge.view().frameworks[0].executors[0].launched_tasks.len(), 2);

    // One that the master knows nothing of is shut down.
    edge.events.clear();
    edge.master_says(custom("three", true));
    assert_eq!(
        edge.one_update().status.message.as_deref(),
        Some("Master wants to launch executor, but one already exists")
    );
    assert_eq!(edge.event_types(), [messor_proto::mesos::executor::event::Type::Shutdown]);
    let mut old = custom("four", true);
    old.launch_executor = None;
    edge.master_says(old.clone());
    assert_eq!(edge.one_update().status.message.as_deref(), Some("Executor terminating"));

    edge.exited(&container, 0);
    edge.sent.clear();
    old.task.task_id = build::task_id("five");
    edge.master_says(old);
    assert_eq!(edge.one_update().status.message.as_deref(), Some("Executor terminated"));
    edge.master_says(custom("six", true));
    assert_eq!(edge.one::<ExitedExecutorMessage>().executor_id.value, "e");
}

#[test]
fn an_id_of_a_task_is_used_once_at_a_time() {
    let mut edge = Edge::registered();
    edge.run_command("t");
    let again = || build::run(build::framework(), build::command_task("t"));
    edge.master_says(again());
    assert!(edge.log.iter().any(|line| line.contains("one of this ID runs here")));
    assert!(edge.updates().is_empty(), "the task that runs goes on");

    edge.call(build::update("t", "t", TaskFinished, 1));
    let first = edge.one_update();
    edge.master_says(again());
    assert!(edge.updates().is_empty(), "its refusal waits in the stream of the first");
    edge.acknowledge(&first);
    let refusal = edge.one_update();
    assert_eq!((refusal.status.state(), refusal.status.reason()), (TaskDropped, Reason::TaskInvalid));
    edge.acknowledge(&refusal);
    assert_eq!(edge.view().frameworks[0].executors[0].completed_tasks.len(), 1);
}

#[test]
fn tasks_for_others_are_ignored() {
    let mut edge = Edge::registered();
    edge.message(&pid("master@10.0.0.2:5050"), of(|_| {}));
    edge.master_says(of(|task| task.agent_id.value = "master-S7".into()));
    edge.master_says(of(|task| task.task_id.value = "a/b".into()));
    let mut message = of(|_| {});
    message.framework.id = None;
    edge.master_says(message);
    let mut message = of(|_| {});
    message.framework.id.as_mut().unwrap().value = "..".into();
    edge.master_says(message);
    assert!(edge.sent.is_empty() && edge.containers.is_empty());
    assert!(edge.view().frameworks.is_empty());
}
