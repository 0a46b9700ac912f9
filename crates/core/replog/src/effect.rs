//! What a log wants done. The edge does it and, where an answer is due, brings it back as an `Event`.

use std::panic::Location;

use messor_proto::mesos::internal::log::{Action, Metadata};
pub use messor_stdx::Level;
use messor_stdx::Time;
use messor_types::Pid;

use crate::event::Timer;

#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A libprocess message from the own process `from`: `log-replica(1)`, or one of a request, which gets the answer.
    /// The machine never sends to itself.
    Send {
        from: String,
        to: Pid,
        name: &'static str,
        body: Vec<u8>,
    },
    /// No answer is waited for at this own process id any more.
    Close {
        from: String,
    },
    /// Make it durable (synced). The store carries out `Persist` and `Read` in the order in which they were given, and
    /// says `Event::Persisted` in that order too; it may sync several at once. After a crash it has some first part of
    /// what it was given, with all that it had called persisted.
    Persist {
        ticket: u64,
        write: Write,
    },
    /// Read the actions of `from..=to`; answered by `Event::Read`.
    Read {
        ticket: u64,
        from: u64,
        to: u64,
    },
    /// A command is over.
    Done {
        ticket: u64,
        outcome: Result<Answer, Failure>,
    },
    SetTimer {
        timer: Timer,
        at: Time,
    },
    CancelTimer {
        timer: Timer,
    },
    /// The store failed. The machine answers nothing from now on, for what is on its disk is unknown: end the program,
    /// or at least restore a new machine from the disk.
    Failed {
        reason: String,
    },
    Log {
        level: Level,
        line: String,
        /// Where in the machine it was said, which the log shows.
        at: &'static Location<'static>,
    },
}

/// One record for the disk.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    Metadata(Metadata),
    /// Replaces what is at its position.
    Action(Box<Action>),
    /// Replaces what is at its position; then, or with it, the positions before `below` are removed.
    Truncating {
        action: Box<Action>,
        below: u64,
    },
}

impl Write {
    /// About as many bytes as it takes.
    pub fn cost(&self) -> usize {
        const RECORD: usize = 64;
        match self {
            Write::Metadata(_) => RECORD,
            Write::Action(action) | Write::Truncating { action, .. } => {
                RECORD + action.append.as_ref().map_or(0, |append| append.bytes.len())
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// All of `begin..=end` is learned here; the next write is at `end + 1`.
    Elected {
        begin: u64,
        end: u64,
    },
    Written {
        position: u64,
    },
    /// Positions of the range that have no entry (no-ops, truncations) are left out. `next` says where to read on
    /// when the range was more than is read at once.
    Entries {
        entries: Vec<Entry>,
        next: Option<u64>,
    },
    Ends {
        begin: u64,
        end: u64,
    },
    /// All up to `end` that is not truncated is learned here.
    CaughtUp {
        end: u64,
    },
    Demoted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub position: u64,
    pub bytes: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("this replica is not the writer of the log: it was not elected")]
    NotLeading,
    #[error(
        "another writer of the log was elected; whether this write was done shows only after a new election"
    )]
    Lost,
    #[error("the writer was demoted")]
    Demoted,
    #[error("too much is waiting in the log already (more than {0})")]
    Busy(usize),
    #[error("an entry of {bytes} bytes is larger than the log takes ({limit} bytes)")]
    TooLarge { bytes: usize, limit: usize },
    #[error("bad range {from} to {to}: {problem}")]
    Range { from: u64, to: u64, problem: &'static str },
    #[error("cannot catch up: {0}")]
    CatchUp(&'static str),
    #[error("the log's storage failed: {0}")]
    Storage(String),
}
