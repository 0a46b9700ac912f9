//! Simulated agents: any number of them behind one listener, as processes `slave(0)`, `slave(1)`… of one address. An agent
//! is an id and nothing else, a task one byte: the master that is measured should be the one that has work.
//!
//! Each message is checked: a task that is run twice, or acknowledged out of turn, is a fault of the run.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use messor_codec::message;
use messor_proto::Wire;
use messor_proto::mesos::agent_info::capability::Type as AgentCapability;
use messor_proto::mesos::internal::{
    PongAgentMessage, RegisterAgentMessage, ReregisterAgentMessage, StatusUpdate, StatusUpdateMessage,
};
use messor_proto::mesos::value::{Range, Ranges, Scalar};
use messor_proto::mesos::{
    AgentId, AgentInfo, ExecutorId, FrameworkId, FrameworkInfo, Resource, Task, TaskId, TaskState,
    TaskStatus, agent_info, task_status, value,
};
use prost::Message;

use crate::board::{Board, Count};
use crate::brief;
use crate::wire::{ACCEPTED, Outbox, Request, Requests};

/// What the master is told to be the version of the agents.
const VERSION: &str = "1.11.0";

/// What becomes of a task once it runs and that was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Finish,
    Stay,
}

/// How far a task is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    #[default]
    Unknown,
    RunningSent,
    RunningAcknowledged,
    FinishedSent,
    FinishedAcknowledged,
}

/// What an update says, and its acknowledgement again: it stands in the update's UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    Running,
    Finished,
    Repeated,
}

/// A UUID as RFC 4122 has it for random ones, which 1.11.0 demands.
pub fn uuid(task: usize, said: Said, repetition: u32) -> [u8; 16] {
    let mut uuid = [0; 16];
    uuid[..6].copy_from_slice(&(task as u64).to_be_bytes()[2..]);
    uuid[6] = 0x40;
    uuid[8] = 0x80 | (said as u8 + 1);
    uuid[12..].copy_from_slice(&repetition.to_be_bytes());
    uuid
}

pub fn read_uuid(uuid: &[u8]) -> Option<(usize, Said)> {
    let task = uuid.get(..6)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
    let said = match uuid.get(8)? {
        0x81 => Said::Running,
        0x82 => Said::Finished,
        0x83 => Said::Repeated,
        _ => return None,
    };
    Some((task, said))
}

pub fn task_id(number: usize) -> String {
    format!("task-{number}")
}

pub fn task_number(id: &str) -> Option<usize> {
    id.strip_prefix("task-")?.parse().ok()
}

fn scalar(name: &str, amount: f64) -> Resource {
    Resource {
        name: name.to_string(),
        r#type: value::Type::Scalar as i32,
        scalar: Some(Scalar { value: amount }),
        ..Default::default()
    }
}

/// The first agent has more than the others: a scheduler that asks for more than they have is offered that one alone.
const LARGE_CPUS: f64 = 128.0;
const CPUS: f64 = 64.0;
/// What it asks for then.
pub const MORE_CPUS: f64 = CPUS + 1.0;

/// What each agent has.
pub fn agent_resources() -> Vec<Resource> {
    let ports = Resource {
        name: "ports".to_string(),
        r#type: value::Type::Ranges as i32,
        ranges: Some(Ranges { range: vec![Range { begin: 31000, end: 32000 }] }),
        ..Default::default()
    };
    vec![scalar("cpus", CPUS), scalar("mem", 262_144.0), scalar("disk", 1_048_576.0), ports]
}

/// What each task needs: an agent has room for 640.
pub fn task_resources() -> Vec<Resource> {
    vec![scalar("cpus", 0.1), scalar("mem", 32.0)]
}

#[derive(Default)]
struct State {
    ids: Vec<String>,
    tasks: Vec<Phase>,
    /// On which agent each task is.
    agent_of: Vec<u32>,
    framework_id: String,
}

struct Inner {
    address: SocketAddr,
    life: Life,
    board: Arc<Board>,
    state: Mutex<State>,
    ended: AtomicBool,
    outbox: Mutex<Option<(SocketAddr, Outbox)>>,
}

pub struct Fleet(Arc<Inner>);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

