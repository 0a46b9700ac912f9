use messor_agent_core::{ContainerCommand, Event, ExecutorState, Timer};
use messor_proto::mesos::executor::event;
use messor_proto::mesos::{
    CommandInfo, DurationInfo, Environment, KillPolicy, TaskState, command_info, environment,
};
use messor_stdx::Duration;

use crate::build;
use crate::edge::Edge;

#[test]
fn a_command_task_gets_a_command_executor() {
    let mut edge = Edge::registered();
    let mut task = build::command_task("t");
    task.kill_policy = Some(KillPolicy { grace_period: Some(DurationInfo { nanoseconds: 3_000_000_000 }) });
    task.command = Some(CommandInfo {
        value: Some("echo hello; sleep 1000".into()),
        user: Some("alice".into()),
        uris: vec![command_info::Uri { value: "http://x/y.tgz".into(), ..command_info::Uri::default() }],
        ..CommandInfo::default()
    });
    edge.master_says(build::run(build::framework(), task.clone()));
    let launch = edge.launch();
    assert_eq!(launch.executor_id.as_str(), "t");
    assert_eq!(
        launch.executor.name.as_deref(),
        Some("Command Executor (Task: t) (Command: sh -c 'echo hello; ...')")
    );
    #[allow(deprecated)]
    let source = launch.executor.source.as_deref();
    assert_eq!(source, Some("t"), "U110");
    assert_eq!(launch.command.value.as_deref(), Some("/usr/libexec/mesos/mesos-executor"));
    assert_eq!(launch.command.shell, Some(false));
    assert_eq!(launch.command.arguments, ["mesos-executor", "--launcher_dir=/usr/libexec/mesos"]);
    assert_eq!(launch.task.as_ref().map(|task| task.task_id.value.as_str()), Some("t"));
    assert_eq!(launch.user.as_deref(), Some("alice"));
    assert_eq!(launch.executor.shutdown_grace_period.unwrap().nanoseconds, 5_000_000_000);
    let amounts: Vec<(&str, f64)> = launch
        .resources
        .iter()
        .map(|resource| (resource.name.as_str(), resource.scalar.unwrap().value))
        .collect();
    assert_eq!(amounts, [("cpus", 0.1), ("mem", 32.0), ("cpus", 1.0), ("mem", 64.0)]);
    assert!(launch.resources.iter().all(|found| found.allocation_info.as_ref().unwrap().role() == "web"));
    let directory =
        format!("slaves/master-S0/frameworks/master-0000/executors/t/runs/{}", launch.container.value());
    assert_eq!(launch.directory, directory);
    assert_eq!(launch.uris[0].sandbox_directory, format!("/var/lib/mesos/{directory}"));
    assert_eq!(launch.uris[0].items[0].uri.value, "http://x/y.tgz");
    assert!(!launch.checkpoint);
    assert!(edge.records.len() <= 1, "nothing of a framework that does not checkpoint is written");
    assert!(edge.kept.contains(&"slaves/master-S0/frameworks/master-0000/executors/t".to_string()));
}

