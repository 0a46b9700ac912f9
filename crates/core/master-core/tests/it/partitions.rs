//! Agents that cannot be reached for a while, and what frameworks hear of their tasks.

use std::time::Duration;

use messor_master_core::OperatorCall;
use messor_proto::mesos::internal as wire;
use messor_proto::mesos::{FrameworkInfo, TaskState, task_status::Reason};

use crate::world::*;

fn checkpointing() -> FrameworkInfo {
    FrameworkInfo { checkpoint: Some(true), ..old() }
}

/// Tasks come back with their agent, for all frameworks: since 1.4 those of frameworks without PARTITION_AWARE are
/// not killed any more.
#[test]
fn tasks_come_back_with_their_agent() {
    for (info, lost) in [(modern(), TaskState::TaskUnreachable), (checkpointing(), TaskState::TaskLost)] {
        let Running { mut world, agent, scheduler } = World::running(info);
        let message = world.reregistration(1, &agent);
        world.lose(1);
        assert_eq!(states(&world.updates(scheduler.stream)), [(lost, Reason::AgentRemoved)]);
        assert_eq!(world.view().frameworks[0].unreachable_tasks[0].state(), lost);
        world.sent.clear();
        world.message(&agent_pid(1), &message);
        let back = world.updates(scheduler.stream);
        assert_eq!(states(&back), [(TaskState::TaskRunning, Reason::AgentReregistered)]);
        assert!(back[0].message().contains("unreachable agent"));
        let view = world.view();
        let framework = &view.frameworks[0];
        assert_eq!((framework.tasks.len(), framework.unreachable_tasks.len()), (1, 0));
        assert!(framework.completed_tasks.is_empty() && view.unreachable_agents.is_empty());
        assert!(!world.names(&agent_pid(1)).iter().any(|name| name.contains("Shutdown")));
        assert_eq!(world.registry.agents().count(), 1);
    }
}

/// U053: of the unreachable tasks of a framework only the latest max_unreachable_tasks_per_framework are kept; where one
/// that was dropped ran is still known, and it comes back with its agent like the others.
#[test]
fn u053_only_so_many_unreachable_tasks_are_kept() {
    let mut world = World::with(
        messor_master_core::Config { max_unreachable_tasks_per_framework: 2, ..config() },
        messor_registry::State::default(),
    );
    let agents = [world.agent(1), world.agent(2)];
    let scheduler = world.subscribe(modern());
    world.allocation();
    let offers = world.offers(scheduler.stream);
    for (number, names) in [(1, ["a", "b"]), (2, ["c", "d"])] {
        let agent = &agents[usize::from(number) - 1];
        let offer = offers.iter().find(|offer| offer.agent_id == agent.into()).unwrap();
        world.accept(&scheduler, &[offer], names.map(|name| task(name, agent)).to_vec());
        for name in names {
            world.report(number, &scheduler.id, agent, name, TaskState::TaskRunning);
        }
    }
    world.events(scheduler.stream);
    let message = world.reregistration(1, &agents[0]);
    world.lose(1);
    world.lose(2);
    // Each loss is told, whether or not it is kept.
    let unreachable = (TaskState::TaskUnreachable, Reason::AgentRemoved);
    assert_eq!(states(&world.updates(scheduler.stream)), [unreachable; 4]);
    let kept = |world: &World| -> Vec<String> {
        world.view().frameworks[0].unreachable_tasks.iter().map(|task| task.task_id.value.clone()).collect()
    };
    assert_eq!(kept(&world), ["c", "d"]);
    let asked = world.reconcile(&scheduler, "a", Some(&agents[0]));
    assert_eq!(states(&asked), [(TaskState::TaskUnreachable, Reason::Reconciliation)]);
    world.message(&agent_pid(1), &message);
    let back = (TaskState::TaskRunning, Reason::AgentReregistered);
    assert_eq!(states(&world.updates(scheduler.stream)), [back; 2]);
    assert_eq!((world.view().frameworks[0].tasks.len(), kept(&world).len()), (2, 2));
}

/// The agent ended the task meanwhile, or never had it.
#[test]
fn tasks_that_the_agent_does_not_name_are_forgotten() {
    let Running { mut world, agent, scheduler } = World::running(modern());
    let mut message = world.reregistration(1, &agent);
    world.lose(1);
    world.events(scheduler.stream);
    message.tasks.clear();
    world.message(&agent_pid(1), &message);
    assert!(world.updates(scheduler.stream).is_empty());
    let view = world.view();
    assert!(view.frameworks[0].tasks.is_empty() && view.frameworks[0].unreachable_tasks.is_empty());
    assert_eq!(world.metric("master/tasks_unreachable"), 0.0);
}

/// The master that marked the agent unreachable is gone itself.
#[test]
fn an_agent_that_a_former_master_gave_up_comes_back() {
    for (info, state) in [(modern(), TaskState::TaskUnreachable), (checkpointing(), TaskState::TaskLost)] {
        let Running { world: mut before, agent, scheduler } = World::running(info.clone());
        let message = before.reregistration(1, &agent);
        before.lose(1);
        let mut world = before.failover();
        let back = world.subscribe(FrameworkInfo { id: Some((&scheduler.id).into()), ..info });
        let view = world.view();
        assert_eq!((view.recovered_agents.len(), view.unreachable_agents.len()), (0, 1));
        // What ran there is not known, but where it ran is.
        let asked = world.reconcile(&back, "t", Some(&agent));
        assert_eq!(states(&asked), [(state, Reason::Reconciliation)]);
        assert!(asked[0].unreachable_time.is_some());
        world.message(&agent_pid(1), &message);
        let heard = world.updates(back.stream);
        assert_eq!(states(&heard), [(TaskState::TaskRunning, Reason::AgentReregistered)]);
        assert_eq!(world.view().frameworks[0].tasks.len(), 1);
        assert_eq!(world.registry.unreachable().count(), 0);
    }
}

