//! An agent that is killed at each step of the launch and of the destruction of a container, with real processes: the
//! next agent leaves nothing of it behind, and the task's end is told.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use messor_containerizer::{FAULT_VARIABLE, fault_points};
use messor_testkit::{Cluster, Options, get, skip, wait_for};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);
/// The points are shared out among so many tests, so that none takes too long.
const SHARES: usize = 6;

/// A way to run containers: the agent's flags, the isolators as they are named at the points, and where control groups
/// would be left.
struct Way {
    flags: Vec<String>,
    points: Vec<String>,
    groups: Vec<PathBuf>,
    /// What of a task's `container` has to be mounted, where something can be.
    volumes: bool,
    /// Tasks run below a default executor.
    pods: bool,
}

fn posix() -> Way {
    let isolators = &["filesystem/posix", "posix/cpu", "posix/mem", "io/switchboard"];
    Way {
        flags: Vec::new(),
        points: fault_points(isolators),
        groups: Vec::new(),
        volumes: false,
        pods: false,
    }
}

/// None where the host has no control groups of version 1, or this is not root.
fn on_linux(name: &str, isolation: &str) -> Option<(Vec<String>, Vec<PathBuf>)> {
    let base = Path::new("/sys/fs/cgroup");
    let controllers = ["freezer", "cpu", "cpuacct", "memory"];
    if !controllers.iter().all(|name| base.join(name).is_dir()) || !rustix::process::geteuid().is_root() {
        return None;
    }
    let root = format!("messor-faults-{}-{name}", std::process::id());
    let flags = vec![
        "--launcher=linux".to_string(),
        format!("--isolation={isolation}"),
        format!("--cgroups_root={root}"),
    ];
    Some((flags, controllers.iter().map(|name| base.join(name).join(&root)).collect()))
}

fn linux(share: usize) -> Option<Way> {
    let (flags, groups) = on_linux(&share.to_string(), "cgroups/cpu,cgroups/mem")?;
    let points = fault_points(&["filesystem/posix", "cgroups", "io/switchboard"]);
    Some(Way { flags, points, groups, volumes: false, pods: false })
}

/// What mounts something, or is in the container's own namespaces.
const MOUNTING: [&str; 6] = [
    "filesystem/linux",
    "namespaces/ipc",
    "namespaces/pid",
    "volume/sandbox_path",
    "volume/host_path",
    "volume/secret",
];

/// Alone, or in pods: then at the steps of the containers in them.
fn mounting(pods: bool) -> Option<Way> {
    let isolation = format!("cgroups/cpu,cgroups/mem,{}", MOUNTING.join(","));
    let (flags, groups) = on_linux(if pods { "pods" } else { "mounts" }, &isolation)?;
    let of_them = |point: &String| MOUNTING.iter().any(|isolator| point.ends_with(isolator));
    let mut points: Vec<String> = fault_points(&MOUNTING).into_iter().filter(of_them).collect();
    if pods {
        let others = ["before fork", "before go on", "before kill", "after kill", "before finish"];
        points.extend(others.map(str::to_string));
        points.iter_mut().for_each(|point| point.insert_str(0, "nested "));
    }
    Some(Way { flags, points, groups, volumes: true, pods })
}

