//! Containers on one agent with the linux launcher and control groups, as real processes: how many start in a second, what an
//! executor holds of memory, how many processes a pod has, and what the agent does while containers are idle.
//!
//! A container that did not end as it should, or a process too many, is an error and not a figure.

pub(crate) mod processes;

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use messor_testkit::{Cluster, ControlGroups, Framework, Options as ClusterOptions, get, post, scalar};
use serde_json::{Value, json};

use processes::{Process, processes};

use crate::usage;
use crate::waiting::until;

/// Idle containers are watched for so long.
const IDLE: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Clone, Debug)]
pub struct Options {
    /// Containers of `true`.
    pub count: usize,
    /// So many are asked for at the same time.
    pub parallel: usize,
    /// Containers that do nothing.
    pub idle: usize,
    /// Tasks of one pod.
    pub pod: usize,
    pub isolation: String,
    pub watch: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            count: 1000,
            parallel: 16,
            idle: 500,
            pod: 50,
            isolation: "cgroups/cpu,cgroups/mem".to_string(),
            watch: IDLE,
        }
    }
}

/// What was measured, and what it is to be.
#[derive(Clone, Debug)]
pub struct Figure {
    pub what: String,
    pub value: f64,
    pub unit: &'static str,
    pub goal: Option<Goal>,
}

#[derive(Clone, Copy, Debug)]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Figure {
    pub fn is_met(&self) -> Option<bool> {
        self.goal.map(|goal| match goal {
            Goal::AtLeast(least) => self.value >= least,
            Goal::AtMost(most) => self.value <= most,
        })
    }
}

#[derive(Clone, Debug, Default)]
pub struct Figures(pub Vec<Figure>);

impl Figures {
    fn add(&mut self, what: impl Into<String>, value: f64, unit: &'static str, goal: Option<Goal>) {
        self.0.push(Figure { what: what.into(), value, unit, goal });
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | measured | goal |")?;
        writeln!(f, "| --- | --- | --- |")?;
        for figure in &self.0 {
            let goal = match (figure.goal, figure.is_met()) {
                (Some(Goal::AtLeast(least)), Some(met)) => format!("at least {least}{}", missed(met)),
                (Some(Goal::AtMost(most)), Some(met)) => format!("at most {most}{}", missed(met)),
                _ => String::new(),
            };
            writeln!(f, "| {} | {:.1} {} | {goal} |", figure.what, figure.value, figure.unit)?;
        }
        Ok(())
    }
}

fn missed(met: bool) -> &'static str {
    if met { "" } else { " (missed)" }
}

pub fn run(options: &Options) -> Result<Figures, String> {
    let groups = ControlGroups::new().ok_or("needs root and control groups of version 1")?;
    let agent_flags = vec![
        "--launcher=linux".to_string(),
        format!("--isolation={}", options.isolation),
        format!("--cgroups_root={}", groups.root()),
        "--resources=cpus:10000;mem:10000000;disk:10000000".to_string(),
    ];
    let master_flags = vec!["--allocation_interval=50ms".to_string()];
    let cluster = Cluster::with(&ClusterOptions { agents: 1, master_flags, agent_flags });
    let framework = Framework::subscribe(cluster.master, "root", &["PARTITION_AWARE", "MULTI_ROLE"]);
    let mut figures = Figures::default();
    standalone(&cluster, options, &mut figures)?;
    tasks(&cluster, &framework, options, &mut figures)?;
    pod(&cluster, &framework, options, &mut figures)?;
    idle(&cluster, &framework, options, &mut figures)?;
    drop(framework);
    drop(cluster);
    drop(groups);
    Ok(figures)
}

/// Containers by themselves, launched over the agent's API and waited for.
fn standalone(cluster: &Cluster, options: &Options, figures: &mut Figures) -> Result<(), String> {
    let (agent, next) = (cluster.agents[0], AtomicUsize::new(0));
    let begin = Instant::now();
    let results: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let run = || {
            while let number = next.fetch_add(1, Ordering::Relaxed)
                && number < options.count
            {
                one(agent, number)?;
            }
            Ok(())
        };
        let all: Vec<_> = (0..options.parallel).map(|_| scope.spawn(run)).collect();
        all.into_iter()
            .map(|one| one.join().unwrap_or_else(|_| Err("a thread panicked".to_string())))
            .collect()
    });
    results.into_iter().collect::<Result<Vec<()>, String>>()?;
    let rate = options.count as f64 / begin.elapsed().as_secs_f64();
    figures.add("containers of `true`, launched and ended", rate, "a second", Some(Goal::AtLeast(100.0)));
    Ok(())
}

