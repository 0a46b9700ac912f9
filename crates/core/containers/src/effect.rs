//! What the machine wants done. The edge does it and, where an outcome is due, brings it back as an `Event`.

use std::collections::BTreeMap;
use std::panic::Location;

use messor_proto::mesos::slave::ContainerTermination;
use messor_stdx::{Duration, Level};
use messor_types::ContainerId;

use crate::event::{Kind, Ticket};

/// A step in the life of a container. Isolators are numbers: places in the list of all.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Note durably what it is to be (the next agent cleans up by that), and make its sandbox.
    Begin,
    Provision,
    Prepare(usize),
    /// Start its first process, which waits before its program runs; note its pid durably.
    Fork,
    Isolate(usize),
    /// Tell all of these of new resources.
    Update(Vec<usize>),
    Fetch,
    /// Its program runs from now on.
    GoOn,
    /// Kill every process of it, wait for their end, and note how the first one ended.
    KillAll,
    CleanUp(usize),
    Unprovision,
    /// Nothing is left but what is kept of it. Of a nested one its end is noted durably, for as long as its root lives;
    /// of others all that is kept goes.
    Finish(Box<ContainerTermination>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Answered by `Event::Done`.
    Do {
        container: ContainerId,
        run: u64,
        step: Step,
    },
    /// Tell the isolators of new resources of a running container, which are there before the container is told of
    /// anything else. The edge itself tells whoever asked when it fails.
    Update {
        container: ContainerId,
        isolators: Vec<usize>,
    },
    /// From now on, say `Event::Exited` when the first process has ended.
    Watch {
        container: ContainerId,
        run: u64,
        pid: i32,
    },
    /// The fetch that is under way is not wanted any more; its outcome still comes.
    StopFetch {
        container: ContainerId,
    },
    /// Send a signal to the first process; the edge answers the ticket.
    Signal {
        container: ContainerId,
        pid: i32,
        signal: i32,
        ticket: Ticket,
    },
    /// Remove all files of an ended container. Answered by `Event::Removed`.
    Remove {
        container: ContainerId,
        ticket: Ticket,
    },
    /// Find what an agent of before left. Answered by `Event::Looked`.
    Look {
        known: Vec<ContainerId>,
    },
    /// Parents come before their children. Answered by `Event::IsolatorsRecovered`.
    RecoverIsolators {
        going_on: Vec<ContainerId>,
        orphans: Vec<ContainerId>,
    },
    /// After this time, `Event::Retry`.
    RetryLater {
        container: ContainerId,
        run: u64,
        after: Duration,
    },
    Answer {
        ticket: Ticket,
        answer: Answer,
    },
    /// A container that was launched, or that `Recovered` named, has ended, and nothing of it is left. Said once.
    Ended {
        container: ContainerId,
        kind: Kind,
        termination: Box<ContainerTermination>,
    },
    /// What is to be destroyed is not there.
    NotThere {
        container: ContainerId,
    },
    /// The containers that go on, with their process; None: `Ended` follows. Of all others that were known nothing is
    /// left. `destroyed`: how many were of no known executor.
    Recovered {
        running: BTreeMap<ContainerId, Option<i32>>,
        destroyed: usize,
    },
    RecoveryFailed {
        message: String,
    },
    Log {
        level: Level,
        line: String,
        at: &'static Location<'static>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// None: its program could not be executed, and its end follows.
    Launched {
        pid: Option<i32>,
    },
    Exists,
    NoParent,
    Invalid(String),
    /// Of a launch: it is gone again, and no `Ended` comes.
    Failed {
        failure: Failure,
        message: String,
    },
    Ended(Box<ContainerTermination>),
    Removed,
    NotFound,
    /// It was launching: it is destroyed instead of being signalled.
    Signalled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    Fetch,
    Other,
}
