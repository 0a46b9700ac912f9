//! Isolators of namespaces: whose processes and whose shared memory a container sees.

mod ipc;
mod pid;

pub use ipc::Ipc;
pub use pid::Pid;
