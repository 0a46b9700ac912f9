//! Isolators of any POSIX system: they hold nobody back, but tell what a container uses.

mod rlimits;
mod usage;

pub use rlimits::Rlimits;
pub use usage::{Cpu, Mem, Processes};
