//! The binary as a user meets it: its names, commands and answers.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const MESSOR: &str = env!("CARGO_BIN_EXE_messor");

fn messor(words: &[&str]) -> Output {
    Command::new(MESSOR).args(words).env_clear().output().unwrap()
}

/// Exit code, standard output and standard error.
fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Called by another name.
fn called(name: &str, words: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join(name);
    symlink(MESSOR, &link).unwrap();
    Command::new(&link).args(words).env_clear().output().unwrap()
}

const NAMES: [&str; 23] = [
    "mesos",
    "mesos-agent",
    "mesos-cat",
    "mesos-cni-port-mapper",
    "mesos-containerizer",
    "mesos-default-executor",
    "mesos-docker-executor",
    "mesos-execute",
    "mesos-executor",
    "mesos-fetcher",
    "mesos-init-wrapper",
    "mesos-io-switchboard",
    "mesos-local",
    "mesos-log",
    "mesos-logrotate-logger",
    "mesos-master",
    "mesos-ps",
    "mesos-resolve",
    "mesos-scp",
    "mesos-slave",
    "mesos-tail",
    "mesos-tcp-connect",
    "mesos-usage",
];

#[test]
fn help_lists_the_programs() {
    for word in ["--help", "-h", "help"] {
        let (code, out, _) = told(&messor(&[word]));
        assert_eq!(code, 0);
        assert!(out.starts_with("Usage: messor PROGRAM [--flag=value]...\n       messor COMMAND\n"), "{out}");
        for name in NAMES.iter().filter(|name| **name != "mesos-slave") {
            let line = format!("\n  {} ", name.strip_prefix("mesos-").unwrap_or(name));
            assert!(out.contains(&line), "{name}");
        }
        let widest = out.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(96), "{widest:?}");
    }
}

#[test]
fn the_version_is_that_of_mesos_and_its_own() {
    let (code, out, _) = told(&messor(&["--version"]));
    assert_eq!((code, out.as_str()), (0, concat!("mesos 1.11.0 (messor ", env!("CARGO_PKG_VERSION"), ")\n")));
}

#[test]
fn a_name_is_a_program() {
    let expected = "Usage: mesos-fetcher [--flag=value]...\n";
    for output in [
        called("mesos-fetcher", &["--help"]),
        messor(&["fetcher", "--help"]),
        messor(&["mesos-fetcher", "--help"]),
    ] {
        let (code, out, error) = told(&output);
        assert_eq!((code, error.as_str()), (0, ""));
        assert!(out.starts_with(expected), "{out}");
    }
}

#[test]
fn a_wrong_flag_is_told_with_the_nearest() {
    let (code, out, error) = told(&called("mesos-fetcher", &["--log-dir=/x"]));
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(error.starts_with("mesos-fetcher: unknown flag --log-dir; did you mean --log_dir?\n"), "{error}");
}

#[test]
fn unknown_names_are_answered_with_the_nearest() {
    let (code, out, error) = told(&called("mesos-mastre", &[]));
    assert_eq!((code, out.as_str()), (64, ""));
    assert_eq!(error, "messor: there is no program 'mesos-mastre'; did you mean mesos-master?\n");
    let (code, _, error) = told(&messor(&["agnet"]));
    assert_eq!((code, error.as_str()), (64, "messor: there is no program 'agnet'; did you mean agent?\n"));
    let (code, _, error) = told(&messor(&["zebra"]));
    assert_eq!(
        (code, error.as_str()),
        (64, "messor: there is no program 'zebra'; 'messor --help' lists them\n")
    );
    let (code, _, error) = told(&messor(&[]));
    assert_eq!((code, error.as_str()), (64, "messor: say which program to be; 'messor --help' lists them\n"));
}

#[test]
fn what_is_not_built_says_so() {
    let (code, out, error) = told(&called("mesos-docker-executor", &["--help"]));
    assert_eq!((code, out.as_str()), (64, ""));
    assert_eq!(error, "mesos-docker-executor is not built yet: the docker containerizer is not built\n");
}

#[test]
fn arguments_that_are_no_text_are_refused() {
    use std::os::unix::ffi::OsStrExt;
    let word = std::ffi::OsStr::from_bytes(b"--work_dir=\xff");
    let output = Command::new(MESSOR).arg("fetcher").arg(word).output().unwrap();
    let (code, _, error) = told(&output);
    assert_eq!(code, 64);
    assert!(error.starts_with("messor: argument 2 is not UTF-8"), "{error}");
}

