//! v0 drivers: the call, the older messages, and the answers as messages (U114); moves between driver and HTTP (U093).

use std::time::Duration;

use messor_proto::mesos::internal as wire;
use messor_proto::mesos::scheduler::call;
use messor_proto::mesos::{self, ExecutorId, Filters, FrameworkInfo, Offer, TaskState, TaskStatus};
use messor_types::{AgentId, FrameworkId, Pid};

use crate::world::*;

fn driver() -> Pid {
    pid("scheduler-7@10.0.0.50:40000")
}

fn info() -> FrameworkInfo {
    FrameworkInfo { checkpoint: Some(true), ..old() }
}

fn subscribe_from(world: &mut World, from: &Pid, info: FrameworkInfo, force: bool) {
    let subscribe =
        call::Subscribe { framework_info: info.clone(), force: Some(force), ..Default::default() };
    let call = mesos::scheduler::Call {
        framework_id: info.id,
        r#type: Some(call::Type::Subscribe as i32),
        subscribe: Some(subscribe),
        ..Default::default()
    };
    world.message(from, &call);
}

/// A driver that is subscribed and has an offer of everything.
fn registered() -> (World, AgentId, FrameworkId, Offer) {
    let mut world = World::new();
    let agent = world.agent(1);
    world.message(&driver(), &wire::RegisterFrameworkMessage { framework: info() });
    let registered = world.take::<wire::FrameworkRegisteredMessage>(&driver()).remove(0);
    assert_eq!(registered.master_info.id, "m");
    world.allocation();
    let offers = world.take::<wire::ResourceOffersMessage>(&driver()).remove(0);
    assert_eq!(offers.pids, [agent_pid(1).to_string()]);
    world.sent.clear();
    (world, agent, FrameworkId::from(&registered.framework_id), offers.offers[0].clone())
}

#[test]
fn a_driver_runs_a_task_with_calls() {
    let (mut world, agent, id, offer) = registered();
    let accept = |offer: &Offer| {
        make_call(&id, call::Type::Accept, |call| {
            call.accept = Some(acceptance(&[offer], vec![task("t", &agent)]))
        })
    };
    world.message(&driver(), &accept(&offer));
    let run = world.take::<wire::RunTaskMessage>(&agent_pid(1)).remove(0);
    assert_eq!(run.pid, Some(driver().to_string()));
    let uuid = world.report(1, &id, &agent, "t", TaskState::TaskFinished);
    let update = world.take::<wire::StatusUpdateMessage>(&driver()).remove(0);
    assert_eq!((update.pid, update.update.uuid.as_ref()), (Some(agent_pid(1).to_string()), Some(&uuid)));
    let acknowledge = make_call(&id, call::Type::Acknowledge, |call| {
        let (agent_id, task_id) = ((&agent).into(), task("t", &agent).task_id);
        call.acknowledge = Some(call::Acknowledge { agent_id, task_id, uuid });
    });
    world.message(&driver(), &acknowledge);
    assert_eq!(world.take::<wire::StatusUpdateAcknowledgementMessage>(&agent_pid(1)).len(), 1);

    world.message(&driver(), &accept(&offer));
    let refused = world.take::<wire::StatusUpdateMessage>(&driver()).remove(0);
    assert_eq!(refused.update.status.state(), TaskState::TaskLost);
    // Nobody waits for an acknowledgement of this one.
    assert_eq!((refused.pid.as_deref(), refused.update.uuid), (Some("@0.0.0.0:0"), None));
    world.message(&driver(), &make_call(&id, call::Type::Teardown, |_| ()));
    assert_eq!(world.view().completed_frameworks.len(), 1);
}