#[test]
fn a_framework_that_ends_meanwhile_is_ended_on_the_agent() {
    let Running { mut world, agent, scheduler } = World::running(modern());
    let message = world.reregistration(1, &agent);
    world.lose(1);
    world.operator(OperatorCall::Teardown { framework: scheduler.id.clone() });
    let view = world.view();
    assert_eq!(view.completed_frameworks[0].completed_tasks[0].state(), TaskState::TaskKilled);
    world.sent.clear();
    world.message(&agent_pid(1), &message);
    let told = world.take::<wire::ShutdownFrameworkMessage>(&agent_pid(1));
    assert_eq!(told[0].framework_id.value, scheduler.id.as_str());
    let view = world.view();
    assert!(view.frameworks.is_empty() && view.agents[0].used.is_empty());
}

/// A framework that is away misses the news; it asks when it is back.
#[test]
fn a_disconnected_framework_asks_later() {
    let Running { mut world, agent, scheduler } =
        World::running(FrameworkInfo { failover_timeout: Some(3600.0), ..modern() });
    world.handle(messor_master_core::Event::StreamClosed { stream: scheduler.stream });
    world.lose(1);
    assert_eq!(world.view().frameworks[0].unreachable_tasks.len(), 1);
    let back = world.subscribe(FrameworkInfo { id: Some((&scheduler.id).into()), ..modern() });
    assert!(world.updates(back.stream).is_empty());
    let asked = world.reconcile(&back, "t", Some(&agent));
    assert_eq!(states(&asked), [(TaskState::TaskUnreachable, Reason::Reconciliation)]);
    // All that are known are those that can be reached.
    assert!(world.reconcile_all(&back).is_empty());
}

/// The link broke, but the agent's process lives on: what was thought lost is there. (Apache Mesos forgets it.)
#[test]
fn tasks_that_were_thought_lost_with_the_link_come_back() {
    let Running { mut world, agent, scheduler } =
        World::running(FrameworkInfo { checkpoint: None, ..modern() });
    let message = world.reregistration(1, &agent);
    world.exited(&agent_pid(1));
    assert_eq!(states(&world.updates(scheduler.stream)), [(TaskState::TaskLost, Reason::AgentDisconnected)]);
    assert_eq!(world.view().frameworks[0].completed_tasks.len(), 1);
    world.message(&agent_pid(1), &message);
    let heard = world.updates(scheduler.stream);
    assert_eq!(states(&heard), [(TaskState::TaskRunning, Reason::AgentReregistered)]);
    let view = world.view();
    assert_eq!((view.frameworks[0].tasks.len(), view.frameworks[0].completed_tasks.len()), (1, 0));
    assert!(!view.agents[0].used.is_empty());
    world.allocation();
    let offers = world.offers(scheduler.stream);
    assert_eq!(
        offers[0].resources.iter().find(|r| r.name == "cpus").unwrap().scalar.as_ref().unwrap().value,
        3.0
    );

    // A process that was started again does not have it: it stays lost.
    world.exited(&agent_pid(1));
    world.events(scheduler.stream);
    let mut restarted = message;
    restarted.tasks.clear();
    world.message(&agent_pid(1), &restarted);
    assert!(world.updates(scheduler.stream).is_empty());
    assert!(world.view().agents[0].used.is_empty());
    // What comes late speaks of nothing that is expected.
    let late = world.reregistration(1, &agent);
    world.message(&agent_pid(1), &late);
    assert!(world.view().frameworks[0].tasks.is_empty());
}

/// An agent that is away for a shorter time than it takes to give it up keeps everything.
#[test]
fn a_short_partition_is_no_loss() {
    let Running { mut world, agent, scheduler } = World::running(modern());
    world.answer_pings = false;
    world.advance(Duration::from_secs(60));
    world.exited(&agent_pid(1));
    world.answer_pings = true;
    let message = world.reregistration(1, &agent);
    world.message(&agent_pid(1), &message);
    world.advance(Duration::from_secs(300));
    assert!(world.updates(scheduler.stream).is_empty());
    assert_eq!(world.view().frameworks[0].tasks.len(), 1);
    assert_eq!(world.registry.unreachable().count(), 0);
}

/// A launch that meets the loss of its agent: the offer is no longer valid.
#[test]
fn a_launch_on_a_lost_agent_is_dropped() {
    for (info, state) in [(modern(), TaskState::TaskDropped), (checkpointing(), TaskState::TaskLost)] {
        let mut world = World::new();
        let agent = world.agent(1);
        let scheduler = world.subscribe(info);
        world.allocation();
        let offer = world.offers(scheduler.stream).remove(0);
        world.lose(1);
        world.events(scheduler.stream);
        world.accept(&scheduler, &[&offer], vec![task("t", &agent)]);
        assert_eq!(states(&world.updates(scheduler.stream)), [(state, Reason::InvalidOffers)]);
    }
}