/// What is left of containers: their processes, what is kept of them, their control groups.
fn left(cluster: &Cluster, way: &Way) -> Vec<String> {
    let mut left = Vec::new();
    let entries = |path: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    for directory in ["agent0-run/containers", "agent0-run/io_switchboards"] {
        left.extend(entries(&cluster.folder().join(directory)).iter().map(|path| path.display().to_string()));
    }
    for group in &way.groups {
        left.extend(
            entries(group).iter().filter(|path| path.is_dir()).map(|path| path.display().to_string()),
        );
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
    // Below the work directory, which is the root of a mount where containers have their own.
    let sandboxes = cluster.folder().join("agent0/slaves").display().to_string();
    left.extend(mounts.lines().filter(|line| line.contains(&sandboxes)).map(str::to_string));
    left.extend(
        entries(&cluster.folder().join("agent0-run/.secret")).iter().map(|path| path.display().to_string()),
    );
    let mark = format!("MESOS_SANDBOX={}", cluster.folder().display());
    let of_switchboard = format!("--socket_address={}", cluster.folder().display());
    for process in entries(Path::new("/proc")) {
        let has = |file: &str, mark: &str| {
            let text = std::fs::read(process.join(file)).unwrap_or_default();
            text.split(|byte| *byte == 0).any(|one| one.starts_with(mark.as_bytes()))
        };
        if has("environ", &mark) || has("cmdline", &of_switchboard) {
            left.push(process.display().to_string());
        }
    }
    left
}

/// Whether the end of every run of an executor is noted durably.
fn all_ended(cluster: &Cluster) -> bool {
    let below = |paths: Vec<PathBuf>, name: &str| -> Vec<PathBuf> {
        let found =
            paths.iter().flat_map(|path| std::fs::read_dir(path.join(name)).into_iter().flatten().flatten());
        found
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect()
    };
    let agents = below(vec![cluster.folder().join("agent0/meta")], "slaves");
    let runs = below(below(below(agents, "frameworks"), "executors"), "runs");
    runs.iter().all(|run| run.join("executor.sentinel").exists())
}

fn kill_at(share: usize, way: Option<Way>) {
    let Some(way) = way else { return skip("no control groups of version 1 here, or not root") };
    let options = Options { agent_flags: way.flags.clone(), ..Options::default() };
    let mut cluster = Cluster::with(&options);
    let file = cluster.folder().join("fetched");
    std::fs::write(&file, "words").expect("a file");
    let mine: Vec<&String> = way.points.iter().skip(share).step_by(SHARES).collect();
    assert!(!mine.is_empty());
    for (number, point) in mine.into_iter().enumerate() {
        cluster.kill("agent0");
        cluster.restart_agent_in(0, &way.flags, &[(FAULT_VARIABLE, point)]);
        registered(&cluster);
        let task = task(number, point, &way, &file);
        let mut arguments = vec![format!("--master={}", cluster.master), "--checkpoint".to_string()];
        if way.pods {
            let group = cluster.folder().join("group.json");
            std::fs::write(&group, json!({"tasks": [task]}).to_string()).expect("a file");
            arguments.push(format!("--task_group={}", group.display()));
        } else {
            arguments.push(format!("--task={task}"));
        }
        let mut execution = Command::new(cluster.bin().join("mesos-execute"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mesos-execute runs");
        wait_for(&format!("the agent to be killed {point}"), PATIENCE, || {
            cluster.has_ended("agent0").then_some(())
        });
        cluster.restart_agent_in(0, &way.flags, &[]);
        registered(&cluster);
        wait_for(&format!("the end of the task of an agent that was killed {point}"), PATIENCE, || {
            execution.try_wait().ok().flatten()
        });
        wait_for(&format!("nothing to be left of an agent that was killed {point}"), PATIENCE, || {
            left(&cluster, &way).is_empty().then_some(())
        });
        // What the next agent would have to clean up once more would kill it at its start.
        wait_for("the end of every run to be noted", PATIENCE, || all_ended(&cluster).then_some(()));
    }
    drop(cluster);
    for group in &way.groups {
        let _ = std::fs::remove_dir(group);
    }
}

/// With an artifact, and with all of what its container may have that leaves something behind.
fn task(number: usize, point: &str, way: &Way, file: &Path) -> Value {
    let mut container = json!({"type": "MESOS"});
    // Every other one has a terminal, and those at whose steps it matters.
    if !way.pods && (number.is_multiple_of(2) || point.contains("switchboard")) {
        container["tty_info"] = json!({});
    }
    if way.volumes {
        let volume =
            |path: &str, source: Value| json!({"container_path": path, "mode": "RW", "source": source});
        let part = if way.pods {
            volume(
                "part",
                json!({"type": "SANDBOX_PATH", "sandbox_path": {"type": "PARENT", "path": "shared"}}),
            )
        } else {
            volume("/mnt", json!({"type": "SANDBOX_PATH", "sandbox_path": {"type": "SELF", "path": "own"}}))
        };
        let host = volume("data/host", json!({"type": "HOST_PATH", "host_path": {"path": "/etc"}}));
        let secret = json!({"type": "SECRET", "secret": {"type": "VALUE", "value": {"data": "b2Y="}}});
        container["volumes"] = json!([host, part, volume("secret", secret)]);
        container["linux_info"] = json!({"ipc_mode": "PRIVATE", "shm_size": 4});
    }
    let name = format!("t{number}");
    let scalar =
        |name: &str, amount: f64| json!({"name": name, "type": "SCALAR", "scalar": {"value": amount}});
    let uris = json!([{"value": file}]);
    json!({"name": name, "task_id": {"value": name}, "agent_id": {"value": ""}, "container": container,
           "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)],
           "command": {"value": "cat fetched", "uris": uris}})
}

fn registered(cluster: &Cluster) {
    wait_for("the agent to be registered", PATIENCE, || {
        let state = get(cluster.agents[0], "/metrics/snapshot").ok()?.json();
        (state["slave/registered"].as_f64() == Some(1.0)).then_some(())
    });
}

macro_rules! shares {
    ($($number:literal $posix:ident $linux:ident $mounting:ident $pods:ident,)*) => {$(
        #[test]
        fn $posix() {
            kill_at($number, Some(posix()));
        }

        #[test]
        fn $linux() {
            kill_at($number, linux($number));
        }

        #[test]
        fn $mounting() {
            kill_at($number, mounting(false));
        }

        #[test]
        fn $pods() {
            kill_at($number, mounting(true));
        }
    )*};
}

shares! {
    0 nothing_leaks_of_a_killed_agent_0 nothing_leaks_with_the_linux_launcher_0
        nothing_mounted_leaks_0 nothing_leaks_of_pods_0,
    1 nothing_leaks_of_a_killed_agent_1 nothing_leaks_with_the_linux_launcher_1
        nothing_mounted_leaks_1 nothing_leaks_of_pods_1,
    2 nothing_leaks_of_a_killed_agent_2 nothing_leaks_with_the_linux_launcher_2
        nothing_mounted_leaks_2 nothing_leaks_of_pods_2,
    3 nothing_leaks_of_a_killed_agent_3 nothing_leaks_with_the_linux_launcher_3
        nothing_mounted_leaks_3 nothing_leaks_of_pods_3,
    4 nothing_leaks_of_a_killed_agent_4 nothing_leaks_with_the_linux_launcher_4
        nothing_mounted_leaks_4 nothing_leaks_of_pods_4,
    5 nothing_leaks_of_a_killed_agent_5 nothing_leaks_with_the_linux_launcher_5
        nothing_mounted_leaks_5 nothing_leaks_of_pods_5,
}
