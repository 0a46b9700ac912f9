//! An agent that nobody told which launcher it has, as one that Apache Mesos's flags are passed on to.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use messor_testkit::{Cluster, ControlGroups, free_port, get, skip, wait_for};

use super::host::{Host, PATIENCE, USER, task};

/// Of the root of a host with control groups of version 1.
fn bare() -> Option<Cluster> {
    if ControlGroups::new().is_none() {
        skip("which launcher agents choose: no control groups of version 1 here, or not root");
        return None;
    }
    let cluster = Cluster::start();
    fs::set_permissions(cluster.folder(), fs::Permissions::from_mode(0o755)).expect("a folder of ours");
    Some(cluster)
}

fn launcher(agent: SocketAddr) -> String {
    let flags = get(agent, "/flags").expect("an answer").json();
    flags["flags"]["launcher"].as_str().expect("the launcher").to_string()
}

/// `--launcher=` leaves the flag out.
#[test]
fn agents_of_root_have_the_linux_launcher() {
    let Some(host) = Host::start("filesystem/linux", &["--launcher="]) else { return };
    assert_eq!(launcher(host.cluster.agents[0]), "linux");
    let before = host.traces();
    host.launch(&[task(
        "t",
        "grep -c '^[0-9]*:freezer:/messor-test' /proc/self/cgroup; readlink /proc/self/ns/mnt",
    )]);
    host.ends("t", "TASK_FINISHED");
    let here = std::fs::read_link("/proc/self/ns/mnt").expect("a namespace");
    let said = host.stdout("t");
    assert!(said.starts_with("1\n") && !said.contains(&*here.to_string_lossy()), "{said}");
    host.leaves_no_trace(&before);
}

/// The agent and its warden are in groups of their own, tasks in theirs, also after a restart; a controller that there is not
/// is named.
#[test]
fn an_agent_has_groups_of_its_own() {
    let flags = ["--agent_subsystems=memory, cpuacct"];
    let Some(mut host) = Host::start("cgroups/mem,cgroups/cpu", &flags) else { return };
    for _ in 0..2 {
        let before = host.traces();
        let pid = host.cluster.pid("agent0");
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("groups");
        for controller in ["memory", "cpuacct"] {
            let own = format!("/{}/slave", host.groups.root());
            let of = |line: &&str| {
                line.split(':').nth(1).is_some_and(|all| all.split(',').any(|one| one == controller))
            };
            let line = groups.lines().find(of).expect("a hierarchy");
            assert!(line.ends_with(&own), "{line}");
        }
        host.launch(&[task(
            "t",
            "grep -c /slave /proc/self/cgroup; grep -c memory:/messor-test /proc/self/cgroup",
        )]);
        host.ends("t", "TASK_FINISHED");
        assert_eq!(host.stdout("t"), "0\n1\n");
        host.leaves_no_trace(&before);
        host.cluster.kill("agent0");
        let flags = host.flags.clone();
        host.cluster.restart_agent(0, &flags);
    }
    host.cluster.kill("agent0");
    let other = |flag: &String| match flag.starts_with("--agent_subsystems") {
        true => "--agent_subsystems=memory,nothing".to_string(),
        false => flag.clone(),
    };
    let wrong: Vec<_> = host.flags.iter().map(other).collect();
    let (code, said) = host.cluster.run_agent(0, &wrong, PATIENCE);
    assert!(
        code == Some(1) && said.contains("agent_subsystems") && said.contains("nothing"),
        "{code:?}: {said}"
    );
    host.cluster.restart_agent(0, &host.flags.clone());
}

/// Where the control groups cannot be used it is posix, and an isolator that needs the other one says so.
#[test]
fn agents_without_control_groups_have_the_posix_launcher() {
    let Some(mut cluster) = bare() else { return };
    cluster.kill("agent0");
    // The groups are to be below a file of the kernel's.
    let flags = ["--launcher=", "--cgroups_root=tasks/mesos", "--isolation=posix/cpu"].map(str::to_string);
    let linux =
        ["--launcher=", "--cgroups_root=tasks/mesos", "--isolation=filesystem/linux"].map(str::to_string);
    let (code, said) = cluster.run_agent(0, &linux, PATIENCE);
    assert!(code == Some(1) && said.contains("filesystem/linux needs --launcher=linux"), "{code:?}: {said}");
    cluster.restart_agent(0, &flags);
    assert_eq!(launcher(cluster.agents[0]), "posix");
    assert!(cluster.log("agent0").contains("linux cannot be: cannot make the control group"));
}

#[test]
fn agents_of_others_than_root_have_the_posix_launcher() {
    let Some(cluster) = bare() else { return };
    let folder = cluster.folder().join("of-nobody");
    fs::create_dir(&folder).expect("a folder");
    let owned = Command::new("chown").arg(USER).arg(&folder).status();
    assert!(owned.expect("chown runs").success());
    let port = free_port();
    let below = |name: &str| folder.join(name).display().to_string();
    let mut agent = Command::new("setpriv")
        .args([&format!("--reuid={USER}"), "--regid=nogroup", "--clear-groups"])
        .arg(cluster.bin().join("mesos-agent"))
        .arg(format!("--master={}", cluster.master))
        .args(["--ip=127.0.0.1", "--hostname=localhost", &format!("--port={port}")])
        .args([format!("--work_dir={}", below("work")), format!("--runtime_dir={}", below("run"))])
        .arg(format!("--fetcher_cache_dir={}", below("cache")))
        .env_clear()
        .stdin(Stdio::null())
        .stderr(File::create(below("log")).expect("a file"))
        .spawn()
        .expect("setpriv runs");
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let launcher = std::panic::catch_unwind(|| {
        wait_for("the agent of nobody", PATIENCE, || get(address, "/health").ok());
        launcher(address)
    });
    agent.kill().expect("it is ours");
    agent.wait().expect("it is ours");
    let said = fs::read_to_string(below("log")).unwrap_or_default();
    assert!(matches!(launcher.as_deref(), Ok("posix")), "{launcher:?}: {said}");
    assert!(said.contains("linux cannot be: this is not root"), "{said}");
}
