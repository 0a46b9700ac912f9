//! Reservations and volumes on an agent: applied, kept, told of, taken over by the next agent.

use std::collections::BTreeMap;

use messor_agent_core::{ContainerCommand, Record, Recovered, RecoveredAgent, RecoveredOperation, Timer};
use messor_proto::mesos::OperationState::{self, *};
use messor_proto::mesos::internal::{
    AcknowledgeOperationStatusMessage, AgentRegisteredMessage, AgentReregisteredMessage,
    ApplyOperationMessage, CheckpointResourcesMessage, KillTaskMessage, ReconcileOperationsMessage,
    ReconcileTasksMessage, RegisterAgentMessage, ReregisterAgentMessage, ResourceVersionUuid,
    UpdateAgentMessage, UpdateOperationStatusMessage, reconcile_operations_message,
    update_operation_status_record,
};
use messor_proto::mesos::offer::operation::{Create, Destroy, Reserve, Type, Unreserve};
use messor_proto::mesos::resource::disk_info::Persistence;
use messor_proto::mesos::resource::{DiskInfo, ReservationInfo, reservation_info};
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{self, Operation, OperationStatus, Resource, Uuid, Volume, offer};
use messor_stdx::Duration;
use messor_types::{OperationUuid, Resources};

use crate::build::{self, pid, scalar};
use crate::edge::Edge;

fn reserved(name: &str, amount: f64) -> Resource {
    let reservation = ReservationInfo {
        r#type: Some(reservation_info::Type::Dynamic.into()),
        role: Some("web".into()),
        ..Default::default()
    };
    Resource { reservations: vec![reservation], ..scalar(name, amount) }
}

fn volume(id: &str) -> Resource {
    let disk = DiskInfo {
        persistence: Some(Persistence { id: id.into(), principal: None }),
        volume: Some(Volume { container_path: "data".into(), ..Default::default() }),
        ..Default::default()
    };
    Resource { disk: Some(Box::new(disk)), ..reserved("disk", 32.0) }
}

fn reserve(resources: Vec<Resource>) -> offer::Operation {
    offer::Operation {
        r#type: Some(Type::Reserve.into()),
        id: Some(mesos::OperationId { value: "o".into() }),
        reserve: Some(Reserve { resources, source: vec![] }),
        ..Default::default()
    }
}

fn unreserve(resources: Vec<Resource>) -> offer::Operation {
    offer::Operation {
        r#type: Some(Type::Unreserve.into()),
        id: Some(mesos::OperationId { value: "u".into() }),
        unreserve: Some(Unreserve { resources }),
        ..Default::default()
    }
}

fn create(id: &str) -> offer::Operation {
    offer::Operation {
        r#type: Some(Type::Create.into()),
        create: Some(Create { volumes: vec![volume(id)] }),
        ..Default::default()
    }
}

fn destroy(id: &str) -> offer::Operation {
    offer::Operation {
        r#type: Some(Type::Destroy.into()),
        destroy: Some(Destroy { volumes: vec![volume(id)] }),
        ..Default::default()
    }
}

fn uuid(byte: u8) -> Uuid {
    Uuid { value: vec![byte; 16] }
}

fn config() -> messor_agent_core::Config {
    let mut config = build::config();
    config.info.resources.push(scalar("disk", 100.0));
    config
}

struct Agent {
    edge: Edge,
    version: Uuid,
}

impl Agent {
    fn start(recovered: Recovered) -> Agent {
        let mut edge = Edge::recovered(config(), recovered, BTreeMap::new());
        edge.detect();
        edge.advance(Duration::from_secs(1));
        Agent { edge, version: Uuid::default() }
    }

    /// Registered, with the resource version that it told.
    fn new() -> Agent {
        let mut agent = Agent::start(Recovered::default());
        agent.version = agent.edge.take::<RegisterAgentMessage>()[0].1.resource_version_uuid.clone().unwrap();
        agent.edge.master_says(AgentRegisteredMessage { agent_id: build::agent_id(), connection: None });
        agent.edge.sent.clear();
        agent.edge.records.clear();
        agent.edge.containers.clear();
        agent
    }

