//! Reads of a large state, by one client and by many, and what /health takes meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use messor_proto::mesos::master::{Call, Response, call};
use messor_proto::{Wire, mesos};
use serde_json::Value;

use super::failover::{FailedOver, fail_over};
use super::{expect_metric, grouped, millis};
use crate::board::Count;
use crate::client::{Answer, Client, JSON, PROTOBUF};
use crate::figures::{Figures, Goal, Recorder};
use crate::masters::{Kind, Master, Programs};
use crate::scheduler::STEP_TIME;
use crate::usage::Meter;

/// Time between two questions for /health.
const HEALTH_PAUSE: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub agents: usize,
    pub running: usize,
    pub completed: usize,
    pub clients: usize,
    /// How often each client asks.
    pub rounds: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    Path(&'static str),
    Call(call::Type, &'static str),
}

const READS: [(&str, Read); 8] = [
    ("/state", Read::Path("/master/state")),
    ("/state-summary", Read::Path("/master/state-summary")),
    ("/tasks", Read::Path("/master/tasks?limit=1000000")),
    ("GET_STATE, JSON", Read::Call(call::Type::GetState, JSON)),
    ("GET_STATE, protobuf", Read::Call(call::Type::GetState, PROTOBUF)),
    ("GET_TASKS, protobuf", Read::Call(call::Type::GetTasks, PROTOBUF)),
    ("GET_AGENTS, JSON", Read::Call(call::Type::GetAgents, JSON)),
    ("GET_AGENTS, protobuf", Read::Call(call::Type::GetAgents, PROTOBUF)),
];

fn ask(client: &mut Client, read: Read) -> Result<Answer, String> {
    let answer = match read {
        Read::Path(path) => client.get(path)?,
        Read::Call(kind, accept) => {
            let call = Call { r#type: Some(kind as i32), ..Default::default() };
            client.call(&call.encode_bytes(), accept)?
        }
    };
    if answer.status != 200 {
        return Err(format!("{read:?} was answered {}", answer.status));
    }
    Ok(answer)
}

fn tasks_of(frameworks: &Value, key: &str) -> usize {
    let of = |framework: &Value| framework[key].as_array().map_or(0, Vec::len);
    frameworks.as_array().map_or(0, |frameworks| frameworks.iter().map(of).sum())
}

fn length(value: &Value) -> usize {
    value.as_array().map_or(0, Vec::len)
}

/// An answer has all that there is.
fn check(name: &str, read: Read, body: &[u8], size: Size) -> Result<(), String> {
    let document = || serde_json::from_slice::<Value>(body).map_err(|error| format!("{name}: {error}"));
    let proto = || Response::decode_checked(body).map_err(|error| format!("{name}: {error}"));
    let all = (size.agents, size.running, size.completed);
    let of_tasks = |tasks: &Value| (length(&tasks["tasks"]), length(&tasks["completed_tasks"]));
    let (seen, expected) = match (name, read) {
        ("/state", _) => {
            let state = document()?;
            let frameworks = &state["frameworks"];
            let tasks = (tasks_of(frameworks, "tasks"), tasks_of(frameworks, "completed_tasks"));
            ((length(&state["slaves"]), tasks.0, tasks.1), all)
        }
        ("/state-summary", _) => {
            let state = document()?;
            let running = state["frameworks"][0]["TASK_RUNNING"].as_u64().unwrap_or(0);
            ((length(&state["slaves"]), usize::try_from(running).unwrap_or(0), 0), (all.0, all.1, 0))
        }
        ("/tasks", _) => ((0, length(&document()?["tasks"]), 0), (0, all.1 + all.2, 0)),
        ("GET_STATE, JSON", _) => {
            let state = &document()?["get_state"];
            let tasks = of_tasks(&state["get_tasks"]);
            ((length(&state["get_agents"]["agents"]), tasks.0, tasks.1), all)
        }
        ("GET_STATE, protobuf", _) => {
            let state = proto()?.get_state.unwrap_or_default();
            let (tasks, agents) = (state.get_tasks.unwrap_or_default(), state.get_agents.unwrap_or_default());
            ((agents.agents.len(), tasks.tasks.len(), tasks.completed_tasks.len()), all)
        }
        ("GET_TASKS, protobuf", _) => {
            let tasks = proto()?.get_tasks.unwrap_or_default();
            ((0, tasks.tasks.len(), tasks.completed_tasks.len()), (0, all.1, all.2))
        }
        (_, Read::Call(_, PROTOBUF)) => {
            let agents: mesos::master::response::GetAgents = proto()?.get_agents.unwrap_or_default();
            ((agents.agents.len(), 0, 0), (all.0, 0, 0))
        }
        _ => ((length(&document()?["get_agents"]["agents"]), 0, 0), (all.0, 0, 0)),
    };
    if seen != expected {
        return Err(format!("{name} tells (agents, tasks, completed) {seen:?}, not {expected:?}"));
    }
    Ok(())
}

/// Asks for /health again and again until told to end; the times, in milliseconds.
fn watch_health(client: &mut Client, ended: &AtomicBool) -> Result<Vec<f64>, String> {
    let mut times = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        let start = Instant::now();
        let answer = client.get("/master/health")?;
        times.push(millis(start.elapsed()));
        if answer.status != 200 {
            return Err(format!("/health was answered {}", answer.status));
        }
        std::thread::sleep(HEALTH_PAUSE);
    }
    Ok(times)
}

/// So many clients ask at once, each so often: the times of all answers, and those of /health meanwhile.
fn together(
    master: &Master,
    read: Read,
    clients: usize,
    rounds: usize,
) -> Result<(Vec<f64>, Vec<f64>), String> {
    let ended = AtomicBool::new(false);
    let mut health = master.client()?;
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| watch_health(&mut health, &ended));
        let asking: Vec<_> = (0..clients)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = master.client()?;
                    let mut times = Vec::new();
                    for _ in 0..rounds {
                        let start = Instant::now();
                        ask(&mut client, read)?;
                        times.push(millis(start.elapsed()));
                    }
                    Ok(times)
                })
            })
            .collect();
        let mut times = Vec::new();
        let mut outcome = Ok(());
        for thread in asking {
            match thread.join() {
                Ok(Ok(more)) => times.extend(more),
                Ok(Err(error)) => outcome = Err(error),
                Err(_) => outcome = Err("a client panicked".to_string()),
            }
        }
        ended.store(true, Ordering::Relaxed);
        let delays = watch.join().map_err(|_| "the watch of /health panicked".to_string())?;
        outcome?;
        Ok((times, delays?))
    })
}

