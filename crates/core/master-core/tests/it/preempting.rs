//! Preemption carried out: who is killed, what its framework hears, and that a new master goes on with it.

use std::collections::BTreeMap;
use std::time::Duration;

use messor_allocator::{Held, Options, Preemption, Revocable};
use messor_master_core::{OperatorCall, Outcome};
use messor_proto::mesos::internal as wire;
use messor_proto::mesos::quota::QuotaConfig;
use messor_proto::mesos::task_status::Reason;
use messor_proto::mesos::{self, ExecutorInfo, FrameworkInfo, TaskInfo, TaskState, executor_info, value};
use messor_types::{AgentId, OfferId, ResourceQuantities, Role};

use crate::world::{Running, Scheduler, World, agent_pid, modern, resources, task, update};

fn options() -> Options {
    Options {
        role_priorities: [("production", 100), ("batch", -10)]
            .into_iter()
            .map(|(role, priority)| (Role::new(role), priority))
            .collect(),
        preemption_delay: Duration::from_secs(5),
        ..Options::default()
    }
}

fn in_role(role: &str) -> FrameworkInfo {
    FrameworkInfo { name: role.into(), roles: vec![role.into()], ..modern() }
}

/// The agent says of a task that it is so, since then.
fn report(on: &mut Running, id: &str, state: TaskState, at: f64, message: Option<&str>) {
    let uuid = (on.world.number() as u128).to_be_bytes();
    let mut update = update(&on.scheduler.id, &on.agent, id, state, &uuid);
    update.status.timestamp = Some(at);
    update.status.message = message.map(String::from);
    let pid = Some(agent_pid(1).to_string());
    on.world.message(&agent_pid(1), &wire::StatusUpdateMessage { update, pid });
}

/// Batch has these tasks on an agent of four cpus, which it fills; the first began first.
fn filled(change: impl Fn(&mut Vec<TaskInfo>)) -> Running {
    let mut world = World::with_options(options());
    let agent = world.agent(1);
    let scheduler = world.subscribe(in_role("batch"));
    world.allocation();
    let offer = world.offers(scheduler.stream).remove(0);
    let mut tasks: Vec<TaskInfo> = ["b", "d", "a", "c"].iter().map(|id| task(id, &agent)).collect();
    change(&mut tasks);
    world.accept(&scheduler, &[&offer], tasks.clone());
    let mut on = Running { world, agent, scheduler };
    for (number, task) in tasks.iter().enumerate() {
        report(&mut on, &task.task_id.value, TaskState::TaskRunning, 100.0 + number as f64, None);
    }
    on.world.events(on.scheduler.stream);
    on.world.sent.clear();
    on
}

/// The role is guaranteed so many cpus, and has a framework that wants them.
fn guarantee(world: &mut World, role: &str, cpus: f64) -> Scheduler {
    let guarantees = BTreeMap::from([("cpus".to_string(), value::Scalar { value: cpus })]);
    let config = QuotaConfig { role: role.into(), guarantees, limits: BTreeMap::new() };
    let call = OperatorCall::UpdateQuota { configs: vec![config], force: false };
    assert_eq!(world.operator(call), Outcome::Done);
    world.subscribe(in_role(role))
}

fn pass(world: &mut World, seconds: u64) {
    for _ in 0..seconds {
        world.advance(Duration::from_secs(1));
        world.allocation();
    }
}

fn killed(world: &mut World) -> Vec<String> {
    let kills = world.take::<wire::KillTaskMessage>(&agent_pid(1));
    assert!(kills.iter().all(|kill| kill.kill_policy.is_none()), "each has the grace of its own policy");
    kills.into_iter().map(|kill| kill.task_id.value).collect()
}

