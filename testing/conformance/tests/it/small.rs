//! mesos-ps, mesos-cat, mesos-tail, mesos-scp and mesos-usage on a real cluster with tasks.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use messor_testkit::{Cluster, get, wait_for};

use crate::recovery::{Execution, PATIENCE};

fn run(cluster: &Cluster, program: &str, words: &[&str]) -> Output {
    Command::new(cluster.bin().join(program))
        .arg(format!("--master={}", cluster.master))
        .args(words)
        .stdin(Stdio::null())
        .output()
        .expect("it runs")
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// The id of the only framework.
fn framework(cluster: &Cluster) -> String {
    let state = get(cluster.master, "/frameworks").expect("an answer").json();
    let all = state["frameworks"].as_array().into_iter().chain(state["completed_frameworks"].as_array());
    let id = all.flatten().next().and_then(|one| one["id"].as_str().map(str::to_string));
    id.expect("a framework")
}

#[test]
fn tasks_are_listed_with_what_they_use() {
    let cluster = Cluster::start();
    let empty = printed(&run(&cluster, "mesos-ps", &[]));
    assert_eq!(empty, "No tasks.\n");
    let task = Execution::start(&cluster, "busy", "while :; do :; done", &[]);
    task.until("TASK_RUNNING");
    let line = wait_for("CPU time to be used", PATIENCE, || {
        let text = printed(&run(&cluster, "mesos-ps", &[]));
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next()?.split_whitespace().collect();
        assert_eq!(names, ["USER", "FRAMEWORK", "TASK", "SLAVE", "MEM", "TIME"]);
        let line = lines.next()?.to_string();
        (!line.ends_with('-') && !line.ends_with("00:00:00.000000")).then_some(line)
    });
    assert!(line.contains("mesos-execute instance") && line.contains("  busy  "), "{line}");
    assert!(line.contains("localhost") && line.contains(" MB  "), "{line}");
    let nowhere = Command::new(cluster.bin().join("mesos-ps")).output().expect("it runs");
    assert!(refused(&nowhere).contains("--master is required"));
}

#[test]
fn what_an_agent_does_not_have_yet_fails_the_task() {
    let cluster = Cluster::start();
    for (flags, what) in [
        (&["--docker_image=busybox"][..], "container images"),
        (&["--networks=net"], "container networks"),
        (&["--containerizer=docker", "--docker_image=busybox"], "containers of type DOCKER"),
    ] {
        let words = [&["--name=t", "--command=true", "--resources=cpus:0.1;mem:32"], flags].concat();
        let output = run(&cluster, "mesos-execute", &words);
        let told = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{flags:?}: {told}");
        assert!(
            told.contains("TASK_FAILED") && told.contains(&format!("not supported yet: {what}")),
            "{told}"
        );
    }
}

#[test]
fn files_of_sandboxes_are_printed_and_followed() {
    let cluster = Cluster::start();
    let go = cluster.folder().join("go");
    let command =
        format!("echo one; echo two >&2; until test -e {}; do sleep 0.1; done; echo three", go.display());
    let task = Execution::start(&cluster, "writes", &command, &[]);
    task.until("TASK_RUNNING");
    let framework = format!("--framework={}", framework(&cluster));
    let cat = |file: &str| {
        let file = format!("--file={file}");
        run(&cluster, "mesos-cat", &[&framework, "--task=writes", &file])
    };
    wait_for("what it writes", PATIENCE, || (cat("stdout").stdout == b"one\n").then_some(()));
    assert!(printed(&cat("stderr")).contains("two\n"));
    let followed = cluster.folder().join("followed");
    let mut tail = Command::new(cluster.bin().join("mesos-tail"))
        .args([&format!("--master={}", cluster.master), &framework, "--task=writes", "--file=stdout"])
        .stdout(std::fs::File::create(&followed).expect("a file"))
        .spawn()
        .expect("it runs");
    wait_for("the follower to read", PATIENCE, || {
        (std::fs::read(&followed).expect("a file") == b"one\n").then_some(())
    });
    std::fs::write(&go, "").expect("a file");
    let end =
        wait_for("the follower to end with its task", PATIENCE, || tail.try_wait().expect("it is ours"));
    assert!(end.success());
    assert_eq!(std::fs::read_to_string(&followed).expect("a file"), "one\nthree\n");
    // The task has ended, and its framework with it.
    task.until("TASK_FINISHED");
    assert_eq!(printed(&cat("stdout")), "one\nthree\n");
    assert!(refused(&cat("nothing")).contains("has not written it"));
    assert!(refused(&cat("../../x")).contains("leaves the sandbox"));
    let other = run(&cluster, "mesos-cat", &[&framework, "--task=other", "--file=stdout"]);
    assert!(refused(&other).contains("has no task 'other'"));
}

/// U113: in a mesos-local, whose master and agents are one process on one port, what tasks write is there, too.
#[test]
fn sandboxes_of_a_local_cluster_are_served() {
    let cluster = Cluster::local();
    let output = Command::new(cluster.bin().join("mesos-execute"))
        .args([
            &format!("--master={}", cluster.master),
            "--name=t",
            "--command=echo locally; mkdir d; echo deep >d/f",
            "--resources=cpus:0.1;mem:32",
            "--show_output",
        ])
        .output()
        .expect("it runs");
    let text = printed(&output);
    assert!(text.ends_with("\nlocally\n"), "{text}");
    let mesos = |words: &[&str]| run(&cluster, "mesos", words);
    assert!(printed(&mesos(&["task", "list", "--all"])).contains("FINISHED"));
    assert_eq!(printed(&mesos(&["task", "logs", "t"])), "locally\n");
    assert_eq!(printed(&mesos(&["task", "cp", "t:d/f", "-"])), "deep\n");
    let framework = printed(&mesos(&["framework", "list", "--all", "--json"]));
    let framework: serde_json::Value = serde_json::from_str(&framework).expect("JSON");
    let id = framework["completed_frameworks"][0]["framework_info"]["id"]["value"].as_str().expect("an id");
    let place = format!("path=/frameworks/{id}/executors/t/runs/latest");
    let answer = |path: &str| messor_testkit::get(cluster.master, path).expect("an answer");
    assert_eq!(answer(&format!("/files/read?{place}/stdout&offset=0")).json()["data"], "locally\n");
    assert!(answer(&format!("/files/browse?{place}")).text().contains("stdout"));
    assert_eq!(answer(&format!("/files/download?{place}/d/f")).text(), "deep\n");
    assert_eq!(answer("/files/read?path=/nothing&offset=0").status, 404);
    assert_eq!(answer("/files/browse?path=/../etc").status, 404);
}

/// In the place of scp a script that notes what it is asked: no host here can be reached by ssh.
#[test]
fn files_are_copied_to_every_agent() {
    let cluster = Cluster::start();
    let place = cluster.folder().join("fake");
    std::fs::create_dir(&place).expect("a folder");
    let (scp, log) = (place.join("scp"), cluster.folder().join("asked"));
    let write = |status: i32| {
        let text = format!(
            "#!/bin/sh\nfor word in \"$@\"; do printf '<%s>' \"$word\" >>{}; done\necho 'no such host' >&2\nexit {status}\n",
            log.display()
        );
        std::fs::write(&scp, text).expect("a file");
        std::fs::set_permissions(&scp, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    };
    let copy = |words: &[&str]| {
        let path = format!("{}:{}", place.display(), std::env::var("PATH").unwrap_or_default());
        Command::new(cluster.bin().join("mesos-scp"))
            .arg(format!("--master={}", cluster.master))
            .args(words)
            .env("PATH", path)
            .output()
            .expect("it runs")
    };
    write(0);
    let text = printed(&copy(&["a b", "c;d", "/srv/x y"]));
    assert_eq!(text, "localhost\tuploaded\n----- 1 uploaded, 0 failed of total 1 slaves\n");
    let asked = std::fs::read_to_string(&log).expect("it was asked");
    assert_eq!(asked, "<-p><-r><-B><--><a b><c;d><localhost:/srv/x y>", "no shell takes names apart");
    write(1);
    let output = copy(&["a", "/srv"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("localhost\tfailed: no such host\n"));
    assert!(refused(&output).contains("1 of 1 agents"));
    assert!(refused(&copy(&["a"])).contains("FILE... DIRECTORY"));
}

#[test]
fn a_tree_of_processes_is_measured() {
    let bin = tempfile::tempdir().expect("a folder");
    let link = bin.path().join("mesos-usage");
    std::os::unix::fs::symlink(messor_testkit::binary(), &link).expect("a link");
    let usage = |words: &[&str]| Command::new(Path::new(&link)).args(words).output().expect("it runs");
    let own = format!("--pid={}", std::process::id());
    let json: serde_json::Value = serde_json::from_str(&printed(&usage(&[&own]))).expect("JSON");
    assert!(
        json["mem_rss_bytes"].as_u64() > Some(1_000_000) && json["timestamp"].as_f64() > Some(1e9),
        "{json}"
    );
    let record = usage(&[&own, "--recordio"]).stdout;
    let size = u32::from_ne_bytes(record[..4].try_into().expect("a size"));
    assert_eq!(size as usize, record.len() - 4);
    assert!(refused(&usage(&[])).contains("--pid is required"));
    assert!(refused(&usage(&["--pid=2147483647"])).contains("there is no process"));
}
