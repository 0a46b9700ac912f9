//! What was written is read again, whatever was cut off, damaged or out of place.

use std::fs;
use std::path::Path;

use messor_agent_core::{Connection, Record};
use messor_checkpoint::{Expectation, read};
use messor_proto::mesos::internal::{StatusUpdateRecord, UpdateOperationStatusRecord};
use messor_proto::mesos::resource::disk_info::Persistence;
use messor_proto::mesos::resource::{DiskInfo, ReservationInfo};
use messor_proto::mesos::{AgentInfo, DrainConfig, ExecutorInfo, FrameworkInfo, Resource, Task};
use messor_types::{AgentId, ContainerId, ExecutorId, FrameworkId, TaskId};

use crate::{BOOT_ID, Bench, quick_folder, strict, tree};

fn agent_info() -> AgentInfo {
    AgentInfo { hostname: "h".into(), ..AgentInfo::default() }
}

pub fn agent() -> Record {
    Record::Agent { id: AgentId::new("S0"), info: Box::new(agent_info()) }
}

pub fn framework() -> Record {
    let info = FrameworkInfo { name: "f".into(), roles: vec!["r".into()], ..FrameworkInfo::default() };
    let pid = Some("scheduler(1)@10.0.0.1:80".parse().unwrap());
    Record::Framework { id: FrameworkId::new("F"), info: Box::new(info), pid }
}

pub fn executor(container: &str) -> Record {
    Record::Executor {
        framework: FrameworkId::new("F"),
        executor: ExecutorId::new("e"),
        info: Box::new(ExecutorInfo {
            executor_id: (&ExecutorId::new("e")).into(),
            ..ExecutorInfo::default()
        }),
        container: ContainerId::new(container),
        command_executor: true,
    }
}

pub fn task(container: &str, task: &str) -> Record {
    Record::Task {
        framework: FrameworkId::new("F"),
        executor: ExecutorId::new("e"),
        container: ContainerId::new(container),
        task: Box::new(Task {
            task_id: (&TaskId::new(task)).into(),
            resources: vec![Resource { name: "cpus".into(), ..Resource::default() }],
            ..Task::default()
        }),
    }
}