/// U062: an executor inherits nothing of the agent's environment.
#[test]
fn the_environment_is_that_of_1_11_0() {
    let mut edge = Edge::with(|config| {
        config.executor_environment_variables =
            vec![("JAVA_HOME".into(), "/jdk".into()), ("MESOS_CHECKPOINT".into(), "maybe".into())];
        config.native_library = Some("/usr/lib/libmesos.so".into());
        config.libprocess_ip = Some("10.0.0.7".into());
    });
    edge.register();
    let mut task = build::command_task("t");
    let variable = |name: &str, value: &str| environment::Variable {
        name: name.into(),
        value: Some(value.into()),
        ..environment::Variable::default()
    };
    let variables = vec![variable("GREETING", "hello"), variable("PATH", "/opt/bin")];
    task.command.as_mut().unwrap().environment = Some(Environment { variables });
    edge.master_says(build::run(build::checkpointing(), task.clone()));
    let launch = edge.launch();
    let expected = [
        ("GREETING", "hello"),
        ("JAVA_HOME", "/jdk"),
        ("LIBPROCESS_IP", "10.0.0.7"),
        ("LIBPROCESS_PORT", "0"),
        ("MESOS_AGENT_ENDPOINT", "10.0.0.7:5051"),
        ("MESOS_CHECKPOINT", "1"),
        ("MESOS_DIRECTORY", &format!("/var/lib/mesos/{}", launch.directory)),
        ("MESOS_EXECUTOR_ID", "t"),
        ("MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD", "5secs"),
        ("MESOS_FRAMEWORK_ID", "master-0000"),
        ("MESOS_HTTP_COMMAND_EXECUTOR", "1"),
        ("MESOS_NATIVE_JAVA_LIBRARY", "/usr/lib/libmesos.so"),
        ("MESOS_NATIVE_LIBRARY", "/usr/lib/libmesos.so"),
        ("MESOS_RECOVERY_TIMEOUT", "15mins"),
        ("MESOS_SLAVE_ID", "master-S0"),
        ("MESOS_SLAVE_PID", "slave(1)@10.0.0.7:5051"),
        ("MESOS_SUBSCRIPTION_BACKOFF_MAX", "2secs"),
        ("PATH", "/opt/bin"),
    ];
    let expected: Vec<(String, String)> =
        expected.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    assert_eq!(launch.environment, expected);

    let mut edge = Edge::registered();
    edge.master_says(build::run(build::framework(), build::command_task("t")));
    let launch = edge.launch();
    let value = |name: &str| {
        launch.environment.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    };
    assert_eq!(value("PATH"), Some("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"));
    assert_eq!(value("MESOS_CHECKPOINT"), Some("0"));
    assert_eq!(value("MESOS_RECOVERY_TIMEOUT"), None);
}

#[test]
fn an_image_s_sandbox_and_user_are_told_to_the_command_executor() {
    use messor_proto::mesos::{ContainerInfo, Image, container_info};
    let mut edge = Edge::registered();
    let mut task = build::command_task("t");
    task.container = Some(Box::new(ContainerInfo {
        r#type: container_info::Type::Mesos.into(),
        mesos: Some(container_info::MesosInfo { image: Some(Image::default()) }),
        ..ContainerInfo::default()
    }));
    edge.master_says(build::run(build::framework(), task.clone()));
    let launch = edge.launch();
    assert_eq!(launch.command.arguments[2..], ["--sandbox_directory=/mnt/mesos/sandbox", "--user=nobody"]);
    assert_eq!(launch.container_info.as_ref(), task.container.as_deref());
}

#[test]
fn without_switch_user_everything_runs_as_the_agent() {
    let mut edge = Edge::with(|config| config.switch_user = false);
    edge.register();
    edge.master_says(build::run(build::framework(), build::command_task("t")));
    assert_eq!(edge.launch().user, None);
}