    /// What it said when it registered again, the last time that it did.
    fn registration(&mut self) -> ReregisterAgentMessage {
        self.edge.take().pop().expect("it registered again").1
    }

    fn apply(&mut self, byte: u8, operation_info: offer::Operation) -> ApplyOperationMessage {
        let message = ApplyOperationMessage {
            framework_id: Some(build::framework_id()),
            operation_info,
            operation_uuid: uuid(byte),
            resource_version_uuid: ResourceVersionUuid {
                resource_provider_id: None,
                uuid: self.version.clone(),
            },
        };
        self.edge.master_says(message.clone());
        message
    }

    fn statuses(&mut self) -> Vec<UpdateOperationStatusMessage> {
        self.edge.take().into_iter().map(|(_, message)| message).collect()
    }

    fn states(&mut self) -> Vec<OperationState> {
        self.statuses().iter().map(|message| message.status.state()).collect()
    }

    fn acknowledge(&mut self, update: &UpdateOperationStatusMessage) {
        self.edge.master_says(AcknowledgeOperationStatusMessage {
            status_uuid: update.status.uuid.clone().unwrap(),
            operation_uuid: update.operation_uuid.clone().unwrap(),
            resource_provider_id: None,
        });
    }

    fn total(&self) -> Resources {
        self.edge.view().total
    }

    /// What the last record of resources has.
    fn kept(&self) -> (Resources, Vec<Operation>) {
        let last = self.edge.records.iter().rev().find_map(|(_, record)| match record {
            Record::Resources { resources, operations } => {
                Some((Resources::from_proto(resources).unwrap(), operations.clone()))
            }
            _ => None,
        });
        last.expect("a record of resources")
    }
}

fn read(list: &[Resource]) -> Resources {
    Resources::from_proto(list).unwrap()
}

#[test]
fn an_operation_is_on_disk_before_it_is_said_to_be_done() {
    let mut agent = Agent::new();
    agent.edge.durable_at_once = false;
    let allocation_info = Some(mesos::resource::AllocationInfo { role: Some("web".into()) });
    let allocated = Resource { allocation_info, ..reserved("cpus", 1.0) };
    agent.apply(3, reserve(vec![allocated]));
    assert_eq!(agent.total().reserved(), read(&[reserved("cpus", 1.0)]));
    let (resources, operations) = agent.kept();
    assert_eq!(resources, read(&[reserved("cpus", 1.0)]));
    assert_eq!(operations[0].latest_status.state(), OperationFinished);
    assert!(agent.statuses().is_empty());
    assert_eq!(agent.edge.view().operations[0].latest_status.state(), OperationPending);

    agent.edge.persist_all();
    assert!(agent.statuses().is_empty(), "the update itself is on its way to disk");
    assert!(matches!(
        agent.edge.records.last(),
        Some((_, Record::OperationUpdate { uuid, .. })) if *uuid == [3; 16]
    ));
    agent.edge.persist_all();
    let update = agent.statuses().remove(0);
    assert_eq!(update.status.state(), OperationFinished);
    assert_eq!(update.status.operation_id.as_ref().unwrap().value, "o");
    assert_eq!(update.framework_id, Some(build::framework_id()));
    assert_eq!(update.latest_status.as_ref(), Some(&update.status));
    assert_eq!(agent.edge.view().operations[0].latest_status.state(), OperationFinished);

    // Again and again, with longer pauses, until it is acknowledged.
    agent.edge.advance(Duration::from_secs(10));
    assert_eq!(agent.states(), [OperationFinished]);
    agent.edge.advance(Duration::from_secs(19));
    assert!(agent.states().is_empty());
    agent.edge.advance(Duration::from_secs(1));
    assert_eq!(agent.statuses(), std::slice::from_ref(&update));

    agent.acknowledge(&update);
    agent.edge.persist_all();
    assert!(agent.edge.view().operations.is_empty());
    let key = OperationUuid::new([3; 16]);
    assert!(!agent.edge.timers.contains_key(&Timer::OperationRetry(key)));
    assert!(agent.kept().1.is_empty());
    assert!(matches!(
        agent.edge.records.last(),
        Some((_, Record::OperationCompleted { uuid })) if *uuid == [3; 16]
    ));
    agent.acknowledge(&update);
    assert!(agent.edge.sent.is_empty());
    assert_eq!(agent.total().reserved(), read(&[reserved("cpus", 1.0)]), "the reservation stays");
}