#[test]
fn the_newest_tasks_are_killed_and_their_framework_is_told_why() {
    let mut on = filled(|_| {});
    let production = guarantee(&mut on.world, "production", 2.0);
    pass(&mut on.world, 4);
    assert!(killed(&mut on.world).is_empty(), "not before the delay");
    pass(&mut on.world, 3);
    assert_eq!(killed(&mut on.world), ["c", "a"]);
    let line = on.world.log.iter().find(|line| line.starts_with("preempting task c")).unwrap();
    for part in ["in role 'batch' of priority -10", "for role 'production' of priority 100", "lacks cpus:2"] {
        assert!(line.contains(part), "{line}");
    }
    // However long they take, nothing else is killed for the same need.
    report(&mut on, "c", TaskState::TaskKilling, 200.0, None);
    pass(&mut on.world, 20);
    assert!(killed(&mut on.world).is_empty());

    report(&mut on, "c", TaskState::TaskKilled, 201.0, Some("Command terminated with signal Terminated"));
    report(&mut on, "a", TaskState::TaskFinished, 201.0, Some("done"));
    let updates = on.world.updates(on.scheduler.stream);
    let heard: Vec<_> =
        updates.iter().map(|status| (status.task_id.value.as_str(), status.state())).collect();
    let killing = ("c", TaskState::TaskKilling);
    assert_eq!(heard, [killing, ("c", TaskState::TaskKilled), ("a", TaskState::TaskFinished)]);
    let why = "preempted for role 'production' of priority 100, which lacks cpus:2 of what it is guaranteed";
    for (status, message) in [
        (&updates[0], why.to_string()),
        (&updates[1], format!("{why}: Command terminated with signal Terminated")),
    ] {
        assert_eq!((status.reason(), status.message()), (Reason::ContainerPreempted, message.as_str()));
    }
    // What ended by itself says so.
    assert_eq!((updates[2].reason, updates[2].message()), (None, "done"));
    let view = on.world.view();
    let batch = view.frameworks.iter().find(|framework| framework.framework.id == on.scheduler.id).unwrap();
    let shown = batch.tasks.iter().find(|task| task.task_id.value == "c").unwrap();
    assert_eq!(shown.statuses.last().unwrap().reason(), Reason::ContainerPreempted);

    pass(&mut on.world, 1);
    let offers = on.world.offers(production.stream);
    let resources = offers.iter().flat_map(|offer| &offer.resources);
    let cpus = resources.filter(|one| one.name == "cpus").map(|one| one.scalar.unwrap().value);
    assert_eq!(cpus.sum::<f64>(), 2.0);
    assert_eq!(
        (on.world.metric("master/preempted_tasks"), on.world.metric("master/preempted_offers")),
        (2.0, 0.0)
    );
    let reason = "master/task_killed/source_executor/reason_container_preempted";
    assert_eq!(on.world.metric(reason), 1.0);
}

/// That offers go before tasks is the allocator's to decide.
#[test]
fn offers_are_rescinded() {
    let mut world = World::with_options(options());
    let agent = world.agent(1);
    let scheduler = world.subscribe(in_role("batch"));
    world.allocation();
    let offer = world.offers(scheduler.stream).remove(0);
    let held = Held {
        what: Revocable::Offer(OfferId::from(&offer.id)),
        framework_id: scheduler.id.clone(),
        agent_id: agent,
        role: Role::new("batch"),
        amounts: ResourceQuantities::parse("cpus:4").unwrap(),
        leaving: false,
    };
    let preemption = Preemption {
        role: Role::new("production"),
        priority: 100,
        lacking: ResourceQuantities::parse("cpus:1").unwrap(),
        victims: vec![(held, -10)],
    };
    // What was answered meanwhile is passed over.
    for _ in 0..2 {
        world.handle(messor_master_core::Event::Preempt(Box::new(preemption.clone())));
    }
    let events = world.events(scheduler.stream);
    assert_eq!(events.iter().filter(|event| event.rescind.is_some()).count(), 1);
    assert_eq!((world.metric("master/preempted_offers"), world.metric("master/preempted_tasks")), (1.0, 0.0));
    let line = world.log.iter().find(|line| line.starts_with("preempting offer")).unwrap();
    assert!(line.contains("in role 'batch' of priority -10") && line.contains("role 'production'"), "{line}");
}

/// The decision is in no registry: the next master makes it anew, and the agent hears of it once more.
#[test]
fn a_new_master_decides_anew() {
    let mut on = filled(|_| {});
    let production = guarantee(&mut on.world, "production", 1.0);
    pass(&mut on.world, 7);
    assert_eq!(killed(&mut on.world), ["c"]);
    let message = on.world.reregistration(1, &on.agent);
    let mut next = on.world.failover();
    next.message(&agent_pid(1), &message);
    for (scheduler, role) in [(&production, "production"), (&on.scheduler, "batch")] {
        next.subscribe(FrameworkInfo { id: Some((&scheduler.id).into()), ..in_role(role) });
    }
    next.sent.clear();
    pass(&mut next, 3);
    assert!(killed(&mut next).is_empty());
    pass(&mut next, 4);
    assert_eq!(killed(&mut next), ["c"], "the same choice");
}

