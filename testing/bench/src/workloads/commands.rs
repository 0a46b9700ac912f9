//! Real commands on one real agent, each with an executor of its own, from the ACCEPT to the last update. The agent of 1.11.0 runs within its master's process.
//!
//! The package of 1.11.0 has no programs that launch containers: its agent is given Messor's (`launcher_dir`), as Messor's agent is. So what
//! differs is master and agent alone; the executors are the same, and their time is not counted.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use messor_testkit::Framework;
use serde_json::{Value, json};

use super::{grouped, millis};
use crate::figures::{Figures, Goal, Recorder};
use crate::masters::{Kind, Master, Programs};
use crate::usage;

/// What an agent starts.
const HELPERS: [&str; 6] = [
    "mesos-executor",
    "mesos-default-executor",
    "mesos-containerizer",
    "mesos-fetcher",
    "mesos-io-switchboard",
    "mesos-logrotate-logger",
];
const RESOURCES: &str = "resources=cpus:10000;mem:10000000;disk:10000000";
/// What both agents are told: containers are plain processes, so that 1.11.0 needs no privileges that it lacks here.
const AGENT: [&str; 3] = ["launcher=posix", "isolation=posix/cpu,posix/mem", "containerizers=mesos"];

struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        // It is gone already if this fails.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder with Messor's programs under their names.
fn helpers(programs: &Programs, folder: &Path) -> Result<PathBuf, String> {
    let failed = |error: std::io::Error| format!("no folder of programs: {error}");
    let bin = folder.join("bin");
    std::fs::create_dir(&bin).map_err(failed)?;
    let messor = std::fs::canonicalize(&programs.messor).map_err(failed)?;
    for name in HELPERS {
        std::os::unix::fs::symlink(&messor, bin.join(name)).map_err(failed)?;
    }
    Ok(bin)
}

fn start_agent(programs: &Programs, master: &Master, bin: &Path, folder: &Path) -> Result<Agent, String> {
    let failed = |error: std::io::Error| format!("the agent does not start: {error}");
    let log = std::fs::File::create(folder.join("agent.log")).map_err(failed)?;
    let child = Command::new(&programs.messor)
        .arg("agent")
        .arg(format!("--master={}", master.address))
        .args(["--ip=127.0.0.1", "--port=0", "--hostname=localhost"])
        .arg(format!("--work_dir={}", folder.join("agent").display()))
        .arg(format!("--runtime_dir={}", folder.join("run").display()))
        .arg(format!("--launcher_dir={}", bin.display()))
        .arg("--systemd_enable_support=false")
        .arg(format!("--{RESOURCES}"))
        .args(AGENT.map(|flag| format!("--{flag}")))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(failed)?)
        .stderr(log)
        .spawn();
    child.map(Agent).map_err(failed)
}

/// Each of them finishes, and none ends in another way.
fn run_all(framework: &Framework, offer: &Value, tasks: usize) -> Result<Duration, String> {
    let scalar =
        |name: &str, amount: f64| json!({"name": name, "type": "SCALAR", "scalar": {"value": amount}});
    let infos: Vec<Value> = (0..tasks)
        .map(|number| {
            let id = format!("t{number}");
            json!({"name": id, "task_id": {"value": id}, "agent_id": offer["agent_id"],
                   "command": {"shell": false, "value": "/bin/true", "arguments": ["true"]},
                   "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)]})
        })
        .collect();
    let start = Instant::now();
    framework.accept(offer, vec![json!({"type": "LAUNCH", "launch": {"task_infos": infos}})]);
    let mut left: BTreeSet<String> = (0..tasks).map(|number| format!("t{number}")).collect();
    while !left.is_empty() {
        let event = framework.next("UPDATE", |_| true);
        let status = &event["update"]["status"];
        let id = status["task_id"]["value"].as_str().unwrap_or_default();
        match status["state"].as_str().unwrap_or_default() {
            "TASK_FINISHED" => drop(left.remove(id)),
            "TASK_STARTING" | "TASK_RUNNING" => {}
            state => return Err(format!("task {id} is {state}: {}", status["message"])),
        }
    }
    Ok(start.elapsed())
}

pub fn run(programs: &Programs, kind: Kind, tasks: usize, figures: &mut Figures) -> Result<(), String> {
    let folder = tempfile::Builder::new().prefix("messor-bench-").tempdir();
    let folder = folder.map_err(|error| format!("no temporary folder: {error}"))?;
    let bin = helpers(programs, folder.path())?;
    let mut flags = vec!["allocation_interval=50ms".to_string()];
    if kind == Kind::Real {
        // Its agent is in the same process, and takes its flags from the same environment.
        flags.extend(["num_slaves=1", "systemd_enable_support=false", RESOURCES].map(String::from));
        flags.extend(AGENT.map(String::from));
        flags.push(format!("launcher_dir={}", bin.display()));
        flags.push(format!("runtime_dir={}", folder.path().join("run").display()));
    }
    let master = Master::start(programs, kind, &flags)?;
    let agent = match kind {
        Kind::Real => None,
        Kind::Messor => Some(start_agent(programs, &master, &bin, folder.path())?),
    };
    let pids: Vec<u32> = [master.pid()].into_iter().chain(agent.as_ref().map(|agent| agent.0.id())).collect();
    let cpu = || pids.iter().map(|pid| usage::cpu(*pid)).sum::<Result<Duration, String>>();
    // The testkit's framework panics when nothing comes.
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let info = json!({"user": "root", "name": "bench", "roles": ["web"], "checkpoint": true, "failover_timeout": 100,
            "capabilities": [{"type": "PARTITION_AWARE"}, {"type": "MULTI_ROLE"}]});
        let framework = Framework::at(master.address, "/master/api/v1/scheduler", &info);
        let enough = tasks as f64 * 0.1;
        let offer = framework.offer(|resource| {
            resource["name"] == "cpus" && resource["scalar"]["value"].as_f64() >= Some(enough)
        });
        let before = cpu()?;
        let took = run_all(&framework, &offer, tasks)?;
        Ok::<_, String>((took, cpu()?.saturating_sub(before)))
    }));
    let (took, used) = outcome.map_err(|_| {
        let log = std::fs::read_to_string(master.folder.path().join("log")).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        format!("what was waited for did not come; the end of the log, last line first: {}", last.join(" | "))
    })??;
    let size = format!("one agent, {} commands", grouped(tasks));
    let mut recorder = Recorder { figures, kind, workload: "commands", size };
    recorder.more("rate", "tasks/s", tasks as f64 / took.as_secs_f64(), Some(Goal::Times(20.0)));
    recorder.less("master and agent, CPU", "ms/task", millis(used) / tasks as f64, None);
    Ok(())
}
