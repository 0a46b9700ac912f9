//! Agents: registration, pings, broken links, loss and return.

use std::time::Duration;

use messor_master_core::{Event, Message, RateLimit, Timer};
use messor_proto::mesos::internal as wire;
use messor_proto::mesos::scheduler::call;
use messor_proto::mesos::{
    CommandInfo, ExecutorInfo, FrameworkInfo, TaskInfo, TaskState, task_status::Reason,
};
use messor_registry::{Operation, State};
use messor_types::{AgentId, Resource, ResourceFormat};

use crate::world::*;

#[test]
fn an_agent_is_told_only_what_the_registry_holds() {
    let mut world = World::new();
    world.hold_stores = true;
    world.message(&agent_pid(1), &register(1));
    world.message(&agent_pid(1), &register(1));
    assert!(world.sent.is_empty() && world.view().agents.is_empty());
    world.store_all();
    assert_eq!(world.registry.agents().count(), 1);
    assert_eq!(world.names(&agent_pid(1)), ["PingSlaveMessage", "SlaveRegisteredMessage"]);
    let registered = world.take::<wire::AgentRegisteredMessage>(&agent_pid(1)).remove(0);
    assert_eq!(registered.agent_id.value, "m-S0");
    assert_eq!(registered.connection.unwrap().total_ping_timeout_seconds, Some(75.0));
    assert!(world.links.contains(&agent_pid(1)));
    // It did not hear that, and asks again.
    world.message(&agent_pid(1), &register(1));
    assert_eq!(world.take::<wire::AgentRegisteredMessage>(&agent_pid(1)).len(), 1);
    assert_eq!(world.metric("master/slave_registrations"), 1.0);
    assert_eq!(world.metric("master/messages_register_slave"), 3.0);
}

#[test]
fn a_registry_that_fails_ends_the_master() {
    let mut world = World::new();
    world.hold_stores = true;
    world.message(&agent_pid(1), &register(1));
    world.fail_store();
    assert!(world.aborted.as_ref().unwrap().contains("disk full"));
    assert!(world.sent.is_empty());
}

/// U046: agents older than 1.0 are refused.
#[test]
fn some_agents_are_refused() {
    let mut config = config();
    config.require_agent_domain = true;
    let mut strict = World::with(config, State::default());
    strict.message(&agent_pid(1), &register(1));
    assert!(strict.view().agents.is_empty());

    let mut world = World::new();
    let with = |change: &dyn Fn(&mut wire::RegisterAgentMessage)| {
        let mut message = register(1);
        change(&mut message);
        message
    };
    for message in [
        with(&|m| m.version = Some("0.28.3".into())),
        with(&|m| m.version = Some("new".into())),
        with(&|m| m.version = None),
        with(&|m| m.agent.domain = Some(Default::default())),
        with(&|m| m.agent.resources[0].name.clear()),
        // Larger than what sums could hold.
        with(&|m| m.agent.resources = resources("cpus:1e300;mem:64")),
        with(&|m| m.agent.resources = resources("cpus:1;mem:1000000000001")),
        with(&|m| {
            m.agent.checkpoint = None;
            m.checkpointed_resources = resources("cpus(r):1");
        }),
    ] {
        world.message(&agent_pid(1), &message);
        assert!(world.sent.is_empty() && world.registry.agents().count() == 0, "{message:?}");
    }
    world.message(&agent_pid(1), &with(&|m| m.version = Some("1.0.0".into())));
    assert_eq!(world.view().agents.len(), 1);
}

