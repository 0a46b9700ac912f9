//! The fetcher: brings the URIs of a command into the sandbox before the task starts.
//!
//! The program `mesos-fetcher` is a child of the agent, so that slow servers, hostile archives and file
//! permissions are met by a short-lived process that runs as the task's user and never by the agent itself.
//! For that reason everything here blocks: one process fetches its few URIs one after the other, as Mesos does,
//! and dies; it has no use for a runtime.
//!
//! It must not know of containers, agents or the fetcher cache's bookkeeping: it is told what to bring where, and which
//! file of the cache is to be written or read. `mesos-fetcher sizes` tells how large downloads would be.

mod extract;
mod fetcher;
mod ftp;
mod hadoop;
mod http;
mod program;
mod sandbox;
mod sizes;
mod tls;
mod uri;

pub use fetcher::{FetchError, ItemError, fetch};
pub use program::main;
pub use sizes::sizes;
pub use uri::{UriError, base_name, check_output_file, check_uri, masked};
