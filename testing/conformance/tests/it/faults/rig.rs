//! A cluster whose agent is killed at a point and comes back, and a look at everything that containers leave on a host.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use messor_linux::faults::{ARMED, PASSED, VARIABLE};
use messor_testkit::files::{entries, tree};
use messor_testkit::{Cluster, ControlGroups, Options, get, wait_for, wait_or};

use super::ways;

pub const PATIENCE: Duration = Duration::from_secs(15);

pub struct Rig {
    pub cluster: Cluster,
    flags: Vec<String>,
    /// Gone after the agent.
    groups: Option<ControlGroups>,
}

impl Rig {
    pub fn new(folder: tempfile::TempDir, mut flags: Vec<String>, groups: Option<ControlGroups>) -> Rig {
        std::fs::create_dir(folder.path().join("faults")).expect("a folder");
        // Nobody is waited for longer than needed; but those that live are busy at times.
        flags.extend(
            ["--registration_backoff_factor=10ms", "--executor_reregistration_timeout=5secs"]
                .map(str::to_string),
        );
        let options = Options {
            agents: 1,
            master_flags: vec!["--allocation_interval=50ms".to_string()],
            agent_flags: flags.clone(),
        };
        let mut cluster = Cluster::within(folder, &options);
        cluster.kill("agent0");
        let mut rig = Rig { cluster, flags, groups };
        rig.start();
        rig
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.cluster.folder().join(name)
    }

    fn environment(&self) -> String {
        self.path("faults").display().to_string()
    }

    /// Starts an agent where none runs, which is not killed.
    pub fn start(&mut self) {
        self.disarm();
        let folder = self.environment();
        self.cluster.restart_agent_in(0, &self.flags, &[(VARIABLE, &folder)]);
    }

    pub fn arm(&self, point: &str) {
        let _ = std::fs::remove_file(self.path("faults").join(PASSED));
        std::fs::write(self.path("faults").join(ARMED), point).expect("a file");
    }

    fn disarm(&self) {
        let _ = std::fs::remove_file(self.path("faults").join(ARMED));
    }

    /// Waits until the agent was killed there.
    pub fn is_killed(&mut self, point: &str) {
        let folder = self.path("faults");
        let passed = || std::fs::read_to_string(folder.join(PASSED)).unwrap_or_default();
        wait_or(
            PATIENCE,
            || self.cluster.has_ended("agent0").then_some(()),
            || format!("no agent comes to the point '{point}'; those that were passed:\n{}", passed()),
        );
        self.was_there(point, &passed());
    }

    /// It was the point that killed it, and all that it passed before are among those that agents are killed at.
    fn was_there(&self, point: &str, passed: &str) {
        assert!(passed.lines().any(|one| one == point), "it was not killed at '{point}'; passed:\n{passed}");
        let every = ways::every_point();
        for one in passed.lines() {
            assert!(every.contains(one), "'{one}' is a point at which no test kills an agent");
        }
    }

    /// The next agent is killed while it recovers.
    pub fn dies_recovering(&mut self, point: &str) {
        self.arm(point);
        let folder = self.environment();
        let (code, said) =
            self.cluster.run_agent_in(0, &self.flags, &[(VARIABLE, &folder)], Duration::from_secs(20));
        assert_eq!(code, None, "{said}");
        let passed = std::fs::read_to_string(self.path("faults").join(PASSED)).unwrap_or_default();
        self.was_there(point, &passed);
    }

    /// All that there is of containers on this host: processes, control groups, mounts, what the agent keeps of them.
    pub fn traces(&self) -> Vec<String> {
        let mut traces = Vec::new();
        let folder = self.cluster.folder().to_string_lossy().into_owned();
        let root = self.groups.as_ref().map(|groups| groups.root().to_string());
        if let Some(root) = &root {
            for base in [PathBuf::from("/sys/fs/cgroup"), self.path("cgroup")] {
                for hierarchy in entries(&base) {
                    // What separates those that are nested stays with what they are nested in.
                    let is_one = |path: &PathBuf| path.is_dir() && !path.ends_with("mesos");
                    let all = tree(&hierarchy.join(root)).into_iter().filter(is_one);
                    traces.extend(all.map(|path| format!("group {}", path.display())));
                }
            }
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
        for entry in mounts.lines().filter(|entry| entry.contains(&folder)) {
            let fields: Vec<&str> = entry.split(' ').collect();
            traces.push(format!("mount of {} at {}", fields[3], fields[4]));
        }
        let runtime = self.path("agent0-run");
        // Which stay when all that was in them is gone.
        let stays = |path: &PathBuf| {
            path.ends_with("containers")
                || ["io_switchboards", ".secret"].iter().any(|name| *path == runtime.join(name))
        };
        let files = tree(&runtime).into_iter().filter(|path| !stays(path));
        traces.extend(files.map(|path| format!("file {}", path.display())));
        traces.extend(self.processes(&folder, root.as_deref()));
        traces.sort();
        traces
    }

    /// Those that have to do with containers: by their control group, or because they know the folder.
    fn processes(&self, folder: &str, root: Option<&str>) -> Vec<String> {
        let own = [self.cluster.pid("master"), self.cluster.pid("agent0")];
        let ids = entries(Path::new("/proc"));
        let ids = ids.iter().filter_map(|path| path.file_name()?.to_str()?.parse::<u32>().ok());
        let found = ids.filter(|pid| !own.contains(pid)).filter_map(|pid| {
            let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let (name, state) = {
                let stat = String::from_utf8_lossy(&read("stat")).into_owned();
                let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
                (name.to_string(), rest.trim().chars().next()?)
            };
            // One that nobody has reaped yet is no more than a number. The warden outlives agents, and serves the next.
            if state == 'Z' || ["messor-warden", "mesos-execute"].contains(&name.as_str()) {
                return None;
            }
            let has = |bytes: Vec<u8>, word: &str| String::from_utf8_lossy(&bytes).contains(word);
            let is_grouped = root.is_some_and(|root| has(read("cgroup"), root));
            (is_grouped || has(read("environ"), folder) || has(read("cmdline"), folder))
                .then(|| format!("process {pid}"))
        });
        found.collect()
    }

    /// Waits until what is there is what there was.
    pub fn leaves_no_trace(&self, before: &[String], of: &str) {
        let is_as_before = || (self.traces() == before).then_some(());
        wait_or(PATIENCE, is_as_before, || {
            let now = self.traces();
            let of_one = |all: &[String], others: &[String]| -> Vec<String> {
                let others: BTreeSet<&String> = others.iter().collect();
                all.iter().filter(|one| !others.contains(one)).cloned().collect()
            };
            let (more, gone) = (of_one(&now, before), of_one(before, &now));
            format!("of an agent that was killed at '{of}' this is left: {more:#?}, and gone is {gone:#?}")
        });
    }

    /// Waits until the agent has nothing more to do with any container, and no executor.
    pub fn is_idle(&self) {
        wait_for("the agent to be done with its containers", PATIENCE, || {
            let all = get(self.cluster.agents[0], "/containers").ok()?.json();
            let pending = get(self.cluster.agents[0], "/containerizer/debug").ok()?.json();
            let idle = pending["pending"].as_array().is_some_and(Vec::is_empty);
            (idle && all.as_array()?.is_empty()).then_some(())
        });
    }
}
