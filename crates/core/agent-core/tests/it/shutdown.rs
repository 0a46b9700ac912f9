use messor_agent_core::Event;
use messor_proto::mesos::executor::event;
use messor_proto::mesos::internal::{
    AgentRegisteredMessage, RegisterExecutorMessage, ShutdownExecutorMessage, ShutdownMessage,
    UnregisterAgentMessage,
};

use crate::build::{self, pid};
use crate::edge::Edge;

#[test]
fn the_master_ends_an_agent_that_has_nothing() {
    let mut edge = Edge::registered();
    let message = ShutdownMessage { message: Some("it was removed".into()) };
    edge.message(&pid("master@10.0.0.2:5050"), message.clone());
    assert_eq!(edge.aborted, None);
    edge.master_says(message);
    assert_eq!(edge.aborted.as_deref(), Some("it was removed"));
    assert!(edge.sent.is_empty(), "no need to unregister");
}

#[test]
fn an_agent_with_executors_ends_after_them() {
    let mut edge = Edge::registered();
    let (container, _) = edge.run_command("t");
    edge.events.clear();
    edge.event(Event::ShutDown { reason: "Received SIGUSR1".into() });
    let unregister: UnregisterAgentMessage = edge.one();
    assert_eq!(unregister.agent_id, build::agent_id());
    assert_eq!(edge.event_types(), [event::Type::Shutdown]);
    assert_eq!(edge.aborted, None);

    // Nothing begins any more.
    edge.master_says(build::run(build::framework(), build::command_task("u")));
    edge.master_says(AgentRegisteredMessage { agent_id: build::agent_id(), connection: None });
    edge.master_says(build::kill("t"));
    let executor = pid("executor(1)@10.0.0.7:4000");
    let message =
        RegisterExecutorMessage { framework_id: build::framework_id(), executor_id: build::executor_id("t") };
    edge.message(&executor, message);
    assert_eq!(edge.take::<ShutdownExecutorMessage>()[0].0, executor.to_string());
    edge.subscribe(build::subscribe("t"));
    assert_eq!(edge.event_types(), [event::Type::Shutdown]);
    assert_eq!(edge.closed.len(), 1);
    assert!(
        edge.containers
            .iter()
            .all(|command| !matches!(command, messor_agent_core::ContainerCommand::Launch(_)))
    );

    edge.exited(&container, 0);
    assert!(edge.aborted.is_some());
    assert!(!edge.view().registered);
}

#[test]
fn an_agent_that_never_registered_just_ends() {
    let mut edge = Edge::new();
    edge.event(Event::ShutDown { reason: "Received SIGUSR1".into() });
    assert!(edge.sent.is_empty());
    assert_eq!(edge.aborted.as_deref(), Some("Received SIGUSR1"));
    edge.detect();
    edge.advance(messor_stdx::Duration::from_secs(10));
    assert!(edge.sent.is_empty());
}
