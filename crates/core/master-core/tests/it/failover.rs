//! A new master: agents come back with what they know, frameworks come back with their ids (U111).

use std::time::Duration;

use messor_master_core::{Config, Outcome, RateLimit, Timer};
use messor_proto::mesos::internal::{self as wire, Registry, archive, registry};
use messor_proto::mesos::scheduler::call;
use messor_proto::mesos::{
    self, CommandInfo, ExecutorInfo, FrameworkInfo, Task, TaskState, TaskStatus, resource,
};
use messor_registry::State;
use messor_types::{AgentId, ExecutorId, FrameworkId};

use crate::world::*;

const MINUTE: Duration = Duration::from_secs(60);

/// A master with agents 1 to 3, and one after it.
fn three_agents(config: Config) -> (World, Vec<AgentId>, Vec<wire::ReregisterAgentMessage>) {
    let mut before = World::new();
    let ids: Vec<AgentId> = (1..=3).map(|number| before.agent(number)).collect();
    let messages = ids.iter().zip(1..).map(|(id, number)| before.reregistration(number, id)).collect();
    (World::with(config, before.registry), ids, messages)
}

fn with_id(info: FrameworkInfo, id: &FrameworkId) -> FrameworkInfo {
    FrameworkInfo { id: Some(id.into()), ..info }
}

fn unreachable(world: &World) -> usize {
    world.registry.unreachable().count()
}

/// An executor of framework `framework` with one running task, as an agent tells of them.
fn reported(
    framework: &str,
    agent: &AgentId,
    role: Option<&str>,
) -> (ExecutorInfo, Task, Vec<mesos::Resource>) {
    let allocated = |text: &str| -> Vec<mesos::Resource> {
        let allocation_info = role.map(|role| resource::AllocationInfo { role: Some(role.into()) });
        let of = |resource| mesos::Resource { allocation_info: allocation_info.clone(), ..resource };
        resources(text).into_iter().map(of).collect()
    };
    let executor = ExecutorInfo {
        executor_id: ExecutorId::new("e").into(),
        framework_id: Some(FrameworkId::new(framework).into()),
        command: Some(CommandInfo::default()),
        resources: allocated("cpus:0.5;mem:32"),
        ..Default::default()
    };
    let task = Task {
        name: "t".into(),
        task_id: mesos::TaskId { value: "t".into() },
        framework_id: FrameworkId::new(framework).into(),
        executor_id: Some(executor.executor_id.clone()),
        agent_id: agent.into(),
        state: TaskState::TaskRunning as i32,
        resources: allocated("cpus:1;mem:64"),
        statuses: vec![TaskStatus {
            task_id: mesos::TaskId { value: "t".into() },
            state: TaskState::TaskRunning as i32,
            ..Default::default()
        }],
        ..Default::default()
    };
    (executor, task, allocated("cpus:1.5;mem:96"))
}

#[test]
fn agents_have_their_time_and_then_become_unreachable() {
    let (mut world, ids, messages) = three_agents(config());
    assert_eq!(world.view().recovered_agents.len(), 3);
    world.message(&agent_pid(1), &messages[0]);
    world.advance(9 * MINUTE);
    world.message(&agent_pid(2), &messages[1]);
    assert_eq!(unreachable(&world), 0);
    let scheduler = world.subscribe(modern());
    world.advance(2 * MINUTE);
    let view = world.view();
    assert_eq!((view.agents.len(), view.recovered_agents.len(), unreachable(&world)), (2, 0, 1));
    assert_eq!(view.unreachable_agents[0].0, ids[2]);
    let failures: Vec<_> = world.events(scheduler.stream);
    assert_eq!(failures.iter().filter(|event| event.failure.is_some()).count(), 1);
    for (name, value) in [
        ("master/recovery_slave_removals", 1.0),
        ("master/slave_removals", 1.0),
        ("master/slave_removals/reason_unhealthy", 1.0),
        ("master/slave_unreachable_scheduled", 1.0),
        ("master/slave_unreachable_completed", 1.0),
        ("master/slave_reregistrations", 2.0),
        ("master/slave_registrations", 0.0),
        ("master/slaves_unreachable", 1.0),
    ] {
        assert_eq!(world.metric(name), value, "{name}");
    }
    // It was only late.
    world.message(&agent_pid(3), &messages[2]);
    assert_eq!((world.view().agents.len(), unreachable(&world)), (3, 0));
}