pub fn capabilities() -> Vec<agent_info::Capability> {
    let all = [
        AgentCapability::MultiRole,
        AgentCapability::HierarchicalRole,
        AgentCapability::ReservationRefinement,
        AgentCapability::AgentDraining,
        AgentCapability::TaskResourceLimits,
    ];
    all.iter().map(|kind| agent_info::Capability { r#type: Some(*kind as i32) }).collect()
}

impl Fleet {
    /// So many agents, which know as many tasks at most; none is told to the master yet.
    pub fn listen(board: &Arc<Board>, agents: usize, tasks: usize, life: Life) -> Result<Fleet, String> {
        let broken = |error: std::io::Error| format!("the agents cannot listen: {error}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(broken)?;
        let state = State {
            ids: vec![String::new(); agents],
            tasks: vec![Phase::Unknown; tasks],
            agent_of: vec![0; tasks],
            framework_id: String::new(),
        };
        let inner = Arc::new(Inner {
            address: listener.local_addr().map_err(broken)?,
            life,
            board: Arc::clone(board),
            state: Mutex::new(state),
            ended: AtomicBool::new(false),
            outbox: Mutex::new(None),
        });
        let fleet = Arc::clone(&inner);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if fleet.ended.load(Ordering::Relaxed) {
                    return;
                }
                let fleet = Arc::clone(&fleet);
                match stream {
                    Ok(stream) => drop(std::thread::spawn(move || fleet.serve(stream))),
                    Err(error) => fleet.board.fail(format!("the agents cannot accept: {error}")),
                }
            }
        });
        Ok(Fleet(inner))
    }

    /// To this master all messages go from now on.
    pub fn connect(&self, master: SocketAddr) -> Result<(), String> {
        let stream = TcpStream::connect(master).map_err(|error| format!("{master}: {error}"))?;
        stream.set_nodelay(true).map_err(|error| format!("{master}: {error}"))?;
        let mut answers = stream.try_clone().map_err(|error| format!("{master}: {error}"))?;
        // What the master answers to messages is read away, as libprocess does.
        std::thread::spawn(move || std::io::copy(&mut answers, &mut std::io::sink()));
        let outbox = Outbox::new(stream, Arc::clone(&self.0.board));
        if let Some((_, old)) = lock(&self.0.outbox).replace((master, outbox)) {
            old.end();
        }
        Ok(())
    }

    fn info(&self, agent: usize, id: &str) -> AgentInfo {
        let mut resources = agent_resources();
        if agent == 0 {
            resources[0] = scalar("cpus", LARGE_CPUS);
        }
        AgentInfo {
            hostname: format!("agent{agent}.bench"),
            port: Some(i32::from(self.0.address.port())),
            resources,
            id: (!id.is_empty()).then(|| AgentId { value: id.to_string() }),
            checkpoint: Some(true),
            ..Default::default()
        }
    }

    fn post(&self, agent: usize, name: &str, body: &[u8]) -> Result<(), String> {
        self.0.send(|out, master| write(out, self.0.address, agent, "master", master, name, body))
    }

    /// All agents register; the board counts who has.
    pub fn register(&self) -> Result<(), String> {
        let count = lock(&self.0.state).ids.len();
        for agent in 0..count {
            let message = RegisterAgentMessage {
                agent: self.info(agent, ""),
                version: Some(VERSION.to_string()),
                agent_capabilities: capabilities(),
                ..Default::default()
            };
            self.post(agent, RegisterAgentMessage::NAME, &message.encode_bytes())?;
        }
        Ok(())
    }

    /// All agents register again, after a master that failed: `tasks` running tasks of one framework are spread over them,
    /// and `completed` ones of it. Made beforehand, so that a master that is quick is not held up.
    pub fn reregistrations(
        &self,
        framework: &FrameworkInfo,
        tasks: usize,
        completed: usize,
    ) -> Result<Vec<Vec<u8>>, String> {
        let framework_id = framework.id.clone().ok_or("a framework without an id")?;
        let mut state = lock(&self.0.state);
        let agents = state.ids.len();
        state.framework_id = framework_id.value.clone();
        state.tasks = vec![Phase::RunningAcknowledged; tasks];
        state.agent_of = vec![0; tasks];
        if agents < 2 && completed > 0 {
            return Err("completed tasks take two agents".to_string());
        }
        let shares =
            |number: usize, all: usize, agents: usize| (number * all / agents)..((number + 1) * all / agents);
        let mut result = Vec::with_capacity(agents);
        for agent in 0..agents {
            state.agent_of[shares(agent, tasks, agents)].fill(agent as u32);
            let id = &state.ids[agent];
            let task =
                |number: usize, task_state: TaskState| known_task(number, task_state, id, &framework_id);
            let running =
                shares(agent, tasks, agents).map(|number| task(number, TaskState::TaskRunning)).collect();
            // 1.11.0 forgets what the first agent tells of a framework that no agent told of before.
            let mine = agent.checked_sub(1).map(|agent| shares(agent, completed, agents - 1));
            let ended: Vec<_> = mine
                .into_iter()
                .flatten()
                .map(|number| task(tasks + number, TaskState::TaskFinished))
                .collect();
            let mut message = ReregisterAgentMessage {
                agent: self.info(agent, id),
                tasks: running,
                version: Some(VERSION.to_string()),
                agent_capabilities: capabilities(),
                ..Default::default()
            };
            if !message.tasks.is_empty() {
                message.frameworks.push(framework.clone());
            }
            if !ended.is_empty() {
                message.completed_frameworks.push(messor_proto::mesos::internal::archive::Framework {
                    framework_info: framework.clone(),
                    tasks: ended,
                    ..Default::default()
                });
            }
            result.push(message.encode_bytes());
        }
        Ok(result)
    }

    pub fn reregister(&self, messages: &[Vec<u8>]) -> Result<(), String> {
        for (agent, message) in messages.iter().enumerate() {
            self.post(agent, ReregisterAgentMessage::NAME, message)?;
        }
        Ok(())
    }

    /// Each of these running tasks says once more that it runs.
    pub fn repeat(&self, tasks: impl IntoIterator<Item = usize>, repetition: u32) -> Result<(), String> {
        let state = lock(&self.0.state);
        let now = now();
        for task in tasks {
            let agent = state.agent_of[task] as usize;
            let update = (task, TaskState::TaskRunning, uuid(task, Said::Repeated, repetition));
            let agent = (agent, state.ids[agent].as_str());
            self.0.send(|out, master| {
                write_update(out, self.0.address, master, agent, &state.framework_id, update, now);
            })?;
        }
        Ok(())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Relaxed);
        if let Some((_, outbox)) = lock(&self.0.outbox).take() {
            outbox.end();
        }
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.0.address);
    }
}

