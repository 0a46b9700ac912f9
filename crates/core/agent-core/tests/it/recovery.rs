//! An agent begins with a past: whose id it keeps, and what it does before it looks for a master (U038, U042, U109).

use std::collections::BTreeMap;

use messor_agent_core::Event;
use messor_agent_core::{
    Config, ContainerCommand, ContainerEvent, ExecutorState, Outcome, ReconfigurationPolicy, Record, Recover,
    Recovered, ReplyId, StreamId, Timer,
};
use messor_proto::mesos::TaskState::{TaskFailed, TaskFinished, TaskRunning};
use messor_proto::mesos::executor::{call, event};
use messor_proto::mesos::internal::{
    AgentRegisteredMessage, AgentReregisteredMessage, PingAgentMessage, PongAgentMessage,
    RegisterAgentMessage, ReregisterAgentMessage, ShutdownFrameworkMessage, ShutdownMessage,
};
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{MasterInfo, master_info};
use messor_stdx::Duration;
use messor_types::{AgentId, ContainerId};

use crate::build;
use crate::disk::Disk;
use crate::edge::Edge;

/// What an agent left on disk when it crashed just now.
pub fn left(edge: &Edge) -> Recovered {
    let durable = edge.records.iter().filter(|(ticket, _)| !edge.waiting.contains(ticket));
    Disk::of(durable.map(|(_, record)| record)).recovered()
}

/// With the next seed: ids must not repeat.
pub fn next_config() -> Config {
    Config { seed: 1, ..build::config() }
}

pub fn running(containers: &[&ContainerId]) -> BTreeMap<ContainerId, u32> {
    containers.iter().map(|container| ((*container).clone(), 4321)).collect()
}

/// A registered agent that runs a command task of a checkpointing framework, and its container.
pub fn with_task() -> (Edge, ContainerId) {
    let mut edge = Edge::registered();
    edge.master_says(build::run(build::checkpointing(), build::command_task("t")));
    let container = edge.launch().container;
    edge.launched(&container, 4321);
    edge.subscribe(build::subscribe("t"));
    edge.call(build::update("t", "t", TaskRunning, 1));
    let update = edge.one_update();
    edge.acknowledge(&update);
    edge.sent.clear();
    edge.events.clear();
    (edge, container)
}

pub fn reregister(edge: &mut Edge) -> ReregisterAgentMessage {
    edge.detect();
    edge.advance(Duration::from_secs(1));
    let message = edge.take::<ReregisterAgentMessage>().remove(0).1;
    edge.master_says(AgentReregisteredMessage {
        agent_id: build::agent_id(),
        ..AgentReregisteredMessage::default()
    });
    message
}

fn records(edge: &Edge) -> Vec<&Record> {
    edge.records.iter().map(|(_, record)| record).collect()
}

fn idle() -> Recovered {
    left(&Edge::registered())
}

#[test]
fn an_agent_without_a_past_looks_for_a_master_at_once() {
    let mut edge = Edge::recovered(build::config(), Recovered::default(), BTreeMap::new());
    assert!(matches!(&edge.containers[..], [ContainerCommand::Recover { runs }] if runs.is_empty()));
    assert_eq!(records(&edge), [&Record::Boot]);
    edge.detect();
    edge.advance(Duration::from_secs(1));
    edge.one::<RegisterAgentMessage>();
    assert!(edge.metric("slave/recovery_time_secs") >= 0.0);
}

#[test]
fn the_id_is_kept() {
    let mut edge = Edge::recovered(next_config(), idle(), BTreeMap::new());
    let message = reregister(&mut edge);
    assert_eq!(message.agent.id, Some(build::agent_id()));
    assert!(message.tasks.is_empty() && message.frameworks.is_empty());
    assert!(edge.view().registered);
}

#[test]
fn a_master_waits_until_the_containers_are_known() {
    let mut edge = Edge::before_recovery(next_config());
    edge.detect();
    edge.message(&build::master(), PingAgentMessage { connected: true });
    let call = Box::new(build::subscribe("t"));
    edge.event(Event::Subscribe { stream: StreamId(1), reply: ReplyId(1), call });
    edge.event(Event::ExecutorCall {
        reply: ReplyId(2),
        call: Box::new(build::update("t", "t", TaskRunning, 1)),
    });
    assert!(edge.view().recovering);
    assert_eq!(edge.call(build::call("t", call::Type::Heartbeat)), Outcome::Accepted);
    for (_, outcome) in &edge.replies {
        assert_eq!(*outcome, Outcome::Unavailable("Agent has not finished recovery".to_string()));
    }
    assert_eq!(edge.replies.len(), 2);
    edge.event(Event::Recovered(Box::new(idle())));
    edge.advance(Duration::from_secs(100));
    assert!(edge.sent.is_empty() && edge.timers.is_empty());
    edge.event(Event::Container(ContainerEvent::Recovered { running: BTreeMap::new(), destroyed: 1 }));
    edge.one::<PongAgentMessage>();
    edge.advance(Duration::from_secs(1));
    assert!(!edge.take::<ReregisterAgentMessage>().is_empty());
    assert!(!edge.view().recovering);
    // Once is enough.
    edge.event(Event::Recovered(Box::default()));
    edge.event(Event::Container(ContainerEvent::Recovered { running: BTreeMap::new(), destroyed: 0 }));
    assert!(edge.log.iter().filter(|line| line.contains("ignoring")).count() == 2);
}

