//! A master takes over what another left on disk: Messor from Apache Mesos, Apache Mesos from Messor, Messor from itself.

use std::process::Command;
use std::time::Duration;

use messor_net::{Mailbox, Net, NetEvent, Server, ServerOptions};
use messor_proto::Wire;
use messor_proto::mesos::internal::{AgentRegisteredMessage, RegisterAgentMessage};
use messor_proto::mesos::{AgentInfo, agent_info};
use messor_testkit::{Cluster, Options, free_port, get, oracle, post, request, skip, wait_for};
use serde_json::{Value, json};

use crate::real::RealMaster;

const PATIENCE: Duration = Duration::from_secs(30);

fn alone() -> Options {
    Options { agents: 0, ..Options::default() }
}

/// A cluster's folder whose master's work_dir is what a real 1.11.0 master left, and its registry as it showed it.
fn left_by_apache_mesos() -> Option<(tempfile::TempDir, Value)> {
    let Some(oracle) = oracle() else {
        skip("the take-over of a 1.11.0 master's work_dir: ../shared is not there");
        return None;
    };
    let state = oracle.join("state-1.11.0");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let work_dir = folder.path().join("master");
    std::fs::create_dir(&work_dir).expect("a folder in a temporary folder");
    let archive = state.join("master-work_dir.tar.gz");
    let unpacked = Command::new("tar").arg("xzf").arg(archive).arg("-C").arg(&work_dir).status();
    assert!(unpacked.expect("tar runs").success());
    let registry = std::fs::read(state.join("registry.json")).expect("registry.json is there");
    Some((folder, serde_json::from_slice(&registry).expect("JSON")))
}

fn registry(cluster: &Cluster) -> Value {
    wait_for("the registry", PATIENCE, || {
        let registry = get(cluster.master, "/registrar(1)/registry").ok()?.json();
        registry.get("master").is_some().then_some(registry)
    })
}

/// All but the master's name, which is new with each.
fn without_master(mut registry: Value) -> Value {
    registry.as_object_mut().expect("an object").remove("master");
    registry
}

fn read_v1(address: std::net::SocketAddr, kind: &str) -> Value {
    post(address, "/master/api/v1", &json!({ "type": kind })).expect("an answer").json()
}

/// The quota, weights, schedule and agent that the 1.11.0 master had, as a master at this address shows them.
fn has_what_was_left(address: std::net::SocketAddr, agent: &str) {
    let quota = wait_for("the registry", PATIENCE, || {
        get(address, "/master/quota").ok().filter(|answer| answer.status == 200)
    });
    let quota = quota.json();
    assert_eq!(quota["configs"][0]["role"], "flow");
    assert_eq!(quota["configs"][0]["guarantees"], json!({"cpus": {"value": 1.0}}));
    assert_eq!(quota["configs"][0]["limits"], json!({"cpus": {"value": 3.0}, "mem": {"value": 3000.0}}));
    let weights = get(address, "/master/weights").expect("an answer").json();
    assert!(weights.as_array().expect("a list").contains(&json!({"role": "flow", "weight": 2.5})));
    let schedule = get(address, "/master/maintenance/schedule").expect("an answer").json();
    assert_eq!(schedule["windows"][0]["machine_ids"][0]["hostname"], "elsewhere.example");
    let status = get(address, "/master/maintenance/status").expect("an answer").json();
    assert_eq!(status["draining_machines"][0]["id"]["ip"], "127.0.0.7");
    let agents = read_v1(address, "GET_AGENTS");
    let recovered = agents["get_agents"]["recovered_agents"].as_array().expect("a list");
    assert!(recovered.iter().any(|info| info["id"]["value"] == agent), "{agents}");
}

