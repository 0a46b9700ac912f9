//! The same events have the same effects, and random ones keep the books in order.

use std::time::Duration;

use messor_master_core::{Event, OperatorCall, Outcome, StreamId};
use messor_proto::mesos::internal as wire;
use messor_proto::mesos::scheduler::call;
use messor_proto::mesos::{Filters, FrameworkInfo, TaskState};
use messor_types::AgentId;

use crate::maintenance::{machine, schedule};
use crate::world::*;

/// Small and reproducible; nothing here needs good randomness.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % sides
    }
}

impl World {
    fn subscribe_again(&mut self, scheduler: &Scheduler, is_modern: bool) -> Scheduler {
        let info = if is_modern { modern() } else { FrameworkInfo { checkpoint: Some(true), ..old() } };
        self.subscribe(FrameworkInfo { id: Some((&scheduler.id).into()), ..info })
    }
}

/// A few hundred things that happen to three agents and two frameworks. `World` checks the books after each.
fn story(seed: u64) -> World {
    let mut dice = Dice(seed);
    let mut world = World::new();
    world.answer_pings = false;
    let mut agents: Vec<AgentId> = (1..=3).map(|number| world.agent(number)).collect();
    let stream = StreamId(world.number());
    let reply = messor_master_core::ReplyId(world.number());
    world.handle(Event::OperatorSubscribe { stream, reply, principal: None });
    let mut schedulers =
        vec![world.subscribe(modern()), world.subscribe(FrameworkInfo { checkpoint: Some(true), ..old() })];
    let mut running: Vec<(usize, usize, String)> = Vec::new();
    for step in 0..300 {
        let who = dice.roll(2) as usize;
        let agent = dice.roll(3) as usize;
        let number = agent as u8 + 1;
        let scheduler = schedulers[who].clone();
        match dice.roll(17) {
            0..=3 => {
                world.allocation();
                for (other, scheduler) in schedulers.clone().iter().enumerate() {
                    for offer in world.offers(scheduler.stream) {
                        let at = agents.iter().position(|agent| agent.as_str() == offer.agent_id.value);
                        if let (Some(at), true) = (at, dice.roll(3) > 0) {
                            let id = format!("t{step}-{}", offer.id.value);
                            world.accept(scheduler, &[&offer], vec![task(&id, &agents[at])]);
                            running.push((other, at, id));
                        } else {
                            let filters = Some(Filters { refuse_seconds: Some(dice.roll(20) as f64) });
                            let decline = call::Decline { offer_ids: vec![offer.id], filters };
                            world.call(scheduler, call::Type::Decline, |call| call.decline = Some(decline));
                        }
                    }
                }
            }
            4 | 5 if !running.is_empty() => {
                let (who, at, id) = running.remove(dice.roll(running.len() as u64) as usize);
                let (scheduler, agent) = (schedulers[who].clone(), agents[at].clone());
                let uuid = world.report(at as u8 + 1, &scheduler.id, &agent, &id, TaskState::TaskFinished);
                let task_id = task(&id, &agent).task_id;
                let acknowledge = call::Acknowledge { agent_id: (&agent).into(), task_id, uuid };
                world.call(&scheduler, call::Type::Acknowledge, |call| call.acknowledge = Some(acknowledge));
            }
            6 => world.exited(&agent_pid(number)),
            7 => {
                let message = world.reregistration(number, &agents[agent]);
                world.message(&agent_pid(number), &message);
            }
            8 => {
                for number in 1..=3 {
                    world.message(&agent_pid(number), &wire::PongAgentMessage {});
                }
                world.advance(Duration::from_secs(dice.roll(60)));
            }
            9 => {
                world.handle(Event::StreamClosed { stream: scheduler.stream });
                schedulers[who] = world.subscribe_again(&scheduler, who == 0);
            }
            10 => {
                let kind = if dice.roll(2) == 0 { call::Type::Suppress } else { call::Type::Revive };
                world.call(&scheduler, kind, |_| ());
            }
            11 if dice.roll(4) == 0 => {
                world.message(
                    &agent_pid(number),
                    &wire::UnregisterAgentMessage { agent_id: (&agents[agent]).into() },
                );
                let registered = world.view().agents.iter().any(|known| known.pid == agent_pid(number));
                if !registered {
                    agents[agent] = world.agent(number);
                    running.retain(|(_, at, _)| *at != agent);
                }
            }
            12 if dice.roll(6) == 0 => {
                let outcome = world.operator(OperatorCall::MarkAgentGone { agent: agents[agent].clone() });
                if outcome == Outcome::Done {
                    agents[agent] = world.agent(number);
                    running.retain(|(_, at, _)| *at != agent);
                }
            }
            // Another master takes over: agents and frameworks come back in any order, and not every agent does.
            13 if dice.roll(8) == 0 => {
                let messages: Vec<_> =
                    agents.iter().zip(1..).map(|(id, number)| world.reregistration(number, id)).collect();
                world = world.failover();
                let mut subscribed = [false; 2];
                for (message, number) in messages.iter().zip(1..) {
                    let back = dice.roll(3) as usize;
                    if back < 2 && !std::mem::replace(&mut subscribed[back], true) {
                        schedulers[back] = world.subscribe_again(&schedulers[back], back == 0);
                    }
                    if dice.roll(4) > 0 {
                        world.message(&agent_pid(number), message);
                    }
                }
                for back in (0..2).filter(|back| !subscribed[*back]) {
                    schedulers[back] = world.subscribe_again(&schedulers[back], back == 0);
                }
            }
            14 => {
                let (agent, mark_gone) = (agents[agent].clone(), dice.roll(4) == 0);
                let drain =
                    OperatorCall::DrainAgent { agent: agent.clone(), max_grace_period: None, mark_gone };
                world.operator(match dice.roll(6) {
                    0 => drain,
                    1 => OperatorCall::DeactivateAgent { agent },
                    _ => OperatorCall::ReactivateAgent { agent },
                });
            }
            15 => {
                let starts: Vec<i64> = (0..2).map(|_| 100 + dice.roll(3) as i64).collect();
                let outcome = match dice.roll(3) {
                    0 => world.operator(schedule(&[])),
                    1 => world.operator(schedule(&[(starts[0], &[number])])),
                    _ => world.operator(schedule(&[(starts[0], &[1, 2]), (starts[1], &[3])])),
                };
                assert_eq!(outcome, Outcome::Done);
            }
            16 if dice.roll(4) == 0 => {
                let machines = vec![machine(number)];
                let down = world.operator(OperatorCall::StartMaintenance { machines: machines.clone() });
                if down == Outcome::Done {
                    assert_eq!(world.operator(OperatorCall::StopMaintenance { machines }), Outcome::Done);
                }
            }
            _ => {
                drop(world.call(&scheduler, call::Type::Reconcile, |call| {
                    call.reconcile = Some(Default::default())
                }))
            }
        }
        // Who was drained to be gone, or was on a machine that went down, comes as another.
        for (at, number) in (0..3).zip(1..) {
            let known = |id: &AgentId| {
                world.registry.agents().any(|(known, _)| known == id)
                    || world.registry.unreachable().any(|(known, _)| known == id)
            };
            if !known(&agents[at]) {
                agents[at] = world.agent(number);
                running.retain(|(_, of, _)| *of != at);
            }
        }
        crate::draining::check(&world);
    }
    world
}

