//! Containers of an agent: sandbox, fetch, launch, isolators, usage, destroy.
//!
//! What is done when, and in which order, is decided by the machine of `messor-containers`; here each of its steps is
//! carried out, on threads that may wait.
//!
//! With the posix launcher the agent starts each container itself, by `messor_linux::spawn`; with the linux launcher the
//! warden does it. Either way no launcher process stands beside a container: what Apache Mesos's does before exec is
//! done between fork and exec, and an error comes back exactly. `mesos-containerizer launch` exists beside it for those
//! that call that program.
//!
//! Before its program runs, a container is noted in the runtime directory, and a checkpointed one in the meta directory
//! as well, so that the next agent finds it. How a process ended that the next agent did not start is known where
//! somebody noted it; else it is unknown and said so.
//!
//! It must not know masters, schedulers or status updates: commands come in, `ContainerEvent`s go out.

mod containerizer;
mod discover;
mod effects;
mod entry;
mod fault;
mod fetch_cache;
mod fetching;
mod launch_info;
mod launcher;
mod launching;
mod logging;
mod nested;
mod plan;
mod processes;
mod program;
mod recovery;
mod runtime;
mod sandbox;
mod steps;
mod switchboard;
mod usage;

pub use containerizer::{Config, Containerizer, EndedSandbox, Reports};
pub use discover::{Discovered, discover};
pub use entry::ContainerLaunch;
pub use fault::{points as fault_points, recovery_points};
pub use fetch_cache::{CacheDirectory, CacheError};
pub use fetching::Program;
pub use launcher::{Launcher, LauncherError};
pub use logging::{Logger, LoggingError};
pub use messor_containers::{Answer, Failure, Kind, Standing, State};
pub use program::main;
pub use sandbox::{SandboxError, run_directory};
