//! Isolators of file systems: where a container sees its sandbox and its persistent volumes. Exactly one is in use.

mod posix;
mod volumes;

pub use posix::Posix;
