//! What happens to a log: messages, results of the disk, commands of whoever writes and reads, timers.

use std::collections::BTreeSet;

use messor_proto::mesos::internal::log::Action;
use messor_types::Pid;

use crate::restored::Restored;

#[derive(Clone, Debug)]
pub enum Event {
    /// First of all: what the store found on the disk. Everything before it but `Members` is refused or dropped.
    Restored(Box<Restored>),
    /// A libprocess message. `to` is the own process id that was addressed: the replica's or a request's.
    Message { from: Pid, to: String, name: String, body: Vec<u8> },
    /// The replicas of the network, as ZooKeeper's group says. The own one is always taken to be among them; without
    /// ZooKeeper this event never comes.
    Members(BTreeSet<Pid>),
    /// The outcome of `Effect::Persist`. A store that failed once is not trusted again: the machine stops.
    Persisted { ticket: u64, outcome: Result<(), String> },
    /// The outcome of `Effect::Read`: the actions of the range in order. The store may stop early when it has read
    /// much (some 16 MB), but gives one at least.
    Read { ticket: u64, outcome: Result<Vec<Action>, String> },
    /// Answered by `Effect::Done` with the same ticket, once and for each. Tickets are the caller's own.
    Command { ticket: u64, command: Command },
    /// A timer that `Effect::SetTimer` set.
    Timer(Timer),
}

/// What the writer (the registrar) and readers ask for. All of them wait until the replica may vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Become the one writer, or make sure to be it still. Is tried again, with pauses, until it succeeds or `Demote`
    /// comes; afterwards all that was chosen so far can be read here. Answered by `Answer::Elected`.
    Elect,
    /// Answered by `Answer::Written` once a quorum has it on disk. Writes are done one after another.
    Append(Vec<u8>),
    /// All positions before `to` may be forgotten. Answered by `Answer::Written`.
    Truncate { to: u64 },
    /// The entries of `from..=to`. The positions must have been learned here: after `Elect` or `CatchUp`.
    /// Answered by `Answer::Entries`.
    Read { from: u64, to: u64 },
    /// The first and the last position. Answered by `Answer::Ends`.
    Ends,
    /// Learn what was chosen, without becoming the writer and without disturbing it. Answered by `Answer::CaughtUp`.
    CatchUp,
    /// Be no writer any more; an election or write under way ends with a failure. Answered by `Answer::Demoted`.
    Demote,
}

/// Who runs rounds of the protocol. Each has one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum User {
    Recovery,
    Writer,
    Reader,
}

/// Timers that the machine sets. Setting one again moves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A round did not get its answers in time.
    Round(User),
    /// The pause before another try is over.
    Retry(User),
}