#[test]
fn messages_that_come_early_are_bounded() {
    let mut edge = Edge::before_recovery(build::config());
    for _ in 0..1_100 {
        edge.message(&build::master(), PingAgentMessage { connected: true });
    }
    assert_eq!(edge.log.iter().filter(|line| line.contains("too many")).count(), 100);
    edge.event(Event::Recovered(Box::default()));
    edge.event(Event::Container(ContainerEvent::Recovered { running: BTreeMap::new(), destroyed: 0 }));
    assert_eq!(edge.take::<PongAgentMessage>().len(), 1_000);
}

#[test]
fn an_agent_that_cannot_see_its_containers_ends() {
    let mut edge = Edge::before_recovery(build::config());
    edge.event(Event::Recovered(Box::default()));
    let message = "no /proc".to_string();
    edge.event(Event::Container(ContainerEvent::RecoveryFailed { message }));
    assert_eq!(edge.aborted.as_deref(), Some("Failed to recover containers: no /proc"));
}

fn with_cpus(cpus: f64, policy: ReconfigurationPolicy) -> Config {
    let mut config = next_config();
    config.info.resources[0] = build::scalar("cpus", cpus);
    config.reconfiguration_policy = policy;
    config
}

#[test]
fn a_changed_agent_does_not_start_and_says_what_to_do() {
    let edge = Edge::recovered(with_cpus(128.0, ReconfigurationPolicy::Equal), idle(), BTreeMap::new());
    let reason = edge.aborted.clone().unwrap();
    for part in [
        "--resources was 'cpus:64; mem:4096; disk:1024' and is 'cpus:128; mem:4096; disk:1024'",
        "--reconfiguration_policy=additive",
        "rm -f /var/lib/mesos/meta/slaves/latest",
    ] {
        assert!(reason.contains(part), "'{part}' is not in: {reason}");
    }
    assert!(edge.containers.is_empty() && edge.records.is_empty());
    let edge = Edge::recovered(with_cpus(2.0, ReconfigurationPolicy::Additive), idle(), BTreeMap::new());
    let reason = edge.aborted.clone().unwrap();
    assert!(reason.contains("'cpus:64' of --resources shrank to 'cpus:2'"), "{reason}");
}