#[test]
fn links_are_made_and_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("new/bin");
    for _ in 0..2 {
        let (code, out, error) = told(&messor(&["install", target.to_str().unwrap()]));
        assert_eq!((code, error.as_str()), (0, ""));
        assert_eq!(out, format!("23 links to messor in {}\n", target.display()));
    }
    assert_eq!(listing(&target), NAMES);
    let output = Command::new(target.join("mesos-fetcher")).arg("--version").output().unwrap();
    assert!(output.status.success());
}

#[test]
fn manual_pages_and_completion_are_put_where_they_are_looked_for() {
    let directory = tempfile::tempdir().unwrap();
    let (links, share) = (directory.path().join("bin"), directory.path().join("share"));
    let words = ["install".to_string(), links.display().to_string(), format!("--share={}", share.display())];
    let (code, out, error) = told(&messor(&words.each_ref().map(String::as_str)));
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(out.contains(" manual pages and completion scripts in "), "{out}");
    for (file, part) in [
        ("man/man8/mesos-master.8", ".TH MESOS-MASTER 8 "),
        ("man/man1/messor.1", "mesos\\-init\\-wrapper"),
        ("bash-completion/completions/mesos-scp", "complete -o default"),
        ("zsh/vendor-completions/_mesos", "#compdef mesos"),
        ("fish/vendor_completions.d/mesos.fish", "drain"),
    ] {
        let text = fs::read_to_string(share.join(file)).unwrap();
        assert!(text.contains(part), "{file}");
    }
    assert_eq!(told(&messor(&["install", "--share=/x"])).0, 64);
}

/// The one that the system's units start, without what it would become.
#[test]
fn the_wrapper_shows_what_it_would_start() {
    let etc = tempfile::tempdir().unwrap();
    fs::create_dir_all(etc.path().join("mesos-master")).unwrap();
    fs::write(etc.path().join("mesos-master/port"), "6060\n").unwrap();
    let flag = format!("--etc={}", etc.path().display());
    let (code, out, _) = told(&messor(&["init-wrapper", "master", "--show", &flag]));
    assert!(code == 0 && out.ends_with("\n--port=6060\n"), "{out}");
    let (code, _, error) = told(&messor(&["init-wrapper", &flag]));
    assert!(code == 1 && error.contains("mesos-init-wrapper master"), "{error}");
    // It becomes the daemon: that one finds what is wrong.
    fs::write(etc.path().join("mesos-master/prot"), "6060\n").unwrap();
    let (code, _, error) = told(&called("mesos-init-wrapper", &["master", &flag]));
    assert!(code == 1 && error.starts_with("mesos-master: unknown flag --prot"), "{error}");
}

#[test]
fn links_to_another_messor_are_replaced() {
    let directory = tempfile::tempdir().unwrap();
    symlink("/opt/messor-0.0/messor", directory.path().join("mesos-agent")).unwrap();
    assert_eq!(told(&messor(&["install", directory.path().to_str().unwrap()])).0, 0);
    let link = fs::read_link(directory.path().join("mesos-agent")).unwrap();
    assert_eq!(link, fs::canonicalize(MESSOR).unwrap());
}

#[test]
fn what_is_no_link_to_messor_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("mesos-tail");
    fs::write(&program, "Apache Mesos").unwrap();
    let refused = || {
        let (code, _, error) = told(&messor(&["install", directory.path().to_str().unwrap()]));
        let expected = format!(
            "messor install: '{}' would be overwritten, and is no link to messor: move it away first\n",
            program.display()
        );
        assert_eq!((code, error), (1, expected));
        assert_eq!(listing(directory.path()), ["mesos-tail"], "all links are made or none");
    };
    refused();
    assert_eq!(fs::read(&program).unwrap(), b"Apache Mesos");
    fs::remove_file(&program).unwrap();
    symlink("/usr/bin/true", &program).unwrap();
    refused();
}

