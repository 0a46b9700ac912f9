//! An agent that was killed and comes back: its tasks run on, and what happened meanwhile is told.
//!
//! Rows: U042, U109, U113 (checkpoints that an agent of Apache Mesos 1.11.0 left).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use messor_testkit::{Cluster, Options, get, oracle, skip, wait_for};

pub const PATIENCE: Duration = Duration::from_secs(40);

/// mesos-execute that goes on beside the test; its output is in a file.
pub struct Execution {
    child: Child,
    output: PathBuf,
}

impl Execution {
    pub fn start(cluster: &Cluster, name: &str, command: &str, more: &[&str]) -> Execution {
        let (named, command) = (format!("--name={name}"), format!("--command={command}"));
        let mut all = vec![named.as_str(), &command, "--resources=cpus:0.1;mem:32"];
        all.extend(more);
        Execution::with(cluster, name, &all)
    }

    /// Of a whole TaskInfo in a file.
    pub fn of_task(cluster: &Cluster, name: &str, path: &Path) -> Execution {
        Execution::with(cluster, name, &[&format!("--task={}", path.display())])
    }

    fn with(cluster: &Cluster, name: &str, arguments: &[&str]) -> Execution {
        let output = cluster.folder().join(format!("{name}.out"));
        let file = std::fs::File::create(&output).expect("a file");
        let child = Command::new(cluster.bin().join("mesos-execute"))
            .arg(format!("--master={}", cluster.master))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a file"))
            .stderr(file)
            .spawn()
            .expect("mesos-execute runs");
        Execution { child, output }
    }

    pub fn text(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }

