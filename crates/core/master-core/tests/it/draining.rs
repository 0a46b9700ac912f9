//! DRAIN_AGENT, DEACTIVATE_AGENT and REACTIVATE_AGENT, wherever the agent is. Rows: U007, U008.

use std::time::Duration;

use messor_master_core::{Event, OperatorCall, Outcome, ReplyId};
use messor_proto::mesos::internal as wire;
use messor_proto::mesos::scheduler::call;
use messor_proto::mesos::{
    self, DrainConfig, DrainState, DurationInfo, FrameworkInfo, OperationState, OperationStatus, TaskState,
    agent_info,
};
use messor_types::AgentId;

use crate::world::*;

fn drain_call(agent: &AgentId, grace_secs: Option<i64>, mark_gone: bool) -> OperatorCall {
    let max_grace_period = grace_secs.map(|secs| DurationInfo { nanoseconds: secs * 1_000_000_000 });
    OperatorCall::DrainAgent { agent: agent.clone(), max_grace_period, mark_gone }
}

fn ask(world: &mut World, call: OperatorCall) -> ReplyId {
    let reply = ReplyId(world.number());
    world.handle(Event::Operator { reply, principal: None, call });
    reply
}

fn drain(world: &mut World, agent: &AgentId) -> Outcome {
    world.operator(drain_call(agent, None, false))
}

fn reactivate(world: &mut World, agent: &AgentId) -> Outcome {
    world.operator(OperatorCall::ReactivateAgent { agent: agent.clone() })
}

fn told_to_drain(world: &mut World) -> Vec<DrainConfig> {
    world.take::<wire::DrainAgentMessage>(&agent_pid(1)).into_iter().map(|message| message.config).collect()
}

/// What readers see and what the registry has, which must be the same.
fn state(world: &World, agent: &AgentId) -> Option<DrainState> {
    let view = world.view();
    let shown = view.agents.iter().find(|shown| shown.id == *agent)?;
    let stored = world.registry.agents().find(|(id, _)| *id == agent).expect("an admitted agent").1;
    assert_eq!((shown.drain_info, shown.deactivated), (stored.drain_info, stored.deactivated()));
    assert!(!(shown.active && shown.deactivated));
    shown.drain_info.map(|info| info.state())
}

/// What must hold of draining and maintenance whenever no write is under way.
pub fn check(world: &World) {
    let view = world.view();
    for agent in &view.agents {
        let drain = state(world, &agent.id);
        let has = |framework: &messor_master_core::FrameworkView| {
            let tasks = framework.tasks.iter().any(|task| task.agent_id.value == agent.id.as_str());
            let offers = framework.offers.iter().any(|offer| offer.agent_id.value == agent.id.as_str());
            let asked = framework.inverse_offers.iter();
            let asked =
                asked.filter(|offer| offer.agent_id.as_ref().is_some_and(|id| id.value == agent.id.as_str()));
            (tasks, offers, asked.count())
        };
        let planned = world.registry.machines().find(|machine| {
            machine.id.hostname().eq_ignore_ascii_case(&agent.info.hostname)
                && machine.id.ip() == agent.pid.address.ip().to_string()
        });
        for framework in &view.frameworks {
            let (tasks, offers, asked) = has(framework);
            assert!(agent.active || (!offers && asked == 0), "nothing is offered of {}", agent.id);
            assert!(planned.is_some() || asked == 0, "nobody is asked to leave {}", agent.id);
            assert!(asked <= 1);
            assert!(drain != Some(DrainState::Drained) || !tasks, "{} is drained", agent.id);
            let of_agent = framework.offers.iter().filter(|offer| offer.agent_id.value == agent.id.as_str());
            for offer in of_agent {
                assert_eq!(offer.unavailability, planned.and_then(|machine| machine.unavailability));
            }
        }
    }
}

/// A task ends, and its framework takes note.
fn end_task(world: &mut World, agent: &AgentId, scheduler: &Scheduler) {
    let uuid = world.report(1, &scheduler.id, agent, "t", TaskState::TaskKilled);
    let (agent_id, task_id) = (agent.into(), task("t", agent).task_id);
    world.call(scheduler, call::Type::Acknowledge, |call| {
        call.acknowledge = Some(call::Acknowledge { agent_id, task_id, uuid });
    });
}

