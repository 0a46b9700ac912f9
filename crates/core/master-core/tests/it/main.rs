//! Scenarios: what is sent to a master, and what it does.

mod agents;
mod bad_input;
mod determinism;
mod draining;
mod drivers;
mod failover;
mod framework_metrics;
mod frameworks;
mod gone;
mod inverse_offers;
mod leading;
mod maintenance;
mod operations;
mod operators;
mod partitions;
mod preempting;
mod quota;
mod reconciling;
mod registry_gc;
mod tasks;
mod weights;
mod world;
