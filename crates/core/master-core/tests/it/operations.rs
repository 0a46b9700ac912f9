//! Reservations and volumes: in ACCEPT, by operators, and what is said of them.

use messor_master_core::{OperatorCall, Outcome, View};
use messor_proto::mesos::OperationState::{self, *};
use messor_proto::mesos::internal as wire;
use messor_proto::mesos::offer::operation::{
    Create, Destroy, GrowVolume, Launch, Reserve, ShrinkVolume, Type, Unreserve,
};
use messor_proto::mesos::resource::disk_info::Persistence;
use messor_proto::mesos::resource::{DiskInfo, ReservationInfo, reservation_info};
use messor_proto::mesos::scheduler::{call, event};
use messor_proto::mesos::{
    self, Filters, Offer, OperationStatus, Resource, TaskInfo, Volume, agent_info, framework_info, offer,
    value, volume,
};
use messor_types::{AgentId, Resources, parse_resources};

use crate::world::{self, Scheduler, World, agent_pid, make_call, modern, register, resources};

fn dynamic(text: &str, roles: &[&str]) -> Vec<Resource> {
    let mut list = resources(text);
    for resource in &mut list {
        resource.reservations = roles
            .iter()
            .map(|role| ReservationInfo {
                r#type: Some(reservation_info::Type::Dynamic.into()),
                role: Some(role.to_string()),
                ..Default::default()
            })
            .collect();
    }
    list
}

fn volume(size: u32, id: &str) -> Resource {
    let mut resource = dynamic(&format!("disk:{size}"), &["a"]).remove(0);
    resource.disk = Some(Box::new(DiskInfo {
        persistence: Some(Persistence { id: id.into(), principal: None }),
        volume: Some(Volume {
            container_path: "data".into(),
            mode: volume::Mode::Rw.into(),
            ..Default::default()
        }),
        ..Default::default()
    }));
    resource
}

