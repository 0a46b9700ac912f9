//! Tasks of frameworks.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use messor_testkit::files::entries;
use messor_testkit::{Framework, scalar, wait_for};
use serde_json::{Value, json};

use super::Load;
use super::rig::{PATIENCE, Rig};
use super::ways::{self, Way};

pub struct Tasks {
    way: Way,
    number: usize,
    execution: Option<Child>,
    framework: Option<Framework>,
}

impl Tasks {
    pub fn new(way: Way) -> Tasks {
        Tasks { way, number: 0, execution: None, framework: None }
    }

    fn name(&self) -> String {
        format!("t{}", self.number)
    }

    /// With an artifact, and with all of what its container may have that leaves something behind.
    fn task(&self, rig: &Rig, point: &str) -> Value {
        let mut container = json!({"type": "MESOS"});
        // Every other one has a terminal, and those at whose steps it matters.
        let matters = point.contains("switchboard") || point.contains("socket");
        if self.way != Way::Pod && (self.number.is_multiple_of(2) || matters) {
            container["tty_info"] = json!({});
        }
        if matches!(self.way, Way::Linux | Way::Pod) {
            let volume =
                |path: &str, source: Value| json!({"container_path": path, "mode": "RW", "source": source});
            let (path, kind) = if self.way == Way::Pod { ("part", "PARENT") } else { ("/mnt", "SELF") };
            let own =
                volume(path, json!({"type": "SANDBOX_PATH", "sandbox_path": {"type": kind, "path": "own"}}));
            let host = volume("data/host", json!({"type": "HOST_PATH", "host_path": {"path": "/etc"}}));
            let secret = json!({"type": "SECRET", "secret": {"type": "VALUE", "value": {"data": "b2Y="}}});
            container["volumes"] = json!([host, own, volume("secret", secret)]);
            container["linux_info"] = json!({"ipc_mode": "PRIVATE", "shm_size": 4});
        }
        let name = self.name();
        let scalar =
            |name: &str, amount: f64| json!({"name": name, "type": "SCALAR", "scalar": {"value": amount}});
        let mut resources = vec![scalar("cpus", 0.1), scalar("mem", 32.0)];
        resources.extend((self.way == Way::Gpu).then(|| scalar("gpus", 1.0)));
        json!({"name": name, "task_id": {"value": name}, "agent_id": {"value": ""}, "container": container,
               "resources": resources,
               "command": {"value": "cat fetched", "uris": [{"value": rig.path("fetched")}]}})
    }

