//! The replicated log of Apache Mesos as a deterministic machine: Paxos over the positions of a log.
//!
//! [`Log`] is a replica (it promises, accepts and learns), a writer (elected by a quorum's promises; appends and
//! truncates) and a reader in one. Its messages are those of Apache Mesos 1.11.0, so replicas of both sit in one quorum.
//! It must not know sockets, files, clocks, ZooKeeper, or what the entries mean: events come in, effects go out.

mod catch_up;
mod config;
mod core;
mod disk;
mod effect;
mod event;
mod log;
mod message;
mod network;
mod positions;
mod reader;
mod recovery;
mod replica;
mod restored;
mod tally;
mod turn;
mod writer;

pub use config::{Config, MAX_ENTRY_BYTES, MAX_WAITING, ROUND_TIMEOUT, SETTLE};
pub use effect::{Answer, Effect, Entry, Failure, Level, Write};
pub use event::{Command, Event, Timer, User};
pub use log::Log;
pub use positions::Positions;
pub use restored::{RecordError, Restored};