pub fn update(container: &str, task: &str, uuid: u8) -> Record {
    Record::Update {
        framework: FrameworkId::new("F"),
        executor: ExecutorId::new("e"),
        container: ContainerId::new(container),
        task: TaskId::new(task),
        record: Box::new(StatusUpdateRecord { r#type: 1, uuid: Some(vec![uuid; 16]), update: None }),
    }
}

fn connected(container: &str) -> Record {
    Record::ExecutorConnection {
        framework: FrameworkId::new("F"),
        executor: ExecutorId::new("e"),
        container: ContainerId::new(container),
        connection: Connection::Http,
    }
}

/// An agent with one framework, one executor in its second run, and a task with two acknowledgements.
pub fn write(work_dir: &Path) {
    let mut bench = Bench::new(work_dir);
    let both = ["c1", "c2"];
    for record in [Record::Boot, agent(), framework()] {
        bench.record(record);
    }
    for container in both {
        for record in [executor(container), connected(container), task(container, "t")] {
            bench.record(record);
        }
    }
    for uuid in [1, 2] {
        bench.record(update("c2", "t", uuid));
    }
    bench.all_good();
    fs::create_dir_all(work_dir.join(RUN).join("pids")).unwrap();
    fs::write(work_dir.join(RUN).join("pids/forked.pid"), "4711").unwrap();
}

const EXECUTOR: &str = "meta/slaves/S0/frameworks/F/executors/e";
pub const RUN: &str = "meta/slaves/S0/frameworks/F/executors/e/runs/c2";

#[test]
fn what_was_written_is_read_again() {
    let work = tempfile::tempdir().unwrap();
    assert_eq!(strict(work.path()).unwrap(), Default::default());
    write(work.path());
    fs::create_dir_all(work.path().join("slaves/S-old/frameworks")).unwrap();
    let recovered = strict(work.path()).unwrap();
    assert_eq!(recovered.other_agents, [AgentId::new("S-old")]);
    let agent = recovered.agent.unwrap();
    assert_eq!(agent.id, AgentId::new("S0"));
    let [framework] = agent.frameworks.as_slice() else { panic!() };
    assert_eq!(framework.pid.as_ref().unwrap().to_string(), "scheduler(1)@10.0.0.1:80");
    let [executor] = framework.executors.as_slice() else { panic!() };
    assert!(executor.command_executor && executor.latest == Some(ContainerId::new("c2")));
    let [first, second] = executor.runs.as_slice() else { panic!() };
    assert!(first.tasks.is_empty(), "nobody needs the tasks of an earlier run (MESOS-6285)");
    assert_eq!((second.forked_pid, &second.connection), (Some(4711), &Some(Connection::Http)));
    let [task] = second.tasks.as_slice() else { panic!() };
    assert_eq!(task.updates.len(), 2);
    let allocated = task.task.resources[0].allocation_info.as_ref().unwrap();
    assert_eq!(allocated.role.as_deref(), Some("r"), "the role of a framework with one");
}

#[test]
fn a_moved_work_directory_is_read() {
    let work = tempfile::tempdir().unwrap();
    write(&work.path().join("before"));
    fs::rename(work.path().join("before"), work.path().join("after")).unwrap();
    let agent = strict(&work.path().join("after")).unwrap().agent.unwrap();
    assert_eq!(agent.frameworks[0].executors[0].latest, Some(ContainerId::new("c2")));
}

#[test]
fn what_ended_is_told_by_its_sentinel() {
    let work = tempfile::tempdir().unwrap();
    write(work.path());
    let mut bench = Bench::after(work.path(), Some("S0"), Vec::new());
    bench.record(Record::ExecutorCompleted {
        framework: FrameworkId::new("F"),
        executor: ExecutorId::new("e"),
        container: ContainerId::new("c2"),
    });
    bench.all_good();
    let agent = strict(work.path()).unwrap().agent.unwrap();
    assert!(agent.frameworks[0].executors[0].runs[1].completed);
}

#[test]
fn an_agent_that_forgets_has_no_past() {
    let work = tempfile::tempdir().unwrap();
    write(work.path());
    let mut bench = Bench::after(work.path(), Some("S0"), Vec::new());
    bench.record(Record::Forget);
    bench.record(Record::Forget);
    bench.all_good();
    let recovered = strict(work.path()).unwrap();
    assert_eq!((recovered.agent, recovered.other_agents), (None, vec![AgentId::new("S0")]));
}

#[test]
fn a_torn_update_is_cut_off_and_the_next_is_found() {
    let work = tempfile::tempdir().unwrap();
    write(work.path());
    let path = work.path().join(RUN).join("tasks/t/task.updates");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 3]).unwrap();
    let updates = |work: &Path| {
        strict(work).unwrap().agent.unwrap().frameworks[0].executors[0].runs[1].tasks[0].updates.len()
    };
    assert_eq!(updates(work.path()), 1);
    let mut bench = Bench::after(work.path(), Some("S0"), Vec::new());
    bench.record(update("c2", "t", 2));
    bench.all_good();
    assert_eq!((fs::read(&path).unwrap(), updates(work.path())), (whole, 2));
}

#[test]
fn what_is_missing_or_empty_was_never_finished() {
    for (name, frameworks, executors, tasks) in [
        ("meta/slaves/S0/frameworks/F/framework.info", 0, 0, 0),
        ("meta/slaves/S0/frameworks/F/framework.pid", 1, 1, 1),
        ("meta/slaves/S0/frameworks/F/executors/e/executor.info", 1, 0, 0),
        ("meta/slaves/S0/frameworks/F/executors/e/runs/c2/tasks/t/task.info", 1, 1, 0),
        ("meta/slaves/S0/frameworks/F/executors/e/runs/c2/tasks/t/task.updates", 1, 1, 1),
    ] {
        for empty in [false, true] {
            let work = tempfile::tempdir().unwrap();
            write(work.path());
            match empty {
                true => fs::write(work.path().join(name), "").unwrap(),
                false => fs::remove_file(work.path().join(name)).unwrap(),
            }
            let recovered = strict(work.path()).unwrap();
            let agent = recovered.agent.unwrap();
            let all: Vec<_> = agent.frameworks.iter().flat_map(|framework| &framework.executors).collect();
            let found = all.iter().flat_map(|executor| &executor.runs).flat_map(|run| &run.tasks).count();
            assert_eq!((agent.frameworks.len(), all.len(), found), (frameworks, executors, tasks), "{name}");
            assert_eq!(recovered.errors, 0);
        }
    }
    let work = tempfile::tempdir().unwrap();
    write(work.path());
    fs::remove_file(work.path().join("meta/slaves/S0/slave.info")).unwrap();
    assert_eq!(strict(work.path()).unwrap().agent, None);
}

