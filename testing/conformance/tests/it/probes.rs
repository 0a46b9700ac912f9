//! Single requests, compared with what the real 1.11.0 answered: those of ../shared, and those of testing/conformance/probes
//! that ask what these leave out.
//!
//! Rows: U027, U070, U074, U090, U094.

use std::path::Path;
use std::process::Command;

use messor_testkit::{Cluster, oracle, root, skip};

/// Probes whose answers differ: v1-SUBSCRIBE was recorded while a framework registered.
const DIFFERENT: [&str; 1] = ["v1-SUBSCRIBE"];

/// Of the own ones: 1.11.0 answers 500 where a nested container that is to be removed is not there.
const DIFFERENT_OF_OWN: [&str; 1] = ["agent-v1-REMOVE_NESTED_CONTAINER-unknown"];

/// Sends the probes to a fresh cluster and gives the names of those that are answered otherwise.
fn compare(oracle: &Path, probes: &Path, recorded: &Path, differ: &[&str]) {
    let cluster = Cluster::local();
    let agent = format!("http://{}/slave(1)", cluster.agents[0]);
    let ran = Command::new(oracle.join("probe"))
        .arg("run")
        .arg(probes)
        .args(["--master", &format!("http://{}", cluster.master), "--agent", &agent])
        .output()
        .expect("probe runs");
    let answers = cluster.folder().join("answers.jsonl");
    std::fs::write(&answers, &ran.stdout).expect("a file is written");
    let diff = Command::new(oracle.join("probe")).arg("diff").args([recorded, &answers]).output();
    let diff = diff.expect("probe runs");
    let said = String::from_utf8_lossy(&diff.stdout);
    eprintln!("probes equal to 1.11.0: {}", said.lines().last().unwrap_or_default());
    let found: Vec<&str> = said.lines().filter_map(|l| l.strip_prefix("## ")).collect();
    let unexpected: Vec<_> = found.iter().filter(|n| !differ.contains(n)).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}\n{said}");
    let equal: Vec<_> = differ.iter().filter(|n| !found.contains(n)).collect();
    assert!(equal.is_empty(), "these are equal now, take them off the list: {equal:?}");
}

#[test]
fn probes_are_those_of_apache_mesos() {
    let Some(oracle) = oracle() else { return skip("probes: ../shared is not there") };
    compare(&oracle, &oracle.join("probes.jsonl"), &oracle.join("answers-1.11.0.jsonl"), &DIFFERENT);
}

#[test]
fn what_the_other_probes_leave_out() {
    let Some(oracle) = oracle() else { return skip("probes: ../shared is not there") };
    let own = root().join("testing/conformance/probes");
    compare(&oracle, &own.join("probes.jsonl"), &own.join("1.11.0.jsonl"), &DIFFERENT_OF_OWN);
}
