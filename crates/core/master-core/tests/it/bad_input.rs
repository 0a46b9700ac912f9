//! What is wrong is dropped or refused; nothing breaks.

use messor_master_core::{Config, Effect, Event, Master, Message, Outcome, ReplyId, StreamId};
use messor_proto::Wire;
use messor_proto::mesos::internal as wire;
use messor_proto::mesos::scheduler::{Call, call};
use messor_proto::mesos::{MasterInfo, TaskState};
use messor_stdx::Time;
use messor_types::{AgentId, FrameworkId};

use crate::world::*;

const NAMES: [&str; 23] = [
    <wire::StatusUpdateMessage as Wire>::NAME,
    <wire::StatusUpdateAcknowledgementMessage as Wire>::NAME,
    <Call as Wire>::NAME,
    <wire::PongAgentMessage as Wire>::NAME,
    <wire::ExitedExecutorMessage as Wire>::NAME,
    <wire::ExecutorToFrameworkMessage as Wire>::NAME,
    <wire::RegisterAgentMessage as Wire>::NAME,
    <wire::ReregisterAgentMessage as Wire>::NAME,
    <wire::UpdateAgentMessage as Wire>::NAME,
    <wire::UnregisterAgentMessage as Wire>::NAME,
    <wire::UpdateOperationStatusMessage as Wire>::NAME,
    <wire::LaunchTasksMessage as Wire>::NAME,
    <wire::KillTaskMessage as Wire>::NAME,
    <wire::ReviveOffersMessage as Wire>::NAME,
    <wire::ReconcileTasksMessage as Wire>::NAME,
    <wire::FrameworkToExecutorMessage as Wire>::NAME,
    <wire::ResourceRequestMessage as Wire>::NAME,
    <wire::RegisterFrameworkMessage as Wire>::NAME,
    <wire::ReregisterFrameworkMessage as Wire>::NAME,
    <wire::UnregisterFrameworkMessage as Wire>::NAME,
    <wire::DeactivateFrameworkMessage as Wire>::NAME,
    <wire::AuthenticateMessage as Wire>::NAME,
    "mesos.internal.NoSuchMessage",
];

#[test]
fn bodies_that_do_not_decode() {
    let Running { mut world, .. } = World::running(modern());
    for name in NAMES {
        for body in [&b"\xff\xff\xff\xff"[..], b"\x0a\x05x", &[0x08; 100]] {
            world.log.clear();
            world.handle(Event::Message { from: agent_pid(1), message: Message::read(name, body) });
            assert!(world.sent.is_empty(), "{name}");
            // A pong has no fields that could be wrong.
            let dropped = world.log.iter().any(|line| line.contains("dropping"));
            assert!(dropped || name == <wire::PongAgentMessage as Wire>::NAME, "{name}: {:?}", world.log);
        }
        // Without what is required: only messages that require nothing get through.
        world.handle(Event::Message { from: agent_pid(1), message: Message::read(name, b"") });
    }
    let view = world.view();
    assert_eq!((view.agents.len(), view.frameworks.len(), view.frameworks[0].tasks.len()), (1, 1, 1));
}

#[test]
fn messages_about_what_is_not_there() {
    let Running { mut world, scheduler, agent } = World::running(modern());
    let from = pid("stranger@10.9.9.9:1");
    let (framework_id, agent_id) = ((&FrameworkId::new("no")).into(), (&AgentId::new("no")).into());
    world.message(&from, &wire::UnregisterAgentMessage { agent_id });
    world.message(&from, &wire::PongAgentMessage {});
    world.message(&from, &wire::DeactivateFrameworkMessage { framework_id });
    // The framework is at its stream: no driver may speak for it.
    let framework_id: messor_proto::mesos::FrameworkId = (&scheduler.id).into();
    world.message(&from, &wire::UnregisterFrameworkMessage { framework_id: framework_id.clone() });
    world.message(&from, &make_call(&scheduler.id, call::Type::Teardown, |_| ()));
    world.message(&from, &make_call(&scheduler.id, call::Type::Kill, |_| ()));
    world.message(&from, &Call::default());
    let task_id = task("t", &agent).task_id;
    world.message(&from, &wire::KillTaskMessage { framework_id, task_id, kill_policy: None });
    assert!(world.sent.is_empty() && world.events(scheduler.stream).is_empty());

    for (agent, task, uuid, pid) in [
        (&AgentId::new("no"), "t", &[1; 16][..], "slave(1)@10.0.0.1:5051"),
        (&agent, "t", &[1; 3], "slave(1)@10.0.0.1:5051"),
        (&agent, "t", &[1; 16], "nobody"),
        (&agent, "other", &[1; 16], "slave(1)@10.0.0.1:5051"),
    ] {
        let update = update(&scheduler.id, agent, task, TaskState::TaskFailed, uuid);
        world.message(&agent_pid(1), &wire::StatusUpdateMessage { update, pid: Some(pid.into()) });
    }
    assert_eq!(world.metric("master/invalid_status_updates"), 4.0);
    assert_eq!(world.view().frameworks[0].tasks[0].state(), TaskState::TaskRunning);
    // That of a task the master does not know reached the framework, which has to acknowledge it.
    assert_eq!(world.updates(scheduler.stream).len(), 1);
    let operation_uuid = Some(messor_proto::mesos::Uuid { value: vec![1; 16] });
    let operation = wire::UpdateOperationStatusMessage { operation_uuid, ..Default::default() };
    world.message(&agent_pid(1), &operation);
    assert_eq!(world.metric("master/invalid_operation_status_updates"), 1.0);
    world.message(&from, &wire::AuthenticateMessage { pid: from.to_string() });
    assert_eq!(world.take::<wire::AuthenticationErrorMessage>(&from).len(), 1);
    world.message(&from, &wire::SubmitSchedulerRequest { name: "x".into() });
    assert!(!world.take::<wire::SubmitSchedulerResponse>(&from)[0].okay);
}