/// U096: pings by agent_ping_timeout, an agent is given up after max_agent_ping_timeouts.
#[test]
fn a_silent_agent_becomes_unreachable_and_may_return() {
    let Running { mut world, agent, scheduler } = World::running(modern());
    world.answer_pings = false;
    let plain = world.subscribe(old());
    world.advance(Duration::from_secs(14));
    world.message(&agent_pid(1), &wire::PongAgentMessage {});
    world.advance(Duration::from_secs(70));
    world.handle(Event::Message { from: agent_pid(1), message: Message::read("PONG", b"") });
    world.advance(Duration::from_secs(70));
    assert_eq!(world.view().agents.len(), 1);
    world.events(scheduler.stream);

    world.advance(Duration::from_secs(20));
    assert!(world.view().agents.is_empty());
    let events = world.events(scheduler.stream);
    let status = &events[0].update.as_ref().unwrap().status;
    assert_eq!((status.state(), status.reason()), (TaskState::TaskUnreachable, Reason::AgentRemoved));
    assert!(status.unreachable_time.is_some() && status.uuid.is_none());
    let failures: Vec<_> = events.iter().filter_map(|event| event.failure.as_ref()).collect();
    assert_eq!(failures[0].agent_id.as_ref().unwrap().value, agent.as_str());
    assert!(world.events(plain.stream).iter().any(|event| event.failure.is_some()));
    assert_eq!(world.view().frameworks[0].unreachable_tasks.len(), 1);
    assert_eq!(world.registry.unreachable().count(), 1);
    for (name, value) in [
        ("master/slaves_unreachable", 1.0),
        ("master/tasks_unreachable", 1.0),
        ("master/slave_removals/reason_unhealthy", 1.0),
        ("master/slave_unreachable_completed", 1.0),
    ] {
        assert_eq!(world.metric(name), value, "{name}");
    }
    // The id of a task that may come back is not free.
    world.call(&plain, call::Type::Teardown, |_| ());
    let other = world.agent(2);
    world.allocation();
    let offer = world.offers(scheduler.stream).remove(0);
    world.accept(&scheduler, &[&offer], vec![task("t", &other)]);
    assert_eq!(states(&world.updates(scheduler.stream)), [(TaskState::TaskError, Reason::TaskInvalid)]);

    let message = world.reregistration(1, &agent);
    world.message(&agent_pid(1), &message);
    let back = world.updates(scheduler.stream);
    assert_eq!(states(&back), [(TaskState::TaskRunning, Reason::AgentReregistered)]);
    let view = world.view();
    assert_eq!((view.frameworks[0].tasks.len(), view.frameworks[0].unreachable_tasks.len()), (1, 0));
    assert_eq!(world.registry.unreachable().count(), 0);
    assert_eq!(world.take::<wire::AgentReregisteredMessage>(&agent_pid(1)).len(), 1);
    assert_eq!(world.take::<wire::UpdateFrameworkMessage>(&agent_pid(1)).len(), 1);
}

/// Found by the simulator: given up at once, while a launch was still on its way to it.
#[test]
fn an_agent_that_has_just_come_back_is_not_given_up_for_older_pings() {
    let Running { mut world, agent, .. } = World::running(modern());
    world.answer_pings = false;
    world.advance(Duration::from_secs(74));
    let message = world.reregistration(1, &agent);
    world.message(&agent_pid(1), &message);
    world.advance(Duration::from_secs(74));
    assert_eq!(world.view().agents.len(), 1);
    // A return is no more than a pong.
    world.advance(Duration::from_secs(20));
    assert!(world.view().agents.is_empty());
}

#[test]
fn tasks_of_older_frameworks_are_lost() {
    let Running { mut world, scheduler, .. } =
        World::running(FrameworkInfo { checkpoint: Some(true), ..old() });
    world.answer_pings = false;
    world.advance(Duration::from_secs(91));
    assert_eq!(states(&world.updates(scheduler.stream)), [(TaskState::TaskLost, Reason::AgentRemoved)]);
    assert_eq!(world.metric("master/task_lost/source_master/reason_slave_removed"), 1.0);
}

#[test]
fn nothing_is_said_before_the_loss_is_durable() {
    let Running { mut world, scheduler, agent } = World::running(modern());
    world.answer_pings = false;
    world.hold_stores = true;
    world.advance(Duration::from_secs(91));
    assert!(world.updates(scheduler.stream).is_empty());
    // What it says meanwhile comes too late.
    let message = world.reregistration(1, &agent);
    world.message(&agent_pid(1), &message);
    world.store_all();
    assert_eq!(
        states(&world.updates(scheduler.stream)),
        [(TaskState::TaskUnreachable, Reason::AgentRemoved)]
    );
    world.report(1, &scheduler.id, &agent, "t", TaskState::TaskFinished);
    assert!(world.updates(scheduler.stream).is_empty());
    assert_eq!(world.metric("master/invalid_status_updates"), 1.0);
}

