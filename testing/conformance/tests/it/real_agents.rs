//! Nodes of the real Apache Mesos 1.11.0 and of Messor in one cluster, as there are during an upgrade: agents of the one under a
//! master of the other, and one agent's work_dir and living tasks in turns with both.
//!
//! Rows: U046, U111, U112, U113.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use messor_testkit::{Cluster, Framework, Options, free_port, get, post, scalar, wait_for};
use serde_json::{Value, json};

use crate::real::{PATIENCE, RealAgent, RealMaster};

/// Of the calls of schedulers, at a master that is not the first process of its program.
const PATH: &str = "/master/api/v1/scheduler";
/// What makes a silent agent unreachable: three seconds.
const PINGS: [&str; 2] = ["--agent_ping_timeout=1secs", "--max_agent_ping_timeouts=3"];

fn cluster() -> Cluster {
    let master_flags =
        PINGS.iter().chain(&["--allocation_interval=200ms"]).map(ToString::to_string).collect();
    Cluster::with(&Options { agents: 0, master_flags, ..Options::default() })
}

fn restart_master(cluster: &mut Cluster) {
    let flags: Vec<String> = PINGS.iter().map(ToString::to_string).collect();
    cluster.restart_master_with(&flags);
}

/// FrameworkInfo of one that comes back after a failover, by its id.
fn info(id: Option<&Value>) -> Value {
    let user = Command::new("id").arg("-un").output().expect("id runs");
    let user = String::from_utf8_lossy(&user.stdout).trim().to_string();
    let kinds = ["PARTITION_AWARE", "MULTI_ROLE", "RESERVATION_REFINEMENT"].map(|kind| json!({"type": kind}));
    let mut info = json!({"user": user, "name": "upgraded", "roles": ["web"], "checkpoint": true,
        "failover_timeout": 100, "capabilities": kinds});
    if let Some(id) = id {
        info["id"] = id.clone();
    }
    info
}

/// The only agent of a master that is registered with it.
fn agent(master: SocketAddr) -> Value {
    wait_for("the agent to be registered", PATIENCE, || {
        let agents = get(master, "/master/slaves").ok().filter(|answer| answer.status == 200)?.json();
        agents["slaves"].as_array()?.iter().find(|agent| agent["active"] == true).cloned()
    })
}

fn call(master: SocketAddr, call: &Value) {
    let answer = post(master, "/master/api/v1", call).expect("an answer");
    assert!([200, 202].contains(&answer.status), "{call}: {}", answer.text());
}

/// Launches a task that waits for a file, in which others see that it was begun once.
fn launch(framework: &Framework, id: &str, command: &str) {
    let offer = framework.offer(|resource| resource["name"] == "cpus");
    let task = json!({"name": id, "task_id": {"value": id}, "agent_id": offer["agent_id"],
        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)], "command": {"value": command}});
    framework.accept(&offer, vec![json!({"type": "LAUNCH", "launch": {"task_infos": [task]}})]);
}

/// A command that writes its pid into `folder` and ends when there is a file `go`.
fn waits(folder: &Path) -> String {
    let folder = folder.display();
    format!("echo $$ >>{folder}/pids; until test -e {folder}/go; do sleep 0.1; done")
}

fn state_of(master: SocketAddr, task: &str) -> Option<String> {
    let tasks = get(master, "/master/tasks").ok().filter(|answer| answer.status == 200)?.json();
    let found = tasks["tasks"].as_array()?.iter().find(|known| known["id"] == task)?.clone();
    Some(found["state"].as_str()?.to_string())
}

fn until_known(master: SocketAddr, task: &str, state: &str) {
    wait_for(&format!("{task} to be {state}"), PATIENCE, || (state_of(master, task)? == state).then_some(()));
}

fn metric(address: SocketAddr, name: &str) -> f64 {
    get(address, "/metrics/snapshot").expect("metrics").json()[name].as_f64().unwrap_or(-1.0)
}