fn told_of_operations(world: &mut World, agent: &AgentId, operations: Vec<mesos::Operation>) {
    let message = wire::UpdateAgentMessage {
        agent_id: agent.into(),
        update_oversubscribed_resources: Some(false),
        operations: Some(wire::update_agent_message::Operations { operations }),
        ..Default::default()
    };
    world.message(&agent_pid(1), &message);
}

#[test]
fn an_agent_is_drained_when_its_last_task_is_acknowledged() {
    let Running { mut world, agent, scheduler } = World::running(modern());
    world.call(&scheduler, call::Type::Suppress, |call| call.suppress = Some(call::Suppress::default()));
    let other = world.subscribe(modern());
    world.allocation();
    assert_eq!(world.offers(other.stream).len(), 1);

    assert_eq!(world.operator(drain_call(&agent, Some(30), false)), Outcome::Done);
    let config = DrainConfig {
        max_grace_period: Some(DurationInfo { nanoseconds: 30_000_000_000 }),
        mark_gone: Some(false),
    };
    assert_eq!(told_to_drain(&mut world), [config]);
    assert!(world.events(other.stream).iter().any(|event| event.rescind.is_some()));
    assert_eq!(state(&world, &agent), Some(DrainState::Draining));
    assert_eq!(world.view().agents[0].estimated_drain_start_time, Some(world.now));
    assert_eq!(world.registry.minimum_capabilities().collect::<Vec<_>>(), ["AGENT_DRAINING"]);
    world.advance(Duration::from_secs(60));
    world.allocation();
    assert!(world.offers(other.stream).is_empty());
    assert!(
        matches!(reactivate(&mut world, &agent), Outcome::Invalid(text) if text.contains("still draining"))
    );

    let uuid = world.report(1, &scheduler.id, &agent, "t", TaskState::TaskKilled);
    assert_eq!(state(&world, &agent), Some(DrainState::Draining), "its framework has not acknowledged");
    let (agent_id, task_id) = ((&agent).into(), task("t", &agent).task_id);
    world.call(&scheduler, call::Type::Acknowledge, |call| {
        call.acknowledge = Some(call::Acknowledge { agent_id, task_id, uuid });
    });
    assert_eq!(state(&world, &agent), Some(DrainState::Drained));

    assert_eq!(reactivate(&mut world, &agent), Outcome::Done);
    assert_eq!(state(&world, &agent), None);
    assert_eq!(world.view().agents[0].estimated_drain_start_time, None);
    assert_eq!(world.registry.minimum_capabilities().count(), 0);
    world.allocation();
    assert_eq!(world.offers(other.stream).len(), 1, "it is offered again");
}

#[test]
fn a_drained_agent_may_be_marked_gone() {
    for (info, busy) in [(modern(), true), (modern(), false)] {
        let Running { mut world, agent, scheduler } = World::running(info);
        if !busy {
            end_task(&mut world, &agent, &scheduler);
        }
        assert_eq!(world.operator(drain_call(&agent, None, true)), Outcome::Done);
        assert_eq!(told_to_drain(&mut world).len(), 1);
        if busy {
            assert_eq!(state(&world, &agent), Some(DrainState::Draining));
            end_task(&mut world, &agent, &scheduler);
        }
        assert_eq!(world.take::<wire::ShutdownMessage>(&agent_pid(1)).len(), 1);
        assert!(world.view().agents.is_empty());
        assert_eq!((world.registry.agents().count(), world.registry.gone().count()), (0, 1));
        let message = world.reregistration(1, &agent);
        world.message(&agent_pid(1), &message);
        assert_eq!(world.take::<wire::ShutdownMessage>(&agent_pid(1)).len(), 1);
        assert!(matches!(drain(&mut world, &agent), Outcome::Invalid(_)));
    }
}