pub fn run(programs: &Programs, kind: Kind, size: Size, figures: &mut Figures) -> Result<(), String> {
    let kept = format!("max_completed_tasks_per_framework={}", size.completed.max(1));
    let FailedOver { master, board, fleet, messages } =
        fail_over(programs, kind, &[kept], size.agents, (size.running, size.completed))?;
    fleet.reregister(&messages)?;
    drop(messages);
    board.wait(Count::Reregistered, size.agents as u64, STEP_TIME, "agents bring their tasks")?;
    expect_metric(&master, "master/tasks_running", size.running)?;
    let tasks = format!("{} running and {} completed", grouped(size.running), grouped(size.completed));
    let size_text = format!("{} agents, {tasks} tasks", grouped(size.agents));
    let mut recorder = Recorder { figures, kind, workload: "reads", size: size_text };
    let mut client = master.client()?;
    for (name, read) in READS {
        let answer = ask(&mut client, read)?;
        check(name, read, &answer.body, size)?;
        let megabytes = answer.body.len() as f64 / 1e6;
        drop(answer);
        let goal = (name == "/state").then_some(Goal::Times(20.0));
        let meter = Meter::start(master.pid())?;
        let (times, delays) = together(&master, read, 1, size.rounds)?;
        let span = meter.stop()?;
        for time in times {
            recorder.less(name, "ms", time, goal);
        }
        recorder.less(&format!("{name}, CPU"), "ms", millis(span.master) / size.rounds as f64, None);
        recorder.less(&format!("{name}, longest delay of /health"), "ms", worst(&delays), None);
        recorder.less(&format!("{name}, size"), "MB", megabytes, None);
        recorder.span_of(name, span);
    }
    let clients = size.clients;
    for (name, read) in [READS[0], READS[3]] {
        let meter = Meter::start(master.pid())?;
        let (times, delays) = together(&master, read, clients, 1)?;
        let span = meter.stop()?;
        let goal = (name == "/state").then_some(Goal::Times(20.0));
        recorder.less(&format!("{name}, {clients} clients at once, the last"), "ms", worst(&times), goal);
        let cpu = millis(span.master) / clients as f64;
        recorder.less(&format!("{name}, {clients} clients at once, CPU of each"), "ms", cpu, None);
        let what = format!("{name}, {clients} clients at once, longest delay of /health");
        recorder.less(&what, "ms", worst(&delays), None);
        recorder.span_of(&format!("{name}, {clients} clients at once"), span);
    }
    board.close()
}

fn worst(times: &[f64]) -> f64 {
    times.iter().copied().fold(0.0, f64::max)
}
