//! What becomes of an agent's resources with real processes: promised twice, made into volumes, destroyed, drained.
//!
//! Rows: U007, U008, U061, U069.

use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Duration;

use messor_testkit::{Cluster, Framework, Options, get, post, scalar, wait_for};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

fn with(mut resource: Value, field: &str, value: Value) -> Value {
    resource[field] = value;
    resource
}

fn reserved(resource: Value) -> Value {
    with(resource, "reservations", json!([{"type": "DYNAMIC", "role": "web"}]))
}

fn launch(offer: &Value, id: &str, command: &str, resources: Vec<Value>) -> Value {
    let task = json!({"name": id, "task_id": {"value": id}, "agent_id": offer["agent_id"],
                      "resources": resources, "command": {"value": command}});
    json!({"type": "LAUNCH", "launch": {"task_infos": [task]}})
}

/// Whoever runs this, or somebody else where that is possible.
fn user() -> String {
    let me = Command::new("id").arg("-un").output().expect("id runs");
    let me = String::from_utf8_lossy(&me.stdout).trim().to_string();
    if me == "root" { "nobody".to_string() } else { me }
}

const ESTIMATOR: &str = "org_apache_mesos_FixedResourceEstimator";

#[test]
fn resources_are_promised_twice_kept_in_volumes_and_drained() {
    let modules = json!({"libraries": [{"file": "/lib/l.so", "modules": [
        {"name": ESTIMATOR, "parameters": [{"key": "resources", "value": "cpus:3"}]}]}]});
    let agent_flags = vec![
        "--resources=cpus:2;mem:512;disk:1000".to_string(),
        format!("--resource_estimator={ESTIMATOR}"),
        format!("--modules={modules}"),
        "--oversubscribed_resources_interval=1secs".to_string(),
    ];
    let master_flags = vec!["--allocation_interval=200ms".to_string()];
    let mut cluster = Cluster::with(&Options { agents: 1, master_flags, agent_flags: agent_flags.clone() });
    let master = cluster.master;
    // Everybody may be in its work directory, so that another user's task finds its volume.
    let open = Command::new("chmod").arg("-R").arg("a+rx").arg(cluster.folder()).status();
    assert!(open.expect("chmod runs").success());
    let user = user();
    let capabilities = ["PARTITION_AWARE", "MULTI_ROLE", "RESERVATION_REFINEMENT", "REVOCABLE_RESOURCES"];
    let framework = Framework::subscribe(master, &user, &capabilities);

    // What is promised twice runs a task, which writes into a volume of its own.
    let twice = |all: &[Value]| all.iter().any(|resource| !resource["revocable"].is_null());
    let offer = framework.offer_of(|all| twice(all) && all.iter().any(|resource| resource["name"] == "disk"));
    let agent = offer["agent_id"].clone();
    let cpus = || with(scalar("cpus", 0.5), "revocable", json!({}));
    let disk = json!({"persistence": {"id": "v"}, "volume": {"container_path": "data", "mode": "RW"}});
    let volume = with(reserved(scalar("disk", 64.0)), "disk", disk);
    let resources = vec![cpus(), scalar("mem", 32.0), volume.clone()];
    let operations = vec![
        json!({"type": "RESERVE", "reserve": {"resources": [reserved(scalar("disk", 64.0))]}}),
        json!({"type": "CREATE", "create": {"volumes": [volume]}}),
        launch(&offer, "writer", "echo kept > data/file", resources.clone()),
    ];
    framework.accept(&offer, operations);
    framework.until("writer", "TASK_FINISHED");
    let path = cluster.folder().join("agent0/volumes/roles/web/v");
    let owner = std::fs::metadata(&path).expect("the volume is there").uid();
    let own = Command::new("id").args(["-u", &user]).output().expect("id runs");
    assert_eq!(owner.to_string(), String::from_utf8_lossy(&own.stdout).trim(), "U061");

    // The data outlives its task and its agent, and cannot be destroyed while it is used.
    cluster.kill("agent0");
    cluster.restart_agent(0, &agent_flags);
    // What was offered of the agent before it was killed is of no use any more. It is all heard before this answer.
    wait_for("the agent to be back", PATIENCE, || {
        let found = get(master, "/slaves").ok()?.json();
        found["slaves"][0]["reregistered_time"].is_number().then_some(())
    });
    framework.call(json!({"type": "RECONCILE", "reconcile": {"tasks": [{"task_id": {"value": "writer"}}]}}));
    framework.next("UPDATE", |event| event["update"]["status"]["reason"] == "REASON_RECONCILIATION");
    let kept = |resource: &Value| resource["disk"]["persistence"]["id"] == "v";
    let offer = framework.offer_of(|all| twice(all) && all.iter().any(kept));
    let command = "grep kept data/file && sleep 1000";
    framework.accept(&offer, vec![launch(&offer, "reader", command, resources)]);
    framework.until("reader", "TASK_RUNNING");
    let used = wait_for("the agent to count what is used", PATIENCE, || {
        let metrics = get(cluster.agents[0], "/metrics/snapshot").ok()?.json();
        (metrics["slave/cpus_revocable_total"] == 3.0).then(|| metrics["slave/cpus_revocable_used"].clone())
    });
    assert_eq!(used, 0.5);
    let mut bare = volume.clone();
    bare.as_object_mut().expect("an object").remove("allocation_info");
    let destroy = json!({"type": "DESTROY_VOLUMES",
                         "destroy_volumes": {"agent_id": agent, "volumes": [bare]}});
    assert_eq!(post(master, "/api/v1", &destroy).expect("an answer").status, 400);

    // Draining ends the task, and stays over restarts until the agent is wanted again.
    let drain = json!({"type": "DRAIN_AGENT",
                       "drain_agent": {"agent_id": agent, "max_grace_period": {"seconds": 1}}});
    assert_eq!(post(master, "/api/v1", &drain).expect("an answer").status, 200);
    assert_eq!(framework.until("reader", "TASK_KILLED")["reason"], "REASON_AGENT_DRAINING");
    let drained = || {
        let agents = get(master, "/slaves").ok()?.json();
        (agents["slaves"][0]["drain_info"]["state"] == "DRAINED").then_some(())
    };
    wait_for("the agent to be drained", PATIENCE, drained);
    cluster.kill("agent0");
    cluster.restart_agent(0, &agent_flags);
    wait_for("the drained agent to be back", PATIENCE, || {
        let returns = cluster.log("agent0").matches("Re-registered with master").count();
        (returns == 2).then_some(()).and_then(|()| drained())
    });
    let reactivate = json!({"type": "REACTIVATE_AGENT", "reactivate_agent": {"agent_id": agent}});
    assert_eq!(post(master, "/api/v1", &reactivate).expect("an answer").status, 200);
    framework.offer(|resource| resource["disk"]["persistence"]["id"] == "v");
    assert!(path.join("file").exists());

    // U069
    wait_for("the volume to be free", PATIENCE, || {
        (post(master, "/api/v1", &destroy).ok()?.status == 202).then_some(())
    });
    wait_for("the data to be gone", PATIENCE, || (!path.exists()).then_some(()));
}

