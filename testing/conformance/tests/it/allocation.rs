//! Who is offered what, with real processes: --whitelist, and --role_priorities with preemption.

use std::path::{Path, PathBuf};
use std::time::Duration;

use messor_testkit::{Cluster, Framework, Options, get, post, wait_for};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

fn metric(cluster: &Cluster, name: &str) -> Option<f64> {
    get(cluster.master, "/metrics/snapshot").ok()?.json()[name].as_f64()
}

fn amount(resources: &[Value], name: &str) -> f64 {
    let of = resources.iter().filter(|resource| resource["name"] == name);
    of.filter_map(|resource| resource["scalar"]["value"].as_f64()).sum()
}

fn task(role: &str, offer: &Value, id: &str, command: &str) -> Value {
    let scalar = |name: &str, value: f64| json!({"name": name, "type": "SCALAR", "scalar": {"value": value}, "allocation_info": {"role": role}});
    let task = json!({"name": id, "task_id": {"value": id}, "agent_id": offer["agent_id"],
                      "resources": [scalar("cpus", 0.5), scalar("mem", 64.0)], "command": {"value": command}});
    json!({"type": "LAUNCH", "launch": {"task_infos": [task]}})
}

/// A file of this name in the folder or below.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        // Links lead to the same runs again.
        if path.is_symlink() {
            continue;
        }
        let found =
            if path.is_dir() { find(&path, name) } else { path.ends_with(name).then(|| path.clone()) };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// Batch fills the cluster; production is guaranteed a half of it and comes. Batch's newest tasks go, with the grace that
/// their kill policies have, and are told why.
#[test]
fn a_guarantee_is_met_by_preempting() {
    let master_flags = [
        "--allocation_interval=200ms",
        r#"--role_priorities={"production": 100, "batch": -10}"#,
        "--preemption_delay=1secs",
    ];
    let cluster = Cluster::with(&Options {
        agents: 1,
        master_flags: master_flags.map(String::from).to_vec(),
        agent_flags: vec!["--resources=cpus:2;mem:512".to_string()],
    });
    let master = cluster.master;
    let batch = Framework::in_role(master, "root", "batch");
    for [first, second] in [["old1", "old2"], ["new1", "new2"]] {
        let offer = batch.offer_of(|all| amount(all, "cpus") >= 1.0);
        let polite = "trap 'echo goodbye > last-words; exit 0' TERM; while true; do sleep 0.1; done";
        let tasks = vec![task("batch", &offer, first, "sleep 1000"), task("batch", &offer, second, polite)];
        batch.accept(&offer, tasks);
        let mut missing = vec![first, second];
        while !missing.is_empty() {
            let update = batch.next("UPDATE", |event| event["update"]["status"]["state"] == "TASK_RUNNING");
            let id = update["update"]["status"]["task_id"]["value"].clone();
            missing.retain(|task| id != **task);
        }
    }

    let quota = json!({"type": "UPDATE_QUOTA", "update_quota": {"quota_configs": [
        {"role": "production", "guarantees": {"cpus": {"value": 1.0}}}]}});
    assert_eq!(post(master, "/api/v1", &quota).expect("an answer").status, 200);
    let production = Framework::in_role(master, "root", "production");
    production.offer_of(|all| amount(all, "cpus") == 1.0);

    let mut killed = Vec::new();
    while killed.len() < 2 {
        let update = batch.next("UPDATE", |event| event["update"]["status"]["state"] == "TASK_KILLED");
        let status = &update["update"]["status"];
        assert_eq!(status["reason"], "REASON_CONTAINER_PREEMPTED", "{status}");
        let message = status["message"].as_str().expect("a message");
        assert!(message.contains("for role 'production' of priority 100"), "{message}");
        killed.push(status["task_id"]["value"].as_str().expect("an id").to_string());
    }
    killed.sort();
    assert_eq!(killed, ["new1", "new2"], "the newest");
    assert!(find(&cluster.folder().join("agent0"), "last-words").is_some(), "it had the time to end well");
    let state = get(master, "/state").expect("an answer").json();
    let frameworks = state["frameworks"].as_array().expect("frameworks");
    let tasks = &frameworks.iter().find(|framework| framework["name"] == "batch").expect("batch")["tasks"];
    let running: Vec<&str> = tasks
        .as_array()
        .expect("tasks")
        .iter()
        .filter(|task| task["state"] == "TASK_RUNNING")
        .filter_map(|task| task["id"].as_str())
        .collect();
    assert!(running.len() == 2 && running.contains(&"old1") && running.contains(&"old2"), "{running:?}");
    assert_eq!(metric(&cluster, "master/preempted_tasks"), Some(2.0));
    assert_eq!(metric(&cluster, "master/task_killed/source_executor/reason_container_preempted"), Some(2.0));
    // The allocator tells of itself once an interval.
    let told = || (metric(&cluster, "allocator/mesos/preempted_tasks") == Some(2.0)).then_some(());
    wait_for("the allocator to count", PATIENCE, told);
    let log = cluster.log("master");
    let line = log.lines().find(|line| line.contains("preempting task new2")).expect("a line of the log");
    assert!(
        line.contains("in role 'batch' of priority -10") && line.contains("for role 'production'"),
        "{line}"
    );
}

/// --whitelist is a file that is read again and again: agents that it does not name are not offered.
#[test]
fn the_whitelist_is_read_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("hosts");
    // In one step: a half of it might be read.
    let list = |hosts: &str| {
        std::fs::write(folder.path().join("new"), hosts).expect("the list is written");
        std::fs::rename(folder.path().join("new"), &path).expect("the list is renamed");
    };
    list("elsewhere\n");
    let cluster = Cluster::with(&Options {
        agents: 1,
        master_flags: vec![
            "--allocation_interval=100ms".to_string(),
            format!("--whitelist={}", path.display()),
        ],
        agent_flags: vec!["--hostname=here".to_string()],
    });
    let framework = Framework::in_role(cluster.master, "root", "web");
    // So many allocations, none of which made an offer.
    let quiet = |most: usize| {
        let mut runs = Vec::new();
        wait_for("allocations without offers", PATIENCE, || {
            let snapshot = get(cluster.master, "/metrics/snapshot").ok()?.json();
            let run = snapshot["allocator/mesos/allocation_runs"].as_f64()?;
            if snapshot["master/outstanding_offers"] != 0.0 {
                runs.clear();
            } else if runs.last() != Some(&run) {
                runs.push(run);
            }
            (runs.len() > most).then_some(())
        });
    };
    let known = || (metric(&cluster, "master/slaves_active") == Some(1.0)).then_some(());
    wait_for("the agent", PATIENCE, known);
    quiet(5);
    list("elsewhere\nhere\n");
    let offer = framework.offer(|_| true);
    assert_eq!(offer["hostname"], "here");
    // What is offered stays so; what comes back is not offered again once the file was read.
    list("elsewhere\n");
    let decline = |offer: &Value| {
        framework.call(json!({"type": "DECLINE", "decline": {"offer_ids": [offer["id"]],
            "filters": {"refuse_seconds": 0}}}));
    };
    let mut offer = Some(offer);
    wait_for("the agent not to be offered any more", PATIENCE, || {
        match offer.take() {
            Some(offer) => decline(&offer),
            // Nothing came for ten intervals.
            None => return Some(()),
        }
        offer = framework.offer_within(Duration::from_secs(1));
        None
    });
    quiet(5);
}
