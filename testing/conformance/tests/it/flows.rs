//! Whole scenarios of a v1 framework, compared with what the real 1.11.0 answered.
//!
//! Rows: U032, U033, U049, U088, U100.

use std::collections::BTreeSet;
use std::process::Command;

use messor_testkit::{Cluster, oracle, skip};

/// All that were recorded.
const CARRIED: [&str; 9] = [
    "run-a-command",
    "a-command-fails",
    "kill-a-task",
    "a-task-too-large",
    "an-unknown-offer",
    "reconcile-an-unknown-task",
    "a-health-checked-task",
    "a-task-group",
    "reserve-and-unreserve",
];

#[test]
fn flows_are_those_of_apache_mesos() {
    let Some(oracle) = oracle() else { return skip("flows: ../shared is not there") };
    let cluster = Cluster::start();
    let url = format!("http://{}", cluster.master);
    let ran = Command::new(oracle.join("flow"))
        .args(["run", "--master", &url, "--only", &CARRIED.join(",")])
        .output()
        .expect("flow runs");
    let answers = cluster.folder().join("answers.jsonl");
    std::fs::write(&answers, &ran.stdout).expect("a file is written");
    let recorded = std::fs::read_to_string(oracle.join("flows-1.11.0.jsonl")).expect("recorded flows");
    let carried: BTreeSet<_> = CARRIED.iter().map(|n| format!("\"name\": \"{n}\"")).collect();
    let expected: String = recorded
        .lines()
        .filter(|l| carried.iter().any(|n| l.contains(n.as_str())))
        .map(|l| format!("{l}\n"))
        .collect();
    assert_eq!(expected.lines().count(), CARRIED.len(), "a flow of that name is not recorded");
    let wanted = cluster.folder().join("expected.jsonl");
    std::fs::write(&wanted, expected).expect("a file is written");
    let diff =
        Command::new(oracle.join("flow")).arg("diff").arg(&wanted).arg(&answers).output().expect("flow runs");
    assert!(
        diff.status.success(),
        "{}{}",
        String::from_utf8_lossy(&diff.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
}