#[test]
fn what_is_damaged_ends_a_strict_start_and_is_counted_otherwise() {
    for name in [
        "meta/slaves/S0/slave.info",
        "meta/slaves/S0/frameworks/F/framework.info",
        "meta/slaves/S0/frameworks/F/framework.pid",
        "meta/slaves/S0/frameworks/F/executors/e/executor.info",
        "meta/slaves/S0/frameworks/F/executors/e/executor_generated_for_command_task",
        "meta/slaves/S0/frameworks/F/executors/e/runs/c2/pids/forked.pid",
        "meta/slaves/S0/frameworks/F/executors/e/runs/c2/tasks/t/task.info",
        "meta/slaves/S0/frameworks/F/executors/e/runs/c2/tasks/t/task.updates",
        "meta/resources/resources_and_operations.state",
    ] {
        let work = tempfile::tempdir().unwrap();
        write(work.path());
        fs::create_dir_all(work.path().join("meta/resources")).unwrap();
        fs::write(work.path().join(name), [1, 0, 0, 0, 255, 0]).unwrap();
        let error = strict(work.path()).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("--no-strict"), "{error}");
        // Nothing was changed by the refusal.
        assert_eq!(fs::read(work.path().join(name)).unwrap(), [1, 0, 0, 0, 255, 0]);
        let recovered = read(work.path(), Expectation { strict: false, boot_id: BOOT_ID }).unwrap();
        assert_eq!(recovered.errors, 1, "{name}");
    }
}

#[test]
fn after_a_reboot_pids_are_nobodys() {
    let work = tempfile::tempdir().unwrap();
    write(work.path());
    let rebooted = Expectation { strict: true, boot_id: "another" };
    let recovered = read(work.path(), rebooted).unwrap();
    assert!(recovered.rebooted);
    let run = |recovered: &messor_agent_core::Recovered| {
        recovered.agent.as_ref().unwrap().frameworks[0].executors[0].runs[1].clone()
    };
    assert_eq!((run(&recovered).forked_pid, run(&recovered).tasks.len()), (None, 1));
    // Not even if the agent ends again once the new boot id is there.
    assert_eq!(run(&strict(work.path()).unwrap()).forked_pid, None);
    assert!(!work.path().join(RUN).join("pids/forked.pid").exists());
    assert!(work.path().join(EXECUTOR).join("runs/latest").exists());
}

fn volume(id: &str) -> Resource {
    let persistence = Some(Persistence { id: id.into(), principal: None });
    Resource {
        name: "disk".into(),
        disk: Some(Box::new(DiskInfo { persistence, ..DiskInfo::default() })),
        reservations: vec![ReservationInfo {
            r#type: Some(2),
            role: Some("r".into()),
            ..ReservationInfo::default()
        }],
        ..Resource::default()
    }
}

#[test]
fn volumes_follow_the_resources() {
    let work = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(work.path());
    let resources = |ids: &[&str]| Record::Resources {
        resources: ids.iter().map(|id| volume(id)).collect(),
        operations: Vec::new(),
    };
    bench.record(resources(&["v1", "v2"]));
    bench.record(resources(&["v2", "v3"]));
    bench.all_good();
    let there = |id: &str| work.path().join("volumes/roles/r").join(id).is_dir();
    assert_eq!([there("v1"), there("v2"), there("v3")], [false, true, true]);
    assert_eq!(strict(work.path()).unwrap().resources, [volume("v2"), volume("v3")]);
    // Agents before 1.9 read the other file.
    fs::remove_file(work.path().join("meta/resources/resources_and_operations.state")).unwrap();
    assert_eq!(strict(work.path()).unwrap().resources, [volume("v2"), volume("v3")]);
}

#[test]
fn a_change_of_volumes_that_was_cut_off_is_finished() {
    let work = tempfile::tempdir().unwrap();
    let resources = work.path().join("meta/resources");
    let state = |ids: &[&str]| {
        let mut bench = Bench::new(work.path());
        let all = ids.iter().map(|id| volume(id)).collect();
        bench.record(Record::Resources { resources: all, operations: Vec::new() });
        bench.all_good();
        let read = |name: &str| fs::read(resources.join(name)).unwrap();
        (read("resources_and_operations.state"), read("resources.info"))
    };
    let after = state(&["v2"]);
    let before = state(&["v1"]);
    fs::remove_dir(work.path().join("volumes/roles/r/v2")).unwrap();
    let targets = ["resources_and_operations.target", "resources.target"];
    fs::write(resources.join(targets[0]), &after.0).unwrap();
    fs::write(resources.join(targets[1]), &after.1).unwrap();
    assert_ne!(before, after);
    assert_eq!(strict(work.path()).unwrap().resources, [volume("v2")]);
    assert!(!targets.iter().any(|name| resources.join(name).exists()));
    assert!(!work.path().join("volumes/roles/r/v1").exists());
    assert!(work.path().join("volumes/roles/r/v2").is_dir());
}

