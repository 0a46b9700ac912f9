//! The promises of the upgrade guide that are about flags.

use messor_flags::{AgentFlags, MasterFlags, Program, Secret, programs};

use crate::fake::{Fake, refuse, run};

fn agent(line: &[&str]) -> messor_flags::Parsed<AgentFlags> {
    let line: Vec<&str> =
        ["--work_dir=/w", "--master=m:5050"].into_iter().chain(line.iter().copied()).collect();
    run::<AgentFlags>(&line, &Fake::default())
}

fn agent_refuses(line: &[&str]) -> String {
    let line: Vec<&str> =
        ["--work_dir=/w", "--master=m:5050"].into_iter().chain(line.iter().copied()).collect();
    refuse::<AgentFlags>(&line, &Fake::default()).to_string()
}

fn master_refuses(line: &[&str]) -> String {
    refuse::<MasterFlags>(line, &Fake::default()).to_string()
}

#[test]
fn u066_the_agent_needs_a_work_dir() {
    let error = refuse::<AgentFlags>(&["--master=m:5050"], &Fake::default());
    assert_eq!(error.to_string(), "--work_dir is required: give --work_dir=VALUE or set MESOS_WORK_DIR");
    let error = refuse::<AgentFlags>(&["--master=m:5050", "--work_dir="], &Fake::default());
    assert_eq!(error.to_string(), "--work_dir is empty: give --work_dir=PATH");
}

#[test]
fn the_agent_needs_a_master() {
    let error = refuse::<AgentFlags>(&["--work_dir=/w"], &Fake::default());
    assert!(error.to_string().starts_with("--master is required"));
}

#[test]
fn u067_a_strict_registry_is_refused() {
    let error = master_refuses(&["--work_dir=/w", "--registry_strict"]);
    assert_eq!(
        error,
        "--registry_strict is refused: strict registries are no longer possible: leave the flag out"
    );
    run::<MasterFlags>(&["--work_dir=/w", "--registry_strict=false"], &Fake::default());
}

#[test]
fn u105_work_dir_and_quorum_are_required() {
    assert!(master_refuses(&[]).starts_with("--work_dir is required"));
    run::<MasterFlags>(&["--registry=in_memory"], &Fake::default());
    let zk = Some(Secret { value: "zk://z:2181/mesos".to_string(), path: None });
    let mut flags = MasterFlags { zk, work_dir: Some("/w".to_string()), ..MasterFlags::default() };
    assert!(flags.validate().unwrap_err().to_string().starts_with("--quorum is required with --zk"));
    flags.quorum = Some(2);
    assert_eq!(flags.validate(), Ok(()));
    assert!(master_refuses(&["--work_dir=/w", "--quorum=0"]).contains("at least 1"));
}

#[test]
fn u120_the_older_name_of_the_hierarchy_is_answered_with_todays() {
    assert_eq!(
        agent_refuses(&["--cgroups_hierarchy_root=/cgroup"]),
        "--cgroups_hierarchy_root is no longer a flag: its name is now --cgroups_hierarchy"
    );
}

#[test]
fn u099_checkpointing_is_no_longer_a_flag() {
    let error = agent_refuses(&["--checkpoint"]);
    assert_eq!(error, "--checkpoint is no longer a flag: agents always checkpoint; leave the flag out");
    assert!(agent_refuses(&["--no-checkpoint"]).contains("always checkpoint"));
}

#[test]
fn u106_older_names_of_isolation_are_understood() {
    let isolators = |value: &str| messor_flags::isolators(value).join(",");
    assert_eq!(isolators("process"), "posix/cpu,posix/mem");
    assert_eq!(isolators("cgroups"), "cgroups/cpu,cgroups/mem");
    assert_eq!(isolators("posix/cpu, posix/mem,posix/cpu"), "posix/cpu,posix/mem");
    assert_eq!(isolators("cgroups/cpu,posix/disk"), "cgroups/cpu,disk/du");
    assert_eq!(agent(&["--isolation=process"]).flags.isolators(), ["posix/cpu", "posix/mem"]);
    assert_eq!(agent(&[]).flags.isolators(), ["posix/cpu", "posix/mem"]);
}

