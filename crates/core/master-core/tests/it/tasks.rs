//! ACCEPT, DECLINE and what follows: tasks and their updates.

use std::time::Duration;

use messor_master_core::Outcome;
use messor_proto::mesos::internal as wire;
use messor_proto::mesos::offer::{Operation, operation};
use messor_proto::mesos::scheduler::call;
use messor_proto::mesos::{
    self, ExecutorInfo, Filters, FrameworkInfo, OperationState, TaskGroupInfo, TaskInfo, TaskState,
    executor_info, task_status::Reason,
};
use messor_types::{AgentId, ExecutorId};

use crate::world::*;

fn offered() -> (World, AgentId, Scheduler, mesos::Offer) {
    let mut world = World::new();
    let agent = world.agent(1);
    let scheduler = world.subscribe(modern());
    world.allocation();
    let offer = world.offers(scheduler.stream).remove(0);
    world.sent.clear();
    (world, agent, scheduler, offer)
}

#[test]
fn an_offer_says_what_and_where() {
    let (_, agent, scheduler, offer) = offered();
    assert_eq!((offer.id.value.as_str(), offer.hostname.as_str()), ("m-O0", "host1"));
    assert_eq!((&offer.agent_id, &offer.framework_id), (&(&agent).into(), &(&scheduler.id).into()));
    let url = offer.url.unwrap();
    assert_eq!((url.scheme.as_str(), url.path.as_deref()), ("http", Some("/slave(1)")));
    assert_eq!((url.address.ip.as_deref(), url.address.port), (Some("10.0.0.1"), 5051));
    let role = offer.allocation_info.unwrap().role().to_string();
    assert!(offer.resources.iter().all(|resource| resource.allocation_info.as_ref().unwrap().role() == role));
}

/// U044, U048: frameworks without the capabilities see offers as they always did.
#[test]
#[allow(deprecated)] // `Resource.role` is the older form.
fn older_frameworks_see_the_older_form() {
    let mut world = World::new();
    world.agent(1);
    let scheduler = world.subscribe(old());
    world.allocation();
    let offer = world.offers(scheduler.stream).remove(0);
    assert!(offer.allocation_info.is_none());
    for resource in &offer.resources {
        assert!(resource.allocation_info.is_none() && resource.reservations.is_empty());
        assert_eq!(resource.role.as_deref(), Some("*"));
    }
    let agent = AgentId::from(&offer.agent_id);
    world.accept(
        &scheduler,
        &[&offer],
        vec![TaskInfo { resources: offer.resources[..2].to_vec(), ..task("t", &agent) }],
    );
    let run = world.take::<wire::RunTaskMessage>(&agent_pid(1)).remove(0);
    assert!(
        run.task
            .resources
            .iter()
            .all(|r| r.allocation_info.as_ref().unwrap().role() == "*" && r.role.is_none())
    );
}

