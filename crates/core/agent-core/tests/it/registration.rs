use messor_agent_core::{Event, Record, Timer};
use messor_proto::mesos::TaskState::{TaskDropped, TaskLost, TaskRunning};
use messor_proto::mesos::agent_info::capability::Type as Capability;
use messor_proto::mesos::internal::{
    AgentRegisteredMessage, AgentReregisteredMessage, PingAgentMessage, PongAgentMessage,
    ReconcileTasksMessage, RegisterAgentMessage, ReregisterAgentMessage,
};
use messor_proto::mesos::task_status::{Reason, Source};
use messor_stdx::Duration;

use crate::build::{self, pid};
use crate::edge::Edge;

fn registered(id: &str) -> AgentRegisteredMessage {
    AgentRegisteredMessage { agent_id: messor_proto::mesos::AgentId { value: id.into() }, connection: None }
}

fn reregistered() -> AgentReregisteredMessage {
    AgentReregisteredMessage { agent_id: build::agent_id(), ..AgentReregisteredMessage::default() }
}

#[test]
fn a_new_agent_registers_as_1_11_0_does() {
    let mut edge = Edge::new();
    edge.detect();
    assert!(edge.sent.is_empty(), "agents wait a random time first");
    assert!(edge.timers[&Timer::Register].since(edge.now) <= Duration::from_secs(1));

    edge.advance(edge.timers[&Timer::Register].since(edge.now));
    assert_eq!(edge.links, ["link master@10.0.0.1:5050"]);
    let message: RegisterAgentMessage = edge.one();
    assert_eq!(message.version.as_deref(), Some("1.11.0"));
    assert_eq!(message.agent.hostname, "host");
    assert_eq!(message.agent.id, None);
    assert_eq!(message.agent.checkpoint, Some(true), "U099");
    assert_eq!(message.resource_version_uuid.unwrap().value.len(), 16);
    let capabilities: Vec<Capability> =
        message.agent_capabilities.iter().map(|found| found.r#type()).collect();
    assert_eq!(
        capabilities,
        [
            Capability::MultiRole,
            Capability::HierarchicalRole,
            Capability::ReservationRefinement,
            Capability::ResourceProvider,
            Capability::ResizeVolume,
            Capability::AgentOperationFeedback,
            Capability::AgentDraining,
            Capability::TaskResourceLimits
        ]
    );

    assert!(!edge.view().registered);
    edge.master_says(registered("master-S0"));
    let view = edge.view();
    assert!(view.registered);
    assert_eq!(view.info.id.as_ref().unwrap().value, "master-S0");
    assert!(matches!(&edge.records[..], [(_, Record::Agent { id, .. })] if id.as_str() == "master-S0"));
    assert_eq!(edge.metric("slave/registered"), 1.0);
    edge.advance(Duration::from_secs(60));
    assert!(edge.take::<RegisterAgentMessage>().is_empty(), "it is registered");
}

#[test]
fn registration_is_tried_again_with_growing_pauses_up_to_a_minute() {
    let mut edge = Edge::new();
    edge.detect();
    let mut longest = Duration::ZERO;
    for attempt in 0..200u32 {
        let pause = edge.timers[&Timer::Register].since(edge.now);
        let bound = Duration::from_secs(1) * 2u32.pow(attempt.min(6));
        assert!(pause <= bound.min(Duration::from_secs(60)), "attempt {attempt}: {pause:?}");
        longest = longest.max(pause);
        edge.advance(pause);
        edge.one::<RegisterAgentMessage>();
    }
    assert!(longest > Duration::from_secs(30));
}

#[test]
fn only_the_leading_master_is_heard() {
    let mut edge = Edge::new();
    edge.detect();
    edge.advance(Duration::from_secs(1));
    edge.message(&pid("master@10.0.0.2:5050"), registered("other-S9"));
    assert!(!edge.view().registered);
    edge.message(&pid("master@10.0.0.2:5050"), reregistered());
    assert_eq!(edge.aborted, None);

    // A leader that gives no address is none.
    edge.event(Event::Detected {
        leader: Some(Box::new(messor_proto::mesos::MasterInfo {
            pid: Some("nowhere".into()),
            ..build::master_info()
        })),
    });
    assert!(edge.view().leader.is_none());
    assert!(!edge.timers.contains_key(&Timer::Register));
    // An old one gives it in parts.
    edge.event(Event::Detected {
        leader: Some(Box::new(messor_proto::mesos::MasterInfo { pid: None, ..build::master_info() })),
    });
    edge.advance(Duration::from_secs(1));
    edge.master_says(registered("master-S0"));
    assert!(edge.view().registered);
}

#[test]
fn another_id_ends_the_agent() {
    let mut edge = Edge::registered();
    edge.master_says(registered("master-S0"));
    assert_eq!(edge.aborted, None, "a duplicate is nothing");
    edge.master_says(registered("master-S1"));
    assert_eq!(edge.aborted.as_deref(), Some("The master knows this agent as master-S1, it is master-S0"));

    let mut edge = Edge::registered();
    edge.master_says(AgentReregisteredMessage {
        agent_id: messor_proto::mesos::AgentId { value: "master-S1".into() },
        ..AgentReregisteredMessage::default()
    });
    assert!(edge.aborted.is_some());

    let mut edge = Edge::new();
    edge.detect();
    edge.advance(Duration::from_secs(1));
    edge.master_says(registered("../etc"));
    assert!(!edge.view().registered, "an id becomes a path");
}

#[test]
fn a_new_leader_hears_of_everything_that_runs() {
    let mut edge = Edge::registered();
    edge.master_says(build::run(build::framework(), build::executor_task("own", build::executor("e"))));
    edge.launch();
    let (_, _) = edge.run_command("command");
    edge.call(build::update("command", "command", TaskRunning, 1));

    edge.event(Event::Detected { leader: None });
    assert!(!edge.view().registered);
    assert_eq!(edge.links.last().unwrap(), "unlink master@10.0.0.1:5050");
    edge.sent.clear();
    edge.advance(Duration::from_secs(120));
    assert!(edge.sent.is_empty(), "nothing is sent while nobody leads: {:?}", edge.sent);

    edge.detect();
    edge.advance(Duration::from_secs(1));
    let message: ReregisterAgentMessage = edge.take().remove(0).1;
    assert_eq!(message.agent.id, Some(build::agent_id()));
    assert_eq!(message.frameworks.len(), 1);
    let tasks: Vec<(&str, i32)> =
        message.tasks.iter().map(|task| (task.task_id.value.as_str(), task.state)).collect();
    assert_eq!(tasks, [("own", 6), ("command", 1)]);
    let executors: Vec<&str> =
        message.executor_infos.iter().map(|executor| executor.executor_id.value.as_str()).collect();
    assert_eq!(executors, ["e"], "command executors are the agent's own business");

    edge.master_says(reregistered());
    assert!(edge.view().registered);
    assert_eq!(edge.one_update().status.state(), TaskRunning, "what was not acknowledged comes again");
}

#[test]
fn completed_tasks_are_told_on_reregistration() {
    let mut edge = Edge::registered();
    let (container, _) = edge.run_command("t");
    edge.call(build::update("t", "t", messor_proto::mesos::TaskState::TaskFinished, 1));
    let update = edge.one_update();
    edge.acknowledge(&update);
    edge.exited(&container, 0);
    edge.detect();
    edge.advance(Duration::from_secs(1));
    let message: ReregisterAgentMessage = edge.take().remove(0).1;
    assert!(message.tasks.is_empty() && message.frameworks.is_empty());
    assert_eq!(message.completed_frameworks[0].tasks[0].task_id.value, "t");
}

#[test]
fn reconciliation_tells_the_master_of_tasks_that_are_not_here() {
    let mut edge = Edge::registered();
    edge.run_command("here");
    edge.detect();
    edge.advance(Duration::from_secs(1));
    let statuses = |tasks: &[&str]| {
        tasks.iter().map(|task| build::status("e", task, TaskRunning, 1)).collect::<Vec<_>>()
    };
    let aware = ReconcileTasksMessage {
        framework_id: build::framework_id(),
        statuses: statuses(&["here", "gone"]),
        framework: Some(build::framework()),
    };
    let old = ReconcileTasksMessage { framework: None, statuses: statuses(&["old"]), ..aware.clone() };
    edge.sent.clear();
    edge.master_says(AgentReregisteredMessage { reconciliations: vec![aware, old], ..reregistered() });
    let updates = edge.updates();
    let seen: Vec<_> = updates
        .iter()
        .map(|update| (update.status.task_id.value.as_str(), update.status.state(), update.status.reason()))
        .collect();
    assert_eq!(
        seen,
        [("gone", TaskDropped, Reason::Reconciliation), ("old", TaskLost, Reason::Reconciliation)]
    );
    assert_eq!(updates[0].status.source(), Source::Agent);
    assert_eq!(updates[0].status.message.as_deref(), Some("Reconciliation: task unknown to the agent"));
}

#[test]
fn pings_are_answered_and_their_absence_noticed() {
    let mut edge = Edge::registered();
    let observer = pid("slave-observer(1)@10.0.0.1:5050");
    edge.advance(Duration::from_secs(70));
    edge.message(&observer, PingAgentMessage { connected: true });
    let pongs = edge.take::<PongAgentMessage>();
    assert_eq!(pongs[0].0, observer.to_string());
    edge.advance(Duration::from_secs(70));
    assert!(edge.view().registered);
    edge.advance(Duration::from_secs(6));
    assert!(!edge.view().registered, "75 seconds without a ping");
    assert!(!edge.take::<ReregisterAgentMessage>().is_empty());
}

#[test]
fn an_agent_that_the_master_thinks_gone_comes_back() {
    let mut edge = Edge::registered();
    let observer = pid("slave-observer(1)@10.0.0.1:5050");
    edge.message(&pid("slave-observer(1)@10.9.9.9:5050"), PingAgentMessage { connected: false });
    assert!(edge.view().registered, "anybody can send a ping");
    edge.message(&observer, PingAgentMessage { connected: false });
    assert!(!edge.view().registered);
    edge.advance(Duration::from_secs(1));
    assert!(!edge.take::<ReregisterAgentMessage>().is_empty());
    edge.master_says(reregistered());
    assert!(edge.view().registered);
}

#[test]
fn the_broken_link_of_an_executor_is_only_noted() {
    let mut edge = Edge::registered();
    edge.event(Event::Exited { pid: pid("executor(1)@10.0.0.7:4000") });
    assert!(edge.view().registered);
    assert!(edge.sent.is_empty());
}

/// Apache Mesos would wait 75 seconds for pings that are missing.
#[test]
fn an_agent_whose_master_went_away_asks_again_at_once_and_until_it_is_heard() {
    let mut edge = Edge::registered();
    edge.event(Event::Exited { pid: build::master() });
    edge.advance(Duration::from_secs(1));
    let again = edge.take::<ReregisterAgentMessage>();
    assert!(!again.is_empty(), "it does not wait for pings");
    assert_eq!(
        again[0].1.agent.id.as_ref().map(|id| id.value.as_str()),
        Some(build::agent_id().value.as_str())
    );
    edge.advance(Duration::from_secs(180));
    assert!(edge.take::<ReregisterAgentMessage>().len() >= 2, "it goes on while nobody answers");
    edge.master_says(reregistered());
    edge.advance(Duration::from_secs(60));
    assert!(edge.take::<ReregisterAgentMessage>().is_empty(), "it was heard");
}
