//! What operators' streams carry.

use std::time::Duration;

use messor_master_core::{Event, OperatorCall, Outcome, ReplyId, StreamId};
use messor_proto::mesos::TaskState;
use messor_proto::mesos::internal as wire;
use messor_proto::mesos::master::event::Type;
use messor_proto::mesos::scheduler::call;

use crate::world::*;

fn listen(world: &mut World) -> StreamId {
    let (stream, reply) = (StreamId(world.number()), ReplyId(world.number()));
    world.handle(Event::OperatorSubscribe { stream, reply, principal: None });
    stream
}

#[test]
fn the_life_of_a_task_as_an_operator_sees_it() {
    let mut world = World::new();
    listen(&mut world);
    assert!(world.operator_views[0].frameworks.is_empty());
    let agent = world.agent(1);
    let scheduler = world.subscribe(modern());
    world.allocation();
    let offer = world.offers(scheduler.stream).remove(0);
    world.accept(&scheduler, &[&offer], vec![task("t", &agent)]);
    for state in
        [TaskState::TaskStarting, TaskState::TaskRunning, TaskState::TaskRunning, TaskState::TaskFinished]
    {
        world.report(1, &scheduler.id, &agent, "t", state);
    }
    world.call(&scheduler, call::Type::Teardown, |_| ());
    world.message(&agent_pid(1), &wire::UnregisterAgentMessage { agent_id: (&agent).into() });

    let kinds: Vec<Type> = world.published.iter().map(|event| event.r#type()).collect();
    let updated = Type::TaskUpdated;
    // The second TASK_RUNNING says nothing new; the last TASK_UPDATED is the task that the framework takes along.
    let expected = [
        Type::AgentAdded,
        Type::FrameworkAdded,
        Type::TaskAdded,
        updated,
        updated,
        updated,
        updated,
        Type::FrameworkRemoved,
        Type::AgentRemoved,
    ];
    assert_eq!(kinds, expected);
    let added = world.published[2].task_added.as_ref().unwrap();
    assert_eq!((added.task.state(), added.task.statuses.len()), (TaskState::TaskStaging, 0));
    assert_eq!(
        added.task.resources[0].allocation_info.as_ref().unwrap().role(),
        offer.allocation_info.unwrap().role()
    );
    let running = world.published[4].task_updated.as_ref().unwrap();
    assert_eq!(running.state(), TaskState::TaskRunning);
    assert!(running.status.uuid.is_some());
    let agent_added = world.published[0].agent_added.as_ref().unwrap();
    assert_eq!(agent_added.agent.pid.as_deref(), Some("slave(1)@10.0.0.1:5051"));
}

#[test]
fn nothing_is_made_for_nobody_and_streams_are_bounded() {
    let mut config = config();
    config.max_operator_event_stream_subscribers = 2;
    let mut world = World::with(config, Default::default());
    world.agent(1);
    assert!(world.published.is_empty());
    let streams: Vec<StreamId> = (0..3).map(|_| listen(&mut world)).collect();
    assert_eq!(world.closed.iter().copied().collect::<Vec<_>>(), [streams[0]]);
    assert_eq!(world.metric("master/operator_event_stream_subscribers"), 2.0);
    for stream in streams {
        world.handle(Event::StreamClosed { stream });
    }
    world.agent(2);
    assert!(world.published.is_empty());
}

/// SUBSCRIBED promises a heartbeat every 15 seconds: clients take its absence for a broken connection.
#[test]
fn operators_hear_a_heartbeat_every_15_seconds() {
    let mut world = World::new();
    world.advance(std::time::Duration::from_secs(60));
    assert!(world.published.is_empty(), "nobody listens");
    listen(&mut world);
    world.advance(std::time::Duration::from_secs(46));
    let beats = world.published.iter().filter(|event| event.r#type() == Type::Heartbeat).count();
    assert_eq!(beats, 3);
}

/// Whoever lives from the events knows of it when an agent goes in another way.
#[test]
fn operators_hear_of_agents_that_are_unreachable_or_gone() {
    let mut world = World::new();
    listen(&mut world);
    let removed = |world: &World| {
        let events = world.published.iter().filter_map(|event| event.agent_removed.as_ref());
        events.map(|removed| removed.agent_id.value.clone()).collect::<Vec<_>>()
    };
    let first = world.agent(1);
    world.answer_pings = false;
    world.advance(Duration::from_secs(100));
    assert!(world.view().agents.is_empty());
    assert_eq!(removed(&world), [first.as_str()]);
    let second = world.agent(2);
    assert_eq!(world.operator(OperatorCall::MarkAgentGone { agent: second.clone() }), Outcome::Done);
    assert_eq!(removed(&world), [first.as_str(), second.as_str()]);
}
