//! What is measured, and how it is told. Each benchmark checks what it measures: a wrong answer is an error, not a figure.
//!
//! `allocator` is measured in process, `containers` on an agent with processes. The `workloads` drive a master that is a process of its own over the wire, so that the
//! same run is done against Apache Mesos 1.11.0 and against Messor: `fleet` is its agents, `scheduler` a framework, `client` an
//! operator.

pub mod allocator;
pub mod arguments;
mod board;
mod brief;
mod client;
pub mod compare;
pub mod containers;
pub mod figures;
pub mod fleet;
pub mod growth;
pub mod masters;
mod progress;
pub mod report;
pub mod scheduler;
mod usage;
mod wire;
pub mod workloads;
