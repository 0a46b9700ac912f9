//! Containers of the posix kind: sandbox, fetch, launch, usage, destroy.
//!
//! The agent starts each executor itself, by `messor_linux::spawn`, with no launcher process in between: what
//! Apache Mesos's launcher does before exec (session, limits, user, directory, descriptors) is done between fork and
//! exec, and an error comes back exactly. So a container costs the agent's host one process, the executor.
//! `mesos-containerizer launch` exists beside it for those that call that program.
//!
//! Before its program runs, a container is noted in the runtime directory, and a checkpointed one in the meta directory
//! as well, so that the next agent finds it. How a process ended that the next agent did not start is known where
//! somebody noted it; else it is unknown and said so.
//!
//! It must not know masters, schedulers or status updates: commands come in, `ContainerEvent`s go out.

mod container;
mod containerizer;
mod discover;
mod fetching;
mod launching;
mod plan;
mod program;
mod recovery;
mod runtime;
mod sandbox;
mod usage;
mod volumes;

pub use containerizer::{Config, Containerizer};
pub use discover::{Discovered, discover};
pub use fetching::Program;
pub use program::main;
pub use sandbox::{SandboxError, run_directory};