#[test]
fn a_master_that_would_give_up_too_many_ends() {
    for (limit, ends) in [(0.5, true), (0.7, false), (1.0, false), (0.0, true)] {
        let (mut world, _, messages) =
            three_agents(Config { recovery_agent_removal_limit: limit, ..config() });
        world.message(&agent_pid(1), &messages[0]);
        world.advance(11 * MINUTE);
        assert_eq!(world.aborted.is_some(), ends, "{limit}");
        assert_eq!(unreachable(&world), if ends { 0 } else { 2 }, "{limit}");
        if let Some(reason) = &world.aborted {
            assert!(
                reason.contains("--recovery_agent_removal_limit") && reason.contains("2 of 3"),
                "{reason}"
            );
        }
    }
    // With all of them there nothing is wrong with 0 %.
    let (mut world, _, messages) = three_agents(Config { recovery_agent_removal_limit: 0.0, ..config() });
    for (message, number) in messages.iter().zip(1..) {
        world.message(&agent_pid(number), message);
    }
    world.advance(11 * MINUTE);
    assert!(world.aborted.is_none());
}

#[test]
fn giving_up_keeps_to_the_rate_limit() {
    let limit = Some(RateLimit { times: 1, per: 2 * MINUTE });
    let (mut world, ids, messages) = three_agents(Config { agent_removal_rate_limit: limit, ..config() });
    world.advance(10 * MINUTE);
    assert_eq!((unreachable(&world), world.metric("master/slave_unreachable_scheduled")), (1, 3.0));
    world.message(&agent_pid(2), &messages[1]);
    assert_eq!(world.metric("master/slave_unreachable_canceled"), 1.0);
    world.advance(3 * MINUTE);
    assert_eq!((unreachable(&world), world.view().recovered_agents.len()), (1, 1));
    world.advance(MINUTE);
    assert_eq!((unreachable(&world), world.view().recovered_agents.len()), (2, 0));
    assert_eq!(world.view().agents[0].id, ids[1]);
    assert_eq!(world.metric("master/slave_unreachable_completed"), 2.0);
}

/// The registry hears of an agent that comes back only if there is something new.
#[test]
fn a_failover_costs_the_registry_nothing() {
    let (mut world, _, mut messages) = three_agents(config());
    world.hold_stores = true;
    world.message(&agent_pid(1), &messages[0]);
    assert_eq!(world.take::<wire::AgentReregisteredMessage>(&agent_pid(1)).len(), 1);
    // Before it is back, an agent of the registry may have another name and address.
    messages[1].agent.hostname = "renamed".into();
    world.message(&agent_pid(7), &messages[1]);
    world.message(&agent_pid(7), &messages[1]);
    assert!(world.take::<wire::AgentReregisteredMessage>(&agent_pid(7)).is_empty());
    // Its time is over while the registry is asked: it is here nevertheless.
    world.advance(11 * MINUTE);
    world.store_all();
    assert_eq!(world.take::<wire::AgentReregisteredMessage>(&agent_pid(7)).len(), 1);
    let view = world.view();
    assert_eq!(
        view.agents.iter().map(|agent| agent.info.hostname.as_str()).collect::<Vec<_>>(),
        ["host1", "renamed"]
    );
    assert_eq!(unreachable(&world), 1);
    assert!(world.registry.agents().any(|(_, agent)| agent.info.hostname == "renamed"));
}

/// U046 and the other rules for agents hold for those that come back, too. They are not shut down: their tasks go on.
#[test]
fn agents_that_may_not_come_back_are_left_alone() {
    let (mut world, _, messages) = three_agents(config());
    let changes: [&dyn Fn(&mut wire::ReregisterAgentMessage); 5] = [
        &|m| m.version = Some("0.28.3".into()),
        &|m| m.version = None,
        &|m| m.agent.domain = Some(Default::default()),
        &|m| m.agent.resources[0].name.clear(),
        &|m| m.agent.id = None,
    ];
    for change in changes {
        let mut message = messages[0].clone();
        change(&mut message);
        world.message(&agent_pid(1), &message);
        assert!(world.sent.is_empty() && world.view().agents.is_empty(), "{message:?}");
    }
    world.message(&agent_pid(1), &messages[0]);
    assert_eq!(world.view().agents.len(), 1);
}

