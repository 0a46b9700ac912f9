//! mesos-io-switchboard, which stands between a container and its standard input, output and error, so that clients can
//! attach to them; and the agent's half of a conversation with it.
//!
//! It is a process of its own for each container that is a session or has a terminal, so that what is attached outlives
//! the agent. It must not know containers, nor who may attach.
//!
//! Key decision: output that an attached client does not read holds the container back for a while, as a slow terminal
//! would, and then the client is cut off: nothing is kept without bound.

// Refusals are HTTP responses, made once a request at most: their size is of no account.
#![allow(clippy::result_large_err)]

mod client;
mod files;
mod output;
mod program;
mod server;
mod text;

pub use client::{AttachError, Attached, Input, acknowledge_input, attach_input, attach_output};
pub use program::main;
pub use text::{Media, process_io, record};
