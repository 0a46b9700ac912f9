//! What is promised twice, and the end of executors whose resources are needed.

use messor_agent_core::{Event, ExecutorState, Timer};
use messor_proto::mesos::TaskState::{TaskGone, TaskLost};
use messor_proto::mesos::internal::{AgentReregisteredMessage, ReregisterAgentMessage, UpdateAgentMessage};
use messor_proto::mesos::slave::{QoSCorrection, qo_s_correction};
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{Resource, resource};
use messor_stdx::Duration;
use messor_types::ContainerId;

use crate::build::{self, revocable};
use crate::edge::Edge;

const ESTIMATES: Duration = Duration::from_secs(15);
const CORRECTIONS: Duration = Duration::from_secs(20);

fn oversubscribing() -> Edge {
    let mut edge = Edge::with(|config| {
        config.oversubscribed_resources_interval = Some(ESTIMATES);
        config.qos_correction_interval = Some(CORRECTIONS);
    });
    edge.register();
    edge
}

fn estimated(edge: &mut Edge, resources: Vec<Resource>) {
    edge.event(Event::Estimated(Ok(resources)));
}

/// A task on what is promised twice.
fn revocable_task(id: &str) -> messor_proto::mesos::TaskInfo {
    let allocation_info = Some(resource::AllocationInfo { role: Some("web".into()) });
    let cpus = Resource { allocation_info, ..revocable("cpus", 1.0) };
    messor_proto::mesos::TaskInfo {
        resources: vec![cpus, build::allocated("mem", 64.0)],
        ..build::command_task(id)
    }
}

