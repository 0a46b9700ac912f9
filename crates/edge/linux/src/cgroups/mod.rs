//! Control groups, version 1 (a hierarchy a controller) and version 2 (one for all): where they are, groups in them, their
//! files, and word of memory that ran out.
//!
//! It must not know containers, resources, or which file of a controller means what. Everything but the listening goes
//! through [`Store`], so that what writes to groups is tested without a kernel that has them.

mod devices;
mod fake;
mod group;
mod hierarchies;
mod kill;
mod listener;
mod store;

pub use devices::DeviceRule;
pub use fake::Fake;
pub use group::Group;
pub use hierarchies::{Hierarchies, HierarchyError, Version};
pub use kill::KillError;
pub use listener::{Listener, Pressure, Tell, Ticket};
pub use store::{Kernel, Store};

use std::io;
use std::path::PathBuf;

/// What was done to a group or one of its files, and how it failed.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    #[error("cannot make the control group {path}: {source}")]
    Make { path: PathBuf, source: io::Error },
    #[error("cannot remove the control group {path}: {source}")]
    Remove { path: PathBuf, source: io::Error },
    #[error("cannot list the control groups in {path}: {source}")]
    List { path: PathBuf, source: io::Error },
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write '{text}' to {path}: {source}")]
    Write { path: PathBuf, text: String, source: io::Error },
    #[error("cannot set the devices that may be used in {path}: {source}")]
    Devices { path: PathBuf, source: io::Error },
    #[error("{path} has an unknown form: '{text}'")]
    Form { path: PathBuf, text: String },
}