#[test]
fn executors_tasks_and_frameworks_are_rebuilt() {
    let (mut world, ids, mut messages) = three_agents(config());
    let (executor, task, used) = reported("f", &ids[0], Some("a"));
    let info = with_id(modern(), &FrameworkId::new("f"));
    messages[0].frameworks = vec![info.clone()];
    messages[0].executor_infos = vec![executor];
    messages[0].tasks = vec![task.clone()];
    let ended = Task {
        task_id: mesos::TaskId { value: "ended".into() },
        state: TaskState::TaskFinished as i32,
        ..task.clone()
    };
    messages[0].tasks.push(ended);
    let completed = Task { task_id: mesos::TaskId { value: "completed".into() }, ..task };
    messages[0].completed_frameworks = vec![
        archive::Framework {
            framework_info: info.clone(),
            tasks: vec![completed.clone()],
            ..Default::default()
        },
        archive::Framework {
            framework_info: with_id(modern(), &FrameworkId::new("over")),
            tasks: vec![completed],
            ..Default::default()
        },
    ];
    world.message(&agent_pid(1), &messages[0]);
    let view = world.view();
    let framework = &view.frameworks[0];
    assert_eq!(view.frameworks.len(), 1, "a framework that is over is not made again");
    assert!(framework.framework.recovered && !framework.framework.active);
    assert_eq!(
        (framework.tasks.len(), framework.executors.len(), framework.completed_tasks.len()),
        (2, 1, 1)
    );
    // The task that ended uses nothing.
    let used = messor_types::Resources::from_proto(&used).unwrap();
    assert_eq!((&framework.used, &view.agents[0].used), (&used, &used));
    assert_eq!(world.metric("master/tasks_running"), 1.0);
    let told = world.take::<wire::UpdateFrameworkMessage>(&agent_pid(1)).remove(0);
    assert_eq!(told.pid(), "@0.0.0.0:0");

    // What another agent says of the framework is older than what the framework says itself.
    let renamed = FrameworkInfo { name: "renamed".into(), ..info.clone() };
    let back = world.subscribe(renamed);
    assert_eq!(
        world.take::<wire::UpdateFrameworkMessage>(&agent_pid(1))[0].framework_info.as_ref().unwrap().name,
        "renamed"
    );
    messages[1].frameworks = vec![info];
    world.message(&agent_pid(2), &messages[1]);
    assert_eq!(world.view().frameworks[0].framework.info.name, "renamed");
    assert_eq!(
        world.take::<wire::UpdateFrameworkMessage>(&agent_pid(2))[0].framework_info.as_ref().unwrap().name,
        "renamed"
    );
    world.allocation();
    assert_eq!(world.offers(back.stream).len(), 2);
}

/// Agents older than 1.2 know nothing of roles of allocations (U044, U113).
#[test]
fn an_older_agent_comes_back() {
    let (mut world, ids, mut messages) = three_agents(config());
    let (executor, task, _) = reported("f", &ids[0], None);
    let message = &mut messages[0];
    message.agent_capabilities.clear();
    message.version = Some("1.0.4".into());
    message.frameworks =
        vec![with_id(FrameworkInfo { role: Some("r".into()), ..old() }, &FrameworkId::new("f"))];
    message.executor_infos = vec![executor];
    message.tasks = vec![task];
    world.message(&agent_pid(1), message);
    let view = world.view();
    let roles: Vec<_> = view.frameworks[0].used.allocations().into_keys().collect();
    assert_eq!(roles, [messor_types::Role::new("r")]);
    // Of a framework with several roles it could not be known which one is meant.
    let message = &mut messages[1];
    let (executor, task, _) = reported("g", &ids[1], None);
    message.agent_capabilities.clear();
    message.executor_infos = vec![executor];
    message.frameworks = vec![with_id(modern(), &FrameworkId::new("g"))];
    message.tasks = vec![task];
    world.message(&agent_pid(2), message);
    assert_eq!(world.view().agents.len(), 1);
    assert!(world.log.iter().any(|line| line.contains("allocation_info")), "{:#?}", world.log);
}

