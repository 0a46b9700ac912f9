//! Isolators of file systems: where a container sees its sandbox and its persistent volumes. Exactly one is in use.

mod linux;
mod posix;
mod shared;
mod volumes;

pub use linux::{Linux, LinuxError};
pub use posix::Posix;
pub use shared::Shared;
