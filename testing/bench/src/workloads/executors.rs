//! What an executor costs: how long it takes from its start until it subscribes, how long a task takes until it runs, and what the executor holds
//! while its task does nothing. Of Messor alone: the package of 1.11.0 has no executors.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use messor_testkit::Framework;
use serde_json::{Value, json};

use super::agents::{Agent, helpers};
use super::{megabytes, millis};
use crate::containers::processes::processes;
use crate::figures::{Figures, Recorder};
use crate::masters::{Kind, Master, Programs, folder};
use crate::usage::{self, Memory, Meter, Span};
use crate::waiting::until;

#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// How often each is started.
    pub rounds: usize,
    /// How long one is watched that has nothing to do.
    pub quiet: Duration,
}

/// The programs, and how the kernel calls their processes.
const EXECUTORS: [(&str, &str); 2] =
    [("mesos-executor", "mesos-executor"), ("mesos-default-executor", "mesos-default-e")];
const START_TIME: Duration = Duration::from_secs(30);

/// From its start until its first request to an agent, which is this function.
fn until_it_subscribes(program: &Path, sandbox: &Path) -> Result<Duration, String> {
    let broken = |error: std::io::Error| format!("{}: {error}", program.display());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(broken)?;
    let agent = listener.local_addr().map_err(broken)?;
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("MESOS_FRAMEWORK_ID", "bench-framework")
        .env("MESOS_EXECUTOR_ID", "bench-executor")
        .env("MESOS_SLAVE_ID", "bench-agent")
        .env("MESOS_SLAVE_PID", format!("slave(1)@{agent}"))
        .env("MESOS_DIRECTORY", sandbox)
        .env("MESOS_SANDBOX", sandbox)
        .env("MESOS_CHECKPOINT", "0")
        .current_dir(sandbox)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let (sender, receiver) = std::sync::mpsc::channel();
    let start = Instant::now();
    let mut child = command.spawn().map_err(broken)?;
    std::thread::spawn(move || {
        let request = listener.accept().and_then(|(stream, _)| {
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).map(|_| (line, start.elapsed()))
        });
        // Nobody waits any more if this fails.
        let _ = sender.send(request);
    });
    let seen = receiver.recv_timeout(START_TIME);
    // It is gone already if this fails.
    let _ = child.kill();
    let _ = child.wait();
    let (line, took) = match seen {
        Ok(request) => request.map_err(broken)?,
        Err(_) => {
            // The thread that accepts is woken.
            let _ = std::net::TcpStream::connect(agent);
            return Err(format!("{} does not subscribe in {START_TIME:?}", program.display()));
        }
    };
    if !line.starts_with("POST /slave(1)/api/v1/executor ") {
        return Err(format!("{} began with {line:?}", program.display()));
    }
    Ok(took)
}

fn scalar(name: &str, amount: f64) -> Value {
    json!({"name": name, "type": "SCALAR", "scalar": {"value": amount}})
}

/// What launches a task that sleeps with this executor.
fn launch(program: &str, id: &str, agent: &Value, framework: &Value) -> Value {
    let resources = json!([scalar("cpus", 0.1), scalar("mem", 32.0)]);
    let sleep = json!({"shell": false, "value": "/bin/sleep", "arguments": ["sleep", "1000"]});
    let task = json!({"name": id, "task_id": {"value": id}, "agent_id": agent, "command": sleep,
                      "resources": resources});
    if program == "mesos-executor" {
        return json!({"type": "LAUNCH", "launch": {"task_infos": [task]}});
    }
    let executor = json!({"type": "DEFAULT", "executor_id": {"value": format!("pod-{id}")}, "framework_id": framework,
                          "resources": [scalar("cpus", 0.1), scalar("mem", 32.0), scalar("disk", 32.0)]});
    json!({"type": "LAUNCH_GROUP",
           "launch_group": {"executor": executor, "task_group": {"tasks": [task]}}})
}

/// The executor's processes of this framework: others of this name may run here.
fn found(name: &str, framework: &str) -> Vec<u32> {
    let mark = format!("MESOS_FRAMEWORK_ID={framework}");
    let is_ours = |pid: u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    };
    let all = processes().into_iter().filter(|one| one.name == name && is_ours(one.pid));
    all.map(|one| one.pid).collect()
}

