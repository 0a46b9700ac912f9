//! The benchmarks in small: their own checks are what is tested here, not their times.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use messor_bench::allocator::{Kind, measure};
use messor_bench::compare::{Work, play};
use messor_bench::masters::{self, Programs};
use messor_bench::report::Report;
use messor_bench::{codec, containers, counts, inprocess};

fn lines(name: &str, kind: Kind) -> Vec<String> {
    let mut report = Report::default();
    measure(name, kind, &mut report).unwrap();
    assert!(report.lines.iter().all(|line| line.best() >= 0.0 && line.best() <= line.median()));
    report.lines.into_iter().map(|line| line.what).collect()
}

#[test]
fn every_offer_is_declined_for_ever() {
    for roles in [1, 7] {
        let kind = Kind::Declining { agents: 40, frameworks: 7, roles, rounds: 7 };
        assert!(
            lines("declining", kind).iter().any(|what| what == "the cycle after all declined everything")
        );
    }
}

#[test]
fn quota_of_many_roles_is_satisfied() {
    let kind = Kind::Quota { small: 50, large: 10 };
    assert!(lines("quota", kind).iter().any(|what| what == "the cycle that satisfies all quota"));
}

#[test]
fn reservations_are_converted() {
    let kind = Kind::Reservations { roles: 20, repetitions: 3 };
    assert_eq!(lines("reservations", kind), ["adding the agent", "3 times unreserving and reserving"]);
}

#[test]
fn the_poorest_of_a_tree_is_served() {
    for (levels, branches) in [(1, 30), (2, 5), (4, 2)] {
        let kind = Kind::Sorter { agents: 101, levels, branches };
        assert!(lines("sorter", kind).iter().any(|what| what == "a full sort"));
    }
}

/// Each workload with some agents and tasks against a Messor of the dev build: what is checked is what came of it.
#[test]
fn the_workloads_in_small() {
    let programs = Programs { messor: messor_testkit::binary(), ..Programs::default() };
    let works: Vec<_> = Work::smallest().into_iter().map(|work| (work, 1)).collect();
    let mut told = 0;
    let figures = play(&programs, &[masters::Kind::Messor], &works, |_| told += 1);
    assert_eq!((&figures.faults[..], told), (&[][..], works.len()));
    for line in &figures.lines {
        assert!(line.median(masters::Kind::Messor).is_some_and(|value| value >= 0.0), "{line:?}");
    }
    let text = figures.to_string();
    let (table, limits) = text.split_once("\n\n").expect("two tables");
    for name in messor_bench::compare::WORKLOADS {
        assert!(table.contains(&format!("| {name} |")), "{name} is not in\n{table}");
        assert!(limits.contains(&format!("| {name} |")), "the limit of {name} is not in\n{limits}");
    }
    for what in [
        "/state, the first time",
        "/state while tasks change",
        "/health, nothing is read",
        "/health, nothing is read, longest",
        "memory that reads leave behind",
        "next offer after revive, nothing is read",
        "next offer after revive, one client reads /state, longest",
        "next offer after revive, 3 clients read /state, longest",
    ] {
        assert!(table.contains(&format!("| {what} |")), "{what} is not in\n{table}");
    }
}

/// The bench itself, as it is called.
fn bench(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_messor-bench"));
    command.args(arguments).arg("--messor").arg(messor_testkit::binary());
    command
}

#[test]
fn a_master_ends_with_the_bench_that_holds_it() {
    let mut holder = bench(&["hold", "--agents", "2", "--tasks", "2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address: SocketAddr = line.trim().parse().unwrap();
    TcpStream::connect(address).unwrap();
    // It has no time to end anything by itself.
    holder.kill().unwrap();
    holder.wait().unwrap();
    messor_testkit::wait_for("the master to end", Duration::from_secs(10), || {
        TcpStream::connect(address).is_err().then_some(())
    });
}

#[test]
fn what_is_saved_says_what_made_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("saved.jsonl");
    let saved = bench(&["registration", "--agents", "2", "--save", file.to_str().unwrap()])
        .env("MESSOR_COMMIT", "abc1234")
        .output()
        .unwrap();
    assert!(saved.status.success(), "{saved:?}");
    let lines = std::fs::read_to_string(&file).unwrap();
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["commit"], "abc1234");
    assert!(
        first["command"].as_str().unwrap().starts_with("messor-bench registration --agents 2"),
        "{first}"
    );
    assert!(first["cores"].as_u64() > Some(0) && first["kernel"].is_string() && first["date"].is_string());
    assert!(lines.lines().nth(1).unwrap().contains("\"workload\":\"registration\""), "{lines}");
}

#[test]
fn containers_start_end_and_stand_still() {
    if messor_testkit::ControlGroups::new().is_none() {
        return messor_testkit::skip(
            "containers are not measured: no control groups of version 1 here, or not root",
        );
    }
    let options = containers::Options {
        count: 6,
        parallel: 3,
        idle: 3,
        pod: 3,
        watch: Duration::from_millis(100),
        ..containers::Options::default()
    };
    let figures = containers::run(&options).unwrap();
    assert_eq!(figures.0.len(), 7, "{figures}");
    // These do not depend on the machine.
    let met = |what: &str| figures.0.iter().find(|one| one.what.contains(what)).unwrap().is_met();
    assert_eq!((met("processes of a pod"), met("processes besides")), (Some(true), Some(true)), "{figures}");
}

#[test]
fn a_master_in_process_takes_all_agents_back_and_shows_them() {
    for (completed_frameworks, completed_tasks) in [(0, 0), (2, 3)] {
        let shape = inprocess::Shape {
            name: "small",
            agents: 300,
            frameworks: 2,
            tasks: 2,
            completed_frameworks,
            completed_tasks,
            published: (Some(1.0), None),
        };
        let mut report = Report::default();
        inprocess::measure(shape, &mut report).unwrap();
        assert_eq!(report.lines.len(), 8, "{report}");
        assert_eq!(report.line("small", "all agents are back").unwrap().published, Some(1.0));
    }
}

#[test]
fn codecs_read_what_they_write() {
    let report = codec::run(&codec::Options { tasks: 50, rounds: 2 }).unwrap();
    assert_eq!(report.lines.len(), 10, "{report}");
}

/// In the dev build, as that is what is built here; `messor-bench counts` of a release build counts that.
#[test]
fn hot_paths_take_no_more_instructions() {
    if !counts::can_count() {
        return messor_testkit::skip("instructions are not counted: no valgrind here");
    }
    let counts = counts::count(env!("CARGO_BIN_EXE_messor-bench").as_ref()).unwrap();
    assert!(
        counts.iter().all(|count| !count.is_worse()),
        "if this is meant to be so: target/debug/messor-bench counts --record, and the same with the release build\n{}",
        counts::table(&counts)
    );
}
