//! The meta directory that an agent of Apache Mesos 1.11.0 left (U113): it is read whole, and what the recorder writes
//! of it is the same, byte for byte.

use std::path::{Path, PathBuf};
use std::process::Command;

use messor_agent_core::{Connection, Record, Recovered, RecoveredAgent};
use messor_proto::mesos::internal::status_update_record::Type;

use crate::{Bench, strict, tree};

/// Says that a test could not run and why; `./test` prints all of these in its last line.
fn skip(why: &str) {
    eprintln!("skipped: {why}");
    if let Some(path) = std::env::var_os("MESSOR_SKIPS")
        && let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path)
    {
        let _ = std::io::Write::write_all(&mut file, format!("{why}\n").as_bytes());
    }
}

/// Unpacks the real files as a work directory; nothing where they are not there.
fn unpack(directory: &Path) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3)?;
    let shared = std::env::var_os("MESSOR_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
    let archive = shared.join("oracle/state-1.11.0/agent-work_dir-meta.tar.gz");
    if !archive.exists() {
        skip(&format!("checkpoints of the real agent: {} is not there", archive.display()));
        return None;
    }
    let done = Command::new("tar").arg("xzf").arg(&archive).arg("-C").arg(directory).status();
    assert!(done.expect("tar runs").success());
    Some(directory.to_path_buf())
}

fn agent(recovered: &Recovered) -> &RecoveredAgent {
    recovered.agent.as_ref().expect("an agent")
}

#[test]
fn all_of_a_real_agent_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let Some(work_dir) = unpack(directory.path()) else { return };
    let recovered = strict(&work_dir).unwrap();
    assert!(!recovered.rebooted && recovered.errors == 0 && recovered.other_agents.is_empty());
    let found = agent(&recovered);
    assert_eq!(found.id.as_str(), "eef8b932-4bf2-4897-b283-44e666f23b77-S0");
    assert_eq!((found.info.hostname.as_str(), found.info.resources.len()), ("127.0.0.1", 4));
    assert!(found.info.resources.iter().all(|resource| resource.reservations.is_empty()));
    let [volume] = recovered.resources.as_slice() else { panic!("{:?}", recovered.resources) };
    assert_eq!(volume.disk.as_ref().unwrap().persistence.as_ref().unwrap().id, "v1");
    assert_eq!(volume.reservations[0].role.as_deref(), Some("flow"));
    let [framework] = found.frameworks.as_slice() else { panic!("one framework") };
    assert_eq!((framework.info.name.as_str(), &framework.pid), ("flow", &None));
    let told: Vec<_> = framework
        .executors
        .iter()
        .map(|executor| {
            let [run] = executor.runs.as_slice() else { panic!("one run") };
            assert_eq!(executor.latest.as_ref(), Some(&run.container));
            let updates = |task: &messor_agent_core::RecoveredTask| {
                let of = |kind| task.updates.iter().filter(|record| record.r#type == i32::from(kind)).count();
                (of(Type::Update), of(Type::Ack))
            };
            let driver = matches!(run.connection, Some(Connection::Driver(_)));
            let tasks: Vec<_> = run.tasks.iter().map(updates).collect();
            (executor.id.as_str(), executor.command_executor, run.completed, run.forked_pid, driver, tasks)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("finished", true, true, None, false, vec![]),
            ("pod-executor", false, false, Some(27348), false, vec![(2, 2), (2, 2)]),
            ("running-command", true, false, Some(27335), true, vec![(2, 2)]),
            ("unacknowledged", true, false, Some(27365), true, vec![(3, 0)]),
        ]
    );
}

/// All that an agent would have asked for to leave this.
fn records(recovered: &Recovered) -> Vec<Record> {
    let found = agent(recovered);
    let mut records = vec![
        Record::Boot,
        Record::Agent { id: found.id.clone(), info: Box::new(found.info.clone()) },
        Record::Resources {
            resources: recovered.resources.clone(),
            operations: recovered.operations.clone(),
        },
    ];
    for framework in &found.frameworks {
        let id = &framework.id;
        let info = Box::new(framework.info.clone());
        records.push(Record::Framework { id: id.clone(), info, pid: framework.pid.clone() });
        for executor in &framework.executors {
            for run in &executor.runs {
                let (framework, container) = (id.clone(), run.container.clone());
                let executor_id = executor.id.clone();
                records.push(Record::Executor {
                    framework: framework.clone(),
                    executor: executor_id.clone(),
                    info: Box::new(executor.info.clone()),
                    container: container.clone(),
                    command_executor: executor.command_executor,
                });
                records.extend(run.connection.iter().map(|connection| Record::ExecutorConnection {
                    framework: framework.clone(),
                    executor: executor_id.clone(),
                    container: container.clone(),
                    connection: connection.clone(),
                }));
                for task in &run.tasks {
                    records.push(Record::Task {
                        framework: framework.clone(),
                        executor: executor_id.clone(),
                        container: container.clone(),
                        task: Box::new(task.task.clone()),
                    });
                    records.extend(task.updates.iter().map(|record| Record::Update {
                        framework: framework.clone(),
                        executor: executor_id.clone(),
                        container: container.clone(),
                        task: (&task.task.task_id).into(),
                        record: Box::new(record.clone()),
                    }));
                }
                if run.completed {
                    let executor = executor_id.clone();
                    records.push(Record::ExecutorCompleted { framework, executor, container });
                }
            }
        }
    }
    records
}

#[test]
fn what_is_written_is_what_apache_mesos_wrote() {
    let directory = tempfile::tempdir().unwrap();
    let Some(work_dir) = unpack(directory.path()) else { return };
    // A completed run is not read, as nobody needs it; here it is.
    for mark in tree(&work_dir).keys().filter(|path| path.ends_with("executor.sentinel")) {
        std::fs::remove_file(work_dir.join(mark)).unwrap();
    }
    let recovered = strict(&work_dir).unwrap();
    let again = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(again.path());
    for record in records(&recovered) {
        bench.record(record);
    }
    bench.all_good();

    let mut theirs = tree(&work_dir.join("meta"));
    let mut ours = tree(&again.path().join("meta"));
    // The containerizer writes the pids that it forks; resource providers have a registry of their own.
    theirs.retain(|path, _| {
        !path.ends_with("forked.pid")
            && !path.components().any(|part| part.as_os_str() == "resource_provider_registry")
    });
    // Directories that hold nothing are not made before something comes.
    theirs.retain(|_, content| content.as_slice() != b"directory");
    ours.retain(|_, content| content.as_slice() != b"directory");
    // Links lead to where the work directory is.
    for (tree, root) in [(&mut theirs, Path::new("/var/lib/mesos/agent")), (&mut ours, again.path())] {
        for (path, target) in tree.iter_mut().filter(|(path, _)| path.ends_with("latest")) {
            let text = String::from_utf8(target.clone()).unwrap();
            let below = Path::new(&text).strip_prefix(root).unwrap_or_else(|_| panic!("{path:?}: {text}"));
            *target = below.to_str().unwrap().as_bytes().to_vec();
        }
    }
    let names =
        |tree: &std::collections::BTreeMap<PathBuf, Vec<u8>>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs));
    for (path, bytes) in &theirs {
        assert_eq!(&ours[path], bytes, "{}", path.display());
    }
    // And it is read as the same.
    assert_eq!(strict(again.path()).unwrap().agent.unwrap().frameworks.len(), 1);
}