fn group_of(agent: &AgentId, scheduler: &Scheduler, ids: [&str; 2]) -> mesos::offer::Operation {
    let executor = ExecutorInfo {
        r#type: Some(executor_info::Type::Default as i32),
        executor_id: mesos::ExecutorId { value: "e".into() },
        framework_id: Some((&scheduler.id).into()),
        resources: resources("cpus:1;mem:32;disk:10"),
        ..Default::default()
    };
    let tasks = ids.map(|id| task(id, agent)).to_vec();
    mesos::offer::Operation {
        r#type: Some(mesos::offer::operation::Type::LaunchGroup as i32),
        launch_group: Some(mesos::offer::operation::LaunchGroup {
            executor,
            task_group: mesos::TaskGroupInfo { tasks },
        }),
        ..Default::default()
    }
}

/// The default executor ends all of a group with one of it: it goes as a whole, and its executor counts.
#[test]
fn a_task_group_goes_as_a_whole() {
    let mut world = World::with_options(options());
    let agent = world.agent(1);
    let scheduler = world.subscribe(in_role("batch"));
    world.allocation();
    let offer = world.offers(scheduler.stream).remove(0);
    let launch = mesos::offer::operation::Launch { task_infos: vec![task("alone", &agent)] };
    let operations = vec![
        mesos::offer::Operation {
            r#type: Some(mesos::offer::operation::Type::Launch as i32),
            launch: Some(launch),
            ..Default::default()
        },
        group_of(&agent, &scheduler, ["g1", "g2"]),
    ];
    world.call(&scheduler, messor_proto::mesos::scheduler::call::Type::Accept, |call| {
        call.accept = Some(messor_proto::mesos::scheduler::call::Accept {
            offer_ids: vec![offer.id.clone()],
            operations,
            filters: None,
        });
    });
    let mut on = Running { world, agent, scheduler };
    for (number, id) in ["alone", "g1", "g2"].into_iter().enumerate() {
        report(&mut on, id, TaskState::TaskRunning, 100.0 + number as f64, None);
    }
    on.world.sent.clear();
    guarantee(&mut on.world, "production", 3.0);
    pass(&mut on.world, 7);
    assert_eq!(killed(&mut on.world), ["g1", "g2"]);
    pass(&mut on.world, 20);
    assert!(killed(&mut on.world).is_empty(), "with the executor these are three cpus");
    // It takes its time to end when its tasks did.
    for id in ["g1", "g2"] {
        report(&mut on, id, TaskState::TaskKilled, 200.0, None);
    }
    pass(&mut on.world, 20);
    assert!(killed(&mut on.world).is_empty(), "the executor is leaving");
}

/// Of what is reserved for it nobody has to go, and neither does a task that has some of that.
#[test]
fn what_is_reserved_stays() {
    let mut on = filled(|tasks| tasks.truncate(2));
    pass(&mut on.world, 7);
    let offer = on.world.offers(on.scheduler.stream).remove(0);
    let mut reserved = resources("cpus:1");
    reserved[0].reservations = vec![mesos::resource::ReservationInfo {
        r#type: Some(mesos::resource::reservation_info::Type::Dynamic as i32),
        role: Some("batch".into()),
        ..Default::default()
    }];
    let mut own = task("own", &on.agent);
    own.resources = [reserved.clone(), resources("cpus:1;mem:64")].concat();
    let operation = |kind: mesos::offer::operation::Type| mesos::offer::Operation {
        r#type: Some(kind as i32),
        ..Default::default()
    };
    let operations = vec![
        mesos::offer::Operation {
            reserve: Some(mesos::offer::operation::Reserve { source: vec![], resources: reserved }),
            ..operation(mesos::offer::operation::Type::Reserve)
        },
        mesos::offer::Operation {
            launch: Some(mesos::offer::operation::Launch { task_infos: vec![own] }),
            ..operation(mesos::offer::operation::Type::Launch)
        },
    ];
    on.world.call(&on.scheduler, messor_proto::mesos::scheduler::call::Type::Accept, |call| {
        call.accept = Some(messor_proto::mesos::scheduler::call::Accept {
            offer_ids: vec![offer.id.clone()],
            operations,
            filters: None,
        });
    });
    report(&mut on, "own", TaskState::TaskRunning, 300.0, None);
    on.world.sent.clear();
    guarantee(&mut on.world, "production", 3.0);
    pass(&mut on.world, 30);
    assert_eq!(killed(&mut on.world), ["d", "b"], "and not the newest, which has something reserved");
}
