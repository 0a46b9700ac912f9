//! `mesos-containerizer launch` and `mount`, as those that call them by name see them.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn launch(info: &str, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_messor-containerizer"));
    command.arg("launch").arg(format!("--launch_info={info}")).args(more).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Says that a test could not run and why; `./test` prints all of these in its last line.
fn skip(why: &str) {
    eprintln!("skipped: {why}");
    if let Some(path) = std::env::var_os("MESSOR_SKIPS")
        && let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path)
    {
        let _ = std::io::Write::write_all(&mut file, format!("{why}\n").as_bytes());
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn it_becomes_the_command() {
    let info = r#"{"command": {"value": "echo $A; pwd; exit 3"}, "working_directory": "/tmp",
        "environment": {"variables": [{"name": "A", "value": "b"}]}}"#;
    let output = launch(info, &[]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(3), "b\n/tmp\n"));
    let output = launch(r#"{"command": {"shell": false, "value": "/no/such/program"}}"#, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("could not execute '/no/such/program'"), "{output:?}");
}

#[test]
fn the_status_of_the_command_is_noted() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = format!("--runtime_directory={}", directory.path().display());
    let status = || fs::read_to_string(directory.path().join("status")).unwrap();
    let output = launch(r#"{"command": {"value": "echo out; exit 3"}}"#, &[&runtime]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), "out\n"));
    assert_eq!(status(), "768");
    let output = launch(r#"{"command": {"shell": false, "value": "/no/such/program"}}"#, &[&runtime]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("could not execute '/no/such/program'"), "{output:?}");
    assert_eq!(status(), "256");
    launch(r#"{"command": {"value": "kill -TERM $$"}}"#, &[&runtime]);
    assert_eq!(status(), "15");
}

#[test]
fn what_comes_before_must_succeed() {
    let info = r#"{"pre_exec_commands": [{"value": "exit 2"}], "command": {"value": "true"}}"#;
    let output = launch(info, &[]);
    assert!(text(&output.stderr).contains("'exit 2' to run before exited with status 2"), "{output:?}");
}

#[test]
fn it_waits_until_it_is_told() {
    let mut command = Command::new("sh");
    // The other end of the pipe is given too, as Apache Mesos's agent does.
    let script = r#"mkfifo "$1/pipe"; exec 7<>"$1/pipe" 8>"$1/pipe" 9<"$1/pipe"; exec 7<&-;
        "$0" launch --launch_info='{"command": {"value": "echo begun"}}' --pipe_read=9 --pipe_write=8 &
        read go; echo told; printf x >&8; wait"#;
    let folder = tempfile::tempdir().unwrap();
    command.args(["-c", script, env!("CARGO_BIN_EXE_messor-containerizer")]).arg(folder.path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert_eq!(text(&child.wait_with_output().unwrap().stdout), "told\nbegun\n");
}

/// As 1.11.0's own program does, which an agent of it expects: the container's status is that of the signal.
#[test]
fn a_signal_that_comes_before_the_command_is_passed_on() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let status = directory.path().join("status");
    for (name, number) in [("USR1", "10"), ("ALRM", "14")] {
        let script = format!(
            r#"exec 8<>{0} 9>{0}; exec {1} launch --launch_info='{{"command": {{"value": "exec sleep 100"}}}}' \
               --runtime_directory={2} --pipe_read=8 --pipe_write=9"#,
            fifo.display(),
            env!("CARGO_BIN_EXE_messor-containerizer"),
            directory.path().display()
        );
        let _ = fs::remove_file(&status);
        let mut child = Command::new("sh").arg("-c").arg(script).stdin(Stdio::null()).spawn().unwrap();
        // Signals are held back when it is there.
        while !status.exists() {
            assert!(child.try_wait().unwrap().is_none());
            std::thread::yield_now();
        }
        let sent = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
        assert!(sent.unwrap().success());
        fs::File::options().write(true).open(&fifo).unwrap().write_all(b"x").unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(fs::read_to_string(&status).unwrap(), number, "{name}");
    }
}

#[test]
fn mounts_and_capabilities_of_the_launch_info_are_carried_out() {
    if !is_root() {
        return skip("what mesos-containerizer does for root: this is not root");
    }
    let folder = tempfile::tempdir().unwrap();
    let top = fs::canonicalize(folder.path()).unwrap();
    let info = format!(
        r#"{{"command": {{"value": "mountpoint -q {0} && echo mounted; grep CapEff /proc/self/status"}},
        "clone_namespaces": [131072, 536870912], "enter_namespaces": [1073741824],
        "mounts": [{{"source": "tmpfs", "target": "{0}", "type": "tmpfs"}}],
        "effective_capabilities": {{"capabilities": ["KILL"]}}, "no_new_privileges": true}}"#,
        top.display()
    );
    let output = launch(&info, &[]);
    assert_eq!(text(&output.stdout), "mounted\nCapEff:\t0000000000000020\n", "{output:?}");
    let seen = messor_linux::mounts::Table::current().unwrap();
    assert!(!seen.is_mount_point(&top));
    let without = info.replace("131072, ", "");
    let output = launch(&without, &[]);
    assert!(text(&output.stderr).contains("'mounts' needs a new mount namespace"), "{output:?}");
}

#[test]
fn mount_namespaces_are_entered_and_unshared() {
    if !is_root() {
        return skip("what mesos-containerizer does for root: this is not root");
    }
    let folder = tempfile::tempdir().unwrap();
    let top = fs::canonicalize(folder.path()).unwrap();
    let script = format!("mount -t tmpfs none {} && echo ready; read line", top.display());
    let info = format!(r#"{{"command": {{"value": "{script}"}}}}"#);
    let mut outer = Command::new(env!("CARGO_BIN_EXE_messor-containerizer"))
        .args(["launch", "--unshare_namespace_mnt", &format!("--launch_info={info}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    std::io::Read::read_exact(outer.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let is_mounted = |output: Output| text(&output.stdout) == "yes\n";
    let info = format!(r#"{{"command": {{"value": "mountpoint -q {} && echo yes"}}}}"#, top.display());
    assert!(is_mounted(launch(&info, &[&format!("--namespace_mnt_target={}", outer.id())])));
    assert!(!is_mounted(launch(&info, &[])));
    drop(outer.stdin.take());
    outer.wait().unwrap();
    let output = launch(r#"{"command": {"value": "true"}}"#, &["--namespace_mnt_target=999999999"]);
    assert!(text(&output.stderr).contains("enter a namespace"), "{output:?}");
}

#[test]
fn a_mount_becomes_a_slave() {
    if !is_root() {
        return skip("what mesos-containerizer does for root: this is not root");
    }
    // In a mount namespace of its own, so that this one stays as it is.
    let program = env!("CARGO_BIN_EXE_messor-containerizer");
    let script = format!(
        "mount --make-rshared / && '{program}' mount --operation=make-rslave --path=/ && \
         awk '$5 == \"/\"' /proc/self/mountinfo"
    );
    let output = Command::new("unshare").args(["-m", "sh", "-c", &script]).output().unwrap();
    assert!(output.status.success() && !text(&output.stdout).contains("shared:"), "{output:?}");
    let output = Command::new(program).args(["mount", "--operation=make-rslave", "--path=/no/such"]).output();
    let output = output.unwrap();
    assert!(
        !output.status.success() && text(&output.stderr).contains("'/no/such': No such file"),
        "{output:?}"
    );
    assert!(Path::new(program).exists());
}