#[test]
fn a_broken_link_leaves_time_to_come_back() {
    let Running { mut world, agent, scheduler } = World::running(modern());
    world.allocation();
    let offer = world.offers(scheduler.stream).remove(0);
    world.exited(&agent_pid(1));
    assert_eq!(world.events(scheduler.stream)[0].rescind.as_ref().unwrap().offer_id, offer.id);
    world.allocation();
    assert!(world.offers(scheduler.stream).is_empty());
    assert_eq!(world.metric("master/slaves_disconnected"), 1.0);
    world.sent.clear();
    world.advance(Duration::from_secs(15));
    assert!(!world.take::<wire::PingAgentMessage>(&agent_pid(1))[0].connected);
    // A kill waits for it.
    world.call(&scheduler, call::Type::Kill, |call| {
        call.kill = Some(call::Kill { task_id: task("t", &agent).task_id, ..Default::default() });
    });
    assert!(world.take::<wire::KillTaskMessage>(&agent_pid(1)).is_empty());

    let message = world.reregistration(1, &agent);
    world.message(&agent_pid(1), &message);
    assert_eq!(world.take::<wire::AgentReregisteredMessage>(&agent_pid(1))[0].reconciliations.len(), 0);
    assert_eq!(world.take::<wire::KillTaskMessage>(&agent_pid(1)).len(), 1);
    assert!(!world.has_timer(&Timer::AgentReregister(agent)));
    assert_eq!(world.metric("master/slaves_active"), 1.0);
    world.allocation();
    assert_eq!(world.offers(scheduler.stream).len(), 1);
}

#[test]
fn an_agent_that_comes_back_is_asked_about_what_it_does_not_name() {
    let Running { mut world, agent, .. } = World::running(modern());
    let mut message = world.reregistration(1, &agent);
    message.tasks.clear();
    world.message(&agent_pid(1), &message);
    let answer = world.take::<wire::AgentReregisteredMessage>(&agent_pid(1)).remove(0);
    let question = &answer.reconciliations[0].statuses[0];
    assert_eq!((question.task_id.value.as_str(), question.reason()), ("t", Reason::Reconciliation));
    assert_eq!(world.view().frameworks[0].tasks.len(), 1);
}

/// U109: without checkpoints nothing outlives the agent's process.
#[test]
fn frameworks_without_checkpoints_lose_their_tasks_with_the_link() {
    let info = FrameworkInfo { checkpoint: None, ..modern() };
    let Running { mut world, scheduler, .. } = World::running(info);
    world.exited(&agent_pid(1));
    assert_eq!(states(&world.updates(scheduler.stream)), [(TaskState::TaskLost, Reason::AgentDisconnected)]);
    assert!(world.view().agents[0].used.is_empty());
}

#[test]
fn a_disconnected_agent_is_given_up_after_its_time() {
    let Running { mut world, scheduler, agent } = World::running(modern());
    world.exited(&agent_pid(1));
    world.exited(&agent_pid(1));
    for _ in 0..41 {
        // Its process answers pings, but does not reregister.
        world.message(&agent_pid(1), &wire::PongAgentMessage {});
        world.advance(Duration::from_secs(15));
    }
    assert!(world.view().agents.is_empty());
    let updates = world.updates(scheduler.stream);
    assert_eq!(states(&updates), [(TaskState::TaskUnreachable, Reason::AgentRemoved)]);
    assert!(updates[0].message.as_ref().unwrap().contains("10mins"), "{updates:?}");
    assert!(!world.links.contains(&agent_pid(1)) && !world.has_timer(&Timer::Ping(agent)));
}

#[test]
fn losses_keep_to_the_rate_limit() {
    let mut config = config();
    config.agent_removal_rate_limit = Some(RateLimit { times: 1, per: Duration::from_secs(100) });
    let mut world = World::with(config, State::default());
    world.answer_pings = false;
    for number in 1..=3 {
        world.agent(number);
    }
    world.advance(Duration::from_secs(80));
    assert_eq!(world.view().agents.len(), 2);
    // The second answers again before its turn.
    world.message(&agent_pid(2), &wire::PongAgentMessage {});
    assert_eq!(world.metric("master/slave_unreachable_canceled"), 1.0);
    for _ in 0..30 {
        world.advance(Duration::from_secs(10));
        world.message(&agent_pid(2), &wire::PongAgentMessage {});
    }
    let view = world.view();
    assert_eq!(view.agents.iter().map(|agent| agent.info.hostname.as_str()).collect::<Vec<_>>(), ["host2"]);
}

#[test]
fn an_agent_unregisters() {
    let Running { mut world, scheduler, agent } = World::running(modern());
    let leave = wire::UnregisterAgentMessage { agent_id: (&agent).into() };
    world.message(&agent_pid(9), &leave);
    assert_eq!(world.view().agents.len(), 1);
    world.message(&agent_pid(1), &leave);
    assert!(world.view().agents.is_empty() && world.registry.agents().count() == 0);
    let events = world.events(scheduler.stream);
    let status = events[0].update.as_ref().unwrap().status.clone();
    assert_eq!(states(&[status]), [(TaskState::TaskLost, Reason::AgentRemoved)]);
    assert!(events[1].failure.is_some());
    assert_eq!(world.metric("master/slave_removals/reason_unregistered"), 1.0);
    world.report(1, &scheduler.id, &agent, "t", TaskState::TaskFinished);
    let message = wire::ExecutorToFrameworkMessage {
        agent_id: (&agent).into(),
        framework_id: (&scheduler.id).into(),
        ..Default::default()
    };
    world.message(&agent_pid(1), &message);
    assert!(world.events(scheduler.stream).is_empty());
    assert_eq!(world.metric("master/invalid_executor_to_framework_messages"), 1.0);
}