    pub fn until(&self, what: &str) {
        wait_for(&format!("{what} in {}", self.text()), PATIENCE, || {
            self.text().contains(what).then_some(())
        });
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Nothing as long as the agent does not answer or says that it is not ready to.
fn agent_state(cluster: &Cluster) -> Option<serde_json::Value> {
    let answer = get(cluster.agents[0], "/state").ok()?;
    (answer.status == 200).then(|| answer.json())
}

pub fn agent_id(cluster: &Cluster) -> String {
    wait_for("the agent's id", PATIENCE, || {
        let state = agent_state(cluster)?;
        state["id"].as_str().filter(|id| !id.is_empty()).map(str::to_string)
    })
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

#[test]
fn a_task_runs_on_while_its_agent_is_killed_and_comes_back() {
    let mut cluster = Cluster::start();
    let id = agent_id(&cluster);
    let (log, go) = (cluster.folder().join("log"), cluster.folder().join("go"));
    let command = format!(
        "echo begin >>{0}; until test -e {1}; do sleep 0.1; done; echo end >>{0}",
        log.display(),
        go.display()
    );
    let task = Execution::start(&cluster, "long", &command, &["--checkpoint"]);
    task.until("TASK_RUNNING");
    cluster.kill("agent0");
    cluster.restart_agent(0, &[]);
    assert_eq!(agent_id(&cluster), id);
    wait_for("the task to be known again", PATIENCE, || {
        let tasks = agent_state(&cluster)?;
        let state = tasks["frameworks"][0]["executors"][0]["tasks"][0]["state"].clone();
        (state == "TASK_RUNNING").then_some(())
    });
    assert_eq!(lines(&log), 1);
    std::fs::write(&go, "").expect("a file");
    task.until("TASK_FINISHED");
    assert_eq!(lines(&log), 2, "run once: {}", std::fs::read_to_string(&log).unwrap_or_default());
}

#[test]
fn a_task_that_ends_while_the_agent_is_away_is_told_of() {
    let mut cluster = Cluster::start();
    let (go, gone) = (cluster.folder().join("go"), cluster.folder().join("gone"));
    let command =
        format!("until test -e {}; do sleep 0.1; done; touch {}; exit 7", go.display(), gone.display());
    let task = Execution::start(&cluster, "away", &command, &["--checkpoint"]);
    task.until("TASK_RUNNING");
    cluster.kill("agent0");
    std::fs::write(&go, "").expect("a file");
    wait_for("the task to end", PATIENCE, || gone.exists().then_some(()));
    cluster.restart_agent(0, &[]);
    task.until("exited with status 7");
}

#[test]
fn a_task_whose_executor_was_killed_meanwhile_is_told_of() {
    let mut cluster = Cluster::start();
    let pid = cluster.folder().join("pid");
    let command = format!("echo $PPID $$ >{}; exec sleep 1000", pid.display());
    let task = Execution::start(&cluster, "killed", &command, &["--checkpoint"]);
    task.until("TASK_RUNNING");
    cluster.kill("agent0");
    let text = std::fs::read_to_string(&pid).expect("the task has told its pids");
    let [executor, own]: [&str; 2] =
        text.split_whitespace().collect::<Vec<_>>().try_into().expect("two pids");
    let killed = Command::new("kill").args(["-KILL", executor]).status();
    assert!(killed.expect("kill runs").success());
    cluster.restart_agent(0, &[]);
    task.until("TASK_FAILED");
    wait_for("the task's process to be gone with it", PATIENCE, || {
        (!Path::new("/proc").join(own).exists()).then_some(())
    });
}

#[test]
fn without_checkpoints_a_task_ends_with_its_agent_and_is_told_of() {
    let mut cluster = Cluster::start();
    let id = agent_id(&cluster);
    let pid = cluster.folder().join("pid");
    let task =
        Execution::start(&cluster, "short", &format!("echo $$ >{}; exec sleep 1000", pid.display()), &[]);
    task.until("TASK_RUNNING");
    let own = std::fs::read_to_string(&pid).expect("the task has told its pid").trim().to_string();
    cluster.kill("agent0");
    cluster.restart_agent(0, &[]);
    assert_eq!(agent_id(&cluster), id);
    wait_for("the task's process to end", PATIENCE, || {
        (!Path::new("/proc").join(&own).exists()).then_some(())
    });
    task.until("Received status update TASK_LOST");
}

#[test]
fn an_agent_that_is_ended_keeps_its_tasks_and_one_that_is_to_leave_does_not() {
    let mut cluster = Cluster::start();
    let id = agent_id(&cluster);
    let task = Execution::start(&cluster, "kept", "exec sleep 1000", &["--checkpoint"]);
    task.until("TASK_RUNNING");
    assert_eq!(cluster.end("agent0", "TERM"), Some(0));
    cluster.restart_agent(0, &[]);
    assert_eq!(agent_id(&cluster), id);
    assert!(!task.text().contains("TASK_KILLED"), "{}", task.text());
    cluster.end("agent0", "USR1");
    cluster.restart_agent(0, &[]);
    assert_ne!(agent_id(&cluster), id, "a new agent");
}

#[test]
fn a_work_directory_is_for_one_agent() {
    let cluster = Cluster::start();
    let second = Command::new(cluster.bin().join("mesos-agent"))
        .args([format!("--master={}", cluster.master), "--ip=127.0.0.1".into(), "--port=0".into()])
        .arg(format!("--work_dir={}", cluster.folder().join("agent0").display()))
        .arg(format!("--runtime_dir={}", cluster.folder().join("other-run").display()))
        .args(["--launcher=posix", "--isolation=posix/cpu,posix/mem"])
        .output()
        .expect("mesos-agent runs");
    let text = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && text.contains("another agent works there"), "{text}");
}

#[test]
fn resources_may_grow_only_where_the_policy_says_so() {
    let flags = |cpus: u32, policy: &str| {
        vec![
            format!("--resources=cpus:{cpus};mem:1024;disk:1024;ports:[31000-32000]"),
            format!("--reconfiguration_policy={policy}"),
        ]
    };
    let options = Options { agent_flags: flags(2, "equal"), ..Options::default() };
    let mut cluster = Cluster::with(&options);
    let id = agent_id(&cluster);
    let info = cluster.folder().join("agent0/meta/slaves").join(&id).join("slave.info");
    let before = std::fs::read(&info).expect("the agent has written its info");
    cluster.kill("agent0");
    cluster.restart_agent(0, &flags(3, "additive"));
    assert_eq!(agent_id(&cluster), id);
    wait_for("the new resources to be written", PATIENCE, || {
        (std::fs::read(&info).ok()? != before).then_some(())
    });
    cluster.kill("agent0");
    let (status, text) = cluster.run_agent(0, &flags(2, "equal"), PATIENCE);
    assert!(status == Some(1) && text.contains("reconfiguration_policy"), "{status:?}: {text}");
}

/// `mesos-agent --recover=cleanup` kills the executors of before and ends; the next one is a new agent.
#[test]
fn an_agent_that_cleans_up_ends_its_executors_and_itself() {
    let mut cluster = Cluster::start();
    let id = agent_id(&cluster);
    let pid = cluster.folder().join("pid");
    let command = format!("echo $$ >{}; exec sleep 1000", pid.display());
    let task = Execution::start(&cluster, "cleaned", &command, &["--checkpoint"]);
    task.until("TASK_RUNNING");
    let own = std::fs::read_to_string(&pid).expect("the task has told its pid").trim().to_string();
    cluster.kill("agent0");
    let (status, said) = cluster.run_agent(0, &["--recover=cleanup".to_string()], PATIENCE);
    assert_eq!(status, Some(0), "{said}");
    // Not again and again: the agent tells it to end each time it comes.
    let asked = said.matches("Received SUBSCRIBE").count();
    assert!(asked < 100, "{asked} times");
    assert!(!Path::new("/proc").join(&own).exists(), "the task's process is gone: {said}");
    let left = std::fs::read_dir(cluster.folder().join("agent0-run/containers")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "nothing is kept of its container");
    cluster.restart_agent(0, &[]);
    assert_ne!(agent_id(&cluster), id, "a new agent");
}

#[test]
fn an_executor_that_does_not_come_back_in_its_time_is_killed_and_its_task_told_of() {
    let mut cluster = Cluster::start();
    let pid = cluster.folder().join("pid");
    let command = format!("echo $PPID $$ >{}; exec sleep 1000", pid.display());
    let task = Execution::start(&cluster, "stopped", &command, &["--checkpoint"]);
    task.until("TASK_RUNNING");
    let text = std::fs::read_to_string(&pid).expect("the task has told its pids");
    let [executor, own]: [&str; 2] =
        text.split_whitespace().collect::<Vec<_>>().try_into().expect("two pids");
    cluster.kill("agent0");
    assert!(Command::new("kill").args(["-STOP", executor]).status().expect("kill runs").success());
    cluster.restart_agent(0, &["--executor_reregistration_timeout=1secs".to_string()]);
    task.until("Executor did not reregister within 1secs");
    wait_for("its processes to be gone", PATIENCE, || {
        (![executor, own].iter().any(|pid| Path::new("/proc").join(pid).exists())).then_some(())
    });
}

#[test]
fn an_executor_whose_agent_stays_away_ends_after_the_recovery_timeout() {
    let options = Options { agent_flags: vec!["--recovery_timeout=2secs".to_string()], ..Options::default() };
    let mut cluster = Cluster::with(&options);
    let pid = cluster.folder().join("pid");
    let command = format!("echo $PPID $$ >{}; exec sleep 1000", pid.display());
    let task = Execution::start(&cluster, "left", &command, &["--checkpoint"]);
    task.until("TASK_RUNNING");
    let text = std::fs::read_to_string(&pid).expect("the task has told its pids");
    let pids: Vec<&str> = text.split_whitespace().collect();
    cluster.kill("agent0");
    let left = std::time::Instant::now();
    wait_for("the executor and its task to end", PATIENCE, || {
        (!pids.iter().any(|pid| Path::new("/proc").join(pid).exists())).then_some(())
    });
    assert!(left.elapsed() > Duration::from_secs(1), "not at once: {:?}", left.elapsed());
    cluster.restart_agent(0, &[]);
    // Executor and agent say it differently; what matters is that it is told.
    wait_for("the end of the task", PATIENCE, || {
        ["TASK_FAILED", "TASK_KILLED", "TASK_LOST", "TASK_GONE"]
            .iter()
            .any(|state| task.text().contains(state))
            .then_some(())
    });
}

/// U042: after a new start of the host the agent keeps its id where it may, and is a new one where it differs by more than
/// the policy allows.
#[test]
fn after_a_reboot_an_agent_keeps_its_id_unless_it_differs_too_much() {
    let flags = |cpus: u32| vec![format!("--resources=cpus:{cpus};mem:1024;disk:1024;ports:[31000-32000]")];
    for (cpus, same) in [(2, true), (1, false)] {
        let mut cluster = Cluster::with(&Options { agent_flags: flags(2), ..Options::default() });
        let id = agent_id(&cluster);
        let pid = cluster.folder().join("pid");
        let command = format!("echo $PPID $$ >{}; exec sleep 1000", pid.display());
        let task = Execution::start(&cluster, "before", &command, &["--checkpoint"]);
        task.until("TASK_RUNNING");
        cluster.kill("agent0");
        // Of a host's last run no process is left, and its boot id is another.
        let text = std::fs::read_to_string(&pid).expect("the task has told its pids");
        let mut kill = Command::new("kill");
        assert!(kill.arg("-KILL").args(text.split_whitespace()).status().expect("kill runs").success());
        let boot_id = cluster.folder().join("agent0/meta/boot_id");
        std::fs::write(&boot_id, "2dd6f736-5180-4262-b9ab-782f4594e43d").expect("a file");
        cluster.restart_agent(0, &flags(cpus));
        assert_eq!(agent_id(&cluster) == id, same);
        let present = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("a boot id");
        wait_for("the present boot id on disk", PATIENCE, || {
            (std::fs::read_to_string(&boot_id).ok()?.trim() == present.trim()).then_some(())
        });
        if same {
            task.until("TASK_FAILED");
        } else {
            let log = cluster.log("agent0");
            assert!(log.contains("Beginning as a new agent") && log.contains("--resources was"), "{log}");
        }
    }
}

/// What an agent of Apache Mesos 1.11.0 left when it was killed: its id, a reservation with a volume, an executor
/// with updates that nobody acknowledged, and two whose processes are gone.
#[test]
fn an_agent_takes_over_from_apache_mesos() {
    let archives = oracle().map(|oracle| oracle.join("state-1.11.0")).filter(|folder| folder.is_dir());
    let Some(archives) = archives else {
        return skip("checkpoints of the real 1.11.0: ../shared is not there");
    };
    for rebooted in [false, true] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let unpack = |archive: &str, name: &str| {
            let to = folder.path().join(name);
            std::fs::create_dir_all(&to).expect("a folder");
            let done = Command::new("tar").arg("xzf").arg(archives.join(archive)).arg("-C").arg(&to).status();
            assert!(done.expect("tar runs").success());
            to
        };
        let work_dir = unpack("agent-work_dir-meta.tar.gz", "agent0");
        let runtime = unpack("agent-runtime_dir.tar.gz", "unpacked");
        std::fs::rename(runtime.join("mesos"), folder.path().join("agent0-run"))
            .expect("a folder is renamed");
        if !rebooted {
            let boot_id = std::fs::read("/proc/sys/kernel/random/boot_id").expect("a boot id");
            std::fs::write(work_dir.join("meta/boot_id"), boot_id).expect("a file");
        }
        // What is told of the agent has to be the same as then.
        let flags = [
            "--port=16151",
            "--hostname=127.0.0.1",
            "--resources=cpus:4;mem:4096;disk:10000;ports:[31000-32000]",
            "--attributes=rack:r1;level:3",
        ];
        let agent_flags = flags.map(str::to_string).to_vec();
        let cluster = Cluster::within(folder, &Options { agent_flags, ..Options::default() });
        let state = wait_for("the agent to be ready", PATIENCE, || agent_state(&cluster));
        assert_eq!(state["id"], "eef8b932-4bf2-4897-b283-44e666f23b77-S0");
        let volume = &state["reserved_resources_full"]["flow"][0];
        assert_eq!(volume["disk"]["persistence"]["id"], "v1");
        assert_eq!(volume["reservation"]["principal"], "p");
        let told = wait_for("the master to know all tasks", PATIENCE, || {
            let all = get(cluster.master, "/tasks").ok()?.json();
            let tasks = all["tasks"].as_array()?.iter();
            let told: BTreeSet<(String, String)> = tasks
                .map(|task| {
                    let text = |name: &str| task[name].as_str().unwrap_or_default().to_string();
                    (text("id"), text("state"))
                })
                .collect();
            (told.len() == 4).then_some(told)
        });
        let failed = |id: &str| (id.to_string(), "TASK_FAILED".to_string());
        let expected = ["pod-a", "pod-b", "running-command", "unacknowledged"].map(failed);
        assert_eq!(told, expected.into_iter().collect());
        // From the first on, in order, until they are acknowledged.
        wait_for("the first update that was not acknowledged", PATIENCE, || {
            cluster.log("agent0").contains("Forwarding the update TASK_STARTING").then_some(())
        });
        let left =
            std::fs::read_dir(cluster.folder().join("agent0-run/containers")).expect("a folder").count();
        assert_eq!(left, 0, "nothing is kept of containers that ended");
    }
}

/// A master that is told to end closes the streams of its schedulers. They have not gone away by that: none of them is
/// torn down, however short its failover_timeout is, and their tasks go on under the next master.
#[test]
fn a_master_that_is_stopped_takes_no_task_with_it() {
    let mut cluster = Cluster::start();
    agent_id(&cluster);
    let task = Execution::start(&cluster, "stays", "exec sleep 1000", &[]);
    task.until("TASK_RUNNING");
    let began = std::time::Instant::now();
    assert_eq!(cluster.end("master", "TERM"), Some(0));
    // Streams that are open hold it up no longer than a moment.
    assert!(began.elapsed() < Duration::from_secs(4), "it took {:?}", began.elapsed());
    let log = cluster.log("master");
    assert!(log.contains("received SIGTERM") && !log.contains("removing framework"), "{log}");
    assert!(!log.contains("disconnected"), "{log}");
    cluster.restart_master();
    wait_for("the task to run under the next master", PATIENCE, || {
        let tasks = get(cluster.master, "/tasks").ok()?.json();
        (tasks["tasks"][0]["state"] == "TASK_RUNNING").then_some(())
    });
}
