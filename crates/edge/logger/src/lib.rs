//! The rotating logger of containers.
//!
//! A container's standard output and error each go through a pipe to a `mesos-logrotate-logger`, which appends to a file
//! of the sandbox and has `logrotate` move it aside before it grows beyond its size. It runs in a session of its own, as
//! the container's user, and outlives the agent; it ends when everybody who could write to the pipe has ended.
//!
//! The task may write in the directory of its logs. So nothing that decides what is done is kept there: `logrotate` gets
//! its configuration from memory that nobody else can write, keeps no state, and the log is not opened through a link.
//!
//! It must not know containers or agents: it is told a file, a size and a user.

mod options;
mod program;
mod rotation;
mod settings;

pub use program::main;
pub use settings::{MODULE, Settings, SettingsError, Stream};