#[test]
fn operations_and_draining() {
    let work = tempfile::tempdir().unwrap();
    let uuid = |n: u8| vec![n; 16];
    let update = |n| Record::OperationUpdate {
        uuid: uuid(n),
        record: Box::new(UpdateOperationStatusRecord { r#type: 1, ..Default::default() }),
    };
    let drain = |config| Record::DrainConfig(config);
    let mut bench = Bench::new(work.path());
    for record in [agent(), update(1), update(1), update(2), drain(Some(Box::new(DrainConfig::default())))] {
        bench.record(record);
    }
    bench.record(Record::OperationCompleted { uuid: uuid(2) });
    bench.all_good();
    let recovered = strict(work.path()).unwrap();
    assert_eq!(recovered.drain_config, Some(DrainConfig::default()));
    let [operation] = recovered.agent.as_ref().unwrap().operation_updates.as_slice() else { panic!() };
    assert_eq!((&operation.uuid, operation.updates.len()), (&uuid(1), 2));
    fs::write(work.path().join("meta/slaves/S0/drain.config"), [9]).unwrap();
    assert_eq!(strict(work.path()).unwrap().errors, 1, "strict as it may be");
    let mut bench = Bench::after(work.path(), Some("S0"), Vec::new());
    bench.record(drain(None));
    bench.all_good();
    assert_eq!(strict(work.path()).unwrap().drain_config, None);
}

#[test]
fn ids_that_lead_elsewhere_are_refused() {
    let work = tempfile::tempdir().unwrap();
    let root = work.path().join("work");
    let mut bench = Bench::new(&root);
    bench.record(agent());
    bench.all_good();
    for id in ["../x", "..", "", "a/b"] {
        let info = Box::new(FrameworkInfo::default());
        let framework = Record::Framework { id: FrameworkId::new(id), info, pid: None };
        for record in [framework, task("c", id), executor(id)] {
            let mut bench = Bench::after(&root, Some("S0"), Vec::new());
            bench.record(record);
            let outcomes = bench.outcomes();
            let [Err(error)] = outcomes.as_slice() else { panic!("{id}: {outcomes:?}") };
            assert!(error.contains(&format!("'{id}' cannot be the name of a directory")), "{error}");
        }
    }
    assert_eq!(fs::read_dir(root.join("meta/slaves/S0")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(work.path()).unwrap().count(), 1);
}

#[test]
fn many_records_are_answered_in_order() {
    let work = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(work.path());
    bench.record(agent());
    for n in 0..600u32 {
        bench.record(update("c", &format!("t{}", n % 7), (n % 251) as u8));
    }
    bench.all_good();
    let path = work.path().join("meta/slaves/S0/frameworks/F/executors/e/runs/c/tasks/t0/task.updates");
    assert_eq!(fs::metadata(path).unwrap().len(), 600u64.div_ceil(7) * 24);
}

/// A disk that is full for a moment: an update that was written without the one before it would be told as if that had
/// never been.
#[test]
fn nothing_is_written_after_what_could_not_be() {
    let folder = quick_folder();
    let work_dir = folder.path();
    let mut bench = Bench::new(work_dir);
    for record in [agent(), framework(), executor("c"), task("c", "t"), update("c", "t", 1)] {
        bench.record(record);
    }
    bench.all_good();
    let before = tree(work_dir);

    let mut bench = Bench::after(work_dir, Some("S0"), Vec::new());
    // No name of a directory is so long.
    let id = FrameworkId::new(&"F".repeat(300));
    bench.record(Record::Framework { id, info: Box::default(), pid: None });
    // Together with it or after it.
    for number in 2..200 {
        bench.record(update("c", "t", number));
    }
    let outcomes = bench.outcomes();
    assert!(outcomes.iter().all(Result::is_err), "{outcomes:?}");
    assert_eq!(tree(work_dir), before);
}
