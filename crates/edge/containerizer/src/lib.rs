//! Containers of the posix kind: sandbox, fetch, launch, usage, destroy.
//!
//! The agent starts each executor itself, by `messor_linux::spawn`, with no launcher process in between: what
//! Apache Mesos's launcher does before exec (session, limits, user, directory, descriptors) is done between fork and
//! exec, and an error comes back exactly. So a container costs the agent's host one process, the executor.
//! `mesos-containerizer launch` exists beside it for those that call that program.
//!
//! It must not know masters, schedulers or status updates: commands come in, `ContainerEvent`s go out.

mod container;
mod containerizer;
mod discover;
mod fetching;
mod launching;
mod program;
mod sandbox;
mod usage;

pub use containerizer::{Config, Containerizer, Recovered};
pub use discover::{Discovered, discover};
pub use fetching::Program;
pub use program::main;
pub use sandbox::{SandboxError, run_directory};
