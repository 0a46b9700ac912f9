//! `./run` as a new user meets it: it starts a cluster, runs a task, leaves it running; `./run stop` ends it.

use std::process::{Command, Output};

use std::time::Duration;

use messor_testkit::{free_port, get, root, wait_for};

fn run(folder: &std::path::Path, ports: (u16, u16), arguments: &[&str]) -> Output {
    Command::new(root().join("run"))
        .args(arguments)
        .env("MESSOR_STATE", folder)
        .env("MESSOR_PROFILE", "dev")
        // ./test has built it, or could not.
        .env("MESSOR_PAGE", "no")
        .env("MESSOR_MASTER_PORT", ports.0.to_string())
        .env("MESSOR_AGENT_PORT", ports.1.to_string())
        .output()
        .expect("./run runs")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn run_starts_a_cluster_and_runs_a_task() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ports = (free_port(), free_port());
    let first = run(folder.path(), ports, &[]);
    assert!(first.status.success() && text(&first).contains("hello from"), "{}", text(&first));
    let master = std::net::SocketAddr::from(([127, 0, 0, 1], ports.0));
    assert_eq!(get(master, "/health").expect("the master runs on").status, 200);

    let second = run(folder.path(), ports, &[]);
    assert!(second.status.success() && text(&second).contains("runs already"), "{}", text(&second));

    // A second cluster on the same port is told to choose another one.
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let taken = run(elsewhere.path(), ports, &[]);
    assert!(!taken.status.success() && text(&taken).contains("MESSOR_MASTER_PORT"), "{}", text(&taken));

    // A task that would outlive its agent ends with the cluster all the same.
    let pid = folder.path().join("pid");
    let command = format!("echo $$ >{}; exec sleep 1000", pid.display());
    let mut task = Command::new(folder.path().join("bin/mesos-execute"))
        .args([&format!("--master={master}"), "--name=stays", &format!("--command={command}")])
        .args(["--resources=cpus:0.1;mem:32", "--checkpoint"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("mesos-execute runs");
    let pid = wait_for("the task to run", Duration::from_secs(30), || {
        std::fs::read_to_string(&pid).ok().filter(|text| text.ends_with('\n'))
    });
    let stop = run(folder.path(), ports, &["stop"]);
    assert!(stop.status.success() && text(&stop).contains("the agent and its tasks"), "{}", text(&stop));
    assert!(get(master, "/health").is_err(), "the master still answers after ./run stop");
    let of_task = std::path::Path::new("/proc").join(pid.trim());
    let _ = task.kill();
    let _ = task.wait();
    assert!(!of_task.exists(), "the task still runs after ./run stop");
    assert!(text(&run(folder.path(), ports, &["status"])).contains("the agent does not run"));

    // It begins again where it was.
    let again = run(folder.path(), ports, &[]);
    assert!(again.status.success() && text(&again).contains("hello from"), "{}", text(&again));
    assert!(run(folder.path(), ports, &["stop"]).status.success());
}
