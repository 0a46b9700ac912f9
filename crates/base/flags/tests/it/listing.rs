//! `/flags` and the lists of names, beside those of Apache Mesos 1.11.0.

use std::collections::BTreeMap;

use messor_flags::{AgentFlags, FlagSet, MasterFlags, Secret, environments, programs, rows, shown};

use crate::fake::{Fake, run};

fn table(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect())
}

fn beside(text: &'static str, flags: &impl FlagSet, unlike: &[&str]) {
    let theirs: BTreeMap<&str, &str> = table(text).map(|row| (row[0], row[1])).collect();
    let shown = shown(flags);
    let ours: BTreeMap<&str, &str> = shown
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| !unlike.contains(name))
        .collect();
    assert_eq!(ours, theirs);
}

#[test]
fn the_master_shows_what_1_11_0_shows() {
    let flags = MasterFlags::default();
    beside(include_str!("fixtures/master-flags-1.11.0.tsv"), &flags, &[]);
}

#[test]
fn the_agent_shows_what_1_11_0_shows() {
    // The paths depend on the host, and systemd was switched off where this was measured.
    let unlike = ["work_dir", "runtime_dir", "fetcher_cache_dir", "systemd_enable_support"];
    let mut flags = AgentFlags::default();
    // The agent says here which one it found to work.
    flags.containers.launcher = Some("posix".to_string());
    beside(include_str!("fixtures/agent-flags-1.11.0.tsv"), &flags, &unlike);
}

#[test]
fn what_was_given_is_shown_by_the_name_it_was_given_by() {
    let line = ["--work_dir=/w", "--slave_ping_timeout=5000ms", "--cluster=c"];
    let shown = shown(&run::<MasterFlags>(&line, &Fake::default()).flags);
    let names: Vec<&str> = shown.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.is_sorted());
    assert!(shown.contains(&("slave_ping_timeout".to_string(), "5secs".to_string())));
    assert!(shown.contains(&("cluster".to_string(), "c".to_string())));
    assert!(!names.contains(&"agent_ping_timeout"));
    assert!(!names.contains(&"quorum"), "flags without a value are left out");
}

#[test]
fn every_flag_of_1_11_0_is_defined() {
    let rows = rows();
    let mut missing = Vec::new();
    for row in table(include_str!("fixtures/names-1.11.0.tsv")) {
        let (program, name) = (row[0], row[1]);
        let alias = row.get(2).copied().filter(|alias| !alias.is_empty());
        let found =
            rows.iter().find(|row| row.program == program && (row.flag == name || row.alias == Some(name)));
        match found {
            Some(found) if alias.is_none() || found.alias == alias => {}
            _ => missing.push(row),
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn definitions_are_sound() {
    for program in programs().into_iter().chain(environments()) {
        let mut names: Vec<&str> =
            program.flags().flat_map(|flag| std::iter::once(flag.name).chain(flag.alias)).collect();
        names.sort();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all, "{}: a name is there twice", program.name);
        for flag in program.flags() {
            assert!(!flag.name.starts_with("no-"), "{}", flag.name);
            assert!(flag.help.ends_with('.'), "{} of {}", flag.name, program.name);
            if let Some(default) = flag.default {
                assert!((flag.reads)(default).is_ok(), "{} of {}: {default}", flag.name, program.name);
                if let Some(check) = flag.check {
                    assert_eq!(check(default), Ok(()), "{} of {}", flag.name, program.name);
                }
            }
        }
    }
}

#[test]
fn credentials_of_zookeeper_are_not_shown() {
    let secret = |text: &str| Some(Secret { value: text.to_string(), path: None });
    let flags = MasterFlags { zk: secret("zk://me:p@ss/word@h1:1,h2:2/mesos"), ..MasterFlags::default() };
    let found = shown(&flags).into_iter().find(|(name, _)| name == "zk").unwrap();
    assert_eq!(found.1, "zk://***@h1:1,h2:2/mesos");
    let flags = AgentFlags { master: secret("zk://h1:1/mesos"), ..AgentFlags::default() };
    let found = shown(&flags).into_iter().find(|(name, _)| name == "master").unwrap();
    assert_eq!(found.1, "zk://h1:1/mesos");
}
