//! The master's machines in one process, without sockets and threads, in the shapes of Apache Mesos's own benchmarks (MasterFailover and
//! MasterStateQuery of its master_benchmarks): agents that nobody knows come back all at once, with tasks of a few frameworks, and
//! then everything is read.
//!
//! What is played is what a master does of it: messages are decoded, the master machine takes them, the registrar writes the registry to a log in
//! memory, the allocator hears of everything, answers are encoded; then an allocation. What is not: sockets, threads, the disk, and
//! the agents, whose messages are made beforehand (those of Apache Mesos are actors of the same process and serialize theirs meanwhile).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use messor_allocator::{Allocator, Options as AllocatorOptions};
use messor_http_api::master::binary;
use messor_http_api::master::reads::json_of;
use messor_http_api::master::state::state;
use messor_http_api::{BuildInfo, ProgramInfo};
use messor_master_core::{Config, Effect, Event, Master, Message, View};
use messor_proto::Wire;
use messor_proto::mesos::internal::{AgentReregisteredMessage, ReregisterAgentMessage, archive};
use messor_proto::mesos::master::response;
use messor_proto::mesos::resource::AllocationInfo;
use messor_proto::mesos::value::{Scalar, Type};
use messor_proto::mesos::{
    AgentId, AgentInfo, FrameworkId, FrameworkInfo, Label, Labels, MasterInfo, Resource, Task, TaskId,
    TaskState,
};
use messor_registry::{MemoryLog, Registrar, RegistrarConfig, RegistrarEffect, RegistrarEvent};
use messor_stdx::Time;
use messor_types::Pid;

use crate::fleet::capabilities;
use crate::report::{Report, timed};
use crate::scheduler::{ROLE, framework};

/// While the log writes, as many agents come as a disk leaves time for: some hundred.
const AGENTS_PER_WRITE: usize = 256;
/// How often everything is read once more, when what was printed is remembered.
const AGAIN: usize = 3;

/// As the parameters of Apache Mesos's benchmarks; tasks are of each framework on each agent.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub name: &'static str,
    pub agents: usize,
    pub frameworks: usize,
    pub tasks: usize,
    pub completed_frameworks: usize,
    pub completed_tasks: usize,
    /// Milliseconds that were published, of all agents back and of /state.
    pub published: (Option<f64>, Option<f64>),
}

const fn shape(
    name: &'static str,
    agents: usize,
    (frameworks, tasks): (usize, usize),
    (completed_frameworks, completed_tasks): (usize, usize),
    published: (Option<f64>, Option<f64>),
) -> Shape {
    Shape { name, agents, frameworks, tasks, completed_frameworks, completed_tasks, published }
}

pub const SHAPES: [Shape; 6] = [
    shape("failover-2000x100", 2000, (5, 20), (0, 0), (None, None)),
    shape("failover-2000x50-completed", 2000, (5, 10), (5, 10), (None, None)),
    shape("failover-20000x5", 20_000, (1, 5), (0, 0), (None, None)),
    shape("state-1000x10", 1000, (5, 2), (5, 2), (None, None)),
    shape("state-10000x10", 10_000, (5, 2), (5, 2), (Some(4300.0), Some(1860.0))),
    shape("state-40000x10", 40_000, (5, 2), (5, 2), (Some(19_000.0), None)),
];

#[derive(Clone, Debug)]
pub struct Options {
    /// All where none is named.
    pub shapes: Vec<String>,
    pub runs: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { shapes: Vec::new(), runs: 3 }
    }
}

pub fn run(options: &Options) -> Result<Report, String> {
    let mut report = Report::default();
    for shape in SHAPES {
        let wanted = options.shapes.is_empty() || options.shapes.iter().any(|name| name == shape.name);
        for _ in 0..if wanted { options.runs } else { 0 } {
            measure(shape, &mut report).map_err(|error| format!("{}: {error}", shape.name))?;
        }
    }
    Ok(report)
}

fn framework_of(number: usize) -> FrameworkInfo {
    framework(Some(&format!("framework{number}")))
}

fn resources(cpus: f64, memory: f64, role: Option<&str>) -> Vec<Resource> {
    let allocation_info = role.map(|role| AllocationInfo { role: Some(role.to_string()) });
    let scalar = |name: &str, value: f64| Resource {
        name: name.to_string(),
        r#type: Type::Scalar as i32,
        scalar: Some(Scalar { value }),
        allocation_info: allocation_info.clone(),
        ..Default::default()
    };
    vec![scalar("cpus", cpus), scalar("mem", memory)]
}

