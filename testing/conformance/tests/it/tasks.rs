//! Tasks through mesos-execute, on a real master and agent: what a user sees of their lives, sandboxes and artifacts.
//!
//! Rows: U032 (TASK_STARTING), U062 (environment), U071 (output_file), U110 (source in statistics), U103 (shell and
//! arguments).

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use messor_testkit::{Cluster, Options, get, wait_for};

fn execute(cluster: &Cluster, arguments: &[&str]) -> Output {
    Command::new(cluster.bin().join("mesos-execute"))
        .arg(format!("--master={}", cluster.master))
        .args(arguments)
        .output()
        .expect("mesos-execute runs")
}

pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a TaskInfo; the cluster fills in the agent.
pub fn run_task(cluster: &Cluster, task: &serde_json::Value) -> Output {
    let path = cluster.folder().join("task.json");
    std::fs::write(&path, task.to_string()).expect("a file is written");
    execute(cluster, &[&format!("--task={}", path.display()), "--show_output"])
}

pub fn task(name: &str, command: serde_json::Value) -> serde_json::Value {
    serde_json::json!({
        "name": name,
        "task_id": {"value": name},
        "agent_id": {"value": ""},
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
        ],
        "command": command,
    })
}

#[test]
fn a_command_succeeds_or_fails_and_its_output_is_shown() {
    let cluster = Cluster::start();
    let good = execute(&cluster, &["--name=good", "--command=echo out; echo err >&2", "--show_output"]);
    assert!(
        good.status.success() && text(&good).contains("out") && text(&good).contains("TASK_FINISHED"),
        "{}",
        text(&good)
    );
    assert!(text(&good).contains("TASK_STARTING"), "{}", text(&good));
    let bad = execute(&cluster, &["--name=bad", "--command=exit 3"]);
    assert!(!bad.status.success() && text(&bad).contains("exited with status 3"), "{}", text(&bad));
}

#[test]
fn arguments_pass_without_a_shell() {
    let cluster = Cluster::start();
    let command =
        serde_json::json!({"shell": false, "value": "/bin/echo", "arguments": ["echo", "$HOME", "a  b"]});
    let output = run_task(&cluster, &task("plain", command));
    assert!(output.status.success() && text(&output).contains("$HOME a  b"), "{}", text(&output));
}

#[test]
fn the_environment_is_the_tasks_own() {
    let cluster = Cluster::with(&Options {
        agent_flags: vec![
            r#"--executor_environment_variables={"FROM_AGENT":"yes","PATH":"/usr/bin:/bin"}"#.into(),
        ],
        ..Options::default()
    });
    let command = serde_json::json!({
        "value": "env; test \"$FROM_AGENT$FROM_TASK\" = yesalso && test -z \"$CARGO\" && test \"$PWD\" = \"$MESOS_SANDBOX\"",
        "environment": {"variables": [{"name": "FROM_TASK", "value": "also"}]},
    });
    let output = run_task(&cluster, &task("environment", command));
    assert!(output.status.success(), "{}", text(&output));
    for name in ["MESOS_FRAMEWORK_ID=", "MESOS_EXECUTOR_ID=", "MESOS_SANDBOX=", "MESOS_DIRECTORY="] {
        assert!(text(&output).contains(name), "{name} is missing: {}", text(&output));
    }
}

#[test]
fn artifacts_are_fetched_extracted_and_named() {
    let cluster = Cluster::start();
    let folder = cluster.folder().join("artifacts");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("inside.txt"), "inside\n").expect("a file");
    let archive = folder.join("a.tgz");
    let packed =
        Command::new("tar").arg("czf").arg(&archive).arg("-C").arg(&folder).arg("inside.txt").status();
    assert!(packed.expect("tar runs").success());
    let script = folder.join("run.sh");
    std::fs::write(&script, "#!/bin/sh\necho from the script\n").expect("a file");
    let command = serde_json::json!({
        "value": "cat inside.txt && ./bin/renamed && test -x bin/renamed && test -f a.tgz",
        "uris": [
            {"value": format!("file://{}", archive.display())},
            {"value": script.display().to_string(), "executable": true, "output_file": "bin/renamed"},
        ],
    });
    let output = run_task(&cluster, &task("artifacts", command));
    assert!(output.status.success() && text(&output).contains("from the script"), "{}", text(&output));
    // What cannot be fetched fails the task and says why.
    let missing = serde_json::json!({"value": "true", "uris": [{"value": "/nowhere/at/all"}]});
    let output = run_task(&cluster, &task("missing", missing));
    assert!(!output.status.success() && text(&output).contains("/nowhere/at/all"), "{}", text(&output));
}