#[test]
fn the_default_container_is_for_executors_without_one() {
    use messor_proto::mesos::{ContainerInfo, container_info};
    let container = ContainerInfo { r#type: container_info::Type::Mesos.into(), ..ContainerInfo::default() };
    let mut edge = Edge::with(|config| config.default_container_info = Some(container.clone()));
    edge.register();
    edge.master_says(build::run(build::framework(), build::command_task("t")));
    assert_eq!(edge.launch().container_info, Some(container));
}

#[test]
fn one_executor_runs_many_tasks() {
    let mut edge = Edge::registered();
    let executor = build::executor("e");
    edge.master_says(build::run(build::framework(), build::executor_task("one", executor.clone())));
    edge.master_says(build::run(build::framework(), build::executor_task("two", executor.clone())));
    let launch = edge.launch();
    assert_eq!(launch.task, None, "a custom executor is told of its tasks when it subscribes");
    assert_eq!(launch.command.value.as_deref(), Some("./executor"));
    edge.launched(&launch.container, 77);
    assert_eq!(edge.metric("slave/tasks_staging"), 2.0);
    assert_eq!(edge.metric("slave/executors_registering"), 1.0);

    edge.subscribe(build::subscribe("e"));
    assert_eq!(edge.event_types(), [event::Type::Subscribed, event::Type::Launch, event::Type::Launch]);
    edge.containers.clear();
    edge.master_says(build::run(build::framework(), build::executor_task("three", executor)));
    let [ContainerCommand::Update { container, resources, limits }] = &edge.containers[..] else {
        panic!("no update in {:?}", edge.containers)
    };
    assert_eq!(container, &launch.container);
    assert!(limits.is_empty());
    let cpus: f64 = resources
        .iter()
        .filter(|resource| resource.name == "cpus")
        .map(|resource| resource.scalar.unwrap().value)
        .sum();
    assert_eq!(cpus, 3.5);
    assert_eq!(edge.event_types(), [event::Type::Launch]);

    let view = edge.view();
    let executor = &view.frameworks[0].executors[0];
    assert_eq!(executor.state, ExecutorState::Running);
    assert_eq!(executor.launched_tasks.len(), 3);
    assert!(!executor.command_executor);
    assert_eq!(edge.metric("slave/cpus_used"), 3.5);
    assert_eq!(edge.metric("slave/cpus_percent"), 3.5 / 64.0);
    assert_eq!(edge.metric("slave/cpus_total"), 64.0);
    assert_eq!(edge.metric("slave/frameworks_active"), 1.0);
}

#[test]
fn a_subscribed_executor_learns_who_it_is() {
    let mut edge = Edge::registered();
    let (container, stream) = edge.run_command("t");
    let subscribed = edge.events.remove(0);
    assert_eq!(subscribed.0, stream);
    let subscribed = subscribed.1.subscribed.unwrap();
    assert_eq!(subscribed.executor_info.executor_id.value, "t");
    assert_eq!(subscribed.framework_info.name, "framework");
    assert_eq!(subscribed.agent_info.id, Some(build::agent_id()));
    assert_eq!(subscribed.container_id.unwrap().value, container.value());
    let launch = edge.events.remove(0).1.launch.unwrap();
    assert_eq!(launch.task.task_id.value, "t");
    assert!(!edge.timers.keys().any(|timer| matches!(timer, Timer::ExecutorRegister(..))));
}

#[test]
fn resources_of_old_masters_are_brought_up_to_date() {
    let mut edge = Edge::registered();
    let mut framework = build::framework();
    framework.capabilities.clear();
    framework.roles.clear();
    #[allow(deprecated)]
    let (mut task, role) = (build::command_task("t"), framework.role.insert("ads".into()).clone());
    task.resources = vec![build::scalar("cpus", 1.0)];
    edge.master_says(build::run(framework, task));
    let launch = edge.launch();
    assert!(launch.resources.iter().all(|found| found.allocation_info.as_ref().unwrap().role() == role));
}

#[test]
fn an_executor_that_does_not_register_in_time_is_destroyed() {
    use messor_proto::mesos::task_status::Reason;
    let mut edge = Edge::registered();
    edge.master_says(build::run(build::framework(), build::command_task("t")));
    let container = edge.launch().container;
    edge.launched(&container, 1);
    edge.advance(Duration::from_secs(59));
    assert!(edge.destroyed().is_empty());
    edge.advance(Duration::from_secs(1));
    assert_eq!(edge.destroyed(), std::slice::from_ref(&container));
    edge.exited(&container, 9);
    let update = edge.one_update();
    assert_eq!(update.status.state(), TaskState::TaskFailed);
    assert_eq!(update.status.reason(), Reason::ExecutorRegistrationTimeout);
    assert_eq!(update.status.message.as_deref(), Some("Executor did not register within 1mins"));
}

#[test]
fn a_timer_of_an_earlier_run_is_nothing() {
    let mut edge = Edge::registered();
    edge.run_command("t");
    let (framework, executor) = ("master-0000".into(), "t".into());
    let other = messor_types::ContainerId::new("other");
    edge.event(Event::Timer(Timer::ExecutorRegister(framework, executor, other)));
    edge.event(Event::Timer(Timer::ExecutorShutdown(
        "none".into(),
        "t".into(),
        messor_types::ContainerId::new("c"),
    )));
    assert!(edge.destroyed().is_empty());
}
