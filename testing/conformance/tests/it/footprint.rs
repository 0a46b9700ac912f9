//! What a running task costs beside itself: one mesos-executor, right below the agent, and little memory.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use messor_testkit::{Cluster, binary, get, wait_for};

/// Kilobytes of an executor that waits for its task. A host runs hundreds of them: what is anonymous each of them has
/// for itself, the rest of what is resident they share with each other and with the agent.
struct Limits {
    anonymous: u64,
    resident: u64,
}

/// The promise.
const RELEASE: Limits = Limits { anonymous: 1536, resident: 10 * 1024 };
/// A build without optimisation has three times the code, of which the kernel maps as much as it has at hand, and twice
/// the tables that the loader has to write addresses into.
const DEV: Limits = Limits { anonymous: 3 * 1024, resident: 20 * 1024 };

/// The number behind `name:` in a file of /proc.
fn kilobytes(rollup: &str, name: &str) -> u64 {
    let line = rollup.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_else(|| panic!("no {name} in {rollup}"))
}

/// The name and the id of every process right below this one.
fn children(parent: u32) -> Vec<(String, u32)> {
    let folders = std::fs::read_dir("/proc").expect("there is /proc").flatten();
    let ids = folders.filter_map(|folder| folder.file_name().to_str()?.parse::<u32>().ok());
    ids.filter_map(|id| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // id (name) state parent …, where a name may have blanks and brackets.
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        (rest.split_whitespace().nth(1)? == parent.to_string()).then(|| (name.to_string(), id))
    })
    .collect()
}

#[test]
fn an_idle_command_executor_is_small_and_alone() {
    let cluster = Cluster::start();
    let mut framework = Command::new(cluster.bin().join("mesos-execute"))
        .args([&format!("--master={}", cluster.master), "--name=idle", "--command=exec sleep 1000"])
        .args(["--resources=cpus:0.1;mem:32"])
        .stdout(Stdio::null())
        .spawn()
        .expect("mesos-execute runs");
    wait_for("the task to run", Duration::from_secs(20), || {
        let tasks = get(cluster.master, "/tasks").ok()?.json();
        (tasks["tasks"][0]["state"] == "TASK_RUNNING").then_some(())
    });
    let of_agent = children(cluster.pid("agent0"));
    let below = |id: u32| children(id).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let [(name, executor)] = of_agent.as_slice() else { panic!("one process a task, not {of_agent:?}") };
    assert_eq!((name.as_str(), below(*executor)), ("mesos-executor", vec!["sleep".to_string()]));

    let rollup =
        std::fs::read_to_string(format!("/proc/{executor}/smaps_rollup")).expect("the executor runs");
    let (anonymous, resident) = (kilobytes(&rollup, "Anonymous"), kilobytes(&rollup, "Rss"));
    let is_release = binary().parent().is_some_and(|folder| folder.ends_with(Path::new("release")));
    let limits = if is_release { RELEASE } else { DEV };
    eprintln!("an idle mesos-executor has {anonymous} kB of its own, {resident} kB resident");
    assert!(anonymous <= limits.anonymous, "{anonymous} kB anonymous, the limit is {}", limits.anonymous);
    assert!(resident <= limits.resident, "{resident} kB resident, the limit is {}", limits.resident);

    let _ = framework.kill();
    let _ = framework.wait();
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().expect("it is there").is_dir() {
            copy_tree(&from, &to);
        } else {
            std::fs::copy(&from, &to).expect("room on the disk");
        }
    }
}

fn only_below(folder: &Path) -> std::path::PathBuf {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    let mut folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.next().unwrap_or_else(|| panic!("nothing in {}", folder.display())).path()
}

/// The most memory that the agent has had since it started.
fn peak_kilobytes(cluster: &Cluster) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", cluster.pid("agent0")));
    kilobytes(&status.expect("the agent runs"), "VmHWM")
}

/// MESOS-6285: an agent of 1.11.0 that recovers reads all that its past runs left, and may have no memory for it. Here
/// five hundred ended runs of 100 KB each must not show.
#[test]
fn a_long_past_takes_no_memory_at_recovery() {
    const RUNS: usize = 500;
    let mut cluster = Cluster::start();
    let environment = serde_json::json!({ "LONG": "x".repeat(100_000) }).to_string();
    let done = Command::new(cluster.bin().join("mesos-execute"))
        .args([&format!("--master={}", cluster.master), "--name=past", "--command=true", "--checkpoint"])
        .args(["--resources=cpus:0.1;mem:32", &format!("--env={environment}")])
        .stdout(Stdio::null())
        .status();
    assert!(done.expect("mesos-execute runs").success());
    let agent = only_below(&cluster.folder().join("agent0/meta/slaves"));
    let framework = only_below(&agent.join("frameworks"));
    let runs = only_below(&framework.join("executors")).join("runs");
    let run = only_below(&runs);
    wait_for("the end of the run to be on disk", Duration::from_secs(20), || {
        run.join("executor.sentinel").exists().then_some(())
    });
    let ready = |cluster: &Cluster| {
        wait_for("the agent to be recovered", Duration::from_secs(60), || {
            let answer = get(cluster.agents[0], "/state").ok()?;
            (answer.status == 200 && !answer.json()["id"].as_str()?.is_empty()).then_some(())
        });
    };
    cluster.kill("agent0");
    cluster.restart_agent(0, &[]);
    ready(&cluster);
    let before = peak_kilobytes(&cluster);
    cluster.kill("agent0");
    for number in 0..RUNS {
        copy_tree(&run, &runs.join(format!("ended-{number}")));
    }
    cluster.restart_agent(0, &[]);
    ready(&cluster);
    let after = peak_kilobytes(&cluster);
    eprintln!("the agent's peak is {before} kB, {after} kB with {RUNS} ended runs");
    assert!(after < before + 8 * 1024, "{after} kB with {RUNS} ended runs, {before} kB without");
}
