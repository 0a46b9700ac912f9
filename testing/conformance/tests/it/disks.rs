//! Disks, logs and meta directories under attack, with whole programs: full, read-only, damaged, cut, emptied. What was
//! acknowledged is there afterwards, or its loss is said; what is wrong is named, with what to do; nothing hangs.

use std::path::{Path, PathBuf};
use std::process::Command;

use messor_testkit::{Cluster, Options, get, request, skip, wait_for};
use serde_json::{Value, json};

use crate::recovery::{Execution, PATIENCE, agent_id};

/// A small file system in memory, or a read-only view of a directory; unmounted when it is dropped.
struct Mount(PathBuf);

impl Mount {
    fn with(arguments: &[&str], at: &Path) -> Option<Mount> {
        let done = Command::new("mount").args(arguments).arg(at).output();
        match done {
            Ok(output) if output.status.success() => Some(Mount(at.to_path_buf())),
            _ => {
                skip("full and read-only disks: nothing can be mounted here");
                None
            }
        }
    }

    fn small(at: &Path, size: &str) -> Option<Mount> {
        std::fs::create_dir_all(at).expect("a folder");
        Mount::with(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], at)
    }

    fn read_only(at: &Path) -> Option<Mount> {
        let mount = Mount::with(&["--bind", &at.display().to_string()], at)?;
        let again = Command::new("mount").args(["-o", "remount,ro,bind"]).arg(at).status();
        assert!(again.expect("mount runs").success());
        Some(mount)
    }

    /// Writes until nothing more fits. Removing the file makes room again.
    fn fill(&self) -> PathBuf {
        let filler = self.0.join("filler");
        let mut file = std::fs::File::create(&filler).expect("a file");
        for size in [64 << 10, 4096, 1] {
            while std::io::Write::write_all(&mut file, &vec![1; size]).is_ok() {}
        }
        filler
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
        // Its folder could not be removed while it was there.
        let _ = std::fs::remove_dir(&self.0);
        let _ = self.0.parent().map(std::fs::remove_dir);
    }
}

fn alone() -> Options {
    Options { agents: 0, ..Options::default() }
}

fn set_weight(cluster: &Cluster, role: &str) -> bool {
    let body = json!([{ "role": role, "weight": 2.0 }]).to_string();
    request(cluster.master, "PUT", "/weights", &[], body.as_bytes()).is_ok_and(|answer| answer.status == 200)
}

fn weights(cluster: &Cluster) -> Vec<String> {
    let found: Value = wait_for("the registry", PATIENCE, || {
        get(cluster.master, "/weights").ok().filter(|answer| answer.status == 200).map(|answer| answer.json())
    });
    let roles = found.as_array().expect("a list").iter();
    roles.map(|weight| weight["role"].as_str().expect("a role").to_string()).collect()
}

#[test]
fn a_master_with_a_full_disk_ends_says_so_and_has_all_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(disk) = Mount::small(&folder.path().join("master"), "1m") else { return };
    let mut cluster = Cluster::within(folder, &alone());
    assert!(weights(&cluster).is_empty());
    assert!(set_weight(&cluster, "before"));
    let filler = disk.fill();
    let mut kept = vec!["before".to_string()];
    // The file has some room left in its last block.
    for number in 0.. {
        let role = format!("role{number}");
        if !set_weight(&cluster, &role) {
            break;
        }
        kept.push(role);
        assert!(number < 1000, "the disk never gets full");
    }
    assert_eq!(cluster.end("master", "CONT"), Some(1));
    let log = cluster.log("master");
    let told = log.lines().rev().find(|line| line.contains("No space left on device"));
    assert!(told.is_some_and(|line| line.contains("replicated_log/")), "{log}");
    let (status, said) = cluster.run_master(&[], PATIENCE);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("replicated_log/") && said.contains("No space left on device"), "{said}");
    std::fs::remove_file(filler).expect("room is made");
    cluster.restart_master();
    let found = weights(&cluster);
    let lost: Vec<_> = kept.iter().filter(|role| !found.contains(role)).collect();
    assert!(lost.is_empty(), "{lost:?} of {found:?}");
    drop(cluster);
}

