//! What holds for every command line.

use messor_flags::{
    AgentFlags, MasterFlags, Request, TLS, TlsFlags, parse, parse_environment, programs, shown,
};
use proptest::prelude::*;

use crate::fake::Fake;

/// Words that look like flags more often than chance would have it.
fn word() -> impl Strategy<Value = String> {
    let names: Vec<&'static str> =
        programs().iter().flat_map(|program| program.flags()).map(|flag| flag.name).collect();
    let name = prop_oneof![prop::sample::select(names).prop_map(str::to_string), "[a-z_-]{0,12}", ".{0,8}"];
    let value =
        prop_oneof!["[0-9]{1,6}(secs|mins|B|KB|%)?", "[{}\\[\\]\":a-z,]{0,20}", ".{0,20}", "file://.{0,8}"];
    prop_oneof![
        (name.clone(), value).prop_map(|(name, value)| format!("--{name}={value}")),
        name.clone().prop_map(|name| format!("--{name}")),
        name.prop_map(|name| format!("--no-{name}")),
        ".{0,20}",
    ]
}

proptest! {
    #[test]
    fn no_command_line_panics(words in prop::collection::vec(word(), 0..8)) {
        let _ = parse::<MasterFlags>(&words, &Fake::default());
        let _ = parse::<AgentFlags>(&words, &Fake::default());
    }

    #[test]
    fn no_environment_panics(pairs in prop::collection::vec(("(MESOS_|SSL_|LIBPROCESS_SSL_|)[A-Za-z_-]{0,20}", ".{0,12}"), 0..8)) {
        let source = Fake { variables: pairs, ..Fake::default() };
        let _ = parse::<AgentFlags>(&[], &source);
        let _ = parse_environment::<TlsFlags>(TLS, &source);
    }

    /// What is shown can be given again, and then is shown the same.
    #[test]
    fn what_is_shown_reads_back(port in 1u16.., interval in 1u64..60, cluster in "[a-z =]{1,10}", quiet: bool) {
        let words = vec![
            "--work_dir=/w".to_string(),
            format!("--port={port}"),
            format!("--allocation_interval={interval}secs"),
            format!("--cluster=x{cluster}x"),
            format!("--quiet={quiet}"),
        ];
        let first = run(&words);
        let again: Vec<String> = first
            .iter()
            .filter(|(name, _)| name != "help" && name != "version")
            .map(|(name, value)| format!("--{name}={value}"))
            .collect();
        prop_assert_eq!(&run(&again), &first);
    }
}

fn run(words: &[String]) -> Vec<(String, String)> {
    match parse::<MasterFlags>(words, &Fake::default()) {
        Ok(Request::Run(parsed)) => shown(&parsed.flags),
        other => panic!("{other:?}"),
    }
}