#[test]
fn with_the_additive_policy_an_agent_grows_and_keeps_its_id() {
    let config = with_cpus(128.0, ReconfigurationPolicy::Additive);
    let mut edge = Edge::recovered(config.clone(), idle(), BTreeMap::new());
    let Some(Record::Agent { info, .. }) = records(&edge).first().copied() else {
        panic!("{:?}", edge.records)
    };
    assert_eq!(info.resources[0], build::scalar("cpus", 128.0));
    // What it is now counts from now on.
    let message = reregister(&mut edge);
    assert_eq!(message.agent.id, Some(build::agent_id()));
    assert_eq!(message.agent.resources[0], build::scalar("cpus", 128.0));

    let capability = |kind: i32| master_info::Capability { r#type: Some(kind) };
    let leader = |capabilities| MasterInfo { capabilities, ..build::master_info() };
    let mut edge = Edge::recovered(config, idle(), BTreeMap::new());
    let update = master_info::capability::Type::AgentUpdate.into();
    edge.event(Event::Detected { leader: Some(Box::new(leader(vec![capability(update)]))) });
    assert_eq!(edge.aborted, None);
    edge.event(Event::Detected { leader: Some(Box::new(leader(vec![capability(12345)]))) });
    assert!(edge.aborted.as_ref().is_some_and(|reason| reason.contains("AGENT_UPDATE")));
}

#[test]
fn after_a_reboot_the_id_is_kept_and_the_tasks_are_over() {
    let (old, _) = with_task();
    let past = Recovered { rebooted: true, ..left(&old) };
    let mut edge = Edge::recovered(next_config(), past, BTreeMap::new());
    let Some(ContainerCommand::Recover { runs }) = edge.containers.first() else { panic!() };
    assert_eq!((runs.len(), runs[0].forked_pid), (1, None));
    // The failure is on disk before the host's start is.
    assert!(matches!(records(&edge)[..], [Record::Update { .. }, Record::Boot]), "{:?}", edge.records);
    let message = reregister(&mut edge);
    assert_eq!(message.agent.id, Some(build::agent_id()));
    assert_eq!(message.tasks[0].state(), TaskFailed);
    let update = edge.one_update();
    assert_eq!((update.status.state(), update.status.reason()), (TaskFailed, Reason::ExecutorTerminated));
}

#[test]
fn after_a_reboot_a_changed_agent_is_a_new_one() {
    let (old, _) = with_task();
    let past = Recovered { rebooted: true, ..left(&old) };
    let mut edge = Edge::recovered(with_cpus(1.0, ReconfigurationPolicy::Equal), past, BTreeMap::new());
    assert_eq!(edge.aborted, None);
    assert_eq!(records(&edge), [&Record::Forget, &Record::Boot]);
    assert_eq!(edge.collected, ["slaves/master-S0", "meta/slaves/master-S0"]);
    edge.detect();
    edge.advance(Duration::from_secs(1));
    let message = edge.one::<RegisterAgentMessage>();
    assert_eq!(message.agent.id, None);
}

#[test]
fn agents_of_before_are_removed() {
    let past = Recovered { other_agents: vec![AgentId::from("S-old")], ..idle() };
    let edge = Edge::recovered(next_config(), past, BTreeMap::new());
    assert_eq!(edge.collected, ["slaves/S-old", "meta/slaves/S-old"]);
}

#[test]
fn errors_are_counted() {
    let past = Recovered { errors: 3, ..idle() };
    let edge = Edge::recovered(next_config(), past, BTreeMap::new());
    assert_eq!(edge.metric("slave/recovery_errors"), 3.0);
}

#[test]
fn checkpointed_resources_that_do_not_fit_end_the_agent_even_after_a_reboot() {
    let volume = messor_proto::mesos::Resource {
        reservations: vec![messor_proto::mesos::resource::ReservationInfo {
            r#type: Some(messor_proto::mesos::resource::reservation_info::Type::Dynamic.into()),
            role: Some("web".to_string()),
            ..Default::default()
        }],
        ..build::scalar("cpus", 128.0)
    };
    let past = Recovered { rebooted: true, resources: vec![volume], ..idle() };
    let edge = Edge::recovered(next_config(), past, BTreeMap::new());
    assert!(edge.aborted.as_ref().is_some_and(|reason| reason.contains("--resources")), "{:?}", edge.aborted);
}

#[test]
fn cleaning_up_ends_executors_and_then_the_agent() {
    let (old, container) = with_task();
    let config = Config { recover: Recover::Cleanup, ..next_config() };
    let mut edge = Edge::recovered(config, left(&old), running(&[&container]));
    assert_eq!(edge.aborted, None);
    edge.detect();
    let stream = edge.subscribe(build::subscribe("t"));
    assert_eq!(edge.event_types(), [event::Type::Shutdown]);
    assert!(edge.closed.contains(&stream));
    edge.advance(Duration::from_secs(10));
    assert_eq!(edge.destroyed(), std::slice::from_ref(&container));
    assert!(edge.sent.is_empty(), "no master hears of it: {:?}", edge.sent);
    edge.exited(&container, 9);
    assert!(edge.aborted.is_some());
    assert!(left(&edge_with(&old, &edge)).agent.is_none(), "the next agent is a new one");
}

/// The disk of two lives.
fn edge_with(old: &Edge, new: &Edge) -> Edge {
    let mut both = Edge::before_recovery(build::config());
    both.records = old.records.iter().chain(&new.records).cloned().collect();
    both
}

#[test]
fn cleaning_up_kills_what_cannot_be_told() {
    let mut old = Edge::registered();
    old.master_says(build::run(build::checkpointing(), build::command_task("t")));
    let container = old.launch().container;
    let config = Config { recover: Recover::Cleanup, ..next_config() };
    let mut edge = Edge::recovered(config.clone(), left(&old), running(&[&container]));
    assert_eq!(edge.destroyed(), [container]);
    let edge = Edge::recovered(config, Recovered::default(), BTreeMap::new());
    assert!(edge.aborted.is_some(), "nothing is left to be cleaned up");
}

#[test]
fn only_what_is_checkpointed_is_recovered() {
    let mut old = Edge::registered();
    old.run_command("t");
    let past = left(&old);
    assert!(past.agent.as_ref().unwrap().frameworks.is_empty());
    let mut edge = Edge::recovered(next_config(), past, BTreeMap::new());
    let message = reregister(&mut edge);
    assert!(message.tasks.is_empty());
}

#[test]
fn the_agent_comes_back_with_its_tasks() {
    let (old, container) = with_task();
    let mut edge = Edge::recovered(next_config(), left(&old), running(&[&container]));
    let Some(ContainerCommand::Recover { runs }) = edge.containers.first() else { panic!() };
    assert_eq!(runs[0].container, container);
    assert_eq!(
        runs[0].directory,
        format!("slaves/master-S0/frameworks/master-0000/executors/t/runs/{}", container.value())
    );
    edge.detect();
    edge.advance(Duration::from_millis(500));
    assert!(edge.sent.is_empty(), "first the executors come back");
    let mut subscribe = build::subscribe("t");
    subscribe.subscribe = Some(call::Subscribe::default());
    edge.subscribe(subscribe);
    assert_eq!(edge.event_types(), [event::Type::Subscribed]);
    let before = edge.view();
    assert_eq!(before.frameworks[0].executors[0].state, ExecutorState::Running);
    // Nobody is left to wait for.
    edge.advance(Duration::from_secs(1));
    let message = edge.take::<ReregisterAgentMessage>().remove(0).1;
    assert_eq!(message.frameworks.len(), 1);
    assert!(message.executor_infos.is_empty(), "the command executor is the agent's own matter");
    let task = &message.tasks[0];
    assert_eq!((task.state(), task.status_update_state()), (TaskRunning, TaskRunning));
    assert_eq!(task.status_update_uuid.as_deref(), Some(&[1; 16][..]));
    edge.master_says(AgentReregisteredMessage {
        agent_id: build::agent_id(),
        ..AgentReregisteredMessage::default()
    });
    edge.call(build::update("t", "t", TaskFinished, 2));
    let update = edge.one_update();
    assert_eq!(update.status.container_status.as_ref().unwrap().executor_pid(), 4321);
    edge.acknowledge(&update);
    edge.exited(&container, 0);
    assert!(edge.view().frameworks.is_empty());
}

#[test]
fn a_framework_that_was_shut_down_meanwhile_ends() {
    let (old, container) = with_task();
    let mut edge = Edge::recovered(next_config(), left(&old), running(&[&container]));
    edge.subscribe(build::subscribe("t"));
    reregister(&mut edge);
    edge.events.clear();
    edge.master_says(ShutdownFrameworkMessage { framework_id: build::framework_id() });
    assert_eq!(edge.event_types(), [event::Type::Shutdown]);
    edge.exited(&container, 0);
    assert!(edge.view().frameworks.is_empty());
}

#[test]
fn an_agent_that_the_master_ends_is_forgotten() {
    let (old, container) = with_task();
    let mut edge = Edge::recovered(next_config(), left(&old), running(&[&container]));
    edge.subscribe(build::subscribe("t"));
    reregister(&mut edge);
    edge.durable_at_once = false;
    edge.master_says(ShutdownMessage { message: Some("gone".into()) });
    edge.exited(&container, 0);
    assert_eq!(records(&edge).last(), Some(&&Record::Forget));
    assert_eq!(edge.aborted, None, "not before it is on disk");
    edge.persist_all();
    assert!(edge.aborted.is_some());
}

#[test]
fn the_operator_may_end_an_agent_that_recovers() {
    for early in [true, false] {
        let (old, container) = with_task();
        let mut edge = Edge::before_recovery(next_config());
        let shut_down = || Event::ShutDown { reason: "Received SIGUSR1".into() };
        if early {
            edge.event(shut_down());
        }
        edge.event(Event::Recovered(Box::new(left(&old))));
        let running = running(&[&container]);
        edge.event(Event::Container(ContainerEvent::Recovered { running, destroyed: 0 }));
        if early {
            edge.subscribe(build::subscribe("t"));
        } else {
            edge.event(shut_down());
        }
        assert_eq!(
            edge.view().frameworks[0].executors[0].state,
            ExecutorState::Terminating,
            "early: {early}"
        );
        edge.exited(&container, 0);
        assert!(edge.aborted.is_some());
        assert!(!edge.timers.contains_key(&Timer::ExecutorReregister));
    }
}

#[test]
fn an_id_that_was_not_durable_is_none() {
    let mut old = Edge::new();
    old.durable_at_once = false;
    old.detect();
    old.advance(Duration::from_secs(1));
    old.master_says(AgentRegisteredMessage { agent_id: build::agent_id(), connection: None });
    let mut edge = Edge::recovered(next_config(), left(&old), BTreeMap::new());
    edge.detect();
    edge.advance(Duration::from_secs(1));
    edge.one::<RegisterAgentMessage>();
}
