//! The replicated log: whole clusters under random faults, and its rules one by one.

mod client;
mod cluster;
mod disk;
mod invariants;
mod network;
mod plots;
mod positions;
mod recovery_rules;
mod replica_rules;
mod rng;
mod solo;
mod world;
mod writer_rules;
