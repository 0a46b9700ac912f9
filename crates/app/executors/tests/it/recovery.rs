//! Agents that go, and agents that come back.

use messor_proto::mesos::TaskState;

use crate::agent::Agent;
use crate::run::Run;
use crate::task;

const CHECKPOINTING: [(&str, &str); 3] = [
    ("MESOS_CHECKPOINT", "1"),
    ("MESOS_RECOVERY_TIMEOUT", "15mins"),
    ("MESOS_SUBSCRIPTION_BACKOFF_MAX", "200ms"),
];

#[test]
fn without_checkpoints_the_task_goes_with_the_agent() {
    let agent = Agent::start();
    let mut run = Run::subscribed(&agent, &[]);
    agent.launch_and_run(task("echo up; exec sleep 600"));
    assert_eq!(run.line(), "up");
    agent.vanish();
    assert!(!run.ends_well());
    assert_eq!(run.rest(), "");
}

#[test]
fn an_agent_that_never_was() {
    let agent = Agent::start();
    agent.vanish();
    assert!(Run::start(&agent, &[]).ends_well(), "nothing was running");
}

#[test]
fn what_was_not_acknowledged_is_said_again() {
    let agent = Agent::start();
    let mut run = Run::subscribed(&agent, &CHECKPOINTING);
    let info = task("mkfifo go; echo up; read -r line < go");
    agent.launch(info.clone());
    let starting = agent.update();
    let running = agent.update();
    assert_eq!(run.line(), "up");
    agent.refuse(503);
    agent.drop_connections();
    let refused = agent.subscription();
    assert_eq!(refused.unacknowledged_tasks, [info]);
    // The command ends while the agent recovers.
    std::fs::write(run.sandbox.path().join("go"), "go\n").unwrap();
    let again = loop {
        let again = agent.subscription();
        if again.unacknowledged_updates.len() == 3 {
            break again;
        }
    };
    agent.refuse(0);
    let statuses: Vec<_> = again.unacknowledged_updates.into_iter().map(|update| update.status).collect();
    assert_eq!((&statuses[0], &statuses[1]), (&starting, &running));
    assert_eq!(statuses[2].state, TaskState::TaskFinished as i32);
    assert_eq!(agent.welcomed().unacknowledged_updates.len(), 3);
    for status in &statuses {
        agent.acknowledge(status);
    }
    assert!(run.ends_well());
}

#[test]
fn a_task_outlives_a_restart_of_the_agent() {
    let agent = Agent::start();
    let mut run = Run::subscribed(&agent, &CHECKPOINTING);
    agent.launch_and_run(task("mkfifo go; echo up; read -r line < go"));
    assert_eq!(run.line(), "up");
    agent.drop_connections();
    let again = agent.subscription();
    assert_eq!((again.unacknowledged_tasks.len(), again.unacknowledged_updates.len()), (0, 0));
    std::fs::write(run.sandbox.path().join("go"), "go\n").unwrap();
    assert_eq!(agent.updated().0, TaskState::TaskFinished);
    assert!(run.ends_well());
}

#[test]
fn after_the_recovery_timeout_the_task_is_killed() {
    let agent = Agent::start();
    let mut checkpointing = CHECKPOINTING;
    checkpointing[1].1 = "300ms";
    let mut run = Run::subscribed(&agent, &checkpointing);
    agent.launch_and_run(task("echo up; exec sleep 600"));
    assert_eq!(run.line(), "up");
    agent.vanish();
    assert!(!run.ends_well());
    assert_eq!(run.rest(), "");
}
