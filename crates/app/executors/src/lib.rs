//! mesos-executor, the command executor, which runs and checks one task, and mesos-default-executor, which has the agent run
//! groups of tasks in nested containers. Both speak to the agent over the v1 executor API.
//!
//! One thread, no asynchronous runtime: an idle executor costs little more than its page tables. `machine` decides, without
//! I/O; `program` carries out.

mod command;
mod default;
mod shared;
mod tcp_connect;

pub use command::command_executor;
pub use default::default_executor;
pub use tcp_connect::tcp_connect;