#[test]
fn operations_follow_on_one_another() {
    let mut agent = Agent::new();
    agent.apply(1, reserve(vec![reserved("disk", 64.0)]));
    agent.apply(2, create("v"));
    agent.apply(2, create("v"));
    assert_eq!(agent.states(), [OperationFinished, OperationFinished], "one that comes twice is one");
    assert_eq!(agent.kept().0, read(&[reserved("disk", 32.0), volume("v")]));
    agent.apply(3, destroy("v"));
    assert_eq!(agent.states(), [OperationFinished]);
    assert_eq!(agent.kept().0, read(&[reserved("disk", 64.0)]));
}

#[test]
fn what_the_agent_does_not_have_is_refused_and_the_master_hears_what_it_has() {
    let mut agent = Agent::new();
    agent.apply(1, create("v"));
    assert_eq!(agent.states(), [OperationError]);
    assert!(!agent.edge.view().registered, "it registers again");
    agent.edge.advance(Duration::from_secs(1));
    assert!(agent.registration().checkpointed_resources.is_empty());
    // While it is away, the master cannot count on anything.
    agent.apply(2, reserve(vec![reserved("cpus", 1.0)]));
    assert_eq!(agent.states(), [OperationDropped]);
    agent.edge.master_says(AgentReregisteredMessage { agent_id: build::agent_id(), ..Default::default() });
    agent.version = uuid(9);
    agent.apply(3, reserve(vec![reserved("cpus", 1.0)]));
    assert_eq!(agent.states(), [OperationDropped], "of another run of the agent");
    assert!(agent.total().reserved().is_empty() && agent.edge.view().operations.is_empty());
}

#[test]
fn operations_of_others_are_ignored() {
    let mut agent = Agent::new();
    let mut message = agent.apply(1, reserve(vec![reserved("cpus", 1.0)]));
    agent.edge.sent.clear();
    message.operation_uuid = uuid(2);
    agent.edge.message(&pid("master@10.0.0.2:5050"), message.clone());
    message.operation_uuid.value.pop();
    agent.edge.master_says(message.clone());
    message.operation_uuid = uuid(4);
    message.operation_info.reserve.as_mut().unwrap().resources[0].provider_id =
        Some(mesos::ResourceProviderId { value: "p".into() });
    agent.edge.master_says(message);
    assert_eq!(agent.states(), [OperationDropped], "of a resource provider there is none");
    assert_eq!(agent.edge.view().operations.len(), 1);
}

/// Tasks that follow their reservation in one ACCEPT start when it is on disk, in their order.
#[test]
fn tasks_wait_for_the_resources_that_they_use() {
    let mut agent = Agent::new();
    agent.edge.durable_at_once = false;
    agent.apply(1, reserve(vec![reserved("cpus", 1.0)]));
    let mut task = build::command_task("t");
    task.resources[0].reservations = reserved("cpus", 1.0).reservations;
    agent.edge.master_says(build::run(build::framework(), task));
    agent.edge.master_says(build::run(build::framework(), build::command_task("u")));
    agent.edge.master_says(KillTaskMessage {
        framework_id: build::framework_id(),
        task_id: build::task_id("u"),
        kill_policy: None,
    });
    assert!(agent.edge.containers.is_empty() && agent.edge.view().frameworks.is_empty());
    agent.edge.persist_all();
    let launched =
        agent.edge.containers.iter().filter(|command| matches!(command, ContainerCommand::Launch(_)));
    assert_eq!(launched.count(), 2);
    let killed = agent.edge.updates();
    assert_eq!(killed.len(), 1);
    assert_eq!(killed[0].status.task_id.value, "u");
}