/// U046, U111, U112: an agent of 1.11.0 under Messor's master, which fails over, loses sight of it, drains it and lets it go.
#[test]
fn an_agent_of_apache_mesos_lives_under_messors_master() {
    let mut cluster = cluster();
    let (master, folder) = (cluster.master, cluster.folder().to_path_buf());
    let Some(real) = RealAgent::start(master, &folder.join("real"), &cluster.bin()) else { return };
    let registered = agent(master);
    let id = registered["id"].as_str().expect("an id").to_string();
    assert_eq!(registered["version"], "1.11.0");

    // Reservations and volumes by operators, which it keeps on its disk.
    let agent_id = json!({ "value": id });
    let disk = json!({"name": "disk", "type": "SCALAR", "scalar": {"value": 64.0},
        "reservations": [{"type": "DYNAMIC", "role": "keep"}]});
    let mut volume = disk.clone();
    volume["disk"] = json!({"persistence": {"id": "v1"}, "volume": {"container_path": "data", "mode": "RW"}});
    call(
        master,
        &json!({"type": "RESERVE_RESOURCES", "reserve_resources": {"agent_id": agent_id, "resources": [disk]}}),
    );
    call(
        master,
        &json!({"type": "CREATE_VOLUMES", "create_volumes": {"agent_id": agent_id, "volumes": [volume]}}),
    );
    let path = real.work_dir().join("volumes/roles/keep/v1");
    wait_for("the volume", PATIENCE, || path.is_dir().then_some(()));
    let reserved = agent(master)["reserved_resources_full"]["keep"].clone();

    // A task to its end, over more than one ping timeout.
    let framework = Framework::of(master, &info(None));
    launch(&framework, "short", "sleep 5");
    framework.until("short", "TASK_FINISHED");
    assert_eq!(agent(master)["registered_time"], registered["registered_time"]);
    let missed = ["master/slave_unreachable_scheduled", "master/slave_reregistrations"];
    assert_eq!(missed.map(|name| metric(master, name)), [0.0, 0.0]);
    assert!(!real.log().contains("No pings from master"), "{}", real.log());

    // A failover of the master, while a task runs.
    launch(&framework, "long", &waits(&folder));
    framework.until("long", "TASK_RUNNING");
    restart_master(&mut cluster);
    let again = agent(master);
    assert_eq!((&again["id"], &again["reserved_resources_full"]["keep"]), (&json!(id), &reserved));
    until_known(master, "long", "TASK_RUNNING");
    let framework = Framework::of(master, &info(Some(&framework.id)));

    // It is not heard of for more than a ping timeout, and comes back with its task.
    real.signal("STOP");
    framework.until("long", "TASK_UNREACHABLE");
    real.signal("CONT");
    framework.until("long", "TASK_RUNNING");
    assert_eq!(agent(master)["id"], json!(id));
    std::fs::write(folder.join("go"), "").expect("a file");
    framework.until("long", "TASK_FINISHED");
    let begun = std::fs::read_to_string(folder.join("pids")).expect("the task has told its pid");
    assert_eq!(begun.lines().count(), 1, "the task was begun once");

    // Drained, taken in again, and gone.
    launch(&framework, "drained", "sleep 1000");
    framework.until("drained", "TASK_RUNNING");
    call(master, &json!({"type": "DRAIN_AGENT", "drain_agent": {"agent_id": agent_id}}));
    let end = framework.end_of("drained");
    assert!(["TASK_KILLED", "TASK_GONE_BY_OPERATOR"].iter().any(|state| end["state"] == *state), "{end}");
    wait_for("the agent to be drained", PATIENCE, || {
        let agents = get(master, "/master/slaves").ok()?.json();
        let agent = &agents["slaves"][0];
        (agent["drain_info"]["state"] == "DRAINED" && agent["deactivated"] == true).then_some(())
    });
    call(master, &json!({"type": "REACTIVATE_AGENT", "reactivate_agent": {"agent_id": agent_id}}));
    launch(&framework, "last", "sleep 1000");
    framework.until("last", "TASK_RUNNING");
    call(master, &json!({"type": "MARK_AGENT_GONE", "mark_agent_gone": {"agent_id": agent_id}}));
    framework.until("last", "TASK_GONE_BY_OPERATOR");
    wait_for("the real agent to be told", PATIENCE, || {
        real.log().contains("asked to shut down by master").then_some(())
    });
}

