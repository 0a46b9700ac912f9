//! What schedulers and operators do with resources, compared with what the real 1.11.0 answered: `scenarios/play.py` plays
//! and compares; `scenarios/1.11.0.jsonl` is what it wrote of the real one.
//!
//! Rows: U007, U014, U015, U044, U048, U054, U070, U081, U085, U098.

use std::path::PathBuf;
use std::process::{Command, Output};

use messor_testkit::{binary, oracle, root, skip};

fn scenarios() -> PathBuf {
    root().join("testing/conformance/scenarios")
}

fn play(arguments: &[&str]) -> Output {
    Command::new(scenarios().join("play.py")).args(arguments).output().expect("play.py runs")
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

/// Plays against one program and compares with the recorded answers; what may differ is said.
fn compare(program: &[&str], flags: &[&str]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ran = play(&[&["run", "--verbose"], program].concat());
    let said = text(&ran.stderr);
    if ran.status.code() == Some(3) {
        return skip(&format!("scenarios on the real 1.11.0: {}", said.trim()));
    }
    assert!(ran.status.success(), "{said}");
    let answers = folder.path().join("answers.jsonl");
    std::fs::write(&answers, &ran.stdout).expect("a file is written");
    let (recorded, answers) = (scenarios().join("1.11.0.jsonl"), answers.display().to_string());
    let diff = play(&[&["diff"], flags, &[&recorded.display().to_string(), &answers]].concat());
    let found = text(&diff.stdout);
    for line in found.lines().filter(|line| line.starts_with("skipped: ")) {
        skip(&format!("scenario {}", line.trim_start_matches("skipped: ")));
    }
    assert!(diff.status.success(), "{found}{said}");
    eprintln!("scenarios: {}", found.lines().last().unwrap_or_default());
}

#[test]
fn scenarios_are_those_of_apache_mesos() {
    compare(&["--messor", &binary().display().to_string()], &[]);
}

/// The recorded answers are still those of the real one.
#[test]
fn recorded_scenarios_are_those_of_the_real_one() {
    let Some(oracle) = oracle() else { return skip("scenarios on the real 1.11.0: ../shared is not there") };
    compare(&["--real", &oracle.join("apache-mesos-local").display().to_string()], &["--same"]);
}
