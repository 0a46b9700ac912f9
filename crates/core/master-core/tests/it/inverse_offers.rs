//! Frameworks are asked to leave agents that are to be unavailable, and answer.

use std::time::Duration;

use messor_master_core::{Config, OperatorCall, Outcome, Timer};
use messor_proto::mesos::allocator::inverse_offer_status::Status;
use messor_proto::mesos::internal as wire;
use messor_proto::mesos::scheduler::{call, event};
use messor_proto::mesos::{Filters, FrameworkInfo, InverseOffer};
use messor_registry::State;
use messor_types::{AgentId, FrameworkId, OfferId};

use crate::maintenance::{schedule, unavailability};
use crate::world::*;

/// A framework that uses something on an agent which is to be unavailable, and was asked to leave.
fn asked() -> (Running, InverseOffer) {
    let mut running = World::running(modern());
    let world = &mut running.world;
    assert_eq!(world.operator(schedule(&[(500, &[1])])), Outcome::Done);
    let offer = inverse_offer(world, &running.scheduler).expect("an inverse offer");
    (running, offer)
}

/// The one that comes with the next allocation.
fn inverse_offer(world: &mut World, scheduler: &Scheduler) -> Option<InverseOffer> {
    world.allocation();
    let events = world.events(scheduler.stream);
    let mut offers: Vec<InverseOffer> = events
        .iter()
        .filter_map(|event| event.inverse_offers.clone())
        .flat_map(|some| some.inverse_offers)
        .collect();
    assert!(offers.len() <= 1);
    offers.pop()
}

