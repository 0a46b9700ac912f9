//! The default executor as a process, with a fake agent whose nested containers are shells.

use std::time::{Duration, Instant};

use messor_proto::mesos::{CommandInfo, HealthCheck, TaskId, TaskInfo, TaskState, TaskStatus, health_check};

use crate::agent::{Agent, PATIENCE};
use crate::run::Run;
use crate::{grace, shell};

fn named(id: &str, command: &str) -> TaskInfo {
    TaskInfo {
        task_id: TaskId { value: id.to_string() },
        command: Some(shell(command)),
        ..TaskInfo::default()
    }
}

fn start(agent: &Agent, more: &[(&str, &str)]) -> Run {
    let run = Run::start_program("default_executor", agent, &["--launcher_dir=/usr/libexec/mesos"], more);
    agent.subscription();
    run
}

/// Updates until each of these tasks has ended, acknowledged: task and state.
fn told(agent: &Agent, tasks: &[&str]) -> Vec<(String, TaskState, TaskStatus)> {
    let mut all: Vec<(String, TaskState, TaskStatus)> = Vec::new();
    let ended = |all: &[(String, TaskState, TaskStatus)], task: &str| {
        let terminal = [TaskState::TaskFinished, TaskState::TaskFailed, TaskState::TaskKilled];
        all.iter().any(|(id, state, _)| id == task && terminal.contains(state))
    };
    while !tasks.iter().all(|task| ended(&all, task)) {
        let (state, status) = agent.updated();
        all.push((status.task_id.value.clone(), state, status));
    }
    all
}

fn of(all: &[(String, TaskState, TaskStatus)], task: &str) -> Vec<TaskState> {
    all.iter().filter(|(id, ..)| id == task).map(|(_, state, _)| *state).collect()
}

#[test]
fn a_group_runs_to_its_end() {
    let agent = Agent::start();
    let mut run = start(&agent, &[]);
    let variables = "test -n \"$MESOS_CONTAINER_IP\" && test \"${MESOS_ALLOCATION_ROLE-unset}\" != unset";
    agent.launch_group(vec![named("a", "exit 0"), named("b", variables)]);
    let all = told(&agent, &["a", "b"]);
    for task in ["a", "b"] {
        assert_eq!(
            of(&all, task),
            [TaskState::TaskStarting, TaskState::TaskRunning, TaskState::TaskFinished],
            "{all:?}"
        );
    }
    let container = all[0].2.container_status.clone().unwrap().container_id.unwrap();
    assert_eq!(container.parent.unwrap().value, "root");
    let link = std::fs::read_link(run.sandbox.path().join("tasks/a")).unwrap();
    assert_eq!(link, run.sandbox.path().join("containers").join(&container.value));
    assert!(run.ends_well());
}

#[test]
fn one_failure_ends_the_group() {
    let agent = Agent::start();
    let mut run = start(&agent, &[]);
    agent.launch_group(vec![named("a", "exit 3"), named("b", "exec sleep 1000")]);
    let all = told(&agent, &["a", "b"]);
    assert_eq!(of(&all, "a").last(), Some(&TaskState::TaskFailed));
    let expected =
        [TaskState::TaskStarting, TaskState::TaskRunning, TaskState::TaskKilling, TaskState::TaskKilled];
    assert_eq!(of(&all, "b"), expected);
    let message = |task: &str| {
        all.iter().rev().find(|(id, ..)| id == task).and_then(|(.., status)| status.message.clone()).unwrap()
    };
    assert_eq!(message("a"), "Command exited with status 3");
    assert_eq!(message("b"), "Command terminated with signal Terminated");
    assert!(run.ends_well());

    let agent = Agent::start();
    let mut run = start(&agent, &[]);
    agent.launch_group(vec![named("a", "refused"), named("b", "exec sleep 1000")]);
    let all = told(&agent, &["a", "b"]);
    assert_eq!(of(&all, "a"), [TaskState::TaskStarting, TaskState::TaskFailed]);
    assert_eq!(of(&all, "b").last(), Some(&TaskState::TaskKilled));
    assert!(all.iter().any(|(.., status)| status.message.as_deref() == Some("refused by the agent")));
    assert!(run.ends_well());
}