/// MESOS-4659: Apache Mesos would keep it for ever.
#[test]
fn a_framework_that_does_not_come_back_is_torn_down() {
    let hour = 60 * MINUTE;
    for (failover_timeout, wait) in [(0.0, 10 * MINUTE), (60.0, 10 * MINUTE), (3600.0, hour)] {
        let info = FrameworkInfo { failover_timeout: Some(failover_timeout), ..modern() };
        let Running { world: before, agent, scheduler } = World::running(info);
        let message = before.reregistration(1, &agent);
        let mut world = before.failover();
        world.advance(5 * MINUTE);
        world.message(&agent_pid(1), &message);
        // Its time counts from the failover, not from when its agent came.
        world.advance(wait - 5 * MINUTE - Duration::from_secs(1));
        assert_eq!(world.view().frameworks.len(), 1, "{failover_timeout}");
        assert!(world.take::<wire::ShutdownFrameworkMessage>(&agent_pid(1)).is_empty());
        world.advance(Duration::from_secs(2));
        let view = world.view();
        assert!(view.frameworks.is_empty() && view.agents[0].used.is_empty());
        assert_eq!(view.completed_frameworks[0].completed_tasks[0].state(), TaskState::TaskKilled);
        let told = world.take::<wire::ShutdownFrameworkMessage>(&agent_pid(1));
        assert_eq!(told[0].framework_id.value, scheduler.id.as_str());
        // An agent that comes later has to end it, too; the framework may not come back.
        world.message(&agent_pid(1), &message);
        assert_eq!(world.take::<wire::ShutdownFrameworkMessage>(&agent_pid(1)).len(), 1);
        let stream = world.try_subscribe(with_id(modern(), &scheduler.id));
        let events = world.events(stream);
        assert!(events[0].error.as_ref().unwrap().message.contains("has been removed"));
    }
}

#[test]
fn a_framework_that_comes_back_in_time_stays() {
    let Running { world: before, agent, scheduler } = World::running(modern());
    let message = before.reregistration(1, &agent);
    let mut world = before.failover();
    world.message(&agent_pid(1), &message);
    assert!(world.has_timer(&Timer::FrameworkFailover(scheduler.id.clone())));
    world.advance(9 * MINUTE);
    let back = world.subscribe(with_id(modern(), &scheduler.id));
    assert!(!world.has_timer(&Timer::FrameworkFailover(scheduler.id.clone())));
    world.advance(9 * MINUTE);
    assert_eq!(world.view().frameworks[0].tasks.len(), 1);
    // From then on its own time holds.
    world.handle(messor_master_core::Event::StreamClosed { stream: back.stream });
    world.advance(Duration::from_secs(61));
    assert!(world.view().frameworks.is_empty());
}

/// A driver of the older messages, and one of calls. Drivers wait for "registered", even when they were known.
#[test]
fn drivers_come_back_to_a_new_master() {
    let scheduler_pid = pid("scheduler-1@10.0.0.100:1234");
    for modern_call in [false, true] {
        let Running { world: before, agent, scheduler } = World::running(old());
        let mut message = before.reregistration(1, &agent);
        message.frameworks[0].checkpoint = Some(true);
        let mut world = before.failover();
        world.message(&agent_pid(1), &message);
        let framework = with_id(FrameworkInfo { checkpoint: Some(true), ..old() }, &scheduler.id);
        if modern_call {
            let call = make_call(&scheduler.id, call::Type::Subscribe, |call| {
                call.subscribe = Some(call::Subscribe { framework_info: framework, ..Default::default() });
            });
            world.message(&scheduler_pid, &call);
        } else {
            world.message(&scheduler_pid, &wire::ReregisterFrameworkMessage { framework, failover: false });
        }
        let registered = world.take::<wire::FrameworkRegisteredMessage>(&scheduler_pid);
        assert_eq!(registered[0].framework_id.value, scheduler.id.as_str());
        let record = &world.view().frameworks[0].framework;
        assert!(record.active && !record.recovered && record.pid.as_ref() == Some(&scheduler_pid));
        let told = world.take::<wire::UpdateFrameworkMessage>(&agent_pid(1));
        assert_eq!(told.last().unwrap().pid(), scheduler_pid.to_string());
        let update = update(&scheduler.id, &agent, "t", TaskState::TaskKilled, &[3; 16]);
        let acknowledgee = Some(agent_pid(1).to_string());
        world.message(&agent_pid(1), &wire::StatusUpdateMessage { update, pid: acknowledgee.clone() });
        let heard = world.take::<wire::StatusUpdateMessage>(&scheduler_pid);
        assert_eq!(heard[0].pid, acknowledgee);
    }
}

