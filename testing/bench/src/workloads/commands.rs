//! Real commands on one real agent, each with an executor of its own, from the ACCEPT to the last update. The agent of 1.11.0 runs within its master's process.
//!
//! The package of 1.11.0 has no programs that launch containers: its agent is given Messor's (`launcher_dir`), as Messor's agent is. So what
//! differs is master and agent alone; the executors are the same, and their time is not counted.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use messor_testkit::Framework;
use serde_json::{Value, json};

use super::agents::{Agent, helpers, told_to_both};
use super::{grouped, millis};
use crate::figures::{Figures, Goal, Recorder};
use crate::masters::{Kind, Master, Programs, folder};
use crate::usage::Meter;

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
    let folder = folder()?;
    let bin = helpers(programs, folder.path())?;
    let mut flags = vec!["allocation_interval=50ms".to_string()];
    if kind == Kind::Real {
        // Its agent is in the same process, and takes its flags from the same environment.
        flags.push("num_slaves=1".to_string());
        flags.extend(told_to_both(&bin, folder.path()));
    }
    let master = Master::start(programs, kind, &flags)?;
    let agent = match kind {
        Kind::Real => None,
        Kind::Messor => Some(Agent::start(programs, &master, &bin, folder.path())?),
    };
    let pids: Vec<u32> = [master.pid()].into_iter().chain(agent.as_ref().map(Agent::pid)).collect();
    // The testkit's framework panics when nothing comes.
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let info = json!({"user": "root", "name": "bench", "roles": ["web"], "checkpoint": true, "failover_timeout": 100,
            "capabilities": [{"type": "PARTITION_AWARE"}, {"type": "MULTI_ROLE"}]});
        let framework = Framework::at(master.address, "/master/api/v1/scheduler", &info);
        let enough = tasks as f64 * 0.1;
        let offer = framework.offer(|resource| {
            resource["name"] == "cpus" && resource["scalar"]["value"].as_f64() >= Some(enough)
        });
        let meter = Meter::of(&pids)?;
        let took = run_all(&framework, &offer, tasks)?;
        Ok::<_, String>((took, meter.stop()?))
    }));
    let (took, span) = outcome.map_err(|_| {
        let log = std::fs::read_to_string(master.folder.path().join("log")).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        format!("what was waited for did not come; the end of the log, last line first: {}", last.join(" | "))
    })??;
    let size = format!("one agent, {} commands", grouped(tasks));
    let mut recorder = Recorder { figures, kind, workload: "commands", size };
    recorder.more("rate", "tasks/s", tasks as f64 / took.as_secs_f64(), Some(Goal::Times(20.0)));
    recorder.less("master and agent, CPU", "ms/task", millis(span.master) / tasks as f64, None);
    // Executors and commands are the others.
    recorder.span(span);
    Ok(())
}
