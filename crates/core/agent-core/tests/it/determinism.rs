//! The same events give the same effects.

use std::collections::BTreeMap;

use messor_agent_core::{Agent, ContainerEvent, Effect, Event};
use messor_proto::Wire;
use messor_proto::mesos::TaskState::TaskRunning;
use messor_proto::mesos::internal::AgentRegisteredMessage;
use messor_stdx::{Duration, Time};

use crate::build;

fn message<M: Wire>(message: M) -> Event {
    Event::Message { from: build::master(), name: M::NAME.into(), body: message.encode_bytes() }
}

fn effects(seed: u64) -> (String, String) {
    let mut now = Time::from_secs_f64(1_600_000_000.0);
    let mut agent = Agent::new(messor_agent_core::Config { seed, ..build::config() }, now);
    agent.handle(now, Event::Recovered(Box::default()), &mut Vec::new());
    let recovered = ContainerEvent::Recovered { running: BTreeMap::new(), destroyed: 0 };
    agent.handle(now, Event::Container(recovered), &mut Vec::new());
    let mut effects: Vec<Effect> = Vec::new();
    let leader = Some(Box::new(build::master_info()));
    let mut events = vec![
        Event::Detected { leader },
        Event::Timer(messor_agent_core::Timer::Register),
        message(AgentRegisteredMessage { agent_id: build::agent_id(), connection: None }),
    ];
    for number in 0..20 {
        let framework = if number % 2 == 0 { build::framework() } else { build::checkpointing() };
        let mut run = build::run(framework, build::command_task(&format!("t{number}")));
        run.framework.id.as_mut().unwrap().value = format!("f{number}");
        events.push(message(run));
    }
    for ticket in 0..40 {
        events.push(Event::Persisted { ticket, outcome: Ok(()) });
    }
    for number in (0..20).step_by(3) {
        let mut kill = build::kill(&format!("t{number}"));
        kill.framework_id.value = format!("f{number}");
        events.push(message(kill));
    }
    let call = Box::new(build::update("t1", "t1", TaskRunning, 1));
    events.push(Event::ExecutorCall { reply: messor_agent_core::ReplyId(1), call });
    for event in events {
        now = now + Duration::from_millis(100);
        agent.handle(now, event, &mut effects);
    }
    (format!("{effects:?}"), format!("{:?}", agent.view(now)))
}

#[test]
fn the_same_events_give_the_same_effects() {
    assert_eq!(effects(7), effects(7));
    assert_ne!(effects(7).0, effects(8).0, "ids differ");
}