#[test]
fn what_is_refused() {
    let mut world = World::new();
    let agent = world.agent(1);
    let nobody = AgentId::new("nobody");
    assert!(matches!(drain(&mut world, &nobody), Outcome::Invalid(text) if text.contains("nobody")));
    let deactivate = |agent: &AgentId| OperatorCall::DeactivateAgent { agent: agent.clone() };
    assert!(matches!(world.operator(deactivate(&nobody)), Outcome::Invalid(_)));
    assert!(
        matches!(reactivate(&mut world, &agent), Outcome::Invalid(text) if text.contains("not deactivated"))
    );
    let negative = world.operator(drain_call(&agent, Some(-1), false));
    assert!(matches!(negative, Outcome::Invalid(text) if text.contains("max_grace_period")));

    // U008: an agent of before 1.9 would go on taking tasks.
    let mut older = register(2);
    older.agent_capabilities.retain(|has| has.r#type() != agent_info::capability::Type::AgentDraining);
    world.message(&agent_pid(2), &older);
    let older = world.view().agents[1].id.clone();
    assert!(matches!(drain(&mut world, &older), Outcome::Invalid(text) if text.contains("AGENT_DRAINING")));

    world.hold_stores = true;
    let gone = ask(&mut world, OperatorCall::MarkAgentGone { agent: agent.clone() });
    assert!(matches!(drain(&mut world, &agent), Outcome::Conflict(text) if text.contains("marked gone")));
    world.store_all();
    assert_eq!(world.reply(gone), Some(Outcome::Done));
    assert!(told_to_drain(&mut world).is_empty());
}

#[test]
fn a_deactivated_agent_runs_what_it_has_and_gets_no_more() {
    let Running { mut world, agent, scheduler } = World::running(modern());
    world.call(&scheduler, call::Type::Suppress, |call| call.suppress = Some(call::Suppress::default()));
    let other = world.subscribe(modern());
    world.allocation();
    assert_eq!(world.offers(other.stream).len(), 1);
    assert_eq!(world.operator(OperatorCall::DeactivateAgent { agent: agent.clone() }), Outcome::Done);
    assert!(world.events(other.stream).iter().any(|event| event.rescind.is_some()));
    assert!(told_to_drain(&mut world).is_empty() && world.updates(scheduler.stream).is_empty());
    assert_eq!((state(&world, &agent), world.view().agents[0].active), (None, false));

    // It stays so when its link breaks and when there is another master.
    world.exited(&agent_pid(1));
    let message = world.reregistration(1, &agent);
    world.message(&agent_pid(1), &message);
    assert!(world.view().agents[0].connected && !world.view().agents[0].active);
    let mut next = world.failover();
    next.message(&agent_pid(1), &message);
    let back = next.subscribe(FrameworkInfo { id: Some((&other.id).into()), ..modern() });
    next.allocation();
    assert!(next.offers(back.stream).is_empty());
    assert_eq!((state(&next, &agent), next.view().agents[0].active), (None, false));
    // An agent without its link is active when it is back.
    next.exited(&agent_pid(1));
    assert_eq!(reactivate(&mut next, &agent), Outcome::Done);
    assert!(!next.view().agents[0].active);
    next.message(&agent_pid(1), &message);
    assert!(next.view().agents[0].active);
    next.allocation();
    assert_eq!(next.offers(back.stream).len(), 1);
}

#[test]
fn an_unreachable_agent_drains_when_it_is_back() {
    let Running { mut world, agent, scheduler } = World::running(modern());
    let message = world.reregistration(1, &agent);
    world.lose(1);
    assert_eq!(world.operator(drain_call(&agent, Some(5), false)), Outcome::Done);
    assert!(told_to_drain(&mut world).is_empty());
    assert!(matches!(reactivate(&mut world, &agent), Outcome::Invalid(_)));
    world.message(&agent_pid(1), &message);
    assert_eq!(told_to_drain(&mut world).len(), 1);
    assert_eq!(state(&world, &agent), Some(DrainState::Draining));
    assert!(!world.view().agents[0].active);
    world.events(scheduler.stream);
    end_task(&mut world, &agent, &scheduler);
    assert_eq!(state(&world, &agent), Some(DrainState::Draining), "its operations are not known yet");
    told_of_operations(&mut world, &agent, Vec::new());
    assert_eq!(state(&world, &agent), Some(DrainState::Drained));

    // Reactivated while it is away: it is so, and the answer says that it is not there, as with 1.11.0.
    let message = world.reregistration(1, &agent);
    world.lose(1);
    assert!(
        matches!(reactivate(&mut world, &agent), Outcome::Conflict(text) if text.contains("reregisters"))
    );
    world.message(&agent_pid(1), &message);
    assert_eq!((state(&world, &agent), world.view().agents[0].active), (None, true));
    assert!(told_to_drain(&mut world).is_empty());
}

#[test]
fn draining_goes_on_under_another_master() {
    let Running { mut world, agent, scheduler } = World::running(modern());
    drain(&mut world, &agent);
    let message = world.reregistration(1, &agent);
    let mut next = world.failover();
    let back = next.subscribe(FrameworkInfo { id: Some((&scheduler.id).into()), ..modern() });
    next.message(&agent_pid(1), &message);
    assert_eq!(told_to_drain(&mut next).len(), 1);
    assert_eq!(state(&next, &agent), Some(DrainState::Draining));
    next.events(back.stream);
    end_task(&mut next, &agent, &back);
    told_of_operations(&mut next, &agent, Vec::new());
    assert_eq!(state(&next, &agent), Some(DrainState::Drained));
    // It is told once more by each master: it knows best whether there is something to do.
    let message = next.reregistration(1, &agent);
    let mut last = next.failover();
    last.message(&agent_pid(1), &message);
    assert_eq!((told_to_drain(&mut last).len(), state(&last, &agent)), (1, Some(DrainState::Drained)));
    last.allocation();

    // One that is not back yet can be drained too.
    let Running { world, agent, .. } = World::running(modern());
    let message = world.reregistration(1, &agent);
    let mut next = world.failover();
    assert_eq!(drain(&mut next, &agent), Outcome::Done);
    next.message(&agent_pid(1), &message);
    assert_eq!((told_to_drain(&mut next).len(), state(&next, &agent)), (1, Some(DrainState::Draining)));
}

#[test]
fn operations_are_waited_for() {
    let mut world = World::new();
    let agent = world.agent(1);
    let uuid = mesos::Uuid { value: vec![7; 16] };
    let pending = mesos::Operation {
        agent_id: Some((&agent).into()),
        latest_status: OperationStatus {
            state: OperationState::OperationPending as i32,
            ..Default::default()
        },
        uuid: uuid.clone(),
        ..Default::default()
    };
    told_of_operations(&mut world, &agent, vec![pending.clone()]);
    drain(&mut world, &agent);
    assert_eq!(state(&world, &agent), Some(DrainState::Draining));
    let status = OperationStatus {
        state: OperationState::OperationFinished as i32,
        uuid: Some(mesos::Uuid { value: vec![8; 16] }),
        ..Default::default()
    };
    let message = wire::UpdateOperationStatusMessage {
        agent_id: Some((&agent).into()),
        status,
        operation_uuid: Some(uuid),
        ..Default::default()
    };
    world.message(&agent_pid(1), &message);
    assert_eq!(state(&world, &agent), Some(DrainState::Drained));
}

#[test]
fn an_agent_is_drained_by_the_end_of_its_frameworks() {
    let Running { mut world, agent, scheduler } = World::running(modern());
    drain(&mut world, &agent);
    assert_eq!(state(&world, &agent), Some(DrainState::Draining));
    world.operator(OperatorCall::Teardown { framework: scheduler.id });
    assert_eq!(state(&world, &agent), Some(DrainState::Drained));

    // What is thought lost with the link may run on.
    let Running { mut world, agent, scheduler } =
        World::running(FrameworkInfo { checkpoint: Some(false), ..modern() });
    let message = world.reregistration(1, &agent);
    drain(&mut world, &agent);
    world.exited(&agent_pid(1));
    world.operator(OperatorCall::Teardown { framework: scheduler.id });
    assert_eq!(state(&world, &agent), Some(DrainState::Draining));
    world.message(&agent_pid(1), &message);
    told_of_operations(&mut world, &agent, Vec::new());
    assert_eq!(state(&world, &agent), Some(DrainState::Drained));
}

/// Nothing is said or done before it is durable, and what happens meanwhile counts.
#[test]
fn the_registry_is_slow() {
    let Running { mut world, agent, scheduler } = World::running(modern());
    world.hold_stores = true;
    let first = ask(&mut world, drain_call(&agent, Some(1), false));
    assert_eq!(world.reply(first), None);
    assert!(told_to_drain(&mut world).is_empty() && world.view().agents[0].active);
    // The task ends before it is so.
    end_task(&mut world, &agent, &scheduler);
    let second = ask(&mut world, drain_call(&agent, None, false));
    world.store_all();
    assert_eq!((world.reply(first), world.reply(second)), (Some(Outcome::Done), Some(Outcome::Done)));
    let periods: Vec<_> = told_to_drain(&mut world).iter().map(|config| config.max_grace_period).collect();
    assert_eq!(periods, [Some(DurationInfo { nanoseconds: 1_000_000_000 }), None]);
    assert_eq!(state(&world, &agent), Some(DrainState::Drained));
    assert_eq!(world.view().agents[0].drain_info.unwrap().config.max_grace_period, None);

    // Asked for again, to be gone, before it is marked drained; and reactivated before that is so.
    let gone = ask(&mut world, drain_call(&agent, None, true));
    assert!(matches!(reactivate(&mut world, &agent), Outcome::Invalid(_)));
    world.store_all();
    assert_eq!(world.reply(gone), Some(Outcome::Done));
    assert!(world.view().agents.is_empty() && world.registry.gone().count() == 1);

    // Removed, or marked gone, while it is to drain.
    for leaves in [true, false] {
        let Running { mut world, agent, .. } = World::running(modern());
        world.hold_stores = true;
        let leave = wire::UnregisterAgentMessage { agent_id: (&agent).into() };
        let calls = [drain_call(&agent, None, true), OperatorCall::DeactivateAgent { agent: agent.clone() }];
        let mut replies = Vec::new();
        if leaves {
            world.message(&agent_pid(1), &leave);
            replies.extend(calls.map(|call| ask(&mut world, call)));
        } else {
            replies.extend(calls.map(|call| ask(&mut world, call)));
            ask(&mut world, OperatorCall::MarkAgentGone { agent: agent.clone() });
        }
        world.store_all();
        for reply in replies {
            let outcome = world.reply(reply).expect("an answer");
            assert_eq!(matches!(outcome, Outcome::Conflict(_)), leaves, "{outcome:?}");
        }
        assert!(world.view().agents.is_empty());
        assert_eq!(world.registry.agents().count(), 0);
    }

    // Reactivated, while it is on its way out.
    let Running { mut world, agent, .. } = World::running(modern());
    world.operator(OperatorCall::DeactivateAgent { agent: agent.clone() });
    world.hold_stores = true;
    world.message(&agent_pid(1), &wire::UnregisterAgentMessage { agent_id: (&agent).into() });
    let reply = ask(&mut world, OperatorCall::ReactivateAgent { agent: agent.clone() });
    world.store_all();
    assert!(matches!(world.reply(reply), Some(Outcome::Conflict(_))));
}

/// A silent agent is given up, drained or not; its tasks are unreachable, and not over.
#[test]
fn an_agent_falls_silent_while_it_drains() {
    let Running { mut world, agent, scheduler } = World::running(modern());
    drain(&mut world, &agent);
    let message = world.reregistration(1, &agent);
    world.lose(1);
    let stored = world.registry.unreachable().next().expect("an unreachable agent").1;
    assert_eq!(stored.drain_info.unwrap().state(), DrainState::Draining);
    assert_eq!(world.view().frameworks[0].unreachable_tasks.len(), 1);
    world.events(scheduler.stream);
    world.message(&agent_pid(1), &message);
    assert_eq!(state(&world, &agent), Some(DrainState::Draining));
}
