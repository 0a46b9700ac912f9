//! What comes from the environment and from files.

use messor_flags::{
    AgentFlags, ExecuteFlags, LIBPROCESS, LibprocessFlags, MasterFlags, TLS, TlsFlags, parse_environment,
    shown,
};

use crate::fake::{Fake, refuse, run};

#[test]
fn the_command_line_wins() {
    let source = Fake::variables(&[
        ("MESOS_WORK_DIR", "/from/environment"),
        ("MESOS_PORT", "6000"),
        ("MESOS_QUIET", "true"),
        ("MESOS_slave_ping_timeout", "5secs"),
    ]);
    let parsed = run::<MasterFlags>(&["--port=7000", "--no-quiet", "--agent_ping_timeout=6secs"], &source);
    assert_eq!(parsed.flags.work_dir.as_deref(), Some("/from/environment"));
    assert_eq!(parsed.flags.port, 7000);
    assert!(!parsed.flags.logging.quiet);
    assert_eq!(parsed.flags.agent_ping_timeout.as_secs(), 6);
    let others =
        parsed.warnings.iter().filter(|warning| !warning.starts_with("MESOS_WORK_DIR has no effect"));
    assert_eq!(others.count(), 0, "{:?}", parsed.warnings);
}

#[test]
fn unknown_variables_are_somebody_elses() {
    let source =
        Fake::variables(&[("MESOS_WORK_DIR", "/w"), ("MESOS_NATIVE_JAVA_LIBRARY", "/x"), ("PORT", "1")]);
    assert_eq!(run::<MasterFlags>(&[], &source).flags.port, 5050);
    let source = Fake::variables(&[("MESOS_MASTER", "m:1")]);
    assert!(refuse::<ExecuteFlags>(&[], &source).to_string().starts_with("--master is required"));
}

#[test]
fn errors_name_the_variable() {
    let source = Fake::variables(&[("MESOS_WORK_DIR", "/w"), ("MESOS_PORT", "x")]);
    assert!(refuse::<MasterFlags>(&[], &source).to_string().starts_with("MESOS_PORT cannot be understood: "));
}

#[test]
fn an_empty_boolean_variable_is_true() {
    let source = Fake::variables(&[("MESOS_WORK_DIR", "/w"), ("MESOS_QUIET", "")]);
    assert!(run::<MasterFlags>(&[], &source).flags.logging.quiet);
}

#[test]
fn u102_every_value_may_be_in_a_file() {
    let source = Fake::files(&[
        ("/etc/mesos/work", "/var/lib/mesos\n"),
        ("/etc/mesos/port", "6000\r\n"),
        ("/etc/mesos/quiet", "true"),
        ("/etc/mesos/interval", "2secs\n"),
        ("/etc/mesos/factor", "0.5\n"),
    ]);
    let line = [
        "--work_dir=file:///etc/mesos/work",
        "--port=file:///etc/mesos/port",
        "--quiet=file:///etc/mesos/quiet",
        "--allocation_interval=file:///etc/mesos/interval",
        "--allocator_agent_recovery_factor=file:///etc/mesos/factor",
    ];
    let flags = run::<MasterFlags>(&line, &source).flags;
    assert_eq!(flags.work_dir.as_deref(), Some("/var/lib/mesos"));
    assert_eq!((flags.port, flags.logging.quiet), (6000, true));
    assert_eq!(flags.allocation_interval.as_secs(), 2);
    assert_eq!(flags.allocator_agent_recovery_factor, 0.5);
    assert_eq!(
        refuse::<MasterFlags>(&["--port=file:///nowhere"], &source).to_string(),
        "--port: cannot read file '/nowhere': no such file"
    );
}

#[test]
fn u102_a_path_is_kept_and_a_secret_shows_its_file_alone() {
    let source = Fake::files(&[("/etc/mesos/zk", "master.example:5050")]);
    let line = ["--work_dir=/w", "--master=file:///etc/mesos/zk", "--log_dir=file:///var/log/mesos"];
    let flags = run::<AgentFlags>(&line, &source).flags;
    assert_eq!(flags.master.as_ref().unwrap().value, "master.example:5050");
    assert_eq!(flags.logging.log_dir.as_ref().unwrap().as_str(), "/var/log/mesos");
    let shown = shown(&flags);
    let value = |name: &str| shown.iter().find(|(shown, _)| shown == name).map(|(_, value)| value.as_str());
    assert_eq!(value("master"), Some("/etc/mesos/zk"));
    assert_eq!(value("log_dir"), Some("/var/log/mesos"));
    assert!(!format!("{flags:?}").contains("master.example"), "secrets stay out of debug output");
}

