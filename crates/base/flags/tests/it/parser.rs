//! The rules of command lines.

use std::time::Duration;

use messor_flags::{AgentFlags, ExecuteFlags, MasterFlags, Request, ResolveFlags, Size, parse};

use crate::fake::{Fake, refuse, run, words};

const DIR: &str = "--work_dir=/w";

fn master(line: &[&str]) -> MasterFlags {
    let line: Vec<&str> = std::iter::once(DIR).chain(line.iter().copied()).collect();
    run::<MasterFlags>(&line, &Fake::default()).flags
}

fn wrong(line: &[&str]) -> String {
    let line: Vec<&str> = std::iter::once(DIR).chain(line.iter().copied()).collect();
    refuse::<MasterFlags>(&line, &Fake::default()).to_string()
}

#[test]
fn values_are_typed() {
    let flags =
        master(&["--port=6000", "--allocation_interval=500ms", "--cluster=a=b", "--offer_timeout=5mins"]);
    assert_eq!(flags.port, 6000);
    assert_eq!(flags.allocation_interval, Duration::from_millis(500));
    assert_eq!(flags.cluster.as_deref(), Some("a=b"));
    assert_eq!(flags.offer_timeout, Some(Duration::from_secs(300)));
    assert_eq!(flags.registry_max_agent_count, 102_400);
    assert_eq!(flags.offer_constraints_re2_max_mem, Size(4096));
    assert_eq!(flags.allocator_agent_recovery_factor, 0.8);
    assert!(flags.given.has("port") && !flags.given.has("quorum"));
}

#[test]
fn booleans_have_four_forms() {
    assert!(master(&["--logging_level=INFO", "--quiet"]).logging.quiet);
    assert!(master(&["--quiet=true"]).logging.quiet);
    assert!(master(&["--quiet=1"]).logging.quiet);
    assert!(!master(&["--no-hostname_lookup"]).hostname_lookup);
    assert!(!master(&["--hostname_lookup=false"]).hostname_lookup);
    assert!(master(&["--quiet="]).logging.quiet, "an empty value is no value");
    assert_eq!(wrong(&["--quiet=maybe"]), "--quiet cannot be understood: 'maybe' is neither true nor false");
    assert_eq!(wrong(&["--no-quiet=true"]), "--no-quiet takes no value: write --no-quiet or --quiet=false");
    assert_eq!(
        wrong(&["--no-port"]),
        "--no-port is not possible, as --port is not true or false: write --port=N"
    );
}

#[test]
fn names_may_be_in_capitals() {
    assert_eq!(master(&["--PORT=6000"]).port, 6000);
}

#[test]
fn a_value_belongs_behind_an_equals_sign() {
    assert_eq!(wrong(&["--port", "6000"]), "--port needs a value: write --port=6000");
    assert_eq!(wrong(&["--port"]), "--port needs a value: write --port=N");
    assert_eq!(wrong(&["--port", "--quiet"]), "--port needs a value: write --port=N");
    assert_eq!(
        wrong(&["--quiet", "true"]),
        "'true' is not a flag, and mesos-master takes nothing else: flags are written --name=value"
    );
}

#[test]
fn unknown_flags_are_refused_with_the_nearest_name() {
    assert_eq!(wrong(&["--work-dir=/w"]), "unknown flag --work-dir; did you mean --work_dir?");
    assert_eq!(wrong(&["--quite"]), "unknown flag --quite; did you mean --quiet?");
    assert_eq!(wrong(&["--no-quite"]), "unknown flag --no-quite; did you mean --no-quiet?");
    assert_eq!(wrong(&["--zebra=1"]), "unknown flag --zebra");
}

#[test]
fn a_flag_is_given_once() {
    assert_eq!(
        wrong(&["--port=1", "--port=1"]),
        "--port is given more than once (--port came first): give it once"
    );
    assert_eq!(
        wrong(&["--quiet", "--no-quiet"]),
        "--quiet is given more than once (--quiet came first): give it once"
    );
    assert_eq!(
        wrong(&["--slave_ping_timeout=5secs", "--agent_ping_timeout=5secs"]),
        "--agent_ping_timeout is given more than once (--slave_ping_timeout came first): give it once"
    );
}

