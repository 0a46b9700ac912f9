//! The HTTP API of executors.

use messor_agent_core::{Event, ExecutorState, Outcome};
use messor_proto::mesos::TaskState::{TaskDropped, TaskRunning, TaskStaging};
use messor_proto::mesos::executor::{call, event};
use messor_proto::mesos::internal::{ExecutorToFrameworkMessage, FrameworkToExecutorMessage};
use messor_proto::mesos::task_status::{Reason, Source};
use messor_stdx::Duration;

use crate::build::{self, pid};
use crate::edge::Edge;

fn message_call(executor: &str, data: &[u8]) -> messor_proto::mesos::executor::Call {
    messor_proto::mesos::executor::Call {
        message: Some(call::Message { data: data.to_vec() }),
        ..build::call(executor, call::Type::Message)
    }
}

fn invalid(outcome: &Outcome, part: &str) {
    assert!(
        matches!(outcome, Outcome::Invalid(text) if text.contains(part)),
        "{outcome:?} is not about {part}"
    );
}

#[test]
fn calls_are_checked() {
    let mut edge = Edge::registered();
    edge.run_command("t");
    let mut call = build::call("t", call::Type::Update);
    call.r#type = None;
    invalid(&edge.call(call), "'type'");
    invalid(&edge.call(build::call("t", call::Type::Update)), "'update'");
    invalid(&edge.call(build::call("t", call::Type::Message)), "'message'");
    invalid(&edge.call(build::call("t", call::Type::Subscribe)), "'subscribe'");
    invalid(&edge.call(build::subscribe("t")), "without a stream");
    let update = |change: &dyn Fn(&mut messor_proto::mesos::TaskStatus)| {
        let mut call = build::update("t", "t", TaskRunning, 1);
        change(&mut call.update.as_mut().unwrap().status);
        call
    };
    invalid(&edge.call(update(&|status| status.uuid = None)), "'uuid'");
    invalid(&edge.call(update(&|status| status.uuid = Some(vec![1]))), "16 bytes");
    invalid(
        &edge.call(update(&|status| status.executor_id = Some(build::executor_id("x")))),
        "does not match",
    );
    invalid(&edge.call(update(&|status| status.source = None)), "SOURCE_EXECUTOR");
    invalid(&edge.call(update(&|status| status.source = Some(Source::Agent.into()))), "SOURCE_EXECUTOR");
    invalid(&edge.call(update(&|status| status.state = TaskStaging.into())), "TASK_STAGING");
    invalid(&edge.call(build::update("other", "t", TaskRunning, 1)), "Executor cannot be found");
    let mut call = build::update("t", "t", TaskRunning, 1);
    call.framework_id.value = "other".into();
    invalid(&edge.call(call), "Framework cannot be found");
    assert!(matches!(edge.call(build::call("t", call::Type::Unknown)), Outcome::NotSupported(_)));
    assert!(edge.updates().is_empty());
}

#[test]
fn heartbeats_need_no_known_executor() {
    let mut edge = Edge::registered();
    assert_eq!(edge.call(build::call("anybody", call::Type::Heartbeat)), Outcome::Accepted);
}

#[test]
fn nobody_calls_before_it_subscribed() {
    let mut edge = Edge::registered();
    edge.master_says(build::run(build::framework(), build::command_task("t")));
    let outcome = edge.call(build::update("t", "t", TaskRunning, 1));
    assert_eq!(outcome, Outcome::Forbidden("Executor is not subscribed".into()));
}

#[test]
fn a_refused_subscription_opens_no_stream() {
    let mut edge = Edge::registered();
    edge.subscribe(build::subscribe("nobody"));
    edge.run_command("t");
    edge.opened.clear();
    edge.subscribe(build::subscribe("nobody"));
    edge.subscribe(build::call("t", call::Type::Heartbeat));
    assert!(edge.opened.is_empty());
    assert_eq!(edge.replies.len(), 3);
    assert!(edge.replies.iter().all(|(_, outcome)| matches!(outcome, Outcome::Invalid(_))));
}

#[test]
fn messages_go_both_ways() {
    let mut edge = Edge::registered();
    edge.run_command("t");
    edge.events.clear();
    assert_eq!(edge.call(message_call("t", b"up")), Outcome::Accepted);
    let (to, message) = edge.take::<ExecutorToFrameworkMessage>().remove(0);
    assert_eq!((to, message.data.as_slice()), (build::master().to_string(), b"up".as_slice()));

    let down = FrameworkToExecutorMessage {
        agent_id: build::agent_id(),
        framework_id: build::framework_id(),
        executor_id: build::executor_id("t"),
        data: b"down".to_vec(),
    };
    edge.message(&pid("scheduler(1)@10.0.0.3:9000"), down.clone());
    assert_eq!(edge.events.remove(0).1.message.unwrap().data, b"down");
    assert_eq!(edge.metric("slave/valid_framework_messages"), 2.0);

    edge.master_says(FrameworkToExecutorMessage { executor_id: build::executor_id("x"), ..down });
    edge.event(Event::Detected { leader: None });
    edge.call(message_call("t", b"up"));
    assert_eq!(edge.metric("slave/invalid_framework_messages"), 2.0);
}