fn known_task(number: usize, state: TaskState, agent: &str, framework_id: &FrameworkId) -> Task {
    let id = task_id(number);
    let agent_id = AgentId { value: agent.to_string() };
    let mut resources = task_resources();
    for resource in &mut resources {
        resource.allocation_info = Some(messor_proto::mesos::resource::AllocationInfo {
            role: Some(crate::scheduler::ROLE.to_string()),
        });
    }
    let status = TaskStatus {
        task_id: TaskId { value: id.clone() },
        state: state as i32,
        timestamp: Some(now()),
        agent_id: Some(agent_id.clone()),
        source: Some(task_status::Source::Executor as i32),
        uuid: Some(uuid(number, Said::Running, 0).to_vec()),
        ..Default::default()
    };
    Task {
        name: id.clone(),
        task_id: TaskId { value: id },
        framework_id: framework_id.clone(),
        agent_id,
        state: state as i32,
        resources,
        statuses: vec![status],
        status_update_state: Some(state as i32),
        status_update_uuid: Some(uuid(number, Said::Running, 0).to_vec()),
        ..Default::default()
    }
}

fn write(
    out: &mut Vec<u8>,
    address: SocketAddr,
    agent: usize,
    to: &str,
    master: SocketAddr,
    name: &str,
    body: &[u8],
) {
    message::write(out, format_args!("slave({agent})@{address}"), to, master, name, body);
}

