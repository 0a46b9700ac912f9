//! No flag is parsed and ignored: one that is marked as working is read by the program that has it.
//!
//! It looks for the field's name in the sources of the program, so it can be deceived by another field of that name in
//! the same folder; what it finds is nevertheless worth knowing.

use std::path::Path;

use messor_flags::{Flag, Status, environments, programs};

use crate::tidy::{root, rust_files};

/// Where a program reads its flags. One that is missing here fails the test.
const READERS: [(&str, &[&str]); 21] = [
    ("mesos-master", &["app/master", "app/runtime", "edge/log", "edge/http-api"]),
    ("mesos-agent", &["app/agent", "app/runtime", "edge/log", "edge/isolators"]),
    ("mesos-local", &["app/messor", "app/runtime", "edge/log"]),
    ("mesos-execute", &["app/cli"]),
    ("mesos-resolve", &["app/cli"]),
    ("mesos-ps", &["app/cli"]),
    ("mesos-cat", &["app/cli"]),
    ("mesos-tail", &["app/cli"]),
    ("mesos-scp", &["app/cli"]),
    ("mesos-usage", &["app/cli"]),
    ("mesos-init-wrapper", &["app/messor"]),
    ("mesos-log", &["app/replica", "app/runtime", "edge/log"]),
    ("mesos-executor", &["app/executors"]),
    ("mesos-containerizer", &["edge/containerizer"]),
    ("mesos-fetcher", &["edge/fetch", "edge/log"]),
    ("mesos-default-executor", &["app/executors"]),
    ("mesos-io-switchboard", &["edge/switchboard"]),
    ("mesos-tcp-connect", &["app/executors"]),
    ("mesos-logrotate-logger", &["edge/logger"]),
    ("libprocess", &["app/runtime", "app/agent", "app/messor"]),
    ("libprocess TLS", &["app/runtime"]),
];

/// Where the list of programs says which of them are built.
const PROGRAMS: &str = "crates/app/messor/src/programs.rs";

/// Answered by the parser itself.
const PARSER: [&str; 2] = ["help", "version"];

/// Their checks let nothing through but what is there.
const CHECKED: [&str; 2] = ["allocator", "containerizers"];

/// Names of flags that are no names of fields.
const RENAMED: [(&str, &str); 3] =
    [("num_slaves", "num_agents"), ("tty_slave_path", "tty_path"), ("type", "data")];

fn is_built(programs_text: &str, program: &str) -> bool {
    let Some((_, rest)) = programs_text.split_once(&format!("\"{program}\",")) else {
        // A set of the environment alone is read by every daemon; drivers are libraries, of which there is none.
        return program != "scheduler driver";
    };
    rest.find("Built(").is_some_and(|at| !rest[..at].ends_with("Not"))
}

fn sources(folder: &str) -> String {
    let mut files = Vec::new();
    rust_files(&root().join("crates").join(folder).join("src"), &mut files);
    assert!(!files.is_empty(), "{folder} has no sources");
    files.iter().map(|file| std::fs::read_to_string(file).expect("a source is readable")).collect()
}

/// Whether there is `.field`, not as a method and not as the beginning of a longer name, or the flag's name as a text.
fn is_read(text: &str, flag: &Flag) -> bool {
    let renamed = RENAMED.iter().find(|(name, _)| *name == flag.name);
    let field = renamed.map_or(flag.name, |(_, field)| field);
    let follows = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '(');
    text.contains(&format!("flag(\"{}\")", flag.name))
        || text.split(&format!(".{field}")).skip(1).any(follows)
}

/// Each flag that claims to work and is read nowhere, as `program --flag`.
fn unread() -> Vec<String> {
    let programs_text = std::fs::read_to_string(root().join(Path::new(PROGRAMS))).expect("the list is there");
    let mut unread = Vec::new();
    for program in programs().into_iter().chain(environments()) {
        if !is_built(&programs_text, program.name) {
            continue;
        }
        let Some((_, folders)) = READERS.iter().find(|(name, _)| *name == program.name) else {
            unread.push(format!("{}: xtask/src/flags.rs does not know who reads its flags", program.name));
            continue;
        };
        let text: String = folders.iter().map(|folder| sources(folder)).collect();
        let claims = program.flags().filter(|flag| {
            flag.status == Status::Works && !PARSER.contains(&flag.name) && !CHECKED.contains(&flag.name)
        });
        unread.extend(
            claims
                .filter(|flag| !is_read(&text, flag))
                .map(|flag| format!("{} --{}", program.name, flag.name)),
        );
    }
    unread
}

#[test]
fn flags_that_work_are_read() {
    let unread = unread();
    assert!(unread.is_empty(), "read nowhere, so they are not_yet, no_effect or not_needed: {unread:#?}");
}

#[test]
fn a_flag_is_read_by_its_own_name() {
    let program = programs().into_iter().find(|program| program.name == "mesos-agent").expect("it is there");
    let flag = program.flags().find(|flag| flag.name == "port").expect("it is there");
    assert!(is_read("x = flags.port;", flag) && is_read("program.flag(\"port\")", flag));
    assert!(!is_read("flags.port()", flag) && !is_read("flags.ports, import", flag));
    assert!(
        !is_built("entry(\"a\", \"A.\", NotBuilt(\"b\")", "a") && is_built("\"a\", \"A.\", Built(a)", "a")
    );
}