#[test]
fn a_driver_runs_a_task_with_the_older_messages() {
    let (mut world, agent, id, offer) = registered();
    let framework_id: mesos::FrameworkId = (&id).into();
    let task_id = task("t", &agent).task_id;
    let filters = Filters { refuse_seconds: Some(1.0) };
    let launch = |tasks| wire::LaunchTasksMessage {
        framework_id: framework_id.clone(),
        tasks,
        filters,
        offer_ids: vec![offer.id.clone()],
    };
    world.message(&driver(), &launch(vec![task("t", &agent)]));
    assert_eq!(world.take::<wire::RunTaskMessage>(&agent_pid(1)).len(), 1);
    let uuid = world.report(1, &id, &agent, "t", TaskState::TaskRunning);
    let acknowledgement = wire::StatusUpdateAcknowledgementMessage {
        agent_id: (&agent).into(),
        framework_id: framework_id.clone(),
        task_id: task_id.clone(),
        uuid,
    };
    world.message(&driver(), &acknowledgement);
    assert_eq!(world.take::<wire::StatusUpdateAcknowledgementMessage>(&agent_pid(1)).len(), 1);
    world.message(
        &driver(),
        &wire::StatusUpdateAcknowledgementMessage { uuid: vec![1], ..acknowledgement.clone() },
    );
    world.message(&pid("other@10.0.0.51:1"), &acknowledgement);
    assert_eq!(world.metric("master/invalid_status_update_acknowledgements"), 2.0);

    let message = wire::FrameworkToExecutorMessage {
        agent_id: (&agent).into(),
        framework_id: framework_id.clone(),
        executor_id: ExecutorId { value: "e".into() },
        data: vec![1],
    };
    world.message(&driver(), &message);
    assert_eq!(world.take::<wire::FrameworkToExecutorMessage>(&agent_pid(1)).len(), 1);
    let answer = wire::ExecutorToFrameworkMessage {
        agent_id: (&agent).into(),
        framework_id: framework_id.clone(),
        executor_id: ExecutorId { value: "e".into() },
        data: vec![2],
    };
    world.message(&agent_pid(1), &answer);
    assert_eq!(world.take::<wire::ExecutorToFrameworkMessage>(&driver())[0].data, [2]);

    world.take::<wire::StatusUpdateMessage>(&driver());
    let statuses = vec![TaskStatus { task_id: task_id.clone(), ..Default::default() }];
    let reconcile =
        wire::ReconcileTasksMessage { framework_id: framework_id.clone(), statuses, framework: None };
    world.message(&driver(), &reconcile);
    let answers = world.take::<wire::StatusUpdateMessage>(&driver());
    assert_eq!(answers[0].update.status.state(), TaskState::TaskRunning);

    world.message(
        &driver(),
        &wire::KillTaskMessage { framework_id: framework_id.clone(), task_id, kill_policy: None },
    );
    assert_eq!(world.take::<wire::KillTaskMessage>(&agent_pid(1)).len(), 1);

    world.allocation();
    let rest = world.take::<wire::ResourceOffersMessage>(&driver());
    assert!(rest.is_empty(), "the rest was refused for a second");
    world
        .message(&driver(), &wire::ReviveOffersMessage { framework_id: framework_id.clone(), roles: vec![] });
    world.allocation();
    let rest = world.take::<wire::ResourceOffersMessage>(&driver()).remove(0).offers.remove(0);
    // A launch of nothing declines.
    world.message(&driver(), &wire::LaunchTasksMessage { offer_ids: vec![rest.id], ..launch(vec![]) });
    assert!(world.view().agents[0].offered.is_empty());
    let request = wire::ResourceRequestMessage { framework_id: framework_id.clone(), requests: vec![] };
    world.message(&driver(), &request);
    assert_eq!(world.metric("master/messages_resource_request"), 1.0);
    // From elsewhere nothing of this is heard.
    world.message(
        &pid("other@10.0.0.51:1"),
        &wire::UnregisterFrameworkMessage { framework_id: framework_id.clone() },
    );
    assert_eq!(world.view().frameworks.len(), 1);
    world.message(&driver(), &wire::UnregisterFrameworkMessage { framework_id });
    assert_eq!(world.view().completed_frameworks.len(), 1);
}

