//! The v1 reads that are long, as protobuf: written from where things are, without a message that has copies of all of them.
//! The bytes are those of the messages of [`super::reads`], which a test compares.

use std::sync::Arc;

use bytes::Bytes;
use messor_master_core::{FrameworkView, View};
use messor_proto::mesos::Task;
use messor_proto::mesos::master::{Event, Response, event, response};
use messor_proto::{Message, Sink, Wire, raw};
use messor_stdx::{Blocks, Memo, Part};

use super::{lists, model, reads};

/// The rendering slot of blocks of tasks and of agents.
const SLOT: usize = 2;

/// A message in pieces.
#[derive(Default)]
struct Pieces {
    all: Vec<Bytes>,
    length: usize,
}

/// Answers of fewer bytes go out whole, with their length.
const SHORT_BYTES: usize = 256 * 1024;

impl Pieces {
    fn push(&mut self, piece: impl Into<Bytes>) {
        let piece = piece.into();
        self.length += piece.len();
        self.all.push(piece);
    }

    /// A field that is a message.
    fn field(&mut self, number: u32, message: Pieces) {
        let mut head = Vec::new();
        raw::put_head(&mut head, number, message.length);
        self.push(head);
        self.length += message.length;
        self.all.extend(message.all);
    }

    /// What the sink has not got.
    fn written(self, sink: Option<Sink>) -> Vec<u8> {
        match sink {
            Some(sink) if self.length >= SHORT_BYTES => {
                self.all.into_iter().for_each(sink);
                Vec::new()
            }
            _ => self.whole(),
        }
    }

    fn whole(self) -> Vec<u8> {
        let mut whole = Vec::with_capacity(self.length);
        self.all.iter().for_each(|piece| whole.extend_from_slice(piece));
        whole
    }
}

fn one_field(number: u32, message: Pieces) -> Pieces {
    let mut all = Pieces::default();
    all.field(number, message);
    all
}

/// The numbers of lists of tasks in GetTasks.
const TASKS: u32 = 2;
const COMPLETED: u32 = 3;
const UNREACHABLE: u32 = 5;

fn written(tasks: &[Arc<Memo<Task>>], number: u32) -> Vec<u8> {
    let mut all = Vec::with_capacity(tasks.len() * 320);
    for task in tasks {
        let task: &Task = task;
        raw::put_head(&mut all, number, task.encoded_len());
        task.encode_raw(&mut all);
    }
    all
}

fn living(pieces: &mut Pieces, number: u32, tasks: &[Arc<Memo<Task>>]) {
    lists::in_parts(tasks, |part| written(part, number), |part| pieces.push(part));
}

fn over(pieces: &mut Pieces, tasks: &Blocks<Memo<Task>>) {
    let write = |all: &[Arc<Memo<Task>>]| written(all, COMPLETED);
    lists::each_part(tasks, SLOT, write, |part| match part {
        Part::Full(block) => pieces.push(lists::rendering(block, SLOT, write)),
        Part::Some(some) => pieces.push(write(some)),
    });
}

fn tasks(view: &View) -> Pieces {
    let all = || view.frameworks.iter().chain(&view.completed_frameworks);
    let mut pieces = Pieces::default();
    let mut living = |number, list: fn(&FrameworkView) -> &[Arc<Memo<Task>>]| {
        all().for_each(|framework| living(&mut pieces, number, list(framework)));
    };
    living(TASKS, |framework| &framework.tasks);
    all().for_each(|framework| over(&mut pieces, &framework.completed_tasks));
    all().for_each(|framework| self::living(&mut pieces, UNREACHABLE, &framework.unreachable_tasks));
    pieces
}

fn agents(view: &View) -> Pieces {
    let mut all = Vec::new();
    for agent in &view.agents {
        all.extend_from_slice(agent.rendering(SLOT, |agent| {
            response::GetAgents { agents: vec![model::agent(agent)], ..Default::default() }.encode_bytes()
        }));
    }
    let recovered_agents = view.recovered_agents.iter().map(|info| info.as_ref().clone()).collect();
    all.extend(response::GetAgents { recovered_agents, ..Default::default() }.encode_bytes());
    let mut pieces = Pieces::default();
    pieces.push(all);
    pieces
}

fn state(view: &View) -> Pieces {
    let mut pieces = one_field(1, tasks(view));
    let rest = response::GetState {
        get_executors: Some(reads::get_executors(view)),
        get_frameworks: Some(reads::get_frameworks(view)),
        ..Default::default()
    };
    pieces.push(rest.encode_bytes());
    pieces.field(4, agents(view));
    pieces
}

/// The answer to a read, or what the sink has not got of it; None for reads that are short.
pub fn answer(kind: response::Type, view: &View, sink: Option<Sink>) -> Option<Vec<u8>> {
    use response::Type;
    let (number, message) = match kind {
        Type::GetState => (9, state(view)),
        Type::GetAgents => (10, agents(view)),
        Type::GetTasks => (13, tasks(view)),
        _ => return None,
    };
    let mut pieces = Pieces::default();
    pieces.push(Response { r#type: Some(kind.into()), ..Default::default() }.encode_bytes());
    pieces.field(number, message);
    Some(pieces.written(sink))
}

/// The first event of an operator's stream.
pub fn subscribed(view: &View, heartbeat_secs: f64) -> Vec<u8> {
    let mut subscribed = one_field(1, state(view));
    let rest = event::Subscribed { heartbeat_interval_seconds: Some(heartbeat_secs), ..Default::default() };
    subscribed.push(rest.encode_bytes());
    let mut pieces = Pieces::default();
    pieces.push(Event { r#type: Some(event::Type::Subscribed.into()), ..Default::default() }.encode_bytes());
    pieces.field(2, subscribed);
    pieces.whole()
}
