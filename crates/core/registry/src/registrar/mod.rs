//! The registrar: makes operations on the registry durable in a log.
//!
//! Every version of the registry is one entry of the log, and the newest entry is the registry: entries before it are
//! truncated. Entries are those of `state::LogStorage` of Apache Mesos, so that either program reads the other's log.
//!
//! It must not know what a log is made of (it knows its commands and answers), nor why a change is wanted.

mod entry;
mod machine;
mod memory;
mod port;

pub use machine::Registrar;
pub use memory::MemoryLog;
pub use port::{RegistrarConfig, RegistrarEffect, RegistrarEvent, RegistrarTimer};
