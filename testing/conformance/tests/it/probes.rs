//! Single requests, compared with what the real 1.11.0 answered.
//!
//! Rows: U027, U070, U074, U090, U094.

use std::process::Command;

use messor_testkit::{Cluster, oracle, skip};

/// Probes of what this state of Messor does not carry: resource providers, which answer 501. v1-SUBSCRIBE was recorded
/// while a framework registered.
const NOT_CARRIED: [&str; 2] = ["v1-SUBSCRIBE", "rp-subscribe-missing"];

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
