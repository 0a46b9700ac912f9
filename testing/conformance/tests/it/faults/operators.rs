//! Containers of an operator: standalone, nested in one that stays, or for a session in it.

use std::net::SocketAddr;

use messor_testkit::{post, wait_for};
use serde_json::{Value, json};

use super::Load;
use super::rig::{PATIENCE, Rig};
use super::ways::{self, Way};

pub struct Operator {
    way: Way,
    number: usize,
    /// The process of the one that stays.
    outer: Option<String>,
}

const OUTER: &str = "outer";

/// None where the agent ends meanwhile.
fn call(agent: SocketAddr, kind: &str, more: &Value) -> Option<(u16, Value)> {
    let answer = post(agent, "/api/v1", &json!({"type": kind, (kind.to_lowercase()): more})).ok()?;
    Some((answer.status, serde_json::from_slice(&answer.body).unwrap_or_default()))
}

fn resources() -> Value {
    let scalar =
        |name: &str, amount: f64| json!({"name": name, "type": "SCALAR", "scalar": {"value": amount}});
    json!([scalar("cpus", 0.1), scalar("mem", 32.0), scalar("disk", 8.0)])
}

impl Operator {
    pub fn new(rig: &Rig, way: Way) -> Operator {
        let mut operator = Operator { way, number: 0, outer: None };
        if way.kind().is_nested() {
            let container = json!({"type": "MESOS", "linux_info": {"ipc_mode": "PRIVATE", "shm_size": 4}});
            let outer = json!({"container_id": {"value": OUTER}, "command": {"value": "exec sleep 1000"},
                               "resources": resources(), "container": container});
            let (code, words) = wait_for("the agent to have recovered", PATIENCE, || {
                call(rig.cluster.agents[0], "LAUNCH_CONTAINER", &outer).filter(|(code, _)| *code != 503)
            });
            assert_eq!(code, 200, "{words}");
            operator.outer = Some(operator.outer_process(rig));
        }
        operator
    }

    /// With the time of its start, as numbers of processes are given anew.
    fn outer_process(&self, rig: &Rig) -> String {
        let noted = std::fs::read_to_string(rig.path("agent0-run/containers").join(OUTER).join("pid"));
        let pid = noted.expect("the pid of a container");
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        let start = stat.rsplit_once(')').and_then(|(_, rest)| rest.split(' ').nth(20)).unwrap_or("gone");
        format!("{pid} {start}")
    }

    fn id(&self) -> Value {
        let name = json!(format!("c{}", self.number));
        match self.way {
            Way::Standalone | Way::Numbers => json!({"value": name}),
            _ => json!({"value": name, "parent": {"value": OUTER}}),
        }
    }

    fn sandbox(&self) -> std::path::PathBuf {
        let own = format!("c{}", self.number);
        let below = match self.way {
            Way::Standalone | Way::Numbers => own,
            _ => format!("{OUTER}/containers/{own}"),
        };
        std::path::Path::new("agent0/containers").join(below)
    }

    /// With an artifact, and with all of what its container may have that leaves something behind.
    fn launch(&self, rig: &Rig, point: &str) -> (&'static str, Value) {
        let command = json!({"value": "cat fetched", "uris": [{"value": rig.path("fetched")}]});
        let mut container = json!({"type": "MESOS"});
        // Every other one has a terminal, and those at whose steps it matters.
        if self.number.is_multiple_of(2) || point.contains("switchboard") || point.contains("socket") {
            container["tty_info"] = json!({});
        }
        if self.way == Way::Session {
            // It works in the sandbox of what it is a session in.
            let command = json!({"value": "echo words", "uris": [{"value": rig.path("fetched")}]});
            let launch = json!({"container_id": self.id(), "command": command, "container": container});
            return ("LAUNCH_NESTED_CONTAINER_SESSION", launch);
        }
        let volume =
            |path: &str, source: Value| json!({"container_path": path, "mode": "RW", "source": source});
        let own = match self.way {
            Way::Standalone | Way::Numbers => volume(
                "/mnt",
                json!({"type": "SANDBOX_PATH", "sandbox_path": {"type": "SELF", "path": "own"}}),
            ),
            _ => volume(
                "part",
                json!({"type": "SANDBOX_PATH", "sandbox_path": {"type": "PARENT", "path": "shared"}}),
            ),
        };
        let host = volume("data/host", json!({"type": "HOST_PATH", "host_path": {"path": "/etc"}}));
        if self.way != Way::Numbers {
            container["volumes"] = json!([host, own]);
            container["linux_info"] = json!({"ipc_mode": "PRIVATE", "shm_size": 4, "share_cgroups": false});
        }
        let launch = json!({"container_id": self.id(), "command": command, "container": container,
                            "resources": resources()});
        ("LAUNCH_CONTAINER", launch)
    }
}

impl Load for Operator {
    fn begin(&mut self, rig: &Rig, point: &str) {
        self.number += 1;
        let agent = rig.cluster.agents[0];
        let (kind, launch) = self.launch(rig, point);
        let launched = call(agent, kind, &launch);
        if let Some((code, words)) = launched {
            assert!(code == 200 || !ways::has_run(point), "{point}: {code} {words}");
        }
        if point.contains("remove") || point.ends_with("removed") {
            let about = json!({"container_id": self.id()});
            call(agent, "WAIT_CONTAINER", &about).expect("an answer");
            call(agent, "REMOVE_CONTAINER", &about);
        }
    }

    fn ends(&mut self, rig: &Rig, point: &str) {
        let agent = rig.cluster.agents[0];
        let about = json!({"container_id": self.id()});
        // What recovered is gone before the agent says that it did, or is being waited for.
        let (code, told) = wait_for("the agent to have recovered", PATIENCE, || {
            call(agent, "WAIT_CONTAINER", &about).filter(|(code, _)| *code != 503)
        });
        let removes = point.contains("remove") || point.ends_with("removed");
        let session = self.way == Way::Session;
        let written = std::fs::read_to_string(rig.path("").join(self.sandbox()).join("stdout"));
        let has_run = written.as_ref().is_ok_and(|text| text.contains("words"));
        if !removes && point != "recovery" {
            let late = ways::has_run(point);
            // Of a session that an agent of before had, it may be ended before it has written anything.
            if !(session && point.ends_with("after go on")) {
                assert_eq!(has_run, late, "{point}: {written:?}");
            }
            if self.way.kind().is_nested() && late && !session {
                assert_eq!(
                    (code, &told["wait_container"]["exit_status"]),
                    (200, &json!(0)),
                    "{point}: {told}"
                );
            }
        }
        if !self.way.kind().is_nested() {
            return;
        }
        // What is told of its end is told until somebody removes it.
        let (removed, words) = call(agent, "REMOVE_CONTAINER", &about).expect("an answer");
        assert_eq!(removed, 200, "{point}: {words}");
        assert!(!rig.path("").join(self.sandbox()).exists(), "{point}");
        assert_eq!(self.outer.as_ref(), Some(&self.outer_process(rig)), "{point}: what is around it goes on");
    }

    fn is_over(&mut self, rig: &Rig) {
        if self.outer.is_some() {
            let killed =
                call(rig.cluster.agents[0], "KILL_CONTAINER", &json!({"container_id": {"value": OUTER}}));
            assert_eq!(killed.map(|(code, _)| code), Some(200));
        }
    }
}
