//! The rotating logger of containers, with whole programs and Debian's logrotate.

use std::path::{Path, PathBuf};
use std::process::Command;

use messor_testkit::{Cluster, Options, skip, wait_for};
use serde_json::json;

use crate::recovery::{Execution, PATIENCE};
use crate::tasks::task;

const LOGGER: &str = "org_apache_mesos_LogrotateContainerLogger";

fn with_logger() -> Option<Options> {
    if Command::new("logrotate").arg("--version").output().is_err() {
        skip("rotated logs of tasks: logrotate is not installed");
        return None;
    }
    let module = json!({"name": LOGGER, "parameters": [
        {"key": "max_stdout_size", "value": "1MB"},
        {"key": "logrotate_stdout_options", "value": "rotate 50"},
    ]});
    let modules =
        json!({"libraries": [{"file": "/usr/lib/liblogrotate_container_logger.so", "modules": [module]}]});
    let flags = vec![format!("--container_logger={LOGGER}"), format!("--modules={modules}")];
    Some(Options { agent_flags: flags, ..Options::default() })
}

/// The sandbox of the only executor.
fn sandbox(cluster: &Cluster) -> PathBuf {
    let found = Command::new("find")
        .arg(cluster.folder().join("agent0/slaves"))
        .args(["-path", "*/runs/latest"])
        .output()
        .expect("find runs");
    let text = String::from_utf8(found.stdout).expect("a path");
    let link = text.lines().next().expect("a sandbox");
    std::fs::canonicalize(link).expect("the link leads somewhere")
}

/// The log and those before it, the oldest first.
fn logs(sandbox: &Path, name: &str) -> Vec<String> {
    let mut parts = vec![std::fs::read_to_string(sandbox.join(name)).unwrap_or_default()];
    for number in 1.. {
        let Ok(part) = std::fs::read_to_string(sandbox.join(format!("{name}.{number}"))) else { break };
        parts.insert(0, part);
    }
    parts
}

fn loggers() -> usize {
    let found = Command::new("pgrep").args(["-fc", "^mesos-logrotate-logger .*messor-loggers-test"]).output();
    let text = String::from_utf8(found.expect("pgrep runs").stdout).expect("a number");
    text.trim().parse().expect("a number")
}

#[test]
fn logs_are_rotated_also_while_there_is_no_agent() {
    let Some(options) = with_logger() else { return };
    let folder = tempfile::Builder::new().prefix("messor-loggers-test").tempdir().expect("a folder");
    let mut cluster = Cluster::within(folder, &options);
    let go = cluster.folder().join("go");
    // Lines of 100 bytes: 3 MB, then 2 MB more without an agent.
    let count = |from: u32, to: u32| format!("seq -f '%099.0f' {from} {to}");
    let command = format!(
        "{}; echo ready >&2; until test -e {}; do sleep 0.1; done; {}; echo done >&2; exec sleep 1000",
        count(1, 30_000),
        go.display(),
        count(30_001, 50_000)
    );
    let running = Execution::start(&cluster, "writer", &command, &["--checkpoint"]);
    running.until("TASK_RUNNING");
    let sandbox = sandbox(&cluster);
    let told = |word: &str| {
        wait_for(word, PATIENCE, || logs(&sandbox, "stderr").concat().contains(word).then_some(()));
    };
    told("ready");
    assert_eq!(loggers(), 2);
    cluster.kill("agent0");
    std::fs::write(&go, "").expect("a file");
    told("done");
    cluster.restart_agent(0, &options.agent_flags);
    let lines = |count: usize| {
        wait_for("all lines", PATIENCE, || {
            let parts = logs(&sandbox, "stdout");
            let all: Vec<u32> = parts.concat().lines().filter_map(|line| line.parse().ok()).collect();
            (all.len() == count).then_some((parts, all))
        })
    };
    let (parts, numbers) = lines(50_000);
    assert!(numbers.iter().copied().eq(1..=50_000), "a line is lost or out of place");
    assert!(parts.len() >= 5 && parts.iter().all(|part| part.len() <= 1 << 20), "{}", parts.len());
    // Its framework does not come back, so its tasks end.
    drop(running);
    wait_for("the loggers to end", PATIENCE, || (loggers() == 0).then_some(()));
}

#[test]
fn a_container_overrides_by_its_environment_and_is_refused_what_is_not_its_own() {
    let Some(options) = with_logger() else { return };
    overrides(&options);
    let freezer = Path::new("/sys/fs/cgroup/freezer");
    if !freezer.is_dir() || !rustix::process::geteuid().is_root() {
        return skip(
            "rotated logs with the linux launcher: no control groups of version 1, or this is not root",
        );
    }
    let root = format!("messor-loggers-{}", std::process::id());
    let mut linux = options.clone();
    linux.agent_flags.extend(["--launcher=linux".to_string(), format!("--cgroups_root={root}")]);
    overrides(&linux);
    let _ = std::fs::remove_dir(freezer.join(root));
}

fn overrides(options: &Options) {
    let cluster = Cluster::with(options);
    let run = |name: &str, variable: (&str, &str)| {
        let command = json!({
            "value": "seq -f '%099.0f' 1 1000",
            "environment": {"variables": [{"name": variable.0, "value": variable.1}]},
        });
        let path = cluster.folder().join(format!("{name}.json"));
        std::fs::write(&path, task(name, command).to_string()).expect("a file");
        Execution::of_task(&cluster, name, &path)
    };
    let small = run("small", ("CONTAINER_LOGGER_MAX_STDOUT_SIZE", "8KB"));
    small.until("TASK_FINISHED");
    let sandbox = sandbox(&cluster);
    wait_for("all of it", PATIENCE, || (logs(&sandbox, "stdout").concat().len() >= 100_000).then_some(()));
    let parts = logs(&sandbox, "stdout");
    assert!(parts.len() > 10 && parts.iter().all(|part| part.len() <= 8192), "{}", parts.len());
    let script = "rotate 1\npostrotate\ntouch /tmp/evil\nendscript";
    let evil = run("evil", ("CONTAINER_LOGGER_LOGROTATE_STDOUT_OPTIONS", script));
    evil.until("TASK_FAILED");
    assert!(evil.text().contains("CONTAINER_LOGGER_LOGROTATE_STDOUT_OPTIONS"), "{}", evil.text());
}
