//! Draining: what is there is killed, nothing new is taken, until nothing is left; also by the next agent (U007, U008).

use std::collections::BTreeMap;

use messor_agent_core::{Record, Timer};
use messor_proto::mesos::TaskState::{
    TaskDropped, TaskFinished, TaskGoneByOperator, TaskKilled, TaskKilling,
};
use messor_proto::mesos::agent_info::capability;
use messor_proto::mesos::executor::event;
use messor_proto::mesos::internal::{
    DrainAgentMessage, ExitedExecutorMessage, RegisterAgentMessage, RunTaskGroupMessage,
};
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{DrainConfig, DurationInfo, KillPolicy, TaskGroupInfo};
use messor_stdx::Duration;

use crate::build::{self, pid};
use crate::edge::Edge;
use crate::recovery::{left, next_config, reregister, running, with_task};

const NANOSECONDS: i64 = 1_000_000_000;

fn policy(seconds: i64) -> Option<KillPolicy> {
    Some(KillPolicy { grace_period: Some(DurationInfo { nanoseconds: seconds * NANOSECONDS }) })
}

fn drain(seconds: Option<i64>, mark_gone: bool) -> DrainAgentMessage {
    let max_grace_period = seconds.map(|seconds| DurationInfo { nanoseconds: seconds * NANOSECONDS });
    DrainAgentMessage { config: DrainConfig { max_grace_period, mark_gone: Some(mark_gone) } }
}

/// The policies of the kills that executors were told of.
fn kills(edge: &mut Edge) -> Vec<Option<KillPolicy>> {
    let events = std::mem::take(&mut edge.events);
    events.into_iter().filter_map(|(_, event)| event.kill).map(|kill| kill.kill_policy).collect()
}

fn configs(edge: &Edge) -> Vec<Option<DrainConfig>> {
    let configs = edge.records.iter().filter_map(|(_, record)| match record {
        Record::DrainConfig(config) => Some(config.as_deref().copied()),
        _ => None,
    });
    configs.collect()
}

