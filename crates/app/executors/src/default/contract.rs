//! What the machine is told and what it wants done: its events and effects. It must not know how either comes about.

use messor_proto::mesos::agent::Call as AgentCall;
use messor_proto::mesos::executor::Call;

use crate::shared::agent::Heard;
use crate::shared::check::{Outcome, Probe, Which};
use crate::shared::conversation::Word;

/// The id of a task.
pub type Task = String;

/// A call to the agent's own API, by what it is for. There is one of each at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    Launch(Task),
    Wait(Task),
    /// With the signal.
    Kill(Task, i32),
    /// Which containers there are.
    Containers,
}

/// What the agent answered: the HTTP status, and the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

#[derive(Clone, Debug)]
pub enum Event {
    /// Something came of the connections with the executor API.
    Heard(Heard),
    /// The answer to a question; an error where its connection broke or could not be made.
    Answered(Question, Result<Answer, String>),
    /// A check has a result; None: it could not be carried out, for a reason that is not the task's.
    Measured(Task, Which, Option<Outcome>),
    /// Somebody wants this executor to end.
    Terminate,
    /// A deadline has come, perhaps.
    Tick,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Open the connections with the executor API; those that are open are closed.
    Open,
    Send(Box<Call>),
    /// Ask the agent, on a connection of its own.
    Ask(Question, Box<AgentCall>),
    /// The answers to all that was asked are of no use any more.
    ForgetQuestions,
    /// Make the sandbox of the task's container reachable by the task's id.
    Show {
        task: Task,
        container: String,
    },
    /// A check of the task in this container; the one before it is over.
    Probe {
        task: Task,
        container: Box<messor_proto::mesos::ContainerId>,
        which: Which,
        probe: Probe,
    },
    StopProbe(Task, Which),
    Say(String),
    Exit {
        success: bool,
    },
}

impl From<Word> for Effect {
    fn from(word: Word) -> Effect {
        match word {
            Word::Open => Effect::Open,
            Word::Send(call) => Effect::Send(call),
            Word::Say(text) => Effect::Say(text),
        }
    }
}