#[test]
fn the_same_events_have_the_same_effects() {
    for seed in 0..3 {
        let (first, second) = (story(seed), story(seed));
        assert_eq!(first.trace.len(), second.trace.len());
        for (number, (left, right)) in first.trace.iter().zip(&second.trace).enumerate() {
            assert_eq!(left, right, "seed {seed}, effect {number}");
        }
        assert!(
            first
                .trace
                .iter()
                .any(|effect| effect.contains("TASK_FINISHED") || effect.contains("RunTaskMessage"))
        );
    }
}

#[test]
fn when_all_is_over_nothing_is_used() {
    for seed in 100..106 {
        let mut world = story(seed);
        let ids: Vec<_> =
            world.view().frameworks.iter().map(|framework| framework.framework.id.clone()).collect();
        for framework in ids {
            world.operator(messor_master_core::OperatorCall::Teardown { framework });
        }
        for agent in &world.view().agents {
            assert!(
                agent.used.is_empty() && agent.offered.is_empty(),
                "seed {seed}: agent {} uses {}",
                agent.id,
                agent.used
            );
        }
        assert_eq!(world.metric("master/outstanding_offers"), 0.0);
        for state in ["staging", "starting", "running", "killing"] {
            assert_eq!(world.metric(&format!("master/tasks_{state}")), 0.0, "seed {seed}");
        }
    }
}
