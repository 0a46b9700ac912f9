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
/// A build without optimisation has three times the code, of which more is read in, and twice the tables that the
/// loader has to write addresses into.
const DEV: Limits = Limits { anonymous: 2560, resident: 16 * 1024 };

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