#[test]
fn a_task_runs_and_ends() {
    let (mut world, agent, scheduler, offer) = offered();
    assert_eq!(world.accept(&scheduler, &[&offer], vec![task("t", &agent)]), Outcome::Accepted);
    let run = world.take::<wire::RunTaskMessage>(&agent_pid(1)).remove(0);
    assert_eq!(run.framework.id.as_ref().unwrap().value, scheduler.id.as_str());
    assert_eq!((run.pid.as_deref(), run.launch_executor), (Some("@0.0.0.0:0"), Some(true)));
    assert_eq!(run.resource_version_uuids[0].uuid.value, [1; 16]);
    let role = offer.allocation_info.as_ref().unwrap().role().to_string();
    assert_eq!(run.task.resources[0].allocation_info.as_ref().unwrap().role(), role);
    assert_eq!(world.view().frameworks[0].tasks[0].state(), TaskState::TaskStaging);
    assert_eq!(world.metric("master/tasks_staging"), 1.0);

    // The agent's word reaches the framework, and its acknowledgement the agent (U100, U104).
    let uuid = world.report(1, &scheduler.id, &agent, "t", TaskState::TaskRunning);
    let status = world.updates(scheduler.stream).remove(0);
    assert_eq!(
        (status.state(), status.uuid.as_ref(), status.timestamp),
        (TaskState::TaskRunning, Some(&uuid), Some(7.0))
    );
    assert_eq!(status.agent_id.as_ref().unwrap().value, agent.as_str());
    let acknowledge = |world: &mut World, uuid: Vec<u8>| {
        let (agent_id, task_id) = ((&agent).into(), task("t", &agent).task_id);
        world.call(&scheduler, call::Type::Acknowledge, |call| {
            call.acknowledge = Some(call::Acknowledge { agent_id, task_id, uuid });
        })
    };
    assert_eq!(acknowledge(&mut world, uuid.clone()), Outcome::Accepted);
    let message = world.take::<wire::StatusUpdateAcknowledgementMessage>(&agent_pid(1)).remove(0);
    assert_eq!((message.uuid, message.framework_id.value.as_str()), (uuid, scheduler.id.as_str()));

    let last = world.report(1, &scheduler.id, &agent, "t", TaskState::TaskFinished);
    let view = world.view();
    assert!(view.frameworks[0].used.is_empty() && view.agents[0].used.is_empty());
    assert_eq!(view.frameworks[0].tasks.len(), 1, "kept until the end is acknowledged");
    acknowledge(&mut world, vec![0; 16]);
    assert_eq!(world.view().frameworks[0].tasks.len(), 1);
    acknowledge(&mut world, last);
    let view = world.view();
    assert_eq!((view.frameworks[0].tasks.len(), view.frameworks[0].completed_tasks.len()), (0, 1));
    assert_eq!(world.metric("master/tasks_finished"), 1.0);
    assert_eq!(world.metric("master/valid_status_updates"), 2.0);
    assert_eq!(world.metric("master/valid_status_update_acknowledgements"), 3.0);
}

/// The latest state counts for resources, though the framework gets update after update.
#[test]
fn resources_are_free_with_the_latest_state() {
    let Running { mut world, agent, scheduler } = World::running(modern());
    let mut update = update(&scheduler.id, &agent, "t", TaskState::TaskRunning, &[9; 16]);
    update.latest_state = Some(TaskState::TaskFailed as i32);
    world.message(&agent_pid(1), &wire::StatusUpdateMessage { update, pid: Some(agent_pid(1).to_string()) });
    let view = world.view();
    assert_eq!(view.frameworks[0].tasks[0].state(), TaskState::TaskFailed);
    assert!(view.frameworks[0].used.is_empty());
}