#[test]
fn a_damaged_log_is_named_and_not_used() {
    let mut cluster = Cluster::with(&alone());
    assert!(weights(&cluster).is_empty());
    assert!(set_weight(&cluster, "kept"));
    cluster.kill("master");
    let directory = cluster.folder().join("master/replicated_log");
    let names =
        || std::fs::read_dir(&directory).expect("a folder").map(|entry| entry.expect("an entry").path());
    let journal = names().find(|path| path.extension().is_some_and(|e| e == "log")).expect("a .log file");
    let manifest = names().find(|path| path.to_string_lossy().contains("MANIFEST")).expect("a list of files");
    let whole = std::fs::read(&journal).expect("it is read");
    type Harm<'h> = (&'h Path, &'h dyn Fn(&mut Vec<u8>), &'h str);
    let harms: [Harm<'_>; 5] = [
        (&journal, &|bytes| bytes[40] ^= 4, "is damaged at byte"),
        (&journal, &|bytes| bytes.truncate(bytes.len() / 2), "bytes of it were safe on disk"),
        (&journal, &|bytes| bytes.iter_mut().skip(50).for_each(|byte| *byte = 0), "is damaged at byte"),
        (&manifest, &|bytes| bytes[10] ^= 1, "is damaged at byte"),
        (&manifest, &|bytes| bytes.clear(), "it is empty"),
    ];
    for (path, harm, expected) in harms {
        let before = std::fs::read(path).expect("it is read");
        let mut bytes = before.clone();
        harm(&mut bytes);
        std::fs::write(path, bytes).expect("it is damaged");
        let (status, said) = cluster.run_master(&[], PATIENCE);
        assert_eq!(status, Some(1), "{expected}: {said}");
        let name = path.file_name().expect("a name").to_string_lossy();
        assert!(said.contains(&*name) && said.contains(expected), "{expected}: {said}");
        assert!(said.contains("move the directory away"), "what to do: {said}");
        std::fs::write(path, before).expect("it is repaired");
    }
    for path in [&journal, &directory.join("CURRENT")] {
        let aside = cluster.folder().join("aside");
        std::fs::rename(path, &aside).expect("it is moved");
        let (status, said) = cluster.run_master(&[], PATIENCE);
        let name = path.file_name().expect("a name").to_string_lossy();
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains(&*name) && said.contains("is missing"), "{said}");
        std::fs::rename(aside, path).expect("it is moved back");
    }
    if let Some(read_only) = Mount::read_only(&cluster.folder().join("master")) {
        let (status, said) = cluster.run_master(&[], PATIENCE);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains("Read-only file system") && said.contains("replicated_log"), "{said}");
        drop(read_only);
    }
    assert_eq!(std::fs::read(&journal).expect("it is read"), whole, "nothing of this changed the log");
    cluster.restart_master();
    assert_eq!(weights(&cluster), ["kept"]);
}

#[test]
fn an_agent_with_a_full_disk_ends_and_its_tasks_go_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(disk) = Mount::small(&folder.path().join("agent0"), "2m") else { return };
    let mut cluster = Cluster::within(folder, &Options::default());
    let id = agent_id(&cluster);
    let go = cluster.folder().join("go");
    let command = format!("until test -e {}; do sleep 0.1; done", go.display());
    let first = Execution::start(&cluster, "first", &command, &["--checkpoint"]);
    first.until("TASK_RUNNING");
    let filler = disk.fill();
    let second = Execution::start(&cluster, "second", "true", &["--checkpoint"]);
    assert_eq!(cluster.end("agent0", "CONT"), Some(1));
    let log = cluster.log("agent0");
    let told = log.lines().find(|line| line.contains("Failed to write a checkpoint"));
    let told = told.unwrap_or_else(|| panic!("it says why: {log}"));
    assert!(told.contains("/meta/slaves/") && told.contains("No space left on device"), "{told}");
    std::fs::remove_file(filler).expect("room is made");
    cluster.restart_agent(0, &[]);
    assert_eq!(agent_id(&cluster), id);
    std::fs::write(&go, "").expect("a file");
    first.until("TASK_FINISHED");
    // It never came to the agent's disk, so the agent does not know it, and the master says so.
    second.until("TASK_DROPPED");
    drop(cluster);
}

#[test]
fn a_read_only_work_dir_is_told() {
    let mut cluster = Cluster::start();
    cluster.kill("agent0");
    let Some(read_only) = Mount::read_only(&cluster.folder().join("agent0")) else { return };
    let (status, said) = cluster.run_agent(0, &[], PATIENCE);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("--work_dir=") && said.contains("Read-only file system"), "{said}");
    drop(read_only);
}

/// The checkpoint of one task, found by its name.
fn checkpoint(cluster: &Cluster, task: &str, name: &str) -> PathBuf {
    let found = Command::new("find")
        .arg(cluster.folder().join("agent0/meta"))
        .args(["-path", &format!("*/tasks/{task}/{name}")])
        .output()
        .expect("find runs");
    let text = String::from_utf8(found.stdout).expect("a path");
    PathBuf::from(text.trim())
}

