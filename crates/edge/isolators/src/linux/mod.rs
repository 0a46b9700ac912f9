//! Isolators of the Linux kernel's own means: what a container's processes may ask of the kernel.

mod capabilities;
mod devices;
mod filter;
mod nnp;
mod profile;
mod seccomp;

pub use capabilities::Capabilities;
pub use devices::Devices;
pub use filter::{SeccompProfileError, seccomp_profile};
pub use nnp::Nnp;
pub use seccomp::Seccomp;