#[test]
fn streams_have_heartbeats() {
    let mut edge = Edge::registered();
    edge.run_command("t");
    edge.advance(Duration::from_secs(60));
    edge.run_command("u");
    edge.events.clear();
    edge.advance(Duration::from_secs(29 * 60));
    assert_eq!(edge.event_types(), [event::Type::Heartbeat]);
    edge.advance(Duration::from_secs(60));
    assert_eq!(edge.event_types(), [event::Type::Heartbeat]);
    edge.advance(Duration::from_secs(30 * 60));
    assert_eq!(edge.event_types(), [event::Type::Heartbeat, event::Type::Heartbeat]);
}

#[test]
fn a_second_subscription_takes_the_place_of_the_first() {
    let mut edge = Edge::registered();
    let (_, first) = edge.run_command("t");
    edge.events.clear();
    let mut again = build::subscribe("t");
    again.subscribe.as_mut().unwrap().unacknowledged_tasks = vec![build::command_task("t")];
    let second = edge.subscribe(again);
    assert_eq!(edge.closed, [first]);
    assert_eq!(edge.event_types(), [event::Type::Subscribed], "it has its task");
    edge.event(Event::StreamClosed { stream: first });
    edge.master_says(build::kill("t"));
    assert_eq!(edge.events[0].0, second);
}

#[test]
fn tasks_wait_while_an_executor_is_away() {
    let mut edge = Edge::registered();
    edge.master_says(build::run(build::framework(), build::executor_task("one", build::executor("e"))));
    let container = edge.launch().container;
    edge.launched(&container, 1);
    let stream = edge.subscribe(build::subscribe("e"));
    edge.call(build::update("e", "one", TaskRunning, 1));
    edge.event(Event::StreamClosed { stream });
    edge.events.clear();
    edge.master_says(build::run(build::framework(), build::executor_task("two", build::executor("e"))));
    edge.master_says(build::kill("one"));
    assert!(edge.events.is_empty());
    edge.subscribe(build::subscribe("e"));
    assert_eq!(edge.event_types(), [event::Type::Subscribed, event::Type::Kill, event::Type::Launch]);
    assert_eq!(edge.view().frameworks[0].executors[0].state, ExecutorState::Running);
}

#[test]
fn what_an_executor_did_not_hear_of_is_dropped_and_what_it_could_not_tell_is_taken() {
    let mut edge = Edge::registered();
    let executor = || build::executor("e");
    edge.master_says(build::run(build::framework(), build::executor_task("lost", executor())));
    edge.master_says(build::run(build::framework(), build::executor_task("kept", executor())));
    let container = edge.launch().container;
    edge.launched(&container, 1);
    edge.subscribe(build::subscribe("e"));
    let mut again = build::subscribe("e");
    let subscribe = again.subscribe.as_mut().unwrap();
    subscribe.unacknowledged_updates =
        vec![call::Update { status: build::status("e", "kept", TaskRunning, 9) }];
    edge.subscribe(again);
    let updates = edge.updates();
    let seen: Vec<_> = updates
        .iter()
        .map(|update| (update.status.task_id.value.as_str(), update.status.state(), update.status.source()))
        .collect();
    assert_eq!(seen, [("lost", TaskDropped, Source::Agent), ("kept", TaskRunning, Source::Executor)]);
    assert_eq!(updates[0].status.reason(), Reason::AgentRestarted);
}

#[test]
fn a_staging_update_ends_a_driver_that_sends_it() {
    // HTTP executors are refused before (see `calls_are_checked`); an update in SUBSCRIBE is not.
    let mut edge = Edge::registered();
    edge.run_command("t");
    let mut again = build::subscribe("t");
    let subscribe = again.subscribe.as_mut().unwrap();
    subscribe.unacknowledged_tasks = vec![build::command_task("t")];
    subscribe.unacknowledged_updates = vec![call::Update { status: build::status("t", "t", TaskStaging, 9) }];
    edge.subscribe(again);
    assert_eq!(edge.view().frameworks[0].executors[0].state, ExecutorState::Terminating);
    assert!(edge.updates().is_empty());
}
