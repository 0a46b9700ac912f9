//! What is measured, and how it is told. Each benchmark checks what it measures: a wrong answer is an error, not a figure.
//!
//! `allocator`, `codec` and a whole master (`inprocess`) are measured in process, the instructions of `hot` paths are counted by `counts`, `containers` on an agent with processes. The `workloads` drive a master that is a process of its own over the wire, so that the
//! same run is done against Apache Mesos 1.11.0 and against Messor: `fleet` is its agents, `scheduler` a framework, `client` an
//! operator.

pub mod allocator;
pub mod arguments;
mod board;
mod brief;
mod chart;
mod client;
pub mod codec;
pub mod compare;
pub mod containers;
pub mod counts;
pub mod figures;
pub mod fleet;
pub mod growth;
mod guard;
pub mod hold;
pub mod hot;
pub mod inprocess;
pub mod made;
pub mod masters;
pub mod plots;
mod progress;
pub mod report;
mod samples;
pub mod scheduler;
pub mod usage;
mod waiting;
mod wire;
pub mod workloads;