#[test]
fn registrations_with_and_without_an_id() {
    let (mut world, _, id, _) = registered();
    // Asked again: told again, the same id.
    world.message(&driver(), &wire::RegisterFrameworkMessage { framework: info() });
    let again = world.take::<wire::FrameworkRegisteredMessage>(&driver()).remove(0);
    assert_eq!(again.framework_id.value, id.as_str());
    let with_id = FrameworkInfo { id: Some((&id).into()), ..info() };
    let other = pid("other@10.0.0.51:1");
    world.message(&other, &wire::RegisterFrameworkMessage { framework: with_id.clone() });
    world.message(&other, &wire::ReregisterFrameworkMessage { framework: info(), failover: false });
    assert_eq!(world.take::<wire::FrameworkErrorMessage>(&other).len(), 2);
    // Only by force does another take over.
    world.message(&other, &wire::ReregisterFrameworkMessage { framework: with_id.clone(), failover: false });
    assert_eq!(world.take::<wire::FrameworkErrorMessage>(&other).len(), 1);
    world.message(&other, &wire::ReregisterFrameworkMessage { framework: with_id, failover: true });
    assert_eq!(world.take::<wire::FrameworkErrorMessage>(&driver()).len(), 1);
    assert_eq!(world.take::<wire::FrameworkRegisteredMessage>(&other).len(), 1);
    let moved = world.take::<wire::UpdateFrameworkMessage>(&agent_pid(1)).remove(0);
    assert_eq!(moved.pid, Some(other.to_string()));
    assert!(world.links.contains(&other) && !world.links.contains(&driver()));
}

#[test]
fn a_driver_that_lost_its_link_comes_back() {
    let (mut world, _, id, offer) = registered();
    world.exited(&driver());
    assert_eq!(world.take::<wire::RescindResourceOfferMessage>(&driver())[0].offer_id, offer.id);
    assert_eq!(world.take::<wire::FrameworkErrorMessage>(&driver()).len(), 1);
    world.message(&driver(), &make_call(&id, call::Type::Revive, |_| ()));
    assert_eq!(world.take::<wire::FrameworkErrorMessage>(&driver()).len(), 1);
    subscribe_from(&mut world, &driver(), FrameworkInfo { id: Some((&id).into()), ..info() }, false);
    assert_eq!(world.take::<wire::FrameworkReregisteredMessage>(&driver()).len(), 1);
    world.allocation();
    assert_eq!(world.take::<wire::ResourceOffersMessage>(&driver()).len(), 1);
    world.advance(Duration::from_secs(61));
    assert_eq!(world.view().frameworks.len(), 1);
    world.exited(&driver());
    world.advance(Duration::from_secs(61));
    assert!(world.view().frameworks.is_empty());
}

/// The answer to its registration was lost, and the connection to it broke: it asks again, without an id. (Seed
/// 1795858359000287 of the simulator; 1.11.0 tells it again and offers it nothing.)
#[test]
fn a_driver_that_never_heard_of_its_id_comes_back() {
    let (mut world, _, id, _) = registered();
    world.exited(&driver());
    world.allocation();
    assert!(world.take::<wire::ResourceOffersMessage>(&driver()).is_empty(), "it is taken for gone");
    world.message(&driver(), &wire::RegisterFrameworkMessage { framework: info() });
    let again = world.take::<wire::FrameworkRegisteredMessage>(&driver()).remove(0);
    assert_eq!(FrameworkId::from(&again.framework_id), id);
    assert!(world.links.contains(&driver()));
    world.allocation();
    assert_eq!(world.take::<wire::ResourceOffersMessage>(&driver()).len(), 1);
    assert!(world.view().frameworks[0].framework.connected);
}

#[test]
fn deactivation_keeps_the_framework() {
    let (mut world, _, id, offer) = registered();
    let deactivate = wire::DeactivateFrameworkMessage { framework_id: (&id).into() };
    world.message(&pid("other@10.0.0.51:1"), &deactivate);
    assert!(world.view().frameworks[0].framework.active);
    world.message(&driver(), &deactivate);
    assert_eq!(world.take::<wire::RescindResourceOfferMessage>(&driver())[0].offer_id, offer.id);
    let framework = world.view().frameworks[0].framework.clone();
    assert!(framework.connected && !framework.active);
    assert_eq!(world.metric("master/frameworks_inactive"), 1.0);
    world.allocation();
    assert!(world.take::<wire::ResourceOffersMessage>(&driver()).is_empty());
}