fn task(id: String, framework: &str, agent: &str, state: TaskState) -> Task {
    let label = |number: usize| Label { key: format!("key{number}"), value: Some(format!("value{number}")) };
    Task {
        name: "test-task".to_string(),
        task_id: TaskId { value: id },
        framework_id: FrameworkId { value: framework.to_string() },
        agent_id: AgentId { value: agent.to_string() },
        state: state as i32,
        resources: resources(0.1, 5.0, Some(ROLE)),
        labels: Some(Labels { labels: (0..10).map(label).collect() }),
        ..Default::default()
    }
}

/// What an agent says when it comes back.
fn message(shape: &Shape, agent: usize) -> ReregisterAgentMessage {
    let agent_id = format!("agent{agent}");
    let tasks_of = |number: usize, count: usize, state: TaskState| {
        let (framework, agent_id) = (format!("framework{number}"), &agent_id);
        (0..count)
            .map(move |task_number| {
                task(format!("task-{agent}-{number}-{task_number}"), &framework, agent_id, state)
            })
            .collect::<Vec<_>>()
    };
    let completed = shape.frameworks..shape.frameworks + shape.completed_frameworks;
    ReregisterAgentMessage {
        agent: AgentInfo {
            hostname: agent_id.clone(),
            port: Some(5051),
            resources: resources(20.0, 10240.0, None),
            id: Some(AgentId { value: agent_id.clone() }),
            checkpoint: Some(true),
            ..Default::default()
        },
        version: Some("1.11.0".to_string()),
        agent_capabilities: capabilities(),
        frameworks: (0..shape.frameworks).map(framework_of).collect(),
        tasks: (0..shape.frameworks)
            .flat_map(|number| tasks_of(number, shape.tasks, TaskState::TaskRunning))
            .collect(),
        completed_frameworks: completed
            .map(|number| archive::Framework {
                framework_info: framework_of(number),
                tasks: tasks_of(number, shape.completed_tasks, TaskState::TaskFinished),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    }
}

enum Step {
    Master(Event),
    Registrar(RegistrarEvent),
}

/// The machines of a master, and what they say to each other.
struct Machines {
    now: Time,
    master: Master,
    registrar: Registrar,
    log: MemoryLog,
    allocator: Allocator,
    /// What the log is asked for, and does not answer yet.
    asked: Option<RegistrarEvent>,
    steps: VecDeque<Step>,
    answered: usize,
    fault: Option<String>,
}

impl Machines {
    fn start() -> Result<Machines, String> {
        let info = MasterInfo { id: "bench".to_string(), port: 5050, ..Default::default() };
        let now = Time::from_nanos(1_700_000_000_000_000_000);
        let mut machines = Machines {
            now,
            master: Master::new(Config::new(info.clone()), now),
            registrar: Registrar::new(RegistrarConfig::new(1)),
            log: MemoryLog::default(),
            allocator: Allocator::new(AllocatorOptions::default()),
            asked: None,
            steps: VecDeque::new(),
            answered: 0,
            fault: None,
        };
        let info = Box::new(info);
        machines.steps.push_back(Step::Master(Event::LeaderDetected { leader: Some(info.clone()) }));
        machines.steps.push_back(Step::Registrar(RegistrarEvent::Start { info }));
        machines.settle()?;
        Ok(machines)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Master(event) => {
                let mut effects = Vec::new();
                self.master.handle(self.now, event, &mut effects);
                effects.into_iter().for_each(|effect| self.carry_out(effect));
            }
            Step::Registrar(event) => {
                let mut effects = Default::default();
                self.registrar.handle(self.now, event, &mut effects);
                for effect in effects {
                    self.carry_out_for_registrar(effect);
                }
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Store { ticket, operation } => {
                self.steps.push_back(Step::Registrar(RegistrarEvent::Apply { ticket, operation }));
            }
            Effect::Allocator(event) => {
                let mut said = Vec::new();
                // Nobody is subscribed, so nothing is offered; what it wants is to be waked, which `allocate` does.
                self.allocator.handle(self.now, event, &mut said);
            }
            Effect::Send { name, .. } if name == AgentReregisteredMessage::NAME => self.answered += 1,
            Effect::Abort { reason } => self.fault = Some(reason),
            _ => {}
        }
    }

    fn carry_out_for_registrar(&mut self, effect: RegistrarEffect) {
        match effect {
            RegistrarEffect::Recovered(registry) => {
                self.steps.push_back(Step::Master(Event::Elected { registry }));
            }
            RegistrarEffect::Applied { ticket, outcome } => {
                self.steps.push_back(Step::Master(Event::Stored { ticket, outcome }));
            }
            RegistrarEffect::Log { ticket, command } => {
                let outcome = Ok(self.log.answer(command));
                self.asked = Some(RegistrarEvent::Log { ticket, outcome });
            }
            RegistrarEffect::Failed { reason } => self.fault = Some(reason),
            _ => {}
        }
    }

    /// All that follows from what is there, without the log.
    fn go_on(&mut self) -> Result<(), String> {
        while let Some(step) = self.steps.pop_front() {
            self.step(step);
        }
        self.fault.clone().map_or(Ok(()), Err)
    }

    /// The log answers until it is asked nothing more.
    fn settle(&mut self) -> Result<(), String> {
        self.go_on()?;
        while let Some(answer) = self.asked.take() {
            self.steps.push_back(Step::Registrar(answer));
            self.go_on()?;
        }
        Ok(())
    }

    fn allocate(&mut self) {
        self.now = self.now + Duration::from_secs(1);
        self.allocator.handle(self.now, messor_allocator::Event::Tick, &mut Vec::new());
    }

    fn all_come_back(&mut self, messages: &[(Pid, Vec<u8>)]) -> Result<(), String> {
        for (number, (from, body)) in messages.iter().enumerate() {
            let message = Message::read(ReregisterAgentMessage::NAME, body);
            self.steps.push_back(Step::Master(Event::Message { from: from.clone(), message }));
            self.go_on()?;
            if number % AGENTS_PER_WRITE == AGENTS_PER_WRITE - 1
                && let Some(answer) = self.asked.take()
            {
                self.steps.push_back(Step::Registrar(answer));
                self.go_on()?;
            }
        }
        self.settle()?;
        self.allocate();
        Ok(())
    }
}

/// What /state and the like read is all there. Completed tasks are not: they are of frameworks that nobody knows, and those 1.11.0
/// drops, too, each with a line in its log.
fn check(shape: &Shape, view: &View) -> Result<(), String> {
    let count = |of: fn(&messor_master_core::FrameworkView) -> usize| -> usize {
        view.frameworks.iter().chain(&view.completed_frameworks).map(of).sum()
    };
    let running = count(|framework| framework.tasks.len());
    let completed = count(|framework| framework.completed_tasks.len());
    let expected = (shape.agents, shape.agents * shape.frameworks * shape.tasks, 0);
    let seen = (view.agents.len(), running, completed);
    if seen != expected {
        return Err(format!("(agents, tasks, completed) are {seen:?}, not {expected:?}"));
    }
    Ok(())
}

pub fn measure(shape: Shape, report: &mut Report) -> Result<(), String> {
    let messages: Vec<(Pid, Vec<u8>)> = (0..shape.agents)
        .map(|agent| {
            let pid = format!("slave({agent})@10.0.0.1:5051").parse().map_err(|_| "a PID".to_string())?;
            Ok((pid, message(&shape, agent).encode_bytes()))
        })
        .collect::<Result<_, String>>()?;
    let (decoding, read) = timed(|| {
        messages.iter().filter(|(_, body)| ReregisterAgentMessage::decode_checked(body).is_ok()).count()
    });
    let mut machines = Machines::start()?;
    let (back, outcome) = timed(|| machines.all_come_back(&messages));
    outcome?;
    drop(messages);
    if (read, machines.answered) != (shape.agents, shape.agents) {
        return Err(format!("{} of {} agents were answered", machines.answered, shape.agents));
    }
    check(&shape, &machines.master.view_without_metrics(machines.now))?;
    report.record(shape.name, "all agents are back", back).published = shape.published.0;
    report.record(shape.name, "of it: their messages are decoded", decoding);
    let build = BuildInfo { version: "1.11.0", ..BuildInfo::default() };
    let program = ProgramInfo { build, flags: Vec::new() };
    let mut lengths = BTreeMap::new();
    for round in 0..=AGAIN {
        for (name, published, print) in [
            (
                "/state",
                shape.published.1,
                &(|view: &View| Some(state(view, &program, None))) as &dyn Fn(&View) -> Option<Vec<u8>>,
            ),
            ("GET_STATE, JSON", None, &|view: &View| json_of(response::Type::GetState, view, None)),
            ("GET_STATE, protobuf", None, &|view: &View| {
                binary::answer(response::Type::GetState, view, None)
            }),
        ] {
            let (time, answer) = timed(|| print(&machines.master.view_without_metrics(machines.now)));
            let length = answer.ok_or_else(|| format!("{name} is not answered"))?.len();
            if *lengths.entry(name).or_insert(length) != length {
                return Err(format!("{name} has {length} bytes, and had {} before", lengths[name]));
            }
            let when = if round == 0 { "the first time" } else { "again" };
            report.record(shape.name, &format!("{name}, {when}"), time).published = published;
        }
    }
    Ok(())
}
