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

/// Two replicas make a new log work; the third may still be empty then. Killing one of the two before it has joined
/// would leave no quorum, for good.
fn all_replicas_vote(masters: &[Master]) {
    for master in masters {
        wait_for("a replica to join the quorum", PATIENCE, || {
            let metrics = get(master.address, "/metrics/snapshot").ok()?.json();
            (metrics["registrar/log/recovered"].as_f64()? == 1.0).then_some(())
        });
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

/// Who leads and has no quorum for its log does its work, and is of no use to anybody yet.
#[test]
fn a_leader_without_a_quorum_is_not_ready() {
    let Some(zookeeper) = ZooKeeper::start(1) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("zk://{}/mesos", zookeeper.servers());
    let first = Master::start(folder.path(), 0, free_port(), &url);
    let ask = |path: &str| {
        let answer = get(first.address, path).ok()?;
        Some((answer.status, answer.json()))
    };
    let (status, body) = wait_for("the master to be elected", PATIENCE, || {
        ask("/health/ready").filter(|(_, body)| body["leads"] == true)
    });
    assert_eq!((status, &body["ready"], &body["recovered"]), (503, &json!(false), &json!(false)), "{body}");
    assert_eq!(ask("/health/live"), Some((200, json!({"live": true}))));

    // A log that is new begins when all three are there.
    let _others = [1, 2].map(|number| Master::start(folder.path(), number, free_port(), &url));
    wait_for("the master to be ready", PATIENCE, || {
        ask("/health/ready").filter(|(status, _)| *status == 200)
    });
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
    all_replicas_vote(&masters);
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
        let ready = get(address, "/health/ready").expect("an answer");
        assert_eq!((ready.status, &ready.json()["leads"]), (200, &json!(false)));
    }

    // kill -9 of the leader: another leads, with everything that was acknowledged.
    masters[first].kill();
    let second = leader_of(&masters);
    assert_ne!(second, first);
    set_weight(masters[second].address, "second");
    assert_eq!(weights(masters[second].address).as_array().map(Vec::len), Some(2));

    // It comes back as a standby, and leads when the others are gone but one: its log has caught up.
    masters[first] = start(first);
    all_replicas_vote(&masters[first..=first]);
    masters[second].kill();
    let third = leader_of(&masters);
    set_weight(masters[third].address, "third");
    assert_eq!(weights(masters[third].address).as_array().map(Vec::len), Some(3));

    // Without ZooKeeper nobody may lead: the leader ends, by itself and with an error.
    zookeeper.kill(0);
    let status = wait_for("the leader to end", PATIENCE, || masters[third].process.try_wait().ok()?);
    assert_eq!(status.code(), Some(1));
}

/// A browser that comes to a standby's port is shown the leader's page.
#[test]
fn browsers_are_sent_to_the_leader() {
    if !crate::page::browser() {
        return;
    }
    let Some(zookeeper) = ZooKeeper::start(1) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("zk://{}/mesos", zookeeper.servers());
    let ports = [free_port(), free_port(), free_port()];
    let masters: Vec<Master> =
        (0..3).map(|number| Master::start(folder.path(), number, ports[number], &url)).collect();
    let leader = leader_of(&masters);
    let standby = (leader + 1) % 3;
    wait_for("the standby to know who leads", PATIENCE, || {
        (get(masters[standby].address, "/").ok()?.status == 307).then_some(())
    });
    let name_of = |number: usize| format!("localhost:{}", masters[number].address.port());
    crate::page::node("standby", &[("MESSOR_LEADER", name_of(leader)), ("MESSOR_STANDBY", name_of(standby))]);
}

/// What `mesos-log read` shows of a replica whose master does not run.
fn log_of(folder: &Path, number: usize) -> String {
    let path = folder.join(format!("master{number}/replicated_log"));
    let output =
        Command::new(binary()).args(["log", "read"]).arg(format!("--path={}", path.display())).output();
    let output = output.expect("messor log runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// One of three replicas is damaged. Its master says so and does not vote with what it has; emptied by its operator, it
/// is filled by the two others, and stands in for one of them afterwards.
#[test]
fn a_damaged_replica_is_refused_emptied_and_filled_by_the_others() {
    let Some(zookeeper) = ZooKeeper::start(1) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("zk://{}/mesos", zookeeper.servers());
    let ports = [free_port(), free_port(), free_port()];
    let start = |number: usize| Master::start(folder.path(), number, ports[number], &url);
    let mut masters: Vec<Master> = (0..3).map(start).collect();
    let leader = leader_of(&masters);
    all_replicas_vote(&masters);
    set_weight(masters[leader].address, "before");

    let damaged = (leader + 1) % 3;
    masters[damaged].kill();
    let directory = folder.path().join(format!("master{damaged}/replicated_log"));
    let files = std::fs::read_dir(&directory).expect("a folder").map(|entry| entry.expect("an entry").path());
    let journal = { files }.find(|path| path.extension().is_some_and(|e| e == "log")).expect("a .log file");
    let mut bytes = std::fs::read(&journal).expect("it is read");
    bytes[40] ^= 4;
    std::fs::write(&journal, &bytes).expect("it is damaged");
    masters[damaged] = start(damaged);
    let status = wait_for("its end", PATIENCE, || masters[damaged].process.try_wait().ok()?);
    assert_eq!(status.code(), Some(1));
    let said = std::fs::read_to_string(folder.path().join(format!("master{damaged}.log"))).expect("a log");
    assert!(said.contains("is damaged at byte") && said.contains("move the directory away"), "{said}");
    // The two others do not mind.
    set_weight(masters[leader].address, "meanwhile");

    std::fs::rename(&directory, folder.path().join("aside")).expect("it is moved away");
    masters[damaged] = start(damaged);
    all_replicas_vote(&masters[damaged..=damaged]);
    masters[leader].kill();
    let next = leader_of(&masters);
    assert_ne!(next, leader);
    set_weight(masters[next].address, "after");
    let roles: Vec<Value> = weights(masters[next].address).as_array().expect("a list").clone();
    let mut roles: Vec<&str> = roles.iter().filter_map(|weight| weight["role"].as_str()).collect();
    roles.sort_unstable();
    assert_eq!(roles, ["after", "before", "meanwhile"]);
    // That took both of those that are left, so what they acknowledged is on each of them.
    masters.iter_mut().for_each(Master::kill);
    let refilled = log_of(folder.path(), damaged);
    assert!(["before", "meanwhile", "after"].iter().all(|role| refilled.contains(role)), "{refilled}");
}

/// The oracle's Python, with which a real driver runs; None where the oracle cannot be set up.
fn real_driver(arguments: &[&str], log: &Path) -> Option<Child> {
    let python = crate::real::python("the real 1.11.0 driver over a failover")?;
    let home = crate::real::home();
    let file = File::create(log).expect("a log file");
    let driver = Command::new(python)
        .arg(messor_testkit::root().join("testing/conformance/tests/it/failover_driver.py"))
        .args(arguments)
        .env("LD_LIBRARY_PATH", &home)
        .env("ORACLE_HOME", &home)
        .env("LIBPROCESS_IP", "127.0.0.1")
        .stdin(Stdio::null())
        .stdout(file.try_clone().expect("a log file"))
        .stderr(file)
        .spawn();
    Some(driver.expect("python runs"))
}

/// U111, U114: a framework on the real 1.11.0 driver keeps its tasks over a failover of Messor's masters.
#[test]
fn the_real_driver_and_its_tasks_survive_a_failover() {
    let Some(zookeeper) = ZooKeeper::start(1) else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("zk://{}/mesos", zookeeper.servers());
    let ports = [free_port(), free_port(), free_port()];
    let mut masters: Vec<Master> =
        (0..3).map(|number| Master::start(folder.path(), number, ports[number], &url)).collect();
    let first = leader_of(&masters);
    all_replicas_vote(&masters);
    let agent = messor_testkit::Cluster::agent_under(&url, &[]);
    let log = folder.path().join("driver.log");
    let Some(mut driver) = real_driver(&[&url, "15", "6"], &log) else { return };
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    let count = |what: &str| said().lines().filter(|line| line.ends_with(what)).count();
    wait_for("six tasks to run", PATIENCE, || (count("TASK_RUNNING") == 6).then_some(()));
    masters[first].kill();
    let second = leader_of(&masters);
    // As in 1.11.0: a master that never saw the driver calls it registered, with the id that it had (MESOS-786).
    let id = said().lines().find_map(|l| Some(l.strip_prefix("registered ")?.split_once(' ')?.1.to_string()));
    let again =
        format!("registered {} {}", masters[second].address.port(), id.expect("it was registered before"));
    wait_for("the driver to come back", PATIENCE, || said().contains(&again).then_some(()));
    wait_for("the driver to end", Duration::from_secs(90), || driver.try_wait().ok()?);
    // Each task ended once, by itself: nothing was lost, and nothing is told twice.
    let ends = said().lines().filter(|l| l.starts_with("update") && !l.ends_with("ING")).count();
    assert_eq!(
        (count("TASK_FINISHED"), ends),
        (6, 6),
        "{}\n---- agent ----\n{}",
        said(),
        agent.log("agent0")
    );
}