fn write_update(
    out: &mut Vec<u8>,
    address: SocketAddr,
    master: SocketAddr,
    (agent, agent_id): (usize, &str),
    framework_id: &str,
    (task, state, uuid): (usize, TaskState, [u8; 16]),
    now: f64,
) {
    let task_id = task_id(task);
    let agent_id = AgentId { value: agent_id.to_string() };
    let executor_id = ExecutorId { value: task_id.clone() };
    let status = TaskStatus {
        task_id: TaskId { value: task_id },
        state: state as i32,
        source: Some(task_status::Source::Executor as i32),
        agent_id: Some(agent_id.clone()),
        executor_id: Some(executor_id.clone()),
        timestamp: Some(now),
        uuid: Some(uuid.to_vec()),
        ..Default::default()
    };
    let update = StatusUpdate {
        framework_id: FrameworkId { value: framework_id.to_string() },
        executor_id: Some(executor_id),
        agent_id: Some(agent_id),
        status,
        timestamp: now,
        uuid: Some(uuid.to_vec()),
        latest_state: Some(state as i32),
    };
    let message = StatusUpdateMessage { update, pid: Some(format!("slave({agent})@{address}")) };
    write(out, address, agent, "master", master, StatusUpdateMessage::NAME, &message.encode_bytes());
}

impl Inner {
    fn send(&self, write: impl FnOnce(&mut Vec<u8>, SocketAddr)) -> Result<(), String> {
        let outbox = lock(&self.outbox);
        let (master, outbox) = outbox.as_ref().ok_or("the agents know no master")?;
        outbox.put(|out| write(out, *master))
    }

    fn serve(&self, stream: TcpStream) {
        if let Err(fault) = self.listen_to(stream) {
            self.board.fail(format!("the agents: {fault}"));
        }
    }

    fn listen_to(&self, mut stream: TcpStream) -> Result<(), String> {
        let broken = |error: std::io::Error| error.to_string();
        stream.set_nodelay(true).map_err(broken)?;
        let mut answers = stream.try_clone().map_err(broken)?;
        let mut requests = Requests::default();
        let mut out = Vec::new();
        while requests.fill(&mut stream).unwrap_or(false) {
            let master = lock(&self.outbox).as_ref().map(|(master, _)| *master);
            let master = master.ok_or("a message while no master is known")?;
            let mut state = lock(&self.state);
            let mut count = 0;
            let now = now();
            while let Some(request) = requests.next()? {
                count += 1;
                self.handle(&mut state, &request, master, now, &mut out)?;
            }
            drop(state);
            if !out.is_empty() {
                self.send(|to, _| to.extend_from_slice(&out))?;
                out.clear();
            }
            // The master may be gone meanwhile, which its end of the connection tells.
            let _ = std::io::Write::write_all(&mut answers, &ACCEPTED.repeat(count));
        }
        Ok(())
    }

