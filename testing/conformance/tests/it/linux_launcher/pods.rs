//! What is asked of tasks in pods from within their containers.

use std::fs;

use messor_testkit::files::entries;
use messor_testkit::free_port;
use serde_json::{Value, json};

use super::host::{Host, task, with};

/// Checks and health checks of a pod's tasks, by the default executor: commands run in the task's own mounts, connections
/// come to its own port. A task that is not healthy ends, and its pod with it.
#[test]
fn tasks_of_pods_are_checked_from_within() {
    let isolation = "cgroups/cpu,cgroups/mem,filesystem/linux,namespaces/pid";
    let Some(host) = Host::start(isolation, &[]) else { return };
    let before = host.traces();
    let port = free_port();
    let often = |check: Value| with(with(check, "delay_seconds", json!(0)), "interval_seconds", json!(0.1));
    // What is mounted in one task is seen in that one alone.
    let lives = |go: &str| {
        let waits = format!("until test -e {go}; do sleep 0.05; done");
        format!("mount -t tmpfs none /mnt && touch /mnt/{go}; {waits}; rm /mnt/{go}; exec sleep 1000")
    };
    let listens = format!(
        "exec python3 -c 'import socket, time; s = socket.create_server((\"127.0.0.1\", {port})); time.sleep(1000)'"
    );
    let command = |text: &str| json!({"command": {"value": text}});
    let checked = often(json!({"type": "COMMAND", "command": command("test -e /mnt/go-checked")}));
    let reached = often(json!({"type": "TCP", "tcp": {"port": port}}));
    let health = json!({"type": "COMMAND", "command": {"value": "test -e /mnt/go-healthy"},
                        "grace_period_seconds": 20, "consecutive_failures": 1});
    host.launch_group(
        "pod",
        Vec::new(),
        &[
            with(task("checked", &lives("go-checked")), "check", checked),
            with(task("listens", &listens), "check", reached),
            with(task("healthy", &lives("go-healthy")), "health_check", often(health)),
        ],
    );
    let told = |task: &str, what: &[&str], wanted: Value| {
        let found = |status: &Value| what.iter().fold(status.clone(), |value, key| value[*key].clone());
        host.framework.status(task, |status| found(status) == wanted)
    };
    told("checked", &["check_status", "command", "exit_code"], json!(0));
    told("listens", &["check_status", "tcp", "succeeded"], json!(true));
    told("healthy", &["healthy"], json!(true));
    let go = |name: &str| {
        for sandbox in entries(&host.sandbox("pod").join("containers")) {
            fs::write(sandbox.join(name), "").expect("a file");
        }
    };
    go("go-checked");
    let failing = told("checked", &["check_status", "command", "exit_code"], json!(1));
    assert_eq!(failing["state"], "TASK_RUNNING", "a check says how it is, and ends nothing: {failing}");
    go("go-healthy");
    told("healthy", &["healthy"], json!(false));
    for name in ["checked", "listens", "healthy"] {
        let end = host.framework.end_of(name);
        assert!(end["state"] == "TASK_KILLED" || end["state"] == "TASK_FAILED", "{end:#}");
    }
    host.leaves_no_trace(&before);
}