#[test]
fn a_stubborn_tree_of_processes_is_killed() {
    let cluster = Cluster::start();
    let mark = format!("stubborn-{}", std::process::id());
    let command = format!(
        "trap '' TERM; (trap '' TERM; exec -a {mark} sleep 1000) & (trap '' TERM; exec -a {mark} sleep 1000)"
    );
    let started = std::time::Instant::now();
    let output = execute(
        &cluster,
        &["--name=stubborn", &format!("--command=bash -c {}", quoted(&command)), "--kill_after=1secs"],
    );
    assert!(text(&output).contains("TASK_KILLED"), "{}", text(&output));
    assert!(started.elapsed() < Duration::from_secs(20), "the grace period is 3 seconds");
    wait_for("the processes to be gone", Duration::from_secs(5), || {
        let found =
            Command::new("pgrep").arg("-f").arg(&mark).stdout(Stdio::null()).status().expect("pgrep runs");
        (!found.success()).then_some(())
    });
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[test]
fn running_executors_show_in_statistics_and_state() {
    let cluster = Cluster::start();
    let mut running = Command::new(cluster.bin().join("mesos-execute"))
        .arg(format!("--master={}", cluster.master))
        .args(["--name=long", "--command=sleep 1000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("mesos-execute runs");
    let statistics = wait_for("the executor's statistics", Duration::from_secs(20), || {
        let all = get(cluster.agents[0], "/monitor/statistics").ok()?.json();
        let found = all.as_array()?.first()?.clone();
        (found["statistics"]["mem_rss_bytes"].as_u64()? > 0).then_some(found)
    });
    assert_eq!(statistics["executor_id"], "long");
    assert!(
        statistics["statistics"]["cpus_soft_limit"].as_f64().is_some_and(|cpus| cpus > 0.0),
        "{statistics}"
    );
    let containers = get(cluster.agents[0], "/containers").expect("the agent answers").json();
    assert!(containers[0]["status"]["executor_pid"].as_u64().is_some(), "{containers}");
    // The task is queued until its executor subscribes.
    wait_for("the task to be launched", Duration::from_secs(20), || {
        let state = get(cluster.agents[0], "/state").ok()?.json();
        (state["frameworks"][0]["executors"][0]["tasks"][0]["id"] == "long").then_some(())
    });
    let roles = get(cluster.master, "/roles").expect("the master answers").json();
    assert!(roles["roles"][0]["allocated"]["cpus"].as_f64().is_some_and(|cpus| cpus > 0.0), "{roles}");
    // An interrupted mesos-execute takes its task with it.
    let interrupted = Command::new("kill").arg("-INT").arg(running.id().to_string()).status();
    assert!(interrupted.expect("kill runs").success());
    running.wait().expect("mesos-execute ends");
    wait_for("the executor to be gone", Duration::from_secs(20), || {
        let all = get(cluster.agents[0], "/containers").ok()?.json();
        all.as_array()?.is_empty().then_some(())
    });
}

#[test]
fn logs_are_read_over_http() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let flag = format!("--log_dir={}", folder.path().display());
    let cluster =
        Cluster::with(&Options { agents: 1, master_flags: vec![flag.clone()], agent_flags: vec![flag] });
    for (address, path, says) in [
        (cluster.master, "/master/log", "added agent"),
        (cluster.agents[0], "/slave/log", "Registered with master"),
    ] {
        wait_for(says, Duration::from_secs(10), || {
            let read = get(address, &format!("/files/read?path={path}&offset=0")).ok()?.json();
            read["data"].as_str()?.contains(says).then_some(())
        });
    }
}

#[test]
fn an_agent_that_is_told_to_leave_unregisters() {
    let cluster = Cluster::start();
    let told = Command::new("kill").arg("-USR1").arg(cluster.pid("agent0").to_string()).status();
    assert!(told.expect("kill runs").success());
    wait_for("the master to forget the agent", Duration::from_secs(20), || {
        let state = get(cluster.master, "/state").ok()?.json();
        (state["slaves"].as_array()?.is_empty() && state["unreachable_slaves"] == 0.0).then_some(())
    });
}

/// Rows: U111 (in part: masters go first, and no task is lost).
#[test]
fn a_task_runs_on_while_its_master_is_killed_and_comes_back() {
    let mut cluster = Cluster::start();
    let mut scheduler = Command::new(cluster.bin().join("mesos-execute"))
        .arg(format!("--master={}", cluster.master))
        .args(["--name=survivor", "--command=sleep 1000"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("mesos-execute runs");
    let state_of = |cluster: &Cluster| {
        let state = get(cluster.master, "/state").ok()?.json();
        let agent = state["slaves"][0]["id"].as_str()?.to_string();
        let frameworks = state["frameworks"].as_array()?.clone();
        let tasks = frameworks.iter().flat_map(|f| f["tasks"].as_array().cloned().unwrap_or_default());
        let task = tasks.into_iter().find(|t| t["id"] == "survivor" && t["state"] == "TASK_RUNNING")?;
        Some((agent, task["slave_id"].as_str()?.to_string()))
    };
    let before = wait_for("the task to run", Duration::from_secs(20), || state_of(&cluster));
    cluster.restart_master();
    // The agent notices by itself; 1.11.0 would wait for 75 seconds of missing pings.
    let after = wait_for("the agent and its task to be back", Duration::from_secs(40), || state_of(&cluster));
    assert_eq!(before, after);
    scheduler.kill().expect("mesos-execute is ended");
    scheduler.wait().expect("mesos-execute ends");
}
