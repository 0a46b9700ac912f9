//! The whole cluster on one thread from one seed, with faults and invariants.
//!
//! The machines are the real ones; network, clocks, executors and the scheduler are simulated. Faults: messages are
//! delayed, connections break and lose what is under way, agents' machines crash and come back.
//! Later issues bring a master that crashes, disks that lose writes, and several masters.

mod executors;
mod invariants;
mod network;
mod rng;
mod scheduler;
mod world;

pub use world::{Options, World};