/// A QoS controller that finds the host too busy ends what runs on promised resources, and nothing else.
#[test]
fn a_correction_ends_what_runs_on_promised_resources() {
    const CONTROLLER: &str = "org_apache_mesos_LoadQoSController";
    // Any load at all is too much.
    let modules = json!({"libraries": [{"file": "/lib/l.so", "modules": [
        {"name": ESTIMATOR, "parameters": [{"key": "resources", "value": "cpus:3"}]},
        {"name": CONTROLLER, "parameters": [{"key": "load_threshold_5min", "value": "-1"}]}]}]});
    let agent_flags = vec![
        "--resources=cpus:2;mem:512;disk:1000".to_string(),
        format!("--resource_estimator={ESTIMATOR}"),
        format!("--qos_controller={CONTROLLER}"),
        format!("--modules={modules}"),
        "--oversubscribed_resources_interval=1secs".to_string(),
        "--qos_correction_interval_min=1secs".to_string(),
    ];
    let master_flags = vec!["--allocation_interval=200ms".to_string()];
    let cluster = Cluster::with(&Options { agents: 1, master_flags, agent_flags });
    let capabilities = ["PARTITION_AWARE", "MULTI_ROLE", "REVOCABLE_RESOURCES"];
    let framework = Framework::subscribe(cluster.master, &user(), &capabilities);
    let twice = |all: &[Value]| all.iter().any(|resource| !resource["revocable"].is_null());
    let offer = framework.offer_of(|all| twice(all) && all.iter().any(|resource| resource["name"] == "mem"));
    let cpus = with(scalar("cpus", 0.5), "revocable", json!({}));
    let operations = vec![
        launch(&offer, "own", "sleep 1000", vec![scalar("cpus", 0.5), scalar("mem", 32.0)]),
        launch(&offer, "promised", "sleep 1000", vec![cpus, scalar("mem", 32.0)]),
    ];
    framework.accept(&offer, operations);
    framework.until("own", "TASK_RUNNING");
    assert_eq!(framework.until("promised", "TASK_GONE")["reason"], "REASON_CONTAINER_PREEMPTED");
    let metrics = get(cluster.agents[0], "/metrics/snapshot").expect("an answer").json();
    assert_eq!(metrics["slave/executors_preempted"], 1.0);
    assert_eq!(metrics["slave/tasks_running"], 1.0, "the other one runs on");
}
