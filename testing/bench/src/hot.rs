//! The paths that a loaded master goes most, each as one piece of work on what was made ready before: how many
//! instructions it takes is counted by `counts`. Each checks what came of it.

use std::collections::BTreeMap;

use messor_http_api::master::state::state;
use messor_http_api::{BuildInfo, ProgramInfo};
use messor_master_core::{Config, Effect, Event, Master, Message};
use messor_proto::mesos::MasterInfo;
use messor_proto::mesos::internal::{ReregisterAgentMessage, StatusUpdateMessage};
use messor_proto::mesos::master::response::GetTasks;
use messor_proto::mesos::scheduler::{Call, call};
use messor_proto::{Version, Wire};
use messor_stdx::Time;
use messor_types::{Pid, Role};

use crate::allocator::cluster::{Cluster, add_agent, add_framework, resources};
use crate::samples;
use crate::scheduler::framework;

/// What is left to do, and how large the result is to be.
type Work = Box<dyn FnOnce() -> usize>;

pub struct Path {
    pub name: &'static str,
    /// What is counted, in words.
    pub what: &'static str,
    prepare: fn() -> Result<(Work, usize), String>,
}

pub const PATHS: [Path; 7] = [
    Path { name: "decode-updates", what: "500 status updates are decoded", prepare: decode_updates },
    Path {
        name: "decode-agents",
        what: "50 agents that come back with 10 tasks each are decoded",
        prepare: decode_agents,
    },
    Path { name: "write-tasks", what: "500 tasks become JSON", prepare: write_tasks },
    Path {
        name: "allocate",
        what: "an allocation of 200 agents that changed among 20 frameworks",
        prepare: allocate,
    },
    Path {
        name: "reregister",
        what: "a master takes back 50 agents with 10 tasks each",
        prepare: reregister,
    },
    Path { name: "update", what: "a master passes on 500 updates of tasks that end", prepare: update },
    Path {
        name: "state",
        what: "/state of 50 agents and 500 tasks, nothing of it remembered",
        prepare: show_state,
    },
];

const AGENTS: usize = 50;
const TASKS_PER_AGENT: usize = 10;
const TASKS: usize = AGENTS * TASKS_PER_AGENT;

/// What callgrind counts begins and ends here: it knows this function by its name.
#[inline(never)]
pub fn counted(work: Work) -> usize {
    std::hint::black_box(work())
}

/// Goes this path once.
pub fn walk(name: &str) -> Result<(), String> {
    let path = PATHS.iter().find(|path| path.name == name);
    let (work, expected) = (path.ok_or_else(|| format!("there is no path '{name}'"))?.prepare)()?;
    let result = counted(work);
    if result != expected { Err(format!("{name}: {result} instead of {expected}")) } else { Ok(()) }
}

fn agent_pid(agent: usize) -> Pid {
    format!("slave(1)@10.0.{}.{}:5051", agent / 250, agent % 250 + 1).parse().expect("a PID")
}

fn scheduler_pid() -> Pid {
    "scheduler-1@10.9.0.1:4000".parse().expect("a PID")
}

fn decode_updates() -> Result<(Work, usize), String> {
    let all: Vec<Vec<u8>> = (0..TASKS).map(|number| finished(number).encode_bytes()).collect();
    let read = move || all.iter().filter(|bytes| StatusUpdateMessage::decode_checked(bytes).is_ok()).count();
    Ok((Box::new(read), TASKS))
}

fn decode_agents() -> Result<(Work, usize), String> {
    let all: Vec<Vec<u8>> =
        (0..AGENTS).map(|agent| samples::reregistration(agent, TASKS_PER_AGENT).encode_bytes()).collect();
    let read = move || {
        let read = all.iter().filter_map(|bytes| ReregisterAgentMessage::decode_checked(bytes).ok());
        read.map(|message| message.tasks.len()).sum()
    };
    Ok((Box::new(read), TASKS))
}

fn write_tasks() -> Result<(Work, usize), String> {
    let tasks = (0..TASKS).map(|number| samples::task(number, number / TASKS_PER_AGENT)).collect();
    let answer = GetTasks { tasks, ..Default::default() };
    let expected = answer.to_json(Version::V1).len();
    Ok((Box::new(move || answer.to_json(Version::V1).len()), expected))
}