#[test]
fn reregistrations_that_contradict_themselves() {
    let Running { world: mut before, agent, .. } = World::running(modern());
    let good = before.reregistration(1, &agent);
    type Change = Box<dyn Fn(&mut wire::ReregisterAgentMessage)>;
    let changes: Vec<Change> = vec![
        Box::new(|m| m.agent.id = None),
        Box::new(|m| m.agent.id = Some(messor_proto::mesos::AgentId { value: "a/b".into() })),
        Box::new(|m| m.frameworks.clear()),
        Box::new(|m| m.frameworks.push(m.frameworks[0].clone())),
        Box::new(|m| m.frameworks[0].roles = vec!["/".into()]),
        Box::new(|m| m.frameworks[0].id = None),
        Box::new(|m| m.tasks[0].agent_id.value = "other".into()),
        Box::new(|m| m.tasks[0].task_id.value = "..".into()),
        Box::new(|m| m.tasks[0].resources[0].name.clear()),
        Box::new(|m| m.tasks[0].executor_id = Some(messor_proto::mesos::ExecutorId { value: "e".into() })),
        Box::new(|m| m.executor_infos.push(Default::default())),
        Box::new(|m| m.version = Some("0.9".into())),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut world = World::with(config(), before.registry.clone());
        let mut message = good.clone();
        change(&mut message);
        world.message(&agent_pid(1), &message);
        assert!(world.sent.is_empty() && world.view().agents.is_empty(), "change {number}");
    }
    before.sent.clear();
    before.message(&agent_pid(1), &good);
    assert!(!before.sent.is_empty());
}

#[test]
fn calls_without_their_fields_are_invalid() {
    let mut world = World::new();
    let scheduler = world.subscribe(modern());
    use call::Type::*;
    for kind in [
        Accept,
        Decline,
        AcceptInverseOffers,
        DeclineInverseOffers,
        Kill,
        Shutdown,
        Acknowledge,
        AcknowledgeOperationStatus,
        Reconcile,
        ReconcileOperations,
        Message,
        Request,
        UpdateFramework,
        Subscribe,
    ] {
        let outcome = world.call(&scheduler, kind, |_| ());
        assert!(matches!(outcome, Outcome::Invalid(_)), "{kind:?}: {outcome:?}");
    }
    let call = Call { r#type: None, ..make_call(&scheduler.id, Teardown, |_| ()) };
    assert!(matches!(world.try_call(Some(scheduler.stream), call), Outcome::Invalid(_)));
    // A SUBSCRIBE that is not even that opens no stream.
    let (stream, reply) = (StreamId(world.number()), ReplyId(world.number()));
    world.handle(Event::Subscribe { stream, reply, principal: None, call: Box::default() });
    assert!(matches!(world.reply(reply), Some(Outcome::Invalid(_))) && !world.is_open(stream));
}

#[test]
fn a_master_that_does_not_lead_answers_nobody() {
    let mut master = Master::new(Config::new(MasterInfo::default()), Time::ZERO);
    let mut effects = Vec::new();
    let reply = ReplyId(1);
    let message = Message::read(<wire::RegisterAgentMessage as Wire>::NAME, &register(1).encode_bytes());
    for event in [
        Event::Message { from: agent_pid(1), message },
        Event::Subscribe { stream: StreamId(1), reply, principal: None, call: Box::default() },
        Event::SchedulerCall { reply, principal: None, stream: None, call: Box::default() },
        Event::OperatorSubscribe { stream: StreamId(1), reply, principal: None },
        Event::Exited { pid: agent_pid(1) },
    ] {
        master.handle(Time::ZERO, event, &mut effects);
    }
    assert_eq!(effects.len(), 3);
    for effect in effects {
        let nobody = Outcome::NotLeading { leader: None };
        assert!(matches!(&effect, Effect::Reply { outcome, .. } if *outcome == nobody), "{effect:?}");
    }
    let view = master.view(Time::ZERO);
    assert!(view.leader.is_none());
    assert!(view.metrics.contains(&("master/dropped_messages".to_string(), 1.0)));
}
