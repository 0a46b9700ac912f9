//! mesos-executor, the command executor: it runs and checks one task and speaks to the agent over the v1 executor API.
//!
//! One thread, no asynchronous runtime: an idle executor costs little more than its page tables. `command::machine`
//! decides, without I/O; `command::program` carries out.

mod command;

pub use command::command_executor;