#[test]
fn a_new_agent_at_the_address_of_a_disconnected_one() {
    let mut world = World::new();
    let first = world.agent(1);
    world.exited(&agent_pid(1));
    let second = world.agent(1);
    assert_ne!(first, second);
    let view = world.view();
    assert_eq!(view.agents.iter().map(|agent| &agent.id).collect::<Vec<_>>(), [&second]);
    assert!(world.links.contains(&agent_pid(1)));
    assert_eq!(world.metric("master/slave_removals/reason_registered"), 1.0);
    world.answer_pings = false;
    world.message(&agent_pid(1), &wire::PongAgentMessage {});
    world.advance(Duration::from_secs(75));
    assert_eq!(world.view().agents.len(), 1);
}

/// A new master: agents come from the registry, frameworks from the agents (U111).
#[test]
fn a_new_master_learns_from_those_who_come_back() {
    let Running { world: mut before, agent, scheduler } = World::running(modern());
    let lost = before.agent(2);
    let message = before.reregistration(1, &agent);
    let mut world = World::with(config(), before.registry);
    assert_eq!(world.view().recovered_agents.len(), 2);
    world.message(&agent_pid(1), &message);
    let view = world.view();
    assert_eq!((view.agents.len(), view.recovered_agents.len()), (1, 1));
    let framework = &view.frameworks[0];
    assert!(framework.framework.recovered && !framework.framework.connected && framework.tasks.len() == 1);
    // Its updates wait on the agent until it is back.
    world.report(1, &scheduler.id, &agent, "t", TaskState::TaskRunning);
    assert_eq!(world.metric("master/invalid_status_updates"), 1.0);

    let back = world.subscribe(FrameworkInfo { id: Some((&scheduler.id).into()), ..modern() });
    assert!(!world.view().frameworks[0].framework.recovered);
    world.allocation();
    let offers = world.offers(back.stream);
    assert_eq!(offers.len(), 1, "what the task leaves");
    world.advance(Duration::from_secs(30));
    world.message(&agent_pid(1), &wire::PongAgentMessage {});
    for _ in 0..39 {
        world.advance(Duration::from_secs(15));
        world.message(&agent_pid(1), &wire::PongAgentMessage {});
    }
    let view = world.view();
    assert_eq!(view.unreachable_agents.iter().map(|(id, _)| id).collect::<Vec<_>>(), [&lost]);
    assert_eq!(world.metric("master/recovery_slave_removals"), 1.0);
    assert!(world.events(back.stream).iter().any(|event| event.failure.is_some()));
    // An id that is in use is not given again.
    assert_eq!(world.subscribe(modern()).id.as_str(), "m-0001");
}

#[test]
fn completed_frameworks_are_shut_down_on_agents_that_come_back() {
    let Running { mut world, agent, scheduler } = World::running(modern());
    let message = world.reregistration(1, &agent);
    world.exited(&agent_pid(1));
    world.call(&scheduler, call::Type::Teardown, |_| ());
    world.sent.clear();
    world.message(&agent_pid(1), &message);
    assert_eq!(world.take::<wire::ShutdownFrameworkMessage>(&agent_pid(1)).len(), 1);
    assert!(world.view().agents[0].used.is_empty());
}

#[test]
fn agents_that_are_gone_or_moved_are_shut_down() {
    let mut world = World::new();
    let id = world.agent(1);
    let message = world.reregistration(1, &id);
    world.message(&agent_pid(7), &message);
    assert_eq!(world.take::<wire::ShutdownMessage>(&agent_pid(7)).len(), 1);
    let mut renamed = message.clone();
    renamed.agent.hostname = "other".into();
    world.message(&agent_pid(1), &renamed);
    assert_eq!(world.take::<wire::ShutdownMessage>(&agent_pid(1)).len(), 1);

    let mut registry = world.registry.clone();
    registry.apply(&Operation::MarkAgentGone { id, time: world.now }).unwrap();
    let mut world = World::with(config(), registry);
    world.message(&agent_pid(1), &message);
    assert_eq!(world.take::<wire::ShutdownMessage>(&agent_pid(1)).len(), 1);
    assert!(world.view().agents.is_empty());
}