/// An executor ends after its task.
fn ends(name: &str, framework: &str) -> Result<(), String> {
    let what = format!("{name} ends after its task");
    until(&what, START_TIME, Duration::from_millis(5), || Ok(found(name, framework).is_empty()))
}

struct Seen {
    running: Vec<Duration>,
    span: Span,
    memory: Memory,
    cpu: f64,
}

/// Tasks one after the other; the last one is left alone for a while.
fn with_agent(
    framework: &Framework,
    daemons: &[u32],
    (program, name): (&str, &str),
    size: Size,
) -> Result<Seen, String> {
    let framework_id = framework.id["value"].as_str().unwrap_or_default();
    let mut running = Vec::new();
    let meter = Meter::of(daemons)?;
    for round in 0..size.rounds {
        let id = format!("{program}-{round}");
        let offer = framework.offer(|resource| resource["name"] == "cpus");
        let operation = launch(program, &id, &offer["agent_id"], &framework.id);
        let start = Instant::now();
        framework.accept(&offer, vec![operation]);
        framework.until(&id, "TASK_RUNNING");
        running.push(start.elapsed());
        if round + 1 < size.rounds {
            framework.call(json!({"type": "KILL", "kill": {"task_id": {"value": id}}}));
            framework.end_of(&id);
            // There is to be one at the end.
            ends(name, framework_id)?;
        }
    }
    let span = meter.stop()?;
    let [pid] = found(name, framework_id)[..] else {
        return Err(format!("there is not one process {name}"));
    };
    let cpu = usage::at_rest(&[pid], size.quiet)?.master_rate();
    let memory = usage::memory(pid)?;
    // Before its agent, or it would wait for that to come back.
    framework.call(json!({"type": "TEARDOWN"}));
    ends(name, framework_id)?;
    Ok(Seen { running, span, memory, cpu })
}

pub fn run(programs: &Programs, kind: Kind, size: Size, figures: &mut Figures) -> Result<(), String> {
    if kind == Kind::Real {
        return Ok(());
    }
    let folder = folder()?;
    let bin = helpers(programs, folder.path())?;
    let sandbox = folder.path().join("sandbox");
    std::fs::create_dir(&sandbox).map_err(|error| format!("no sandbox: {error}"))?;
    let master = Master::start(programs, kind, &["allocation_interval=50ms".to_string()])?;
    let agent = Agent::start(programs, &master, &bin, folder.path())?;
    let daemons = [master.pid(), agent.pid()];
    for (program, name) in EXECUTORS {
        let mut recorder = Recorder { figures, kind, workload: "executor", size: program.to_string() };
        let meter = Meter::of(&daemons)?;
        for _ in 0..size.rounds {
            let took = until_it_subscribes(&bin.join(program), &sandbox)?;
            recorder.less("from the start to SUBSCRIBE", "ms", millis(took), None);
        }
        // Executors are the others here.
        recorder.span_of("from the start to SUBSCRIBE", meter.stop()?);
        // The testkit's framework panics when nothing comes.
        let seen = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let info = json!({"user": "root", "name": "bench", "roles": ["web"], "checkpoint": true,
                "failover_timeout": 100, "capabilities": [{"type": "PARTITION_AWARE"}, {"type": "MULTI_ROLE"}]});
            let framework = Framework::at(master.address, "/master/api/v1/scheduler", &info);
            with_agent(&framework, &daemons, (program, name), size)
        }));
        let seen = seen.map_err(|_| "what was waited for did not come".to_string())??;
        for took in seen.running {
            recorder.less("from ACCEPT until the task runs", "ms", millis(took), None);
        }
        recorder.less("anonymous memory", "MB", megabytes(seen.memory.anonymous_bytes), None);
        recorder.less("resident memory", "MB", megabytes(seen.memory.resident_bytes), None);
        recorder.less("CPU", "ms/s", seen.cpu, None);
        recorder.span_of("tasks, one after the other", seen.span);
    }
    Ok(())
}
