//! Three masters over a real ZooKeeper: who leads, what the others answer, what outlives whom.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use messor_testkit::{ZooKeeper, binary, free_port, get, post, request, wait_for};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);

/// A master's process; killed when it is dropped.
struct Master {
    address: SocketAddr,
    process: Child,
}

impl Master {
    fn start(folder: &Path, number: usize, port: u16, zookeeper: &str) -> Master {
        let work_dir = folder.join(format!("master{number}"));
        let log = File::options().append(true).create(true).open(folder.join(format!("master{number}.log")));
        let log = log.expect("a log file");
        let process = Command::new(binary())
            .args([
                "master",
                "--ip=127.0.0.1",
                "--hostname=localhost",
                "--quorum=2",
                "--zk_session_timeout=5secs",
            ])
            .arg(format!("--port={port}"))
            .arg(format!("--zk={zookeeper}"))
            .arg(format!("--work_dir={}", work_dir.display()))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log file"))
            .stderr(log)
            .spawn()
            .expect("the master starts");
        Master { address: SocketAddr::from(([127, 0, 0, 1], port)), process }
    }

    /// Elected, and with its registry.
    fn leads(&self) -> Option<()> {
        let registry = get(self.address, "/registrar(1)/registry").ok()?.json();
        let own = registry["master"]["info"]["port"].as_u64()? == u64::from(self.address.port());
        own.then_some(())
    }

    fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.kill();
    }
}

fn leader_of(masters: &[Master]) -> usize {
    wait_for("a master to lead", PATIENCE, || masters.iter().position(|master| master.leads().is_some()))
}

fn weights(address: SocketAddr) -> Value {
    get(address, "/weights").expect("an answer").json()
}

fn set_weight(address: SocketAddr, role: &str) {
    let body = json!([{ "role": role, "weight": 2.0 }]).to_string();
    let answer = request(address, "PUT", "/weights", &[], body.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn masters_come_and_go_and_the_registry_stays() {
    let Some(mut zookeeper) = ZooKeeper::start(1) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("zk://{}/mesos", zookeeper.servers());
    let ports = [free_port(), free_port(), free_port()];
    let start = |number: usize| Master::start(folder.path(), number, ports[number], &url);
    let mut masters: Vec<Master> = (0..3).map(start).collect();

    let first = leader_of(&masters);
    set_weight(masters[first].address, "first");
    let leader = format!("//localhost:{}", masters[first].address.port());
    for standby in (0..3).filter(|number| *number != first) {
        let address = masters[standby].address;
        wait_for("the standby to know who leads", PATIENCE, || {
            (get(address, "/redirect").ok()?.header("location") == Some(leader.as_str())).then_some(())
        });
        let call = post(address, "/api/v1?x=y", &json!({"type": "GET_WEIGHTS"})).expect("an answer");
        assert_eq!(
            (call.status, call.header("location")),
            (307, Some(format!("{leader}/api/v1?x=y").as_str()))
        );
        assert_eq!(get(address, "/state").expect("an answer").status, 307);
        assert_eq!(get(address, "/health").expect("an answer").status, 200);
    }

    // kill -9 of the leader: another leads, with everything that was acknowledged.
    masters[first].kill();
    let second = leader_of(&masters);
    assert_ne!(second, first);
    set_weight(masters[second].address, "second");
    assert_eq!(weights(masters[second].address).as_array().map(Vec::len), Some(2));

    // It comes back as a standby, and leads when the others are gone but one: its log has caught up.
    masters[first] = start(first);
    wait_for("the master to come back", PATIENCE, || get(masters[first].address, "/health").ok());
    masters[second].kill();
    let third = leader_of(&masters);
    set_weight(masters[third].address, "third");
    assert_eq!(weights(masters[third].address).as_array().map(Vec::len), Some(3));

    // Without ZooKeeper nobody may lead: the leader ends, by itself and with an error.
    zookeeper.kill(0);
    let status = wait_for("the leader to end", PATIENCE, || masters[third].process.try_wait().ok()?);
    assert_eq!(status.code(), Some(1));
}
