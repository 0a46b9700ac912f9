//! What the machine is told and what it wants done: its events and effects. It must not know how either comes about.

use messor_linux::Exit;
use messor_proto::mesos::TaskInfo;
use messor_proto::mesos::executor::{Call, Event as AgentEvent};
use messor_stdx::Time;

use super::check::{Outcome, Probe, Which};

/// A point in time on two clocks: timers go by the steady one, what is told by the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub steady: Time,
    pub wall: Time,
}

#[derive(Clone, Debug)]
pub enum Event {
    /// Both connections with the agent stand.
    Opened,
    /// A connection broke or could not be made.
    Lost(String),
    /// The agent answered SUBSCRIBE with this HTTP status.
    Refused(u16),
    /// The agent answered another call with this HTTP status: it is not going to take it.
    CallRefused(u16),
    /// The agent said this.
    Agent(Box<AgentEvent>),
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
