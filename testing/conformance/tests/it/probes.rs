//! Single requests, compared with what the real 1.11.0 answered.
//!
//! Rows: U027, U070, U074, U090, U094.

use std::process::Command;

use messor_testkit::{Cluster, oracle, skip};

/// Probes of what this state of Messor does not carry: changes of quota and maintenance, draining, resource providers; each
/// answers 501, and reads after them show nothing. v1-SUBSCRIBE was recorded while a framework registered.
const NOT_CARRIED: [&str; 28] = [
    "machine-down-empty",
    "maint-post-empty",
    "maint-post-notjson",
    "quota-post-empty",
    "quota-post-notjson",
    "quota-unknown-role",
    "quota-set",
    "quota-read",
    "quota-delete",
    "quota-too-much",
    "maint-set",
    "maint-read",
    "maint-status-set",
    "machine-down",
    "machine-up",
    "machine-down-unscheduled",
    "maint-dup",
    "maint-clear",
    "v1-SUBSCRIBE",
    "v1-UPDATE_QUOTA",
    "v1-UPDATE_QUOTA-guarantee-over-limit",
    "v1-GET_QUOTA-set",
    "v1-UPDATE_MAINTENANCE_SCHEDULE",
    "v1-START_MAINTENANCE-unknown",
    "v1-clear-maint",
    "v1-DRAIN_AGENT-unknown",
    "rp-subscribe-missing",
    "registry",
];

#[test]
fn probes_are_those_of_apache_mesos() {
    let Some(oracle) = oracle() else { return skip("probes: ../shared is not there") };
    let cluster = Cluster::local();
    let agent = format!("http://{}/slave(1)", cluster.agents[0]);
    let ran = Command::new(oracle.join("probe"))
        .arg("run")
        .arg(oracle.join("probes.jsonl"))
        .args(["--master", &format!("http://{}", cluster.master), "--agent", &agent])
        .output()
        .expect("probe runs");
    let answers = cluster.folder().join("answers.jsonl");
    std::fs::write(&answers, &ran.stdout).expect("a file is written");
    let diff = Command::new(oracle.join("probe"))
        .arg("diff")
        .arg(oracle.join("answers-1.11.0.jsonl"))
        .arg(&answers)
        .output()
        .expect("probe runs");
    let said = String::from_utf8_lossy(&diff.stdout);
    eprintln!("probes equal to 1.11.0: {}", said.lines().last().unwrap_or_default());
    let differ: Vec<&str> = said.lines().filter_map(|l| l.strip_prefix("## ")).collect();
    let unexpected: Vec<_> = differ.iter().filter(|n| !NOT_CARRIED.contains(n)).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}\n{said}");
    let carried: Vec<_> = NOT_CARRIED.iter().filter(|n| !differ.contains(n)).collect();
    assert!(carried.is_empty(), "these are equal now, take them off the list: {carried:?}");
}