#[test]
fn json_may_be_named_by_a_bare_path_with_a_warning() {
    let source = Fake::files(&[("/etc/domain", "{\"fault_domain\": {}}")]);
    let parsed = run::<MasterFlags>(&["--work_dir=/w", "--domain=/etc/domain"], &source);
    assert_eq!(parsed.flags.domain.unwrap().as_str(), "{\"fault_domain\": {}}");
    let named = |warning: &String| warning.contains("--domain=file:///etc/domain");
    assert!(parsed.warnings.iter().any(named), "{:?}", parsed.warnings);
}

#[test]
fn temporary_files_are_where_the_environment_says() {
    let source =
        Fake::variables(&[("TMPDIR", "/scratch"), ("MESOS_WORK_DIR", "/w"), ("MESOS_MASTER", "m:1")]);
    let flags = run::<AgentFlags>(&[], &source).flags;
    assert_eq!(flags.fetcher_cache_dir, "/scratch/mesos/fetch");
}

#[test]
fn libprocess_has_its_own_variables() {
    let source = Fake::variables(&[
        ("LIBPROCESS_IP", "10.0.0.1"),
        ("LIBPROCESS_PORT", "0"),
        ("LIBPROCESS_ADVERTISE_PORT", "8080"),
        ("LIBPROCESS_NUM_WORKER_THREADS", "4"),
    ]);
    let (flags, warnings) = parse_environment::<LibprocessFlags>(LIBPROCESS, &source).unwrap();
    assert_eq!(
        (flags.ip.as_deref(), flags.port, flags.advertise_port),
        (Some("10.0.0.1"), Some(0), Some(8080))
    );
    assert!(warnings.is_empty());
    let source = Fake::variables(&[("LIBPROCESS_ADVERTISE_PORT", "0")]);
    assert!(parse_environment::<LibprocessFlags>(LIBPROCESS, &source).is_err());
}

#[test]
fn u118_older_tls_names_are_read_with_a_warning_and_lose() {
    let source = Fake::variables(&[
        ("SSL_VERIFY_CERT", "true"),
        ("SSL_CERT_FILE", "/old"),
        ("LIBPROCESS_SSL_CERT_FILE", "/new"),
    ]);
    let (flags, warnings) = parse_environment::<TlsFlags>(TLS, &source).unwrap();
    assert!(flags.verifies_servers());
    assert_eq!(flags.cert_file.unwrap().as_str(), "/new");
    let older: Vec<&String> = warnings.iter().filter(|warning| warning.starts_with("SSL_")).take(2).collect();
    assert_eq!(
        older,
        [
            "SSL_VERIFY_CERT is deprecated: set LIBPROCESS_SSL_VERIFY_CERT in its place",
            "SSL_CERT_FILE is ignored, as LIBPROCESS_SSL_CERT_FILE is set too"
        ]
    );
}

#[test]
fn tls_is_refused_while_it_is_not_built() {
    let source = Fake::variables(&[("LIBPROCESS_SSL_ENABLED", "1")]);
    let error = parse_environment::<TlsFlags>(TLS, &source).unwrap_err().to_string();
    assert_eq!(error, "LIBPROCESS_SSL_ENABLED is not supported yet: TLS is not built");
}

#[test]
fn u001_either_name_of_tls_verification_counts() {
    for (name, servers, clients) in [
        ("LIBPROCESS_SSL_VERIFY_SERVER_CERT", true, false),
        ("LIBPROCESS_SSL_VERIFY_CERT", true, false),
        ("LIBPROCESS_SSL_REQUIRE_CLIENT_CERT", true, true),
        ("LIBPROCESS_SSL_REQUIRE_CERT", true, true),
    ] {
        let (flags, _) = parse_environment::<TlsFlags>(TLS, &Fake::variables(&[(name, "1")])).unwrap();
        assert_eq!((flags.verifies_servers(), flags.requires_clients()), (servers, clients), "{name}");
    }
}

#[test]
fn u011_hostname_validation_has_two_schemes() {
    let read = |scheme| {
        let source = Fake::variables(&[("LIBPROCESS_SSL_HOSTNAME_VALIDATION_SCHEME", scheme)]);
        parse_environment::<TlsFlags>(TLS, &source).map(|(flags, _)| flags.hostname_validation_scheme)
    };
    assert_eq!(read("openssl").as_deref(), Ok("openssl"));
    assert!(read("dns").unwrap_err().to_string().starts_with("LIBPROCESS_SSL_HOSTNAME_VALIDATION_SCHEME"));
}
