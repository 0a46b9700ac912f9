//! What schedulers and operators do with resources, containers and pods, compared with what the real 1.11.0 answered:
//! `scenarios/play.py` plays and compares; `scenarios/1.11.0.jsonl` is what it wrote of the real one, and `documented.jsonl` what
//! the documentation of Apache Mesos says where the real one cannot be asked. Agents of the real one launch containers with
//! Messor's programs, as its packages have none.
//!
//! Rows: U002, U007, U009, U013, U014, U015, U020, U033, U037, U040, U041, U044, U048, U054, U058, U070, U081, U085, U098.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
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

/// Plays against one program, the answers at the end of a file; why not, where it cannot run here.
fn played(program: &[&str], answers: &Path) -> Result<String, String> {
    let ran = play(&[&["run", "--verbose"], program].concat());
    let said = text(&ran.stderr);
    if ran.status.code() == Some(3) {
        return Err(said);
    }
    assert!(ran.status.success(), "{said}");
    let mut file = File::options().create(true).append(true).open(answers).expect("a file");
    file.write_all(&ran.stdout).expect("a file is written");
    Ok(said)
}

/// Plays against one program and compares with the recorded answers; what may differ is said. With `again`, scenarios that differ
/// are played once more, one at a time: the real one hurried by seven others beside it does not always say the same.
fn compare(program: &[&str], flags: &[&str], expected: &[&str], again: bool) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let answers = folder.path().join("answers.jsonl");
    let mut said = match played(program, &answers) {
        Ok(said) => said,
        Err(why) => return skip(&format!("scenarios on the real 1.11.0: {}", why.trim())),
    };
    let files: Vec<String> = expected
        .iter()
        .map(|name| scenarios().join(name))
        .chain([answers.clone()])
        .map(|path| path.display().to_string())
        .collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let diff = || play(&[&["diff"], flags, &files].concat());
    let mut outcome = diff();
    if again && !outcome.status.success() {
        let found = text(&outcome.stdout);
        let differing: Vec<&str> = found.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        eprintln!("played again, as they differed:\n{found}");
        let only = differing.join(",");
        // Of two answers of a scenario the later counts.
        said +=
            &played(&[program, &["--jobs", "1", "--only", &only]].concat(), &answers).expect("it ran before");
        outcome = diff();
    }
    let found = text(&outcome.stdout);
    for line in found.lines().filter(|line| line.starts_with("skipped: ")) {
        skip(&format!("scenario {}", line.trim_start_matches("skipped: ")));
    }
    assert!(outcome.status.success(), "{found}{said}");
    eprintln!("scenarios: {}", found.lines().last().unwrap_or_default());
}

#[test]
fn scenarios_are_those_of_apache_mesos() {
    let binary = binary().display().to_string();
    compare(&["--messor", &binary], &[], &["1.11.0.jsonl", "documented.jsonl"], false);
}

/// The recorded answers are still those of the real one.
#[test]
fn recorded_scenarios_are_those_of_the_real_one() {
    let Some(oracle) = oracle() else { return skip("scenarios on the real 1.11.0: ../shared is not there") };
    let (real, programs) = (oracle.join("apache-mesos-local"), binary());
    let program = ["--real", &real.display().to_string(), "--programs", &programs.display().to_string()];
    compare(&program, &["--same"], &["1.11.0.jsonl"], true);
}
