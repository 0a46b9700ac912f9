//! An agent that is killed at each step of the launch and of the destruction of a container, with real processes: the
//! next agent leaves nothing of it behind, and the task's end is told.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use messor_containerizer::{FAULT_VARIABLE, fault_points};
use messor_testkit::{Cluster, Options, get, skip, wait_for};

const PATIENCE: Duration = Duration::from_secs(60);
/// The points are shared out among so many tests, so that none takes too long.
const SHARES: usize = 6;

/// A way to run containers: the agent's flags, the isolators as they are named at the points, and where control groups
/// would be left.
struct Way {
    flags: Vec<String>,
    isolators: &'static [&'static str],
    groups: Vec<PathBuf>,
}

fn posix() -> Way {
    let isolators = &["filesystem/posix", "posix/cpu", "posix/mem", "io/switchboard"];
    Way { flags: Vec::new(), isolators, groups: Vec::new() }
}

/// None where the host has no control groups of version 1, or this is not root.
fn linux(share: usize) -> Option<Way> {
    let base = Path::new("/sys/fs/cgroup");
    let controllers = ["freezer", "cpu", "cpuacct", "memory"];
    if !controllers.iter().all(|name| base.join(name).is_dir()) || !rustix::process::geteuid().is_root() {
        return None;
    }
    let root = format!("messor-faults-{}-{share}", std::process::id());
    Some(Way {
        flags: vec![
            "--launcher=linux".to_string(),
            "--isolation=cgroups/cpu,cgroups/mem".to_string(),
            format!("--cgroups_root={root}"),
        ],
        isolators: &["filesystem/posix", "cgroups", "io/switchboard"],
        groups: controllers.iter().map(|name| base.join(name).join(&root)).collect(),
    })
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
    let points = fault_points(way.isolators);
    let mine: Vec<&String> = points.iter().skip(share).step_by(SHARES).collect();
    assert!(!mine.is_empty());
    for (number, point) in mine.into_iter().enumerate() {
        cluster.kill("agent0");
        cluster.restart_agent_in(0, &way.flags, &[(FAULT_VARIABLE, point)]);
        registered(&cluster);
        // Every other one has a terminal, and those at whose steps it matters.
        let terminal = number % 2 == 0 || point.contains("switchboard");
        let container = if terminal { r#""container": {"type": "MESOS", "tty_info": {}},"# } else { "" };
        let task = format!(
            r#"{{"name": "t{number}", "task_id": {{"value": "t{number}"}}, "agent_id": {{"value": ""}},
                "resources": [{{"name": "cpus", "type": "SCALAR", "scalar": {{"value": 0.1}}}},
                    {{"name": "mem", "type": "SCALAR", "scalar": {{"value": 32}}}}],
                {container}
                "command": {{"value": "cat fetched", "uris": [{{"value": "{}"}}]}}}}"#,
            file.display()
        );
        let mut execution = Command::new(cluster.bin().join("mesos-execute"))
            .args([format!("--master={}", cluster.master), format!("--task={task}"), "--checkpoint".into()])
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

fn registered(cluster: &Cluster) {
    wait_for("the agent to be registered", PATIENCE, || {
        let state = get(cluster.agents[0], "/metrics/snapshot").ok()?.json();
        (state["slave/registered"].as_f64() == Some(1.0)).then_some(())
    });
}

macro_rules! shares {
    ($($number:literal $posix:ident $linux:ident,)*) => {$(
        #[test]
        fn $posix() {
            kill_at($number, Some(posix()));
        }

        #[test]
        fn $linux() {
            kill_at($number, linux($number));
        }
    )*};
}

shares! {
    0 nothing_leaks_of_a_killed_agent_0 nothing_leaks_with_the_linux_launcher_0,
    1 nothing_leaks_of_a_killed_agent_1 nothing_leaks_with_the_linux_launcher_1,
    2 nothing_leaks_of_a_killed_agent_2 nothing_leaks_with_the_linux_launcher_2,
    3 nothing_leaks_of_a_killed_agent_3 nothing_leaks_with_the_linux_launcher_3,
    4 nothing_leaks_of_a_killed_agent_4 nothing_leaks_with_the_linux_launcher_4,
    5 nothing_leaks_of_a_killed_agent_5 nothing_leaks_with_the_linux_launcher_5,
}