/// A master that asks about a task which waits for its resources does not hear that there is none: it runs soon.
#[test]
fn a_task_that_waits_is_known() {
    let mut agent = Agent::new();
    agent.edge.durable_at_once = false;
    agent.apply(1, reserve(vec![reserved("cpus", 1.0)]));
    agent.edge.master_says(build::run(build::framework(), build::command_task("t")));
    let status = |task: &str| mesos::TaskStatus { task_id: build::task_id(task), ..Default::default() };
    agent.edge.master_says(AgentReregisteredMessage {
        agent_id: build::agent_id(),
        reconciliations: vec![ReconcileTasksMessage {
            framework_id: build::framework_id(),
            framework: Some(build::framework()),
            statuses: vec![status("t"), status("u")],
        }],
        ..Default::default()
    });
    agent.edge.persist_all();
    let launched =
        agent.edge.containers.iter().filter(|command| matches!(command, ContainerCommand::Launch(_)));
    assert_eq!(launched.count(), 1);
    agent.edge.advance(Duration::from_secs(1));
    agent.edge.master_says(AgentReregisteredMessage { agent_id: build::agent_id(), ..Default::default() });
    let unknown = agent.edge.updates();
    assert!(!unknown.is_empty() && unknown.iter().all(|update| update.status.task_id.value == "u"));
}

#[test]
fn tasks_with_resources_that_are_not_there_are_refused() {
    let mut agent = Agent::new();
    agent.apply(1, reserve(vec![reserved("cpus", 0.5)]));
    let mut task = build::command_task("t");
    task.resources[0].reservations = reserved("cpus", 1.0).reservations;
    agent.edge.master_says(build::run(build::framework(), task));
    let update = agent.edge.one_update();
    assert_eq!(update.status.reason(), Reason::ResourcesUnknown);
}

/// A master may count on resources that an operation changed which crossed the agent's registration.
#[test]
fn tasks_for_which_there_is_no_room_are_refused() {
    let mut agent = Agent::new();
    let with_cpus = |id: &str, cpus: f64| {
        let mut task = build::command_task(id);
        task.resources[0].scalar = Some(mesos::value::Scalar { value: cpus });
        build::run(build::framework(), task)
    };
    agent.edge.master_says(with_cpus("runs", 60.0));
    agent.apply(1, reserve(vec![reserved("cpus", 1.0)]));
    agent.edge.master_says(with_cpus("too-much", 4.0));
    let update = agent.edge.one_update();
    assert_eq!(
        (update.status.task_id.value.as_str(), update.status.reason()),
        ("too-much", Reason::ResourcesUnknown)
    );
    agent.edge.master_says(with_cpus("fits", 3.0));
    assert!(agent.edge.updates().is_empty());
}

#[test]
fn the_master_hears_of_operations_when_the_agent_registers() {
    let mut agent = Agent::new();
    agent.apply(1, reserve(vec![reserved("cpus", 1.0)]));
    agent.edge.sent.clear();
    agent.edge.detect();
    agent.edge.advance(Duration::from_secs(1));
    let message = agent.registration();
    assert_eq!(read(&message.checkpointed_resources), read(&[reserved("cpus", 1.0)]));
    assert_eq!(message.resource_version_uuid.as_ref(), Some(&agent.version));
    agent.edge.advance(Duration::from_secs(30));
    assert!(agent.states().is_empty(), "no master, no updates");
    agent.edge.master_says(AgentReregisteredMessage { agent_id: build::agent_id(), ..Default::default() });
    let update: UpdateAgentMessage = agent.edge.one();
    assert_eq!(update.update_oversubscribed_resources, Some(false));
    assert_eq!(update.resource_version_uuid.as_ref(), Some(&agent.version));
    assert_eq!(update.operations.unwrap().operations[0].uuid, uuid(1));
    assert!(update.resource_providers.is_some(), "there are none, and that is said");
    assert_eq!(agent.states(), [OperationFinished], "at once");
}

