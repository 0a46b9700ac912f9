//! What an agent finds again of the containers of the one before, what it ends, and what it leaves alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use messor_agent_core::{ContainerCommand, ContainerEvent, Launch, Run};
use messor_linux::spawn::{Launch as Start, Session};
use messor_linux::{Exit, wait};
use messor_types::ContainerId;

use crate::{Bench, directory, runs, shell, words};

pub fn run(container: &str, forked_pid: Option<u32>) -> Run {
    Run {
        container: ContainerId::new(container),
        framework: "F".into(),
        executor_id: "e".into(),
        executor: Default::default(),
        forked_pid,
        directory: directory(container),
        resources: Vec::new(),
    }
}

/// A process that another one began with, as executors are when their agent is gone.
async fn adopted(pipe: PathBuf, variables: &[(&str, &str)]) -> u32 {
    let mut start = Start::shell(format!("exec 3>{}; sleep 1000 3>&- & echo $! >&3", pipe.display()));
    start.session = Session::New;
    start.environment = vec![("PATH".into(), "/usr/bin:/bin".into())];
    start.environment.extend(variables.iter().map(|(name, value)| (name.into(), value.into())));
    let parent = start.start().unwrap();
    let orphan = words(pipe).await.remove(0).parse().unwrap();
    while wait::try_wait(parent).unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    orphan
}

impl Bench {
    /// The runs that go on, and how many others were destroyed.
    async fn recover(&mut self, runs: Vec<Run>) -> (BTreeMap<String, u32>, usize) {
        self.containerizer.command(ContainerCommand::Recover { runs });
        match self.event().await {
            ContainerEvent::Recovered { running, destroyed } => {
                (running.into_iter().map(|(id, pid)| (id.value().to_string(), pid)).collect(), destroyed)
            }
            other => panic!("not recovered: {other:?}"),
        }
    }

    fn runtime(&self, container: &str) -> PathBuf {
        self.work.path().join("run/containers").join(container)
    }

    /// What Apache Mesos keeps of a container; `process` is what Messor adds.
    fn note(&self, container: &str, pid: u32, process: Option<&str>) {
        fs::create_dir_all(self.runtime(container)).unwrap();
        fs::write(self.runtime(container).join("pid"), pid.to_string()).unwrap();
        fs::write(self.runtime(container).join("status"), "").unwrap();
        if let Some(text) = process {
            fs::write(self.runtime(container).join("process"), text).unwrap();
        }
    }

    fn forked_pid(&self, container: &str) -> PathBuf {
        self.work.path().join("meta").join(directory(container)).join("pids/forked.pid")
    }
}

