//! mesos, mesos-execute, mesos-resolve, and the small programs mesos-ps, mesos-cat, mesos-tail, mesos-scp and mesos-usage.
//!
//! Short-lived programs of one thread over blocking sockets: they wait for one stream and for signals, so a runtime
//! would only make them slower to start.

mod client;
mod console;
mod execute;
mod master;
mod output;
mod package;
mod resolve;
mod scheduler;
mod session;
mod small;
mod task;
mod waiting;

pub use console::{completion, manual, mesos};
pub use execute::{ExecuteError, execute, run as execute_with};
pub use resolve::{ResolveError, resolve, run as resolve_with};
pub use small::{cat, ps, scp, tail, usage};
