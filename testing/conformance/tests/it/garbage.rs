//! Sandboxes that are removed: those within others and of operators' containers, and all of them where the disk is to stay free.
//!
//! Row: U024 (sandboxes of nested and standalone containers).

use std::path::{Path, PathBuf};

use messor_testkit::files::{entries, tree};
use messor_testkit::{Cluster, Framework, Options, scalar, wait_for};
use serde_json::{Value, json};

use crate::attach::{PATIENCE, call};

const CAPABILITIES: [&str; 3] = ["PARTITION_AWARE", "MULTI_ROLE", "RESERVATION_REFINEMENT"];

fn cluster(flags: &[&str]) -> Cluster {
    let agent_flags = flags.iter().map(ToString::to_string).collect();
    Cluster::with(&Options { agent_flags, ..Options::default() })
}

fn task(offer: &Value, id: &str, command: &str) -> Value {
    json!({"name": id, "task_id": {"value": id}, "agent_id": offer["agent_id"], "command": {"value": command},
           "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)]})
}

/// All directories of this name below another, without what links lead to.
fn below(path: &Path, name: &str) -> Vec<PathBuf> {
    let is_one = |path: &PathBuf| {
        path.file_name().is_some_and(|found| found == name)
            && path.symlink_metadata().is_ok_and(|found| found.is_dir())
    };
    tree(path).into_iter().filter(is_one).collect()
}

/// A pod of which one task ends, and a container of an operator's that ends. Answers with their two sandboxes, and the pod's.
fn ended(cluster: &Cluster, framework: &Framework) -> (Vec<PathBuf>, PathBuf) {
    let agent = cluster.agents[0];
    let work_dir = cluster.folder().join("agent0");
    let offer = framework.offer(|resource| resource["name"] == "cpus");
    let executor = json!({"type": "DEFAULT", "executor_id": {"value": "pod"}, "framework_id": framework.id,
        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0), scalar("disk", 8.0)]});
    let tasks =
        [task(&offer, "short", "touch by-short"), task(&offer, "long", "touch by-long; exec sleep 1000")];
    let group = json!({"executor": executor, "task_group": {"tasks": tasks}});
    framework.accept(&offer, vec![json!({"type": "LAUNCH_GROUP", "launch_group": group})]);
    framework.until("long", "TASK_RUNNING");
    let id = json!({"value": "alone"});
    let launch = json!({"container_id": id, "command": {"value": "touch by-alone; exec sleep 1000"},
                        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)]});
    let launched = call(agent, &json!({"type": "LAUNCH_CONTAINER", "launch_container": launch}));
    assert_eq!(launched.status, 200, "{}", launched.text());
    let alone = work_dir.join("containers/alone");
    wait_for("the container's sandbox", PATIENCE, || alone.join("by-alone").exists().then_some(()));
    // They are there as long as they run.
    let of_pod = wait_for("the sandboxes of tasks", PATIENCE, || {
        let pods = below(&work_dir.join("slaves"), "containers");
        let all: Vec<PathBuf> = pods.iter().flat_map(|pod| entries(pod)).collect();
        let of = |name: &str| all.iter().find(|path| path.join(name).exists()).cloned();
        Some((of("by-short")?, of("by-long")?))
    });
    let killed = call(agent, &json!({"type": "KILL_CONTAINER", "kill_container": {"container_id": id}}));
    assert_eq!(killed.status, 200, "{}", killed.text());
    framework.end_of("short");
    (vec![of_pod.0, alone], of_pod.1)
}

#[test]
fn sandboxes_within_others_and_of_operators_are_removed_where_it_is_asked_for() {
    let flags = ["--gc_non_executor_container_sandboxes", "--gc_delay=2secs", "--disk_watch_interval=200ms"];
    let cluster = cluster(&flags);
    let framework = Framework::subscribe(cluster.master, "root", &CAPABILITIES);
    let (gone, stays) = ended(&cluster, &framework);
    for path in gone {
        wait_for("an ended sandbox to be removed (U024)", PATIENCE, || (!path.exists()).then_some(()));
    }
    assert!(stays.join("by-long").exists(), "it runs");
}

/// Without the flag they stay until the executor's is removed; and where more is to be free than there is, nothing waits for its
/// time.
#[test]
fn what_ended_goes_at_once_where_the_disk_is_to_stay_free() {
    let flags = ["--gc_delay=1weeks", "--gc_disk_headroom=1", "--disk_watch_interval=200ms"];
    let cluster = cluster(&flags);
    let framework = Framework::subscribe(cluster.master, "root", &CAPABILITIES);
    let (nested, _) = ended(&cluster, &framework);
    let offer = framework.offer(|resource| resource["name"] == "cpus");
    let launch = json!({"task_infos": [task(&offer, "alone", "touch by-task")]});
    framework.accept(&offer, vec![json!({"type": "LAUNCH", "launch": launch})]);
    framework.end_of("alone");
    let executors = below(&cluster.folder().join("agent0/slaves"), "executors");
    let executor = executors[0].join("alone");
    wait_for("the sandbox of a task that ended", PATIENCE, || (!executor.exists()).then_some(()));
    let age = messor_testkit::get(cluster.agents[0], "/metrics/snapshot").expect("metrics").json();
    assert_eq!(age["slave/executor_directory_max_allowed_age_secs"], 0.0);
    for path in nested {
        assert!(path.exists(), "U024: not asked for: {}", path.display());
    }
}
