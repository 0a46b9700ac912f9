//! Who leads, decided over ZooKeeper: a contender that wants to lead, a detector that wants to know who does, and a group
//! whose members want to know each other. All three are machines over an abstract ZooKeeper client.
//!
//! The znodes are those of Apache Mesos: below the path of --zk each master has an ephemeral sequential
//! `json.info_<10 digits>` with its MasterInfo, and the lowest one leads; below `<path>/log_replicas` each replica of the log
//! has one named by its digits alone, with its PID as text.
//!
//! A leader acts only for as long as it can be sure, by its own clock, that its session has not expired on the servers. It
//! counts from when it sent the last request that the servers' leader answered, so that losing a connection unnoticed does
//! not prolong anything. Apache Mesos counts a whole session timeout from when it notices, which lets two lead for a while.
//!
//! This crate must not know sockets, JSON, or what a master does when it leads.

mod client;
mod contender;
mod detector;
mod engine;
mod group;
mod names;
mod outcome;
mod roster;
mod turn;
mod url;

pub use client::{
    Acl, Effect, Event, Level, Machine, Reply, Request, RequestError, SessionEvent, SessionId, Ticket, Timer,
};
pub use contender::Contender;
pub use detector::Detector;
pub use engine::Config;
pub use group::Group;
pub use outcome::{ContenderOutcome, DetectorOutcome, Format, GroupOutcome, Leader};
pub use url::{Url, UrlError};
