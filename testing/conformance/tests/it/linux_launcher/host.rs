//! A master and an agent with the linux launcher, a framework, and a look at everything that containers leave on a host.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use messor_testkit::files::{entries, tree};
use messor_testkit::{Cluster, ControlGroups, Framework, Options, scalar, skip, wait_for, wait_or};
use serde_json::{Value, json};

pub const PATIENCE: Duration = Duration::from_secs(30);
const CGROUPS: &str = "/sys/fs/cgroup";
const CAPABILITIES: [&str; 4] =
    ["PARTITION_AWARE", "MULTI_ROLE", "RESERVATION_REFINEMENT", "TASK_KILLING_STATE"];
/// Users that every Debian has.
pub const USER: &str = "nobody";
pub const OTHER_USER: &str = "daemon";

pub struct Host {
    /// Gone before its master is.
    pub framework: Framework,
    pub cluster: Cluster,
    /// Removed after the agent ended.
    pub groups: ControlGroups,
    pub flags: Vec<String>,
    /// Processes that outlive agents, and that all of a container's come from.
    wardens: RefCell<BTreeSet<u32>>,
}

impl Host {
    pub fn start(isolation: &str, more: &[&str]) -> Option<Host> {
        let Some(groups) = ControlGroups::new() else {
            skip("tasks on the linux launcher: no control groups of version 1 here, or not root");
            return None;
        };
        let mut flags = vec![
            "--launcher=linux".to_string(),
            format!("--isolation={isolation}"),
            format!("--cgroups_root={}", groups.root()),
            "--resources=cpus:32;mem:4096;disk:4096;ports:[31000-32000]".to_string(),
        ];
        flags.extend(more.iter().map(ToString::to_string));
        let options = Options {
            agents: 1,
            master_flags: vec!["--allocation_interval=50ms".to_string()],
            agent_flags: flags.clone(),
        };
        let cluster = Cluster::with(&options);
        // Tasks of other users find the executor, and their sandboxes.
        std::fs::set_permissions(cluster.folder(), std::fs::Permissions::from_mode(0o755))
            .expect("a folder of ours");
        let framework = Framework::subscribe(cluster.master, "root", &CAPABILITIES);
        let host = Host { cluster, framework, groups, flags, wardens: RefCell::default() };
        host.note_warden();
        Some(host)
    }

    /// Another framework, whose executors and tasks are of this user.
    pub fn framework_of(&self, user: &str) -> Framework {
        Framework::subscribe(self.cluster.master, user, &CAPABILITIES)
    }

    /// The warden that the agent has started.
    pub fn note_warden(&self) {
        let warden = wait_for("the agent's warden", PATIENCE, || {
            let agent = self.cluster.pid("agent0");
            let all = processes();
            let found = all.iter().find(|(_, one)| one.parent == agent && one.name == "messor-warden");
            found.map(|(pid, _)| *pid)
        });
        self.wardens.borrow_mut().insert(warden);
    }

    pub fn wardens(&self) -> Vec<u32> {
        self.wardens.borrow().iter().copied().collect()
    }

    /// Launches tasks beside each other.
    pub fn launch(&self, tasks: &[Value]) {
        self.launch_after(Vec::new(), tasks);
    }

    /// After other operations on the same offer.
    pub fn launch_after(&self, mut operations: Vec<Value>, tasks: &[Value]) {
        let (offer, infos) = self.offer_for(tasks);
        operations.push(json!({"type": "LAUNCH", "launch": {"task_infos": infos}}));
        self.framework.accept(&offer, operations);
    }

    /// Launches tasks below one default executor, after other operations.
    pub fn launch_group(&self, executor: &str, mut operations: Vec<Value>, tasks: &[Value]) {
        let (offer, infos) = self.offer_for(tasks);
        let executor = json!({"type": "DEFAULT", "executor_id": {"value": executor},
            "framework_id": self.framework.id,
            "resources": [scalar("cpus", 0.1), scalar("mem", 32.0), scalar("disk", 16.0)]});
        operations.push(json!({"type": "LAUNCH_GROUP",
                               "launch_group": {"executor": executor, "task_group": {"tasks": infos}}}));
        self.framework.accept(&offer, operations);
    }

    fn offer_for(&self, tasks: &[Value]) -> (Value, Vec<Value>) {
        let needed = 0.1 + tasks.iter().map(|task| amount(&task["resources"], "cpus")).sum::<f64>();
        let offer = self.framework.offer_of(|all| amount(&Value::from(all.to_vec()), "cpus") >= needed);
        let infos = tasks.iter().map(|task| with(task.clone(), "agent_id", offer["agent_id"].clone()));
        let infos = infos.collect();
        (offer, infos)
    }

    /// The end of a task, with its output where it is not the one that was wanted.
    pub fn ends(&self, task: &str, state: &str) -> Value {
        let status = self.framework.end_of(task);
        let output = || self.output(status["executor_id"]["value"].as_str().unwrap_or(task));
        assert_eq!(status["state"], state, "{status:#}\n{}", output());
        status
    }

    pub fn kill(&self, task: &str) {
        self.framework.call(json!({"type": "KILL", "kill": {"task_id": {"value": task}}}));
    }

