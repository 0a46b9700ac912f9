//! RECONCILE: the answers of Mesos's reconciliation page (U108).

use std::time::Duration;

use messor_master_core::Outcome;
use messor_proto::mesos::scheduler::call::{self, reconcile, reconcile_operations};
use messor_proto::mesos::{self, FrameworkInfo, OperationState, TaskState, TaskStatus, task_status::Reason};
use messor_registry::Operation;
use messor_types::AgentId;

use crate::world::*;

fn ask(world: &mut World, scheduler: &Scheduler, tasks: &[(&str, Option<&AgentId>)]) -> Vec<TaskStatus> {
    let tasks = tasks
        .iter()
        .map(|(id, agent)| reconcile::Task {
            task_id: mesos::TaskId { value: id.to_string() },
            agent_id: agent.map(Into::into),
        })
        .collect();
    let outcome =
        world.call(scheduler, call::Type::Reconcile, |call| call.reconcile = Some(call::Reconcile { tasks }));
    assert_eq!(outcome, Outcome::Accepted);
    world.updates(scheduler.stream)
}

#[test]
fn known_tasks_are_answered_with_their_state() {
    let Running { mut world, agent, scheduler } = World::running(modern());
    for asked in [&[][..], &[("t", None)], &[("t", Some(&agent))]] {
        let answers = ask(&mut world, &scheduler, asked);
        assert_eq!(states(&answers), [(TaskState::TaskRunning, Reason::Reconciliation)]);
        assert!(answers[0].uuid.is_none());
        assert_eq!(answers[0].agent_id.as_ref().unwrap().value, agent.as_str());
    }
    assert_eq!(world.metric("master/messages_reconcile_tasks"), 3.0);
    // The framework is told the state of the last update it was sent, not what came after it.
    let mut update = update(&scheduler.id, &agent, "t", TaskState::TaskKilling, &[8; 16]);
    update.latest_state = Some(TaskState::TaskKilled as i32);
    let pid = Some(agent_pid(1).to_string());
    world.message(&agent_pid(1), &messor_proto::mesos::internal::StatusUpdateMessage { update, pid });
    world.events(scheduler.stream);
    assert_eq!(ask(&mut world, &scheduler, &[])[0].state(), TaskState::TaskKilling);
}

#[test]
fn unknown_tasks_are_answered_by_where_they_should_be() {
    for (info, aware) in [(modern(), true), (FrameworkInfo { failover_timeout: Some(1e6), ..old() }, false)] {
        let mut before = World::new();
        let (here, lost, gone) = (before.agent(1), before.agent(2), before.agent(3));
        let mut registry = before.registry;
        let time = before.now;
        registry.apply(&Operation::RemoveAgent { id: here }).unwrap();
        registry.apply(&Operation::MarkAgentUnreachable { id: lost.clone(), time }).unwrap();
        registry.apply(&Operation::MarkAgentGone { id: gone.clone(), time }).unwrap();
        let mut world = World::with(config(), registry);
        let here = world.agent(1);
        let scheduler = world.subscribe(info);
        let nowhere = AgentId::new("nowhere");
        let asked =
            [("a", Some(&here)), ("b", Some(&lost)), ("c", Some(&gone)), ("d", Some(&nowhere)), ("e", None)];
        let answers = ask(&mut world, &scheduler, &asked);
        let expected = if aware {
            use TaskState::*;
            [TaskGone, TaskUnreachable, TaskGoneByOperator, TaskUnknown, TaskUnknown]
        } else {
            [TaskState::TaskLost; 5]
        };
        assert_eq!(answers.iter().map(TaskStatus::state).collect::<Vec<_>>(), expected);
        assert!(answers.iter().all(|status| status.reason() == Reason::Reconciliation));
        assert!(answers[1].unreachable_time.is_some());
        assert!(answers[4].agent_id.is_none());
    }
}

#[test]
fn nothing_is_said_while_agents_may_come_back() {
    let mut before = World::new();
    let agent = before.agent(1);
    let mut world = World::with(config(), before.registry);
    let scheduler = world.subscribe(modern());
    assert!(ask(&mut world, &scheduler, &[("a", Some(&agent)), ("b", None)]).is_empty());
    let elsewhere = AgentId::new("elsewhere");
    assert_eq!(ask(&mut world, &scheduler, &[("c", Some(&elsewhere))])[0].state(), TaskState::TaskUnknown);
    world.advance(Duration::from_secs(601));
    world.events(scheduler.stream);
    let answers = ask(&mut world, &scheduler, &[("a", Some(&agent)), ("b", None)]);
    let found: Vec<TaskState> = answers.iter().map(TaskStatus::state).collect();
    assert_eq!(found, [TaskState::TaskUnreachable, TaskState::TaskUnknown]);
}

#[test]
fn killing_an_unknown_task_is_asking_for_it() {
    let Running { mut world, agent, scheduler } = World::running(modern());
    world.call(&scheduler, call::Type::Kill, |call| {
        let task_id = mesos::TaskId { value: "nope".into() };
        call.kill = Some(call::Kill { task_id, agent_id: Some((&agent).into()), kill_policy: None });
    });
    assert_eq!(states(&world.updates(scheduler.stream)), [(TaskState::TaskGone, Reason::Reconciliation)]);
}

#[test]
fn operations_are_unknown() {
    let Running { mut world, agent, scheduler } = World::running(modern());
    let operation = |agent: Option<&AgentId>| reconcile_operations::Operation {
        operation_id: mesos::OperationId { value: "op".into() },
        agent_id: agent.map(Into::into),
        resource_provider_id: None,
    };
    let operations = vec![operation(Some(&agent)), operation(Some(&AgentId::new("x"))), operation(None)];
    world.call(&scheduler, call::Type::ReconcileOperations, |call| {
        call.reconcile_operations = Some(call::ReconcileOperations { operations });
    });
    let events = world.events(scheduler.stream);
    assert_eq!(events.len(), 3);
    for event in events {
        let status = &event.update_operation_status.as_ref().unwrap().status;
        assert_eq!(status.state(), OperationState::OperationUnknown);
    }
    let outcome = world.call(&scheduler, call::Type::AcknowledgeOperationStatus, |call| {
        call.acknowledge_operation_status = Some(call::AcknowledgeOperationStatus {
            agent_id: Some((&agent).into()),
            uuid: vec![1; 16],
            ..Default::default()
        });
    });
    assert_eq!(outcome, Outcome::Accepted);
    assert_eq!(world.metric("master/invalid_operation_status_update_acknowledgements"), 1.0);
}
