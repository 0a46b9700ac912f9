//! Starting a process in a container: namespaces, mounts, a root of its own, capabilities, seccomp filters.
//!
//! [`Process`] is the whole plan, in plain types. It is carried out step by step in a process forked for it, by ordinary
//! code: so whoever forks has one thread only (the warden, or `mesos-containerizer launch`). A step that fails is told with
//! its name and the kernel's error. What a task, an isolator or a protobuf is, is not known here.

mod child;
mod descriptors;
mod error;
mod filter;
mod fork;
mod init;
mod mounting;
mod process;
mod report;

pub use error::{StartError, Step};
pub use fork::{Forked, Status};
pub use process::{
    Before, CapabilityRequest, Enter, FileOperation, Kept, Mount, Namespaces, Process, Seccomp, Stream,
};
pub use report::Progress;