#[test]
fn u065_names_with_slave_have_names_with_agent() {
    for program in programs() {
        for flag in program.flags().filter(|flag| flag.name.contains("slave")) {
            // The one never had another name, the other is about terminals.
            assert!(["num_slaves", "tty_slave_path"].contains(&flag.name), "{}", flag.name);
        }
    }
    for (older, value) in [
        ("slave_ping_timeout", "20secs"),
        ("max_slave_ping_timeouts", "7"),
        ("slave_reregister_timeout", "11mins"),
        ("slave_removal_rate_limit", "1/10mins"),
        ("recovery_slave_removal_limit", "50%"),
    ] {
        let parsed = run::<MasterFlags>(&["--work_dir=/w", &format!("--{older}={value}")], &Fake::default());
        let warning =
            format!("--{older} is deprecated: its name is now --{}", older.replace("slave", "agent"));
        assert!(parsed.warnings.contains(&warning), "{:?}", parsed.warnings);
    }
    assert!(master_refuses(&["--work_dir=/w", "--authenticate_slaves"]).contains("--authenticate_slaves"));
}

#[test]
fn u096_pings_have_two_flags_with_bounds() {
    let line = ["--work_dir=/w", "--agent_ping_timeout=1secs", "--max_agent_ping_timeouts=1"];
    let flags = run::<MasterFlags>(&line, &Fake::default()).flags;
    assert_eq!((flags.agent_ping_timeout.as_secs(), flags.max_agent_ping_timeouts), (1, 1));
    assert!(master_refuses(&["--agent_ping_timeout=999ms"]).contains("between 1secs and 15mins"));
    assert!(master_refuses(&["--agent_ping_timeout=16mins"]).contains("between 1secs and 15mins"));
    assert!(master_refuses(&["--max_agent_ping_timeouts=0"]).contains("at least 1"));
}

#[test]
fn u003_u008_features_cannot_be_left_out() {
    let features = |names: &[&str]| {
        let list: Vec<String> = names.iter().map(|name| format!("{{\"type\":\"{name}\"}}")).collect();
        format!("--agent_features={{\"capabilities\":[{}]}}", list.join(","))
    };
    let line = ["--work_dir=/w", "--master=m:5050", &features(&messor_flags::AGENT_FEATURES)];
    assert!(run::<AgentFlags>(&line, &Fake::default()).flags.agent_features.is_some());
    let error = agent_refuses(&[&features(&messor_flags::AGENT_FEATURES[..5])]);
    assert!(error.contains("AGENT_DRAINING, TASK_RESOURCE_LIMITS"), "{error}");
    assert!(agent_refuses(&["--agent_features={}"]).contains("'capabilities'"));
}

#[test]
fn u035_u041_u079_renamed_flags_keep_their_older_names() {
    let alias = |program: &str, name: &str| {
        let program = programs().into_iter().find(|info| info.name == program).unwrap();
        program.flags().find(|flag| flag.name == name).unwrap().alias
    };
    assert_eq!(alias("mesos-agent", "jwt_secret_key"), Some("executor_secret_key"));
    assert_eq!(alias("mesos-agent", "effective_capabilities"), Some("allowed_capabilities"));
    assert_eq!(alias("mesos-master", "authenticate_http_readwrite"), Some("authenticate_http"));
}

#[test]
fn u062_executors_get_texts_in_their_environment() {
    let flags = agent(&["--executor_environment_variables={\"PATH\":\"/bin\",\"A\":\"\"}"]).flags;
    let entries = flags.executor_environment_variables.unwrap().entries;
    assert_eq!(entries, [("PATH".to_string(), "/bin".to_string()), ("A".to_string(), String::new())]);
    assert!(
        agent_refuses(&["--executor_environment_variables={\"A\":1}"])
            .contains("value of 'A' must be a text")
    );
}

#[test]
fn u064_a_deprecated_flag_is_accepted_with_a_warning() {
    let parsed = agent(&["--docker_stop_timeout=5secs"]);
    assert_eq!(parsed.warnings.len(), 1);
    assert!(parsed.warnings[0].starts_with("--docker_stop_timeout has no effect"));
}

#[test]
fn u038_reconfiguration_has_two_policies() {
    agent(&["--reconfiguration_policy=equal"]);
    agent(&["--reconfiguration_policy=additive"]);
    assert!(agent_refuses(&["--reconfiguration_policy=any"]).contains("none of: equal, additive"));
}