/// How many were taken back.
fn rescinded(world: &mut World, scheduler: &Scheduler) -> Vec<String> {
    let events = world.events(scheduler.stream);
    let rescinded = events.iter().filter(|event| event.r#type() == event::Type::RescindInverseOffer);
    rescinded.map(|event| event.rescind_inverse_offer.clone().unwrap().inverse_offer_id.value).collect()
}

fn answer(world: &mut World, scheduler: &Scheduler, offer: &InverseOffer, accept: bool, refuse_secs: f64) {
    let (ids, filters) = (vec![offer.id.clone()], Some(Filters { refuse_seconds: Some(refuse_secs) }));
    let outcome = if accept {
        world.call(scheduler, call::Type::AcceptInverseOffers, |call| {
            call.accept_inverse_offers = Some(call::AcceptInverseOffers { inverse_offer_ids: ids, filters });
        })
    } else {
        world.call(scheduler, call::Type::DeclineInverseOffers, |call| {
            call.decline_inverse_offers =
                Some(call::DeclineInverseOffers { inverse_offer_ids: ids, filters });
        })
    };
    assert_eq!(outcome, Outcome::Accepted);
}

fn answers(world: &World) -> Vec<(AgentId, FrameworkId, Status)> {
    let view = world.view();
    let given = view.inverse_offer_statuses.iter();
    given
        .flat_map(|(agent, by)| by.iter().map(|(id, status)| (agent.clone(), id.clone(), status.status())))
        .collect()
}

fn outstanding(world: &World) -> usize {
    world.view().frameworks.iter().map(|framework| framework.inverse_offers.len()).sum()
}

#[test]
fn a_framework_is_asked_and_answers() {
    let (Running { mut world, agent, scheduler }, offer) = asked();
    assert_eq!(offer.unavailability, unavailability(500));
    assert_eq!(offer.agent_id, Some((&agent).into()));
    assert_eq!(offer.framework_id, (&scheduler.id).into());
    assert_eq!(offer.url.as_ref().unwrap().path(), "/slave(1)");
    assert!(offer.resources.is_empty(), "it is about the whole agent");
    assert_eq!(outstanding(&world), 1);
    assert_eq!(inverse_offer(&mut world, &scheduler), None, "one at a time");

    answer(&mut world, &scheduler, &offer, false, 60.0);
    assert_eq!(answers(&world), [(agent.clone(), scheduler.id.clone(), Status::Decline)]);
    assert_eq!(outstanding(&world), 0);
    assert_eq!(inverse_offer(&mut world, &scheduler), None, "it is not asked again for a minute");
    world.advance(Duration::from_secs(61));
    let again = inverse_offer(&mut world, &scheduler).expect("it is asked again");
    assert_ne!(again.id, offer.id);
    answer(&mut world, &scheduler, &again, true, 1000.0);
    assert_eq!(answers(&world), [(agent.clone(), scheduler.id.clone(), Status::Accept)]);
    // What is no longer valid changes nothing.
    answer(&mut world, &scheduler, &offer, false, 0.0);
    assert_eq!(answers(&world), [(agent, scheduler.id.clone(), Status::Accept)]);

    // REVIVE takes filters off, of inverse offers too.
    assert_eq!(inverse_offer(&mut world, &scheduler), None);
    world.call(&scheduler, call::Type::Revive, |call| call.revive = Some(call::Revive::default()));
    assert!(inverse_offer(&mut world, &scheduler).is_some());
}

#[test]
fn only_those_are_asked_who_have_something_there() {
    let mut world = World::new();
    world.agent(1);
    let idle = world.subscribe(modern());
    world.call(&idle, call::Type::Suppress, |call| call.suppress = Some(call::Suppress::default()));
    world.operator(schedule(&[(500, &[1]), (600, &[2])]));
    assert_eq!(inverse_offer(&mut world, &idle), None);
    // Who is offered something has something to lose.
    world.call(&idle, call::Type::Revive, |call| call.revive = Some(call::Revive::default()));
    assert!(inverse_offer(&mut world, &idle).is_some());
}

#[test]
fn inverse_offers_of_others_cannot_be_answered() {
    let (Running { mut world, scheduler, .. }, offer) = asked();
    let other = world.subscribe(modern());
    answer(&mut world, &other, &offer, true, 0.0);
    assert!(answers(&world).is_empty() && outstanding(&world) == 1);
    assert!(rescinded(&mut world, &scheduler).is_empty());
}

#[test]
fn another_plan_is_another_question() {
    let (Running { mut world, scheduler, .. }, offer) = asked();
    answer(&mut world, &scheduler, &offer, true, 1000.0);
    world.operator(schedule(&[(500, &[1])]));
    assert_eq!(answers(&world).len(), 1, "nothing changed");
    world.operator(schedule(&[(700, &[1])]));
    assert!(answers(&world).is_empty());
    let again = inverse_offer(&mut world, &scheduler).expect("it is asked anew");
    assert_eq!(again.unavailability, unavailability(700));
    // Taken off the schedule, there is nothing to leave.
    world.operator(schedule(&[]));
    assert_eq!(rescinded(&mut world, &scheduler), [again.id.value]);
    assert_eq!((inverse_offer(&mut world, &scheduler), outstanding(&world)), (None, 0));
}

#[test]
fn inverse_offers_end_with_their_agent_and_their_framework() {
    // The link of the agent.
    let (Running { mut world, agent, scheduler }, offer) = asked();
    world.exited(&agent_pid(1));
    assert_eq!(rescinded(&mut world, &scheduler), std::slice::from_ref(&offer.id.value));
    let message = world.reregistration(1, &agent);
    world.message(&agent_pid(1), &message);
    let again = inverse_offer(&mut world, &scheduler).expect("it is asked again");

    // Deactivated by an operator, it is not asked about.
    world.operator(OperatorCall::DeactivateAgent { agent: agent.clone() });
    assert_eq!(rescinded(&mut world, &scheduler), [again.id.value]);
    assert_eq!(inverse_offer(&mut world, &scheduler), None);
    world.operator(OperatorCall::ReactivateAgent { agent: agent.clone() });
    let again = inverse_offer(&mut world, &scheduler).expect("it is asked again");

    // Gone.
    answer(&mut world, &scheduler, &again, true, 0.0);
    inverse_offer(&mut world, &scheduler).expect("it is asked again");
    world.operator(OperatorCall::MarkAgentGone { agent });
    assert_eq!(rescinded(&mut world, &scheduler).len(), 1);
    assert!(answers(&world).is_empty() && outstanding(&world) == 0);

    // The framework fails over: the new scheduler knows of none, and is asked.
    let (Running { mut world, scheduler, .. }, offer) = asked();
    answer(&mut world, &scheduler, &offer, true, 0.0);
    inverse_offer(&mut world, &scheduler).expect("it is asked again");
    let back = world.subscribe(FrameworkInfo { id: Some((&scheduler.id).into()), ..modern() });
    assert!(rescinded(&mut world, &back).is_empty() && outstanding(&world) == 0);
    assert!(inverse_offer(&mut world, &back).is_some());
    // Its answer stands as long as it is there.
    assert_eq!(answers(&world).len(), 1);
    world.operator(OperatorCall::Teardown { framework: scheduler.id });
    assert!(answers(&world).is_empty() && outstanding(&world) == 0);
}

#[test]
fn offer_timeout_is_for_inverse_offers_too() {
    let config = Config { offer_timeout: Some(Duration::from_secs(30)), ..config() };
    let mut world = World::with(config, State::default());
    world.agent(1);
    let scheduler = world.subscribe(modern());
    world.operator(schedule(&[(500, &[1])]));
    let offer = inverse_offer(&mut world, &scheduler).expect("it is offered something, and asked to leave");
    let timer = Timer::Offer(OfferId::from(&offer.id));
    assert!(world.has_timer(&timer));
    world.advance(Duration::from_secs(31));
    assert_eq!(rescinded(&mut world, &scheduler), [offer.id.value]);
    assert!(!world.has_timer(&timer));
    let again = inverse_offer(&mut world, &scheduler).expect("it is asked again");
    answer(&mut world, &scheduler, &again, true, 5.0);
    assert!(!world.has_timer(&Timer::Offer(OfferId::from(&again.id))));
}

/// Drivers have no callback for it, but are sent the message, as with 1.11.0.
#[test]
fn a_driver_is_sent_inverse_offers() {
    let mut world = World::new();
    world.agent(1);
    let driver = pid("scheduler-1@10.0.0.77:40000");
    let message = wire::RegisterFrameworkMessage { framework: old() };
    world.message(&driver, &message);
    world.operator(schedule(&[(500, &[1])]));
    world.allocation();
    let messages = world.take::<wire::InverseOffersMessage>(&driver);
    assert_eq!((messages.len(), messages[0].pids.as_slice()), (1, &[agent_pid(1).to_string()][..]));
    let offer = messages[0].inverse_offers[0].clone();
    let id = FrameworkId::from(&offer.framework_id);
    let call = make_call(&id, call::Type::DeclineInverseOffers, |call| {
        call.decline_inverse_offers = Some(call::DeclineInverseOffers {
            inverse_offer_ids: vec![offer.id.clone()],
            filters: Some(Filters { refuse_seconds: Some(0.0) }),
        });
    });
    world.message(&driver, &call);
    assert_eq!(answers(&world)[0].2, Status::Decline);
    world.allocation();
    assert_eq!(world.take::<wire::InverseOffersMessage>(&driver).len(), 1);
    world.operator(schedule(&[]));
    assert_eq!(world.take::<wire::RescindInverseOfferMessage>(&driver).len(), 1);
}

/// What the allocator asked for is old when it arrives.
#[test]
fn what_the_allocator_asks_may_be_late() {
    use messor_master_core::Event;
    let (Running { mut world, agent, scheduler }, _) = asked();
    world.operator(schedule(&[(700, &[1])]));
    world.events(scheduler.stream);
    let nobody = AgentId::new("nobody");
    let agents = vec![(agent.clone(), unavailability(500)), (nobody, unavailability(700))];
    world.handle(Event::InverseOffer { framework: scheduler.id.clone(), agents });
    assert!(world.events(scheduler.stream).is_empty() && outstanding(&world) == 0);
    world.exited(&agent_pid(1));
    let agents = vec![(agent, unavailability(700))];
    world.handle(Event::InverseOffer { framework: scheduler.id.clone(), agents: agents.clone() });
    world.handle(Event::InverseOffer { framework: FrameworkId::new("nobody"), agents });
    assert!(world.events(scheduler.stream).is_empty() && outstanding(&world) == 0);
}