/// U093: a framework moves from the driver to HTTP, and back.
#[test]
fn a_framework_changes_its_way() {
    let (mut world, agent, id, _) = registered();
    let with_id = FrameworkInfo { id: Some((&id).into()), ..info() };
    let scheduler = world.subscribe(with_id.clone());
    assert_eq!(scheduler.id, id);
    assert_eq!(world.take::<wire::FrameworkErrorMessage>(&driver()).len(), 1);
    assert!(!world.links.contains(&driver()));
    world.allocation();
    let offer = world.offers(scheduler.stream).remove(0);
    world.accept(&scheduler, &[&offer], vec![task("t", &agent)]);
    assert!(matches!(
        world.take::<wire::RunTaskMessage>(&agent_pid(1))[0].pid.as_deref(),
        Some("@0.0.0.0:0")
    ));
    // The driver's link breaks late: no matter.
    world.exited(&driver());
    assert!(world.view().frameworks[0].framework.connected);

    subscribe_from(&mut world, &driver(), with_id.clone(), false);
    assert_eq!(world.take::<wire::FrameworkErrorMessage>(&driver()).len(), 1);
    subscribe_from(&mut world, &driver(), with_id, true);
    assert!(world.closed.contains(&scheduler.stream));
    assert!(world.events(scheduler.stream).iter().any(|event| event.error.is_some()));
    world.report(1, &id, &agent, "t", TaskState::TaskRunning);
    assert_eq!(world.take::<wire::StatusUpdateMessage>(&driver()).len(), 1);
    let call = make_call(&id, call::Type::Revive, |_| ());
    let outcome = world.try_call(Some(scheduler.stream), call);
    assert!(matches!(outcome, messor_master_core::Outcome::Forbidden(_)), "{outcome:?}");
}

#[test]
fn one_driver_is_one_framework() {
    let (mut world, _, _, _) = registered();
    let stranger = FrameworkInfo { id: Some(mesos::FrameworkId { value: "x-0001".into() }), ..info() };
    subscribe_from(&mut world, &driver(), stranger.clone(), true);
    assert_eq!(world.view().frameworks.len(), 1);
    // An id that this master never gave: taken on its word, as after a failover of masters.
    let other = pid("other@10.0.0.51:1");
    subscribe_from(&mut world, &other, stranger, false);
    assert_eq!(world.take::<wire::FrameworkRegisteredMessage>(&other)[0].framework_id.value, "x-0001");
}

#[test]
fn what_drivers_hear_of_agents() {
    let (mut world, agent, _, offer) = registered();
    world.message(&agent_pid(1), &wire::UnregisterAgentMessage { agent_id: (&agent).into() });
    assert_eq!(world.take::<wire::RescindResourceOfferMessage>(&driver())[0].offer_id, offer.id);
    assert_eq!(world.take::<wire::LostAgentMessage>(&driver())[0].agent_id.value, agent.as_str());
}

#[test]
fn a_driver_hears_of_executors_that_end() {
    let (mut world, agent, id, offer) = registered();
    let executor = mesos::ExecutorInfo {
        executor_id: ExecutorId { value: "e".into() },
        command: Some(mesos::CommandInfo::default()),
        resources: resources("cpus:0.5;mem:32"),
        ..Default::default()
    };
    let task = mesos::TaskInfo { command: None, executor: Some(executor.clone()), ..task("t", &agent) };
    let accept =
        make_call(&id, call::Type::Accept, |call| call.accept = Some(acceptance(&[&offer], vec![task])));
    world.message(&driver(), &accept);
    let exited = wire::ExitedExecutorMessage {
        agent_id: (&agent).into(),
        framework_id: (&id).into(),
        executor_id: executor.executor_id,
        status: 256,
    };
    world.message(&agent_pid(1), &exited);
    assert_eq!(world.take::<wire::ExitedExecutorMessage>(&driver()), [exited]);
}