#[test]
fn errors_name_the_flag_and_what_to_do() {
    assert_eq!(
        wrong(&["--port=70000"]),
        "--port cannot be understood: '70000' is not a whole number from 0 to 65535"
    );
    assert!(
        wrong(&["--allocation_interval=1"])
            .starts_with("--allocation_interval cannot be understood: '1' has no known unit")
    );
    assert_eq!(
        wrong(&["--registry=disk"]),
        "--registry cannot be understood: 'disk' is none of: replicated_log, log_storage, in_memory"
    );
    assert_eq!(
        wrong(&["--recovery_agent_removal_limit=101%"]),
        "--recovery_agent_removal_limit cannot be understood: '101%' must be between 0% and 100%"
    );
    assert_eq!(
        wrong(&["--agent_removal_rate_limit=fast"]),
        "--agent_removal_rate_limit cannot be understood: 'fast' must be written NUMBER/DURATION, as in 1/10mins"
    );
    assert!(wrong(&["--agent_reregister_timeout=1mins"]).contains("shorter than 10mins"));
    assert!(wrong(&["--domain={}"]).contains("'fault_domain'"));
    assert!(wrong(&["--domain={"]).contains("not JSON"));
}

#[test]
fn help_and_version_come_before_errors() {
    let request = parse::<MasterFlags>(&words(&["--zebra", "--help"]), &Fake::default());
    let Ok(Request::Help(text)) = request else { panic!("no help") };
    assert!(text.starts_with("Usage: mesos-master "));
    let request = parse::<AgentFlags>(&words(&["--version"]), &Fake::default());
    let Ok(Request::Version(text)) = request else { panic!("no version") };
    assert!(text.starts_with("mesos 1.11.0 "), "{text}");
}

#[test]
fn programs_that_take_words_get_them() {
    let parsed =
        run::<ResolveFlags>(&["127.0.0.1:5050", "--timeout=1secs", "--", "--more"], &Fake::default());
    assert_eq!(parsed.positional, ["127.0.0.1:5050", "--more"]);
    assert_eq!(parsed.flags.timeout, Duration::from_secs(1));
}

#[test]
fn what_is_not_built_is_refused_unless_it_changes_nothing() {
    assert_eq!(
        wrong(&["--authenticate_agents"]),
        "--authenticate_agents is not supported yet: authentication is not built"
    );
    assert!(!master(&["--authenticate_agents=false"]).authenticate_agents, "the default changes nothing");
    assert!(!master(&["--no-authenticate_agents"]).authenticate_agents);
    master(&["--authentication_v0_timeout=15000ms"]);
    assert!(wrong(&["--http_authenticators=other"]).contains("not supported yet"));
    let parsed = run::<MasterFlags>(&[DIR, "--memory_profiling"], &Fake::default());
    let expected = "--memory_profiling has no effect: there is no memory profiler in this program";
    assert_eq!(parsed.warnings.last().map(String::as_str), Some(expected));
}

#[test]
fn what_is_not_needed_is_accepted_in_silence() {
    let line = ["--work_dir=/w", "--master=m:5050", "--http_command_executor"];
    assert!(run::<AgentFlags>(&line, &Fake::default()).warnings.is_empty());
}

#[test]
fn execute_needs_a_task() {
    let refused = |line: &[&str]| refuse::<ExecuteFlags>(line, &Fake::default()).to_string();
    assert_eq!(refused(&["--name=x"]), "--master is required: give --master=VALUE");
    assert!(refused(&["--master=m:1"]).starts_with("--name is required"));
    assert!(refused(&["--master=m:1", "--name=x"]).starts_with("--command is required"));
    assert!(refused(&["--master=m:1", "--task={}", "--name=x"]).starts_with("--name cannot go with --task"));
    let parsed = run::<ExecuteFlags>(
        &["--master=m:1", "--name=x", "--command=true", "--env={\"A\":\"1\"}"],
        &Fake::default(),
    );
    assert_eq!(parsed.flags.env.unwrap().entries, [("A".to_string(), "1".to_string())]);
}