fn pid_in(path: &Path) -> u32 {
    fs::read_to_string(path).unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_container_is_noted_before_it_runs_and_for_as_long_as_it_does() {
    let mut bench = Bench::new();
    let pipe = bench.pipe();
    let (pid_file, forked) = (bench.runtime("c1").join("pid"), bench.forked_pid("c1"));
    let command = format!("cat {} {} >{}; sleep 1000", pid_file.display(), forked.display(), pipe.display());
    bench.launch(Launch { checkpoint: true, ..shell("c1", &command) });
    let pid = bench.launched().await;
    assert_eq!(words(pipe).await, [format!("{pid}{pid}")]);
    assert_eq!((pid_in(&pid_file), pid_in(&forked)), (pid, pid));
    for name in ["config", "process"] {
        assert!(bench.runtime("c1").join(name).exists(), "{name}");
    }
    bench.destroy("c1");
    bench.exited().await;
    assert!(!bench.runtime("c1").exists() && forked.exists());

    bench.launch(shell("c2", "exit 0"));
    bench.launched().await;
    assert_eq!(bench.exited().await, Some(0));
    assert!(!bench.forked_pid("c2").exists(), "only checkpointed ones");
}

#[tokio::test]
async fn a_container_of_before_is_watched_and_destroyed() {
    let mut bench = Bench::new();
    let pid = adopted(bench.pipe(), &[]).await;
    let start = messor_linux::procfs::process(i32::try_from(pid).unwrap()).unwrap().unwrap().start_ticks;
    let boot = messor_linux::host::boot_id().unwrap();
    bench.note("c1", pid, Some(&format!("{pid} {start} {boot}")));
    let (running, destroyed) = bench.recover(vec![run("c1", Some(pid))]).await;
    assert_eq!((running, destroyed), (BTreeMap::from([("c1".to_string(), pid)]), 0));
    assert!(runs(&pid.to_string()));
    assert_eq!(bench.containerizer.containers(), [(ContainerId::new("c1"), Some(pid))]);
    bench.destroy("c1");
    assert_eq!(bench.exited().await, None, "nobody knows how another's child ended");
    assert!(!runs(&pid.to_string()) && !bench.runtime("c1").exists());
}

/// As an agent of Apache Mesos leaves them: without the time a process started (U113).
#[tokio::test]
async fn a_container_of_apache_mesos_is_known_by_its_sandbox() {
    let mut bench = Bench::new();
    let sandbox = bench.sandbox("c1");
    let pid = adopted(bench.pipe(), &[("MESOS_CONTAINERIZER_LAUNCH_INFO", sandbox.to_str().unwrap())]).await;
    bench.note("c1", pid, None);
    bench.note("c2", pid, None);
    let (running, _) = bench.recover(vec![run("c1", Some(pid)), run("c2", Some(pid))]).await;
    assert_eq!(running, BTreeMap::from([("c1".to_string(), pid)]));
    // Its launcher notes how the executor ended, then ends itself.
    fs::write(bench.runtime("c1").join("status"), "768").unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    assert_eq!(bench.exited().await, Some(768));
}

#[tokio::test]
async fn what_ended_meanwhile_is_told_where_it_was_noted() {
    let mut bench = Bench::new();
    let dead = Start::shell("exit 0").start().unwrap();
    while wait::try_wait(dead).unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    let dead = u32::try_from(dead.as_raw_pid()).unwrap();
    bench.note("c1", dead, None);
    bench.note("c2", dead, None);
    fs::write(bench.runtime("c2").join("status"), Exit::Exited(4).to_wait_status().to_string()).unwrap();
    let all = vec![run("c1", Some(dead)), run("c2", Some(dead)), run("c3", None)];
    let (running, destroyed) = bench.recover(all).await;
    assert_eq!((running.into_keys().collect::<Vec<_>>(), destroyed), (vec!["c2".to_string()], 0));
    assert_eq!(bench.exited().await, Some(4 << 8));
    assert_eq!(fs::read_dir(bench.work.path().join("run/containers")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_number_that_was_given_to_another_process_is_not_killed() {
    let mut bench = Bench::new();
    let pid = adopted(bench.pipe(), &[]).await;
    let boot = messor_linux::host::boot_id().unwrap();
    // The first is of a known run, the second of none; then two without a start.
    bench.note("c1", pid, Some(&format!("{pid} 1 {boot}")));
    bench.note("c2", pid, Some(&format!("{pid} 1 {boot}")));
    bench.note("c3", pid, None);
    bench.note("c4", pid, None);
    let (running, destroyed) = bench.recover(vec![run("c1", Some(pid)), run("c3", Some(pid))]).await;
    assert_eq!((running, destroyed), (BTreeMap::new(), 2));
    assert!(runs(&pid.to_string()));
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
}

#[tokio::test]
async fn what_is_of_no_run_is_destroyed() {
    let mut bench = Bench::new();
    let sandbox = bench.sandbox("gone");
    let variable = [("MESOS_SANDBOX", sandbox.to_str().unwrap())];
    // One that is noted, and one of which nothing but the process is left.
    let noted = adopted(bench.pipe(), &variable).await;
    bench.note("gone", noted, None);
    let sandbox = bench.sandbox("lost");
    fs::remove_file(bench.work.path().join("pipe")).unwrap();
    let lost = adopted(bench.pipe(), &[("MESOS_SANDBOX", sandbox.to_str().unwrap())]).await;
    let (running, destroyed) = bench.recover(Vec::new()).await;
    assert_eq!((running, destroyed), (BTreeMap::new(), 2));
    assert!(!runs(&noted.to_string()) && !runs(&lost.to_string()));
    assert!(!bench.runtime("gone").exists());
}

#[tokio::test]
async fn the_containers_of_another_agent_are_left_alone() {
    let mut other = Bench::new();
    other.launch(shell("c1", "sleep 1000"));
    let pid = other.launched().await.to_string();
    let runtime_dir = other.work.path().join("run");
    let mut bench = Bench::with("exit 0", |config| config.runtime_dir = runtime_dir);
    assert_eq!(bench.recover(Vec::new()).await, (BTreeMap::new(), 0));
    assert!(runs(&pid));
    other.destroy("c1");
    other.exited().await;
}