#[test]
fn an_agent_registers_when_its_resources_are_on_disk() {
    let mut agent = Agent::new();
    agent.edge.durable_at_once = false;
    agent.apply(1, reserve(vec![reserved("cpus", 1.0)]));
    agent.edge.detect();
    agent.edge.advance(Duration::from_secs(5));
    assert!(agent.edge.take::<ReregisterAgentMessage>().is_empty());
    agent.edge.persist_all();
    assert_eq!(agent.registration().checkpointed_resources.len(), 1);
}

#[test]
fn masters_and_frameworks_ask_about_operations() {
    let mut agent = Agent::new();
    agent.apply(1, reserve(vec![reserved("cpus", 1.0)]));
    agent.edge.sent.clear();
    let by_uuid = |byte| reconcile_operations_message::Operation {
        operation_uuid: Some(uuid(byte)),
        ..Default::default()
    };
    agent.edge.master_says(ReconcileOperationsMessage {
        operations: vec![by_uuid(1), by_uuid(2)],
        framework_id: None,
    });
    let answers = agent.statuses();
    assert_eq!(answers.len(), 1, "of what is known the status comes by itself");
    assert_eq!((answers[0].status.state(), &answers[0].operation_uuid), (OperationDropped, &Some(uuid(2))));
    let before = agent.total();
    agent.apply(2, reserve(vec![reserved("mem", 32.0)]));
    assert!(agent.statuses().is_empty() && agent.total() == before, "what is said of it stays so");

    let by_id = |id: &str| reconcile_operations_message::Operation {
        operation_id: Some(mesos::OperationId { value: id.into() }),
        ..Default::default()
    };
    agent.edge.master_says(ReconcileOperationsMessage {
        operations: vec![by_id("o"), by_id("p")],
        framework_id: Some(build::framework_id()),
    });
    let answers = agent.statuses();
    let states: Vec<OperationState> = answers.iter().map(|answer| answer.status.state()).collect();
    assert_eq!(states, [OperationFinished, OperationUnknown]);
    assert!(answers.iter().all(|answer| answer.status.uuid.is_none()), "nobody is to acknowledge that");
}

#[test]
fn older_masters_say_what_there_is_to_be() {
    let mut agent = Agent::new();
    agent.edge.master_says(CheckpointResourcesMessage { resources: vec![] });
    assert!(agent.edge.records.is_empty(), "that is what there is");
    #[allow(deprecated)] // The older form of reservations.
    let old = Resource { role: Some("web".into()), reservation: Some(Box::default()), ..scalar("cpus", 1.0) };
    agent.edge.master_says(CheckpointResourcesMessage { resources: vec![old] });
    assert_eq!(agent.kept().0, read(&[reserved("cpus", 1.0)]));
    agent.edge.master_says(CheckpointResourcesMessage { resources: vec![reserved("cpus", 100.0)] });
    assert_eq!(agent.total().reserved(), read(&[reserved("cpus", 1.0)]));
}

fn left(operations: Vec<Operation>, resources: Vec<Resource>, updates: Vec<RecoveredOperation>) -> Recovered {
    let info = mesos::AgentInfo { id: Some(build::agent_id()), checkpoint: Some(true), ..config().info };
    Recovered {
        agent: Some(RecoveredAgent {
            id: (&build::agent_id()).into(),
            info,
            frameworks: vec![],
            operation_updates: updates,
        }),
        resources,
        operations,
        ..Default::default()
    }
}