fn put_weights(cluster: &Cluster, body: &str) {
    let answer = request(cluster.master, "PUT", "/weights", &[], body.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// U111, U112.
#[test]
fn a_registry_goes_from_apache_mesos_to_messor_and_back() {
    let Some((folder, left)) = left_by_apache_mesos() else { return };
    let agent = left["slaves"]["slaves"][0]["info"]["id"]["value"].as_str().expect("an id").to_string();
    let mut cluster = Cluster::within(folder, &alone());
    assert_eq!(without_master(registry(&cluster)), without_master(left.clone()));
    has_what_was_left(cluster.master, &agent);
    // What it writes itself is there as well after a crash.
    put_weights(&cluster, r#"[{"role": "messor", "weight": 4}]"#);
    cluster.restart_master();
    let mut more = without_master(left);
    more["weights"].as_array_mut().expect("a list").push(json!({"info": {"role": "messor", "weight": 4.0}}));
    assert_eq!(without_master(registry(&cluster)), more);
    has_what_was_left(cluster.master, &agent);
    cluster.kill("master");

    let Some(real) = RealMaster::start(free_port(), 1, cluster.folder(), &[]) else { return };
    has_what_was_left(real.address, &agent);
    let weights = get(real.address, "/master/weights").expect("an answer").json();
    assert!(weights.as_array().expect("a list").contains(&json!({"role": "messor", "weight": 4.0})));
    drop(real);

    // And once more the other way round.
    cluster.restart_master();
    has_what_was_left(cluster.master, &agent);
}

const RESOURCES: &str = "cpus:2;mem:1024;disk:1024;ports:[31000-32000]";

/// The only agent of a master: its id, and what is reserved of it, once something is.
fn reserved_agent(address: std::net::SocketAddr) -> (String, Value) {
    wait_for("the agent with its reservation", PATIENCE, || {
        let agents = get(address, "/master/slaves").ok()?.json();
        let agent = agents["slaves"].as_array()?.iter().find(|agent| agent["active"] == true)?.clone();
        let reserved = agent["reserved_resources_full"]["keep"].clone();
        reserved.is_array().then(|| (agent["id"].as_str().expect("an id").to_string(), reserved))
    })
}

/// U113: what a real agent keeps on disk is taken up by Messor's, and what Messor's leaves by the real one.
#[test]
fn an_agent_goes_from_apache_mesos_to_messor_and_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = free_port();
    let more = [
        format!("MESOS_RUNTIME_DIR={}", folder.path().join("run").display()),
        format!("MESOS_RESOURCES={RESOURCES}"),
        "MESOS_HOSTNAME=localhost".to_string(),
    ];
    let Some(real) = RealMaster::start(port, 1, folder.path(), &more) else { return };
    let id = wait_for("the real agent", PATIENCE, || {
        let agents = get(real.address, "/master/slaves").ok()?.json();
        Some(agents["slaves"][0]["id"].as_str()?.to_string())
    });
    let reservation = json!([{"type": "DYNAMIC", "role": "keep"}]);
    let disk =
        json!({"name": "disk", "type": "SCALAR", "scalar": {"value": 64.0}, "reservations": reservation});
    let mut volume = disk.clone();
    volume["disk"] = json!({
        "persistence": {"id": "v1"},
        "volume": {"container_path": "data", "mode": "RW"},
    });
    let agent_id = json!({ "value": id });
    for call in [
        json!({"type": "RESERVE_RESOURCES", "reserve_resources": {"agent_id": agent_id, "resources": [disk]}}),
        json!({"type": "CREATE_VOLUMES", "create_volumes": {"agent_id": agent_id, "volumes": [volume]}}),
    ] {
        let answer = post(real.address, "/master/api/v1", &call).expect("an answer");
        assert_eq!(answer.status, 202, "{}", answer.text());
    }
    let (_, reserved) = reserved_agent(real.address);
    let work_dir = folder.path().join("agents/0/work");
    wait_for("the real agent's checkpoint", PATIENCE, || {
        work_dir.join("volumes/roles/keep/v1").is_dir().then_some(())
    });
    drop(real);

    let cluster = Cluster::with(&alone());
    let mut agent = Command::new(cluster.bin().join("mesos-agent"))
        .arg(format!("--master={}", cluster.master))
        .arg(format!("--work_dir={}", work_dir.display()))
        .arg(format!("--runtime_dir={}", folder.path().join("agents/0/run").display()))
        .args(["--ip=127.0.0.1", "--hostname=localhost", "--launcher=posix", &format!("--port={port}")])
        .arg(format!("--resources={RESOURCES}"))
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("mesos-agent runs");
    let seen = reserved_agent(cluster.master);
    agent.kill().expect("it is ours");
    agent.wait().expect("it is ours");
    assert_eq!(seen, (id.clone(), reserved.clone()));

    let Some(real) = RealMaster::start(port, 1, folder.path(), &more) else { return };
    assert_eq!(reserved_agent(real.address), (id, reserved));
}

/// A network of its own for agents that exist in the test alone.
async fn network() -> Net {
    let ip = Some([127, 0, 0, 1].into());
    let server = Server::bind(ServerOptions { ip, ..ServerOptions::default() }).await.expect("a port");
    let net = server.net();
    let nothing = |_request, _peer| async { messor_net::text(http::StatusCode::NOT_FOUND, "nothing\n") };
    tokio::spawn(server.serve(nothing, std::future::pending()));
    net
}

/// Registers an agent, and tells its id the moment that the master acknowledges it.
async fn register(net: &Net, mailbox: &mut Mailbox, process: &str, master: std::net::SocketAddr) -> String {
    let message = RegisterAgentMessage {
        agent: AgentInfo {
            hostname: "localhost".into(),
            port: Some(i32::from(net.address().port())),
            checkpoint: Some(true),
            ..AgentInfo::default()
        },
        version: Some("1.11.0".into()),
        agent_capabilities: vec![agent_info::Capability {
            r#type: Some(agent_info::capability::Type::MultiRole.into()),
        }],
        ..RegisterAgentMessage::default()
    };
    let master = format!("master@{master}").parse().expect("a PID");
    loop {
        net.send(process, &master, RegisterAgentMessage::NAME, message.encode_bytes());
        let heard = tokio::time::timeout(Duration::from_secs(2), mailbox.recv()).await;
        if let Ok(NetEvent::Message(packet)) = heard
            && packet.name == AgentRegisteredMessage::NAME
        {
            let registered = AgentRegisteredMessage::decode_checked(&packet.body).expect("a message");
            return registered.agent_id.value;
        }
    }
}

/// What was acknowledged is on disk, whenever the master is killed.
#[test]
fn an_agent_that_was_told_it_is_registered_is_in_the_registry() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let net = runtime.block_on(network());
    let mut cluster = Cluster::with(&alone());
    let mut acknowledged = Vec::new();
    for round in 0..8 {
        let process = format!("slave({})", round + 1);
        let mut mailbox = net.open(&process).expect("a new process");
        let id = runtime.block_on(register(&net, &mut mailbox, &process, cluster.master));
        // With kill -9, at once.
        cluster.restart_master();
        acknowledged.push(id);
        let registry = registry(&cluster);
        let known = registry["slaves"]["slaves"].as_array().expect("a list");
        let known: Vec<&str> =
            known.iter().filter_map(|agent| agent["info"]["id"]["value"].as_str()).collect();
        assert_eq!(known, acknowledged);
    }
}
