//! The agent's meta directory (`work_dir/meta`): what must outlive the agent, in the layout and formats of Apache
//! Mesos 1.11.0, so that either agent takes over what the other left.
//!
//! [`Recorder`] writes, in the order in which it is asked, on a thread of its own; [`read`] reads what an agent of
//! before left; [`WorkDirLock`] keeps two agents apart. What the records mean is the agent machine's to know.

mod files;
mod form;
mod layout;
mod lock;
mod reader;
mod recorder;
mod steps;
mod volumes;

pub use files::{FileError, read_optional, write_file, write_message};
pub use layout::{Layout, PathError};
pub use lock::{LockError, WorkDirLock};
pub use reader::{Expectation, ReadError, read};
pub use recorder::Recorder;
