//! MARK_AGENT_GONE, wherever the agent is.

use messor_master_core::{Event, OperatorCall, Outcome, ReplyId};
use messor_proto::mesos::internal as wire;
use messor_proto::mesos::{FrameworkInfo, TaskState, task_status::Reason};
use messor_types::AgentId;

use crate::world::*;

fn mark(world: &mut World, agent: &AgentId) -> Outcome {
    world.operator(OperatorCall::MarkAgentGone { agent: agent.clone() })
}

fn ask(world: &mut World, agent: &AgentId) -> ReplyId {
    let reply = ReplyId(world.number());
    let call = OperatorCall::MarkAgentGone { agent: agent.clone() };
    world.handle(Event::Operator { reply, principal: None, call });
    reply
}

#[test]
fn a_registered_agent_goes() {
    for (info, state, reason) in [
        (modern(), TaskState::TaskGoneByOperator, Reason::AgentRemovedByOperator),
        (FrameworkInfo { checkpoint: Some(true), ..old() }, TaskState::TaskLost, Reason::AgentRemoved),
    ] {
        let Running { mut world, agent, scheduler } = World::running(info);
        let bystander = world.subscribe(modern());
        assert_eq!(mark(&mut world, &agent), Outcome::Done);
        assert_eq!(world.take::<wire::ShutdownMessage>(&agent_pid(1)).len(), 1);
        let events = world.events(scheduler.stream);
        let status = events[0].update.as_ref().unwrap().status.clone();
        assert!(status.unreachable_time.is_none() && status.uuid.is_none());
        assert_eq!(states(&[status]), [(state, reason)]);
        assert_eq!(events[1].failure.as_ref().unwrap().agent_id.as_ref().unwrap().value, agent.as_str());
        assert!(world.events(bystander.stream).iter().any(|event| event.failure.is_some()));
        let view = world.view();
        let framework = &view.frameworks[0];
        assert!(view.agents.is_empty() && view.unreachable_agents.is_empty());
        assert_eq!((framework.unreachable_tasks.len(), framework.completed_tasks.len()), (0, 1));
        assert_eq!((world.registry.agents().count(), world.registry.gone().count()), (0, 1));
        assert_eq!(mark(&mut world, &agent), Outcome::Done, "it holds already");

        // It may not come back, nor be heard.
        let message = world.reregistration(1, &agent);
        world.message(&agent_pid(1), &message);
        assert_eq!(world.take::<wire::ShutdownMessage>(&agent_pid(1)).len(), 1);
        world.report(1, &scheduler.id, &agent, "t", TaskState::TaskFinished);
        assert!(world.events(scheduler.stream).is_empty() && world.view().agents.is_empty());
    }
}

#[test]
fn an_unreachable_agent_goes_and_its_tasks_are_over() {
    for (info, state) in [
        (modern(), TaskState::TaskGoneByOperator),
        (FrameworkInfo { checkpoint: Some(true), ..old() }, TaskState::TaskLost),
    ] {
        let Running { mut world, agent, scheduler } = World::running(info);
        world.lose(1);
        world.events(scheduler.stream);
        assert_eq!(world.view().frameworks[0].unreachable_tasks.len(), 1);
        assert_eq!(mark(&mut world, &agent), Outcome::Done);
        let updates = world.updates(scheduler.stream);
        assert_eq!(updates.iter().map(|status| status.state()).collect::<Vec<_>>(), [state]);
        let view = world.view();
        let framework = &view.frameworks[0];
        assert_eq!((framework.unreachable_tasks.len(), framework.completed_tasks.len()), (0, 1));
        assert_eq!(framework.completed_tasks[0].state(), state);
        assert_eq!(world.registry.unreachable().count(), 0);
        assert_eq!(world.metric("master/slaves_unreachable"), 0.0);
    }
}

#[test]
fn an_agent_of_the_registry_goes_before_it_comes_back() {
    let Running { world: before, agent, scheduler } = World::running(modern());
    let message = before.reregistration(1, &agent);
    let mut world = before.failover();
    let back = world.subscribe(FrameworkInfo { id: Some((&scheduler.id).into()), ..modern() });
    assert_eq!(mark(&mut world, &agent), Outcome::Done);
    assert!(world.view().recovered_agents.is_empty());
    assert!(world.events(back.stream).iter().any(|event| event.failure.is_some()));
    world.message(&agent_pid(1), &message);
    assert_eq!(world.take::<wire::ShutdownMessage>(&agent_pid(1)).len(), 1);
    assert!(world.view().agents.is_empty());
}

#[test]
fn one_thing_at_a_time() {
    let Running { mut world, agent, .. } = World::running(modern());
    let nobody = AgentId::new("nobody");
    assert!(matches!(mark(&mut world, &nobody), Outcome::NotFound(text) if text.contains("nobody")));

    world.hold_stores = true;
    let first = ask(&mut world, &agent);
    assert_eq!(world.reply(first), None, "nothing is said before it is durable");
    assert!(matches!(mark(&mut world, &agent), Outcome::Unavailable(_)));
    // It is neither unreachable nor removed nor back meanwhile.
    let leave = wire::UnregisterAgentMessage { agent_id: (&agent).into() };
    world.message(&agent_pid(1), &leave);
    let message = world.reregistration(1, &agent);
    world.message(&agent_pid(1), &message);
    world.answer_pings = false;
    world.advance(std::time::Duration::from_secs(100));
    assert_eq!(world.view().agents.len(), 1);
    world.store_all();
    assert_eq!(world.reply(first), Some(Outcome::Done));
    assert!(world.view().agents.is_empty());
    assert_eq!((world.registry.gone().count(), world.registry.unreachable().count()), (1, 0));

    let Running { mut world, agent, .. } = World::running(modern());
    world.hold_stores = true;
    world.message(&agent_pid(1), &wire::UnregisterAgentMessage { agent_id: (&agent).into() });
    assert!(matches!(mark(&mut world, &agent), Outcome::Unavailable(_)));
    let Running { mut world, agent, .. } = World::running(modern());
    world.hold_stores = true;
    world.answer_pings = false;
    world.advance(std::time::Duration::from_secs(100));
    assert!(matches!(mark(&mut world, &agent), Outcome::Unavailable(_)));
}

/// An agent is on its way back while it is marked gone: gone wins.
#[test]
fn gone_and_back_at_once() {
    let Running { mut world, agent, scheduler } = World::running(modern());
    let message = world.reregistration(1, &agent);
    world.lose(1);
    world.sent.clear();
    world.hold_stores = true;
    world.message(&agent_pid(1), &message);
    let reply = ask(&mut world, &agent);
    world.store_all();
    assert_eq!(world.reply(reply), Some(Outcome::Done));
    assert!(world.view().agents.is_empty() && world.registry.agents().count() == 0);
    let updates = world.updates(scheduler.stream);
    assert_eq!(updates.last().unwrap().state(), TaskState::TaskGoneByOperator);
    world.message(&agent_pid(1), &message);
    assert_eq!(world.take::<wire::ShutdownMessage>(&agent_pid(1)).len(), 1);
}