/// A framework that no agent has told of comes back first.
#[test]
fn a_framework_comes_before_its_agents() {
    let Running { world: before, agent, scheduler } = World::running(modern());
    let message = before.reregistration(1, &agent);
    let mut world = before.failover();
    let back = world.subscribe(with_id(modern(), &scheduler.id));
    assert_eq!(back.id, scheduler.id);
    world.message(&agent_pid(1), &message);
    // The agent was expected: there is nothing to tell of its tasks.
    assert!(world.updates(back.stream).is_empty());
    let view = world.view();
    assert_eq!((view.frameworks.len(), view.frameworks[0].tasks.len()), (1, 1));
    assert!(view.frameworks[0].framework.connected);
}

/// An update that waits on the agent reaches the framework when it is back, and its acknowledgement the agent.
#[test]
fn updates_and_acknowledgements_find_their_way_after_a_failover() {
    let Running { world: before, agent, scheduler } = World::running(modern());
    let mut message = before.reregistration(1, &agent);
    message.tasks[0].status_update_state = None;
    let mut world = before.failover();
    let send = |world: &mut World, uuid: u8| {
        let update = update(&scheduler.id, &agent, "t", TaskState::TaskFinished, &[uuid; 16]);
        let pid = Some(agent_pid(1).to_string());
        world.message(&agent_pid(1), &wire::StatusUpdateMessage { update, pid });
    };
    // The agent is not back: dropped, it tries again.
    send(&mut world, 1);
    assert_eq!(world.metric("master/invalid_status_updates"), 1.0);
    world.message(&agent_pid(1), &message);
    send(&mut world, 1);
    assert_eq!(world.metric("master/invalid_status_updates"), 2.0);
    assert_eq!(world.view().frameworks[0].tasks[0].state(), TaskState::TaskFinished);
    assert!(world.view().agents[0].used.is_empty());

    let back = world.subscribe(with_id(modern(), &scheduler.id));
    let acknowledge = |world: &mut World, task: &str, uuid: u8| {
        let task_id = mesos::TaskId { value: task.into() };
        let acknowledge = call::Acknowledge { agent_id: (&agent).into(), task_id, uuid: vec![uuid; 16] };
        world.call(&back, call::Type::Acknowledge, |call| call.acknowledge = Some(acknowledge))
    };
    // This master has sent no update of the task yet: it cannot be acknowledged.
    assert_eq!(acknowledge(&mut world, "t", 1), Outcome::Accepted);
    assert!(world.take::<wire::StatusUpdateAcknowledgementMessage>(&agent_pid(1)).is_empty());
    send(&mut world, 1);
    let heard = world.updates(back.stream);
    assert_eq!((heard.len(), heard[0].uuid.as_deref()), (1, Some(&[1; 16][..])));
    acknowledge(&mut world, "t", 1);
    // Of a task that is not known here the agent may know.
    acknowledge(&mut world, "another", 2);
    let acknowledged = world.take::<wire::StatusUpdateAcknowledgementMessage>(&agent_pid(1));
    assert_eq!(acknowledged.iter().map(|message| message.uuid[0]).collect::<Vec<_>>(), [1, 2]);
    assert!(world.view().frameworks[0].tasks.is_empty());
    assert_eq!(world.metric("master/invalid_status_update_acknowledgements"), 1.0);
}

fn with_registry(change: impl FnOnce(&mut Registry)) -> (World, AgentId, wire::ReregisterAgentMessage) {
    let mut before = World::new();
    let ids: Vec<AgentId> = (1..=5).map(|number| before.agent(number)).collect();
    let message = before.reregistration(1, &ids[0]);
    let mut registry = before.registry.to_proto();
    change(&mut registry);
    (World::with(config(), State::from_proto(&registry).unwrap()), ids[0].clone(), message)
}

