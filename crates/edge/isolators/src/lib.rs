//! Isolators: what holds a container to its share of the host. Each is one file or folder, known by the name that
//! `--isolation` has for it.
//!
//! The life of a container, and in which order isolators are asked, is decided in `messor-containers`; the containerizer
//! calls them on threads that may block; the kernel is reached through `messor-linux` alone.
//!
//! An isolator must not know the life of a container, agents, masters, HTTP, or other isolators.

mod cgroups;
mod devices;
mod disk;
mod environment_secret;
mod fault;
mod filesystem;
mod gpu;
mod isolator;
mod kernel;
mod linux;
mod namespaces;
mod posix;
mod registry;
mod runtime;
mod secrets;
#[cfg(test)]
mod tests;
mod volume;
mod volume_groups;

pub use fault::points as fault_points;
pub use gpu::{GpuError, Gpus, Hardware, HardwareError, nvml};
pub use isolator::{Container, Isolator, IsolatorError, Limitations, Recovered};
pub use linux::{SeccompProfileError, seccomp_profile};
pub use registry::{Host, MakeError, make, names};
pub use volume_groups::{VolumeGroups, VolumeGroupsError};

/// Whether this process is the superuser's.
fn is_superuser() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}
