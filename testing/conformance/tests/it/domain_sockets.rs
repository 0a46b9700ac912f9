//! Executors that reach their agent over a socket in the file system: `--http_executor_domain_sockets`.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use messor_testkit::{Cluster, Options};
use serde_json::json;

use crate::recovery::{Execution, PATIENCE};
use crate::tasks::{task, text};

fn with_socket() -> Options {
    Options { agent_flags: vec!["--http_executor_domain_sockets".into()], ..Options::default() }
}

/// The sockets of the executors of a cluster.
fn sockets_of_executors(cluster: &Cluster) -> BTreeSet<String> {
    let mark = format!("MESOS_SANDBOX={}", cluster.folder().display());
    let mut found = BTreeSet::new();
    for process in std::fs::read_dir("/proc").expect("processes").flatten() {
        let path = process.path();
        let environment = std::fs::read(path.join("environ")).unwrap_or_default();
        let arguments = std::fs::read(path.join("cmdline")).unwrap_or_default();
        let is_of = environment.split(|byte| *byte == 0).any(|one| one.starts_with(mark.as_bytes()));
        if is_of && String::from_utf8_lossy(&arguments).contains("executor") {
            let links = std::fs::read_dir(path.join("fd")).into_iter().flatten().flatten();
            let names = links.filter_map(|link| {
                Some(std::fs::read_link(link.path()).ok()?.to_string_lossy().into_owned())
            });
            found.extend(
                names.filter_map(|name| Some(name.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())),
            );
        }
    }
    found
}

fn inodes(table: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(Path::new("/proc/net").join(table)).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

fn ask(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("the agent listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.write_all(request.as_bytes()).expect("the request goes out");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn executors_come_over_the_socket_and_come_back_over_it() {
    let mut cluster = Cluster::with(&with_socket());
    let go = cluster.folder().join("go");
    let command = format!("echo $MESOS_DOMAIN_SOCKET; until test -e {}; do sleep 0.1; done", go.display());
    let running = Execution::start(&cluster, "command", &command, &["--checkpoint", "--show_output"]);
    running.until("TASK_RUNNING");
    let sockets = sockets_of_executors(&cluster);
    let (local, tcp) = (inodes("unix"), inodes("tcp"));
    assert!(sockets.iter().any(|socket| local.contains(socket)), "{sockets:?}");
    assert!(!sockets.iter().any(|socket| tcp.contains(socket)), "{sockets:?}");
    cluster.kill("agent0");
    cluster.restart_agent(0, &with_socket().agent_flags);
    std::fs::write(&go, "").expect("a file");
    running.until("TASK_FINISHED");
    running.until("agent0-run/agent.sock");
}

#[test]
fn a_task_group_runs_over_the_socket() {
    let cluster = Cluster::with(&with_socket());
    let group = json!({"tasks": [
        task("one", json!({"value": "true"})),
        task("two", json!({"value": "true"})),
    ]});
    let path = cluster.folder().join("group.json");
    std::fs::write(&path, group.to_string()).expect("a file");
    let output = Command::new(cluster.bin().join("mesos-execute"))
        .arg(format!("--master={}", cluster.master))
        .arg(format!("--task_group={}", path.display()))
        .output()
        .expect("mesos-execute runs");
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn the_socket_is_for_executors_alone() {
    let cluster = Cluster::with(&with_socket());
    let socket = cluster.folder().join("agent0-run/agent.sock");
    for (request, status) in [
        ("GET /slave(1)/state HTTP/1.1", "403"),
        ("GET /files/browse?path=/ HTTP/1.1", "403"),
        // A libprocess message is none here.
        ("POST /slave(1)/mesos.internal.ShutdownMessage HTTP/1.1\r\nLibprocess-From: x@127.0.0.1:1", "403"),
        ("POST /slave(1)/api/v1/executor HTTP/1.1", "4"),
        ("POST /slave(1)/api/v1 HTTP/1.1", "4"),
    ] {
        let answer = ask(
            &socket,
            &format!("{request}\r\nHost: agent\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
        );
        let got = answer.split(' ').nth(1).unwrap_or_default();
        assert!(got.starts_with(status), "{request}: {answer}");
        assert_eq!(got == "403", status == "403", "{request}: {answer}");
    }
}
