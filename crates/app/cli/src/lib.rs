//! mesos, mesos-execute and mesos-resolve.
//!
//! Short-lived programs of one thread over blocking sockets: they wait for one stream and for signals, so a runtime
//! would only make them slower to start.

mod client;
mod console;
mod execute;
mod master;
mod output;
mod resolve;
mod scheduler;
mod session;
mod task;

pub use console::mesos;
pub use execute::{ExecuteError, execute, run as execute_with};
pub use resolve::{ResolveError, resolve, run as resolve_with};