fn listing(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn shells_and_manual_pages_are_served() {
    for (shell, part) in [
        ("bash", "complete -o default -F _mesos_agent mesos-agent\n"),
        ("zsh", "compdef _mesos_agent mesos-agent\n"),
        ("fish", "complete -c mesos-agent -l work_dir -x"),
    ] {
        let (code, out, _) = told(&messor(&["completion", shell]));
        assert!(code == 0 && out.contains(part), "{shell}");
    }
    let (code, out, _) = told(&messor(&["man", "agent"]));
    assert!(code == 0 && out.starts_with(".TH MESOS-AGENT 8 "));
    let (code, _, error) = told(&messor(&["completion", "tcsh"]));
    assert_eq!((code, error.as_str()), (64, "messor completion: 'tcsh' is none of: bash, zsh, fish\n"));
    let (code, _, error) = told(&messor(&["man", "zebra"]));
    assert_eq!((code, error.as_str()), (64, "messor man: there is no manual page of 'zebra'\n"));
    let (code, out, _) = told(&messor(&["man", "mesos"]));
    assert!(code == 0 && out.contains(".SS mesos agent drain\n"), "{out}");
}

/// The scripts are of use only if their shell takes them.
#[test]
fn bash_takes_its_script() {
    let script = messor(&["completion", "bash"]).stdout;
    let check = "source /dev/stdin; COMP_WORDS=(mesos-agent --work); COMP_CWORD=1; _mesos_agent; echo \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash")
        .args(["-c", check])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut bash.stdin.take().unwrap(), &script).unwrap();
    let output = bash.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "--work_dir=\n");
}

#[test]
fn the_table_of_flags_has_a_row_for_each() {
    let (code, out, _) = told(&messor(&["flags-table"]));
    assert_eq!(code, 0);
    assert!(out.contains("\n| mesos-fetcher | log_dir |  |  | works |  |\n"), "{out}");
    assert!(out.contains("\n| mesos-log | path |  |  | works |  |\n"), "{out}");
    assert!(
        out.contains(
            "\n| mesos-master | rate_limits |  |  | not yet | rate limits of frameworks are not built |\n"
        ),
        "{out}"
    );
    assert!(
        out.contains("\n| libprocess TLS | enabled |  | false | not yet | TLS is not built |\n"),
        "{out}"
    );
}

/// What works is told in one place: the definitions of the flags.
#[test]
fn the_table_of_flags_is_the_one_in_compatibility_md() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../COMPATIBILITY.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once("<!-- flags: made by messor flags-table -->\n").unwrap();
    let (table, _) = rest.split_once("<!-- end of flags -->\n").unwrap();
    let (_, out, _) = told(&messor(&["flags-table"]));
    let unlike = table.lines().zip(out.lines()).find(|(there, here)| there != here);
    assert!(
        table == out,
        "COMPATIBILITY.md is behind: put what `messor flags-table` prints between its marks; first {unlike:?}"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    for words in [&["--help"][..], &["master", "--help"], &["agent", "--version"], &["local", "--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(MESSOR).args(words).stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(told(&output), (0, String::new(), String::new()), "{words:?}");
    }
}

/// U118. The address is one that no machine has, so the master ends when its warnings are logged.
#[test]
fn older_names_of_tls_are_warned_about() {
    let output = Command::new(MESSOR)
        .args(["master", "--registry=in_memory", "--ip=192.0.2.1"])
        .env_clear()
        .env("SSL_ENABLED", "false")
        .output()
        .unwrap();
    let (code, _, error) = told(&output);
    assert_eq!(code, 1, "{error}");
    let line = error.lines().find(|line| line.contains("SSL_ENABLED")).unwrap();
    assert!(line.starts_with('W') && line.ends_with("set LIBPROCESS_SSL_ENABLED in its place"), "{line}");
}

#[test]
fn a_program_logs_where_its_flags_say() {
    let directory = tempfile::tempdir().unwrap();
    let flag = format!("--log_dir={}", directory.path().display());
    // The fetcher has nothing to fetch and logs so.
    let output = called("mesos-fetcher", &[&flag, "--quiet"]);
    let (code, _, error) = told(&output);
    assert_eq!((code, error.as_str()), (1, ""));
    let log = fs::read_to_string(directory.path().join("mesos-fetcher.INFO")).unwrap();
    assert!(log.starts_with("Log file created at: "), "{log}");
    let line = log.lines().find(|line| line.contains("MESOS_FETCHER_INFO")).unwrap();
    assert!(line.starts_with('E') && line.contains(".rs:"), "{line}");
    assert!(directory.path().join("mesos-fetcher.ERROR").exists());
    let (_, _, error) = told(&called("mesos-fetcher", &[]));
    assert!(error.lines().all(|line| line.starts_with('E')), "{error}");
}

#[test]
fn a_mistake_that_nobody_hears_of_is_a_mistake() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(MESSOR).args(["agent", "--nonsense"]).stderr(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_log_that_nobody_reads_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(MESSOR).arg("fetcher").env_clear().stderr(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "it ends as it does when it is heard");
}
