//! Containers that operators run themselves, alone and in those of tasks, and what an agent's v1 API reads of files.
//!
//! Row: U037 (nested and standalone containers).

use std::net::SocketAddr;

use messor_testkit::{Answer, Cluster, Options, get, skip, wait_for};
use serde_json::{Value, json};

use crate::attach::{PATIENCE, call, container};
use crate::recovery::Execution;

fn of(agent: SocketAddr, kind: &str, body: &Value) -> Answer {
    call(agent, &json!({"type": kind, kind.to_lowercase(): body}))
}

fn status(agent: SocketAddr, kind: &str, body: &Value) -> u16 {
    of(agent, kind, body).status
}

/// The ids of all containers, by their own part alone.
fn shown(agent: SocketAddr) -> Vec<String> {
    let wanted = json!({"show_nested": true, "show_standalone": true});
    let answer = of(agent, "GET_CONTAINERS", &wanted).json();
    let all = answer["get_containers"]["containers"].as_array().cloned().unwrap_or_default();
    all.iter().filter_map(|one| Some(one["container_id"]["value"].as_str()?.to_string())).collect()
}

/// Launches, is told so again, kills, waits for and removes a container, by the calls that end so.
fn a_life(agent: SocketAddr, suffix: &str, id: &Value) {
    let name = id["value"].as_str().expect("an id").to_string();
    let kind = |verb: &str| format!("{verb}_{suffix}");
    let only = json!({"container_id": id});
    for verb in ["WAIT", "KILL"] {
        assert_eq!(status(agent, &kind(verb), &only), 404, "{verb} before it is launched");
    }
    let mut launch = json!({"container_id": id, "command": {"value": "echo from within; exec sleep 10000"}});
    if suffix == "CONTAINER" {
        launch["resources"] = json!([{"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
                                     {"name": "mem", "type": "SCALAR", "scalar": {"value": 32.0}}]);
    }
    let launched = of(agent, &kind("LAUNCH"), &launch);
    assert_eq!(launched.status, 200, "{}", launched.text());
    assert_eq!(status(agent, &kind("LAUNCH"), &launch), 202, "it is there already");
    assert!(shown(agent).contains(&name));
    assert_eq!(status(agent, &kind("REMOVE"), &only), 400, "it runs");
    for signal in [-1, 65, i32::MAX] {
        assert_eq!(
            status(agent, &kind("KILL"), &json!({"container_id": id, "signal": signal})),
            400,
            "{signal}"
        );
    }
    let kill = json!({"container_id": id, "signal": 15});
    assert_eq!(status(agent, &kind("KILL"), &kill), 200);
    let waited = of(agent, &kind("WAIT"), &only);
    assert_eq!(waited.json()[kind("WAIT").to_lowercase()]["exit_status"], 15, "{}", waited.text());
    wait_for("it to be shown no more", PATIENCE, || (!shown(agent).contains(&name)).then_some(()));
    assert_eq!(status(agent, &kind("KILL"), &kill), 404, "it is over");
    if suffix == "CONTAINER" {
        // Its files go by themselves.
        assert_eq!(status(agent, &kind("WAIT"), &only), 404);
        assert_eq!(status(agent, &kind("REMOVE"), &only), 400);
        return;
    }
    assert_eq!(status(agent, &kind("WAIT"), &only), 200, "its end is kept");
    assert_eq!(status(agent, &kind("REMOVE"), &only), 200);
    assert_eq!(status(agent, &kind("WAIT"), &only), 404, "nothing is kept of it");
}

fn lives(flags: Vec<String>) {
    let cluster = Cluster::with(&Options { agent_flags: flags, ..Options::default() });
    let agent = cluster.agents[0];
    a_life(agent, "CONTAINER", &json!({"value": "alone"}));
    let _task = Execution::start(&cluster, "around", "sleep 10000", &[]);
    let parent = container(cluster.master, "around");
    a_life(agent, "NESTED_CONTAINER", &json!({"value": "within", "parent": parent}));
    assert_eq!(container(cluster.master, "around"), parent, "the task runs on");
}

#[test]
fn operators_run_containers() {
    lives(Vec::new());
}

#[test]
fn operators_run_containers_in_control_groups() {
    let Some(groups) = messor_testkit::ControlGroups::new() else {
        return skip("no control groups of version 1 here, or not root");
    };
    lives(vec![
        "--launcher=linux".to_string(),
        "--isolation=filesystem/linux,namespaces/pid,cgroups/cpu,cgroups/mem".to_string(),
        format!("--cgroups_root={}", groups.root()),
    ]);
}

#[test]
fn files_of_a_sandbox_are_listed_and_read() {
    let cluster = Cluster::start();
    let agent = cluster.agents[0];
    let _task = Execution::start(&cluster, "writer", "printf within > file; exec sleep 10000", &[]);
    container(cluster.master, "writer");
    let state = get(agent, "/state").expect("an answer").json();
    let folder = state["frameworks"][0]["executors"][0]["directory"].as_str().expect("a folder").to_string();
    let path = format!("{folder}/file");
    let listed = wait_for("the file", PATIENCE, || {
        let listed = of(agent, "LIST_FILES", &json!({"path": folder})).json();
        let files = listed["list_files"]["file_infos"].as_array()?.clone();
        files.into_iter().find(|file| file["path"] == path.as_str() && file["size"] == 6)
    });
    assert_eq!(listed["nlink"], 1);
    let read = of(agent, "READ_FILE", &json!({"path": path, "offset": 1, "length": 3})).json();
    // "ith", in base64.
    assert_eq!(read["read_file"], json!({"size": 6, "data": "aXRo"}));
    assert_eq!(status(agent, "LIST_FILES", &json!({"path": format!("{folder}/../../..")})), 400);
    assert_eq!(status(agent, "READ_FILE", &json!({"path": "/etc/passwd", "offset": 0})), 404);

    // Of an agent alone on its port every path is there by its short name.
    for path in ["/state", "/flags", "/containers", "/monitor/statistics", "/health"] {
        let (short, long) = (get(agent, path), get(agent, &format!("/slave(1){path}")));
        let (short, long) = (short.expect("an answer"), long.expect("an answer"));
        assert_eq!((short.status, long.status), (200, 200), "{path}");
        if path == "/flags" {
            assert_eq!(short.text(), long.text());
        }
    }
}
