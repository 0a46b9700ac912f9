//! Elections as the machine sees them: standby, recovery, leadership and its loss.

use messor_master_core::{Event, OperatorCall, Outcome};
use messor_proto::mesos::internal as wire;
use messor_proto::mesos::{DomainInfo, MasterInfo, domain_info};
use messor_types::FrameworkId;

use crate::world::*;

fn other() -> Box<MasterInfo> {
    Box::new(MasterInfo {
        id: "other".into(),
        pid: Some("master@10.0.0.2:5050".into()),
        hostname: Some("elsewhere".into()),
        port: 5050,
        ..Default::default()
    })
}

fn detect(world: &mut World, leader: Option<Box<MasterInfo>>) {
    world.handle(Event::LeaderDetected { leader });
}

fn teardown() -> OperatorCall {
    OperatorCall::Teardown { framework: FrameworkId::new("f") }
}

#[test]
fn a_standby_knows_the_leader_and_does_nothing_else() {
    let mut world = World::standby(config());
    assert!(world.view().leader.is_none());
    detect(&mut world, Some(other()));
    world.message(&agent_pid(1), &register(1));
    let view = world.view();
    assert_eq!(view.leader.as_ref().unwrap().id, "other");
    assert!(view.elected_time.is_none() && !view.recovered && view.agents.is_empty());
    assert_eq!((world.metric("master/elected"), world.metric("master/dropped_messages")), (0.0, 1.0));
    let leader = Some("elsewhere:5050".to_string());
    assert_eq!(world.operator(teardown()), Outcome::NotLeading { leader });
    // Its candidacy may end and begin anew, leaders come and go.
    world.handle(Event::LeadershipLost);
    detect(&mut world, None);
    assert!(world.aborted.is_none() && world.view().leader.is_none() && world.sent.is_empty());
    assert_eq!(world.operator(teardown()), Outcome::NotLeading { leader: None });
}

/// Between the election and the registry messages are dropped, as with 1.11.0: agents and schedulers try again.
#[test]
fn an_elected_master_waits_for_its_registry() {
    let mut world = World::standby(config());
    let own = Box::new(config().info);
    detect(&mut world, Some(own.clone()));
    let view = world.view();
    assert_eq!((view.leader.as_ref().unwrap().id.as_str(), view.elected_time), ("m", Some(world.now)));
    assert!(!view.recovered);
    assert_eq!(world.metric("master/elected"), 1.0);
    world.message(&agent_pid(1), &register(1));
    assert_eq!(world.metric("master/dropped_messages"), 1.0);
    let outcome = world.operator(teardown());
    assert!(matches!(&outcome, Outcome::Unavailable(text) if text.contains("recover")), "{outcome:?}");

    world.elect(Default::default());
    assert!(world.view().recovered);
    world.agent(1);
    // A blip of the election that changes nothing.
    detect(&mut world, Some(own));
    assert!(world.aborted.is_none());
    assert_eq!(world.view().agents.len(), 1);
}

#[test]
fn a_leader_that_loses_ends_at_once_and_says_nothing_more() {
    let losses: [Event; 3] = [
        Event::LeadershipLost,
        Event::LeaderDetected { leader: None },
        Event::LeaderDetected { leader: Some(other()) },
    ];
    for loss in losses {
        let Running { mut world, agent, scheduler } = World::running(modern());
        world.hold_stores = true;
        world.message(&agent_pid(2), &register(2));
        world.handle(loss);
        assert!(world.aborted.is_some());
        assert_eq!(world.metric("master/elected"), 0.0);
        world.sent.clear();
        world.answer_pings = false;
        world.report(1, &scheduler.id, &agent, "t", messor_proto::mesos::TaskState::TaskFinished);
        world.advance(std::time::Duration::from_secs(1000));
        world.store_all();
        assert!(world.sent.is_empty() && world.events(scheduler.stream).is_empty());
        // Not even a new election brings it back.
        world.elect(Default::default());
        assert!(!world.view().recovered);
    }
    let mut world = World::standby(config());
    detect(&mut world, Some(Box::new(config().info)));
    world.handle(Event::LeadershipLost);
    assert!(world.aborted.is_some(), "while it recovers, too");
}

#[test]
fn masters_of_one_cluster_are_in_one_region() {
    let domain = |region: &str| {
        let fault_domain = domain_info::FaultDomain {
            region: domain_info::fault_domain::RegionInfo { name: region.into() },
            zone: domain_info::fault_domain::ZoneInfo { name: "z".into() },
        };
        Some(DomainInfo { fault_domain: Some(fault_domain) })
    };
    for (region, ends) in [(Some("east"), false), (Some("west"), true), (None, false)] {
        let mut config = config();
        config.info.domain = domain("east");
        let mut world = World::standby(config);
        let leader = MasterInfo { domain: region.and_then(domain), ..*other() };
        detect(&mut world, Some(Box::new(leader)));
        assert_eq!(world.aborted.is_some(), ends, "{region:?}");
    }
}

/// What a dropped message was about is told again by who sent it.
#[test]
fn an_agent_registers_when_the_master_has_recovered() {
    let mut world = World::standby(config());
    world.message(&agent_pid(1), &register(1));
    world.elect(Default::default());
    world.message(&agent_pid(1), &register(1));
    assert_eq!(world.take::<wire::AgentRegisteredMessage>(&agent_pid(1)).len(), 1);
}