    fn handle(
        &self,
        state: &mut State,
        request: &Request<'_>,
        master: SocketAddr,
        now: f64,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let name = request.name.strip_prefix("mesos.internal.").unwrap_or(request.name);
        let number = request.to.strip_prefix("slave(").and_then(|rest| rest.strip_suffix(')'));
        let agent = number.and_then(|number| number.parse::<usize>().ok());
        let agent = agent.filter(|agent| *agent < state.ids.len());
        let agent = agent.ok_or_else(|| format!("{name} came for '{}', who is not here", request.to))?;
        let wrong = |error: prost::DecodeError| format!("{name}: {error}");
        match name {
            "SlaveRegisteredMessage" => {
                let message = brief::AgentRegistered::decode(request.body).map_err(wrong)?;
                let id = brief::Id::text(&message.agent_id);
                if !state.ids[agent].is_empty() {
                    return Err(format!("agent {agent} was registered twice"));
                }
                state.ids[agent] = id.to_string();
                self.board.add(Count::Registered, 1);
            }
            "SlaveReregisteredMessage" => {
                let message = brief::AgentRegistered::decode(request.body).map_err(wrong)?;
                let id = brief::Id::text(&message.agent_id);
                if state.ids[agent] != id {
                    return Err(format!("agent {} is called {id} by the master", state.ids[agent]));
                }
                self.board.add(Count::Reregistered, 1);
            }
            "PingSlaveMessage" => {
                let observer = request.from.split('@').next().unwrap_or_default();
                let pong = PongAgentMessage::default().encode_bytes();
                write(out, self.address, agent, observer, master, PongAgentMessage::NAME, &pong);
            }
            "RunTaskMessage" => {
                let message = brief::RunTask::decode(request.body).map_err(wrong)?;
                let task = message.task.unwrap_or_default();
                let number = task_number(brief::Id::text(&task.id));
                let number = number.filter(|number| *number < state.tasks.len());
                let number = number.ok_or_else(|| format!("a task that nobody launched: {:?}", task.id))?;
                if brief::Id::text(&task.agent_id) != state.ids[agent] {
                    return Err(format!("task {number} is for {:?}, not for agent {agent}", task.agent_id));
                }
                let framework = message.framework.unwrap_or_default();
                let framework_id = brief::Id::text(&framework.id);
                if state.framework_id.is_empty() {
                    state.framework_id = framework_id.to_string();
                }
                step(state, number, Phase::Unknown, Phase::RunningSent)?;
                state.agent_of[number] = agent as u32;
                self.board.add(Count::Launched, 1);
                let update = (number, TaskState::TaskRunning, uuid(number, Said::Running, 0));
                let agent = (agent, state.ids[agent].as_str());
                write_update(out, self.address, master, agent, framework_id, update, now);
            }
            "StatusUpdateAcknowledgementMessage" => {
                let message = brief::Acknowledgement::decode(request.body).map_err(wrong)?;
                let read = message.uuid.as_deref().and_then(read_uuid);
                let (number, said) = read
                    .filter(|(number, _)| *number < state.tasks.len())
                    .ok_or_else(|| format!("an acknowledgement of what was not said: {:?}", message.uuid))?;
                match said {
                    Said::Running => {
                        step(state, number, Phase::RunningSent, Phase::RunningAcknowledged)?;
                        self.board.add(Count::RunningAcknowledged, 1);
                        if self.life == Life::Finish {
                            step(state, number, Phase::RunningAcknowledged, Phase::FinishedSent)?;
                            let update = (number, TaskState::TaskFinished, uuid(number, Said::Finished, 0));
                            let agent = (agent, state.ids[agent].as_str());
                            let framework_id = brief::Id::text(&message.framework_id);
                            write_update(out, self.address, master, agent, framework_id, update, now);
                        }
                    }
                    Said::Finished => {
                        step(state, number, Phase::FinishedSent, Phase::FinishedAcknowledged)?;
                        self.board.add(Count::FinishedAcknowledged, 1);
                    }
                    Said::Repeated => self.board.add(Count::RepeatedAcknowledged, 1),
                }
            }
            // These ask for nothing.
            "UpdateFrameworkMessage" | "CheckpointResourcesMessage" => {}
            _ => return Err(format!("agent {agent} was sent a {name}")),
        }
        Ok(())
    }
}

fn step(state: &mut State, task: usize, from: Phase, to: Phase) -> Result<(), String> {
    let phase = &mut state.tasks[task];
    if *phase != from {
        return Err(format!("task {task} goes from {phase:?} to {to:?}"));
    }
    *phase = to;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_and_ids_are_read_again() {
        for said in [Said::Running, Said::Finished, Said::Repeated] {
            assert_eq!(read_uuid(&uuid(70_000, said, 9)), Some((70_000, said)));
        }
        assert_eq!(read_uuid(&[0; 16]), None);
        assert_eq!(task_number(&task_id(17)), Some(17));
        assert_eq!(task_number("other"), None);
    }

    #[test]
    fn a_task_goes_its_way_once() {
        let mut state = State { tasks: vec![Phase::Unknown], ..Default::default() };
        step(&mut state, 0, Phase::Unknown, Phase::RunningSent).unwrap();
        assert!(step(&mut state, 0, Phase::Unknown, Phase::RunningSent).is_err());
        step(&mut state, 0, Phase::RunningSent, Phase::RunningAcknowledged).unwrap();
        assert!(step(&mut state, 0, Phase::FinishedSent, Phase::FinishedAcknowledged).is_err());
    }
}
