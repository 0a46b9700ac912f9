//! What the machine is told and what it wants done: its events and effects. It must not know how either comes about.

use messor_linux::Exit;
use messor_proto::mesos::TaskInfo;
use messor_proto::mesos::executor::Call;

use crate::shared::agent::Heard;
use crate::shared::check::{Outcome, Probe, Which};
use crate::shared::conversation::Word;

#[derive(Clone, Debug)]
pub enum Event {
    /// Something came of the connections with the agent.
    Heard(Heard),
    /// The command runs, as this process.
    Started(i32),
    /// The command could not be executed.
    NotStarted(String),
    /// The command's first process ended.
    Ended(Exit),
    Measured(Which, Outcome),
    /// Somebody wants this executor to end.
    Terminate,
    /// A deadline has come, perhaps.
    Tick,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Open both connections; those that are open are closed.
    Open,
    Send(Box<Call>),
    /// Start the command; answered at once by `Started` or `NotStarted`.
    Start(Box<TaskInfo>),
    /// SIGTERM to the task and all below it.
    Terminate,
    /// SIGKILL to the task and all below it, and to what it left behind.
    Kill,
    Probe(Which, Probe),
    StopProbe(Which),
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