/// With quota nothing is offered on a partial view: 80 % of the agents are waited for, or 10 minutes.
#[test]
fn quota_waits_for_the_agents() {
    let quota = |registry: &mut Registry| {
        let limits = [("cpus".to_string(), messor_proto::mesos::value::Scalar { value: 1.0 })].into();
        let config =
            messor_proto::mesos::quota::QuotaConfig { role: "q".into(), limits, ..Default::default() };
        registry.quota_configs.push(config);
    };
    let returning = |world: &mut World, numbers: std::ops::RangeInclusive<u8>| {
        for number in numbers {
            let id = AgentId::new(&format!("m-S{}", number - 1));
            let message = world.reregistration(number, &id);
            world.message(&agent_pid(number), &message);
        }
    };
    let (mut world, ..) = with_registry(quota);
    let scheduler = world.subscribe(modern());
    returning(&mut world, 1..=3);
    world.allocation();
    assert!(world.offers(scheduler.stream).is_empty());
    returning(&mut world, 4..=4);
    world.allocation();
    assert_eq!(world.offers(scheduler.stream).len(), 4);

    let (mut world, ..) = with_registry(quota);
    let scheduler = world.subscribe(modern());
    returning(&mut world, 1..=1);
    world.advance(10 * MINUTE - Duration::from_secs(1));
    world.allocation();
    assert!(world.offers(scheduler.stream).is_empty());
    world.advance(Duration::from_secs(1));
    world.allocation();
    assert_eq!(world.offers(scheduler.stream).len(), 1);

    let (mut world, ..) = with_registry(|_| ());
    let scheduler = world.subscribe(modern());
    returning(&mut world, 1..=1);
    world.allocation();
    assert_eq!(world.offers(scheduler.stream).len(), 1, "without quota nothing waits");
}

/// What operators said of an agent survives the failover, as the registry has it.
#[test]
fn a_deactivated_agent_that_drains_goes_on_draining() {
    let (mut world, id, message) = with_registry(|registry| {
        let agent: &mut registry::Agent = &mut registry.agents.as_mut().unwrap().agents[0];
        agent.deactivated = Some(true);
        agent.drain_info = Some(mesos::DrainInfo { state: 1, ..Default::default() });
    });
    let scheduler = world.subscribe(modern());
    for _ in 0..2 {
        world.message(&agent_pid(1), &message);
        assert_eq!(world.take::<wire::DrainAgentMessage>(&agent_pid(1)).len(), 1);
        let view = world.view();
        let agent = &view.agents[0];
        assert!(agent.deactivated && !agent.active && agent.connected && agent.drain_info.is_some());
        world.allocation();
        assert!(world.offers(scheduler.stream).is_empty());
        world.exited(&agent_pid(1));
    }
    world.message(&agent_pid(1), &message);
    world.lose(1);
    world.message(&agent_pid(1), &message);
    assert!(world.view().agents[0].deactivated, "nor is it forgotten while the agent is unreachable");
    world.message(&agent_pid(1), &wire::UnregisterAgentMessage { agent_id: (&id).into() });
    world.message(&agent_pid(1), &message);
    assert!(!world.view().agents[0].deactivated);
}

/// An agent that is not in the registry (its record was pruned) is let in, with its tasks.
#[test]
fn an_agent_that_nobody_knows_comes_back() {
    let Running { world: before, agent, scheduler } = World::running(modern());
    let message = before.reregistration(1, &agent);
    let mut world = World::new();
    let back = world.subscribe(with_id(modern(), &scheduler.id));
    world.message(&agent_pid(1), &message);
    let heard = world.updates(back.stream);
    assert_eq!(states(&heard), [(TaskState::TaskRunning, mesos::task_status::Reason::AgentReregistered)]);
    assert!(heard[0].message().contains("unknown agent") && heard[0].uuid.is_none());
    assert_eq!(world.registry.agents().count(), 1);
    assert_eq!(world.view().frameworks[0].tasks.len(), 1);
}

#[test]
fn a_message_that_contradicts_itself_is_dropped() {
    let (mut world, ids, mut messages) = three_agents(config());
    // A task of a framework that the agent does not name.
    let (_, task, _) = reported("f", &ids[0], Some("a"));
    messages[0].tasks = vec![task];
    world.message(&agent_pid(1), &messages[0]);
    assert!(world.view().agents.is_empty());
    assert_eq!(world.view().recovered_agents.len(), 3);
}
