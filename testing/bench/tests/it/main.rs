//! The benchmarks in small: their own checks are what is tested here, not their times.

use std::time::Duration;

use messor_bench::allocator::{Kind, measure};
use messor_bench::compare::{Work, play};
use messor_bench::masters::{self, Programs};
use messor_bench::report::Report;
use messor_bench::{codec, containers, counts};

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
    let works = Work::smallest();
    let (figures, faults) = play(&programs, &[masters::Kind::Messor], &works, 1);
    assert_eq!(faults, Vec::<String>::new());
    for line in &figures.lines {
        assert!(line.median(masters::Kind::Messor).is_some_and(|value| value >= 0.0), "{line:?}");
    }
    let table = figures.to_string();
    for name in messor_bench::compare::WORKLOADS {
        assert!(table.contains(&format!("| {name} |")), "{name} is not in\n{table}");
    }
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
