//! The program with the real logrotate.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // Next to this test's own binary: Cargo builds examples for tests.
    test.parent().unwrap().parent().unwrap().join("examples").join("logrotate_logger")
}

fn has_logrotate() -> bool {
    let found = Command::new("logrotate").arg("--version").stderr(Stdio::null()).status().is_ok();
    if !found {
        let why = "rotating logs: logrotate is not installed";
        skip(why);
    }
    found
}

/// Says that a test could not run and why; `./test` prints all of these in its last line.
fn skip(why: &str) {
    eprintln!("skipped: {why}");
    if let Some(path) = std::env::var_os("MESSOR_SKIPS")
        && let Ok(mut file) = fs::OpenOptions::new().append(true).create(true).open(path)
    {
        let _ = writeln!(file, "{why}");
    }
}

fn start(log: &Path, flags: &[&str]) -> Child {
    Command::new(program())
        .arg(format!("--log_filename={}", log.display()))
        .args(flags)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What is in the log and those before it, the oldest first.
fn parts(log: &Path) -> Vec<Vec<u8>> {
    let mut parts = vec![fs::read(log).unwrap_or_default()];
    for number in 1.. {
        let older = log.with_file_name(format!("{}.{number}", log.file_name().unwrap().to_str().unwrap()));
        let Ok(part) = fs::read(older) else { break };
        parts.insert(0, part);
    }
    parts
}

#[test]
fn fifty_megabytes_are_rotated_and_no_byte_is_lost() {
    if !has_logrotate() {
        return;
    }
    // Names that mean more than themselves to shells and to logrotate.
    let folder = tempfile::tempdir().unwrap();
    let sandbox = folder.path().join("a {b} *'\"$(x)");
    fs::create_dir(&sandbox).unwrap();
    let log = sandbox.join("stdout");
    let mut child = start(&log, &["--max_size=1MB", "--logrotate_options=rotate 100"]);
    let mut input = child.stdin.take().unwrap();
    let mut expected = Vec::new();
    for number in 0u64.. {
        let line = format!("{number} {}\n", "x".repeat(usize::try_from(number * 7919 % 3000).unwrap()));
        input.write_all(line.as_bytes()).unwrap();
        expected.extend_from_slice(line.as_bytes());
        if expected.len() >= 50 << 20 {
            break;
        }
    }
    drop(input);
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{}", String::from_utf8_lossy(&ended.stderr));
    let parts = parts(&log);
    assert!((50..=60).contains(&parts.len()), "{}", parts.len());
    assert!(parts.iter().all(|part| part.len() <= 1 << 20), "a file is larger than it may be");
    assert!(parts.concat() == expected, "a byte was lost");
    // Nothing beside the logs, where a task could change what is done next.
    assert_eq!(fs::read_dir(&sandbox).unwrap().count(), parts.len());
}

#[test]
fn without_options_old_logs_go() {
    if !has_logrotate() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("stderr");
    let mut child = start(&log, &["--max_size=8KB"]);
    child.stdin.take().unwrap().write_all(&[b'x'; 100_000]).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(fs::metadata(log).unwrap().len() <= 8192);
}

#[test]
fn it_writes_as_the_user_and_leads_a_session() {
    use std::os::unix::fs::{MetadataExt, chown};
    if !has_logrotate() || !rustix::process::geteuid().is_root() {
        return skip("another user's logs: this is not root");
    }
    let nobody = messor_linux::users::find("nobody").unwrap();
    let folder = tempfile::tempdir().unwrap();
    chown(folder.path(), Some(nobody.uid), Some(nobody.gid)).unwrap();
    let log = folder.path().join("stdout");
    let mut child = start(&log, &["--max_size=8KB", "--user=nobody", "--logrotate_options=rotate 3"]);
    let mut input = child.stdin.take().unwrap();
    input.write_all(&[b'x'; 20_000]).unwrap();
    let pid = messor_linux::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !folder.path().join("stdout.2").exists() {
        assert!(std::time::Instant::now() < end, "nothing is rotated");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(rustix::process::getsid(Some(pid)).unwrap(), pid);
    drop(input);
    assert!(child.wait().unwrap().success());
    for entry in fs::read_dir(folder.path()).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().uid(), nobody.uid);
    }
}

#[test]
fn what_cannot_be_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let told = |log: &Path, flags: &[&str]| {
        let mut child = start(log, flags);
        drop(child.stdin.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let log = folder.path().join("log");
    assert!(told(&log, &["--logrotate_path=/no/such/logrotate"]).contains("install logrotate"));
    if has_logrotate() {
        assert!(told(&folder.path().join("none/log"), &[]).contains("--log_filename"));
        assert!(told(&folder.path().join("a{b"), &[]).contains("is no name for a log"));
        assert!(told(&log, &["--user=no-such-user"]).contains("no-such-user"));
    }
    assert!(told(&log, &["--max_size=1KB"]).contains("--max_size"));
}