#[test]
fn the_next_agent_takes_over_what_was_not_acknowledged() {
    let mut before = Agent::new();
    before.apply(1, reserve(vec![reserved("disk", 64.0)]));
    before.apply(2, create("v"));
    let sent = before.statuses();
    before.acknowledge(&sent[0]);
    let (resources, operations) = before.kept();
    let resources = resources.to_proto(messor_types::ResourceFormat::PostRefinement);
    let stream = |byte: u8| RecoveredOperation {
        uuid: vec![byte; 16],
        updates: before
            .edge
            .records
            .iter()
            .filter_map(|(_, record)| match record {
                Record::OperationUpdate { uuid, record } if *uuid == [byte; 16] => Some((**record).clone()),
                _ => None,
            })
            .collect(),
    };
    // The updates of the first one were not removed in time.
    let updates = vec![stream(1), stream(2)];
    assert_eq!(updates[0].updates.len(), 2);
    assert_eq!(updates[0].updates[1].r#type(), update_operation_status_record::Type::Ack);

    let mut agent = Agent::start(left(operations, resources.clone(), updates));
    let completed: Vec<&Record> = agent
        .edge
        .records
        .iter()
        .map(|(_, record)| record)
        .filter(|record| matches!(record, Record::OperationCompleted { .. }))
        .collect();
    assert_eq!(completed, [&Record::OperationCompleted { uuid: vec![1; 16] }]);
    let message = agent.registration();
    assert_eq!(read(&message.checkpointed_resources), read(&resources));
    agent.edge.master_says(AgentReregisteredMessage { agent_id: build::agent_id(), ..Default::default() });
    assert_eq!(agent.statuses(), [sent[1].clone()], "the same update, under the same uuid");
    agent.acknowledge(&sent[1]);
    assert!(agent.edge.view().operations.is_empty());
}

/// What Apache Mesos's agent writes down before it does it, and before the update has a stream.
#[test]
fn what_was_under_way_is_done() {
    let operation = |byte: u8, info: offer::Operation, state: OperationState| Operation {
        framework_id: Some(build::framework_id()),
        agent_id: Some(build::agent_id()),
        info,
        latest_status: OperationStatus {
            state: state.into(),
            uuid: (state == OperationFinished).then(|| uuid(7)),
            ..Default::default()
        },
        statuses: vec![],
        uuid: uuid(byte),
    };
    let operations = vec![
        operation(1, reserve(vec![reserved("disk", 64.0)]), OperationFinished),
        operation(2, create("v"), OperationPending),
    ];
    let mut agent = Agent::start(left(operations, vec![reserved("disk", 64.0)], vec![]));
    assert_eq!(agent.kept().0, read(&[reserved("disk", 32.0), volume("v")]));
    assert_eq!(agent.registration().checkpointed_resources.len(), 2);
    agent.edge.master_says(AgentReregisteredMessage { agent_id: build::agent_id(), ..Default::default() });
    let statuses = agent.statuses();
    assert_eq!(statuses.len(), 2);
    assert!(statuses.iter().all(|update| update.status.state() == OperationFinished));
    assert!(statuses.iter().any(|update| update.status.uuid == Some(uuid(7))));
}

/// One that got a new id, and ended before it wrote what it has: what the agent before had done is nobody's to acknowledge
/// (found by the simulator, seed 1795871814000168).
#[test]
fn what_another_id_did_is_not_told_of() {
    let mut before = Agent::new();
    before.apply(1, reserve(vec![reserved("disk", 64.0)]));
    let (resources, mut operations) = before.kept();
    let resources = resources.to_proto(messor_types::ResourceFormat::PostRefinement);
    for operation in &mut operations {
        operation.agent_id = Some(mesos::AgentId { value: "another".into() });
    }
    let mut agent = Agent::start(left(operations, resources.clone(), vec![]));
    assert_eq!(read(&agent.registration().checkpointed_resources), read(&resources), "that is the host's");
    agent.edge.master_says(AgentReregisteredMessage { agent_id: build::agent_id(), ..Default::default() });
    assert!(agent.statuses().is_empty());
    assert!(agent.edge.view().operations.is_empty());
}

#[test]
fn resources_stay_with_the_host_and_have_to_fit_it() {
    let recovered = Recovered { resources: vec![reserved("cpus", 1.0)], ..Default::default() };
    let mut agent = Agent::start(recovered);
    assert_eq!(agent.edge.one::<RegisterAgentMessage>().checkpointed_resources.len(), 1);
    let recovered = Recovered { resources: vec![reserved("cpus", 100.0)], ..Default::default() };
    let edge = Edge::recovered(config(), recovered, BTreeMap::new());
    assert!(edge.aborted.unwrap().contains("--resources"));
}

fn task_with_volume(id: &str, volume: Resource) -> mesos::TaskInfo {
    let allocation_info = Some(mesos::resource::AllocationInfo { role: Some("web".into()) });
    let mut task = build::command_task(id);
    task.resources.push(Resource { allocation_info, ..volume });
    task
}

/// U069: the data is gone with the volume, so a volume that is used does not go.
#[test]
fn a_volume_that_is_used_is_not_destroyed() {
    let mut agent = Agent::new();
    agent.apply(1, reserve(vec![reserved("disk", 64.0)]));
    agent.apply(2, create("v"));
    agent.edge.master_says(build::run(build::framework(), task_with_volume("t", volume("v"))));
    let container = agent.edge.launch().container;
    agent.edge.sent.clear();
    agent.apply(3, destroy("v"));
    let refused = agent.statuses().remove(0).status;
    assert_eq!(refused.state(), OperationError);
    assert!(refused.message().contains("is in use"), "{refused:?}");
    assert_eq!(agent.total().persistent_volumes(), read(&[volume("v")]));

    // The master hears what there is, and may try again when the task has ended.
    agent.edge.advance(Duration::from_secs(1));
    let mut registration = agent.registration();
    agent.version = registration.resource_version_uuid.take().unwrap();
    agent.edge.master_says(AgentReregisteredMessage { agent_id: build::agent_id(), ..Default::default() });
    agent.edge.launched(&container, 1);
    agent.edge.exited(&container, 9);
    agent.edge.sent.clear();
    agent.apply(4, destroy("v"));
    assert_eq!(agent.states(), [OperationFinished]);
    assert!(agent.total().persistent_volumes().is_empty());
}

/// A master that took an old registration may give up a reservation that a task has. (Seed 1795854000000354 of the
/// simulator with operations.)
#[test]
fn what_a_task_has_stays_reserved() {
    let mut agent = Agent::new();
    agent.apply(1, reserve(vec![reserved("cpus", 1.0)]));
    let mut task = build::command_task("t");
    let allocation_info = Some(mesos::resource::AllocationInfo { role: Some("web".into()) });
    task.resources = vec![Resource { allocation_info, ..reserved("cpus", 0.75) }];
    agent.edge.master_says(build::run(build::framework(), task));
    agent.edge.sent.clear();
    agent.apply(2, unreserve(vec![reserved("cpus", 0.5)]));
    let refused = agent.statuses().remove(0).status;
    assert_eq!(refused.state(), OperationError);
    assert!(refused.message().contains("tasks have"), "{refused:?}");
    // What it does not have may go.
    agent.edge.advance(Duration::from_secs(1));
    let mut registration = agent.registration();
    agent.version = registration.resource_version_uuid.take().unwrap();
    agent.edge.master_says(AgentReregisteredMessage { agent_id: build::agent_id(), ..Default::default() });
    agent.edge.sent.clear();
    agent.apply(3, unreserve(vec![reserved("cpus", 0.25)]));
    assert_eq!(agent.states(), [OperationFinished]);
}

#[test]
fn a_volume_of_what_is_ending_may_be_destroyed() {
    let mut agent = Agent::new();
    agent.apply(1, reserve(vec![reserved("disk", 64.0)]));
    agent.apply(2, create("v"));
    agent.edge.master_says(build::run(build::framework(), task_with_volume("t", volume("v"))));
    // The master counts on the volume from here on.
    let shutdown =
        messor_proto::mesos::internal::ShutdownFrameworkMessage { framework_id: build::framework_id() };
    agent.edge.master_says(shutdown);
    agent.edge.sent.clear();
    agent.apply(3, destroy("v"));
    assert_eq!(agent.states(), [OperationFinished]);
}

/// Two tasks use one shared volume: on the agent it is there once.
#[test]
fn a_shared_volume_counts_once() {
    let mut agent = Agent::new();
    let shared = Resource { shared: Some(mesos::resource::SharedInfo {}), ..volume("v") };
    agent.apply(1, reserve(vec![reserved("disk", 64.0)]));
    let mut create = create("v");
    create.create.as_mut().unwrap().volumes = vec![shared.clone()];
    agent.apply(2, create);
    for task in ["t", "u"] {
        agent.edge.master_says(build::run(build::framework(), task_with_volume(task, shared.clone())));
        assert!(agent.edge.launch().resources.iter().any(|resource| resource.shared.is_some()));
    }
    assert_eq!(agent.edge.metric("slave/disk_used"), 32.0);
    let mut destroy = destroy("v");
    destroy.destroy.as_mut().unwrap().volumes = vec![shared];
    agent.edge.sent.clear();
    agent.apply(3, destroy);
    assert_eq!(agent.states(), [OperationError]);
}

/// Found by the simulator, whose network delivers some messages twice.
#[test]
fn an_operation_that_comes_twice_is_done_once_even_when_it_is_over() {
    let mut agent = Agent::new();
    let message = agent.apply(1, reserve(vec![reserved("cpus", 1.0)]));
    let status = agent.statuses().remove(0);
    agent.acknowledge(&status);
    let total = agent.total();
    agent.edge.master_says(message.clone());
    assert_eq!(agent.total(), total);
    assert!(agent.statuses().is_empty());

    // A master that heard of it late asks about it: what was done is not denied.
    let operation = reconcile_operations_message::Operation {
        operation_uuid: Some(message.operation_uuid),
        ..Default::default()
    };
    let question = ReconcileOperationsMessage { operations: vec![operation], framework_id: None };
    agent.edge.master_says(question);
    assert_eq!(agent.states(), [OperationFinished]);

    // What was refused stays refused, though it could be done by now.
    let refused = agent.apply(2, create("v"));
    assert_eq!(agent.states(), [OperationError]);
    agent.edge.advance(Duration::from_secs(1));
    agent.edge.master_says(AgentReregisteredMessage { agent_id: build::agent_id(), ..Default::default() });
    agent.apply(3, reserve(vec![reserved("disk", 32.0)]));
    let total = agent.total();
    agent.edge.master_says(refused);
    assert_eq!(agent.total(), total);
}

/// The master took a message that was late, and does not count on what was done since.
#[test]
fn an_agent_that_is_registered_again_while_it_is_tells_what_it_has() {
    let mut agent = Agent::new();
    let again = || AgentReregisteredMessage { agent_id: build::agent_id(), ..Default::default() };
    agent.edge.master_says(again());
    assert!(agent.edge.take::<ReregisterAgentMessage>().is_empty(), "nothing has changed");
    agent.apply(1, reserve(vec![reserved("cpus", 1.0)]));
    agent.edge.master_says(again());
    let told = agent.registration().checkpointed_resources;
    assert_eq!(read(&told), read(&[reserved("cpus", 1.0)]));
    agent.edge.master_says(again());
    assert!(agent.edge.take::<ReregisterAgentMessage>().is_empty(), "all of that is told");
    // An answer while it is registered: the master took a registration once more, which may have been one from before.
    // (Seed 1795854000000354 of the simulator with operations.)
    agent.edge.master_says(again());
    let told = agent.registration().checkpointed_resources;
    assert_eq!(read(&told), read(&[reserved("cpus", 1.0)]));
    agent.edge.master_says(again());
    assert!(agent.edge.take::<ReregisterAgentMessage>().is_empty(), "it has its answer");
}

/// While what it did is on its way to disk the agent cannot tell of it. The answer to an older message comes first: it
/// registers all the same when it is there. (Seed 1795832357000002 of the simulator with operations.)
#[test]
fn an_agent_that_waits_for_its_disk_tells_what_it_has_whatever_it_hears_meanwhile() {
    let mut agent = Agent::new();
    let again = || AgentReregisteredMessage { agent_id: build::agent_id(), ..Default::default() };
    agent.edge.durable_at_once = false;
    agent.apply(1, reserve(vec![reserved("cpus", 1.0)]));
    agent.edge.master_says(again());
    agent.edge.master_says(again());
    assert!(agent.edge.take::<ReregisterAgentMessage>().is_empty(), "it is not on disk yet");
    agent.edge.persist_all();
    let told = agent.registration().checkpointed_resources;
    assert_eq!(read(&told), read(&[reserved("cpus", 1.0)]));
}