    pub fn sandbox(&self, executor: &str) -> PathBuf {
        let slaves = self.cluster.folder().join("agent0/slaves");
        let below = |paths: Vec<PathBuf>, name: &str| -> Vec<PathBuf> {
            paths.iter().flat_map(|path| entries(&path.join(name))).collect()
        };
        let frameworks = below(entries(&slaves), "frameworks");
        let executors = below(frameworks, "executors");
        let found = executors.into_iter().find(|path| path.file_name() == Some(executor.as_ref()));
        found.unwrap_or_else(|| slaves.join("none")).join("runs/latest")
    }

    /// What a command task wrote, to be shown where a test fails.
    pub fn output(&self, task: &str) -> String {
        let read = |name: &str| {
            let bytes = std::fs::read(self.sandbox(task).join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        format!("{}{}", read("stdout"), read("stderr"))
    }

    /// The `stdout` of a command task alone.
    pub fn stdout(&self, task: &str) -> String {
        std::fs::read_to_string(self.sandbox(task).join("stdout")).unwrap_or_default()
    }

    /// All that there is of containers on this host: processes, control groups, mounts, what the agent keeps of them.
    pub fn traces(&self) -> BTreeSet<String> {
        let mut traces = BTreeSet::new();
        let folder = self.cluster.folder().to_string_lossy().into_owned();
        let groups = self.groups.paths();
        traces.extend(groups.iter().map(|path| format!("group {}", path.display())));
        for entry in std::fs::read_to_string("/proc/self/mountinfo").expect("the mounts").lines() {
            if entry.contains(&folder) || entry.contains(self.groups.root()) {
                let fields: Vec<&str> = entry.split(' ').collect();
                traces.insert(format!("mount of {} at {}", fields[3], fields[4]));
            }
        }
        let runtime = self.cluster.folder().join("agent0-run");
        // Which stay when all that was in them is gone.
        let stays =
            |path: &PathBuf| ["containers", "io_switchboards"].iter().any(|name| *path == runtime.join(name));
        for path in tree(&runtime).into_iter().filter(|path| !stays(path)) {
            traces.insert(format!("file {}", path.display()));
        }
        let all = processes();
        let wardens = self.wardens.borrow();
        for (pid, process) in &all {
            let is_grouped = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))
                .is_ok_and(|groups| groups.contains(self.groups.root()));
            let mark = format!("MESOS_SANDBOX={folder}");
            let is_marked = std::fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|all| all.split(|byte| *byte == 0).any(|one| one.starts_with(mark.as_bytes())));
            let mut above = process.parent;
            // What loses its parent becomes the warden's, as it is the reaper of all that it started.
            while above > 1 && !wardens.contains(&above) {
                above = all.get(&above).map_or(0, |parent| parent.parent);
            }
            if is_grouped || is_marked || wardens.contains(&above) {
                traces.insert(format!("process {pid} ({})", process.name));
            }
        }
        traces
    }

    /// Waits until what is there is what there was.
    pub fn leaves_no_trace(&self, before: &BTreeSet<String>) {
        wait_or(
            PATIENCE,
            || (self.traces() == *before).then_some(()),
            || {
                let now = self.traces();
                let (more, gone): (Vec<&String>, Vec<&String>) =
                    (now.difference(before).collect(), before.difference(&now).collect());
                format!("there is more: {more:#?}, and gone is {gone:#?}")
            },
        );
    }
}

struct Process {
    name: String,
    parent: u32,
}

fn processes() -> BTreeMap<u32, Process> {
    let ids = entries(Path::new("/proc"))
        .into_iter()
        .filter_map(|path| path.file_name()?.to_str()?.parse::<u32>().ok());
    ids.filter_map(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let (state, parent) = (fields.next()?, fields.next()?.parse().ok()?);
        // One that nobody has reaped yet is no more than a number.
        (state != "Z").then(|| (pid, Process { name: name.to_string(), parent }))
    })
    .collect()
}

fn amount(resources: &Value, name: &str) -> f64 {
    let all = resources.as_array().into_iter().flatten().filter(|resource| resource["name"] == name);
    all.filter_map(|resource| resource["scalar"]["value"].as_f64()).sum()
}

pub fn with(mut value: Value, field: &str, of_field: Value) -> Value {
    value[field] = of_field;
    value
}

/// A command task, of root.
pub fn task(id: &str, command: &str) -> Value {
    json!({"name": id, "task_id": {"value": id}, "command": {"value": command},
           "resources": [scalar("cpus", 0.1), scalar("mem", 32.0), scalar("disk", 16.0)]})
}

/// The same of another user.
pub fn task_of(user: &str, id: &str, command: &str) -> Value {
    let mut task = task(id, command);
    task["command"]["user"] = user.into();
    task
}

/// With a container that `info` says more of.
pub fn in_container(task: Value, info: Value) -> Value {
    let mut container = json!({"type": "MESOS"});
    for (name, value) in info.as_object().expect("an object") {
        container[name] = value.clone();
    }
    with(task, "container", container)
}

/// The control group of a shell, below the hierarchy of a controller.
pub fn read_group(controller: &str, file: &str) -> String {
    format!("cat {CGROUPS}/{controller}$(sed -n 's/^[0-9]*:{controller}://p' /proc/self/cgroup)/{file}")
}
