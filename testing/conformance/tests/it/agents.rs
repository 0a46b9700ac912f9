//! What becomes of an agent's resources with real processes: promised twice, made into volumes, destroyed, drained.
//!
//! Rows: U007, U008, U061, U069.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use messor_testkit::{Cluster, Options, get, post, wait_for};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

/// A v1 framework of the role "web", with the events that it hears.
struct Framework {
    master: SocketAddr,
    stream: String,
    id: Value,
    events: Receiver<Value>,
}

impl Framework {
    fn subscribe(master: SocketAddr, user: &str, capabilities: &[&str]) -> Framework {
        let capabilities: Vec<Value> = capabilities.iter().map(|kind| json!({"type": kind})).collect();
        let info = json!({"user": user, "name": "agents", "roles": ["web"], "checkpoint": true,
                          "failover_timeout": 100, "capabilities": capabilities});
        let body = json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}).to_string();
        let mut socket = TcpStream::connect(master).expect("the master listens");
        write!(
            socket,
            "POST /api/v1/scheduler HTTP/1.1\r\nHost: {master}\r\nContent-Type: application/json\r\n\
             Accept: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("the call is sent");
        let mut reader = BufReader::new(socket);
        let mut stream = None;
        loop {
            let line = line(&mut reader).expect("the head of the answer");
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or((line.as_str(), ""));
            if name.eq_ignore_ascii_case("mesos-stream-id") {
                stream = Some(value.trim().to_string());
            }
        }
        let (sender, events) = channel();
        std::thread::spawn(move || {
            let mut records = BufReader::new(Chunks { reader, left: 0 });
            while let Some(length) = line(&mut records).and_then(|length| length.parse().ok()) {
                let mut record = vec![0; length];
                let read = records.read_exact(&mut record).ok();
                let event = read.and_then(|()| serde_json::from_slice(&record).ok());
                if event.is_none_or(|event| sender.send(event).is_err()) {
                    break;
                }
            }
        });
        let mut framework = Framework { master, stream: stream.expect("a stream"), id: Value::Null, events };
        framework.id = framework.next("SUBSCRIBED", |_| true)["subscribed"]["framework_id"].clone();
        framework
    }

    fn call(&self, mut call: Value) {
        call["framework_id"] = self.id.clone();
        let body = call.to_string();
        let mut socket = TcpStream::connect(self.master).expect("the master listens");
        write!(
            socket,
            "POST /api/v1/scheduler HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Mesos-Stream-Id: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            self.master,
            self.stream,
            body.len()
        )
        .expect("the call is sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 202"), "{call}: {answer}");
    }

    /// The next event of a kind that fits; updates before it are acknowledged, and offers declined.
    fn next(&self, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left).unwrap_or_else(|_| panic!("no {kind} that fits"));
            let status = &event["update"]["status"];
            if !status["uuid"].is_null() {
                self.call(json!({"type": "ACKNOWLEDGE", "acknowledge": {"agent_id": status["agent_id"],
                    "task_id": status["task_id"], "uuid": status["uuid"]}}));
            }
            if event["type"] == kind && fits(&event) {
                return event;
            }
            for offer in event["offers"]["offers"].as_array().into_iter().flatten() {
                self.call(json!({"type": "DECLINE", "decline": {"offer_ids": [offer["id"]],
                    "filters": {"refuse_seconds": 0}}}));
            }
        }
    }

    fn offer(&self, fits: impl Fn(&Value) -> bool) -> Value {
        self.offer_of(|all| all.iter().any(&fits))
    }

    /// One whose resources fit as a whole: what is new of an agent may come in an offer of its own.
    fn offer_of(&self, fits: impl Fn(&[Value]) -> bool) -> Value {
        let has =
            |event: &Value| event["offers"]["offers"][0]["resources"].as_array().is_some_and(|all| fits(all));
        self.next("OFFERS", has)["offers"]["offers"][0].clone()
    }

    fn accept(&self, offer: &Value, operations: Vec<Value>) {
        self.call(json!({"type": "ACCEPT", "accept": {"offer_ids": [offer["id"]],
            "operations": operations, "filters": {"refuse_seconds": 0}}}));
    }

    fn until(&self, task: &str, state: &str) -> Value {
        let fits = |event: &Value| {
            let status = &event["update"]["status"];
            status["task_id"]["value"] == task && status["state"] == state
        };
        self.next("UPDATE", fits)["update"]["status"].clone()
    }
}

fn line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    let read = reader.read_line(&mut line).ok()?;
    (read > 0).then(|| line.trim_end().to_string())
}

/// The body of a chunked answer.
struct Chunks {
    reader: BufReader<TcpStream>,
    left: usize,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.left == 0 {
            let Some(size) = line(&mut self.reader) else { return Ok(0) };
            // Empty: the end of the chunk before.
            if !size.is_empty() {
                self.left = usize::from_str_radix(&size, 16).map_err(std::io::Error::other)?;
                if self.left == 0 {
                    return Ok(0);
                }
            }
        }
        let limit = buffer.len().min(self.left);
        let read = self.reader.read(&mut buffer[..limit])?;
        self.left -= read;
        Ok(read)
    }
}

fn scalar(name: &str, amount: f64) -> Value {
    json!({"name": name, "type": "SCALAR", "scalar": {"value": amount}, "allocation_info": {"role": "web"}})
}

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