fn typed(kind: Type) -> offer::Operation {
    offer::Operation { r#type: Some(kind.into()), ..Default::default() }
}

fn reserve(resources: Vec<Resource>) -> offer::Operation {
    offer::Operation { reserve: Some(Reserve { source: vec![], resources }), ..typed(Type::Reserve) }
}

fn unreserve(resources: Vec<Resource>) -> offer::Operation {
    offer::Operation { unreserve: Some(Unreserve { resources }), ..typed(Type::Unreserve) }
}

fn create(volumes: Vec<Resource>) -> offer::Operation {
    offer::Operation { create: Some(Create { volumes }), ..typed(Type::Create) }
}

fn destroy(volumes: Vec<Resource>) -> offer::Operation {
    offer::Operation { destroy: Some(Destroy { volumes }), ..typed(Type::Destroy) }
}

fn with_id(operation: offer::Operation, id: &str) -> offer::Operation {
    offer::Operation { id: Some(mesos::OperationId { value: id.into() }), ..operation }
}

/// An agent with all that 1.11.0 can.
fn capable(number: u8) -> wire::RegisterAgentMessage {
    use agent_info::capability::Type;
    let mut message = register(number);
    for kind in [Type::ResizeVolume, Type::AgentOperationFeedback] {
        message.agent_capabilities.push(agent_info::Capability { r#type: Some(kind as i32) });
    }
    message
}

struct Cluster {
    world: World,
    agent: AgentId,
    scheduler: Scheduler,
}

fn cluster(message: &wire::RegisterAgentMessage, framework: mesos::FrameworkInfo) -> Cluster {
    let mut world = World::new();
    world.message(&agent_pid(1), message);
    let agent = world.take::<wire::AgentRegisteredMessage>(&agent_pid(1)).remove(0).agent_id;
    let scheduler = world.subscribe(framework);
    Cluster { world, agent: AgentId::from(&agent), scheduler }
}

fn one_role() -> mesos::FrameworkInfo {
    mesos::FrameworkInfo { roles: vec!["a".into()], ..modern() }
}

impl Cluster {
    fn new() -> Cluster {
        cluster(&capable(1), one_role())
    }

    fn offer(&mut self) -> Offer {
        // A filter whose time is over goes with one allocation: the next one offers.
        self.world.allocation();
        self.world.allocation();
        let mut offers = self.world.offers(self.scheduler.stream);
        assert_eq!(offers.len(), 1, "{offers:?}");
        offers.remove(0)
    }

    fn accept(&mut self, offer: &Offer, operations: Vec<offer::Operation>, refuse_seconds: f64) {
        let accept = call::Accept {
            offer_ids: vec![offer.id.clone()],
            operations,
            filters: Some(Filters { refuse_seconds: Some(refuse_seconds) }),
        };
        let outcome = self.world.call(&self.scheduler, call::Type::Accept, |call| call.accept = Some(accept));
        assert_eq!(outcome, Outcome::Accepted);
    }

    fn applied(&mut self) -> Vec<wire::ApplyOperationMessage> {
        self.world.take(&agent_pid(1))
    }

    fn statuses(&mut self) -> Vec<OperationStatus> {
        let events = self.world.events(self.scheduler.stream);
        events
            .iter()
            .filter(|event| event.r#type() == event::Type::UpdateOperationStatus)
            .map(|event| event.update_operation_status.clone().unwrap().status)
            .collect()
    }

    fn states(&mut self) -> Vec<(String, OperationState)> {
        let id = |status: &OperationStatus| status.operation_id.clone().map_or(String::new(), |id| id.value);
        self.statuses().iter().map(|status| (id(status), status.state())).collect()
    }

    fn total(&self) -> Resources {
        let view: View = self.world.view();
        view.agents[0].total.clone()
    }

    /// The agent says how an operation ended.
    fn ended(&mut self, applied: &wire::ApplyOperationMessage, state: OperationState, uuid: Option<u8>) {
        let status = OperationStatus {
            operation_id: applied.operation_info.id.clone(),
            state: state.into(),
            uuid: uuid.map(|byte| mesos::Uuid { value: vec![byte; 16] }),
            agent_id: Some((&self.agent).into()),
            ..Default::default()
        };
        self.world.message(
            &agent_pid(1),
            &wire::UpdateOperationStatusMessage {
                framework_id: applied.framework_id.clone(),
                agent_id: Some((&self.agent).into()),
                latest_status: Some(status.clone()),
                status,
                operation_uuid: Some(applied.operation_uuid.clone()),
            },
        );
    }

    fn reconcile(&mut self, operations: &[(&str, Option<&str>)]) -> Vec<(String, OperationState)> {
        let operations = operations
            .iter()
            .map(|(id, agent)| call::reconcile_operations::Operation {
                operation_id: mesos::OperationId { value: id.to_string() },
                agent_id: agent.map(|agent| mesos::AgentId { value: agent.into() }),
                resource_provider_id: None,
            })
            .collect();
        self.world.call(&self.scheduler, call::Type::ReconcileOperations, |call| {
            call.reconcile_operations = Some(call::ReconcileOperations { operations });
        });
        self.states()
    }

    fn acknowledge(&mut self, id: &str, uuid: u8) -> Vec<wire::AcknowledgeOperationStatusMessage> {
        let agent_id = Some((&self.agent).into());
        self.world.call(&self.scheduler, call::Type::AcknowledgeOperationStatus, |call| {
            call.acknowledge_operation_status = Some(call::AcknowledgeOperationStatus {
                agent_id,
                operation_id: mesos::OperationId { value: id.into() },
                uuid: vec![uuid; 16],
                resource_provider_id: None,
            });
        });
        self.world.take(&agent_pid(1))
    }

    fn operator(&mut self, operation: offer::Operation) -> Outcome {
        let (agent, operation) = (self.agent.clone(), Box::new(operation));
        self.world.operator(OperatorCall::Operation { agent, operation })
    }

    /// The agent registers again, with or without what was sent to it.
    fn reregister(&mut self, checkpointed: Vec<Resource>, operations: Vec<mesos::Operation>) {
        let message = wire::ReregisterAgentMessage {
            agent_capabilities: capable(1).agent_capabilities,
            checkpointed_resources: checkpointed,
            resource_version_uuid: Some(mesos::Uuid { value: vec![9; 16] }),
            ..self.world.reregistration(1, &self.agent)
        };
        self.world.message(&agent_pid(1), &message);
        self.world.message(
            &agent_pid(1),
            &wire::UpdateAgentMessage {
                agent_id: (&self.agent).into(),
                update_oversubscribed_resources: Some(false),
                operations: Some(wire::update_agent_message::Operations { operations }),
                resource_version_uuid: Some(mesos::Uuid { value: vec![9; 16] }),
                ..Default::default()
            },
        );
    }
}

fn amounts(text: &str) -> Resources {
    parse_resources(text, &messor_types::Role::star()).unwrap()
}

fn read(list: &[Resource]) -> Resources {
    Resources::from_proto(list).unwrap()
}

/// U097: operations of one ACCEPT follow on one another; the rest of the offer is declined with the filters given.
#[test]
fn reserve_create_and_launch_in_one_accept() {
    let mut cluster = Cluster::new();
    let offer = cluster.offer();
    let mut task = world::task("t", &cluster.agent);
    task.resources = dynamic("cpus:1;mem:64", &["a"]);
    task.resources.push(volume(32, "v"));
    let launch = Launch { task_infos: vec![task] };
    let operations = vec![
        reserve(dynamic("cpus:2;mem:128;disk:64", &["a"])),
        create(vec![volume(32, "v")]),
        offer::Operation { launch: Some(launch), ..typed(Type::Launch) },
    ];
    cluster.accept(&offer, operations, 1000.0);
    let applied = cluster.applied();
    let kinds: Vec<Type> = applied.iter().map(|message| message.operation_info.r#type()).collect();
    assert_eq!(kinds, [Type::Reserve, Type::Create]);
    assert_eq!(applied[0].resource_version_uuid.uuid.value, [1; 16]);
    assert!(applied.iter().all(|message| message.framework_id == Some((&cluster.scheduler.id).into())));
    assert_ne!(applied[0].operation_uuid, applied[1].operation_uuid);
    assert_eq!(cluster.world.take::<wire::RunTaskMessage>(&agent_pid(1)).len(), 1);

    let total = amounts("cpus:2;mem:3968;disk:936;ports:[1000-2000]")
        + &read(&dynamic("cpus:2;mem:128;disk:32", &["a"]))
        + &read(&[volume(32, "v")]);
    assert_eq!(cluster.total(), total);
    assert_eq!(cluster.world.view().operations.len(), 2);

    // What was made of the offer is more than what was declined with it: all of it is offered.
    let next = cluster.offer();
    let left = &total - &(read(&dynamic("cpus:1;mem:64", &["a"])) + &read(&[volume(32, "v")]));
    assert_eq!(read(&next.resources).unallocated(), left);

    // Without operations the rest of an offer is declined for as long as the framework says.
    let mut task = world::task("u", &cluster.agent);
    task.resources = dynamic("cpus:1;mem:64", &["a"]);
    let launch = Launch { task_infos: vec![task] };
    cluster.accept(&next, vec![offer::Operation { launch: Some(launch), ..typed(Type::Launch) }], 100.0);
    cluster.world.advance(std::time::Duration::from_secs(99));
    cluster.world.allocation();
    assert!(cluster.world.offers(cluster.scheduler.stream).is_empty());
    cluster.world.advance(std::time::Duration::from_secs(2));
    cluster.offer();
}

/// An operation can be lost with the connection: the agent comes back without it, while the allocator, which does not know
/// that yet, offers what it would have made.
#[test]
fn what_a_returning_agent_does_not_have_is_not_offered() {
    for keeps_something in [false, true] {
        let mut cluster = Cluster::new();
        let kept = if keeps_something { dynamic("disk:8", &["a"]) } else { Vec::new() };
        if keeps_something {
            let offer = cluster.offer();
            cluster.accept(&offer, vec![reserve(kept.clone())], 0.0);
        }
        let offer = cluster.offer();
        cluster.accept(&offer, vec![reserve(dynamic("mem:32;cpus:1", &["a"]))], 0.0);
        cluster.world.offers(cluster.scheduler.stream);
        let decided = cluster.world.decisions();
        assert!(!decided.is_empty());
        let mut message = cluster.world.reregistration(1, &cluster.agent);
        message.checkpointed_resources = kept;
        cluster.world.message(&agent_pid(1), &message);
        for event in decided {
            cluster.world.handle(event);
        }
        assert!(cluster.world.offers(cluster.scheduler.stream).is_empty());
        let next = cluster.offer();
        assert_eq!(read(&next.resources).unallocated(), cluster.total(), "all that is there");
    }
}

/// As above, and the lost operation was to make room for a task that is lost too: while the master asks after it, the rest
/// of the agent is offered once and not twice.
#[test]
fn beside_a_task_that_waits_for_news_nothing_is_offered_twice() {
    let mut cluster = Cluster::new();
    let offer = cluster.offer();
    cluster.accept(&offer, vec![reserve(dynamic("cpus:1;disk:8", &["a"]))], 0.0);
    let before = dynamic("cpus:1;disk:8", &["a"]);
    let task = |id: &str, resources: Vec<Resource>| TaskInfo { resources, ..world::task(id, &cluster.agent) };
    let (known, lost) = (task("known", resources("cpus:2")), task("lost", dynamic("mem:64", &["a"])));
    let launch = |task: TaskInfo| offer::Operation {
        launch: Some(Launch { task_infos: vec![task] }),
        ..typed(Type::Launch)
    };
    // Of these the agent hears of the first alone.
    let offer = cluster.offer();
    let operations = vec![
        launch(known),
        reserve(dynamic("mem:64", &["a"])),
        launch(lost),
        unreserve(dynamic("cpus:1", &["a"])),
    ];
    cluster.accept(&offer, operations, 0.0);
    cluster.world.offers(cluster.scheduler.stream);
    let decided = cluster.world.decisions();
    let mut message = cluster.world.reregistration(1, &cluster.agent);
    message.checkpointed_resources = before;
    message.tasks.retain(|task| task.task_id.value == "known");
    cluster.world.sums_are_off = true;
    cluster.world.message(&agent_pid(1), &message);
    for event in decided {
        cluster.world.handle(event);
    }
    let view = cluster.world.view();
    let taken = (view.agents[0].used.clone() + &view.agents[0].offered).unallocated();
    let unreserved = |all: &Resources| all.unreserved().cpus();
    assert!(
        unreserved(&taken) <= unreserved(&view.agents[0].total),
        "{taken} of {} is given away",
        view.agents[0].total
    );
}

#[test]
fn an_invalid_operation_is_dropped_and_the_rest_goes_on() {
    let mut cluster = Cluster::new();
    let offer = cluster.offer();
    let operations = vec![
        with_id(reserve(dynamic("cpus:100", &["a"])), "too-much"),
        with_id(reserve(dynamic("cpus:1", &["b"])), "foreign"),
        with_id(unreserve(resources("cpus:1")), "not-reserved"),
        with_id(create(vec![volume(32, "v")]), "no-reservation"),
        with_id(typed(Type::CreateDisk), "not-built"),
        with_id(
            offer::Operation {
                reserve: Some(Reserve {
                    source: dynamic("cpus:1", &["a"]),
                    resources: dynamic("cpus:1", &["a"]),
                }),
                ..typed(Type::Reserve)
            },
            "source",
        ),
        reserve(dynamic("mem:99999", &["a"])),
        with_id(reserve(dynamic("cpus:1", &["a"])), "good"),
    ];
    cluster.accept(&offer, operations, 0.0);
    let states = cluster.states();
    let dropped: Vec<&str> = states.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(dropped, ["too-much", "foreign", "not-reserved", "no-reservation", "not-built", "source"]);
    assert!(states.iter().all(|(_, state)| *state == OperationError));
    let applied = cluster.applied();
    assert_eq!(applied.len(), 1);
    assert_eq!(applied[0].operation_info.id.as_ref().unwrap().value, "good");
    assert_eq!(cluster.total().reserved(), read(&dynamic("cpus:1", &["a"])));
}

#[test]
fn refined_reservations_are_stacked_and_taken_off_one_by_one() {
    let mut cluster = cluster(&capable(1), mesos::FrameworkInfo { roles: vec!["a/b".into()], ..modern() });
    assert_eq!(cluster.operator(reserve(dynamic("cpus:2", &["a"]))), Outcome::Accepted);
    let offer = cluster.offer();
    cluster.accept(&offer, vec![reserve(dynamic("cpus:1", &["a", "a/b"]))], 0.0);
    assert_eq!(
        cluster.total().reserved(),
        read(&dynamic("cpus:1", &["a"])) + &read(&dynamic("cpus:1", &["a", "a/b"]))
    );
    let offer = cluster.offer();
    cluster.accept(&offer, vec![unreserve(dynamic("cpus:1", &["a", "a/b"]))], 0.0);
    assert_eq!(cluster.total().reserved(), read(&dynamic("cpus:2", &["a"])));
}

#[test]
fn volumes_grow_shrink_and_are_destroyed() {
    let mut cluster = Cluster::new();
    let offer = cluster.offer();
    let all = vec![reserve(dynamic("disk:64", &["a"])), create(vec![volume(32, "v")])];
    cluster.accept(&offer, all, 0.0);

    let offer = cluster.offer();
    let grow = GrowVolume { volume: volume(32, "v"), addition: dynamic("disk:8", &["a"]).remove(0) };
    let grow = offer::Operation { grow_volume: Some(grow), ..typed(Type::GrowVolume) };
    let shrink = |from: u32, by: f64| {
        let shrink = ShrinkVolume { volume: volume(from, "v"), subtract: value::Scalar { value: by } };
        offer::Operation { shrink_volume: Some(shrink), ..typed(Type::ShrinkVolume) }
    };
    cluster.accept(&offer, vec![grow, with_id(shrink(40, 20.0), "same-accept")], 0.0);
    assert_eq!(cluster.states(), [("same-accept".to_string(), OperationError)]);
    assert_eq!(cluster.total().reserved(), read(&[volume(40, "v"), dynamic("disk:24", &["a"]).remove(0)]));

    let offer = cluster.offer();
    cluster.accept(&offer, vec![shrink(40, 20.0)], 0.0);
    assert_eq!(cluster.total().reserved(), read(&[volume(20, "v"), dynamic("disk:44", &["a"]).remove(0)]));

    // What shrinking made free is offered beside what was free of the same kind.
    let offer = cluster.offer();
    assert_eq!(read(&offer.resources).unallocated(), cluster.total());
    let all = vec![destroy(vec![volume(20, "v")]), unreserve(dynamic("disk:64", &["a"]))];
    cluster.accept(&offer, all, 0.0);
    assert_eq!(cluster.total(), amounts("cpus:4;mem:4096;disk:1000;ports:[1000-2000]"));
    assert_eq!(cluster.applied().len(), 6);
}

#[test]
fn volumes_of_agents_that_cannot_resize_keep_their_size() {
    let mut cluster = cluster(&register(1), one_role());
    let offer = cluster.offer();
    let all = vec![reserve(dynamic("disk:64", &["a"])), create(vec![volume(32, "v")])];
    cluster.accept(&offer, all, 0.0);
    let offer = cluster.offer();
    let grow = GrowVolume { volume: volume(32, "v"), addition: dynamic("disk:8", &["a"]).remove(0) };
    let grow = offer::Operation { grow_volume: Some(grow), ..typed(Type::GrowVolume) };
    // Nor do they tell how operations end.
    cluster.accept(&offer, vec![grow, with_id(destroy(vec![volume(32, "v")]), "feedback")], 0.0);
    assert_eq!(cluster.states(), [("feedback".to_string(), OperationError)]);
    assert_eq!(cluster.applied().len(), 2);
}

/// A shared volume can be used any number of times, and goes with its last copy.
#[test]
fn shared_volumes_are_destroyed_when_nobody_uses_them() {
    let mut info = one_role();
    let kind = framework_info::capability::Type::SharedResources;
    info.capabilities.push(framework_info::Capability { r#type: Some(kind.into()) });
    let mut cluster = cluster(&capable(1), info);
    let shared = || Resource { shared: Some(mesos::resource::SharedInfo {}), ..volume(32, "v") };
    let offer = cluster.offer();
    let tasks = ["t1", "t2"].map(|id| {
        let mut task = world::task(id, &cluster.agent);
        task.resources.push(shared());
        task
    });
    let launch = Launch { task_infos: tasks.to_vec() };
    let operations = vec![
        reserve(dynamic("disk:32", &["a"])),
        create(vec![shared()]),
        offer::Operation { launch: Some(launch), ..typed(Type::Launch) },
    ];
    cluster.accept(&offer, operations, 0.0);
    assert_eq!(cluster.world.take::<wire::RunTaskMessage>(&agent_pid(1)).len(), 2);

    let offer = cluster.offer();
    cluster.accept(&offer, vec![with_id(destroy(vec![shared()]), "in-use")], 0.0);
    assert_eq!(cluster.states(), [("in-use".to_string(), OperationError)]);
    let outcome = cluster.operator(destroy(vec![shared()]));
    assert!(matches!(outcome, Outcome::Invalid(_)), "{outcome:?}");

    let (agent, scheduler) = (cluster.agent.clone(), cluster.scheduler.clone());
    for task in ["t1", "t2"] {
        let uuid = cluster.world.report(1, &scheduler.id, &agent, task, mesos::TaskState::TaskFinished);
        cluster.world.call(&scheduler, call::Type::Acknowledge, |call| {
            call.acknowledge = Some(call::Acknowledge {
                agent_id: (&agent).into(),
                task_id: mesos::TaskId { value: task.into() },
                uuid,
            });
        });
    }
    assert_eq!(cluster.operator(destroy(vec![shared()])), Outcome::Accepted);
    assert_eq!(cluster.total().reserved(), read(&dynamic("disk:32", &["a"])));
}

/// U044: an agent of before RESOURCE_PROVIDER hears what it is to keep, in the form it knows.
#[test]
fn older_agents_are_told_what_to_keep() {
    let mut message = register(1);
    message.agent_capabilities.truncate(1);
    let mut cluster = cluster(&message, one_role());
    let offer = cluster.offer();
    cluster.accept(&offer, vec![reserve(dynamic("cpus:1", &["a"]))], 0.0);
    assert!(cluster.applied().is_empty());
    let told = cluster.world.take::<wire::CheckpointResourcesMessage>(&agent_pid(1));
    assert_eq!(told.len(), 1);
    #[allow(deprecated)] // The older form of reservations.
    let old = |resource: &Resource| (resource.role.clone(), resource.reservation.is_some());
    assert_eq!(old(&told[0].resources[0]), (Some("a".to_string()), true));
    assert!(told[0].resources[0].reservations.is_empty());
    assert!(cluster.world.view().operations.is_empty());

    let outcome = cluster.operator(reserve(dynamic("cpus:1", &["a", "a/b"])));
    assert!(matches!(outcome, Outcome::Invalid(_)), "{outcome:?}");
}

#[test]
fn drivers_have_no_operation_feedback() {
    let mut world = World::new();
    world.message(&agent_pid(1), &capable(1));
    let driver = world::pid("scheduler@10.0.0.9:4000");
    let subscribe = make_call(&messor_types::FrameworkId::new(""), call::Type::Subscribe, |call| {
        call.framework_id = None;
        call.subscribe = Some(call::Subscribe { framework_info: one_role(), ..Default::default() });
    });
    world.message(&driver, &subscribe);
    let id = world.take::<wire::FrameworkRegisteredMessage>(&driver).remove(0).framework_id;
    world.allocation();
    let offer = world.take::<wire::ResourceOffersMessage>(&driver).remove(0).offers.remove(0);
    let accept = make_call(&(&id).into(), call::Type::Accept, |call| {
        call.accept = Some(call::Accept {
            offer_ids: vec![offer.id.clone()],
            operations: vec![
                with_id(reserve(dynamic("cpus:1", &["a"])), "o"),
                reserve(dynamic("cpus:2", &["a"])),
            ],
            filters: None,
        });
    });
    world.message(&driver, &accept);
    assert_eq!(world.take::<wire::FrameworkErrorMessage>(&driver).len(), 1);
    assert_eq!(world.take::<wire::ApplyOperationMessage>(&agent_pid(1)).len(), 1, "the other one goes on");
}

#[test]
fn an_operation_ends_with_the_acknowledgement_of_its_end() {
    let mut cluster = Cluster::new();
    let offer = cluster.offer();
    cluster.accept(&offer, vec![with_id(reserve(dynamic("cpus:1", &["a"])), "o")], 0.0);
    let applied = cluster.applied().remove(0);
    assert_eq!(cluster.reconcile(&[]), [("o".to_string(), OperationPending)]);

    cluster.ended(&applied, OperationFinished, Some(5));
    cluster.ended(&applied, OperationFinished, Some(5));
    let statuses = cluster.statuses();
    assert_eq!(statuses.len(), 2, "each repetition is passed on");
    assert_eq!(statuses[0].uuid.as_ref().unwrap().value, [5; 16]);
    assert_eq!(cluster.world.view().operations[0].statuses.len(), 1);

    cluster.world.call(&cluster.scheduler, call::Type::ReconcileOperations, |call| {
        call.reconcile_operations = Some(Default::default());
    });
    let statuses = cluster.statuses();
    assert_eq!((statuses[0].state(), &statuses[0].uuid), (OperationFinished, &None));

    assert!(cluster.acknowledge("o", 6).is_empty(), "of no status there is");
    assert!(cluster.acknowledge("p", 5).is_empty(), "of no operation there is");
    let acknowledged = cluster.acknowledge("o", 5);
    assert_eq!(acknowledged.len(), 1);
    assert_eq!(acknowledged[0].operation_uuid, applied.operation_uuid);
    assert!(cluster.world.view().operations.is_empty());
    assert!(cluster.acknowledge("o", 5).is_empty());
    assert_eq!(cluster.world.metric("master/valid_operation_status_update_acknowledgements"), 1.0);
    assert_eq!(cluster.world.metric("master/invalid_operation_status_update_acknowledgements"), 3.0);
}

#[test]
fn operations_without_an_id_are_acknowledged_by_the_master() {
    let mut cluster = Cluster::new();
    let offer = cluster.offer();
    cluster.accept(&offer, vec![reserve(dynamic("cpus:1", &["a"]))], 0.0);
    let applied = cluster.applied().remove(0);
    cluster.ended(&applied, OperationFinished, Some(5));
    assert!(cluster.states().is_empty());
    let acknowledged = cluster.world.take::<wire::AcknowledgeOperationStatusMessage>(&agent_pid(1));
    assert_eq!(acknowledged.len(), 1);
    assert_eq!(acknowledged[0].status_uuid.value, [5; 16]);
    assert!(cluster.world.view().operations.is_empty());
}

#[test]
fn operations_of_frameworks_that_are_over_are_acknowledged_by_the_master() {
    let mut cluster = Cluster::new();
    let offer = cluster.offer();
    cluster.accept(&offer, vec![with_id(reserve(dynamic("cpus:1", &["a"])), "o")], 0.0);
    let applied = cluster.applied().remove(0);
    cluster.world.call(&cluster.scheduler, call::Type::Teardown, |_| {});
    cluster.ended(&applied, OperationFinished, Some(5));
    assert_eq!(cluster.world.take::<wire::AcknowledgeOperationStatusMessage>(&agent_pid(1)).len(), 1);
    assert!(cluster.world.view().operations.is_empty());
    assert_eq!(cluster.total().reserved(), read(&dynamic("cpus:1", &["a"])), "the reservation stays");
}

#[test]
fn operations_that_never_arrived_are_dropped() {
    let mut cluster = Cluster::new();
    let offer = cluster.offer();
    cluster.accept(&offer, vec![with_id(reserve(dynamic("cpus:1", &["a"])), "o")], 0.0);
    let applied = cluster.applied().remove(0);
    cluster.world.exited(&agent_pid(1));
    cluster.reregister(vec![], vec![]);
    assert!(cluster.total().reserved().is_empty(), "the agent knows what it has");
    let asked = cluster.world.take::<wire::ReconcileOperationsMessage>(&agent_pid(1));
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].operations[0].operation_uuid.as_ref(), Some(&applied.operation_uuid));
    assert_eq!(asked[0].framework_id, None);
    // The agent does not know which operation that was.
    let nameless = wire::ApplyOperationMessage {
        framework_id: None,
        operation_info: offer::Operation { id: None, ..applied.operation_info.clone() },
        ..applied
    };
    cluster.ended(&nameless, OperationDropped, None);
    assert_eq!(cluster.states(), [("o".to_string(), OperationDropped)]);
    assert!(cluster.world.view().operations.is_empty());
}

#[test]
fn a_new_master_learns_of_operations_from_agents() {
    let mut cluster = Cluster::new();
    let offer = cluster.offer();
    cluster.accept(&offer, vec![with_id(reserve(dynamic("cpus:1", &["a"])), "o")], 0.0);
    let applied = cluster.applied().remove(0);
    cluster.ended(&applied, OperationFinished, Some(5));
    let known: Vec<mesos::Operation> =
        cluster.world.view().operations.iter().map(|operation| (**operation).clone()).collect();

    let info = mesos::FrameworkInfo { id: Some((&cluster.scheduler.id).into()), ..one_role() };
    let world = cluster.world.failover();
    let mut cluster = Cluster { world, ..cluster };
    cluster.reregister(dynamic("cpus:1", &["a"]), known);
    assert_eq!(cluster.total().reserved(), read(&dynamic("cpus:1", &["a"])));
    cluster.scheduler = cluster.world.subscribe(info);
    assert_eq!(cluster.reconcile(&[("o", None)]), [("o".to_string(), OperationFinished)]);
    cluster.ended(&applied, OperationFinished, Some(5));
    assert_eq!(cluster.states(), [("o".to_string(), OperationFinished)]);
    assert_eq!(cluster.acknowledge("o", 5).len(), 1);
}

#[test]
fn operations_of_agents_that_are_unreachable_or_gone() {
    let mut cluster = Cluster::new();
    let agent = cluster.agent.to_string();
    let offer = cluster.offer();
    cluster.accept(&offer, vec![with_id(reserve(dynamic("cpus:1", &["a"])), "o")], 0.0);
    let applied = cluster.applied().remove(0);
    assert_eq!(
        cluster.reconcile(&[("o", None), ("p", Some(&agent)), ("p", Some("S9")), ("p", None)]),
        [
            ("o".to_string(), OperationPending),
            ("p".to_string(), OperationUnknown),
            ("p".to_string(), OperationUnknown),
            ("p".to_string(), OperationUnknown),
        ]
    );
    cluster.world.lose(1);
    assert_eq!(cluster.states(), [("o".to_string(), OperationUnreachable)]);
    assert!(cluster.world.view().operations.is_empty());
    assert_eq!(cluster.reconcile(&[("o", Some(&agent))]), [("o".to_string(), OperationUnreachable)]);

    // It is back, with an operation that the framework did not hear the end of.
    let operation = mesos::Operation {
        framework_id: applied.framework_id.clone(),
        agent_id: Some((&cluster.agent).into()),
        info: applied.operation_info.clone(),
        latest_status: OperationStatus { state: OperationFinished.into(), ..Default::default() },
        statuses: vec![],
        uuid: applied.operation_uuid.clone(),
    };
    cluster.reregister(dynamic("cpus:1", &["a"]), vec![operation]);
    cluster.ended(&applied, OperationFinished, Some(5));
    assert_eq!(cluster.states(), [("o".to_string(), OperationFinished)]);

    let outcome = cluster.world.operator(OperatorCall::MarkAgentGone { agent: cluster.agent.clone() });
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(cluster.states(), [("o".to_string(), OperationGoneByOperator)]);
    assert_eq!(cluster.reconcile(&[("o", Some(&agent))]), [("o".to_string(), OperationGoneByOperator)]);
}

/// U070: operators change what is free or offered, and nothing else.
#[test]
fn operators_reserve_what_is_free_or_offered() {
    let mut cluster = Cluster::new();
    let offer = cluster.offer();
    assert_eq!(cluster.operator(reserve(dynamic("cpus:3", &["b"]))), Outcome::Accepted);
    let rescinded = cluster.world.events(cluster.scheduler.stream);
    assert_eq!(rescinded[0].rescind.as_ref().map(|rescind| &rescind.offer_id), Some(&offer.id));
    let applied = cluster.applied();
    assert_eq!((applied.len(), &applied[0].framework_id), (1, &None));
    assert_eq!(cluster.total().reserved(), read(&dynamic("cpus:3", &["b"])));

    let outcome = cluster.operator(reserve(dynamic("cpus:3", &["b"])));
    assert!(matches!(outcome, Outcome::Conflict(_)), "{outcome:?}");
    let outcome = cluster.operator(unreserve(dynamic("cpus:4", &["b"])));
    assert!(matches!(outcome, Outcome::Conflict(_)), "{outcome:?}");
    let outcome = cluster.operator(unreserve(resources("cpus:1")));
    assert!(matches!(outcome, Outcome::Invalid(_)), "{outcome:?}");
    let elsewhere = OperatorCall::Operation {
        agent: AgentId::new("S9"),
        operation: Box::new(unreserve(dynamic("cpus:1", &["b"]))),
    };
    assert!(matches!(cluster.world.operator(elsewhere), Outcome::Invalid(_)));
    let from_a = offer::Operation {
        reserve: Some(Reserve {
            source: dynamic("cpus:3", &["b"]),
            resources: dynamic("cpus:3", &["c", "c/d"]),
        }),
        ..typed(Type::Reserve)
    };
    assert_eq!(cluster.operator(from_a), Outcome::Accepted);
    assert_eq!(cluster.total().reserved(), read(&dynamic("cpus:3", &["c", "c/d"])));
    assert_eq!(cluster.applied().len(), 1);

    // What a task uses is nobody's to reserve.
    cluster.world.advance(std::time::Duration::from_secs(10));
    let offer = cluster.offer();
    cluster.world.accept(&cluster.scheduler, &[&offer], vec![world::task("t", &cluster.agent)]);
    let outcome = cluster.operator(reserve(dynamic("cpus:1", &["b"])));
    assert!(matches!(outcome, Outcome::Conflict(_)), "{outcome:?}");
}

/// What an agent promises twice changes every now and then; that says nothing of operations that are on their way.
#[test]
fn an_update_of_oversubscribed_resources_asks_for_no_operation() {
    let mut cluster = Cluster::new();
    let offer = cluster.offer();
    cluster.accept(&offer, vec![reserve(dynamic("cpus:2;mem:128;disk:64", &["a"]))], 1000.0);
    assert_eq!(cluster.applied().len(), 1);
    let revocable = messor_types::Resource::scalar("cpus", 2.0).with_revocable();
    let update = wire::UpdateAgentMessage {
        agent_id: (&cluster.agent).into(),
        update_oversubscribed_resources: Some(true),
        oversubscribed_resources: vec![revocable.to_proto(messor_types::ResourceFormat::PostRefinement)],
        ..Default::default()
    };
    cluster.world.message(&agent_pid(1), &update);
    let asked: Vec<wire::ReconcileOperationsMessage> = cluster.world.take(&agent_pid(1));
    assert!(asked.is_empty(), "{asked:?}");
    assert_eq!(cluster.world.metric("master/cpus_revocable_total"), 2.0);
}

/// Found by the simulator: a framework that asked for no feedback was told the end of an operation without a name.
#[test]
fn the_end_of_an_operation_without_an_id_is_told_to_nobody() {
    let mut cluster = Cluster::new();
    let offer = cluster.offer();
    cluster.accept(&offer, vec![reserve(dynamic("cpus:1", &["a"]))], 0.0);
    let applied = cluster.applied().remove(0);
    cluster.ended(&applied, OperationFinished, Some(5));
    // The agent repeats itself before it hears that this is acknowledged; it is acknowledged again.
    cluster.ended(&applied, OperationFinished, Some(5));
    cluster.ended(&applied, OperationDropped, None);
    assert!(cluster.states().is_empty());
    assert_eq!(cluster.world.take::<wire::AcknowledgeOperationStatusMessage>(&agent_pid(1)).len(), 2);
}

/// Found by the simulator: an update of an agent that came late, or twice, brought operations back for ever.
#[test]
fn an_operation_that_is_acknowledged_does_not_come_back() {
    let mut cluster = Cluster::new();
    let offer = cluster.offer();
    cluster.accept(&offer, vec![with_id(reserve(dynamic("cpus:1", &["a"])), "o")], 0.0);
    let applied = cluster.applied().remove(0);
    cluster.ended(&applied, OperationFinished, Some(5));
    let known: Vec<mesos::Operation> =
        cluster.world.view().operations.iter().map(|operation| (**operation).clone()).collect();
    assert_eq!(cluster.acknowledge("o", 5).len(), 1);
    cluster.states();
    let update = wire::UpdateAgentMessage {
        agent_id: (&cluster.agent).into(),
        update_oversubscribed_resources: Some(false),
        operations: Some(wire::update_agent_message::Operations { operations: known }),
        ..Default::default()
    };
    cluster.world.message(&agent_pid(1), &update);
    assert!(cluster.world.view().operations.is_empty());
    // Perhaps the agent did not hear the acknowledgement: it does now.
    let acknowledged = cluster.world.take::<wire::AcknowledgeOperationStatusMessage>(&agent_pid(1));
    assert_eq!(acknowledged.len(), 1);
    assert_eq!(acknowledged[0].status_uuid.value, [5; 16]);
    cluster.ended(&applied, OperationFinished, Some(5));
    assert!(cluster.states().is_empty(), "the framework knows");
    assert_eq!(cluster.world.take::<wire::AcknowledgeOperationStatusMessage>(&agent_pid(1)).len(), 1);
}

/// Found by the simulator: between its registration and its list of operations an agent was taken to have none.
#[test]
fn operations_of_an_agent_that_did_not_tell_them_yet_are_not_called_unknown() {
    let mut cluster = Cluster::new();
    let agent = cluster.agent.to_string();
    let registration = wire::ReregisterAgentMessage {
        agent_capabilities: capable(1).agent_capabilities,
        ..cluster.world.reregistration(1, &cluster.agent)
    };
    cluster.world.message(&agent_pid(1), &registration);
    assert_eq!(cluster.reconcile(&[("o", Some(&agent))]), [("o".to_string(), OperationRecovering)]);
    cluster.reregister(vec![], vec![]);
    assert_eq!(cluster.reconcile(&[("o", Some(&agent))]), [("o".to_string(), OperationUnknown)]);
}

/// Found by the simulator: what was offered of an agent that comes back with other reservations stayed offered.
#[test]
fn offers_of_an_agent_that_comes_back_with_other_reservations_are_taken_back() {
    let mut cluster = Cluster::new();
    let offer = cluster.offer();
    cluster.reregister(dynamic("cpus:1", &["b"]), vec![]);
    let rescinded = cluster.world.events(cluster.scheduler.stream);
    let rescinded: Vec<_> = rescinded.iter().filter_map(|event| event.rescind.as_ref()).collect();
    assert_eq!(rescinded.iter().map(|rescind| &rescind.offer_id).collect::<Vec<_>>(), [&offer.id]);
    let offer = cluster.offer();
    cluster.reregister(dynamic("cpus:1", &["b"]), vec![]);
    let events = cluster.world.events(cluster.scheduler.stream);
    assert!(events.iter().all(|event| event.rescind.is_none()), "{offer:?} holds");
}