#[test]
fn tasks_that_cannot_be() {
    let (mut world, agent, scheduler, offer) = offered();
    let with = |change: &dyn Fn(&mut TaskInfo)| {
        let mut task = task("t", &agent);
        change(&mut task);
        task
    };
    let tasks = vec![
        with(&|t| t.resources = resources("cpus:100")),
        with(&|t| t.resources = resources("cpus:1;gpus:1")),
        with(&|t| t.resources.clear()),
        with(&|t| t.task_id.value = "a/b".into()),
        with(&|t| t.agent_id.value = "other".into()),
        with(&|t| t.command = None),
        with(&|t| t.executor = Some(ExecutorInfo::default())),
        with(&|t| t.max_completion_time = Some(mesos::DurationInfo { nanoseconds: -1 })),
        with(&|t| {
            t.kill_policy =
                Some(mesos::KillPolicy { grace_period: Some(mesos::DurationInfo { nanoseconds: -1 }) })
        }),
        with(&|t| t.health_check = Some(Box::default())),
        with(&|t| t.check = Some(mesos::CheckInfo::default())),
        with(&|t| t.container = Some(Box::new(mesos::ContainerInfo { r#type: 1, ..Default::default() }))),
        with(&|t| t.limits = [("disk".to_string(), mesos::value::Scalar { value: 1.0 })].into()),
        with(&|t| t.limits = [("cpus".to_string(), mesos::value::Scalar { value: 0.5 })].into()),
    ];
    let count = tasks.len();
    world.accept(&scheduler, &[&offer], tasks);
    let updates = world.updates(scheduler.stream);
    assert_eq!(states(&updates), vec![(TaskState::TaskError, Reason::TaskInvalid); count]);
    assert!(updates.iter().all(|status| status.uuid.is_none() && !status.message().is_empty()));
    assert_eq!(world.metric("master/tasks_error"), count as f64);
    assert_eq!(world.metric("master/task_error/source_master/reason_task_invalid"), count as f64);
    assert!(world.sent.is_empty() && world.view().frameworks[0].tasks.is_empty());

    // A resource that no one can read fails its whole LAUNCH; the same id twice fails the second.
    world.advance(Duration::from_secs(6));
    world.allocation();
    let offer = world.offers(scheduler.stream).remove(0);
    world.accept(&scheduler, &[&offer], vec![task("a", &agent), with(&|t| t.resources[0].name.clear())]);
    assert_eq!(world.updates(scheduler.stream).len(), 2);
    world.advance(Duration::from_secs(6));
    world.allocation();
    let offer = world.offers(scheduler.stream).remove(0);
    world.accept(&scheduler, &[&offer], vec![task("a", &agent), task("a", &agent)]);
    assert_eq!(world.updates(scheduler.stream).len(), 1);
    assert_eq!(world.take::<wire::RunTaskMessage>(&agent_pid(1)).len(), 1);
}

#[test]
fn offers_that_are_not_valid() {
    let (mut world, agent, scheduler, offer) = offered();
    let unknown = mesos::Offer { id: mesos::OfferId { value: "nope".into() }, ..offer.clone() };
    let other = world.subscribe(old());
    for (who, offers, state, reason) in [
        (&scheduler, vec![&unknown], TaskState::TaskDropped, Reason::InvalidOffers),
        (&scheduler, vec![], TaskState::TaskDropped, Reason::InvalidOffers),
        // Of another framework: it stays with that one.
        (&other, vec![&offer], TaskState::TaskLost, Reason::InvalidOffers),
        (&scheduler, vec![&offer, &offer], TaskState::TaskDropped, Reason::InvalidOffers),
        // The one that was given twice is gone with that.
        (&scheduler, vec![&offer], TaskState::TaskDropped, Reason::InvalidOffers),
    ] {
        assert_eq!(world.accept(who, &offers, vec![task("t", &agent)]), Outcome::Accepted);
        assert_eq!(states(&world.updates(who.stream)), [(state, reason)]);
    }
    assert_eq!(world.metric("master/tasks_dropped"), 4.0);
    assert_eq!(world.metric("master/task_dropped/source_master/reason_invalid_offers"), 4.0);
    assert_eq!(world.metric("master/tasks_lost"), 1.0);
    assert_eq!(world.metric("master/outstanding_offers"), 0.0);
}

/// The second ACCEPT finds its offers used, and called its running tasks lost.
#[test]
fn an_accept_that_comes_twice_does_not_call_its_tasks_lost() {
    let (mut world, agent, scheduler, offer) = offered();
    world.accept(&scheduler, &[&offer], vec![task("t", &agent)]);
    world.accept(&scheduler, &[&offer], vec![task("t", &agent)]);
    assert!(world.updates(scheduler.stream).is_empty());
    assert_eq!(world.take::<wire::RunTaskMessage>(&agent_pid(1)).len(), 1);
}

#[test]
fn several_offers_of_one_agent() {
    let Running { mut world, agent, scheduler } =
        World::running(FrameworkInfo { checkpoint: Some(true), ..old() });
    world.advance(Duration::from_secs(6));
    world.allocation();
    world.allocation();
    let first = world.offers(scheduler.stream).remove(0);
    world.report(1, &scheduler.id, &agent, "t", TaskState::TaskFinished);
    world.events(scheduler.stream);
    world.allocation();
    let second = world.offers(scheduler.stream).remove(0);
    let all = TaskInfo { resources: resources("cpus:4;mem:4096"), ..task("u", &agent) };
    world.accept(&scheduler, &[&first, &second], vec![all]);
    assert_eq!(world.take::<wire::RunTaskMessage>(&agent_pid(1)).len(), 1);
}

/// U097: what an ACCEPT leaves is declined with its filters.
#[test]
fn filters_hold_for_what_is_left() {
    let (mut world, agent, scheduler, offer) = offered();
    world.call(&scheduler, call::Type::Accept, |call| {
        let filters = Some(Filters { refuse_seconds: Some(100.0) });
        call.accept = Some(call::Accept { filters, ..acceptance(&[&offer], vec![task("t", &agent)]) });
    });
    let role = offer.allocation_info.as_ref().unwrap().role().to_string();
    let mut seen = 0;
    for _ in 0..3 {
        world.allocation();
        for offer in world.offers(scheduler.stream) {
            // The framework's other role did not refuse anything.
            assert_ne!(offer.allocation_info.as_ref().unwrap().role(), role);
            let offer_ids = vec![offer.id];
            world.call(&scheduler, call::Type::Decline, |call| {
                call.decline =
                    Some(call::Decline { offer_ids, filters: Some(Filters { refuse_seconds: Some(100.0) }) });
            });
            seen += 1;
        }
    }
    assert!(seen <= 1);
    world.advance(Duration::from_secs(101));
    world.allocation();
    assert_eq!(world.offers(scheduler.stream).len(), 1);
}

#[test]
fn offers_time_out() {
    let mut config = config();
    config.offer_timeout = Some(Duration::from_secs(30));
    let mut world = World::with(config, Default::default());
    world.agent(1);
    let scheduler = world.subscribe(modern());
    world.allocation();
    let offer = world.offers(scheduler.stream).remove(0);
    world.advance(Duration::from_secs(29));
    assert!(world.events(scheduler.stream).iter().all(|event| event.rescind.is_none()));
    world.advance(Duration::from_secs(2));
    let events = world.events(scheduler.stream);
    assert!(
        events.iter().any(|event| event.rescind.as_ref().is_some_and(|rescind| rescind.offer_id == offer.id))
    );
    assert!(world.view().agents[0].offered.is_empty());
}

#[test]
fn an_agent_with_enough_executors_is_not_offered() {
    let config = messor_master_core::Config { max_executors_per_agent: Some(2), ..config() };
    let mut world = World::with(config, Default::default());
    let agent = world.agent(1);
    let scheduler = world.subscribe(modern());
    world.allocation();
    let offer = world.offers(scheduler.stream).remove(0);
    let executor = ExecutorInfo {
        executor_id: ExecutorId::new("e").into(),
        framework_id: Some((&scheduler.id).into()),
        command: task("t", &agent).command,
        ..Default::default()
    };
    let with = |id: &str, executor: Option<ExecutorInfo>| TaskInfo {
        command: executor.is_none().then(|| task("t", &agent).command).flatten(),
        executor,
        resources: resources("cpus:0.1;mem:32"),
        ..task(id, &agent)
    };
    // Two tasks of one executor, and one that has its own.
    let tasks = vec![with("a", Some(executor.clone())), with("b", Some(executor)), with("c", None)];
    world.accept(&scheduler, &[&offer], tasks);
    let runs = world.take::<wire::RunTaskMessage>(&agent_pid(1));
    assert_eq!(runs.len(), 3);
    world.call(&scheduler, call::Type::Revive, |_| {});
    world.allocation();
    assert!(world.offers(scheduler.stream).is_empty(), "both executors run");
    // The filter of what was taken back is no longer than that of a framework that says nothing.
    world.report(1, &scheduler.id, &agent, "c", TaskState::TaskFinished);
    world.advance(Duration::from_secs(6));
    world.allocation();
    assert_eq!(world.offers(scheduler.stream).len(), 1, "one executor is left");
}

#[test]
fn kill_message_and_shutdown_reach_the_agent() {
    let Running { mut world, agent, scheduler } = World::running(modern());
    let task_id = task("t", &agent).task_id;
    let policy = mesos::KillPolicy { grace_period: Some(mesos::DurationInfo { nanoseconds: 5 }) };
    let kill = |agent_id: Option<&AgentId>| {
        Some(call::Kill {
            task_id: task_id.clone(),
            agent_id: agent_id.map(Into::into),
            kill_policy: Some(policy),
        })
    };
    world.call(&scheduler, call::Type::Kill, |call| call.kill = kill(Some(&AgentId::new("other"))));
    assert!(world.sent.is_empty());
    world.call(&scheduler, call::Type::Kill, |call| call.kill = kill(None));
    let message = world.take::<wire::KillTaskMessage>(&agent_pid(1)).remove(0);
    assert_eq!((message.task_id, message.kill_policy), (task_id.clone(), Some(policy)));

    let executor_id: mesos::ExecutorId = ExecutorId::new("e").into();
    let message = |agent: &AgentId| call::Message {
        agent_id: agent.into(),
        executor_id: executor_id.clone(),
        data: b"hello".to_vec(),
    };
    world.call(&scheduler, call::Type::Message, |call| call.message = Some(message(&agent)));
    assert_eq!(world.take::<wire::FrameworkToExecutorMessage>(&agent_pid(1))[0].data, b"hello");
    world.call(&scheduler, call::Type::Message, |call| call.message = Some(message(&AgentId::new("other"))));
    assert_eq!(world.metric("master/invalid_framework_to_executor_messages"), 1.0);

    for agent in [&agent, &AgentId::new("other")] {
        let shutdown = call::Shutdown { executor_id: executor_id.clone(), agent_id: agent.into() };
        world.call(&scheduler, call::Type::Shutdown, |call| call.shutdown = Some(shutdown));
    }
    assert_eq!(world.take::<wire::ShutdownExecutorMessage>(&agent_pid(1)).len(), 1);

    let back = wire::ExecutorToFrameworkMessage {
        agent_id: (&agent).into(),
        framework_id: (&scheduler.id).into(),
        executor_id,
        data: b"answer".to_vec(),
    };
    world.message(&agent_pid(1), &back);
    assert_eq!(world.events(scheduler.stream)[0].message.as_ref().unwrap().data, b"answer");
}

fn group(agent: &AgentId, scheduler: &Scheduler, of_executor: &str) -> operation::LaunchGroup {
    let executor = ExecutorInfo {
        r#type: Some(executor_info::Type::Default as i32),
        executor_id: ExecutorId::new("default").into(),
        framework_id: Some((&scheduler.id).into()),
        resources: resources(of_executor),
        ..Default::default()
    };
    let task_group = TaskGroupInfo { tasks: vec![task("g1", agent), task("g2", agent)] };
    operation::LaunchGroup { executor, task_group }
}

fn accept_operation(world: &mut World, scheduler: &Scheduler, offer: &mesos::Offer, operation: Operation) {
    world.call(scheduler, call::Type::Accept, |call| {
        let accept = call::Accept {
            offer_ids: vec![offer.id.clone()],
            operations: vec![operation],
            ..Default::default()
        };
        call.accept = Some(accept);
    });
}

fn launch_group(launch: operation::LaunchGroup) -> Operation {
    let kind = operation::Type::LaunchGroup as i32;
    Operation { r#type: Some(kind), launch_group: Some(launch), ..Default::default() }
}

#[test]
fn a_task_group_is_launched_as_a_whole() {
    let (mut world, agent, scheduler, offer) = offered();
    let launch = group(&agent, &scheduler, "cpus:0.5;mem:32;disk:10");
    accept_operation(&mut world, &scheduler, &offer, launch_group(launch));
    let run = world.take::<wire::RunTaskGroupMessage>(&agent_pid(1)).remove(0);
    assert_eq!((run.task_group.tasks.len(), run.launch_executor), (2, Some(true)));
    assert!(run.task_group.tasks.iter().all(|task| task.executor.as_ref() == Some(&run.executor)));
    let view = world.view();
    assert_eq!((view.frameworks[0].tasks.len(), view.frameworks[0].executors.len()), (2, 1));
    assert_eq!(view.frameworks[0].used.cpus().unwrap().millis(), 2500);
}

#[test]
fn a_task_group_fails_as_a_whole() {
    type Change = Box<dyn Fn(&mut operation::LaunchGroup)>;
    let changes: Vec<Change> = vec![
        Box::new(|launch| launch.executor.r#type = None),
        Box::new(|launch| launch.executor.framework_id = None),
        Box::new(|launch| launch.executor.resources = resources("mem:32;disk:10")),
        Box::new(|launch| launch.executor.resources = resources("cpus:1;mem:31;disk:10")),
        Box::new(|launch| launch.executor.resources = resources("cpus:1;mem:32")),
        Box::new(|launch| launch.executor.resources = resources("cpus:3;mem:32;disk:10")),
        Box::new(|launch| launch.task_group.tasks[1].task_id.value = "g1".into()),
        Box::new(|launch| launch.task_group.tasks[1].task_id.value = String::new()),
        Box::new(|launch| launch.task_group.tasks[0].executor = Some(ExecutorInfo::default())),
        Box::new(|launch| {
            let container =
                mesos::ContainerInfo { r#type: 1, docker: Some(Default::default()), ..Default::default() };
            launch.task_group.tasks[0].container = Some(Box::new(container));
        }),
        Box::new(|launch| launch.task_group.tasks[0].resources[0].name.clear()),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let (mut world, agent, scheduler, offer) = offered();
        let mut launch = group(&agent, &scheduler, "cpus:0.5;mem:32;disk:10");
        change(&mut launch);
        accept_operation(&mut world, &scheduler, &offer, launch_group(launch));
        let updates = world.updates(scheduler.stream);
        assert_eq!(
            states(&updates),
            [(TaskState::TaskError, Reason::TaskGroupInvalid); 2],
            "change {number}: {updates:?}"
        );
        assert!(world.sent.is_empty());
    }
}

/// In 1.11.0 its executor is started, and waits for good.
#[test]
fn a_task_group_without_tasks_takes_nothing() {
    let (mut world, agent, scheduler, offer) = offered();
    let mut launch = group(&agent, &scheduler, "cpus:0.5;mem:32;disk:10");
    launch.task_group.tasks.clear();
    accept_operation(&mut world, &scheduler, &offer, launch_group(launch));
    assert!(world.sent.is_empty());
    let view = world.view();
    assert!(view.frameworks[0].executors.is_empty());
    assert!(view.frameworks[0].used.is_empty());
}

#[test]
fn operations_that_cannot_be_say_so() {
    let (mut world, _, scheduler, offer) = offered();
    let reserve = Operation {
        r#type: Some(operation::Type::Reserve as i32),
        id: Some(mesos::OperationId { value: "op".into() }),
        reserve: Some(operation::Reserve { resources: resources("cpus(a):1"), ..Default::default() }),
        ..Default::default()
    };
    accept_operation(&mut world, &scheduler, &offer, reserve.clone());
    let events = world.events(scheduler.stream);
    let status = &events[0].update_operation_status.as_ref().unwrap().status;
    assert_eq!(
        (status.state(), status.operation_id.as_ref().unwrap().value.as_str()),
        (OperationState::OperationError, "op")
    );
    let message = status.message.as_ref().unwrap();
    assert!(message.contains("AGENT_OPERATION_FEEDBACK"), "{message}");
    assert!(world.view().agents[0].offered.is_empty());
    // With an offer that is gone it is the offer that is wrong.
    accept_operation(&mut world, &scheduler, &offer, reserve);
    assert!(world.events(scheduler.stream)[0].update_operation_status.is_some());
    let with_id = Operation {
        r#type: Some(operation::Type::Launch as i32),
        id: Some(mesos::OperationId { value: "op".into() }),
        launch: Some(operation::Launch { task_infos: vec![task("t", &AgentId::new("x"))] }),
        ..Default::default()
    };
    world.advance(Duration::from_secs(6));
    world.allocation();
    let offer = world.offers(scheduler.stream).remove(0);
    accept_operation(&mut world, &scheduler, &offer, with_id);
    assert_eq!(states(&world.updates(scheduler.stream)), [(TaskState::TaskError, Reason::TaskInvalid)]);
}

#[test]
fn completed_tasks_are_bounded() {
    let mut config = config();
    config.max_completed_tasks_per_framework = 2;
    let mut world = World::with(config, Default::default());
    let agent = world.agent(1);
    let scheduler = world.subscribe(modern());
    world.allocation();
    let offer = world.offers(scheduler.stream).remove(0);
    world.accept(&scheduler, &[&offer], (0..3).map(|i| task(&format!("t{i}"), &agent)).collect());
    world.call(&scheduler, call::Type::Teardown, |_| ());
    let view = world.view();
    assert_eq!(view.completed_frameworks[0].completed_tasks.len(), 2);
    assert_eq!(world.metric("master/tasks_killed"), 3.0);
}

/// An agent of the first 1.x has no RESERVATION_REFINEMENT: it is sent the form that it knows.
#[test]
#[allow(deprecated)] // `Resource.role` is the older form.
fn older_agents_are_sent_the_older_form() {
    let mut world = World::new();
    let message = wire::RegisterAgentMessage { agent_capabilities: vec![], ..register(1) };
    world.message(&agent_pid(1), &message);
    let scheduler = world.subscribe(old());
    world.allocation();
    let offer = &world.offers(scheduler.stream)[0];
    world.accept(&scheduler, &[offer], vec![task("t", &AgentId::from(&offer.agent_id))]);
    let run = world.take::<wire::RunTaskMessage>(&agent_pid(1)).remove(0);
    assert!(run.task.resources.iter().all(|resource| resource.role.as_deref() == Some("*")));
}
