//! `mesos-log` as a program: it initializes, runs replicas that find each other in ZooKeeper, measures appends, reads.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use messor_testkit::{ZooKeeper, binary, wait_for};

fn tool(words: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("log").args(words).env("LIBPROCESS_IP", "127.0.0.1");
    command
}

fn run(words: &[&str]) -> Output {
    tool(words).output().expect("mesos-log runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn flag(name: &str, value: &Path) -> String {
    format!("--{name}={}", value.display())
}

#[test]
fn a_log_is_initialized_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = flag("path", &folder.path().join("log"));
    assert!(run(&["initialize", &path]).status.success());
    let again = run(&["initialize", &path, "--timeout=10secs"]);
    assert_eq!(again.status.code(), Some(1));
    assert!(said(&again).contains("not empty: it is VOTING"), "{}", said(&again));
    let read = run(&["read", &path]);
    assert!(read.status.success() && read.stdout.is_empty(), "{}", said(&read));
}

#[test]
fn what_cannot_be_is_told() {
    for (words, expected) in [
        (&["read"][..], "--path is required"),
        (&["read", "--path=/no/such/log"], "/no/such/log"),
        (&["read", "--path=/tmp", "--quorum=1"], "--quorum is not for 'read'"),
        (&["grow"], "there is no command 'grow'"),
        (&[], "Usage: mesos-log COMMAND"),
        (&["replica", "--path=/tmp/x", "--quorum=1"], "--servers is required"),
    ] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(said(&output).contains(expected), "{words:?}: {}", said(&output));
    }
    assert!(said(&run(&["help", "read"])).contains("--path"));
}

#[test]
fn replicas_find_each_other_in_zookeeper() {
    let Some(zookeeper) = ZooKeeper::start(1) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    let servers = format!("--servers={}", zookeeper.servers());
    let group = ["--quorum=2", "--znode=/log", &servers];
    let replicas: Vec<Running> = ["one", "two"]
        .iter()
        .map(|name| {
            let child = tool(&["replica", &flag("path", &at(name))])
                .args(group)
                .stderr(Stdio::null())
                .spawn()
                .expect("mesos-log runs");
            Running(child)
        })
        .collect();
    std::fs::write(at("trace"), "100B\n2MB\n0B\n").expect("a file is written");
    let measured = tool(&["benchmark", &flag("path", &at("three"))])
        .args(group)
        .args([flag("input", &at("trace")), flag("output", &at("times")), "--type=one".to_string()])
        .output()
        .expect("mesos-log runs");
    assert!(measured.status.success(), "{}", said(&measured));
    assert!(said(&measured).contains("Total number of appends: 3"), "{}", said(&measured));
    let times = std::fs::read_to_string(at("times")).expect("it is written");
    let sizes: Vec<&str> = times.lines().filter_map(|line| line.split(' ').nth(3)).collect();
    assert_eq!(sizes, ["100", "2097152", "0"], "{times}");
    // A replica's files are in use while it runs; what it learned is there when it has ended.
    let busy = run(&["read", &flag("path", &at("one"))]);
    assert!(said(&busy).contains("another program uses this log"), "{}", said(&busy));
    drop(replicas);
    let read = wait_for("the files to be free", Duration::from_secs(10), || {
        Some(run(&["read", &flag("path", &at("three"))])).filter(|read| read.status.success())
    });
    let text = String::from_utf8_lossy(&read.stdout);
    assert_eq!(text.matches("type: APPEND").count(), 3);
    assert!(
        text.starts_with("----------------------------------------------\nposition: "),
        "{}",
        &text[..200]
    );
}