#[test]
fn the_agent_says_that_it_can_be_drained() {
    let mut edge = Edge::new();
    edge.detect();
    edge.advance(Duration::from_secs(1));
    let capabilities = edge.one::<RegisterAgentMessage>().agent_capabilities;
    assert!(capabilities.iter().any(|is| is.r#type() == capability::Type::AgentDraining));
    assert_eq!(capabilities.len(), 8);
}

#[test]
fn tasks_are_killed_when_the_order_is_on_disk() {
    let (mut edge, container) = with_task();
    edge.records.clear();
    edge.message(&pid("master@10.0.0.2:5050"), drain(Some(5), false));
    assert!(edge.records.is_empty(), "it is not the leading master");
    edge.durable_at_once = false;
    edge.master_says(drain(Some(5), false));
    assert!(edge.events.is_empty());
    edge.durable_at_once = true;
    edge.persist_all();
    assert_eq!(kills(&mut edge), [policy(5)]);
    assert_eq!(edge.view().drain_config, Some(drain(Some(5), false).config));
    assert_eq!(edge.view().estimated_drain_start_time, Some(edge.now));

    edge.call(build::update("t", "t", TaskKilling, 2));
    let update = edge.one_update();
    assert_eq!((update.status.state(), update.status.reason()), (TaskKilling, Reason::AgentDraining));
    edge.acknowledge(&update);
    edge.call(build::update("t", "t", TaskKilled, 3));
    let update = edge.one_update();
    assert_eq!((update.status.state(), update.status.reason()), (TaskKilled, Reason::AgentDraining));
    edge.acknowledge(&update);
    assert!(edge.view().drain_config.is_some(), "the executor still runs");
    edge.exited(&container, 0);
    assert_eq!(edge.view().drain_config, None);
    assert_eq!(edge.view().estimated_drain_start_time, None);
    assert_eq!(configs(&edge), [Some(drain(Some(5), false).config), None]);
}

#[test]
fn the_shorter_grace_period_holds() {
    for (own, longest, told) in [
        (policy(7), Some(5), policy(5)),
        (policy(3), Some(5), None),
        (None, Some(0), policy(0)),
        (policy(7), None, None),
    ] {
        let mut edge = Edge::registered();
        let mut task = build::command_task("t");
        task.kill_policy = own;
        edge.master_says(build::run(build::framework(), task));
        let container = edge.launch().container;
        edge.launched(&container, 1);
        edge.subscribe(build::subscribe("t"));
        edge.events.clear();
        edge.master_says(drain(longest, false));
        assert_eq!(kills(&mut edge), [told]);
        // A later order takes the place of the one before, and kills again.
        edge.master_says(drain(Some(1), true));
        assert_eq!(kills(&mut edge), [policy(1)]);
        assert!(edge.view().drain_config.unwrap().mark_gone());
    }
}

#[test]
fn a_task_that_waits_for_its_executor_is_killed_at_once() {
    let mut edge = Edge::registered();
    edge.master_says(build::run(build::framework(), build::command_task("t")));
    let container = edge.launch().container;
    edge.launched(&container, 1);
    edge.master_says(drain(None, false));
    let update = edge.one_update();
    assert_eq!((update.status.state(), update.status.reason()), (TaskKilled, Reason::AgentDraining));
    edge.acknowledge(&update);
    edge.subscribe(build::subscribe("t"));
    assert_eq!(edge.event_types(), [event::Type::Shutdown]);
    edge.exited(&container, 0);
    assert_eq!(edge.view().drain_config, None);
}

#[test]
fn an_agent_that_is_marked_gone_says_so_of_its_tasks() {
    for (partition_aware, state) in [(true, TaskGoneByOperator), (false, TaskKilled)] {
        let mut edge = Edge::registered();
        let mut framework = build::framework();
        framework.capabilities.truncate(if partition_aware { 2 } else { 1 });
        edge.master_says(build::run(framework, build::command_task("t")));
        let container = edge.launch().container;
        edge.launched(&container, 1);
        edge.subscribe(build::subscribe("t"));
        edge.master_says(drain(None, true));
        edge.call(build::update("t", "t", TaskKilling, 1));
        let update = edge.one_update();
        assert_eq!(update.status.state(), TaskKilling, "it still runs");
        edge.acknowledge(&update);
        edge.call(build::update("t", "t", TaskKilled, 2));
        let update = edge.one_update();
        assert_eq!((update.status.state(), update.status.reason()), (state, Reason::AgentDraining));
    }
}

#[test]
fn what_a_task_came_to_by_itself_is_not_changed() {
    let (mut edge, _) = with_task();
    edge.master_says(drain(None, true));
    edge.call(build::update("t", "t", TaskFinished, 2));
    let update = edge.one_update();
    assert_eq!((update.status.state(), update.status.reason), (TaskFinished, None));
}

#[test]
fn new_tasks_are_refused_until_the_end() {
    let (mut edge, container) = with_task();
    edge.durable_at_once = false;
    edge.master_says(drain(None, false));
    let mut run = build::run(build::framework(), build::executor_task("new", build::executor("e")));
    run.launch_executor = Some(true);
    edge.master_says(run.clone());
    let update = edge.one_update();
    assert_eq!((update.status.state(), update.status.reason()), (TaskDropped, Reason::AgentDraining));
    edge.one::<ExitedExecutorMessage>();
    edge.acknowledge(&update);
    edge.durable_at_once = true;
    edge.persist_all();
    let mut executor = build::executor("group");
    executor.r#type = None;
    edge.master_says(RunTaskGroupMessage {
        framework: build::framework(),
        executor,
        task_group: TaskGroupInfo { tasks: vec![build::command_task("g")] },
        resource_version_uuids: Vec::new(),
        launch_executor: None,
    });
    let update = edge.one_update();
    assert_eq!((update.status.state(), update.status.reason()), (TaskDropped, Reason::AgentDraining));
    edge.acknowledge(&update);

    edge.call(build::update("t", "t", TaskKilled, 2));
    let update = edge.one_update();
    edge.acknowledge(&update);
    edge.exited(&container, 0);
    assert_eq!(edge.view().drain_config, None);
    edge.master_says(run);
    edge.launch();
}

#[test]
fn an_idle_agent_is_drained_already() {
    let mut edge = Edge::registered();
    edge.master_says(drain(Some(5), true));
    assert_eq!(edge.view().drain_config, None);
    assert!(configs(&edge).is_empty());
    edge.run_command("t");
}

#[test]
fn the_next_agent_goes_on() {
    let (mut edge, container) = with_task();
    edge.master_says(drain(Some(5), false));
    let mut edge = Edge::recovered(next_config(), left(&edge), running(&[&container]));
    edge.subscribe(build::subscribe("t"));
    assert_eq!(kills(&mut edge), [policy(5)]);
    assert_eq!(edge.view().drain_config, Some(drain(Some(5), false).config));
    reregister(&mut edge);
    edge.master_says(build::run(build::checkpointing(), build::command_task("new")));
    let update = edge.one_update();
    assert_eq!(update.status.reason(), Reason::AgentDraining);
    edge.acknowledge(&update);
    edge.call(build::update("t", "t", TaskKilled, 2));
    let update = edge.one_update();
    assert_eq!((update.status.state(), update.status.reason()), (TaskKilled, Reason::AgentDraining));
    edge.acknowledge(&update);
    edge.exited(&container, 0);
    assert_eq!(edge.view().drain_config, None);
    assert_eq!(configs(&edge), [None]);
}

#[test]
fn an_order_that_never_came_to_the_disk_killed_nothing() {
    let (mut edge, container) = with_task();
    edge.durable_at_once = false;
    edge.master_says(drain(Some(5), false));
    assert!(kills(&mut edge).is_empty());
    let mut edge = Edge::recovered(next_config(), left(&edge), running(&[&container]));
    edge.subscribe(build::subscribe("t"));
    assert!(kills(&mut edge).is_empty());
    assert_eq!(edge.view().drain_config, None);
}

#[test]
fn a_drain_that_was_over_but_for_its_record_is_over() {
    let (mut edge, container) = with_task();
    edge.master_says(drain(None, false));
    edge.call(build::update("t", "t", TaskKilled, 2));
    let update = edge.one_update();
    edge.acknowledge(&update);
    edge.exited(&container, 0);
    let mut past = left(&edge);
    // The agent crashed just before the end of the drain was on disk.
    past.drain_config = Some(drain(None, false).config);
    past.agent.as_mut().unwrap().frameworks.clear();
    let mut edge = Edge::recovered(next_config(), past, BTreeMap::new());
    assert_eq!(edge.view().drain_config, None);
    assert_eq!(configs(&edge), [None]);
    reregister(&mut edge);
    edge.run_command("new");
}

#[test]
fn the_end_of_the_drain_waits_for_acknowledgements() {
    let (mut edge, container) = with_task();
    edge.master_says(drain(None, false));
    edge.call(build::update("t", "t", TaskKilled, 2));
    edge.exited(&container, 0);
    assert!(edge.view().drain_config.is_some());
    let update = edge.one_update();
    edge.acknowledge(&update);
    assert_eq!(edge.view().drain_config, None);
    assert!(!edge.timers.keys().any(|timer| matches!(timer, Timer::UpdateRetry(..))));
}