fn allocate() -> Result<(Work, usize), String> {
    let mut cluster = Cluster::new();
    cluster.tell((0..20).map(|number| add_framework(number, &Role::star())));
    let total = resources("cpus:24;mem:4096;disk:4096;ports:[31000-32000]");
    cluster.tell((0..200).map(|number| add_agent(number, total.clone(), BTreeMap::new())));
    cluster.no_offers()?;
    let work = move || {
        cluster.tick();
        cluster.offers().map_or(0, |offers| offers.len())
    };
    Ok((Box::new(work), 200))
}

/// A master with the registry at its side, as the edges are: what it wants stored is stored at once.
struct Machine {
    master: Master,
    now: Time,
    /// Messages that it sent.
    sent: usize,
}

impl Machine {
    fn new() -> Machine {
        let info = MasterInfo { id: "bench".to_string(), port: 5050, ..Default::default() };
        let now = Time::from_nanos(1_700_000_000_000_000_000);
        let mut machine = Machine { master: Master::new(Config::new(info), now), now, sent: 0 };
        machine.handle(Event::Elected { registry: Box::default() });
        machine
    }

    fn handle(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut effects = Vec::new();
            self.master.handle(self.now, event, &mut effects);
            for effect in effects {
                match effect {
                    Effect::Store { ticket, .. } => events.push(Event::Stored { ticket, outcome: Ok(true) }),
                    Effect::Send { .. } => self.sent += 1,
                    _ => {}
                }
            }
        }
    }

    fn tell<M: Wire>(&mut self, from: Pid, body: Vec<u8>) {
        self.handle(Event::Message { from, message: Message::read(M::NAME, &body) });
    }

    fn running(&self) -> usize {
        self.master
            .view_without_metrics(self.now)
            .frameworks
            .iter()
            .map(|framework| framework.tasks.len())
            .sum()
    }
}

fn returning() -> Vec<(Pid, Vec<u8>)> {
    (0..AGENTS)
        .map(|agent| (agent_pid(agent), samples::reregistration(agent, TASKS_PER_AGENT).encode_bytes()))
        .collect()
}

fn finished(number: usize) -> StatusUpdateMessage {
    let agent = number / TASKS_PER_AGENT;
    samples::finished(number, agent, &agent_pid(agent).to_string())
}

fn with_agents() -> Machine {
    let mut machine = Machine::new();
    for (from, body) in returning() {
        machine.tell::<ReregisterAgentMessage>(from, body);
    }
    machine
}

fn reregister() -> Result<(Work, usize), String> {
    let mut machine = Machine::new();
    let all = returning();
    let work = move || {
        for (from, body) in all {
            machine.tell::<ReregisterAgentMessage>(from, body);
        }
        machine.running()
    };
    Ok((Box::new(work), TASKS))
}

fn update() -> Result<(Work, usize), String> {
    let mut machine = with_agents();
    let info = framework(Some(samples::FRAMEWORK_ID));
    let subscribe = Call {
        framework_id: info.id.clone(),
        r#type: Some(call::Type::Subscribe as i32),
        subscribe: Some(call::Subscribe { framework_info: info, force: Some(true), ..Default::default() }),
        ..Default::default()
    };
    machine.tell::<Call>(scheduler_pid(), subscribe.encode_bytes());
    let all: Vec<(Pid, Vec<u8>)> = (0..TASKS)
        .map(|number| (agent_pid(number / TASKS_PER_AGENT), finished(number).encode_bytes()))
        .collect();
    let work = move || {
        machine.sent = 0;
        for (from, body) in all {
            machine.tell::<StatusUpdateMessage>(from, body);
        }
        machine.sent
    };
    Ok((Box::new(work), TASKS))
}

fn show_state() -> Result<(Work, usize), String> {
    let build = BuildInfo { version: "1.11.0", ..BuildInfo::default() };
    let program = ProgramInfo { build, flags: Vec::new() };
    // What is printed once is remembered, so the size is taken from another one.
    let twin = with_agents();
    let expected = state(&twin.master.view_without_metrics(twin.now), &program, None).len();
    let machine = with_agents();
    let work = move || state(&machine.master.view_without_metrics(machine.now), &program, None).len();
    Ok((Box::new(work), expected))
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_path_can_be_gone() {
        for path in super::PATHS {
            super::walk(path.name).unwrap();
        }
        assert!(super::walk("nowhere").is_err());
    }
}