fn one(agent: SocketAddr, number: usize) -> Result<(), String> {
    let id = json!({"value": format!("c{number}")});
    let resource =
        |name: &str, amount: f64| json!({"name": name, "type": "SCALAR", "scalar": {"value": amount}});
    let launch = json!({"type": "LAUNCH_CONTAINER", "launch_container": {
        "container_id": id,
        "command": {"shell": false, "value": "/bin/true", "arguments": ["true"]},
        "resources": [resource("cpus", 0.1), resource("mem", 32.0)]}});
    let answer = post(agent, "/api/v1", &launch).map_err(|error| error.to_string())?;
    if answer.status != 200 {
        return Err(format!("container {number} was not launched: {} {}", answer.status, answer.text()));
    }
    let wait = json!({"type": "WAIT_CONTAINER", "wait_container": {"container_id": id}});
    let answer = post(agent, "/api/v1", &wait).map_err(|error| error.to_string())?;
    // One that ended and is forgotten is not found: then it ended before it could be waited for.
    match answer.status {
        404 => Ok(()),
        200 if answer.json()["wait_container"]["exit_status"] == 0 => Ok(()),
        status => Err(format!("container {number} did not end well: {status} {}", answer.text())),
    }
}

fn task(id: &str, command: &Value, agent: &Value) -> Value {
    json!({"name": id, "task_id": {"value": id}, "agent_id": agent, "command": command,
           "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)]})
}

fn command(words: &[&str]) -> Value {
    json!({"shell": false, "value": words[0], "arguments": words})
}

/// An offer of nearly everything, as that of what was used before comes back bit by bit.
fn offer(framework: &Framework, cpus: f64) -> Value {
    framework
        .offer(|resource| resource["name"] == "cpus" && resource["scalar"]["value"].as_f64() > Some(cpus))
}

/// Each with its executor, from the ACCEPT to the last update.
fn tasks(
    cluster: &Cluster,
    framework: &Framework,
    options: &Options,
    figures: &mut Figures,
) -> Result<(), String> {
    let offer = offer(framework, options.count as f64 * 0.2);
    let ids: Vec<String> = (0..options.count).map(|number| format!("t{number}")).collect();
    let infos: Vec<Value> =
        ids.iter().map(|id| task(id, &command(&["/bin/true"]), &offer["agent_id"])).collect();
    let begin = Instant::now();
    framework.accept(&offer, vec![json!({"type": "LAUNCH", "launch": {"task_infos": infos}})]);
    all(framework, &ids, "TASK_FINISHED")?;
    let rate = options.count as f64 / begin.elapsed().as_secs_f64();
    figures.add(
        "tasks of `true` with an executor each, end to end",
        rate,
        "a second",
        Some(Goal::AtLeast(100.0)),
    );
    settled(cluster)
}

/// Waits until each of these tasks has come to a state, and no other end; none of them was heard of before.
fn all(framework: &Framework, ids: &[String], state: &str) -> Result<(), String> {
    let mut left: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    while !left.is_empty() {
        let event = framework.next("UPDATE", |_| true);
        let status = &event["update"]["status"];
        let id = status["task_id"]["value"].as_str().unwrap_or_default();
        match status["state"].as_str().unwrap_or_default() {
            told if told == state => {
                left.remove(id);
            }
            "TASK_STARTING" | "TASK_RUNNING" => {}
            told => return Err(format!("task {id} is {told}: {}", status["message"])),
        }
    }
    Ok(())
}

/// Waits until no container is left.
fn settled(cluster: &Cluster) -> Result<(), String> {
    until("no container is left", PATIENCE, Duration::from_millis(100), || {
        let containers = get(cluster.agents[0], "/containers").map_err(|error| error.to_string())?;
        Ok(containers.status == 200 && containers.json().as_array().is_some_and(Vec::is_empty))
    })
}

/// What runs below the agent's warden.
fn members(cluster: &Cluster) -> Vec<Process> {
    let all = processes();
    let agent = cluster.pid("agent0");
    let warden = all.iter().find(|one| one.parent == agent && one.name == "messor-warden");
    warden.map(|warden| processes::below(&all, warden.pid)).unwrap_or_default()
}

fn pod(
    cluster: &Cluster,
    framework: &Framework,
    options: &Options,
    figures: &mut Figures,
) -> Result<(), String> {
    let offer = offer(framework, options.pod as f64 * 0.2);
    let ids: Vec<String> = (0..options.pod).map(|number| format!("p{number}")).collect();
    let sleep = command(&["/bin/sleep", "1000"]);
    let infos: Vec<Value> = ids.iter().map(|id| task(id, &sleep, &offer["agent_id"])).collect();
    let executor = json!({"type": "DEFAULT", "executor_id": {"value": "pod"}, "framework_id": framework.id,
                          "resources": [scalar("cpus", 0.1), scalar("mem", 32.0), scalar("disk", 32.0)]});
    let begin = Instant::now();
    framework.accept(
        &offer,
        vec![json!({"type": "LAUNCH_GROUP", "launch_group": {"executor": executor, "task_group": {"tasks": infos}}})],
    );
    all(framework, &ids, "TASK_RUNNING")?;
    let rate = options.pod as f64 / begin.elapsed().as_secs_f64();
    figures.add("nested containers of one pod, until they run", rate, "a second", None);
    let members = members(cluster);
    let sleeping = members.iter().filter(|one| one.name == "sleep").count();
    if sleeping != options.pod {
        return Err(format!("{sleeping} tasks of {} run: {members:?}", options.pod));
    }
    let others = members.len() - sleeping;
    figures.add(
        format!("processes of a pod of {} besides its tasks", options.pod),
        others as f64,
        "",
        Some(Goal::AtMost(1.0)),
    );
    framework.call(json!({"type": "KILL", "kill": {"task_id": {"value": ids[0]}}}));
    for id in &ids {
        framework.end_of(id);
    }
    settled(cluster)
}

fn idle(
    cluster: &Cluster,
    framework: &Framework,
    options: &Options,
    figures: &mut Figures,
) -> Result<(), String> {
    let offer = offer(framework, options.idle as f64 * 0.2);
    let ids: Vec<String> = (0..options.idle).map(|number| format!("i{number}")).collect();
    let sleep = command(&["/bin/sleep", "1000"]);
    let infos: Vec<Value> = ids.iter().map(|id| task(id, &sleep, &offer["agent_id"])).collect();
    framework.accept(&offer, vec![json!({"type": "LAUNCH", "launch": {"task_infos": infos}})]);
    all(framework, &ids, "TASK_RUNNING")?;
    let members = members(cluster);
    let executors = members.iter().filter(|one| one.name == "mesos-executor");
    let mut memory = executors
        .map(|one| usage::memory(one.pid).map(|memory| memory.anonymous_bytes / 1024))
        .collect::<Result<Vec<u64>, String>>()?;
    memory.sort_unstable();
    if memory.len() != options.idle {
        return Err(format!("{} executors of {} run", memory.len(), options.idle));
    }
    let middle = memory[memory.len() / 2] as f64;
    figures.add("anonymous memory of an idle executor", middle, "kB", Some(Goal::AtMost(1536.0)));
    let others = members.iter().filter(|one| one.name != "mesos-executor" && one.name != "sleep").count();
    figures.add(
        format!("processes besides {} executors and their tasks", options.idle),
        others as f64,
        "",
        Some(Goal::AtMost(0.0)),
    );
    let share = usage::at_rest(&[cluster.pid("agent0")], options.watch)?.master_rate() / 10.0;
    figures.add(
        format!("the agent with {} idle containers", options.idle),
        share,
        "% of a core",
        Some(Goal::AtMost(5.0)),
    );
    for id in &ids {
        framework.call(json!({"type": "KILL", "kill": {"task_id": {"value": id}}}));
    }
    for id in &ids {
        framework.end_of(id);
    }
    settled(cluster)
}
