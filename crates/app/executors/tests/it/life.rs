//! Commands that end, and commands that are ended.

use messor_linux::{Signal, procfs};
use messor_proto::mesos::environment::Variable;
use messor_proto::mesos::resource::AllocationInfo;
use messor_proto::mesos::task_status::{Reason, Source};
use messor_proto::mesos::{CommandInfo, Environment, Resource, TaskInfo, TaskState};

use crate::agent::Agent;
use crate::run::Run;
use crate::{grace, milliseconds, shell, task};

#[test]
fn a_command_that_succeeds() {
    // U032: TASK_STARTING comes first. U050: the token is shown to the agent, and to nobody else.
    let agent = Agent::start();
    let mut run = Run::start(&agent, &[("MESOS_EXECUTOR_AUTHENTICATION_TOKEN", "a.b.c")]);
    let (call, head, _) = agent.call();
    assert!(head.starts_with("POST /slave(1)/api/v1/executor HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("\r\nAuthorization: Bearer a.b.c\r\n"), "{head}");
    assert!(head.contains("\r\nAccept: application/x-protobuf\r\n"), "{head}");
    assert_eq!((call.framework_id.value.as_str(), call.executor_id.value.as_str()), ("f", "t"));

    let environment = Environment {
        variables: vec![Variable { name: "MINE".into(), value: Some("1".into()), ..Variable::default() }],
    };
    let command = CommandInfo {
        environment: Some(environment),
        ..shell(
            "pwd; echo \"$MINE|$MESOS_ALLOCATION_ROLE|$MESOS_SANDBOX|$MESOS_EXECUTOR_AUTHENTICATION_TOKEN\"",
        )
    };
    let allocation_info = Some(AllocationInfo { role: Some("web".to_string()) });
    let resources = vec![Resource { name: "cpus".into(), allocation_info, ..Resource::default() }];
    agent.launch(TaskInfo { command: Some(command), resources, ..task("") });
    assert_eq!(agent.updated().0, TaskState::TaskStarting);
    assert_eq!(agent.updated().0, TaskState::TaskRunning);
    let (state, status) = agent.updated();
    assert_eq!((state, status.reason), (TaskState::TaskFinished, None));
    assert_eq!(status.message.as_deref(), Some("Command exited with status 0"));
    assert_eq!(status.source, Some(Source::Executor as i32));
    assert!(status.uuid.unwrap().len() == 16 && status.timestamp.unwrap() > 1.6e9);
    assert!(run.ends_well());
    let sandbox = run.sandbox.path().to_str().unwrap().to_string();
    assert_eq!(run.rest(), format!("{sandbox}\n1|web|{sandbox}|\n"));
}

#[test]
fn a_command_that_fails() {
    let agent = Agent::start();
    let mut run = Run::subscribed(&agent, &[]);
    agent.launch_and_run(task("exit 3"));
    let (state, status) = agent.updated();
    assert_eq!(
        (state, status.message.as_deref()),
        (TaskState::TaskFailed, Some("Command exited with status 3"))
    );
    assert!(run.ends_well());
}

#[test]
fn a_program_with_arguments_and_one_that_is_not_there() {
    let agent = Agent::start();
    let mut run = Run::subscribed(&agent, &[]);
    let arguments = ["name", "-c", "echo \"$0\"", "a b"].map(String::from).to_vec();
    let command = CommandInfo { shell: Some(false), arguments, ..shell("sh") };
    agent.launch_and_run(TaskInfo { command: Some(command), ..task("") });
    assert_eq!(agent.updated().0, TaskState::TaskFinished);
    assert!(run.ends_well());
    assert_eq!(run.rest(), "a b\n");

    let agent = Agent::start();
    let mut run = Run::subscribed(&agent, &[]);
    let command = CommandInfo { shell: Some(false), ..shell("/no/such/program") };
    agent.launch_and_run(TaskInfo { command: Some(command), ..task("") });
    let (state, status) = agent.updated();
    assert_eq!(state, TaskState::TaskFailed);
    let message = status.message.unwrap();
    assert!(
        message.starts_with("Command exited with status 1: could not execute '/no/such/program'"),
        "{message}"
    );
    assert!(run.ends_well());
}

#[test]
fn flags_change_the_task() {
    let agent = Agent::start();
    let flags = [
        "--launcher_dir=/usr/libexec/mesos",
        r#"--task_command={"value":"id -un; echo $FROM"}"#,
        r#"--task_environment={"variables":[{"name":"FROM","value":"flag"}]}"#,
        "--user=nobody",
    ];
    let mut run = Run::start_with(&agent, &flags, &[]);
    agent.subscription();
    agent.launch_and_run(task("echo not this"));
    assert_eq!(agent.updated().0, TaskState::TaskFinished);
    assert!(run.ends_well());
    assert_eq!(run.rest(), "nobody\nflag\n");
}

#[test]
fn what_is_not_built_is_refused() {
    let agent = Agent::start();
    for flag in ["--rootfs=/x", "--sandbox_directory=/mnt/mesos/sandbox", "--nonsense"] {
        assert!(!Run::start_with(&agent, &[flag], &[]).ends_well(), "{flag}");
    }
    assert!(!Run::start(&agent, &[("MESOS_CHECKPOINT", "1")]).ends_well(), "no recovery timeout");
}

#[test]
fn a_kill_gives_the_task_its_grace() {
    let agent = Agent::start();
    let mut run = Run::subscribed(&agent, &[]);
    agent.launch_and_run(task("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 60 & wait; done"));
    assert_eq!(run.line(), "up");
    agent.kill(Some(grace(60_000)));
    assert_eq!(agent.updated().0, TaskState::TaskKilling);
    let (state, status) = agent.updated();
    assert_eq!((state, status.reason), (TaskState::TaskKilled, None));
    assert_eq!(status.message.as_deref(), Some("Command exited with status 7"));
    assert!(run.ends_well());
    assert_eq!(run.rest(), "bye\n");
}

/// Ignores SIGTERM in every process: a child in the group, one in a session of its own, one that forked twice, and one
/// that did both. Writes "up" once for each of the five.
const STUBBORN: &str = "trap '' TERM; \
    run() { echo up; while :; do sleep 60; done; }; \
    run & \
    setsid sh -c 'echo up; while :; do sleep 60; done' & \
    (run &) ; \
    (setsid sh -c 'echo up; while :; do sleep 60; done' &) ; \
    run";

#[test]
fn a_stubborn_tree_is_killed_whole() {
    let agent = Agent::start();
    let mut run = Run::subscribed(&agent, &[]);
    agent.launch_and_run(task(STUBBORN));
    for _ in 0..5 {
        assert_eq!(run.line(), "up");
    }
    agent.kill(Some(grace(100)));
    assert_eq!(agent.updated().0, TaskState::TaskKilling);
    let (state, status) = agent.updated();
    assert_eq!(state, TaskState::TaskKilled);
    assert_eq!(status.message.as_deref(), Some("Command terminated with signal Killed"));
    assert!(run.ends_well());
    assert_eq!(run.rest(), "", "this ends when the last of them is gone");
}

#[test]
fn what_a_task_leaves_behind_goes_with_it() {
    let agent = Agent::start();
    let mut run = Run::subscribed(&agent, &[]);
    // The task waits until the one it leaves behind is there.
    agent.launch_and_run(task(
        "mkfifo go; (setsid sh -c 'echo up; echo > go; exec sleep 600' &); read -r line < go",
    ));
    assert_eq!(run.line(), "up");
    assert_eq!(agent.updated().0, TaskState::TaskFinished);
    assert!(run.ends_well());
    assert_eq!(run.rest(), "");
}

#[test]
fn a_task_that_runs_too_long() {
    let agent = Agent::start();
    let mut run = Run::subscribed(&agent, &[]);
    agent.launch_and_run(TaskInfo { max_completion_time: Some(milliseconds(200)), ..task("exec sleep 600") });
    let (state, status) = agent.updated();
    assert_eq!(
        (state, status.reason),
        (TaskState::TaskFailed, Some(Reason::MaxCompletionTimeReached as i32))
    );
    assert!(status.message.unwrap().starts_with("Command terminated with signal "));
    assert!(run.ends_well());
}

#[test]
fn shutdown_and_sigterm_kill_the_task() {
    for by_signal in [false, true] {
        let agent = Agent::start();
        let mut run = Run::subscribed(&agent, &[]);
        agent.launch_and_run(task("echo up; exec sleep 600"));
        assert_eq!(run.line(), "up");
        if by_signal {
            run.signal(Signal::TERM);
        } else {
            agent.shutdown();
        }
        assert_eq!(agent.updated().0, TaskState::TaskKilling);
        let (state, status) = agent.updated();
        assert_eq!(state, TaskState::TaskKilled);
        assert_eq!(status.message.as_deref(), Some("Command terminated with signal Terminated"));
        assert!(run.ends_well());
        assert_eq!(run.rest(), "");
    }
}

#[test]
fn shutdown_without_a_task() {
    let agent = Agent::start();
    let mut run = Run::subscribed(&agent, &[]);
    agent.shutdown();
    assert!(run.ends_well());
}

/// The limits are those of the product (1.5 MB and 10 MB); this binary is not optimised, so it is only less good.
#[test]
fn an_idle_executor_is_small() {
    let agent = Agent::start();
    let mut run = Run::subscribed(&agent, &[]);
    agent.launch_and_run(task("echo up; exec sleep 600"));
    assert_eq!(run.line(), "up");
    let pid = run.pid().as_raw_nonzero();
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let kilobytes = |name: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let (anonymous, resident) = (kilobytes("Anonymous:"), kilobytes("Rss:"));
    println!("idle executor: {anonymous} kB anonymous, {resident} kB resident");
    assert!(anonymous <= 1536 && resident <= 10240, "{anonymous} kB anonymous, {resident} kB resident");
    let me = procfs::process(pid.get()).unwrap().unwrap();
    assert_eq!(me.threads, 1);
    agent.kill(None);
    assert_eq!(agent.updated().0, TaskState::TaskKilling);
    assert_eq!(agent.updated().0, TaskState::TaskKilled);
    assert!(run.ends_well());
}