/// U111, U113: while a task runs, its agent is one of 1.11.0, then Messor's, and then one of 1.11.0 again.
#[test]
fn a_living_task_goes_from_an_agent_of_apache_mesos_to_messors_and_back() {
    let cluster = cluster();
    let (master, folder) = (cluster.master, cluster.folder().to_path_buf());
    let Some(mut real) = RealAgent::start(master, &folder.join("real"), &cluster.bin()) else { return };
    let id = agent(master)["id"].clone();
    let framework = Framework::of(master, &info(None));
    launch(&framework, "long", &waits(&folder));
    framework.until("long", "TASK_RUNNING");
    let pid = std::fs::read_to_string(folder.join("pids")).expect("the task has told its pid");
    real.kill();

    let (address, work_dir) = (real.address, real.work_dir());
    let port = address.port();
    let mut own = Command::new(cluster.bin().join("mesos-agent"))
        .arg(format!("--master={master}"))
        .arg(format!("--work_dir={}", work_dir.display()))
        .arg(format!("--runtime_dir={}", real.runtime_dir().display()))
        .arg(format!("--launcher_dir={}", cluster.bin().display()))
        .args(["--ip=127.0.0.1", "--hostname=localhost", "--launcher=posix", &format!("--port={port}")])
        .arg(format!("--resources={}", RealAgent::RESOURCES))
        .stderr(std::fs::File::create(folder.join("own.log")).expect("a log file"))
        .spawn()
        .expect("mesos-agent runs");
    let runs_on = |whose: &str| {
        let again = |state: &Value| {
            let executor = &state["frameworks"][0]["executors"][0];
            (executor["tasks"][0]["id"] == "long" && executor["tasks"][0]["state"] == "TASK_RUNNING")
                .then_some(())
        };
        wait_for(&format!("the task to be known to {whose}"), PATIENCE, || {
            let answer = get(address, "/slave(1)/state").ok().filter(|answer| answer.status == 200)?;
            again(&answer.json())
        });
        assert!(Path::new("/proc").join(pid.trim()).exists(), "the task's process lives on");
    };
    runs_on("Messor's agent");
    assert_eq!(agent(master)["id"], id);
    until_known(master, "long", "TASK_RUNNING");
    own.kill().expect("it is ours");
    own.wait().expect("it is ours");

    real.restart();
    runs_on("the real agent");
    assert_eq!(agent(master)["id"], id);
    until_known(master, "long", "TASK_RUNNING");
    std::fs::write(folder.join("go"), "").expect("a file");
    framework.until("long", "TASK_FINISHED");
    let begun = std::fs::read_to_string(folder.join("pids")).expect("the task has told its pid");
    assert_eq!(begun, pid, "the task was begun once");
}

/// U046, U111, U113: Messor's agent under a master of 1.11.0, which fails over while a task runs.
#[test]
fn messors_agent_lives_under_a_master_of_apache_mesos() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = free_port();
    let more = ["MESOS_AGENT_PING_TIMEOUT=1secs", "MESOS_MAX_AGENT_PING_TIMEOUTS=3"].map(ToString::to_string);
    let Some(real) = RealMaster::start(port, 0, folder.path(), &more) else { return };
    let address = real.address;
    let cluster = Cluster::agent_under(&address.to_string(), &[]);
    let registered = agent(address);
    assert_eq!(registered["version"], "1.11.0");

    // A task over more than one ping timeout: the agent answers, and is not registered anew.
    let framework = Framework::at(address, PATH, &info(None));
    launch(&framework, "short", "sleep 5");
    framework.until("short", "TASK_FINISHED");
    assert_eq!(agent(address)["registered_time"], registered["registered_time"]);
    let missed = ["master/slave_unreachable_scheduled", "master/slave_reregistrations"];
    assert_eq!(missed.map(|name| metric(address, name)), [0.0, 0.0]);

    // The next master has the registry of the one before, and its agent and task come back to it.
    launch(&framework, "long", &waits(folder.path()));
    framework.until("long", "TASK_RUNNING");
    drop(real);
    let Some(_real) = RealMaster::start(port, 0, folder.path(), &more) else { return };
    assert_eq!(agent(address)["id"], registered["id"], "{}", cluster.log("agent0"));
    until_known(address, "long", "TASK_RUNNING");
    let framework = Framework::at(address, PATH, &info(Some(&framework.id)));
    std::fs::write(folder.path().join("go"), "").expect("a file");
    framework.until("long", "TASK_FINISHED");
    let begun = std::fs::read_to_string(folder.path().join("pids")).expect("the task has told its pid");
    assert_eq!(begun.lines().count(), 1, "the task was begun once");
}