#[test]
fn a_damaged_checkpoint_ends_a_strict_agent_and_costs_another_only_its_task() {
    let mut cluster = Cluster::start();
    let id = agent_id(&cluster);
    let go = cluster.folder().join("go");
    let command = format!("until test -e {}; do sleep 0.1; done", go.display());
    let whole = Execution::start(&cluster, "whole", &command, &["--checkpoint"]);
    let hit = Execution::start(&cluster, "hit", "exec sleep 1000", &["--checkpoint"]);
    whole.until("TASK_RUNNING");
    hit.until("TASK_RUNNING");
    cluster.kill("agent0");
    let path = checkpoint(&cluster, "hit", "task.info");
    let mut bytes = std::fs::read(&path).expect("the checkpoint is there");
    bytes[4..].fill(0xff);
    std::fs::write(&path, &bytes).expect("it is damaged");
    let (status, said) = cluster.run_agent(0, &[], PATIENCE);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("tasks/hit/task.info") && said.contains("--no-strict"), "{said}");
    assert_eq!(std::fs::read(&path).expect("it is there"), bytes, "a strict agent changes nothing");
    cluster.restart_agent(0, &["--no-strict".to_string()]);
    assert_eq!(agent_id(&cluster), id);
    let metrics = get(cluster.agents[0], "/metrics/snapshot").expect("an answer").json();
    assert_eq!(metrics["slave/recovery_errors"], 1.0);
    assert!(metrics["slave/recovery_time_secs"].as_f64().is_some_and(|took| took >= 0.0), "{metrics}");
    std::fs::write(&go, "").expect("a file");
    whole.until("TASK_FINISHED");
    // What cannot be read is lost, and its framework is told.
    wait_for("the end of the other", PATIENCE, || {
        let ended = ["TASK_DROPPED", "TASK_LOST", "TASK_GONE", "TASK_FAILED"];
        ended.iter().any(|state| hit.text().contains(state)).then_some(())
    });
}

#[test]
fn a_runtime_dir_that_is_gone_or_garbage_loses_no_task_silently() {
    for garbage in [false, true] {
        let mut cluster = Cluster::start();
        let id = agent_id(&cluster);
        let go = cluster.folder().join("go");
        let command = format!("until test -e {}; do sleep 0.1; done", go.display());
        let task = Execution::start(&cluster, "task", &command, &["--checkpoint"]);
        task.until("TASK_RUNNING");
        cluster.kill("agent0");
        let runtime = cluster.folder().join("agent0-run");
        if garbage {
            for container in std::fs::read_dir(runtime.join("containers")).expect("a folder").flatten() {
                for file in std::fs::read_dir(container.path()).expect("a folder").flatten() {
                    std::fs::write(file.path(), [0xff; 64]).expect("it is damaged");
                }
            }
        } else {
            std::fs::remove_dir_all(&runtime).expect("it is removed");
        }
        cluster.restart_agent(0, &[]);
        assert_eq!(agent_id(&cluster), id);
        std::fs::write(&go, "").expect("a file");
        // Its process is known by the pid among the checkpoints, or it is ended and that is said.
        wait_for("the end of the task", PATIENCE, || {
            let ended = ["TASK_FINISHED", "TASK_FAILED", "TASK_LOST"];
            ended.iter().any(|state| task.text().contains(state)).then_some(())
        });
    }
}

/// The names that 1.11.0 has, each with a value that can be right.
#[test]
fn the_registrar_tells_what_it_does() {
    let cluster = Cluster::with(&alone());
    assert!(weights(&cluster).is_empty());
    for role in ["one", "two", "three"] {
        assert!(set_weight(&cluster, role));
    }
    let metrics = get(cluster.master, "/metrics/snapshot").expect("an answer").json();
    let value = |name: &str| {
        let found = metrics[&format!("registrar/{name}")].as_f64();
        found.unwrap_or_else(|| panic!("registrar/{name} is not there"))
    };
    assert_eq!((value("log/ensemble_size"), value("log/recovered")), (1.0, 1.0));
    assert_eq!(value("queued_operations"), 0.0);
    assert!(value("registry_size_bytes") > 50.0);
    assert!(value("state_fetch_ms") >= 0.0);
    // The master itself, and the weights.
    assert_eq!(value("state_store_ms/count"), 4.0);
    let (least, most) = (value("state_store_ms/min"), value("state_store_ms/max"));
    assert!(0.0 < least && least <= most);
    for name in ["", "/p50", "/p90", "/p95", "/p99", "/p999", "/p9999"] {
        let value = value(&format!("state_store_ms{name}"));
        assert!(least <= value && value <= most, "{name}: {value} of {least} to {most}");
    }
}
