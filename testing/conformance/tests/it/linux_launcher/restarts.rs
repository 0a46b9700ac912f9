//! Agents that are killed, with tasks on the linux launcher: what tasks have and may not take holds on, and what nobody wants any
//! more is ended.
//!
//! Rows: U002, U033, U109.

use std::fs;

use messor_testkit::{Framework, get, scalar, wait_for};
use serde_json::{Value, json};

use super::host::{Host, PATIENCE, in_container, read_group, task, with};

const ISOLATION: &str =
    "cgroups/cpu,cgroups/mem,filesystem/linux,namespaces/pid,namespaces/ipc,disk/du,volume/sandbox_path";

#[test]
fn limits_hold_on_when_the_agent_is_killed() {
    let Some(mut host) =
        Host::start(ISOLATION, &["--enforce_container_disk_quota", "--container_disk_watch_interval=200ms"])
    else {
        return;
    };
    let before = host.traces();
    let waits = |then: &str| format!("until test -e go; do sleep 0.05; done; {then}");
    let limits = json!({"cpus": {"value": 0.5}, "mem": {"value": 64.0}});
    let groups = [read_group("cpu", "cpu.cfs_quota_us"), read_group("memory", "memory.limit_in_bytes")];
    let private = json!({"linux_info": {"ipc_mode": "PRIVATE", "shm_size": 4}});
    host.launch(&[
        task("hog", &waits("tail /dev/zero")),
        task("disk", &waits("dd if=/dev/zero of=full bs=1M count=64 status=none; sleep 1000")),
        with(task("limited", &waits(&groups.join("; "))), "limits", limits),
        in_container(
            task("private", &waits("df -B1M --output=size /dev/shm | tail -n 1 | tr -d ' '")),
            private,
        ),
        task("killed", "sleep 1000"),
    ]);
    let disk = json!({"persistence": {"id": "v"}, "volume": {"container_path": "kept", "mode": "RW"}});
    let bare = with(scalar("disk", 8.0), "reservations", json!([{"type": "DYNAMIC", "role": "web"}]));
    let kept = with(bare.clone(), "disk", disk);
    let mut member = task("member", "until test -e go-member; do sleep 0.05; done; echo kept > kept/file");
    member["resources"].as_array_mut().expect("a list").push(kept.clone());
    let made = vec![
        json!({"type": "RESERVE", "reserve": {"resources": [bare]}}),
        json!({"type": "CREATE", "create": {"volumes": [kept]}}),
    ];
    host.launch_group("pod", made, &[member, task("hog-in-pod", &waits("tail /dev/zero"))]);
    let running = ["hog", "disk", "limited", "private", "killed", "member", "hog-in-pod"];
    for name in running {
        host.framework.until(name, "TASK_RUNNING");
    }
    // One of a framework that keeps no checkpoints ends with its agent.
    let forgetful = Framework::without_checkpoints(host.cluster.master, "root");
    let has = |event: &Value| event["offers"]["offers"][0]["resources"][0]["name"] == "cpus";
    let offer = forgetful.next_beside(&[&host.framework], "OFFERS", has)["offers"]["offers"][0].clone();
    let orphan = with(task("orphan", "setsid sleep 1000"), "agent_id", offer["agent_id"].clone());
    forgetful.accept(&offer, vec![json!({"type": "LAUNCH", "launch": {"task_infos": [orphan]}})]);
    forgetful.until("orphan", "TASK_RUNNING");
    let orphans = |host: &Host| host.traces().iter().filter(|trace| trace.contains("sleep")).count();
    assert!(orphans(&host) >= 2);

    host.cluster.kill("agent0");
    let flags = host.flags.clone();
    host.cluster.restart_agent(0, &flags);
    wait_for("the agent to know its tasks", PATIENCE, || {
        let state = get(host.cluster.agents[0], "/state").ok().filter(|answer| answer.status == 200)?.json();
        let executors = state["frameworks"]
            .as_array()?
            .iter()
            .map(|framework| framework["executors"].as_array().map_or(0, Vec::len));
        (executors.sum::<usize>() == 6).then_some(())
    });
    forgetful.end_of("orphan");
    for name in ["hog", "disk", "limited", "private"] {
        fs::write(host.sandbox(name).join("go"), "").expect("a file");
    }
    for (name, reason, resource) in [
        ("hog", "REASON_CONTAINER_LIMITATION_MEMORY", "mem"),
        ("disk", "REASON_CONTAINER_LIMITATION_DISK", "disk"),
    ] {
        let status = host.ends(name, "TASK_FAILED");
        assert_eq!(
            (&status["reason"], &status["limitation"]["resources"][0]["name"]),
            (&json!(reason), &json!(resource)),
            "U033: {status:#}"
        );
    }
    host.ends("limited", "TASK_FINISHED");
    assert_eq!(host.stdout("limited"), format!("60000\n{}\n", 96 << 20), "U002");
    host.ends("private", "TASK_FINISHED");
    assert_eq!(host.stdout("private"), "4\n");
    host.kill("killed");
    host.ends("killed", "TASK_KILLED");
    let go = |name: &str| {
        for path in messor_testkit::files::entries(&host.sandbox("pod").join("containers")) {
            fs::write(path.join(name), "").expect("a file");
        }
    };
    go("go-member");
    host.ends("member", "TASK_FINISHED");
    let volume = host.cluster.folder().join("agent0/volumes/roles/web/v/file");
    assert_eq!(fs::read_to_string(volume).ok().as_deref(), Some("kept\n"));
    go("go");
    let status = host.ends("hog-in-pod", "TASK_FAILED");
    assert_eq!(status["reason"], "REASON_CONTAINER_LIMITATION_MEMORY", "{status:#}");
    host.leaves_no_trace(&before);
}