#[test]
fn what_does_not_listen_is_killed() {
    let agent = Agent::start();
    let mut run = start(&agent, &[]);
    agent.launch_group(vec![named("t", "trap '' TERM; while :; do sleep 0.1; done")]);
    while agent.updated().0 != TaskState::TaskRunning {}
    let begin = Instant::now();
    agent.kill(Some(grace(300)));
    let all = told(&agent, &["t"]);
    assert_eq!(of(&all, "t"), [TaskState::TaskKilling, TaskState::TaskKilled]);
    assert_eq!(all[1].2.message.as_deref(), Some("Command terminated with signal Killed"));
    assert!(begin.elapsed() >= Duration::from_millis(300));
    assert!(run.ends_well());
}

#[test]
fn health_checks_are_sessions_in_the_tasks_container() {
    let agent = Agent::start();
    let mut run = start(&agent, &[]);
    let folder = run.sandbox.path().join("healthy");
    let health_check = HealthCheck {
        r#type: Some(health_check::Type::Command as i32),
        command: Some(CommandInfo {
            value: Some(format!("test -e {}", folder.display())),
            ..CommandInfo::default()
        }),
        delay_seconds: Some(0.0),
        interval_seconds: Some(0.1),
        grace_period_seconds: Some(0.0),
        consecutive_failures: Some(1000),
        ..HealthCheck::default()
    };
    let task = TaskInfo { health_check: Some(Box::new(health_check)), ..named("t", "exec sleep 1000") };
    agent.launch_group(vec![task]);
    let healthy = |wanted: bool| {
        let begin = Instant::now();
        loop {
            let (state, status) = agent.updated();
            if status.healthy == Some(wanted) {
                return assert_eq!(state, TaskState::TaskRunning);
            }
            assert!(begin.elapsed() < PATIENCE);
        }
    };
    healthy(false);
    std::fs::write(&folder, "").unwrap();
    healthy(true);
    agent.kill(Some(grace(0)));
    told(&agent, &["t"]);
    assert!(run.ends_well());
    let removed = agent.containers().removed.lock().unwrap().clone();
    assert!(!removed.is_empty() && removed.iter().all(|id| id.ends_with("-health-check")), "{removed:?}");
}

#[test]
fn it_outlives_its_agent() {
    let agent = Agent::start();
    let more = [
        ("MESOS_CHECKPOINT", "1"),
        ("MESOS_RECOVERY_TIMEOUT", "1mins"),
        ("MESOS_SUBSCRIPTION_BACKOFF_MAX", "100ms"),
    ];
    let mut run = start(&agent, &more);
    agent.launch_group(vec![named("a", "exec sleep 1000"), named("b", "exec sleep 1000")]);
    let mut running = 0;
    while running < 2 {
        running += usize::from(agent.updated().0 == TaskState::TaskRunning);
    }
    agent.drop_connections();
    agent.welcomed();
    agent.containers().kill_all();
    let all = told(&agent, &["a", "b"]);
    let last: Vec<Option<&TaskState>> =
        ["a", "b"].map(|task| all.iter().rev().find(|(id, ..)| id == task).map(|(_, state, _)| state)).into();
    // Whichever is heard of first ends the group.
    assert!(last.contains(&Some(&TaskState::TaskFailed)), "{all:?}");
    assert!(run.ends_well());
}

#[test]
fn shutting_down_ends_all() {
    let agent = Agent::start();
    let mut run = start(&agent, &[]);
    agent.launch_group(vec![named("a", "exec sleep 1000"), named("b", "exec sleep 1000")]);
    let mut running = 0;
    while running < 2 {
        running += usize::from(agent.updated().0 == TaskState::TaskRunning);
    }
    agent.shutdown();
    let all = told(&agent, &["a", "b"]);
    for task in ["a", "b"] {
        assert_eq!(of(&all, task), [TaskState::TaskKilling, TaskState::TaskKilled]);
    }
    assert!(run.ends_well());
}