    fn execute(&mut self, rig: &Rig, point: &str) {
        let task = self.task(rig, point);
        let mut arguments = vec![format!("--master={}", rig.cluster.master), "--checkpoint".to_string()];
        if self.way == Way::Pod {
            let group = rig.path("group.json");
            std::fs::write(&group, json!({"tasks": [task]}).to_string()).expect("a file");
            arguments.push(format!("--task_group={}", group.display()));
        } else {
            arguments.push(format!("--task={task}"));
        }
        if self.way == Way::Gpu {
            arguments.push("--framework_capabilities=GPU_RESOURCES".to_string());
        }
        let told = std::fs::File::create(rig.path("told")).expect("a file");
        let execution = Command::new(rig.cluster.bin().join("mesos-execute"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(told)
            .stderr(Stdio::null())
            .spawn()
            .expect("mesos-execute runs");
        self.execution = Some(execution);
    }

    /// Two pods of one executor, the first of which has a volume and ends.
    fn change(&mut self, rig: &Rig) {
        let framework = Framework::subscribe(
            rig.cluster.master,
            "root",
            &["PARTITION_AWARE", "MULTI_ROLE", "RESERVATION_REFINEMENT"],
        );
        let amount = |all: &[Value]| {
            let bare = |resource: &&Value| {
                resource["name"] == "disk" && resource["reservations"].as_array().is_none_or(Vec::is_empty)
            };
            all.iter().find(bare).and_then(|disk| disk["scalar"]["value"].as_f64()).unwrap_or_default()
        };
        let offer = framework.offer_of(|all| amount(all) >= 64.0);
        let mut bare = scalar("disk", 8.0);
        bare["reservations"] = json!([{"type": "DYNAMIC", "role": "web"}]);
        let mut kept = bare.clone();
        let id = format!("v{}", self.number);
        kept["disk"] = json!({"persistence": {"id": id}, "volume": {"container_path": "kept", "mode": "RW"}});
        let task = |name: &str, command: &str, more: Option<&Value>| {
            let mut resources = vec![scalar("cpus", 0.1), scalar("mem", 32.0)];
            resources.extend(more.cloned());
            json!({"name": name, "task_id": {"value": name}, "agent_id": offer["agent_id"],
                   "command": {"value": command}, "resources": resources})
        };
        let executor = json!({"type": "DEFAULT", "executor_id": {"value": "pods"}, "framework_id": framework.id,
            "resources": [scalar("cpus", 0.1), scalar("mem", 32.0), scalar("disk", 16.0)]});
        let group = |task: Value| {
            json!({"type": "LAUNCH_GROUP",
                   "launch_group": {"executor": executor, "task_group": {"tasks": [task]}}})
        };
        framework.accept(
            &offer,
            vec![
                json!({"type": "RESERVE", "reserve": {"resources": [bare]}}),
                json!({"type": "CREATE", "create": {"volumes": [kept]}}),
                group(task("first", "true", Some(&kept))),
                group(task("second", "exec sleep 1000", None)),
            ],
        );
        self.framework = Some(framework);
    }

    fn changed(&mut self, rig: &Rig, point: &str) {
        let framework = self.framework.take().expect("a framework");
        if point == "amid update filesystem/linux" {
            framework.until("first", "TASK_FINISHED");
            // It goes on, with its executor.
            framework.until("second", "TASK_RUNNING");
            wait_for("the volume to be gone from the sandbox", PATIENCE, || {
                rig.traces().iter().all(|trace| !trace.ends_with("/kept")).then_some(())
            });
        } else {
            for task in ["first", "second"] {
                assert_ne!(framework.end_of(task)["state"], "TASK_FINISHED", "{point}");
            }
        }
        framework.call(json!({"type": "TEARDOWN"}));
    }

    fn sandbox(&self, rig: &Rig) -> Option<PathBuf> {
        let below = |paths: Vec<PathBuf>, name: &str| -> Vec<PathBuf> {
            paths.iter().flat_map(|path| entries(&path.join(name))).collect()
        };
        let executors = below(below(entries(&rig.path("agent0/slaves")), "frameworks"), "executors");
        let name = self.name();
        let found = executors.into_iter().find(|path| path.file_name().is_some_and(|own| *own == *name))?;
        Some(found.join("runs/latest"))
    }
}

impl Load for Tasks {
    fn begin(&mut self, rig: &Rig, point: &str) {
        self.number += 1;
        match self.way {
            Way::Changes => self.change(rig),
            _ => self.execute(rig, point),
        }
    }

    fn ends(&mut self, rig: &Rig, point: &str) {
        if self.way == Way::Changes {
            return self.changed(rig, point);
        }
        let mut execution = self.execution.take().expect("it was begun");
        wait_for(&format!("the end of the task of an agent that was killed at '{point}'"), PATIENCE, || {
            execution.try_wait().ok().flatten()
        });
        let told = std::fs::read_to_string(rig.path("told")).unwrap_or_default();
        let mut states = told.lines().filter_map(|line| line.strip_prefix("Received status update "));
        let state = states.next_back().and_then(|rest| rest.split(' ').next()).unwrap_or("nothing");
        eprintln!("{point}: {state}");
        if self.way == Way::Garbage {
            assert_eq!(state, "TASK_FINISHED");
            return wait_for("every sandbox to be removed", PATIENCE, || {
                let all = entries(&rig.path("agent0/slaves"));
                all.iter().all(|agent| entries(&agent.join("frameworks")).is_empty()).then_some(())
            });
        }
        if self.way != Way::Pod {
            let stdout = self.sandbox(rig).map(|sandbox| std::fs::read_to_string(sandbox.join("stdout")));
            let has_run = stdout.is_some_and(|text| text.is_ok_and(|text| text.contains("words")));
            assert_eq!(state == "TASK_FINISHED", has_run, "{point}: {state}");
            // Its executor may have the task by the time the next agent is there, or not.
            let may_run = point.contains("update") || point == "after go on";
            assert!(may_run || has_run == ways::has_run(point), "{point}: {state}");
        }
        // What the next agent would have to clean up once more would kill it at its start.
        wait_for("the end of every run to be noted", PATIENCE, || all_ended(rig).then_some(()));
    }

    fn is_over(&mut self, _: &Rig) {}
}

/// Whether the end of every run of an executor is noted durably.
fn all_ended(rig: &Rig) -> bool {
    let below = |paths: Vec<PathBuf>, name: &str| -> Vec<PathBuf> {
        let found = paths.iter().flat_map(|path| entries(&path.join(name)));
        found.filter(|path| !path.is_symlink() && path.is_dir()).collect()
    };
    let agents = below(vec![rig.path("agent0/meta")], "slaves");
    let runs = below(below(below(agents, "frameworks"), "executors"), "runs");
    runs.iter().all(|run| run.join("executor.sentinel").exists())
}
