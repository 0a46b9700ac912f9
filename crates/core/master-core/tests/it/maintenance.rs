//! The maintenance schedule, and machines that go down and come up.

use std::collections::VecDeque;

use messor_master_core::{Event, OperatorCall, Outcome, ReplyId};
use messor_proto::mesos::internal as wire;
use messor_proto::mesos::maintenance::{Schedule, Window};
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{DurationInfo, FrameworkInfo, MachineId, TaskState, TimeInfo, Unavailability};

use crate::world::*;

pub fn unavailability(start_secs: i64) -> Unavailability {
    Unavailability {
        start: TimeInfo { nanoseconds: start_secs * 1_000_000_000 },
        duration: Some(DurationInfo { nanoseconds: 3_600_000_000_000 }),
    }
}

/// The machine of the agent of that number.
pub fn machine(number: u8) -> MachineId {
    MachineId { hostname: Some(format!("HOST{number}")), ip: Some(format!("10.0.0.{number}")) }
}

pub fn schedule(windows: &[(i64, &[u8])]) -> OperatorCall {
    let window = |(start, numbers): &(i64, &[u8])| Window {
        machine_ids: numbers.iter().map(|number| machine(*number)).collect(),
        unavailability: unavailability(*start),
    };
    OperatorCall::UpdateSchedule {
        schedule: Box::new(Schedule { windows: windows.iter().map(window).collect() }),
    }
}

fn down(number: u8) -> OperatorCall {
    OperatorCall::StartMaintenance { machines: vec![machine(number)] }
}

fn up(number: u8) -> OperatorCall {
    OperatorCall::StopMaintenance { machines: vec![machine(number)] }
}

fn ask(world: &mut World, call: OperatorCall) -> ReplyId {
    let reply = ReplyId(world.number());
    world.handle(Event::Operator { reply, principal: None, call });
    reply
}

#[test]
fn offers_tell_when_their_agent_is_to_be_unavailable() {
    let mut world = World::new();
    world.agent(1);
    world.agent(2);
    let scheduler = world.subscribe(modern());
    world.allocation();
    assert_eq!(world.offers(scheduler.stream).len(), 2);
    assert_eq!(world.operator(schedule(&[(500, &[1]), (600, &[7])])), Outcome::Done);
    let rescinded = |world: &mut World| {
        world.events(scheduler.stream).iter().filter(|event| event.rescind.is_some()).count()
    };
    assert_eq!(rescinded(&mut world), 1);
    world.allocation();
    let offers = world.offers(scheduler.stream);
    assert_eq!((offers.len(), offers[0].unavailability), (1, Some(unavailability(500))));

    // The same again changes nothing for those who have an offer.
    world.operator(schedule(&[(500, &[1])]));
    assert_eq!(rescinded(&mut world), 0);
    world.operator(schedule(&[(700, &[1])]));
    assert_eq!(rescinded(&mut world), 1);
    world.allocation();
    assert_eq!(world.offers(scheduler.stream)[0].unavailability, Some(unavailability(700)));
    world.operator(schedule(&[]));
    assert_eq!(rescinded(&mut world), 1);
    world.allocation();
    assert_eq!(world.offers(scheduler.stream)[0].unavailability, None);

    // A machine may be planned for before its agent comes, and under another master.
    world.operator(schedule(&[(800, &[3])]));
    let mut next = world.failover();
    next.agent(3);
    let scheduler = next.subscribe(FrameworkInfo { id: Some((&scheduler.id).into()), ..modern() });
    next.allocation();
    assert_eq!(next.offers(scheduler.stream)[0].unavailability, Some(unavailability(800)));
}

#[test]
fn agents_on_machines_that_go_down_leave_and_stay_away() {
    let Running { mut world, agent, scheduler } = World::running(modern());
    world.operator(schedule(&[(500, &[1, 2])]));
    let message = world.reregistration(1, &agent);
    world.events(scheduler.stream);
    assert_eq!(world.operator(down(1)), Outcome::Done);
    assert_eq!(world.take::<wire::ShutdownMessage>(&agent_pid(1)).len(), 1);
    let events = world.events(scheduler.stream);
    let updates: Vec<_> = events.iter().filter_map(|event| Some(event.update.clone()?.status)).collect();
    assert_eq!(states(&updates), [(TaskState::TaskLost, Reason::AgentRemoved)]);
    assert!(events.iter().any(|event| event.failure.is_some()));
    assert_eq!((world.view().agents.len(), world.registry.agents().count()), (0, 0));

    let stays_away = |world: &mut World| {
        world.message(&agent_pid(1), &message);
        assert_eq!(world.take::<wire::ShutdownMessage>(&agent_pid(1)).len(), 1);
        world.message(&agent_pid(1), &register(1));
        assert_eq!(world.take::<wire::ShutdownMessage>(&agent_pid(1)).len(), 1);
        assert!(world.view().agents.is_empty());
    };
    stays_away(&mut world);
    let mut next = world.failover();
    stays_away(&mut next);
    // A machine is its name and its address.
    next.agent(2);
    assert_eq!(next.operator(up(1)), Outcome::Done);
    next.agent(1);
    assert_eq!(next.view().agents.len(), 2);
    assert_eq!(next.registry.machines().count(), 1, "the machine left the schedule");
    assert!(next.operator(up(1)) != Outcome::Done);
}

