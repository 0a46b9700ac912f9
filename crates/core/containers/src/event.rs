//! What happens to containers: everything the machine learns comes in as one of these.

use messor_proto::mesos::slave::{ContainerLimitation, ContainerTermination};
use messor_types::ContainerId;

use crate::effect::Step;

/// A request that waits for one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What an isolator takes part in. Isolators are known by their place in the list that the machine is made with, which
/// is the order they prepare in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsolatorTraits {
    pub nesting: bool,
    pub standalone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Executor,
    /// Launched by an operator, of no executor.
    Standalone,
    Nested,
    /// Nested, for a session of an operator: it does not outlive the agent that began it.
    Debug,
}

impl Kind {
    pub fn is_nested(self) -> bool {
        matches!(self, Kind::Nested | Kind::Debug)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spec {
    pub kind: Kind,
    /// Its file system is an image that has to be provisioned.
    pub image: bool,
    /// Something has to be fetched into its sandbox.
    pub fetches: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Answered by `Launched`, `Exists`, `NoParent`, `Invalid` or `Failed`.
    Launch { container: ContainerId, spec: Spec, ticket: Ticket },
    /// Somebody wants it to end. Where there is none, `Effect::NotThere` says so.
    Destroy { container: ContainerId },
    /// It went beyond what it may, and ends for that.
    Limited { container: ContainerId, limitation: ContainerLimitation },
    /// Its resources or limits are others now.
    Update { container: ContainerId },
    /// Answered by `Signalled`, `NotFound` or `Failed`.
    Kill { container: ContainerId, signal: i32, ticket: Ticket },
    /// Answered by `Ended` when it has, or by `NotFound`.
    Wait { container: ContainerId, ticket: Ticket },
    /// Forget an ended container with all its files. Answered by `Removed`, `NotFound` or `Failed`.
    Remove { container: ContainerId, ticket: Ticket },
    /// What `Effect::Remove` asked for.
    Removed { container: ContainerId, ticket: Ticket, outcome: Result<(), String> },
    /// What `Effect::Do` asked for. `run` is the number that the effect had.
    Done { container: ContainerId, run: u64, step: Step, outcome: Outcome },
    /// The first process of a container that runs has ended; how is noted.
    Exited { container: ContainerId, run: u64 },
    /// The time that `Effect::RetryLater` asked for is over.
    Retry { container: ContainerId, run: u64 },
    /// Before anything else, and once: take up what the agent of before left. `known` are the containers of executors
    /// that the agent knows of.
    Recover { known: Vec<ContainerId> },
    /// What `Effect::Look` asked for.
    Looked(Result<Vec<Found>, String>),
    /// What `Effect::RecoverIsolators` asked for.
    IsolatorsRecovered(Result<(), String>),
}

/// How a step went.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Done,
    /// Of `Fork`: its process is there, is noted, and waits.
    Forked {
        pid: i32,
    },
    /// Of `GoOn`: its program could not be executed, and the process is gone with this wait status.
    NotExecuted {
        status: i32,
    },
    /// Of `KillAll`: no process is left; the wait status of the first, where it is known.
    Killed {
        status: Option<i32>,
    },
    Failed(String),
}

/// A container that an agent of before began.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub container: ContainerId,
    pub kind: Kind,
    pub process: Process,
    /// How its process ended, where that was noted.
    pub status: Option<i32>,
    /// It had ended and was cleaned up: this was noted then.
    pub termination: Option<ContainerTermination>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    Runs(i32),
    /// It ended, or never came to be.
    None,
}