/// U038: an agent comes back with more resources and keeps its id.
#[test]
fn an_agent_comes_back_with_more() {
    let Running { mut world, agent, scheduler } = World::running(modern());
    let mut message = world.reregistration(1, &agent);
    message.agent.resources = resources("cpus:8;mem:4096;disk:1000;ports:[1000-2000]");
    world.message(&agent_pid(1), &message);
    assert_eq!(
        world.registry.agents().next().unwrap().1.info.resources[0].scalar.as_ref().unwrap().value,
        8.0
    );
    assert_eq!(world.view().agents[0].total.cpus().unwrap().units(), 8);
    world.allocation();
    let offered: f64 = world
        .offers(scheduler.stream)
        .iter()
        .flat_map(|offer| &offer.resources)
        .filter(|resource| resource.name == "cpus")
        .map(|resource| resource.scalar.as_ref().unwrap().value)
        .sum();
    assert_eq!(offered, 7.0);
}

#[test]
fn oversubscribed_resources_are_offered() {
    let mut world = World::new();
    let agent = world.agent(1);
    let revocable = Resource::scalar("cpus", 2.0).with_revocable().to_proto(ResourceFormat::PostRefinement);
    let update = |agent: &AgentId| wire::UpdateAgentMessage {
        agent_id: agent.into(),
        update_oversubscribed_resources: Some(true),
        oversubscribed_resources: vec![revocable.clone()],
        ..Default::default()
    };
    world.message(&agent_pid(1), &update(&agent));
    world.message(&agent_pid(1), &update(&AgentId::new("nobody")));
    assert_eq!(world.metric("master/cpus_revocable_total"), 2.0);
    assert_eq!(world.metric("master/cpus_total"), 4.0);
    // With it gone, what was offered of it is taken back.
    let capability = messor_proto::mesos::framework_info::Capability { r#type: Some(1) };
    let mut info = modern();
    info.capabilities.push(capability);
    let scheduler = world.subscribe(info);
    world.allocation();
    let offers = world.offers(scheduler.stream);
    assert!(offers.iter().any(|offer| offer.resources.iter().any(|resource| resource.revocable.is_some())));
    world.message(
        &agent_pid(1),
        &wire::UpdateAgentMessage { oversubscribed_resources: vec![], ..update(&agent) },
    );
    assert!(world.events(scheduler.stream).iter().any(|event| event.rescind.is_some()));
    assert_eq!(world.metric("master/cpus_revocable_total"), 0.0);
    world.message(&agent_pid(1), &update(&agent));
    // An update that speaks of nothing leaves all as it is.
    let nothing = wire::UpdateAgentMessage {
        agent_id: (&agent).into(),
        update_oversubscribed_resources: Some(false),
        ..Default::default()
    };
    world.message(&agent_pid(1), &nothing);
    assert_eq!(world.metric("master/cpus_revocable_total"), 2.0);
}

/// U084: the framework hears that a custom executor ended.
#[test]
fn executors_end() {
    let mut world = World::new();
    let agent = world.agent(1);
    let scheduler = world.subscribe(modern());
    world.allocation();
    let offer = world.offers(scheduler.stream).remove(0);
    let executor = ExecutorInfo {
        executor_id: messor_types::ExecutorId::new("e").into(),
        command: Some(CommandInfo::default()),
        resources: resources("cpus:0.5;mem:32"),
        ..Default::default()
    };
    let of = |id: &str| TaskInfo { command: None, executor: Some(executor.clone()), ..task(id, &agent) };
    world.accept(&scheduler, &[&offer], vec![of("t1"), of("t2")]);
    let runs = world.take::<wire::RunTaskMessage>(&agent_pid(1));
    assert_eq!(runs.iter().map(|run| run.launch_executor()).collect::<Vec<_>>(), [true, false]);
    assert_eq!(world.view().frameworks[0].executors.len(), 1);
    world.allocation();
    assert_eq!(world.offers(scheduler.stream)[0].executor_ids.len(), 1);

    let exited = wire::ExitedExecutorMessage {
        agent_id: (&agent).into(),
        framework_id: (&scheduler.id).into(),
        executor_id: executor.executor_id.clone(),
        status: 256,
    };
    world.message(&agent_pid(1), &exited);
    world.message(&agent_pid(1), &exited);
    let events = world.events(scheduler.stream);
    assert_eq!(events.len(), 1);
    let failure = events[0].failure.as_ref().unwrap();
    assert_eq!((failure.status, failure.executor_id.as_ref().unwrap().value.as_str()), (Some(256), "e"));
    assert!(world.view().frameworks[0].executors.is_empty());
}
