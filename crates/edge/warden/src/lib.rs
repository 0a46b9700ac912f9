//! The warden: one small process an agent, of a single thread, that forks the agent's containers, reaps them, and notes how
//! they ended before it tells.
//!
//! It outlives the agent, and the next agent finds it at a socket in `--runtime_dir`; so no launcher process stands beside
//! each container, and no exit status is lost with an agent. The rejected alternative is Apache Mesos's: a launcher for
//! every container, which costs a process start and some megabytes each. What a container is to its isolators is
//! not known here.

mod client;
mod encoding;
mod listening;
mod message;
mod plan;
mod server;
mod socket;
mod starting;
mod watching;

pub use client::{Config, Ended, Event, Held, Known, Start, Warden, WardenError};
pub use messor_linux::container::StartError;
pub use server::main;