fn kill(executor: Option<&str>, container: Option<&ContainerId>) -> QoSCorrection {
    let kill = qo_s_correction::Kill {
        framework_id: Some(build::framework_id()),
        executor_id: executor.map(build::executor_id),
        container_id: container.map(Into::into),
    };
    QoSCorrection { r#type: qo_s_correction::Type::Kill.into(), kill: Some(kill) }
}

fn correct(edge: &mut Edge, corrections: Vec<QoSCorrection>) {
    edge.event(Event::Corrections(Ok(corrections)));
}

#[test]
fn an_agent_without_an_estimator_says_nothing_of_it() {
    let mut edge = Edge::new();
    edge.detect();
    edge.advance(Duration::from_secs(1));
    edge.master_says(messor_proto::mesos::internal::AgentRegisteredMessage {
        agent_id: build::agent_id(),
        connection: None,
    });
    let update: UpdateAgentMessage = edge.one();
    assert_eq!(update.update_oversubscribed_resources, Some(false));
    edge.advance(Duration::from_secs(60));
    assert_eq!((edge.estimates, edge.corrections), (0, 0));
    assert_eq!(edge.metric("slave/cpus_revocable_total"), 0.0);
}

#[test]
fn the_master_hears_of_each_change_once() {
    let mut edge = oversubscribing();
    assert_eq!((edge.estimates, edge.corrections), (1, 1));
    estimated(&mut edge, vec![revocable("cpus", 3.0)]);
    let update: UpdateAgentMessage = edge.one();
    assert_eq!(update.agent_id, build::agent_id());
    assert_eq!(update.update_oversubscribed_resources, Some(true));
    assert_eq!(update.oversubscribed_resources, [revocable("cpus", 3.0)]);
    assert_eq!(
        (update.operations, update.resource_version_uuid, update.resource_providers),
        (None, None, None)
    );
    assert_eq!(edge.metric("slave/cpus_revocable_total"), 3.0);
    edge.advance(ESTIMATES);
    assert_eq!(edge.estimates, 2);
    estimated(&mut edge, vec![revocable("cpus", 3.0)]);
    assert!(edge.sent.is_empty());
    edge.advance(ESTIMATES);
    estimated(&mut edge, Vec::new());
    assert!(edge.one::<UpdateAgentMessage>().oversubscribed_resources.is_empty());
}

#[test]
fn what_is_in_use_stays_promised() {
    let mut edge = oversubscribing();
    estimated(&mut edge, vec![revocable("cpus", 3.0)]);
    edge.sent.clear();
    edge.master_says(build::run(build::framework(), revocable_task("t")));
    let launch = edge.launch();
    assert!(launch.resources.iter().any(|resource| resource.revocable.is_some()));
    estimated(&mut edge, vec![revocable("cpus", 2.0)]);
    assert!(edge.take::<UpdateAgentMessage>().is_empty(), "2 and the 1 in use are 3 as before");
    assert_eq!(edge.metric("slave/cpus_revocable_used"), 1.0);
    assert_eq!(edge.metric("slave/cpus_revocable_percent"), 1.0 / 3.0);
    estimated(&mut edge, Vec::new());
    assert_eq!(edge.one::<UpdateAgentMessage>().oversubscribed_resources, [revocable("cpus", 1.0)]);
}

#[test]
fn a_bad_estimate_changes_nothing_and_the_next_one_counts() {
    let mut edge = oversubscribing();
    estimated(&mut edge, vec![revocable("cpus", 3.0)]);
    edge.sent.clear();
    estimated(&mut edge, vec![build::scalar("cpus", 1.0)]);
    assert!(edge.log.last().unwrap().contains("cpus:1 is not revocable"), "{:?}", edge.log.last());
    edge.event(Event::Estimated(Err("the estimator is ill".to_string())));
    estimated(&mut edge, vec![revocable("cpus", -1.0)]);
    assert!(edge.sent.is_empty());
    assert_eq!(edge.metric("slave/cpus_revocable_total"), 3.0);
    edge.advance(ESTIMATES);
    assert_eq!(edge.estimates, 2);
}

#[test]
fn a_master_hears_after_each_registration() {
    let mut edge = oversubscribing();
    edge.event(Event::Detected { leader: None });
    estimated(&mut edge, vec![revocable("cpus", 3.0)]);
    assert!(edge.sent.is_empty());
    edge.detect();
    edge.advance(Duration::from_secs(1));
    edge.take::<ReregisterAgentMessage>();
    edge.master_says(AgentReregisteredMessage {
        agent_id: build::agent_id(),
        ..AgentReregisteredMessage::default()
    });
    let update: UpdateAgentMessage = edge.one();
    assert_eq!(update.update_oversubscribed_resources, Some(true));
    assert_eq!(update.oversubscribed_resources, [revocable("cpus", 3.0)]);
    assert!(update.operations.is_some());
}

#[test]
fn an_executor_is_preempted() {
    for (partition_aware, state) in [(true, TaskGone), (false, TaskLost)] {
        let mut edge = oversubscribing();
        let mut framework = build::framework();
        framework.capabilities.truncate(if partition_aware { 2 } else { 1 });
        edge.master_says(build::run(framework, revocable_task("t")));
        let container = edge.launch().container;
        edge.launched(&container, 1);
        edge.subscribe(build::subscribe("t"));
        edge.containers.clear();
        correct(&mut edge, vec![kill(Some("t"), None), kill(Some("t"), Some(&container))]);
        assert_eq!(edge.destroyed(), std::slice::from_ref(&container));
        assert_eq!(edge.metric("slave/executors_preempted"), 1.0);
        edge.exited(&container, 9);
        let update = edge.one_update();
        assert_eq!((update.status.state(), update.status.reason()), (state, Reason::ContainerPreempted));
        assert!(update.status.message().contains("preempted"));
        edge.acknowledge(&update);
        assert!(edge.view().frameworks.is_empty());
        edge.advance(CORRECTIONS);
        assert_eq!(edge.corrections, 2);
    }
}

#[test]
fn an_executor_that_waits_for_its_record_is_preempted_too() {
    let mut edge = oversubscribing();
    edge.durable_at_once = false;
    edge.master_says(build::run(build::checkpointing(), revocable_task("t")));
    correct(&mut edge, vec![kill(Some("t"), None)]);
    assert!(edge.containers.is_empty());
    edge.durable_at_once = true;
    edge.persist_all();
    assert!(edge.containers.is_empty(), "it is never launched");
    let update = edge.one_update();
    assert_eq!(update.status.reason(), Reason::ContainerPreempted);
}

#[test]
fn what_a_correction_does_not_fit_is_left_alone() {
    let mut edge = oversubscribing();
    let (_, _) = edge.run_command("t");
    edge.containers.clear();
    let other = ContainerId::new("other");
    let mut nameless = kill(Some("t"), None);
    nameless.kill.as_mut().unwrap().framework_id = None;
    let mut empty = kill(Some("t"), None);
    empty.kill = None;
    let wrong = vec![kill(None, None), kill(Some("x"), None), kill(Some("t"), Some(&other)), nameless, empty];
    correct(&mut edge, wrong);
    edge.event(Event::Corrections(Err("the controller is ill".to_string())));
    assert!(edge.containers.is_empty());
    assert_eq!(edge.view().frameworks[0].executors[0].state, ExecutorState::Running);
    assert!(edge.timers.contains_key(&Timer::Correct));
}