#[test]
fn changes_that_make_no_sense_name_what_is_wrong() {
    let mut world = World::new();
    world.operator(schedule(&[(5, &[1])]));
    let nobody = OperatorCall::StartMaintenance { machines: Vec::new() };
    let nameless = OperatorCall::StopMaintenance { machines: vec![MachineId::default()] };
    for (call, part) in [
        (schedule(&[(5, &[])]), "machine_ids"),
        (schedule(&[(5, &[1, 1])]), "twice"),
        (nobody, "empty"),
        (nameless, "hostname"),
        (down(2), "not part"),
        (up(1), "not down"),
    ] {
        let outcome = world.operator(call);
        assert!(matches!(&outcome, Outcome::Invalid(text) if text.contains(part)), "{part}: {outcome:?}");
    }
    assert_eq!(world.operator(down(1)), Outcome::Done);
    assert!(matches!(world.operator(down(1)), Outcome::Invalid(text) if text.contains("not draining")));
    assert!(
        matches!(world.operator(schedule(&[])), Outcome::Invalid(text) if text.contains("stop its maintenance"))
    );
}

/// An agent is not emptied in two ways at once.
#[test]
fn an_agent_in_the_schedule_is_not_drained() {
    let mut world = World::new();
    let agent = world.agent(1);
    world.operator(schedule(&[(5, &[1])]));
    let drain = OperatorCall::DrainAgent { agent, max_grace_period: None, mark_gone: false };
    assert!(matches!(world.operator(drain.clone()), Outcome::Invalid(text) if text.contains("schedule")));
    world.operator(schedule(&[]));
    assert_eq!(world.operator(drain), Outcome::Done);
}

/// The registry takes its time: what happens meanwhile counts.
#[test]
fn the_registry_is_slow() {
    let mut world = World::new();
    world.operator(schedule(&[(5, &[1])]));
    world.hold_stores = true;
    // Both would be right now; after the first the second is not.
    let (first, second) = (ask(&mut world, down(1)), ask(&mut world, schedule(&[])));
    assert_eq!(world.reply(first), None);
    // An agent comes, as its machine is not down yet.
    world.message(&agent_pid(1), &register(1));
    world.store_all();
    assert_eq!(world.reply(first), Some(Outcome::Done));
    assert!(matches!(world.reply(second), Some(Outcome::Conflict(_))));
    assert!(world.take::<wire::ShutdownMessage>(&agent_pid(1)).len() == 1);
    assert_eq!((world.view().agents.len(), world.registry.agents().count()), (0, 0));

    // It is on its way back.
    let Running { mut world, agent, .. } = World::running(modern());
    world.operator(schedule(&[(5, &[1])]));
    let message = world.reregistration(1, &agent);
    world.lose(1);
    world.hold_stores = true;
    let reply = ask(&mut world, down(1));
    world.message(&agent_pid(1), &message);
    world.store_all();
    assert_eq!(world.reply(reply), Some(Outcome::Done));
    assert_eq!(world.take::<wire::ShutdownMessage>(&agent_pid(1)).len(), 1);
    assert!(world.view().agents.is_empty() && world.registry.agents().count() == 0);
    assert_eq!(world.registry.unreachable().count(), 0);

    // Who is told that the machine is down gets nothing of it, although the registry has the agent still.
    let Running { mut world, scheduler, .. } = World::running(modern());
    world.operator(schedule(&[(5, &[1])]));
    world.allocation();
    let offers = world.offers(scheduler.stream);
    assert!(!offers.is_empty());
    world.hold_stores = true;
    let reply = ask(&mut world, down(1));
    let mut stored = VecDeque::new();
    world.store_one(&mut stored);
    stored.into_iter().for_each(|event| world.handle(event));
    assert_eq!((world.reply(reply), world.registry.agents().count()), (Some(Outcome::Done), 1));
    let events = world.events(scheduler.stream);
    assert_eq!(events.iter().filter(|event| event.rescind.is_some()).count(), offers.len());
    world.allocation();
    assert!(world.offers(scheduler.stream).is_empty());
    world.store_all();
    assert!(world.view().agents.is_empty());

    // A registry that cannot be written ends the master, with nothing said.
    let mut world = World::new();
    world.hold_stores = true;
    let reply = ask(&mut world, schedule(&[(5, &[1])]));
    world.fail_store();
    assert!(world.aborted.is_some() && world.reply(reply).is_none());
}
